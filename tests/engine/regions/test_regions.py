# SPDX-License-Identifier: GPL-3.0-or-later
"""Scores to mask to regions, with values counted by hand and against a flood fill."""

from __future__ import annotations

import contextlib
import math
from pathlib import Path

import numpy as np
import pytest
from osgeo import ogr
from region_case import Case, grid_of

from changescribe.engine.errors import InputError
from changescribe.engine.raster.grid import PIXEL_GEOTRANSFORM, Grid
from changescribe.engine.regions import extraction
from changescribe.engine.regions.facts import RegionShape
from changescribe.engine.regions.outline import from_wkb
from changescribe.engine.request import Query

#: On the central meridian of UTM, map metres are 1 / 0.9996 m long.
SCALE = 1 / 0.9996**2
ROADS, TREES = Query("roads", "appeared"), Query("trees", "removed")
#: Unlike roads they have no least length.
HOUSES = Query("houses", "appeared")


@pytest.fixture
def small_strips(monkeypatch: pytest.MonkeyPatch) -> None:
    """Strips of 8 rows, so that small rasters have several."""
    monkeypatch.setattr(extraction, "_STRIP_PIXELS", 1)
    monkeypatch.setattr(extraction, "_STRIP_STEP", 8)


def disc(radius: float) -> np.ndarray:
    side = int(2 * radius + 6)
    y, x = np.mgrid[:side, :side] - side / 2 + 0.5
    return x * x + y * y < radius * radius


def geometry(shape: RegionShape) -> ogr.Geometry:
    return ogr.CreateGeometryFromWkb(shape.wkb)


# ---- mask ----


def test_mask_takes_the_direction_of_the_highest_score(tmp_path: Path) -> None:
    roads = np.full((4, 6), 10)
    trees = np.full((4, 6), 20)
    roads[:, :2] = 200
    trees[:, 4:] = 127  # 0.5 exactly
    trees[0, 0] = 254
    case = Case(tmp_path, [roads, trees], [ROADS, TREES])
    case.build(min_area=0.0)
    expected = np.array([[2, 1, 0, 0, 2, 2]] + [[1, 1, 0, 0, 2, 2]] * 3)
    assert (case.values() == expected).all()


def test_threshold(tmp_path: Path) -> None:
    planes = [np.array([[126, 127, 177, 178, 254]])]
    case = Case(tmp_path, planes, [ROADS])
    case.build(min_area=0.0)
    assert case.values().ravel().tolist() == [0, 1, 1, 1, 1]
    case.build(min_area=0.0, threshold=0.7)  # 0.7 * 254 = 177.8
    assert case.values().ravel().tolist() == [0, 0, 0, 1, 1]


def test_nodata_and_area_analysed(tmp_path: Path) -> None:
    plane = np.full((10, 10), 200)
    plane[:, 7:] = 255
    case = Case(tmp_path, [plane, plane], [ROADS, TREES])
    summary = case.build()
    assert (case.values()[:, 7:] == 255).all()
    assert (case.values()[:, :7] == 1).all()
    assert (summary.valid_px, summary.changed_px, summary.regions) == (70, 70, 1)
    assert summary.area_analysed_m2 == pytest.approx(70 * 25 * SCALE, rel=1e-5)


def test_sieve_counts_square_metres(tmp_path: Path) -> None:
    plane = np.zeros((12, 12))
    plane[1:3, 1:3] = 200  # 4 pixels of 25 m² = 100 m²
    plane[6:9, 6:9] = 200  # 9 pixels = 225 m²
    case = Case(tmp_path, [plane], [HOUSES])
    assert case.build().regions == 2  # default: 4 pixels
    assert case.build(min_area=99.0).regions == 2
    summary = case.build(min_area=150.0)
    assert (summary.regions, summary.dropped) == (1, 1)
    assert case.values()[1:3, 1:3].sum() == 0
    assert case.values()[6:9, 6:9].sum() == 9


def test_default_minimum_is_20_m2_or_4_pixels(tmp_path: Path) -> None:
    plane = np.zeros((20, 20))
    plane[2:5, 2:8] = 200  # 18 pixels
    plane[10:14, 2:7] = 200  # 20 pixels
    case = Case(tmp_path, [plane], [HOUSES], grid_of(20, 20, 1.0))
    assert case.build().regions == 1
    plane[:] = 0
    plane[0, :3] = 200  # 3 pixels of 25 m² are more than 20 m², but too few
    case = Case(tmp_path, [plane], [HOUSES])
    assert case.build().regions == 0


