# SPDX-License-Identifier: GPL-3.0-or-later
"""What the stages of a run share."""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Optional, Union

from ..request import Progress, Stage

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ..raster.common_grid import CommonGrid
    from ..raster.grid import Grid
    from ..regions import ClassMaps
    from ..request import (
        Alignment,
        CancelledCallback,
        ChangeRequest,
        ParsedPrompt,
        ProgressCallback,
    )
    from ..results.outputs import RunOutputs
    from ..systems.base import SystemInfo
    from .remembering import Keeping, Recalled

#: Share of each stage of a run's time: from, to.
_SHARES = {
    Stage.READING: (0.0, 0.02),
    Stage.LOADING: (0.02, 0.03),
    Stage.DETECTING: (0.03, 0.85),
    Stage.RESAMPLING: (0.85, 0.9),
    Stage.OUTLINING: (0.9, 0.98),
    Stage.WRITING: (0.98, 1.0),
    Stage.DONE: (1.0, 1.0),
}


class Monitor:
    """Progress, warnings (without repetitions) and timings in seconds per stage of a run.

    ``progress`` is called with the progress of the whole run.
    """

    def __init__(self, progress: Optional[ProgressCallback] = None) -> None:
        self._progress = progress
        self._started = time.monotonic()
        self.warnings: list[str] = []
        self.timings_s: dict[str, float] = {}

    @property
    def seconds(self) -> float:
        """Seconds since the start of the run."""
        return round(time.monotonic() - self._started, 3)

    @contextlib.contextmanager
    def stage(self, stage: Stage) -> Iterator[None]:
        """Report the start of a stage, and time it."""
        start = time.monotonic()
        self.report(stage)
        yield
        self.timings_s[stage.value] = round(time.monotonic() - start, 3)

    def warn(self, *warnings: str) -> None:
        """Add warnings, each once."""
        self.warnings += [text for text in dict.fromkeys(warnings) if text not in self.warnings]

    def report(
        self,
        stage: Stage,
        fraction: float = 0.0,
        tile: int = 0,
        tiles: int = 0,
        seconds_left: Optional[float] = None,
    ) -> None:
        """Report progress: ``fraction`` and ``seconds_left`` are those of the stage."""
        if self._progress is None:
            return
        begin, end = _SHARES[stage]
        if seconds_left is not None:
            seconds_left *= 1.0 + (1.0 - end)  # the later stages take about that share
        whole = begin + fraction * (end - begin)
        self._progress(Progress(stage, whole, tile, tiles, seconds_left))


@dataclass(frozen=True)
class Run:
    """What every stage of a run needs once the request is understood.

    Attributes:
        device: the device in use and why.
        parsed: the prompt, with "anything" resolved to the system's classes, and the hints.
        grid: grids of the results and of the tiles.
        dates: ISO dates of the two rasters, None if unknown.
        outputs: working folder and final paths.
        cancelled: called between tiles; True stops the run.
        alignment: the shift between the rasters; None if it was not measured.
        states: of the files of both rasters when they were opened.
        memory: keeps the pair, or answers in its place; None does neither.
    """

    request: ChangeRequest
    system: SystemInfo
    device: str
    parsed: ParsedPrompt
    grid: CommonGrid
    dates: tuple[Optional[str], Optional[str]]
    outputs: RunOutputs
    monitor: Monitor
    cancelled: CancelledCallback = lambda: False
    alignment: Optional[Alignment] = None
    states: Sequence[object] = ()
    memory: Optional[Union[Keeping, Recalled]] = None


@dataclass(frozen=True)
class ScoreRasters:
    """Scores of a pair, from which mask, regions and captions follow.

    Attributes:
        score: path of the score raster, one band per query (output contract).
        grid: its grid.
        classes: classes of both dates on the same grid; None if the system reports none.
        complete: False if the run was cancelled before all tiles were scored.
    """

    score: str
    grid: Grid
    classes: Optional[ClassMaps] = None
    complete: bool = True
