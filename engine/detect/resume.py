# SPDX-License-Identifier: GPL-3.0-or-later
"""What a cancelled or killed run has finished, kept so that the same run can go on.

Every finished row of tiles becomes a file of scores and classes in the hidden folder beside the
output, and a line of a manifest with its checksum. The next run of the same request with
``resume`` places these blocks, and computes the rest; the tile rows that overlap the first open
one are computed again, so that scores blend as they would have.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import zlib
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Optional

import numpy as np

from ..errors import CancelledError, InputError
from ..results.journal import UNFINISHED, hidden_folder
from ..results.record import from_json, to_json
from ..writing import could_not_write
from .texts import DetectTexts

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ..request import ChangeRequest
    from .run import Run
    from .tiling import TilePlan

_MANIFEST = "manifest.jsonl"
#: Raised when the form of the blocks changes.
_VERSION = 1
#: Fields of a request on which scores do not depend: they may differ when a run goes on.
_FREE = (
    *("output", "mask", "score", "overwrite", "resume", "remember"),
    *("threshold", "min_area", "simplify", "outlines", "crs", "date_before", "date_after"),
)

#: One block of a row of tiles: 0 for scores, 1 and 2 for the classes of both dates; its column and
#: row on the working grid; (bands, h, w) uint8.
Block = tuple[int, int, int, np.ndarray]


class Unfinished:
    """The finished rows of tiles of one run.

    Args:
        output: the GeoPackage of the run.
    """

    def __init__(self, output: str) -> None:
        self.folder = hidden_folder(Path(output)) / UNFINISHED
        self._output = output
        self._rows: list[dict[str, Any]] = []
        self._head: dict[str, Any] = {}
        self._key = ""

    def __enter__(self) -> Unfinished:
        return self

    def __exit__(self, kind: Optional[type[BaseException]], *error: object) -> None:
        """Remove what is kept after an error, but for one that :meth:`open` raised."""
        failed = kind is not None and issubclass(kind, Exception)
        if failed and self._head and not issubclass(kind or object, CancelledError):
            self.remove()

    @property
    def rows(self) -> int:
        """Number of finished rows of tiles, from the first on."""
        return len(self._rows)

    def open(self, run: Run, tiles: TilePlan) -> None:
        """Take up what a former run finished, or begin anew.

        Raises:
            InputError: ``resume`` is set, but the former run was another one.
        """
        self._key = _key(run, tiles)
        head, *rows = self._lines() or [{}]
        if run.request.resume and head.get("key") == self._key:
            self._rows = rows
            share = len(rows) / tiles.row_count
            run.monitor.warn(DetectTexts.resumed(share=share))
        elif run.request.resume and head:
            raise InputError(DetectTexts.other_run(path=self._output))
        else:
            if run.request.resume:
                run.monitor.warn(DetectTexts.nothing_to_resume())
            elif rows:
                run.monitor.warn(DetectTexts.not_resumed())
            self.remove()
        self._head = {"key": self._key, "request": to_json(run.request), "version": _VERSION}

    def blocks(self) -> Iterator[Block]:
        """Yield the blocks of the finished rows in their order; stop at one that is damaged."""
        for number, row in enumerate(self._rows):
            blocks = self._read(row)
            if blocks is None:
                self._rows = self._rows[:number]
                self._rewrite()
                return
            yield from blocks

    def add(self, blocks: Sequence[Block]) -> None:
        """Keep the blocks of the next finished row of tiles.

        Raises:
            OutputError: the disk is full.
        """
        shapes = [(kind, x, y, *array.shape) for kind, x, y, array in blocks]
        data = zlib.compress(b"".join(array.tobytes() for *_, array in blocks), 1)
        name = f"{len(self._rows):06d}"
        row = {
            "file": name,
            "sha256": hashlib.sha256(data).hexdigest(),
            "blocks": shapes,
        }
        try:
            if not self.folder.exists():
                self.folder.mkdir()
                self._rewrite()
            (self.folder / name).write_bytes(data)
            self._rows.append(row)
            with (self.folder / _MANIFEST).open("a", encoding="utf-8") as file:
                file.write(json.dumps(row) + "\n")
        except OSError as error:
            raise could_not_write(self._output, error) from error

    def keep_partial(self, files: Sequence[Path]) -> None:
        """Note the results of a cancelled run, which may be replaced when it goes on."""
        self._head["partial"] = _states(files)
        with contextlib.suppress(OSError):
            if self.folder.exists():
                self._rewrite()

    def remove(self) -> None:
        """Remove what is kept."""
        self._rows = []
        shutil.rmtree(self.folder, ignore_errors=True)

    def _lines(self) -> list[dict[str, Any]]:
        """Return the manifest: its head and the rows; nothing if there is no whole one."""
        lines = []
        with contextlib.suppress(OSError, ValueError):
            text = (self.folder / _MANIFEST).read_text(encoding="utf-8")
            # The last line of a killed process has no end.
            lines = [json.loads(line) for line in text.split("\n")[:-1]]
        if not lines or lines[0].get("version") != _VERSION:
            return []
        return lines

    def _read(self, row: dict[str, Any]) -> Optional[list[Block]]:
        blocks: list[Block] = []
        with contextlib.suppress(OSError, zlib.error, ValueError, KeyError, TypeError):
            data = (self.folder / os.path.basename(row["file"])).read_bytes()
            if hashlib.sha256(data).hexdigest() != row["sha256"]:
                return None
            pixels, start = np.frombuffer(zlib.decompress(data), np.uint8), 0
            for kind, x, y, *shape in row["blocks"]:
                end = start + int(np.prod(shape))
                blocks.append((kind, x, y, pixels[start:end].reshape(shape)))
                start = end
            return blocks
        return None

    def _rewrite(self) -> None:
        part = self.folder / "manifest.part"
        lines = [json.dumps(line) + "\n" for line in (self._head, *self._rows)]
        part.write_text("".join(lines), encoding="utf-8")
        part.replace(self.folder / _MANIFEST)


def resumable(output: str) -> Optional[ChangeRequest]:
    """Return the request of the unfinished run of an output that can go on; None: there is none."""
    lines = Unfinished(output)._lines()  # noqa: SLF001
    if len(lines) < 2:
        return None
    return from_json(lines[0]["request"], output, resume=True)


def permitted(request: ChangeRequest) -> ChangeRequest:
    """Return a request that may replace the partial result of the run that goes on, if unchanged.

    What a user changed in the partial result since is not replaced without ``overwrite``.
    """
    lines = Unfinished(request.output)._lines() if request.resume else []  # noqa: SLF001
    partial = lines[0].get("partial") if lines else None
    if partial and partial == _states([Path(path) for path in partial]):
        return replace(request, overwrite=True)
    return request


def _states(files: Sequence[Path]) -> dict[str, Optional[list[int]]]:
    """Return size and time of files, by their paths."""
    states: dict[str, Optional[list[int]]] = {}
    for path in files:
        try:
            status = path.stat()
            states[str(path)] = [status.st_size, status.st_mtime_ns]
        except OSError:
            states[str(path)] = None
    return states


def _key(run: Run, tiles: TilePlan) -> str:
    """Return a text that is equal for two runs of equal scores."""
    request = asdict(run.request)
    for name in _FREE:
        request.pop(name)
    parts = (
        sorted(request.items()),
        (run.system.name, run.system.revision, run.device, run.system.batch_size),
        [str(query) for query in run.parsed.queries],
        run.parsed.hints,
        (run.grid.working, run.grid.output),
        (tiles.tile_size, tiles.overlap, tiles.panels),
        run.states,
    )
    return hashlib.sha256(repr(parts).encode()).hexdigest()
