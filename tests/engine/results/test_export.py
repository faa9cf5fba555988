# SPDX-License-Identifier: GPL-3.0-or-later
"""The GeoPackage of a run and its exports, read back with OGR."""

from __future__ import annotations

import csv
import errno
import json
import sqlite3
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from osgeo import gdal, ogr

from changescribe.engine.errors import InputError, OutputError
from changescribe.engine.raster.support import spatial_reference
from changescribe.engine.regions.facts import RegionShape
from changescribe.engine.regions.outline import to_wkb
from changescribe.engine.request import ParsedPrompt, Query, QueryCount, Region
from changescribe.engine.results import changes_layer
from changescribe.engine.results import export as export_module
from changescribe.engine.results.changes_layer import (
    CHANGE_FIELDS,
    ChangesWriter,
    RunInfo,
    WrittenChanges,
    layer_crs,
)
from changescribe.engine.results.export import SHAPEFILE_NAMES, cut_text, export, shapefile_names

UTM33 = spatial_reference("EPSG:32633").ExportToWkt()
QUERIES = (Query("roads", "appeared"), Query("trees", "removed"))
PROMPT = "Straßen gebaut, Bäume gefällt"


def info(prompt: str = PROMPT, **change: object) -> RunInfo:
    facts: dict[str, object] = {
        "run_id": "run-1",
        "prompt": prompt,
        "parsed": ParsedPrompt(prompt, QUERIES),
        "before": "/data/österreich_2012.tif",
        "after": "/data/österreich_2019.tif",
        "date_before": "2012",
        "date_after": None,
        "system": "bundled",
        "revision": "1",
        "pixel_size": 0.5,
    }
    return RunInfo(**{**facts, **change})


def shape(query: int, area: float, score: float = 0.8, position: str = "north") -> RegionShape:
    left = 500000.0 + area
    square = np.array([[left, 5e6], [left + 10, 5e6], [left + 10, 5e6 + 10], [left, 5e6 + 10]])
    region = Region(
        0,
        QUERIES[query].object,
        QUERIES[query].direction,
        None,
        None,
        score,
        area,
        int(area * 4),
        None,
        position,
        (left, 5e6, left + 10, 5e6 + 10),
    )
    return RegionShape(query, to_wkb([[square]]), region)


def write(path: Path, run: RunInfo | None = None, crs: str = UTM33) -> WrittenChanges:
    with ChangesWriter(str(path), crs, run or info()) as out:
        for item in (shape(0, 100.0), shape(1, 300.0, 0.6, "south"), shape(0, 200.0, 0.9)):
            out.add(item)
        return out.finish(device="CPU", seconds=2.5, area_analysed_m2=1e6, warnings=("so",))


def rows(path: Path, layer: str | int = 0) -> list[dict[str, object]]:
    source = gdal.OpenEx(str(path), gdal.OF_VECTOR)
    return [json.loads(f.ExportToJson())["properties"] for f in source.GetLayer(layer)]


@pytest.fixture
def gpkg(tmp_path: Path) -> Path:
    write(tmp_path / "out.gpkg")
    return tmp_path / "out.gpkg"


# ---- GeoPackage ----


def test_regions_are_numbered_by_falling_area(tmp_path: Path) -> None:
    written = write(tmp_path / "out.gpkg")
    found = rows(tmp_path / "out.gpkg", "changes")
    assert [(row["change_id"], row["area_m2"]) for row in found] == [(1, 300), (2, 200), (3, 100)]
    assert [region.change_id for region in written.regions] == [1, 2, 3]
    assert written.count == 3
    assert written.counts == (
        QueryCount("roads", "appeared", 2, 300.0),
        QueryCount("trees", "removed", 1, 300.0),
    )
    assert written.caption == (
        "2 roads appeared (300 m²), all in the north; trees disappeared in 1 place (300 m²), "
        "in the south."
    )


def test_what_lies_along_a_new_line_is_counted(tmp_path: Path) -> None:
    with ChangesWriter(str(tmp_path / "out.gpkg"), UTM33, info()) as out:
        beside = shape(0, 100.0)
        out.add(replace(beside, region=replace(beside.region, along="streets")))
        out.add(shape(0, 200.0))
        written = out.finish()
    assert written.caption == (
        "2 roads appeared (300 m²), all in the north, 1 of them along a new street; "
        "no trees disappeared."
    )
    assert "along a new street" in rows(tmp_path / "out.gpkg", "changes")[1]["caption"]


