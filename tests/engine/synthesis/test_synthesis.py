# SPDX-License-Identifier: GPL-3.0-or-later
"""The scene generator: reproducible scenes, correct labels, facts and georeference."""

from __future__ import annotations

import json
import re
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("scipy")
pytest.importorskip("PIL")

from osgeo import gdal, ogr

from changescribe.engine.errors import CancelledError, InputError
from changescribe.engine.synthesis import demo, facts, output, scenes
from changescribe.engine.synthesis.layouts import LAYOUTS
from changescribe.engine.synthesis.relief import lit_share, sun_vector
from changescribe.engine.synthesis.scenes import synthesise
from changescribe.engine.synthesis.sensor import shifted_crop
from changescribe.engine.synthesis.world import (
    BOTH,
    ONLY_BEFORE,
    Building,
    Canvas,
    Road,
    Trees,
    Wing,
    World,
)

BUILDING, ROAD, TREE, GRASS = 1, 2, 3, 4


@pytest.fixture(scope="module")
def pair() -> scenes.ScenePair:
    """A pair in which houses change."""
    for seed in range(50):
        found = synthesise(seed, 160, 0.6, "suburb")
        if found.changed_buildings["appeared"] > 2:
            return found
    pytest.fail("no seed builds houses")


def test_same_seed_same_scene_and_another_seed_another():
    first, second, third = (synthesise(s, 96, 0.5) for s in (3, 3, 4))
    for name in ("before", "after", "labels_before", "labels_after", "buildings_after"):
        assert np.array_equal(getattr(first, name), getattr(second, name)), name
    assert first.captions == second.captions
    assert not np.array_equal(first.before, third.before)


@pytest.mark.parametrize("layout", list(LAYOUTS))
def test_every_layout_gives_pictures_and_labels(layout):
    made = synthesise(7, 128, 0.5, layout)
    for picture in (made.before, made.after):
        assert picture.shape == (128, 128, 3)
        assert picture.dtype == np.uint8
        assert picture.std() > 4
    for labels in (made.labels_before, made.labels_after):
        assert labels.shape == (128, 128)
        assert labels.dtype == np.uint8
        assert labels.max() <= 6
    assert made.layout == layout


def test_resolutions_from_fine_to_coarse():
    for gsd in (0.3, 2.0, 5.0, 10.0):
        made = synthesise(2, 96, gsd, "rural")
        assert made.pixel_size == gsd
        assert made.before.std() > 3


def test_facts_and_label_difference_are_the_same_pixels(pair):
    tiny = facts.MIN_AREA / pair.pixel_size**2
    for direction, here, there in (
        ("appeared", pair.labels_after, pair.labels_before),
        ("removed", pair.labels_before, pair.labels_after),
    ):
        numbers = pair.fact_numbers[direction]
        inside = numbers > 0
        assert (here[inside] != there[inside]).all()
        for number, fact in enumerate(pair.facts, 1):
            if fact.direction != direction:
                continue
            pixels = numbers == number
            assert pixels.sum() == fact.pixels
            assert {facts.class_name(c) for c in here[pixels]} == {fact.object}
            assert fact.area_m2 == pytest.approx(fact.pixels * pair.pixel_size**2)
        # What is left out of the facts is small, or "other", which is no object.
        left_out = (here != there) & (here > 0) & ~inside
        for code in range(1, 7):
            parts, count = facts.ndimage.label(left_out & (here == code), np.ones((3, 3), int))
            assert (np.bincount(parts.ravel())[1 : count + 1] < tiny).all()


def test_an_unchanged_world_has_no_changed_pixel():
    """Season, light, cars and registration differ; the labels must not."""
    world = World(64.0, ("meadow", "meadow"))
    world.roads.append(
        Road(np.array([[-20.0, 32.0], [30.0, 30.0], [90.0, 32.0]]), 8, "asphalt", BOTH)
    )
    world.buildings.append(
        Building((Wing(20, 12, 7, 5, 0.3, "hip", 3, 0.5),), (0.4, 0.3, 0.3), BOTH)
    )
    world.trees.append(Trees(np.array([[45.0, 50.0, 4.0, 7.0, 0.5, 1.0]]), BOTH))
    rng = np.random.default_rng(1)
    looks = scenes.Looks.draw(rng, 0.5)
    cameras = (looks.cameras[0], replace(looks.cameras[1], shift=(1.6, -1.2)))
    looks = replace(looks, cameras=cameras)
    made = scenes.draw_pair(world, Canvas(128, scenes.MARGIN, 0.5), looks, 1, 0.5, 1, rng)
    assert not made.changed.any()
    assert not np.array_equal(made.before, made.after)
    assert made.labels_before[24, 40] == BUILDING
    assert made.labels_before[60, 60] == ROAD
    assert made.labels_before[100, 90] == TREE
    assert made.labels_before[4, 120] == GRASS
    assert all(c in facts._NO_CHANGE for c in made.captions)


