# SPDX-License-Identifier: GPL-3.0-or-later
"""Where a run writes: a working folder first, the final names when all is complete."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Optional

from .errors import ChangeScribeError, InputError, OutputError

if TYPE_CHECKING:
    from types import TracebackType

    from .request import ChangeRequest


class RunOutputs:
    """The three files of a run, written in a hidden folder and moved when complete.

    A context manager: leaving it without :meth:`commit` removes all that was
    written, so that a crash or an error leaves no half file that looks whole,
    and an existing result is replaced only by a finished one.

    Attributes:
        gpkg: final path of the GeoPackage.
        mask: final path of the mask raster.
        score: final path of the score raster.
    """

    def __init__(self, request: ChangeRequest) -> None:
        self.gpkg = Path(request.output)
        if self.gpkg.suffix.lower() != ".gpkg":
            raise InputError(
                f'The output "{self.gpkg.name}" is not a GeoPackage.',
                "Give a name that ends in .gpkg; other formats come from export.",
            )
        self.mask = Path(request.mask or self.gpkg.with_name(f"{self.gpkg.stem}_mask.tif"))
        self.score = Path(request.score or self.gpkg.with_name(f"{self.gpkg.stem}_score.tif"))
        self._sources = (request.before, request.after)
        self._check(request.overwrite)
        self._folder: Optional[Path] = None

    def __enter__(self) -> RunOutputs:
        try:
            folder = tempfile.mkdtemp(prefix=".changescribe-", dir=self.gpkg.parent)
        except OSError as error:
            raise _not_writable(self.gpkg.parent, error) from error
        self._folder = Path(folder)
        return self

    def __exit__(
        self,
        kind: Optional[type[BaseException]],
        error: Optional[BaseException],
        trace: Optional[TracebackType],
    ) -> None:
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
        """Move the finished files to their final names.

        Raises:
            ChangeScribeError: a file could not be moved.
        """
        try:
            for final in (self.score, self.mask, self.gpkg):
                _move(self.folder / work_name(final, self), final)
        except OSError as error:
            raise _not_writable(self.gpkg.parent, error) from error

    def _check(self, overwrite: bool) -> None:
        if len({self.gpkg, self.mask, self.score}) < 3:
            raise InputError("Two outputs have the same name.", "Give them different names.")
        for path in (self.gpkg, self.mask, self.score):
            if not path.parent.is_dir():
                raise InputError(
                    f'The folder "{path.parent}" does not exist.', "Create it or choose another."
                )
            if any(Path(s).exists() and path.exists() and path.samefile(s) for s in self._sources):
                raise InputError(
                    f'The output "{path.name}" is one of the rasters to compare.',
                    "Choose another name.",
                )
            if path.exists() and not overwrite:
                raise InputError(
                    f'"{path}" exists already.', "Choose another name, or allow overwriting."
                )
            if not os.access(path.parent, os.W_OK):
                raise _not_writable(path.parent)


def work_name(final: Path, outputs: RunOutputs) -> str:
    """Return the name of a final file within the working folder."""
    return {outputs.gpkg: "changes.gpkg", outputs.mask: "mask.tif"}.get(final, "score.tif")


def _move(source: Path, final: Path) -> None:
    """Move a file; across file systems by a copy beside the final name, renamed when complete."""
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


def _not_writable(folder: Path, error: Optional[OSError] = None) -> ChangeScribeError:
    if error is not None and error.errno == errno.ENOSPC:
        return OutputError(
            f'The disk of "{folder}" is full.', "Free some space or choose another folder."
        )
    return InputError(
        f'The folder "{folder}" cannot be written to.',
        "Choose an output folder where you may write.",
        "" if error is None else str(error),
    )
