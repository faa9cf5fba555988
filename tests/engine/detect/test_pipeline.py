# SPDX-License-Identifier: GPL-3.0-or-later
"""From two rasters and a prompt to files, with a system of known answers."""

from __future__ import annotations

import os
import tracemalloc
from dataclasses import replace
from pathlib import Path
from typing import Callable

import numpy as np
import pytest
from detect_case import GEOTRANSFORM, changes, run_row, scene
from osgeo import gdal, ogr, osr

from changescribe.engine.describe.pair import caption
from changescribe.engine.describe.request import CaptionRequest
from changescribe.engine.detect import pipeline
from changescribe.engine.errors import CancelledError, ChangeScribeError, InputError
from changescribe.engine.hosts.base import InProcessHost
from changescribe.engine.raster.area import read_area
from changescribe.engine.regions import extraction
from changescribe.engine.request import Area, ChangeRequest, Extent, Progress, Stage
from changescribe.engine.results.changes_layer import counts_by_key
from changescribe.engine.results.record import from_json

MakeRaster = Callable[..., str]


def test_areas_directions_and_files(brightness: InProcessHost, request_: ChangeRequest) -> None:
    result = pipeline.detect(request_, brightness)

    assert counts_by_key(result.counts) == {"buildings|appeared": 1, "buildings|removed": 1}
    first, second = changes(result.gpkg)
    # UTM's scale at the central meridian is 0.9996: 200 m² on the grid are 200.16 m².
    assert first["area_m2"] == pytest.approx(200 / 0.9996**2, rel=1e-3)
    assert second["area_m2"] == pytest.approx(100 / 0.9996**2, rel=1e-3)
    assert (first["direction"], first["from_class"], first["to_class"]) == (
        "appeared",
        "grass",
        "building",
    )
    assert (second["direction"], second["from_class"], second["to_class"]) == (
        "removed",
        "building",
        "grass",
    )
    assert first["envelope"] == pytest.approx((500050, 500070, 4999965, 4999975), abs=0.36)
    assert first["score"] == pytest.approx((250 - 60) / 255, abs=1 / 254)
    assert (first["date_before"], first["date_after"]) == ("2012-05-04", "2019")
    assert (first["before"], first["status"]) == ("town_2012-05-04.tif", "unreviewed")
    assert first["caption"].startswith("New building, 200 m")

    mask = gdal.Open(result.mask)
    array = mask.ReadAsArray()
    assert (array == 1).sum() == 800
    assert (array == 2).sum() == 400
    assert set(np.unique(array)) == {0, 1, 2}
    score = gdal.Open(result.score)
    assert [score.GetRasterBand(i).GetDescription() for i in (1, 2)] == [
        "buildings|appeared",
        "buildings|removed",
    ]
    assert score.GetRasterBand(1).GetScale() == pytest.approx(1 / 254)
    assert score.ReadAsArray()[0, 60, 120] == round(190 / 255 * 254)
    row = run_row(result.gpkg)
    assert (row["caption"], row["min_area"]) == (result.caption, 20.0)
    assert not [name for name in os.listdir(Path(result.gpkg).parent) if "changescribe-" in name]
    assert not list(Path(result.gpkg).parent.glob("*.aux.xml"))


def test_no_seam_is_visible(
    brightness: InProcessHost, request_: ChangeRequest, make_raster: MakeRaster
) -> None:
    """A smooth field comes back smooth, though it is cut into tiles."""
    ramp = np.linspace(0, 200, 300).astype(np.uint8)
    after = np.broadcast_to(ramp, (3, 200, 300)).copy()
    request = replace(
        request_,
        before=make_raster("b.tif", scene(level=0)),
        after=make_raster("a.tif", after),
        prompt="buildings built",
    )
    result = pipeline.detect(request, brightness)
    score = gdal.Open(result.score).ReadAsArray().astype(float)
    assert np.abs(score - np.rint(after[0] / 255 * 254)).max() <= 1


def test_nothing_found_is_a_result(brightness: InProcessHost, request_: ChangeRequest) -> None:
    request = replace(request_, prompt="buildings built", threshold=0.99)
    result = pipeline.detect(request, brightness)
    assert result.count == 0
    assert result.caption == (
        'No change matching "buildings built" was found in the area analysed.'
    )
    assert changes(result.gpkg) == []