def test_a_tree_cut_beside_a_road_builds_no_road():
    world = World(64.0, ("meadow", "meadow"))
    world.roads.append(
        Road(np.array([[-20.0, 32.0], [30, 32.0], [90.0, 32.0]]), 8, "asphalt", BOTH)
    )
    world.trees.append(Trees(np.array([[32.0, 27.0, 4.0, 8.0, 0.5, 0.0]]), ONLY_BEFORE))
    rng = np.random.default_rng(1)
    looks = scenes.Looks.draw(rng, 0.5)
    made = scenes.draw_pair(world, Canvas(128, scenes.MARGIN, 0.5), looks, 1, 0.5, 1, rng)
    assert {(f.object, f.direction) for f in made.facts} == {
        ("tree", "removed"),
        ("grass", "appeared"),
    }


def test_misregistration_shifts_the_image_by_its_pixels():
    image = np.random.default_rng(0).random((3, 40, 40), np.float32)
    moved = shifted_crop(image, 8, 20, (2.0, -1.0))
    assert np.array_equal(moved, image[:, 7:27, 10:30])
    half = shifted_crop(image, 8, 20, (0.5, 0.0))
    assert np.allclose(half, (image[:, 8:28, 8:28] + image[:, 8:28, 9:29]) / 2)


def test_swapped_dates_swap_labels_and_directions():
    rng = np.random.default_rng(5)
    world = scenes.build_world(rng, 60.0, 5.0, "suburb")
    dates = [b.dates for b in world.buildings] + [r.dates for r in world.roads]
    scenes.swap_dates(world)
    assert [b.dates[::-1] for b in world.buildings] + [r.dates[::-1] for r in world.roads] == dates


def test_captions_count_the_buildings_that_the_labels_show():
    """A number in a sentence is that of the buildings, counted here in another way."""
    seen = 0
    for seed in range(12):
        made = synthesise(seed, 128, 0.6, "suburb")
        for caption in made.captions:
            for number, verb in re.findall(
                r"(\d+) buildings? (?:were |was |ha\w+ been )?(\w+)", caption
            ):
                direction = (
                    "removed" if verb in {"demolished", "torn", "disappeared"} else "appeared"
                )
                here, there = made.datings if direction == "removed" else made.datings[::-1]
                changed = (here.labels == BUILDING) & (there.labels != BUILDING)
                count = sum(
                    (changed & (here.buildings == n)).sum() * 0.36 >= facts.MIN_BUILDING
                    for n in np.unique(here.buildings[changed])
                    if n
                )
                assert int(number) == count
                seen += 1
        objects = {(f.object, f.direction) for f in made.facts}
        text = " ".join(made.captions)
        if "roads were built" in text or "roads have been laid out" in text:
            assert ("road", "appeared") in objects
        if "cleared" in text or "cut down" in text:
            assert ("tree", "removed") in objects
    assert seen > 3


def test_compass_points():
    assert facts.compass(0.5, 0.5) == "centre"
    assert facts.compass(0.9, 0.1) == "north-east"
    assert facts.compass(0.1, 0.5) == "west"
    assert facts.compass(0.5, 0.9) == "south"


def test_shadow_falls_away_from_the_sun_and_is_as_long_as_it_should():
    height = np.zeros((60, 60), np.float32)
    height[28:32, 28:32] = 5.0
    sun = sun_vector(np.pi, np.pi / 4)  # due south, 45 degrees: shadow to the north, 5 m long
    lit = lit_share(height, 0.5, sun)
    assert lit[20:27, 29:31].max() < 0.2
    assert lit[33:50].min() == 1
    assert lit[:16].min() == 1


