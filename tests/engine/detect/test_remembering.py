# SPDX-License-Identifier: GPL-3.0-or-later
"""A second question about a pair: the same answer, without reading the rasters."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Callable

import numpy as np
import pytest
from osgeo import gdal

pytest.importorskip("onnxruntime")

from changescribe.engine.detect import pipeline
from changescribe.engine.detect.remembering import Keeping, Seen
from changescribe.engine.detect.tiling import plan
from changescribe.engine.errors import CancelledError
from changescribe.engine.hosts.base import InProcessHost
from changescribe.engine.memory import PairMemory, use_limit
from changescribe.engine.raster.reader import RasterSource
from changescribe.engine.request import Area, ChangeRequest, ChangeResult
from changescribe.engine.systems.bundled import BundledSystem


@pytest.fixture
def memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[PairMemory]:
    monkeypatch.setattr("changescribe.engine.memory.store._SPARE_BYTES", 0)
    monkeypatch.delenv("CHANGESCRIBE_MEMORY_GB")
    folder = tmp_path / "pairs"
    monkeypatch.setattr("changescribe.engine.memory.store.default_folder", lambda: folder)
    use_limit(1.0)
    yield PairMemory()
    use_limit(None)


@pytest.fixture(scope="module")
def host() -> Iterator[InProcessHost]:
    opened = InProcessHost()
    yield opened
    opened.close()


@pytest.fixture
def town(request_: ChangeRequest) -> ChangeRequest:
    return replace(request_, system="bundled", threshold=0.2, min_area=0, device="cpu")


def _scores(result: ChangeResult) -> np.ndarray:
    return gdal.Open(result.score).ReadAsArray()


def _ask(request: ChangeRequest, host: InProcessHost, prompt: str, name: str) -> ChangeResult:
    output = str(Path(request.output).with_name(f"{name}.gpkg"))
    return pipeline.detect(replace(request, prompt=prompt, output=output), host)


@pytest.fixture
def unreadable(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Return what makes reading a pixel, and encoding, an error from then on."""

    def fail(*_given: object, **_named: object) -> None:
        raise AssertionError("the memory should suffice")

    def forbid() -> None:
        monkeypatch.setattr(RasterSource, "read", fail)
        monkeypatch.setattr(BundledSystem, "encode", fail)
        monkeypatch.setattr(BundledSystem, "predict", fail)

    return forbid


@pytest.mark.parametrize("prompt", ["trees cleared", "anything changed", "buildings and roads"])
def test_another_question_reads_nothing_and_has_the_same_answer(
    memory, host, town, unreadable, prompt
):
    fresh = _ask(replace(town, remember=False), host, prompt, "fresh")
    assert memory.entries() == []
    first = _ask(town, host, "buildings built", "first")
    assert not first.remembered
    unreadable()
    second = _ask(town, host, prompt, "second")
    assert second.remembered
    assert np.array_equal(_scores(second), _scores(fresh))
    assert second.counts == fresh.counts
    assert [r.caption for r in second.regions] == [r.caption for r in fresh.regions]
    assert (second.warnings, second.hidden) == (fresh.warnings, fresh.hidden)
    assert second.alignment == fresh.alignment


def test_areas_have_their_own_memory_and_their_valid_pixels(memory, host, town, unreadable):
    grid = gdal.Open(town.before).GetGeoTransform()
    x, y, size = grid[0], grid[3], grid[1]
    right, bottom = x + 90 * size, y - 60 * size
    area = Area(f"POLYGON (({x} {y}, {right} {y}, {right} {bottom}, {x} {bottom}, {x} {y}))")
    part = replace(town, area=area, extent=None)
    _ask(town, host, "buildings", "whole")
    fresh = _ask(part, host, "buildings", "part")
    assert not fresh.remembered
    unreadable()
    again = _ask(part, host, "buildings", "again")
    assert again.remembered
    assert np.array_equal(_scores(again), _scores(fresh))


@pytest.mark.parametrize(
    "change",
    [{"nodata": "none"}, {"clouds": "off"}, {"align": "auto"}, {"bands_after": (3, 2, 1)}],
)
def test_another_way_of_reading_is_another_pair(memory, host, town, change):
    _ask(town, host, "buildings", "first")
    assert not _ask(replace(town, **change), host, "buildings", "second").remembered


def test_a_changed_raster_is_another_pair(memory, host, town):
    _ask(town, host, "buildings", "first")
    os.utime(town.after, ns=(1, 1))
    assert not _ask(town, host, "buildings", "second").remembered


def test_a_damaged_memory_is_forgotten_and_the_rasters_are_read(memory, host, town):
    first = _ask(town, host, "buildings", "first")
    tile = memory.entries()[0].folder / "0.tile"
    content = bytearray(tile.read_bytes())
    content[len(content) // 2] ^= 255
    tile.write_bytes(content)
    second = _ask(town, host, "buildings", "second")
    assert not second.remembered
    assert np.array_equal(_scores(second), _scores(first))
    assert _ask(town, host, "buildings", "third").remembered


def test_a_cancelled_run_keeps_nothing(memory, host, town):
    count = iter(range(100))
    with pytest.raises(CancelledError):
        pipeline.detect(town, host, cancelled=lambda: next(count) >= 0)
    assert memory.entries() == []
    assert not memory.folder.exists() or list(memory.folder.iterdir()) == []


def test_a_resumed_run_keeps_nothing_since_it_did_not_encode_all_tiles(memory, host, town):
    memory_of_run = Keeping(memory, "a" * 40, coarse=False)
    memory_of_run.drop()
    with host.open("bundled", "cpu") as system:
        date = np.zeros((64, 64, 3), np.uint8)
        memory_of_run.add(system, 1, (date, date), np.ones((64, 64), bool))
    memory_of_run.finish(2, Seen((), None, {}), town)
    assert memory.entries() == []


def test_at_most_48_megabytes_are_kept_of_a_million_pixels(memory, host, town):
    _ask(town, host, "buildings", "first")
    entry = memory.entries()[0]
    assert entry.size == sum(file.stat().st_size for file in entry.folder.glob("*.tile"))
    side = entry.read(0)["classes"].shape[-1] * 4
    per_pixel = entry.size / (len(entry.full) * side**2)
    info = host.info("bundled")
    for width, height in ((4000, 4000), (9000, 5000), (1500, 1300)):
        tiles = plan(width, height, info.tile_size, info.overlap, largest=info.largest_tile)
        assert per_pixel * len(tiles) * tiles.tile_size**2 < 48 * width * height