def test_ignored_parts_of_the_prompt_are_reported(
    brightness: InProcessHost, request_: ChangeRequest
) -> None:
    request = replace(request_, prompt="buildings larger than 1 ha built near the river")
    result = pipeline.detect(request, brightness)
    assert counts_by_key(result.counts) == {"buildings|appeared": 1}
    (warning,) = result.warnings
    assert "larger than 1 ha; near the river" in warning
    assert warning in run_row(result.gpkg)["warnings"]


def test_the_same_raster_twice_is_refused(
    brightness: InProcessHost, request_: ChangeRequest, tmp_path: Path
) -> None:
    link = tmp_path / "link.tif"
    link.symlink_to(request_.before)
    for after in (request_.before, str(link), f"{tmp_path}/./{Path(request_.before).name}"):
        with pytest.raises(InputError, match="same raster"):
            pipeline.detect(replace(request_, after=after), brightness)


def test_both_dates_in_one_raster(
    brightness: InProcessHost, request_: ChangeRequest, make_raster: MakeRaster
) -> None:
    roofs = scene()
    roofs[:, 50:70, 100:140] = 250
    both = make_raster("both.tif", np.concatenate([scene(), roofs]))
    request = replace(request_, before=both, after=both, bands_before=(1, 2, 3))
    assert pipeline.detect(replace(request, bands_after=(4, 5, 6)), brightness).count
    with pytest.raises(InputError, match="same raster"):
        pipeline.detect(replace(request, overwrite=True), brightness)


def test_the_share_of_the_area_is_reported_if_it_is_small(
    brightness: InProcessHost, request_: ChangeRequest, make_raster: MakeRaster
) -> None:
    assert pipeline.detect(request_, brightness).share_analysed == 1.0
    holed = scene()
    holed[:, :, :225] = 0
    after = make_raster("holed.tif", holed, nodata=0)
    request = replace(request_, after=after, prompt="buildings built", overwrite=True)
    result = pipeline.detect(request, brightness)
    assert result.share_analysed == pytest.approx(0.25)
    assert any("Analysed: 25% of the" in warning for warning in result.warnings)
    assert result.caption == (
        'No change matching "buildings built" was found in the part that was analysed '
        "(25% of the area)."
    )
    row = run_row(result.gpkg)
    assert row["share_analysed"] == pytest.approx(0.25)
    assert "25%" in row["warnings"]
    # Of what was asked for, not of what the rasters cover.
    outside = replace(request_, extent=Extent(500000, 4999800, 500150, 5000000), overwrite=True)
    assert pipeline.detect(outside, brightness).share_analysed == pytest.approx(0.5)
    half = Area("POLYGON((500100 4999900, 500200 4999900, 500200 5000000, 500100 4999900))")
    result = pipeline.detect(replace(outside, extent=None, area=half), brightness)
    # The triangle's part west of 500150 is a quarter of it.
    assert result.share_analysed == pytest.approx(0.25, rel=0.02)
    world = Area("POLYGON((-180 -90, 180 -90, 180 90, -180 90, -180 -90))", "EPSG:4326")
    result = pipeline.detect(replace(outside, extent=None, area=world), brightness)
    assert result.share_analysed < 1e-6
    assert "less than 1%" in result.caption
    inside = replace(request, extent=Extent(500120, 4999900, 500150, 5000000))
    result = pipeline.detect(inside, brightness)
    assert (result.share_analysed, result.warnings) == (1.0, ())


def test_a_pair_without_valid_pixels_is_refused(
    brightness: InProcessHost, request_: ChangeRequest, make_raster: MakeRaster
) -> None:
    empty = make_raster("empty.tif", scene(level=0), nodata=0)
    with pytest.raises(InputError, match="No pixel in the area to analyse is valid"):
        pipeline.detect(replace(request_, after=empty), brightness)
    assert not Path(request_.output).exists()


