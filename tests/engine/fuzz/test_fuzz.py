# SPDX-License-Identifier: GPL-3.0-or-later
# ruff: noqa: S608 - its own statements
"""Whatever the input: an answer, or an error that the user can read. Never a traceback."""

from __future__ import annotations

import itertools
import json
import math
import shutil
import sqlite3
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from osgeo import gdal

from changescribe.engine.cli.commands import read_boxes
from changescribe.engine.detect.pipeline import detect
from changescribe.engine.errors import ChangeScribeError, InputError
from changescribe.engine.hosts.base import InProcessHost
from changescribe.engine.paths import MODELS
from changescribe.engine.prompt import compose, notes, parse
from changescribe.engine.raster.area import read_area
from changescribe.engine.request import Area, ChangeRequest, Extent
from changescribe.engine.results.detected import Detected
from changescribe.engine.results.export import export
from changescribe.engine.systems.bundled import BundledSystem

from ..conftest import BrightnessSystem

RECIPE_KEYS = (
    "name", "task", "seed", "steps", "batch_size", "optimiser", "schedule", "data", "loss", "model",
    "augment", "validation", "start_from", "blend_with", "processes", "crop", "terms",
)  # fmt: skip
numbers = itertools.count()
odd_numbers = st.one_of(
    st.sampled_from(
        [0.0, -0.0, 1.0, -1.0, 0.5, 180.0, -180.0, 360.0, 1e12, -1e12, 1e-12, 1e300, 5e-324]
    ),
    st.sampled_from([math.nan, math.inf, -math.inf]),
    st.floats(width=64),
)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
    ),
    max_leaves=12,
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fuzz")


@pytest.fixture(scope="module")
def host() -> InProcessHost:
    host = InProcessHost()
    host._systems["brightness"] = BrightnessSystem()
    return host


def outcome(use: Callable[..., Any], *arguments: Any) -> tuple[Any, ChangeScribeError | None]:
    """Return what a call returned, or the error that the user reads."""
    try:
        return use(*arguments), None
    except ChangeScribeError as error:
        return None, error


def unused(folder: Path, ending: str) -> str:
    """Return a path that no case before has used."""
    return str(folder / f"{next(numbers)}{ending}")


def write_raster(
    path: str, array: np.ndarray, geotransform: tuple[float, ...] | None, crs: str = ""
) -> str:
    bands, height, width = array.shape
    code = gdal.GDT_Byte if array.dtype == np.uint8 else gdal.GDT_Float64
    raster = gdal.GetDriverByName("GTiff").Create(path, width, height, bands, code)
    if geotransform is not None:
        raster.SetGeoTransform(geotransform)
    if crs:
        raster.SetProjection(crs)
    raster.WriteArray(array)
    return path


# --- prompts ---------------------------------------------------------------------------------

words = st.sampled_from(
    "roads built buildings removed trees gone and or not , ; . ( ) near the river new no a from to "
    "replaced by more than anything changed Straßen gebaut bâtiments détruits 建筑 \u0000 \u202e "
    "\ud800 ' \" % {} \\ = - 1 2 -> <b> &".split(" ")
)
prompts = st.text(max_size=300) | st.lists(words, max_size=60).map(" ".join)


@given(prompts)
def test_prompts(text: str) -> None:
    parsed, error = outcome(parse, text)
    shown = str(error)
    if error is None:
        assert parsed.queries or parsed.anything
        shown = " ".join([compose(parsed), *notes(parsed), *(q.object for q in parsed.queries)])
    assert not [c for c in shown if unicodedata.category(c) in ("Cc", "Cs")]


# --- rasters ---------------------------------------------------------------------------------

geotransforms = st.one_of(
    st.none(),
    st.tuples(*[odd_numbers] * 6),
    st.tuples(odd_numbers, st.just(1.0), st.just(0.0), odd_numbers, st.just(0.0), st.just(-1.0)),
)
crs = st.sampled_from(
    [
        "",
        "EPSG:4326",
        "EPSG:32633",
        "EPSG:3857",
        "EPSG:4978",
        "EPSG:4979",
        "EPSG:5773",
        'LOCAL_CS["site",UNIT["metre",1]]',
        "+proj=ob_tran +o_proj=longlat +o_lon_p=-162 +o_lat_p=39.25 +lon_0=180",
        "+proj=longlat +pm=paris",
        "+proj=utm +zone=33 +units=us-ft",
        "+proj=geos +h=35785831",
        "nonsense",
    ]
)


def as_wkt(text: str) -> str:
    from osgeo import osr

    reference = osr.SpatialReference()
    try:
        return reference.ExportToWkt() if reference.SetFromUserInput(text) == 0 else ""
    except RuntimeError:
        return ""


