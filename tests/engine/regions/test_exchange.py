# SPDX-License-Identifier: GPL-3.0-or-later
"""Exchanges of one class for another: mask, scores, regions and captions agree."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Callable

import numpy as np
import pytest
from osgeo import gdal
from region_case import Case

from changescribe.engine.detect import pipeline
from changescribe.engine.hosts.base import InProcessHost
from changescribe.engine.prompt import parse
from changescribe.engine.raster.writer import RasterWriter
from changescribe.engine.regions import extraction
from changescribe.engine.regions.exchange import bind
from changescribe.engine.request import ChangeRequest
from changescribe.engine.results.changes_layer import counts_by_key

NAMES = ("building", "road", "tree", "grass")


def test_an_exchange_keeps_what_belongs_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three regions over several strips: roads on trees, roads on grass, trees to roads."""
    monkeypatch.setattr(extraction, "_STRIP_PIXELS", 1)
    monkeypatch.setattr(extraction, "_STRIP_STEP", 8)
    roads, trees = np.zeros((40, 40)), np.full((40, 40), 10)
    before, after = np.full((40, 40), 2), np.full((40, 40), 1)
    roads[2:38, 2:8] = 200
    roads[2:38, 12:18] = 200
    before[2:38, 12:18] = 3  # grass
    before[2:12, 12:18] = 2  # and some trees, which are not the most
    trees[12:18, 12:18] = 150  # less sure of trees than of roads
    trees[4:20, 22:30] = 180
    parsed = parse("trees replaced by roads")
    case = Case(tmp_path, [trees, roads], parsed.queries)
    maps = extraction.ClassMaps(case.raster("b.tif", before), case.raster("a.tif", after), NAMES)
    fitting = str(tmp_path / "fitting.tif")
    with RasterWriter(fitting, case.grid, 2, nodata=255) as writer:
        summary = case.build(classes=maps, partners=parsed.partners, fitting=writer)
        writer.commit()
    mask = case.values()
    assert summary.regions == 2
    assert (mask[2:38, 2:8] == 1).all()
    assert not mask[2:38, 12:18].any()
    assert (mask[4:20, 22:30] == 2).all()
    scores = gdal.Open(fitting).ReadAsArray()
    kept = np.ones((40, 40), dtype=bool)
    kept[2:38, 12:18] = False
    assert (scores == np.array([trees, roads]) * kept).all()
    found = case.extract(class_names=NAMES)
    assert {(shape.region.from_class, shape.region.to_class) for shape in found} == {
        ("tree", "road")
    }
    assert len(found) == 2
    case.score = fitting
    case.build()  # without the rule: the mask of these scores is the same
    assert (case.values() == mask).all()


def test_an_exchange_that_classes_cannot_show_is_not_enforced() -> None:
    parsed, warnings = bind(parse("swimming pools replaced by roads"), NAMES)
    assert parsed.partners == (("roads",), ())
    assert "which roads replaced swimming pools" in warnings[0]
    assert len(warnings) == 1
    same, warnings = bind(parse("trees replaced by roads"), NAMES)
    assert same == parse("trees replaced by roads")
    assert warnings == ()
    assert len(bind(parse("houses replaced by buildings"), NAMES)[1]) == 2
    assert len(bind(parse("trees replaced by roads"), ())[1]) == 2


@pytest.fixture
def exchange(make_raster: Callable[..., str], tmp_path: Path) -> ChangeRequest:
    """A building on grass, one where the class is not known, and grass where one was."""
    before, after = (np.full((3, 200, 300), 60, np.uint8) for _ in range(2))
    before[:, 50:70, 200:240] = 0
    after[:, 50:70, 100:140] = after[:, 50:70, 200:240] = 250
    before[:, 150:170, 200:220] = 250
    return ChangeRequest(
        before=make_raster("before.tif", before),
        after=make_raster("after.tif", after),
        prompt="grass replaced by buildings",
        output=str(tmp_path / "out.gpkg"),
        system="brightness",
    )


def test_an_exchange_keeps_only_what_replaced_it(
    brightness: InProcessHost, exchange: ChangeRequest
) -> None:
    result = pipeline.detect(exchange, brightness)
    assert counts_by_key(result.counts) == {"grass|removed": 0, "buildings|appeared": 1}
    (region,) = result.regions
    assert (region.from_class, region.to_class) == ("grass", "building")
    assert result.caption.startswith("1 building replaced grass (200 m²)")
    mask = gdal.Open(result.mask).ReadAsArray()
    assert np.count_nonzero(mask) == region.area_px == 800
    score = gdal.Open(result.score)
    assert ((score.ReadAsArray() >= 127).any(axis=0) == (mask > 0)).all()
    assert score.GetRasterBand(2).GetDescription() == "buildings|appeared"
    assert score.GetRasterBand(2).GetScale() == pytest.approx(1 / 254)
    assert result.warnings == ()


def test_an_exchange_without_classes_keeps_all_and_warns(
    brightness: InProcessHost, exchange: ChangeRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    system = type(brightness._system("brightness"))
    predict = system.predict
    monkeypatch.setattr(
        system,
        "predict",
        lambda *given: replace(predict(*given), classes_before=None, classes_after=None),
    )
    result = pipeline.detect(exchange, brightness)
    assert counts_by_key(result.counts) == {"grass|removed": 1, "buildings|appeared": 2}
    assert len(result.warnings) == 2
    assert "which buildings replaced grass" in result.warnings[1]
    assert "replaced" not in result.caption
