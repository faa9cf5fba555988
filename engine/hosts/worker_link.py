# SPDX-License-Identifier: GPL-3.0-or-later
"""Protocol of the worker process and its host: messages, errors, shared memory.

A message is one line of JSON. A request is ``{"call": name, "arguments": {...}}``;
its answer is ``{"result": {...}}`` or ``{"error": {...}}``. The worker's first line
is an answer without a request, which introduces the worker.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import tempfile
import traceback
from dataclasses import asdict, dataclass
from typing import IO, TYPE_CHECKING, Any, Optional

from ..errors import (
    ChangeScribeError,
    DependencyError,
    InputError,
    OutOfMemoryError,
    OutputError,
    WeightsError,
    is_out_of_memory,
)
from ..request import Hints, Query
from .texts import HostsTexts

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np

#: To be raised when a message changes; both sides must have the same.
PROTOCOL = 5

_KINDS = {
    kind.__name__: kind
    for kind in (
        *(ChangeScribeError, InputError, DependencyError, WeightsError, OutputError),
        OutOfMemoryError,
    )
}
#: Files in it, with unique names, are in memory on Linux; other systems use the folder for
#: temporary files.
_MEMORY_FOLDER = "/dev/shm"  # noqa: S108  # nosec B108
_CHUNK = 1 << 20


def error_to_message(error: BaseException) -> dict[str, str]:
    """Return the message for an error; call it while the error is being handled."""
    trace = traceback.format_exc()
    if not isinstance(error, ChangeScribeError):
        if is_out_of_memory(error):
            error = OutOfMemoryError(details=f"{error}\n{trace}")
        else:
            error = ChangeScribeError(HostsTexts.unexpected(kind=type(error).__name__))
    return {
        "kind": type(error).__name__,
        "message": error.message,
        "hint": error.hint,
        "details": error.details or trace,
    }


def error_from_message(message: dict[str, str]) -> ChangeScribeError:
    """Return the error from a message of :func:`error_to_message`."""
    kind = _KINDS.get(message["kind"], ChangeScribeError)
    return kind(message["message"], message["hint"], message["details"])


def queries_to_message(queries: Sequence[Query], hints: Hints) -> dict[str, Any]:
    """Return the message for queries and hints."""
    return {"queries": [asdict(query) for query in queries], "hints": asdict(hints)}


def queries_from_message(message: dict[str, Any]) -> tuple[list[Query], Hints]:
    """Return queries and hints from a message of :func:`queries_to_message`."""
    queries = [Query(**fields) for fields in message["queries"]]
    return queries, Hints(**{name: _as_tuple(value) for name, value in message["hints"].items()})


def _as_tuple(value: Any) -> Any:
    """Turn the lists of JSON back into tuples."""
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
        """Bytes of tiles and answer together."""
        pixels = self.batch * self.height * self.width
        return pixels * (4 * self.queries + 2 * 3 + 2 + 1)


class Block:
    """Memory shared by two processes: a mapped file without a lasting name.

    This is not ``multiprocessing.shared_memory``, because before Python 3.13 opening such a block
    starts a "resource tracker" by running ``sys.executable``, which inside QGIS on macOS is QGIS
    itself; the tracker of the process that exits first deletes the block under the other; and the
    memory is not reserved, so that with too little of it, as in a container, writing kills QGIS
    with a bus error. Here the bytes are written once, which fails as any write does, and the name
    is removed as soon as both sides have the file open, so that no crash leaves a file behind.

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
        """Reserve memory, in bytes; a ChangeScribeError if there is not enough."""
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
        # Deleted when closed (on Windows: by all processes); the mapping stays.
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
        # On Windows, a file that is deleted when closed can only be opened with the same flag.
        flags = os.O_RDWR | getattr(os, "O_TEMPORARY", 0) | getattr(os, "O_BINARY", 0)
        with open(path, "r+b", opener=lambda name, _: os.open(name, flags)) as file:
            block = cls(file, size)
        block._file = None
        return block

    def hide(self) -> None:
        """Remove the name, once the other side has attached."""
        file, self._file = self._file, None
        if file is not None:
            file.close()

    def views(self, shape: Shape) -> tuple[np.ndarray, ...]:
        """Return views of the parts of the block.

        Returns:
            scores (B, Q, H, W) float32; before and after, (B, H, W, 3) uint8 each; regions to
            describe (B, H, W) uint8; classes of both dates (2, B, H, W) uint8.
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
        """Free the memory and remove the name."""
        self.hide()
        mapped, self._map = self._map, None
        if mapped is not None:
            # A view held by the traceback of an error keeps the memory until it is released.
            with contextlib.suppress(BufferError):
                mapped.close()