def test_a_raster_that_changes_during_the_run_is_reported(
    brightness: InProcessHost, request_: ChangeRequest
) -> None:
    def touch(progress: Progress) -> None:
        if progress.stage is Stage.DETECTING:
            os.utime(request_.after, (1, 1))

    result = pipeline.detect(request_, brightness, progress=touch)
    (warning,) = (text for text in result.warnings if "changed while" in text)
    assert Path(request_.after).name in warning
    assert "changed while" in run_row(result.gpkg)["warnings"]


def test_extent_and_area_of_interest(brightness: InProcessHost, request_: ChangeRequest) -> None:
    left = Extent(500000, 4999900, 500075, 5000000)
    result = pipeline.detect(replace(request_, extent=left), brightness)
    assert counts_by_key(result.counts) == {"buildings|appeared": 1, "buildings|removed": 0}
    assert gdal.Open(result.mask).RasterXSize == 150

    triangle = Area("POLYGON((500000 5000000, 500150 5000000, 500000 4999900, 500000 5000000))")
    request = replace(request_, area=triangle, output=request_.output.replace("out", "aoi"))
    result = pipeline.detect(request, brightness)
    mask = gdal.Open(result.mask).ReadAsArray()
    assert mask[10, 10] == 0
    assert mask[190, 290] == 255
    assert result.area_analysed_m2 == pytest.approx(7500, rel=0.01)


def test_overlapping_polygons_are_one_area(
    brightness: InProcessHost, request_: ChangeRequest, tmp_path: Path
) -> None:
    """Polygons of a layer may overlap, or hold several parts; nothing cancels out."""
    path = str(tmp_path / "areas.gpkg")
    source = ogr.GetDriverByName("GPKG").CreateDataSource(path)
    zone = osr.SpatialReference()
    zone.ImportFromEPSG(32633)
    layer = source.CreateLayer("areas", zone, ogr.wkbUnknown)
    for box in ((500000, 500100), (500050, 500150)):
        left, right = box
        feature = ogr.Feature(layer.GetLayerDefn())
        feature.SetGeometry(
            ogr.CreateGeometryFromWkt(
                f"MULTIPOLYGON((({left} 4999900, {right} 4999900, {right} 5000000, {left} 5000000, "
                f"{left} 4999900)))"
            )
        )
        layer.CreateFeature(feature)
    del feature, layer, source
    result = pipeline.detect(replace(request_, area=read_area(path)), brightness)
    assert not (gdal.Open(result.mask).ReadAsArray() == 255).any()
    assert counts_by_key(result.counts) == {"buildings|appeared": 1, "buildings|removed": 1}


def test_a_finer_raster_comes_back_on_its_own_grid(
    brightness: InProcessHost, request_: ChangeRequest, make_raster: MakeRaster
) -> None:
    before, after = scene(400, 600), scene(400, 600)
    after[:, 100:180, 200:300] = 250
    fine = (500000.0, 0.1, 0.0, 5000000.0, 0.0, -0.1)
    request = replace(
        request_,
        before=make_raster("fine_b.tif", before, geotransform=fine),
        after=make_raster("fine_a.tif", after, geotransform=fine),
        prompt="buildings built",
    )
    result = pipeline.detect(request, brightness)
    mask = gdal.Open(result.mask)
    assert (mask.RasterXSize, mask.RasterYSize) == (600, 400)
    truth = np.zeros((400, 600), bool)
    truth[100:180, 200:300] = True
    found = mask.ReadAsArray() == 1
    assert (found & truth).sum() / (found | truth).sum() > 0.9
    assert changes(result.gpkg)[0]["area_m2"] == pytest.approx(80, rel=0.1)


@pytest.fixture
def plain(request_: ChangeRequest, make_raster: MakeRaster) -> ChangeRequest:
    """Rasters without georeference: 20 x 40 pixels became bright."""
    before, after = scene(), scene()
    after[:, 50:70, 100:140] = 250
    return replace(
        request_,
        before=make_raster("plain_b.tif", before, geotransform=None, crs=""),
        after=make_raster("plain_a.tif", after, geotransform=None, crs=""),
    )


def test_without_georeference(brightness: InProcessHost, plain: ChangeRequest) -> None:
    result = pipeline.detect(replace(plain, min_area=1e6), brightness)
    assert any("minimum area" in warning for warning in result.warnings)
    (row,) = changes(result.gpkg)
    assert row["envelope"] == pytest.approx((100, 140, -70, -50), abs=0.71)
    assert row["area_m2"] is None
    assert row["area_px"] == 800
    assert run_row(result.gpkg)["min_area"] is None
    assert "m²" not in row["caption"]