def test_sieve_without_georeference_counts_pixels(tmp_path: Path) -> None:
    plane = np.zeros((10, 10))
    plane[0, :3] = plane[5, :4] = 200
    case = Case(tmp_path, [plane], [ROADS], Grid(10, 10, PIXEL_GEOTRANSFORM, ""))
    summary = case.build(min_area=1000.0)
    assert (summary.regions, summary.dropped, summary.area_analysed_m2) == (1, 1, None)


def test_queries_do_not_merge(tmp_path: Path) -> None:
    """Two halves of a square, of two queries with the same direction: two small regions."""
    left, right = np.zeros((6, 6)), np.zeros((6, 6))
    left[1:4, 1:3] = 200
    right[1:4, 3:5] = 200
    queries = [Query("trees", "appeared"), Query("buildings", "appeared")]
    case = Case(tmp_path, [left, right], queries)
    assert case.build(min_area=7 * 25.0).regions == 0  # 6 pixels each, 12 together
    case.build()
    found = case.extract()
    assert [shape.region.object for shape in found] == ["trees", "buildings"]
    assert [shape.region.area_px for shape in found] == [6, 6]


@pytest.mark.usefixtures("small_strips")
def test_sieve_joins_over_strips(tmp_path: Path) -> None:
    """A thin diagonal through five strips is one region of 40 pixels; each part is small."""
    plane = np.where(np.eye(40, dtype=bool), 200, 0)
    case = Case(tmp_path, [plane], [ROADS])
    summary = case.build(min_area=39.5 * 25)
    assert (summary.regions, summary.dropped, summary.changed_px) == (1, 0, 40)
    assert (case.values() == np.eye(40)).all()
    assert case.build(min_area=40.5 * 25).changed_px == 0


def flood_fill(values: np.ndarray) -> list[tuple[int, int]]:
    """(value, size) of 8-connected components, the slow and obvious way."""
    left = {(y, x): values[y, x] for y, x in zip(*np.nonzero(values))}
    found = []
    while left:
        start, value = left.popitem()
        stack, size = [start], 1
        while stack:
            y, x = stack.pop()
            for dy in (-1, 0, 1):
                for dx in (-1, 0, 1):
                    place = (y + dy, x + dx)
                    if left.get(place) == value:
                        del left[place]
                        stack.append(place)
                        size += 1
        found.append((int(value), size))
    return sorted(found)


@pytest.mark.usefixtures("small_strips")
@pytest.mark.parametrize("share", [0.2, 0.4, 0.6])
def test_against_flood_fill(tmp_path: Path, share: float) -> None:
    rng = np.random.default_rng(int(share * 10))
    planes = [
        np.where(rng.random((37, 41)) < share, rng.integers(130, 250, (37, 41)), 0)
        for _ in range(2)
    ]
    case = Case(tmp_path, planes, [HOUSES, TREES])
    best = np.where(planes[1] > planes[0], 2, 1) * (np.maximum(*planes) > 0)
    expected = [item for item in flood_fill(best) if item[1] >= 4]
    summary = case.build()
    found = case.extract(simplify=0)
    assert sorted((shape.query + 1, shape.region.area_px) for shape in found) == expected
    assert summary.regions == len(expected)
    for shape in found:
        polygon = geometry(shape)
        assert polygon.IsValid()
        assert polygon.GetArea() == pytest.approx(25 * shape.region.area_px)
    # Rasterising the polygons gives the mask.
    assert sum(geometry(shape).GetArea() for shape in found) == 25 * np.count_nonzero(case.values())


# ---- polygons ----


def test_a_region_over_several_strips_is_one_polygon(tmp_path: Path, small_strips: None) -> None:
    plane = np.zeros((50, 30))
    plane[3:47, 5:25] = 200
    plane[20:30, 10:20] = 0  # a hole over two borders
    case = Case(tmp_path, [plane], [ROADS])
    case.build()
    (found,) = case.extract()
    polygon = geometry(found)
    assert polygon.GetGeometryName() == "MULTIPOLYGON"
    assert polygon.GetGeometryCount() == 1
    assert polygon.GetGeometryRef(0).GetGeometryCount() == 2
    pixels = 44 * 20 - 10 * 10
    assert found.region.area_px == pixels
    assert polygon.GetArea() == pixels * 25
    assert polygon.GetEnvelope() == (500025, 500125, 4999765, 4999985)
    assert found.region.bounds == (500025, 4999765, 500125, 4999985)
    assert found.region.area_m2 == pytest.approx(pixels * 25 * SCALE, rel=1e-5)
    # Corners only: where strips end leaves no vertex.
    assert [len(ring) for ring in from_wkb(found.wkb)[0]] == [4, 4]