def test_schema_of_the_contract(gpkg: Path) -> None:
    source = gdal.OpenEx(str(gpkg), gdal.OF_VECTOR)
    layer = source.GetLayerByName("changes")
    names = [layer.GetLayerDefn().GetFieldDefn(i).GetName() for i in range(19)]
    assert (
        names
        == (
            "change_id prompt object direction from_class to_class score area_m2 area_px caption "
            "before after date_before date_after system revision run_id created status"
        ).split()
    )
    assert layer.GetGeomType() == ogr.wkbMultiPolygon
    assert layer.GetSpatialRef().IsSame(spatial_reference("EPSG:32633"))
    assert source.GetLayerByName("runs").GetGeomType() == ogr.wkbNone
    row = rows(gpkg, "changes")[0]
    assert row["prompt"] == PROMPT
    assert row["before"] == "österreich_2012.tif"
    assert row["caption"] == "Trees cleared, 300 m², in the south."
    assert (row["date_before"], row["date_after"], row["status"]) == ("2012", None, "unreviewed")
    assert row["run_id"] == "run-1"


def test_row_of_the_run(gpkg: Path) -> None:
    (run,) = rows(gpkg, "runs")
    assert run["before"] == "/data/österreich_2012.tif"
    assert json.loads(run["counts"]) == {"roads|appeared": 2, "trees|removed": 1}
    assert json.loads(run["areas_m2"]) == {"roads|appeared": 300.0, "trees|removed": 300.0}
    assert json.loads(run["parse"])["queries"][1] == {"object": "trees", "direction": "removed"}
    assert json.loads(run["warnings"]) == ["so"]
    assert (run["count"], run["partial"], run["seconds"], run["device"]) == (3, 0, 2.5, "CPU")
    assert run["area_analysed_m2"] == 1e6


def test_empty_and_partial(tmp_path: Path) -> None:
    path = tmp_path / "out.gpkg"
    with ChangesWriter(str(path), "", info(pixel_size=None)) as out:
        written = out.finish(partial=True)
    assert written.counts == (
        QueryCount("roads", "appeared", 0),
        QueryCount("trees", "removed", 0),
    )
    assert rows(path, "changes") == []
    (run,) = rows(path, "runs")
    assert run["partial"] == 1
    assert run["areas_m2"] is None
    assert "stopped" in run["caption"]


def test_no_crs_is_undefined_not_degrees(tmp_path: Path) -> None:
    write(tmp_path / "out.gpkg", crs="")
    export(str(tmp_path / "out.gpkg"), str(tmp_path / "copy.gpkg"))
    for name in ("out.gpkg", "copy.gpkg"):
        with sqlite3.connect(tmp_path / name) as database:
            (number,) = database.execute("SELECT srs_id FROM gpkg_geometry_columns").fetchone()
        assert number == -1  # undefined Cartesian; 0 would be degrees
    export(str(tmp_path / "out.gpkg"), str(tmp_path / "a.shp"))
    assert not (tmp_path / "a.prj").exists()


def test_existing_output(gpkg: Path) -> None:
    before = gpkg.read_bytes()
    with pytest.raises(InputError, match="exists"):
        ChangesWriter(str(gpkg), UTM33, info())
    with ChangesWriter(str(gpkg), UTM33, info(), overwrite=True):
        pass  # left without an end: the old file stays
    assert gpkg.read_bytes() == before
    with ChangesWriter(str(gpkg), UTM33, info(), overwrite=True) as out:
        out.finish()
    assert rows(gpkg, "changes") == []


def test_an_error_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "out.gpkg"

    def stopped() -> None:
        with ChangesWriter(str(path), UTM33, info()) as out:
            out.add(shape(0, 1.0))
            raise KeyError

    with pytest.raises(KeyError):
        stopped()
    assert list(tmp_path.iterdir()) == []
    monkeypatch.setattr(ogr.Layer, "CreateFeature", lambda *_: 6)
    with pytest.raises(OutputError):
        write(path)
    assert list(tmp_path.iterdir()) == []


