# SPDX-License-Identifier: GPL-3.0-or-later
"""Output files of a run: written in hidden folders, moved to their names when complete."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import InputError
from .journal import Claim, commit, sweep
from .texts import ResultsTexts

if TYPE_CHECKING:
    from ..request import ChangeRequest


class RunOutputs:
    """The three files of a run; a context manager.

    Leaving it without :meth:`commit` removes what was written, so that an error leaves no
    incomplete file, and only a finished result replaces an old one. Errors are those of
    :class:`Claim`.
    """

    def __init__(self, request: ChangeRequest) -> None:
        self.gpkg = Path(request.output)
        if self.gpkg.suffix.lower() != ".gpkg":
            raise InputError(ResultsTexts.not_a_geopackage(name=self.gpkg.name))
        self.mask = Path(request.mask or self.gpkg.with_name(f"{self.gpkg.stem}_mask.tif"))
        self.score = Path(request.score or self.gpkg.with_name(f"{self.gpkg.stem}_score.tif"))
        paths = (self.score, self.mask, self.gpkg)
        if len(set(paths)) < len(paths):
            raise InputError(ResultsTexts.same_name())
        sources = [Path(path) for path in (request.before, request.after)]
        for path in paths:
            if any(s.exists() and path.exists() and path.samefile(s) for s in sources):
                raise InputError(ResultsTexts.replaces_input(name=path.name))
        for path in paths:
            sweep(path.parent)
        self._claims = [Claim(path, request.overwrite) for path in paths]
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> RunOutputs:
        with contextlib.ExitStack() as stack:
            for claim in self._claims:
                stack.enter_context(claim)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    @property
    def folder(self) -> Path:
        """The working folder."""
        return self._claims[-1].work

    def work(self, name: str) -> str:
        """Return the path of a file in the working folder."""
        return str(self.folder / name)

    def commit(self) -> None:
        """Move the finished files to their final names, all of them or none.

        Raises:
            ExistsError: a file appeared during the run, and overwriting is off.
            ChangeScribeError: a file could not be moved, or a file to be replaced is in use.
        """
        for name, claim in zip(("score.tif", "mask.tif", "changes.gpkg"), self._claims):
            claim.stage(self.folder / name)
        commit(*self._claims)
