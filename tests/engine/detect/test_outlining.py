# SPDX-License-Identifier: GPL-3.0-or-later
"""Mask, regions and captions from a score raster alone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Callable

from detect_case import changes, run_row, scene

from changescribe.engine.detect import pipeline
from changescribe.engine.detect.outlining import outline
from changescribe.engine.detect.run import Monitor, Run, ScoreRasters
from changescribe.engine.hosts.base import InProcessHost
from changescribe.engine.raster.common_grid import CommonGrid
from changescribe.engine.raster.reader import RasterSource
from changescribe.engine.request import ChangeRequest
from changescribe.engine.results.outputs import RunOutputs

MakeRaster = Callable[..., str]
#: Known only where the system reported the classes of the ground, or different for each run.
OTHER = {"from_class", "to_class", "caption", "run_id", "created"}


def test_another_threshold_needs_no_system(
    brightness: InProcessHost, request_: ChangeRequest, make_raster: MakeRaster, tmp_path: Path
) -> None:
    after = scene()
    after[:, 50:70, 100:140] = 250  # score 0.75
    after[:, 120:140, 20:60] = 210  # score 0.59
    request_ = replace(request_, after=make_raster("more.tif", after), prompt="buildings built")
    first = pipeline.detect(request_, brightness)
    assert first.count == 2
    scores = Path(first.score).read_bytes()

    stricter = replace(request_, output=str(tmp_path / "stricter.gpkg"), threshold=0.7)
    with RasterSource.open(first.score) as source:
        grid = source.grid
    with RunOutputs(stricter) as outputs:
        run = Run(
            stricter,
            brightness.info("brightness"),
            first.device,
            first.parse,
            CommonGrid(grid, grid),
            (first.date_before, first.date_after),
            outputs,
            Monitor(),
        )
        result = outline(run, ScoreRasters(first.score, grid))
        outputs.commit()

    anew = pipeline.detect(replace(stricter, output=str(tmp_path / "anew.gpkg")), brightness)
    assert result.count == anew.count == 1
    assert Path(result.mask).read_bytes() == Path(anew.mask).read_bytes()
    (row,), (expected,) = changes(result.gpkg), changes(anew.gpkg)
    assert {k: v for k, v in row.items() if k not in OTHER} == {
        k: v for k, v in expected.items() if k not in OTHER
    }
    assert row["caption"].startswith("New building, 200 m²")
    assert run_row(result.gpkg)["caption"] == anew.caption
    assert Path(first.score).read_bytes() == scores
