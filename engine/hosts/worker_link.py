# SPDX-License-Identifier: GPL-3.0-or-later
"""What the worker process and its host agree on: messages, errors, shared memory.

A message is one line of JSON. A request is ``{"call": name, "arguments": {...}}``;
its answer is ``{"result": {...}}`` or ``{"error": {...}}``. The worker's first
line is the answer to a request that nobody made: who it is.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import tempfile
import traceback
from dataclasses import asdict, dataclass
from typing import IO, TYPE_CHECKING, Any, Optional

from ..errors import ChangeScribeError, DependencyError, InputError, OutputError, WeightsError
from ..request import Hints, Query
from .texts import HostsTexts

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np

#: Raised when a call changes; both sides must have the same.
PROTOCOL = 4

_KINDS = {
    kind.__name__: kind
    for kind in (ChangeScribeError, InputError, DependencyError, WeightsError, OutputError)
}
#: What PyTorch says where memory ran out, in errors that have no class of their own.
_OUT_OF_MEMORY = ("out of memory", "can't allocate memory")
#: On Linux files in it are memory; elsewhere the system's folder for temporary files does.
_MEMORY_FOLDER = "/dev/shm"  # noqa: S108 - files in it are made with names of their own
_CHUNK = 1 << 20


def error_to_message(error: BaseException) -> dict[str, str]:
    """Return what crosses the pipe of an error; to be called while it is being handled."""
    trace = traceback.format_exc()
    if not isinstance(error, ChangeScribeError):
        text = str(error).lower()
        if isinstance(error, MemoryError) or any(words in text for words in _OUT_OF_MEMORY):
            error = ChangeScribeError(HostsTexts.out_of_memory())
        else:
            error = ChangeScribeError(HostsTexts.unexpected(kind=type(error).__name__))
    return {
        "kind": type(error).__name__,
        "message": error.message,
        "hint": error.hint,
        "details": error.details or trace,
    }


def error_from_message(message: dict[str, str]) -> ChangeScribeError:
    """Return the error that a message of :func:`error_to_message` stands for."""
    kind = _KINDS.get(message["kind"], ChangeScribeError)
    return kind(message["message"], message["hint"], message["details"])


def queries_to_message(queries: Sequence[Query], hints: Hints) -> dict[str, Any]:
    """Return queries and hints as they cross the pipe."""
    return {"queries": [asdict(query) for query in queries], "hints": asdict(hints)}


def queries_from_message(message: dict[str, Any]) -> tuple[list[Query], Hints]:
    """Return what a message of :func:`queries_to_message` stands for."""
    queries = [Query(**fields) for fields in message["queries"]]
    return queries, Hints(**{name: _as_tuple(value) for name, value in message["hints"].items()})


def _as_tuple(value: Any) -> Any:
    """Return a value with the tuples that JSON has made lists of."""
    return tuple(map(_as_tuple, value)) if isinstance(value, list) else value


@dataclass(frozen=True)
class Shape:
    """Sizes of a batch: B tile pairs of H x W pixels and Q queries."""

    batch: int
    height: int
    width: int
    queries: int

    @property
    def size(self) -> int:
        """Bytes that tiles and answer take together."""
        pixels = self.batch * self.height * self.width
        return pixels * (4 * self.queries + 2 * 3 + 2 + 1)


class Block:
    """Memory that two processes share: a mapped file without a lasting name.

    ``multiprocessing.shared_memory`` is not used. Before Python 3.13 whoever opens such a block
    starts a "resource tracker" by running ``sys.executable``, which inside QGIS on macOS is QGIS
    itself; the tracker of the process that ends first deletes the block under the other; and the
    memory is not reserved, so that where there is too little, as in a container, writing ends QGIS
    with a bus error. Here the bytes are written once, which fails as any write does, and the name
    is gone as soon as both sides have the file open: whatever dies, nothing stays behind.

    Args:
        file: open for reading and writing.
        size: in bytes.
    """

    def __init__(self, file: IO[bytes], size: int) -> None:
        self._file: Optional[IO[bytes]] = file
        self.path = str(file.name)
        self.size = size
        self._map: Optional[mmap.mmap] = mmap.mmap(file.fileno(), size)

    @classmethod
    def create(cls, size: int) -> Block:
        """Reserve memory.

        Raises:
            ChangeScribeError: there is not enough.
        """
        problem: Optional[OSError] = None
        for folder in (_MEMORY_FOLDER, None):
            if folder is None or os.access(folder, os.W_OK):
                try:
                    return cls._create(folder, size)
                except OSError as error:
                    problem = error
        raise ChangeScribeError(
            HostsTexts.no_memory_for_tiles(megabytes=size / 1e6), details=str(problem)
        )

    @classmethod
    def _create(cls, folder: Optional[str], size: int) -> Block:
        # Deleted when it is closed; the mapping stays. On Windows: when all have closed it.
        file = tempfile.NamedTemporaryFile(prefix="changescribe-", dir=folder)  # noqa: SIM115
        try:
            for start in range(0, size, _CHUNK):
                file.write(bytes(min(_CHUNK, size - start)))
            file.flush()
            return cls(file, size)
        except OSError:
            file.close()
            raise

    @classmethod
    def attach(cls, path: str, size: int) -> Block:
        """Open the block of another process."""
        # Windows lets a file be opened that goes when it is closed only by one who says the same.
        flags = os.O_RDWR | getattr(os, "O_TEMPORARY", 0) | getattr(os, "O_BINARY", 0)
        with open(path, "r+b", opener=lambda name, _: os.open(name, flags)) as file:
            block = cls(file, size)
        block._file = None
        return block

    def hide(self) -> None:
        """Give up the name, once the other side has attached."""
        file, self._file = self._file, None
        if file is not None:
            file.close()

    def views(self, shape: Shape) -> tuple[np.ndarray, ...]:
        """Return the parts of the block, not copied.

        Returns:
            scores (B, Q, H, W) float32; before and after (B, H, W, 3) uint8; regions to describe
            (B, H, W) uint8; classes of both dates (2, B, H, W) uint8.
        """
        import numpy as np

        b, h, w = shape.batch, shape.height, shape.width
        parts: list[np.ndarray] = []
        offset = 0
        for dtype, dimensions in (
            (np.float32, (b, shape.queries, h, w)),  # first, where it is aligned
            (np.uint8, (b, h, w, 3)),
            (np.uint8, (b, h, w, 3)),
            (np.uint8, (b, h, w)),
            (np.uint8, (2, b, h, w)),
        ):
            part: np.ndarray = np.ndarray(dimensions, dtype, self._map, offset)
            parts.append(part)
            offset += part.nbytes
        return tuple(parts)

    def close(self) -> None:
        """Give up the memory and the name."""
        self.hide()
        mapped, self._map = self._map, None
        if mapped is not None:
            # A view that an error's traceback holds keeps the memory until it goes.
            with contextlib.suppress(BufferError):
                mapped.close()
