# SPDX-License-Identifier: GPL-3.0-or-later
"""Captions for the map: regions, tiles and the scene of a finished detection."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
import worker_systems
from osgeo import ogr

from changescribe.engine.describe.map_captions import _true_of, caption_map, captions_path
from changescribe.engine.describe.request import MapCaptionRequest
from changescribe.engine.detect import pipeline
from changescribe.engine.errors import WeightsError
from changescribe.engine.hosts.base import InProcessHost
from changescribe.engine.request import Area, ChangeRequest, Stage
from changescribe.engine.results.detected import Detected
from changescribe.engine.wording.guard import Facts, Found


@pytest.fixture
def host() -> Iterator[InProcessHost]:
    worker_systems.register_all()
    made = InProcessHost()
    yield made
    made.close()


@pytest.fixture
def run(make_raster, host, tmp_path) -> MapCaptionRequest:
    """128 x 192 pixels of 0.5 m: three bright squares, of 200, 600 and 100 pixels."""
    before = np.full((3, 128, 192), 60, np.uint8)
    after = before.copy()
    after[:, 10:20, 10:30] = 250
    after[:, 10:40, 70:90] = 250
    after[:, 100:110, 150:160] = 250
    detection = ChangeRequest(
        make_raster("before.tif", before),
        make_raster("after.tif", after),
        "buildings built",
        str(tmp_path / "out.gpkg"),
        system="plain",
    )
    result = pipeline.detect(detection, host)
    assert result.count == 3
    return MapCaptionRequest(
        detection, result.run_id, "writes", ("regions", "tiles", "scene"), checked_by="plain"
    )


def kept(path: str) -> list[str]:
    """The captions in the file."""
    source = ogr.Open(path)
    return [feature["caption"] for feature in source.GetLayerByName("captions")]


def test_captions_are_of_the_pixels_that_the_detection_ran_on(make_raster, host, tmp_path) -> None:
    before = np.full((3, 128, 192), 60, np.uint8)
    after = before.copy()
    after[:, 10:40, 70:90] = 250
    detection = ChangeRequest(
        make_raster("b.tif", before, None, ""),
        make_raster("a.tif", after, None, ""),
        "buildings built",
        str(tmp_path / "out.gpkg"),
        system="plain",
    )
    found = []
    for size in (None, 1.0):
        sized = replace(detection, pixel_size=size, overwrite=True)
        result = pipeline.detect(sized, host)
        request = MapCaptionRequest(
            sized, result.run_id, "writes", ("regions", "tiles"), checked_by="plain"
        )
        rows = caption_map(request, host).captions
        assert rows[0].source == "writes"
        west, east, *_ = ogr.CreateGeometryFromWkt(rows[1].place.wkt).GetEnvelope()
        found.append(("of 600 pixels" in rows[0].caption, east - west))
    # The systems know pixels of 0.5 m, in tiles of 64.
    assert found == [(True, 64), (False, 32)]


def test_all_levels_written_checked_and_kept(run, host) -> None:
    written, seen = [], []
    answer = caption_map(run, host, progress=seen.append, captioned=written.append)
    assert [(row.level, row.change_id, row.source) for row in written] == [
        ("regions", 1, "writes"),
        ("regions", 2, "writes"),
        ("regions", 3, "facts"),
        ("tiles", 0, "writes"),
        ("tiles", 0, "writes"),
        ("tiles", 0, "facts"),
        ("scene", 0, "writes"),
    ]
    assert written[0].caption.startswith("A building of 600 pixels is built. New building, 150 m²")
    assert written[2].caption.startswith("New building, 30 m²")  # written to be removed
    assert written[3].caption == "A building of 200 pixels is built. 1 building appeared (50 m²)."
    assert written[-1].caption.startswith(
        "A building of 200 pixels is built. 3 buildings appeared (2"
    )
    assert tuple(written) == answer.captions
    assert "2 of 6 written captions were replaced" in answer.warnings[0]
    assert not answer.partial
    numbers = [p.tile for p in seen if p.stage is Stage.CAPTIONING]
    assert numbers == [1, 2, 3, 4, 5, 6]
    assert answer.path == captions_path(run.detection.output)
    assert kept(answer.path) == [row.caption for row in written]


def test_cancelling_keeps_what_is_there(run, host) -> None:
    written = []
    answer = caption_map(run, host, cancelled=lambda: len(written) == 2, captioned=written.append)
    assert answer.partial
    assert len(answer.captions) == 2
    assert kept(answer.path) == [row.caption for row in written]
    early = caption_map(run, host, cancelled=lambda: True)
    assert (early.partial, early.captions, early.path) == (True, (), "")


def test_a_failure_keeps_what_is_written(run, host) -> None:
    written = []

    def take(row) -> None:
        written.append(row)
        if len(written) == 3:
            raise WeightsError("The weights have gone.")

    with pytest.raises(WeightsError):
        caption_map(run, host, captioned=take)
    assert kept(captions_path(run.detection.output)) == [row.caption for row in written]


def test_a_sentence_of_a_tile_that_is_not_true_of_the_scene_stays_there() -> None:
    sentences = Counter({"Two houses are built.": 3, "Many houses are built.": 2, "Trees grew.": 1})
    twenty = Facts({("building", "appeared"): Found(20, 6000.0)})
    assert _true_of(sentences, twenty) == "Many houses are built."
    assert _true_of(sentences, Facts({("road", "appeared"): Found(1, 900.0)})) == ""
    assert _true_of(sentences, None) == "Two houses are built."


def test_the_facts_alone_need_no_system(run, host) -> None:
    answer = caption_map(replace(run, system="facts", levels=("tiles", "scene")), host)
    assert [row.caption for row in answer.captions[:-1]] == [
        "1 building appeared (50 m²).",
        "1 building appeared (150 m²).",
        "1 building appeared (30 m²).",
    ]
    assert {row.source for row in answer.captions} == {"facts"}
    assert answer.warnings == ()


def test_facts_of_a_place(run) -> None:
    results = Detected(run.detection.output)
    (largest, *_) = results.regions(2)
    assert largest.event == ("building", "appeared")
    xmin, ymin, xmax, ymax = results.extent
    whole = Area(
        f"POLYGON (({xmin} {ymin}, {xmax} {ymin}, {xmax} {ymax}, {xmin} {ymax}, {xmin} {ymin}))"
    )
    found = results.facts(whole).found["building", "appeared"]
    assert found.count == 3
    assert found.area_m2 == pytest.approx(225, rel=0.05)
    assert results.facts(largest.area).found["building", "appeared"].count == 1
    empty = Area("POLYGON ((0 0, 1 0, 1 1, 0 1, 0 0))")
    assert results.facts(empty).found == {}
    assert results.facts(whole, within=empty).found == {}
    assert results.describe(empty) == ""
    assert Found(1, 300.0).max_objects == 6


def test_a_region_that_only_touches_a_place_is_not_in_it(run, capfd) -> None:
    results = Detected(run.detection.output)
    (largest, *_) = results.regions(1)
    region = ogr.CreateGeometryFromWkt(largest.area.wkt)  # owns its rings
    x, y, *_ = min(region.GetGeometryRef(0).GetGeometryRef(0).GetPoints())
    corner = Area(f"POLYGON (({x} {y}, {x - 9} {y - 1}, {x - 9} {y + 1}, {x} {y}))")
    assert results.facts(corner).found == {}
    assert "OGR_G_Area" not in capfd.readouterr().err