def test_the_area_is_that_of_the_stored_polygon(tmp_path):
    rows, columns = np.mgrid[:60, :60]
    disc = (rows - 30) ** 2 + (columns - 30) ** 2 < 400
    hole = (rows - 30) ** 2 + (columns - 30) ** 2 < 64
    case = Case(tmp_path, [np.where(disc & ~hole, 200, 0).astype(np.uint8)], [HOUSES])
    case.build()
    (found,) = case.extract(simplify=1.5)
    area = ogr.CreateGeometryFromWkb(found.wkb).GetArea()
    pixels = int((disc & ~hole).sum())
    assert abs(area / 25 - pixels) > 5
    assert found.region.area_m2 == pytest.approx(area * SCALE, rel=1e-4)
    assert found.region.area_px == pixels


def test_exteriors_turn_left_and_holes_right(tmp_path: Path) -> None:
    plane = np.full((9, 9), 200)
    plane[3:6, 3:6] = 0
    case = Case(tmp_path, [plane], [ROADS])
    case.build()
    outer, hole = from_wkb(case.extract()[0].wkb)[0]

    def turn(ring: np.ndarray) -> float:
        x, y = ring[:, 0] - 5e5, ring[:, 1] - 5e6
        return float((x * np.roll(y, -1) - np.roll(x, -1) * y).sum())

    assert turn(outer) > 0 > turn(hole)


def test_no_simplification_on_request(tmp_path: Path) -> None:
    case = Case(tmp_path, [np.where(disc(8), 200, 0)], [ROADS])
    case.build()
    (found,) = case.extract(simplify=0)
    assert geometry(found).GetArea() == 25 * found.region.area_px


def test_without_georeference_rows_count_down(tmp_path: Path) -> None:
    plane = np.zeros((10, 10))
    plane[2:5, 3:7] = 200
    case = Case(tmp_path, [plane], [ROADS], Grid(10, 10, PIXEL_GEOTRANSFORM, ""))
    case.build()
    (found,) = case.extract(crs="EPSG:4326")  # cannot be: left as it is
    assert geometry(found).GetEnvelope() == (3, 7, -5, -2)
    assert found.region.area_m2 is None
    assert found.region.length_m is None
    assert found.region.position == ""


def test_other_crs(tmp_path: Path) -> None:
    plane = np.zeros((10, 10))
    plane[2:5, 3:7] = 200
    case = Case(tmp_path, [plane], [ROADS])
    case.build()
    (found,) = case.extract(crs="EPSG:4326")
    west, _, south, north = geometry(found).GetEnvelope()
    # 500000 east is 15 degrees; 5 m are about 6.4e-5 degrees there.
    assert west == pytest.approx(15 + 15 / 78850, abs=1e-6)
    assert 45.15 < south < north < 45.16
    assert found.region.area_m2 == pytest.approx(12 * 25 * SCALE, rel=1e-5)
    with pytest.raises(InputError):
        case.extract(crs="EPSG:nonsense")


# ---- facts ----


def test_score_and_position(tmp_path: Path) -> None:
    plane = np.zeros((30, 30))
    plane[1:3, 26:28] = [[127, 254], [254, 254]]
    case = Case(tmp_path, [plane], [HOUSES])
    case.build()
    (found,) = case.extract()
    assert found.region.score == pytest.approx((127 + 3 * 254) / 4 / 254, abs=1e-4)
    assert found.region.position == "north-east"
    assert (found.region.change_id, found.region.caption) == (0, "")


