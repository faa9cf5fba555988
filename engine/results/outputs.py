# SPDX-License-Identifier: GPL-3.0-or-later
"""Output files of a run: written in a working folder, moved to their names when complete."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Optional

from ..errors import ExistsError, InputError
from ..writing import could_not_write
from .texts import ResultsTexts

if TYPE_CHECKING:
    from ..request import ChangeRequest


class RunOutputs:
    """The three files of a run, written in a hidden folder and moved when complete.

    A context manager: leaving it without :meth:`commit` removes what was written, so
    that an error leaves no incomplete file, and only a finished result replaces an old one.
    """

    def __init__(self, request: ChangeRequest) -> None:
        self.gpkg = Path(request.output)
        if self.gpkg.suffix.lower() != ".gpkg":
            raise InputError(ResultsTexts.not_a_geopackage(name=self.gpkg.name))
        self.mask = Path(request.mask or self.gpkg.with_name(f"{self.gpkg.stem}_mask.tif"))
        self.score = Path(request.score or self.gpkg.with_name(f"{self.gpkg.stem}_score.tif"))
        self._sources = (request.before, request.after)
        self._check(request.overwrite)
        self._folder: Optional[Path] = None

    def __enter__(self) -> RunOutputs:
        try:
            folder = tempfile.mkdtemp(prefix=".changescribe-", dir=self.gpkg.parent)
        except OSError as error:
            raise could_not_write(self.gpkg, error) from error
        self._folder = Path(folder)
        return self

    def __exit__(self, *error: object) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def folder(self) -> Path:
        """The working folder."""
        if self._folder is None:
            raise RuntimeError("the outputs were not opened")
        return self._folder

    def work(self, name: str) -> str:
        """Return the path of a file in the working folder."""
        return str(self.folder / name)

    def commit(self) -> None:
        """Move the finished files to their final names, all of them or none.

        Files that they replace are set aside first, and restored if a file cannot be moved.

        Raises:
            ChangeScribeError: a file could not be moved, or a file to be replaced is in use.
        """
        finished = {"score.tif": self.score, "mask.tif": self.mask, "changes.gpkg": self.gpkg}
        aside: list[tuple[Path, Path]] = []
        moved: list[Path] = []
        final = self.gpkg
        try:
            for final in finished.values():
                for old in _with_sidecars(final):
                    kept = old.with_name(f".{self.folder.name[1:]}-{old.name}")
                    old.replace(kept)
                    aside.append((kept, old))
            for name, final in finished.items():
                for new in _with_sidecars(self.folder / name):
                    target = final.with_name(final.name + new.name[len(name) :])
                    _move(new, target)
                    moved.append(target)
        except OSError as error:
            for path in moved:
                path.unlink(missing_ok=True)
            for kept, old in aside:
                kept.replace(old)
            raise could_not_write(final, error) from error
        for kept, _ in aside:
            kept.unlink(missing_ok=True)

    def _check(self, overwrite: bool) -> None:
        if len({self.gpkg, self.mask, self.score}) < 3:
            raise InputError(ResultsTexts.same_name())
        for path in (self.gpkg, self.mask, self.score):
            if not path.parent.is_dir() or not os.access(path.parent, os.W_OK):
                raise could_not_write(path, "")
            if any(Path(s).exists() and path.exists() and path.samefile(s) for s in self._sources):
                raise InputError(ResultsTexts.replaces_input(name=path.name))
            if path.exists() and not overwrite:
                raise ExistsError(path)


#: Endings of the files that GDAL and SQLite keep beside a raster or a GeoPackage.
_SIDECARS = (".aux.xml", ".ovr", ".msk", "-wal", "-shm")


def _with_sidecars(path: Path) -> list[Path]:
    """Return those of the file and its sidecar files that exist."""
    candidates = [path, *(path.with_name(path.name + suffix) for suffix in _SIDECARS)]
    return [candidate for candidate in candidates if candidate.exists()]


def _move(source: Path, final: Path) -> None:
    """Move a file; to another file system as a copy that is renamed when complete."""
    try:
        source.replace(final)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        beside = final.with_name(f".{final.name}.part")
        try:
            shutil.copyfile(source, beside)
            beside.replace(final)
        finally:
            beside.unlink(missing_ok=True)