def test_the_pixel_size_that_the_user_set(
    brightness: InProcessHost, plain: ChangeRequest, request_: ChangeRequest
) -> None:
    """It sets the pixels of the system; results stay on those of BEFORE."""
    tiles = []
    for size in (None, 2.0):
        seen: list[Progress] = []
        sized = replace(plain, pixel_size=size, overwrite=True)
        result = pipeline.detect(sized, brightness, seen.append)
        tiles.append(max(progress.tiles for progress in seen))
    assert tiles[0] < tiles[1]
    (row,) = changes(result.gpkg)
    assert row["envelope"] == pytest.approx((100, 140, -70, -50), abs=1.5)
    assert row["area_px"] == pytest.approx(800, rel=0.05)
    assert row["area_m2"] is None
    assert not any("not known" in warning for warning in result.warnings)
    run = run_row(result.gpkg)
    assert (run["pixel_size"], run["told_pixel_size"]) == (None, 2.0)
    again = from_json(run["request"], result.gpkg, overwrite=True)
    assert again == replace(plain, pixel_size=2.0, overwrite=True), (
        "the table says how to repeat the run"
    )
    known = pipeline.detect(replace(request_, pixel_size=2.0, overwrite=True), brightness)
    assert run_row(known.gpkg)["told_pixel_size"] is None


def test_a_crs_that_the_user_assigned(
    brightness: InProcessHost, request_: ChangeRequest, make_raster: MakeRaster
) -> None:
    """The file of AFTER is in zone 34; the user sets zone 33."""
    after = scene()
    after[:, 50:70, 100:140] = 250
    path = make_raster("wrong_crs.tif", after, crs="EPSG:32634")
    request = replace(request_, after=path, prompt="buildings built")
    with pytest.raises(InputError, match="overlap"):
        pipeline.detect(request, brightness)
    request = replace(request, crs_after="EPSG:32633")
    assert pipeline.detect(request, brightness).count == 1
    with pytest.raises(InputError, match="coordinate reference system"):
        pipeline.detect(replace(request, crs_after="nonsense", overwrite=True), brightness)


def test_progress_rises_to_one_and_names_tiles(
    brightness: InProcessHost, request_: ChangeRequest
) -> None:
    seen: list[Progress] = []
    pipeline.detect(request_, brightness, seen.append)
    fractions = [progress.fraction for progress in seen]
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1.0
    assert max(progress.tiles for progress in seen) == 4 * 6


def test_the_weights_are_loaded_once(brightness: InProcessHost, request_: ChangeRequest) -> None:
    pipeline.detect(request_, brightness)
    system = brightness._system("brightness")
    pipeline.detect(replace(request_, overwrite=True), brightness)
    assert brightness._system("brightness") is system
    assert system.calls == 2 * 8  # 24 tiles by three, twice, by the same object


def test_cancel_keeps_what_is_finished(brightness: InProcessHost, request_: ChangeRequest) -> None:
    seen: list[Progress] = []

    def stop() -> bool:
        # Of the four rows of six tiles the first two are done.
        return bool(seen) and seen[-1].tile >= 13

    result = pipeline.detect(request_, brightness, seen.append, stop)
    assert result.partial
    assert counts_by_key(result.counts)["buildings|appeared"] == 1
    mask = gdal.Open(result.mask).ReadAsArray()
    assert mask[0, 0] == 0
    assert mask[199, 299] == 255
    assert run_row(result.gpkg)["partial"] == 1