@pytest.mark.usefixtures("small_strips")
def test_centroid_by_hand(tmp_path: Path) -> None:
    """Pixel centres at columns 1.5, 2.5, 3.5, 1.5 and rows 7.5, 7.5, 7.5, 8.5, in two strips."""
    plane = np.zeros((16, 6))
    plane[7, 1:4] = plane[8, 1] = 200
    case = Case(tmp_path, [plane], [HOUSES])
    case.build()
    _, held = case.components.complete(0, case.components.load(0))
    complete, _ = case.components.complete(1, case.components.load(1), held)
    assert complete.sums.centroid.tolist() == [[2.25, 7.75]]


def test_position_of_a_pixel_is_that_of_its_centre(tmp_path: Path) -> None:
    """Of 13 rows and columns the middle third is from 4.33 to 8.67: pixels 4 and 8 are in it.

    Half a pixel up or left, at 4.0, or down or right, at 9.0, they would not be.
    """
    plane = np.zeros((13, 13))
    plane[4, 4] = plane[4, 8] = plane[8, 4] = plane[8, 8] = 200
    case = Case(tmp_path, [plane], [HOUSES])
    case.build(min_area=0.0)
    assert [shape.region.position for shape in case.extract()] == ["centre"] * 4


def test_length_of_a_road(tmp_path: Path) -> None:
    plane = np.zeros((120, 20))
    plane[10:110, 8:10] = 200  # 100 x 2 pixels of 5 m
    case = Case(tmp_path, [plane], [ROADS])
    case.build()
    assert case.extract()[0].region.length_m == pytest.approx(500, rel=1e-3)
    plane[10:110, 1:19] = 200  # a square is not long
    case = Case(tmp_path, [np.where(disc(9), 200, 0)], [ROADS])
    case.build()
    assert case.extract()[0].region.length_m is None


def test_length_of_a_slanting_road(tmp_path: Path) -> None:
    y, x = np.mgrid[:120, :120]
    band = (np.abs(x - y) < 3.5) & (x + y > 40) & (x + y < 200)
    case = Case(tmp_path, [np.where(band, 200, 0)], [ROADS])
    case.build()
    assert case.extract()[0].region.length_m == pytest.approx(160 / math.sqrt(2) * 5, rel=0.05)


def test_only_lines_have_a_length(tmp_path: Path) -> None:
    plane = np.zeros((120, 20))
    plane[10:110, 8:10] = 200
    for noun, has_length in (("trees", False), ("new hedges", True), ("streets", True)):
        case = Case(tmp_path, [plane], [Query(noun, "appeared")])
        case.build()
        assert (case.extract()[0].region.length_m is not None) == has_length


NAMES = ("building", "road", "tree", "grass")


@pytest.mark.parametrize(
    ("query", "before", "after", "expected"),
    [
        # An object that appeared was absent before, whatever the model predicts for single pixels.
        (ROADS, [1] * 6 + [2] * 10, [1] * 16, ("tree", "road")),
        (ROADS, [2] * 16, [3] * 16, ("tree", "road")),
        (ROADS, [255] * 9 + [2] * 7, [1] * 16, (None, "road")),
        (ROADS, [1] * 14 + [2] * 2, [1] * 16, (None, "road")),
        (TREES, [2] * 16, [3] * 12 + [2] * 4, ("tree", "grass")),
        (TREES, [255] * 16, [255] * 16, ("tree", None)),
        (Query("pools", "appeared"), [3] * 16, [0] * 12 + [3] * 4, ("grass", "building")),
        (Query("roads", "changed"), [1] * 16, [0] * 16, ("road", "building")),
    ],
)
def test_classes(
    tmp_path: Path,
    query: Query,
    before: list[int],
    after: list[int],
    expected: tuple[str | None, str | None],
) -> None:
    plane = np.zeros((8, 8))
    plane[2:6, 2:6] = 200
    case = Case(tmp_path, [plane], [query])
    paths = []
    for name, values in (("b.tif", before), ("a.tif", after)):
        classes = np.full((8, 8), 255)
        classes[2:6, 2:6] = np.reshape(values, (4, 4))
        paths.append(case.raster(name, classes))
    case.build(classes=extraction.ClassMaps(*paths, NAMES))
    (found,) = case.extract(class_names=NAMES)
    assert (found.region.from_class, found.region.to_class) == expected


def test_without_classes_only_the_prompt_is_known(tmp_path: Path) -> None:
    plane = np.full((4, 4), 200)
    case = Case(tmp_path, [plane], [ROADS])
    case.build()
    region = case.extract()[0].region
    assert (region.from_class, region.to_class) == (None, "road")


