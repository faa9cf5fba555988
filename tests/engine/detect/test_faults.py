# SPDX-License-Identifier: GPL-3.0-or-later
"""Whole runs that are killed, fill the disk, or read damaged files; and 200 runs in one process."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Callable

import numpy as np
import pytest
from detect_case import run_row, scene
from killed import DONE, forked, kill_at, needs_fork
from osgeo import gdal

from changescribe.engine.detect import pipeline
from changescribe.engine.errors import CancelledError, ChangeScribeError, InputError, OutputError
from changescribe.engine.hosts.base import InProcessHost
from changescribe.engine.request import ChangeRequest, ChangeResult
from changescribe.engine.results.export import export
from changescribe.engine.results.journal import UNFINISHED

MakeRaster = Callable[..., str]


def hidden(folder: Path) -> list[str]:
    """Return hidden folders of runs that keep more than what the same run can go on with."""
    return [
        path.name
        for path in folder.iterdir()
        if path.name.startswith(".changescribe-")
        and any(part.name != UNFINISHED for part in path.iterdir())
    ]


def shown(result: ChangeResult) -> set[str]:
    """What each of the files of a result was made for; one element if they belong together."""
    found = {run_row(result.gpkg)["prompt"]}
    score = gdal.Open(result.score)
    direction = score.GetRasterBand(1).GetDescription().split("|")[1]
    found.add("buildings built" if direction == "appeared" else "buildings demolished")
    values = set(np.unique(gdal.Open(result.mask).ReadAsArray())) - {0, 255}
    found.add({1: "buildings built", 2: "buildings demolished"}[values.pop()])
    assert not values
    return found


@needs_fork
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("every", [17, pytest.param(1, marks=[pytest.mark.slow, pytest.mark.long])])
def test_a_run_killed_at_every_step(
    brightness: InProcessHost, request_: ChangeRequest, every: int
) -> None:
    """The old result or the new one is there for the next program of ours that opens it."""
    folder = Path(request_.output).parent
    old = replace(request_, prompt="buildings built", overwrite=True)
    result = pipeline.detect(old, brightness)
    seen: list[str] = []
    step = 0
    while True:
        step += every

        def work(step: int = step) -> None:
            kill_at(step)
            pipeline.detect(replace(old, prompt="buildings demolished"), brightness)

        code = forked(work)
        assert code in (DONE, -9)
        out = folder / "export.geojson"
        export(result.gpkg, str(out), overwrite=True)
        (prompt,) = shown(result)
        assert prompt in out.read_text(encoding="utf-8")
        assert not hidden(folder), f"step {step}"
        seen.append(prompt)
        if code == DONE:
            break
        if prompt != old.prompt:
            pipeline.detect(old, brightness)
    assert len(seen) * every > 60
    assert seen[0] == "buildings built"
    assert seen[-1] == "buildings demolished"


@needs_fork
@pytest.mark.parametrize("size", [0, 100, 3000, 20_000, 60_000, 90_000])
def test_a_full_disk_leaves_the_old_result(
    brightness: InProcessHost, request_: ChangeRequest, size: int
) -> None:
    """No file can be longer than ``size`` bytes."""
    resource = pytest.importorskip("resource")
    folder = Path(request_.output).parent
    old = replace(request_, prompt="buildings built", overwrite=True)
    result = pipeline.detect(old, brightness)
    names = sorted(os.listdir(folder))

    def work() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
        with contextlib.suppress(OutputError, InputError):
            pipeline.detect(replace(old, prompt="buildings demolished"), brightness)
            raise KeyError

    assert forked(work) == DONE
    assert shown(result) == {"buildings built"}
    assert sorted(os.listdir(folder)) == names


@pytest.mark.parametrize("share", [0.0, 0.01, 0.3, 0.9, 0.999])
def test_a_truncated_raster_leaves_nothing(
    brightness: InProcessHost, request_: ChangeRequest, share: float
) -> None:
    path = Path(request_.after)
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    start = time.monotonic()
    with contextlib.suppress(InputError):
        pipeline.detect(request_, brightness)
        assert share > 0.9  # only the padding at its end is missing
    assert time.monotonic() - start < 10
    if not Path(request_.output).exists():
        assert sorted(p.name for p in path.parent.iterdir()) == [
            "town_2012-05-04.tif",
            "town_2019.tif",
        ]


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.timeout(3600)
def test_two_hundred_runs_in_one_process(make_raster: MakeRaster, tmp_path: Path) -> None:
    """With the bundled model; every fifth is cancelled, every seventh fails."""
    before, after = scene(256, 256), scene(256, 256)
    after[:, 50:90, 100:150] = 220
    request = ChangeRequest(
        before=make_raster("a.tif", before),
        after=make_raster("b.tif", after),
        prompt="anything changed",
        output=str(tmp_path / "out.gpkg"),
        overwrite=True,
    )
    host = InProcessHost()
    counts, memory = set(), []
    for number in range(200):
        if number % 5 == 4:
            with pytest.raises(CancelledError):
                pipeline.detect(request, host, cancelled=lambda: True)
        elif number % 7 == 6:
            with pytest.raises(ChangeScribeError):
                pipeline.detect(replace(request, crs="EPSG:x"), host)
        else:
            counts.add(pipeline.detect(request, host).count)
        pages = Path("/proc/self/statm").read_text(encoding="ascii").split()[1]
        memory.append(int(pages) * os.sysconf("SC_PAGE_SIZE"))
        if number == 20:
            files, threads = len(os.listdir("/proc/self/fd")), threading.active_count()
    assert len(counts) == 1
    assert max(memory[150:]) < 1.1 * max(memory[20:50])
    assert len(os.listdir("/proc/self/fd")) <= files
    assert threading.active_count() <= threads
    assert not hidden(tmp_path)
    host.close()