def test_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist"):
        ChangesWriter(str(tmp_path / "none" / "out.gpkg"), UTM33, info())


def test_messages_name_the_final_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hidden = tmp_path / ".changescribe-1"
    hidden.mkdir()
    final = str(tmp_path / "run.gpkg")
    monkeypatch.setattr(ogr.Layer, "CreateFeature", lambda *_: 6)
    with ChangesWriter(str(hidden / "changes.gpkg"), UTM33, info(), shown_as=final) as out:
        out.add(shape(0, 1.0))
        with pytest.raises(OutputError) as caught:
            out.finish()
    assert caught.value.message == f'"{final}" could not be written.'
    assert "changescribe-1" not in str(caught.value)


def test_layer_crs() -> None:
    assert layer_crs(UTM33, None) == UTM33
    assert "WGS 84" in layer_crs(UTM33, "EPSG:4326")
    assert layer_crs("", "EPSG:4326") == ""
    with pytest.raises(InputError):
        layer_crs(UTM33, "EPSG:x")


# ---- shapefile ----


def test_shapefile_reads_back(gpkg: Path, tmp_path: Path) -> None:
    assert export(str(gpkg), str(tmp_path / "größe.shp")) == ()
    assert (tmp_path / "größe.cpg").read_text() == "UTF-8"
    names = {path.suffix for path in tmp_path.glob("größe.*")}
    assert names == {".shp", ".shx", ".dbf", ".prj", ".cpg"}
    assert not (tmp_path / "größe_captions.csv").exists()
    found = rows(tmp_path / "größe.shp")
    original = rows(gpkg, "changes")
    for row, expected in zip(found, original):
        assert {SHAPEFILE_NAMES[name]: value for name, value in expected.items()} == row
    source = gdal.OpenEx(str(tmp_path / "größe.shp"), gdal.OF_VECTOR)
    layer = source.GetLayer(0)
    assert layer.GetSpatialRef().GetAttrValue("PROJCS") == "WGS 84 / UTM zone 33N"
    assert layer.GetExtent() == (500100, 500310, 5000000, 5000010)


def test_field_names_fit_and_differ() -> None:
    assert set(SHAPEFILE_NAMES) == {name for name, _ in CHANGE_FIELDS}
    mine = ["date_before_of_survey", "date_before_of_notes", "DATE_BEF", "größe"]
    names = shapefile_names([*mine, *SHAPEFILE_NAMES])
    assert all(len(name) <= 10 and name.isascii() for name in names.values())
    assert len({name.lower() for name in names.values()}) == len(names)
    assert names["date_before"] == "date_bef"


def test_long_texts_are_cut_between_characters_and_kept_beside(tmp_path: Path) -> None:
    prompt = "x" * 253 + "äöü"  # byte 254 is the first half of ä
    write(tmp_path / "out.gpkg", info(prompt))
    (warning,) = export(str(tmp_path / "out.gpkg"), str(tmp_path / "cut.shp"))
    assert "prompt" in warning
    assert "cut_captions.csv" in warning
    assert rows(tmp_path / "cut.shp")[0]["prompt"] == "x" * 253
    with (tmp_path / "cut_captions.csv").open(encoding="utf-8-sig", newline="") as file:
        table = list(csv.DictReader(file))
    assert [row["change_id"] for row in table] == ["1", "2", "3"]
    assert table[0]["prompt"] == prompt
    assert table[0]["caption"] == "Trees cleared, 300 m², in the south."


