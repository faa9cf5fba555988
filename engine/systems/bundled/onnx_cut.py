# SPDX-License-Identifier: GPL-3.0-or-later
"""Parts of an ONNX file, cut out when it is loaded.

The head of the bundled model reads two dates and a question at once. What follows from the dates
alone is kept (:mod:`...memory`), so the two are run apart. Cutting the file here, rather than
shipping it in parts, keeps the files and their SHA-256 as they are. The format is Protocol
Buffers; the package ``onnx`` is not needed for the few fields that matter.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Container, Iterator, Mapping

#: Field numbers in onnx.proto: of a model, a graph, a node, an initializer, and a value's name.
_GRAPH = 7
_NODE, _INITIALIZER, _INPUT, _OUTPUT = 1, 5, 11, 12
_NODE_INPUT, _NODE_OUTPUT, _NODE_OPERATOR, _NODE_ATTRIBUTE = 1, 2, 4, 5
_TENSOR_NAME, _VALUE_NAME = 8, 1
_FLOAT, _HALF = 1, 10
_BYTES = 2


@dataclass(frozen=True)
class _Node:
    raw: bytes
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


def cut(
    model: bytes,
    inputs: Mapping[str, str],
    outputs: Mapping[str, str],
    halves: Container[str] = (),
) -> bytes:
    """Return the part of a model that leads from some of its tensors to others.

    Args:
        model: content of an ONNX file, without tensors in other files.
        inputs: float32 tensors of the model, and their names as inputs of the part.
        outputs: the same for its outputs.
        halves: which of the part's inputs and outputs are float16.

    Raises:
        ValueError: the model has no such tensor, or is no ONNX file.
    """
    graph = b"".join(value for number, value, _ in _fields(model) if number == _GRAPH)
    nodes, tensors = _contents(graph)
    wanted, kept = set(outputs), []
    for node in reversed(nodes):
        if wanted.isdisjoint(node.outputs) or not set(node.outputs).isdisjoint(inputs):
            continue
        kept.append(node)
        wanted.update(name for name in node.inputs if name and name not in inputs)
    made = {name for node in kept for name in node.outputs}
    missing = wanted - made - tensors.keys()
    if missing:
        raise ValueError(f"no tensor {min(missing)!r}")
    before, after = [], []
    entries = []
    for name, shown in inputs.items():
        half = shown in halves
        before.append(_cast(shown, name, _FLOAT) if half else _same(shown, name))
        entries.append(_field(_INPUT, _value(shown, _HALF if half else _FLOAT)))
    for name, shown in outputs.items():
        half = shown in halves
        after.append(_cast(name, shown, _HALF) if half else _same(name, shown))
        entries.append(_field(_OUTPUT, _value(shown, _HALF if half else _FLOAT)))
    parts = [_field(2, b"part")]
    parts += [
        _field(_NODE, raw) for raw in (*before, *(n.raw for n in reversed(kept)), *after) if raw
    ]
    parts += [_field(_INITIALIZER, raw) for name, raw in tensors.items() if name in wanted]
    rest = b"".join(raw for number, _, raw in _fields(model) if number != _GRAPH)
    return rest + _field(_GRAPH, b"".join([*parts, *entries]))


def _contents(graph: bytes) -> tuple[list[_Node], dict[str, bytes]]:
    """Return the nodes, and the initializers by name."""
    nodes, tensors = [], {}
    for number, value, _ in _fields(graph):
        if number == _NODE:
            nodes.append(_Node(value, _texts(value, _NODE_INPUT), _texts(value, _NODE_OUTPUT)))
        elif number == _INITIALIZER:
            tensors[_texts(value, _TENSOR_NAME)[0]] = value
    return nodes, tensors


def _texts(message: bytes, field: int) -> tuple[str, ...]:
    return tuple(value.decode() for number, value, _ in _fields(message) if number == field)


def _fields(message: bytes) -> Iterator[tuple[int, bytes, bytes]]:
    """Yield number, value (of fields of bytes; else empty) and encoding of a message's fields."""
    place = 0
    while place < len(message):
        start = place
        key, place = _varint(message, place)
        kind, value = key & 7, b""
        if kind == 0:
            _, place = _varint(message, place)
        elif kind == _BYTES:
            length, place = _varint(message, place)
            value, place = message[place : place + length], place + length
        elif kind in (1, 5):
            place += 8 if kind == 1 else 4
        else:
            raise ValueError("not an ONNX file")
        if place > len(message):
            raise ValueError("the ONNX file ends too early")
        yield key >> 3, value, message[start:place]


def _varint(message: bytes, place: int) -> tuple[int, int]:
    """Return the number at a place, and the place after it."""
    number = shift = 0
    while place < len(message):
        byte = message[place]
        number, place = number | (byte & 0x7F) << shift, place + 1
        if byte < 0x80:
            return number, place
        shift += 7
    raise ValueError("the ONNX file ends too early")


def _number(value: int) -> bytes:
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


def _field(number: int, value: bytes) -> bytes:
    return _number(number << 3 | _BYTES) + _number(len(value)) + value


def _integer(number: int, value: int) -> bytes:
    return _number(number << 3) + _number(value)


def _operation(operator: str, source: str, target: str) -> bytes:
    return (
        _field(_NODE_INPUT, source.encode())
        + _field(_NODE_OUTPUT, target.encode())
        + _field(_NODE_OPERATOR, operator.encode())
    )


def _same(source: str, target: str) -> bytes:
    return b"" if source == target else _operation("Identity", source, target)


def _cast(source: str, target: str, kind: int) -> bytes:
    """Return a node that converts a tensor: its attribute ``to`` is an integer (type 2)."""
    to = _field(1, b"to") + _integer(3, kind) + _integer(20, 2)
    return _operation("Cast", source, target) + _field(_NODE_ATTRIBUTE, to)


def _value(name: str, kind: int) -> bytes:
    """Return the description of a tensor of any shape."""
    return _field(_VALUE_NAME, name.encode()) + _field(2, _field(1, _integer(1, kind)))
