# SPDX-License-Identifier: GPL-3.0-or-later
"""The file of a tile: named arrays, each with a checksum."""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np

_MAGIC = b"ChangeScribe tile 1\n"
#: Types of arrays that are kept.
_TYPES = {"float16", "float32", "uint8"}
#: Bytes at which an array starts, a multiple.
_ALIGNED = 64


class BrokenEntryError(Exception):
    """Something kept on disk is damaged, missing or foreign."""


def write_tile(path: Path, arrays: Mapping[str, np.ndarray], key: str) -> int:
    """Write arrays (float16, float32 or uint8) to a file that belongs to a key; return its bytes.

    Raises:
        OSError: it could not be written.
    """
    rows, start, blocks = [], 0, []
    for name, array in arrays.items():
        block = np.ascontiguousarray(array)
        data = block.tobytes()
        crc = zlib.crc32(data)
        rows.append([name, str(block.dtype), list(block.shape), start, crc])
        blocks.append((data, -len(data) % _ALIGNED))
        start += len(data) + blocks[-1][1]
    header = json.dumps({"key": key, "arrays": rows}).encode()
    lines = _MAGIC + b"%d %d\n" % (len(header), zlib.crc32(header)) + header
    with path.open("wb") as file:
        file.write(lines)
        for data, padding in blocks:
            file.write(data)
            file.write(bytes(padding))
    return len(lines) + start


def read_tile(path: Path, key: str) -> dict[str, np.ndarray]:
    """Read the arrays of :func:`write_tile`.

    Raises:
        BrokenEntryError: the file is damaged or belongs to another key.
    """
    try:
        content = path.read_bytes()
        if not content.startswith(_MAGIC):
            raise ValueError("another format")
        place = content.index(b"\n", len(_MAGIC)) + 1
        length, crc = map(int, content[len(_MAGIC) : place].split())
        header = content[place : place + length]
        if zlib.crc32(header) != crc:
            raise ValueError("checksum of the header")
        facts = json.loads(header)
        if facts["key"] != key:
            raise ValueError("another key")
        view = memoryview(content)[place + length :]
        return {row[0]: _array(view, *row[1:]) for row in facts["arrays"]}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BrokenEntryError(f"{path}: {error}") from error


def _array(view: memoryview, dtype: str, shape: list[int], start: int, checksum: int) -> np.ndarray:
    if dtype not in _TYPES:
        raise ValueError(f"type {dtype}")
    count = int(np.prod(shape, dtype=np.int64))
    data = view[start : start + count * np.dtype(dtype).itemsize]
    if zlib.crc32(data) != checksum:
        raise ValueError("checksum of an array")
    return np.frombuffer(data, dtype, count).reshape(shape)