@given(
    before=geotransforms,
    after=geotransforms | st.just("same"),
    crs_before=crs,
    crs_after=crs | st.just("same"),
    extent=st.none() | st.tuples(*[odd_numbers] * 4),
    size=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    values=odd_numbers,
    pixel_size=st.none() | odd_numbers,
    min_area=st.none() | odd_numbers,
)
def test_headers(folder: Path, host: InProcessHost, **case: Any) -> None:
    dtype = np.uint8 if 0 <= case["values"] <= 255 else np.float64
    array = np.full((3, *case["size"]), case["values"], dtype)
    later = case["before"] if case["after"] == "same" else case["after"]
    later_crs = case["crs_before"] if case["crs_after"] == "same" else case["crs_after"]
    request = ChangeRequest(
        write_raster(unused(folder, ".tif"), array, case["before"], as_wkt(case["crs_before"])),
        write_raster(unused(folder, ".tif"), array, later, as_wkt(later_crs)),
        "buildings built",
        unused(folder, ".gpkg"),
        "brightness",
        extent=None if case["extent"] is None else Extent(*case["extent"]),
        pixel_size=case["pixel_size"],
        min_area=case["min_area"],
    )
    result, error = outcome(detect, request, host)
    assert (error is None) == Path(request.output).exists()
    if result is not None:
        Detected(result.gpkg)


@given(start=st.integers(0, 400), content=st.binary(max_size=200), cut=st.integers(0, 5000))
def test_damaged_rasters(
    folder: Path, host: InProcessHost, start: int, content: bytes, cut: int
) -> None:
    array = np.arange(3 * 20 * 20, dtype=np.uint8).reshape(3, 20, 20)
    place = (500000.0, 1.0, 0.0, 5e6, 0.0, -1.0)
    before = write_raster(unused(folder, ".tif"), array, place, as_wkt("EPSG:32633"))
    after = write_raster(unused(folder, ".tif"), array, place, as_wkt("EPSG:32633"))
    data = Path(after).read_bytes()
    data = data[:start] + content + data[start + len(content) :]
    Path(after).write_bytes(data[: max(1, len(data) - cut)])
    # Sizes that the header declares may be huge: what is analysed is the overlap with BEFORE.
    request = ChangeRequest(before, after, "trees", unused(folder, ".gpkg"), "brightness")
    _, error = outcome(detect, request, host)
    assert (error is None) == Path(request.output).exists()


# --- areas of interest -----------------------------------------------------------------------

positions = st.tuples(odd_numbers, odd_numbers).map(list)
rings = st.lists(positions, max_size=6)
geometries = st.fixed_dictionaries(
    {
        "type": st.sampled_from(["Polygon", "MultiPolygon", "Point", "GeometryCollection", "x"]),
        "coordinates": st.lists(rings, max_size=3) | json_values,
    }
)


@given(
    st.fixed_dictionaries(
        {
            "type": st.just("FeatureCollection"),
            "features": st.lists(
                st.fixed_dictionaries(
                    {"type": st.just("Feature"), "properties": json_values, "geometry": geometries}
                ),
                max_size=3,
            ),
        }
    )
    | json_values
)
def test_area_files(folder: Path, content: Any) -> None:
    path = Path(unused(folder, ".geojson"))
    path.write_text(json.dumps(content), encoding="utf-8")
    area, error = outcome(read_area, str(path))
    assert error is not None or area.wkt


@given(
    wkt=st.text(max_size=60)
    | st.lists(st.tuples(odd_numbers, odd_numbers), min_size=1, max_size=8).map(
        lambda ring: f"POLYGON(({', '.join(f'{x} {y}' for x, y in ring)}))"
    ),
    crs=crs | st.none() | st.text(max_size=20),
)
def test_areas(folder: Path, host: InProcessHost, wkt: str, crs: str | None) -> None:
    array = np.zeros((3, 20, 20), np.uint8)
    place = (500000.0, 1.0, 0.0, 5e6, 0.0, -1.0)
    names = [folder / "area_before.tif", folder / "area_after.tif"]
    for name, level in zip(names, (10, 200), strict=True):
        if not name.exists():
            write_raster(str(name), array + np.uint8(level), place, as_wkt("EPSG:32633"))
    before, after = map(str, names)
    output = unused(folder, ".gpkg")
    request = ChangeRequest(before, after, "buildings", output, "brightness", area=Area(wkt, crs))
    _, error = outcome(detect, request, host)
    assert (error is None) == Path(output).exists()