@pytest.mark.usefixtures("small_strips")
def test_buildings_along_a_new_road(tmp_path: Path) -> None:
    """One 25 m above a new road, in another strip, one farther off; removed roads do not count."""
    buildings, roads, gone = np.zeros((3, 80, 40))
    buildings[20:25, 4:9] = buildings[4:9, 4:9] = buildings[56:60, 4:9] = 200
    roads[30:32] = 200
    gone[62:64] = 200
    queries = [Query("houses", "appeared"), ROADS, Query("roads", "removed")]
    case = Case(tmp_path, [buildings, roads, gone], queries)
    case.build()
    found = sorted((s.region.bounds[1], s.region.along) for s in case.extract() if s.query == 0)
    assert [name for _, name in found] == ["", "roads", ""]
    assert {s.region.along for s in case.extract() if s.query} == {""}


@pytest.mark.parametrize(("gap", "near"), [(40, True), (62, False)])
def test_along_is_written_only_within_30_m(tmp_path: Path, gap: int, near: bool) -> None:
    """Pixels of half a metre, so that cells hold many: 20 m is reported, 31 m is not."""
    buildings, roads = np.zeros((2, 60, 120))
    roads[:, 3:10] = 200
    buildings[10:30, 10 + gap : 30 + gap] = 200
    queries = [Query("houses", "appeared"), ROADS]
    case = Case(tmp_path, [buildings, roads], queries, grid_of(120, 60, 0.5))
    case.build()
    (house,) = (s.region for s in case.extract() if s.query == 0)
    assert bool(house.along) == near
    plain = Case(tmp_path, [buildings], queries[:1], grid_of(120, 60, 0.5))
    plain.build()
    assert plain.extract()[0].region.along == ""


# ---- errors, progress, size ----


def test_rasters_must_fit(tmp_path: Path) -> None:
    for problem, changes in (
        ("bands", {"queries": (ROADS, TREES)}),
        ("grid", {"grid": grid_of(5, 5)}),
        ("cannot be read", {"score": str(tmp_path / "none.tif")}),
    ):
        case = Case(tmp_path, [np.full((4, 4), 200)], [ROADS])
        vars(case).update(changes)
        with pytest.raises(InputError, match=problem):
            case.build()


@pytest.mark.usefixtures("small_strips")
def test_progress_ends_at_one_and_may_stop(tmp_path: Path) -> None:
    case = Case(tmp_path, [np.full((20, 4), 200)], [ROADS])
    fractions: list[float] = []
    case.build(progress=fractions.append)
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1.0
    fractions.clear()
    case.extract(progress=fractions.append)
    assert fractions[-1] == 1.0

    def stop(_: float) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        case.build(progress=stop)


def open_files(folder: Path) -> set[str]:
    """Names of the files in a folder that this process has open."""
    found = set()
    for link in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):
            found.add(link.resolve())
    return {path.name for path in found if path.parent == folder.resolve()}


needs_proc = pytest.mark.skipif(
    not Path("/proc/self/fd").is_dir(), reason="open files are listed on Linux only"
)


@needs_proc
@pytest.mark.usefixtures("small_strips")
def test_closing_lets_go_of_the_files(tmp_path: Path) -> None:
    """An open file cannot be removed on Windows."""
    plane = np.zeros((40, 20))
    plane[0:3, 0:3] = plane[20:23, 0:3] = 200
    case = Case(tmp_path, [plane], [HOUSES])
    case.build()
    shapes = extraction.extract(case.components, case.grid, case.queries)
    frame = shapes.gi_frame  # as the traceback of an error would, this keeps what is inside
    next(shapes)
    assert len(open_files(tmp_path)) == 1  # the strips, without a name
    case.components.close()
    assert frame is not None
    assert open_files(tmp_path) == set()


@needs_proc
def test_an_error_does_not_keep_files_open(tmp_path: Path) -> None:
    case = Case(tmp_path, [np.full((4, 4), 200)], [ROADS])

    def stop(_: float) -> None:
        assert open_files(tmp_path) & {"score.tif"}
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt) as first:
        case.build(progress=stop)
    case.components.close()
    assert open_files(tmp_path) == set(), first


def test_empty_score(tmp_path: Path) -> None:
    case = Case(tmp_path, [np.zeros((6, 6))], [ROADS])
    assert case.build().regions == 0
    assert case.extract() == []