def test_long_captions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    caption = "Neue Straße, " * 30
    monkeypatch.setattr(changes_layer, "region_caption", lambda *_: caption)
    write(tmp_path / "out.gpkg")
    assert export(str(tmp_path / "out.gpkg"), str(tmp_path / "a.shp"))
    short = rows(tmp_path / "a.shp")[0]["caption"]
    assert caption.startswith(short)
    assert 250 < len(short.encode()) <= 254
    with (tmp_path / "a_captions.csv").open(encoding="utf-8-sig", newline="") as file:
        assert next(csv.DictReader(file))["caption"] == caption


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r"])
def test_no_cell_is_a_formula(start: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    caption = f"{start}HYPERLINK(1) " + "x" * 300
    monkeypatch.setattr(changes_layer, "region_caption", lambda *_: caption)
    write(tmp_path / "out.gpkg", info(f"{start}roads built"))
    export(str(tmp_path / "out.gpkg"), str(tmp_path / "a.shp"))
    with (tmp_path / "a_captions.csv").open(encoding="utf-8-sig", newline="") as file:
        row = next(csv.DictReader(file))
    assert row["caption"] == "'" + caption
    assert row["prompt"] == f"'{start}roads built"


def test_text_fields_are_as_wide_as_the_texts(gpkg: Path, tmp_path: Path) -> None:
    export(str(gpkg), str(tmp_path / "a.shp"))
    source = gdal.OpenEx(str(tmp_path / "a.shp"), gdal.OF_VECTOR)
    layer = source.GetLayer(0).GetLayerDefn()
    widths = {layer.GetFieldDefn(i).GetName(): layer.GetFieldDefn(i).GetWidth() for i in range(19)}
    assert widths["prompt"] == len(PROMPT.encode())
    assert widths["direction"] == len("appeared")
    assert widths["date_aft"] == 1  # no date is known
    assert widths["area_m2"] == 20


@pytest.mark.parametrize("name", ["a.shp", "a.geojson"])
def test_areas_are_written_to_a_tenth(tmp_path: Path, name: str) -> None:
    with ChangesWriter(str(tmp_path / "out.gpkg"), UTM33, info()) as out:
        out.add(shape(0, 123.456789))
        out.finish()
    export(str(tmp_path / "out.gpkg"), str(tmp_path / name))
    assert rows(tmp_path / name)[0]["area_m2"] == 123.5
    assert rows(tmp_path / "out.gpkg", "changes")[0]["area_m2"] == 123.456789


def test_cut_text() -> None:
    assert cut_text("äöü", 5) == "äö"
    assert cut_text("äöü", 6) == "äöü"
    assert cut_text("a\U0001f333", 4) == "a"


@pytest.mark.parametrize(
    "present", ["a.shp", "a.dbf", "a.shx", "a.prj", "a.cpg", "a.qix", "a_captions.csv"]
)
def test_any_part_of_a_shapefile_is_kept_unless_overwritten(
    gpkg: Path, tmp_path: Path, present: str
) -> None:
    (tmp_path / present).write_text("old")
    with pytest.raises(InputError, match=f"{present}.* already exists"):
        export(str(gpkg), str(tmp_path / "a.shp"))
    assert (tmp_path / present).read_text() == "old"
    assert len(list(tmp_path.iterdir())) == 2
    export(str(gpkg), str(tmp_path / "a.geojson"))
    assert (tmp_path / present).read_text() == "old"


def test_overwriting_takes_the_old_parts_away(gpkg: Path, tmp_path: Path) -> None:
    target = tmp_path / "a.shp"
    (tmp_path / "a_captions.csv").write_text("old")
    (tmp_path / "a.qix").write_text("old index")
    (tmp_path / "a_notes.csv").write_text("mine")
    export(str(gpkg), str(target), overwrite=True)
    assert not (tmp_path / "a_captions.csv").exists()
    assert not (tmp_path / "a.qix").exists()
    assert (tmp_path / "a_notes.csv").read_text() == "mine"
    export(str(gpkg), str(target), overwrite=True)
    assert len(rows(target)) == 3


def test_too_large_for_a_shapefile(
    gpkg: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export_module, "_SHAPEFILE_BYTES", 100)
    with pytest.raises(OutputError, match="2 GB"):
        export(str(gpkg), str(tmp_path / "a.shp"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.gpkg"]


# ---- other formats ----


def test_geojson_is_wgs84(gpkg: Path, tmp_path: Path) -> None:
    export(str(gpkg), str(tmp_path / "a.geojson"))
    content = json.loads((tmp_path / "a.geojson").read_text(encoding="utf-8"))
    assert "crs" not in content
    first = content["features"][0]
    ring = first["geometry"]["coordinates"][0]
    ring = ring[0] if isinstance(ring[0][0], list) else ring
    assert ring[0][0] == pytest.approx(15.0038, abs=1e-4)
    assert ring[0][1] == pytest.approx(45.1535, abs=1e-4)
    assert first["properties"]["prompt"] == PROMPT


def test_geojson_without_georeference(tmp_path: Path) -> None:
    write(tmp_path / "out.gpkg", crs="")
    (warning,) = export(str(tmp_path / "out.gpkg"), str(tmp_path / "a.geojson"))
    assert "no CRS" in warning
    content = json.loads((tmp_path / "a.geojson").read_text(encoding="utf-8"))
    assert content["bbox"][0] == 500100


def test_geopackage(gpkg: Path, tmp_path: Path) -> None:
    export(str(gpkg), str(tmp_path / "b.gpkg"), min_score=0.7)
    assert [row["change_id"] for row in rows(tmp_path / "b.gpkg", "changes")] == [2, 3]
    assert rows(tmp_path / "b.gpkg", "runs") == rows(gpkg, "runs")


def test_filters(gpkg: Path, tmp_path: Path) -> None:
    source = gdal.OpenEx(str(gpkg), gdal.OF_VECTOR | gdal.OF_UPDATE)
    source.ExecuteSQL("UPDATE changes SET status = 'it''s fine' WHERE change_id = 2")
    del source
    export(str(gpkg), str(tmp_path / "a.geojson"), statuses=["it's fine"])
    assert [row["change_id"] for row in rows(tmp_path / "a.geojson")] == [2]


@pytest.mark.parametrize("name", ["a.txt", "a", "a.kml"])
def test_unknown_format(gpkg: Path, tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError) as caught:
        export(str(gpkg), str(tmp_path / name))
    assert ".shp" in caught.value.hint


def test_bad_sources(gpkg: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be opened"):
        export(str(tmp_path / "none.gpkg"), str(tmp_path / "a.shp"))
    export(str(gpkg), str(tmp_path / "a.shp"))
    with pytest.raises(InputError, match="no layer"):
        export(str(tmp_path / "a.shp"), str(tmp_path / "b.geojson"))
    with pytest.raises(InputError, match="overwrite its source"):
        export(str(gpkg), str(gpkg), overwrite=True)


def test_unwritable(gpkg: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist"):
        export(str(gpkg), str(tmp_path / "none" / "a.shp"))


@pytest.mark.parametrize("name", ["a.shp", "a.geojson", "a.gpkg"])
def test_a_failed_write_names_the_requested_file(
    gpkg: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(ogr.Layer, "CreateFeature", lambda *_: 6)
    with pytest.raises(OutputError) as caught:
        export(str(gpkg), str(tmp_path / name))
    assert caught.value.message == f'"{tmp_path / name}" could not be written.'
    assert [path.name for path in tmp_path.iterdir()] == ["out.gpkg"]


def test_a_full_disk_beside_gdal(
    gpkg: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(OutputError) as caught:
        export(str(gpkg), str(tmp_path / "a.shp"))
    assert "disk is full" in caught.value.hint


def test_a_file_in_use_is_an_error(
    gpkg: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Windows locks a file that is open in QGIS."""
    export(str(gpkg), str(tmp_path / "a.shp"))

    def locked(self: Path, missing_ok: bool = False) -> None:
        raise PermissionError(errno.EACCES, "in use", str(self))

    monkeypatch.setattr(Path, "unlink", locked)
    with pytest.raises(OutputError, match="in use") as caught:
        export(str(gpkg), str(tmp_path / "a.shp"), overwrite=True)
    assert "layer" in caught.value.hint
    assert len(rows(tmp_path / "a.shp")) == 3


def test_results_locked_by_another_program(gpkg: Path, tmp_path: Path) -> None:
    connection = sqlite3.connect(gpkg, isolation_level=None)
    connection.execute("BEGIN EXCLUSIVE")
    with pytest.raises(InputError, match="is in use"):
        export(str(gpkg), str(tmp_path / "a.shp"))
    connection.close()


def test_a_folder_in_the_way_of_an_export(gpkg: Path, tmp_path: Path) -> None:
    for name in ("a.shp", "a.dbf"):
        (tmp_path / name).mkdir()
        with pytest.raises(InputError, match="is a folder"):
            export(str(gpkg), str(tmp_path / "a.shp"), overwrite=True)
        (tmp_path / name).rmdir()


def test_a_path_without_a_name() -> None:
    with pytest.raises(InputError):
        export("/", "/a.shp")