@pytest.mark.parametrize("tiles", [0, 3])
def test_cancel_before_anything_leaves_nothing(
    brightness: InProcessHost, request_: ChangeRequest, tiles: int
) -> None:
    """A row of six tiles blends with the next one: until it is done there is nothing to keep."""
    seen: list[Progress] = []
    with pytest.raises(CancelledError):
        pipeline.detect(request_, brightness, seen.append, lambda: seen[-1].tile > tiles)
    assert sorted(os.listdir(Path(request_.output).parent)) == [
        "town_2012-05-04.tif",
        "town_2019.tif",
    ]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"before": "missing.tif"}, "missing.tif"),
        ({"before": __file__}, "raster"),
        ({"prompt": "  "}, "prompt"),
        ({"prompt": "built"}, "built"),
        ({"output": "out.shp"}, "GeoPackage"),
        ({"output": "/nowhere/out.gpkg"}, "does not exist"),
        ({"threshold": 1.5}, "threshold"),
        ({"min_area": -1.0}, "minimum area"),
        ({"date_before": "yesterday"}, "date"),
        ({"date_after": "2019-02-31"}, "date"),
        ({"device": "tpu"}, "device"),
        ({"system": "nothing"}, "nothing"),
        ({"extent": Extent(0, 0, 10, 10)}, "extent"),
        ({"extent": Extent(0, 0, 1, 1, "EPSG:99999999")}, "coordinate reference system"),
        ({"crs": "nonsense"}, "coordinate reference system"),
        ({"bands_before": (7,)}, "band"),
        ({"area": Area("POINT(0 0)")}, "area of interest"),
    ],
)
def test_bad_input_is_an_error_and_leaves_nothing(
    brightness: InProcessHost, request_: ChangeRequest, change: dict, words: str
) -> None:
    folder = Path(request_.output).parent
    present = sorted(os.listdir(folder))
    with pytest.raises(ChangeScribeError) as error:
        pipeline.detect(replace(request_, **change), brightness)
    assert words.lower() in str(error.value).lower()
    assert error.value.hint
    assert error.value.exit_code == 2
    assert sorted(os.listdir(folder)) == present


def test_an_unused_graphics_card_gets_a_warning(
    brightness: InProcessHost, request_: ChangeRequest
) -> None:
    result = pipeline.detect(replace(request_, device="cuda"), brightness)
    assert any("graphics card was not used" in warning for warning in result.warnings)


def test_memory_does_not_grow_with_the_raster(
    brightness: InProcessHost,
    request_: ChangeRequest,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Four times the rows, the same peak of what numpy allocates."""
    # Strips for the regions hold 16 million pixels; both rasters here have less.
    monkeypatch.setattr(extraction, "_STRIP_PIXELS", 1 << 20)
    system = brightness._system("brightness")
    system.info = replace(system.info, tile_size=512, overlap=64)
    peaks = []
    for height in (1024, 4096):
        paths = [str(tmp_path / f"{name}_{height}.tif") for name in ("before", "after")]
        for path in paths:
            raster = gdal.GetDriverByName("GTiff").Create(
                path, 2048, height, 1, gdal.GDT_Byte, ["SPARSE_OK=TRUE", "TILED=YES"]
            )
            raster.SetGeoTransform(GEOTRANSFORM)
            raster.SetProjection("EPSG:32633")
            del raster
        request = replace(
            request_,
            before=paths[0],
            after=paths[1],
            prompt="buildings built",
            output=str(tmp_path / f"{height}.gpkg"),
        )
        tracemalloc.start()
        pipeline.detect(request, brightness)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.2 * peaks[0]


def test_a_box_of_a_rotated_raster_is_captioned_alone(
    brightness: InProcessHost, make_raster: MakeRaster
) -> None:
    turned = (500000.0, 0.4, 0.3, 5000000.0, 0.3, -0.4)
    before, after = scene(), scene()
    after[:, 50:70, 100:140] = 250
    pair = (
        make_raster("turned_b.tif", before, geotransform=turned),
        make_raster("turned_a.tif", after, geotransform=turned),
    )
    boxes = ((90, 40, 150, 80), (0, 80, 90, 200))
    request = CaptionRequest(*pair, boxes, system="brightness")
    there, beside = caption(request, brightness)
    assert "1 building appeared" in there.caption
    assert "No change" in beside.caption


def test_anything_asks_for_every_class(brightness: InProcessHost, request_: ChangeRequest) -> None:
    result = pipeline.detect(replace(request_, prompt="anything changed"), brightness)
    assert [str(query) for query in result.parse.queries] == [
        "buildings|appeared",
        "buildings|removed",
        "grass|appeared",
        "grass|removed",
    ]