# --- results ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def results(folder: Path, host: InProcessHost) -> Path:
    array = np.zeros((3, 60, 60), np.uint8)
    place = (500000.0, 1.0, 0.0, 5e6, 0.0, -1.0)
    before = write_raster(str(folder / "before.tif"), array, place, as_wkt("EPSG:32633"))
    array[:, 10:30, 10:30] = 250
    after = write_raster(str(folder / "after.tif"), array, place, as_wkt("EPSG:32633"))
    request = ChangeRequest(before, after, "buildings built", str(folder / "r.gpkg"), "brightness")
    return Path(detect(request, host).gpkg)


tables = st.sampled_from(["changes", "runs", "gpkg_contents", "gpkg_geometry_columns"])
values = st.sampled_from(
    ["NULL", "''", "'x'", "-1", "1e999", "x'00'", "'{'", "'[]'", "'{\"queries\": 1}'", "x'ffff'"]
)


@given(
    table=tables,
    what=st.sampled_from(["drop", "empty", "column", "value", "cut", "noise"]),
    column=st.integers(0, 30),
    value=values,
    place=st.integers(0, 90_000),
    noise=st.binary(max_size=64),
)
def test_result_files(folder: Path, results: Path, **case: Any) -> None:
    path = Path(unused(folder, ".gpkg"))
    shutil.copyfile(results, path)
    if case["what"] in ("cut", "noise"):
        content = path.read_bytes()
        kept = b"" if case["what"] == "cut" else content[case["place"] + len(case["noise"]) :]
        path.write_bytes(content[: case["place"]] + case["noise"] + kept)
    else:
        spoil(path, **case)
    for use in (read_all, lambda name: export(name, unused(folder, ".geojson"))):
        outcome(use, str(path))


def read_all(path: str) -> None:
    detected = Detected(path)
    place = Area("POLYGON ((0 0, 1e6 0, 1e6 1e7, 0 1e7, 0 0))", None)
    assert detected.extent
    assert detected.facts(place) is not None
    detected.describe(place)
    for _ in detected.regions(5):
        pass


def spoil(path: Path, table: str, what: str, column: int, value: str, **_: Any) -> None:
    """Change a table behind the back of OGR."""
    file = sqlite3.connect(path)
    for name, kind in file.execute("SELECT name, type FROM sqlite_master").fetchall():
        if kind == "trigger":
            file.execute(f'DROP TRIGGER "{name}"')
    names = [row[1] for row in file.execute(f"PRAGMA table_info({table})")]
    name = names[column % len(names)]
    statement = {
        "drop": f"DROP TABLE {table}",
        "empty": f"DELETE FROM {table}",
        "column": f'ALTER TABLE {table} RENAME COLUMN "{name}" TO "other"',
        "value": f'UPDATE {table} SET "{name}" = {value}',
    }[what]
    try:
        file.execute(statement)
        file.commit()
    except sqlite3.Error:
        assume(False)
    finally:
        file.close()


# --- manifests, boxes, recipes ---------------------------------------------------------------

MANIFEST = json.loads((MODELS / "manifest.json").read_text(encoding="utf-8"))


@given(key=st.sampled_from(sorted(MANIFEST)), value=json_values, inner=st.booleans())
def test_manifests(folder: Path, key: str, value: Any, inner: bool) -> None:
    content = json.loads(json.dumps(MANIFEST))
    if inner and isinstance(content[key], dict):
        content[key][next(iter(content[key]))] = value
    else:
        content[key] = value
    place = folder / "model"
    place.mkdir(exist_ok=True)
    (place / "manifest.json").write_text(json.dumps(content), encoding="utf-8")
    outcome(BundledSystem, place)


@given(content=json_values | st.binary(max_size=40))
def test_boxes(folder: Path, content: Any) -> None:
    path = folder / "boxes.json"
    path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
    outcome(read_boxes, str(path))


def test_deep_json(folder: Path) -> None:
    path = folder / "deep.json"
    path.write_text("[" * 200_000, encoding="utf-8")
    with pytest.raises(InputError):
        read_boxes(str(path))


@pytest.mark.torch
@given(content=json_values | st.dictionaries(st.sampled_from(RECIPE_KEYS), json_values))
def test_recipes(folder: Path, content: Any) -> None:
    from changescribe.engine.training.recipe import load_recipe

    path = folder / "recipe.yaml"
    path.write_text(json.dumps(content), encoding="utf-8")
    outcome(load_recipe, path)


@pytest.mark.torch
@given(
    content=st.binary(max_size=60)
    | st.text(max_size=60).map(lambda t: t.encode("utf-8", "replace"))
)
def test_recipes_that_are_none(folder: Path, content: bytes) -> None:
    from changescribe.engine.training.recipe import load_recipe

    path = folder / "recipe.yaml"
    path.write_bytes(content)
    outcome(load_recipe, path)
