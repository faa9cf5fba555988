# SPDX-License-Identifier: GPL-3.0-or-later
"""A cancelled or killed run that goes on ends as if nothing had happened."""

from __future__ import annotations

import os
import sys
import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Callable

import numpy as np
import pytest
from detect_case import changes, run_row
from killed import DONE, STEPS, forked, kill_at, needs_fork
from osgeo import gdal

from changescribe.engine.detect import pipeline, scoring
from changescribe.engine.detect.resume import Unfinished, resumable
from changescribe.engine.detect.tiling import plan
from changescribe.engine.errors import CancelledError, ExistsError, InputError
from changescribe.engine.hosts.base import InProcessHost
from changescribe.engine.request import ChangeRequest, ChangeResult
from changescribe.engine.results.journal import sweep

MakeRaster = Callable[..., str]


@pytest.fixture(name="town")
def fixture_town(
    make_raster: MakeRaster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> ChangeRequest:
    """Two panels of four rows of tiles with changes everywhere, read on a grid of their own."""
    rng = np.random.default_rng(4)
    shape = (3, 200, 260)
    before = rng.integers(30, 90, shape).astype(np.uint8)
    after = rng.integers(30, 90, shape).astype(np.uint8)
    for y in range(10, 190, 30):
        for x in range(10, 250, 40):
            after[:, y : y + 14, x : x + 17] = rng.integers(180, 250)
    monkeypatch.setattr(scoring, "plan", partial(plan, panel_width=150))
    place = (500000.0, 0.45, 0.0, 5000000.0, 0.0, -0.45)
    return ChangeRequest(
        before=make_raster("before.tif", before, geotransform=place),
        after=make_raster("after.tif", after, geotransform=place),
        prompt="buildings",
        output=str(tmp_path / "out.gpkg"),
        system="brightness",
        align="off",
    )


def content(result: ChangeResult) -> tuple[object, ...]:
    """Return what a result says, without what belongs to one run alone."""
    rows = changes(result.gpkg)
    for row in rows:
        del row["run_id"], row["created"]
    rasters = [gdal.Open(path).ReadAsArray().tobytes() for path in (result.score, result.mask)]
    run = run_row(result.gpkg)
    return rows, rasters, run["caption"], run["counts"], run["partial"]


def undisturbed(town: ChangeRequest, host: InProcessHost) -> tuple[object, ...]:
    folder = Path(town.output).parent / "undisturbed"
    folder.mkdir()
    return content(pipeline.detect(replace(town, output=str(folder / "out.gpkg")), host))


def cancel_after(calls: int) -> Callable[[], bool]:
    """Return what cancels a run after so many batches."""
    left = iter(range(calls + 2))  # it is asked twice before the first batch
    return lambda: next(left, None) is None


def hidden(folder: Path) -> list[Path]:
    return [path for path in folder.iterdir() if path.name.startswith(".changescribe-")]


@pytest.mark.parametrize("batches", [4, 6, 9])
def test_a_cancelled_run_goes_on(
    brightness: InProcessHost, town: ChangeRequest, batches: int
) -> None:
    expected = undisturbed(town, brightness)
    part = pipeline.detect(town, brightness, cancelled=cancel_after(batches))
    assert part.partial
    assert any("can be continued" in text for text in part.warnings)
    again = resumable(town.output)
    assert again == replace(town, resume=True)

    result = pipeline.detect(again, brightness)

    assert content(result) == expected
    assert any("was continued" in text for text in result.warnings)
    assert not hidden(Path(town.output).parent)
    assert resumable(town.output) is None


def test_what_is_done_is_not_computed_again(brightness: InProcessHost, town: ChangeRequest) -> None:
    system = brightness._system("brightness")
    pipeline.detect(town, brightness)
    whole = system.calls
    pipeline.detect(replace(town, overwrite=True), brightness, cancelled=cancel_after(whole - 2))
    system.calls = 0
    pipeline.detect(replace(town, resume=True), brightness)
    # A row has three tiles of a batch or fewer: the open row, the one above, and one batch more.
    assert 0 < system.calls <= 5 < whole


@needs_fork
@pytest.mark.timeout(3600)
@pytest.mark.parametrize(
    "moments", [4, pytest.param(20, marks=[pytest.mark.slow, pytest.mark.long])]
)
def test_killed_runs_go_on(brightness: InProcessHost, town: ChangeRequest, moments: int) -> None:
    expected = undisturbed(town, brightness)
    steps = _steps(town, brightness)
    continued = 0
    for step in np.linspace(1, steps, moments + 2)[1:-1].astype(int).tolist():

        def work(step: int = step) -> None:
            kill_at(step)
            pipeline.detect(town, brightness)

        assert forked(work) == -9
        sweep(Path(town.output).parent)  # as the next run in this folder does
        try:
            result = pipeline.detect(replace(town, resume=True), brightness)
        except ExistsError:  # killed after the last step of the commit
            result = pipeline.detect(replace(town, overwrite=True), brightness)
        assert content(result) == expected, f"step {step}"
        continued += any("was continued" in text for text in result.warnings)
        assert not hidden(Path(town.output).parent), f"step {step}"
        for path in (result.gpkg, result.mask, result.score):
            os.remove(path)
    assert continued >= moments / 3


def _steps(town: ChangeRequest, host: InProcessHost) -> int:
    """Return the number of steps of the file system of a whole run."""
    folder = Path(town.output).parent / "counted"
    folder.mkdir()

    def work() -> None:
        counted = [0]
        sys.addaudithook(lambda event, _: counted.append(0) if event in STEPS else None)
        pipeline.detect(replace(town, output=str(folder / "out.gpkg")), host)
        (folder / "steps").write_text(str(len(counted) - 1))

    assert forked(work) == DONE
    return int((folder / "steps").read_text())


def test_another_question_does_not_go_on(brightness: InProcessHost, town: ChangeRequest) -> None:
    pipeline.detect(town, brightness, cancelled=cancel_after(6))
    with pytest.raises(InputError, match="differs from this one"):
        pipeline.detect(replace(town, prompt="grass", resume=True), brightness)
    # It is kept, and goes on with another threshold, which scores do not depend on.
    result = pipeline.detect(replace(town, threshold=0.4, resume=True), brightness)
    assert not result.partial


def test_a_changed_raster_does_not_go_on(brightness: InProcessHost, town: ChangeRequest) -> None:
    pipeline.detect(town, brightness, cancelled=cancel_after(6))
    os.utime(town.after, ns=(1, 1))
    with pytest.raises(InputError, match="differs from this one"):
        pipeline.detect(replace(town, resume=True), brightness)


def test_an_edited_partial_result_is_not_replaced(
    brightness: InProcessHost, town: ChangeRequest
) -> None:
    pipeline.detect(town, brightness, cancelled=cancel_after(6))
    os.utime(town.output, ns=(1, 1))
    with pytest.raises(ExistsError):
        pipeline.detect(replace(town, resume=True), brightness)
    assert pipeline.detect(replace(town, resume=True, overwrite=True), brightness).count


def test_a_damaged_block_is_computed_again(brightness: InProcessHost, town: ChangeRequest) -> None:
    expected = undisturbed(town, brightness)
    pipeline.detect(town, brightness, cancelled=cancel_after(9))
    block = Unfinished(town.output).folder / "000001"
    data = bytearray(block.read_bytes())
    data[len(data) // 2] ^= 1
    block.write_bytes(data)
    assert content(pipeline.detect(replace(town, resume=True), brightness)) == expected


def test_a_new_run_says_that_the_old_one_is_dropped(
    brightness: InProcessHost, town: ChangeRequest
) -> None:
    pipeline.detect(town, brightness, cancelled=cancel_after(6))
    result = pipeline.detect(replace(town, overwrite=True), brightness)
    assert any("was not continued" in text for text in result.warnings)
    assert not hidden(Path(town.output).parent)


def test_nothing_to_continue_starts_from_the_beginning(
    brightness: InProcessHost, town: ChangeRequest
) -> None:
    with pytest.raises(CancelledError):
        pipeline.detect(town, brightness, cancelled=lambda: True)
    result = pipeline.detect(replace(town, resume=True), brightness)
    assert any("nothing to continue" in text for text in result.warnings)


def test_what_is_kept_goes_after_a_week(brightness: InProcessHost, town: ChangeRequest) -> None:
    pipeline.detect(town, brightness, cancelled=cancel_after(6))
    folder, kept = Path(town.output).parent, Unfinished(town.output).folder
    sweep(folder)
    assert kept.exists()
    old = time.time() - 8 * 86400
    os.utime(kept, (old, old))
    sweep(folder)
    assert not hidden(folder)