@pytest.fixture(scope="module")
def written(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("pairs")
    output.write_pairs(folder, 2, seed=40, size=96, pixel_size=0.5, layout="suburb")
    return folder


def test_georeference_of_what_is_written(written):
    for sub in ("before", "after", "labels_before", "labels_after"):
        dataset = gdal.Open(str(written / sub / "scene_000040.tif"))
        left, dx, rx, top, ry, dy = dataset.GetGeoTransform()
        assert (dx, dy, rx, ry) == (0.5, -0.5, 0, 0)
        assert dataset.GetSpatialRef().GetAuthorityCode(None) == "32614"
        assert 500_000 < left < 700_000
        assert 3_300_000 <= top < 3_600_000
        assert dataset.RasterCount == (3 if sub in {"before", "after"} else 1)
        date = dataset.GetMetadataItem("TIFFTAG_DATETIME")
        assert re.fullmatch(r"(20\d\d):\d\d:\d\d 12:00:00", date)
    assert not list(written.rglob("*.aux.xml"))
    assert not list(written.rglob(".*"))
    made = synthesise(40, 96, 0.5, "suburb")
    pixels = gdal.Open(str(written / "after" / "scene_000040.tif")).ReadAsArray().transpose(1, 2, 0)
    assert np.array_equal(pixels, made.after)
    labels = gdal.Open(str(written / "labels_before" / "scene_000040.tif")).ReadAsArray()
    assert np.array_equal(labels, made.labels_before)


def test_facts_of_what_is_written_lie_where_the_labels_changed(written):
    entries = json.loads((written / "scenes.json").read_text())["scenes"]
    assert [e["seed"] for e in entries] == [40, 41]
    assert all(len(e["captions"]) == 5 and e["date_before"] < e["date_after"] for e in entries)
    for entry in entries:
        made = synthesise(entry["seed"], 96, 0.5, "suburb")
        source = ogr.Open(str(written / "facts" / f"{entry['name']}.geojson"))
        layer = source.GetLayer(0)
        assert layer.GetFeatureCount() == len(made.facts)
        for feature in layer:
            area = feature.GetGeometryRef().GetArea()
            assert area == pytest.approx(feature.GetField("area_m2"), abs=0.02)
            fact = made.facts[feature.GetField("id") - 1]
            assert feature.GetField("object") == fact.object
            assert feature.GetField("direction") == fact.direction


@pytest.mark.parametrize(
    "arguments",
    [
        {"n": 0},
        {"n": 1, "seed": -1},
        {"n": 1, "size": 8},
        {"n": 1, "pixel_size": 0.01},
        {"n": 1, "layout": "moon"},
        {"n": 1, "crs": "EPSG:4326"},
        {"n": 1, "crs": "nonsense"},
    ],
)
def test_arguments_out_of_range_are_errors(tmp_path, arguments):
    with pytest.raises(InputError):
        output.write_pairs(tmp_path, **arguments)
    assert not list(tmp_path.iterdir())


def test_cancel_leaves_no_list_of_scenes(tmp_path):
    done = []
    with pytest.raises(CancelledError, match="1 of 5 pairs are in"):
        output.write_pairs(
            tmp_path,
            5,
            size=64,
            pixel_size=0.5,
            progress=lambda i, n: done.append(i),
            cancelled=lambda: len(done) == 1,
        )
    assert done == [1]
    assert not (tmp_path / "scenes.json").exists()
    assert len(list((tmp_path / "before").iterdir())) == 1


def test_a_scene_takes_less_than_a_second_of_processor_time():
    synthesise(0)
    start = time.process_time()
    for seed in range(4):
        synthesise(seed)
    assert (time.process_time() - start) / 4 < 1.0


def _demo_folder() -> Path:
    return Path(demo.__file__).parents[2] / "resources" / "demo"


def test_the_demo_pair_matches_its_readme():
    folder = _demo_folder()
    paths = [folder / f"demo_{date}.tif" for date in demo.DATES]
    assert sum(p.stat().st_size for p in paths) < 1_500_000
    truth = json.loads((folder / "demo_truth.json").read_text())
    assert truth["buildings"]["removed"] == 1
    assert truth["buildings"]["appeared"] > 50
    assert truth["seed"] == demo.SEED
    for path in paths:
        dataset = gdal.Open(str(path))
        assert (dataset.RasterXSize, dataset.RasterYSize, dataset.RasterCount) == (1024, 1024, 3)
        assert dataset.GetSpatialRef().GetAuthorityCode(None) == "32614"
        assert dataset.GetGeoTransform()[1] == 0.5
    packed = gdal.Open(str(folder / "demo_truth.tif")).ReadAsArray()
    assert (packed % 8).max() <= 6
    assert (packed // 8).max() <= 6
    area = ((packed // 8 == BUILDING) & (packed % 8 != BUILDING)).sum() * 0.25
    assert area == pytest.approx(truth["areas_m2"]["building|appeared"], rel=0.01)


@pytest.mark.slow
def test_the_demo_pair_can_be_made_again(tmp_path):
    demo.write_demo(tmp_path)
    for name in (f"demo_{demo.DATES[0]}.tif", f"demo_{demo.DATES[1]}.tif", "demo_truth.tif"):
        kept = gdal.Open(str(_demo_folder() / name)).ReadAsArray().astype(int)
        made = gdal.Open(str(tmp_path / name)).ReadAsArray().astype(int)
        # Another processor may round a few pixels to the other side.
        assert np.abs(kept - made).mean() < 0.05, name
    kept, made = (
        json.loads((f / "demo_truth.json").read_text()) for f in (_demo_folder(), tmp_path)
    )
    assert kept["buildings"] == made["buildings"]
