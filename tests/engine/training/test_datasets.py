# SPDX-License-Identifier: GPL-3.0-or-later
"""Labels, pseudo-pairs, queries and augmentation of the training data."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")

from changescribe.engine.errors import InputError
from changescribe.engine.training import augment
from changescribe.engine.training.pairs.crops import collate
from changescribe.engine.training.scenes import (
    datasets,
    labels,
    phrases,
    roads,
    sample,
    scene_cache,
    sources,
    weak_pairs,
)

pytestmark = pytest.mark.torch

SIZE = 48


def _pair(state_before: np.ndarray, state_after: np.ndarray) -> sample.PairSample:
    image = np.random.default_rng(1).integers(0, 255, (*state_before.shape[:2], 3)).astype(np.uint8)
    return sample.PairSample.from_states(image, image.copy(), state_before, state_after)


def _house_built() -> sample.PairSample:
    before = np.zeros((SIZE, SIZE, 6), np.uint8)
    after = before.copy()
    after[8:24, 8:24, labels.BUILDING] = 1
    after[..., labels.WATER] = labels.UNKNOWN
    return _pair(before, after)


def test_label_codes_say_no_more_than_they_know():
    roads = labels.state_table((labels.ROAD,))
    assert roads[2, labels.ROAD] == 1
    assert roads[2, labels.TREE] == labels.UNKNOWN  # a tree may hang over a road
    assert roads[254, labels.ROAD] == 0
    assert roads[254, labels.BUILDING] == labels.UNKNOWN
    assert set(roads[255]) == {labels.UNKNOWN}
    assert list(roads[7, [labels.TREE, labels.GRASS, labels.ROAD]]) == [255, 255, 0]
    assert list(roads[10, [labels.ROAD, labels.BARE, labels.BUILDING]]) == [255, 255, 0]


def test_change_follows_from_two_states_and_is_unknown_where_they_leave_it_open():
    before = np.array([0, 0, 1, 1, 0, 255, 255, 1, 255])
    after = np.array([0, 1, 0, 1, 255, 0, 1, 255, 255])
    expected = [0, 1, 0, 0, 255, 0, 255, 0, 255]
    assert labels.appeared(before, after).tolist() == expected


def test_exchanged_dates_exchange_appeared_and_removed():
    pair = _house_built()
    swapped = pair.swapped()
    assert pair.changes[10, 10, labels.BUILDING].tolist() == [1, 0]
    assert swapped.changes[10, 10, labels.BUILDING].tolist() == [0, 1]
    assert np.array_equal(swapped.before, pair.after)


def test_augmentation_keeps_labels_on_their_pixels():
    pair = _house_built()
    pair.after[..., 0] = pair.state_after[..., labels.BUILDING] * 200
    for seed in range(20):
        rng = np.random.default_rng(seed)
        image, state = augment.symmetry([pair.after, pair.state_after], rng)
        assert np.array_equal(image[..., 0] == 200, state[..., labels.BUILDING] == 1)
        augmented = pair.augmented(rng)
        assert (augmented.changes == 1).sum() == 256
        assert augmented.before.dtype == np.uint8


def test_a_shifted_date_takes_along_what_was_drawn_on_it():
    before = np.zeros((SIZE, SIZE, 6), np.uint8)
    after = before.copy()
    before[4:12, 30:40, labels.TREE] = 1
    after[8:24, 8:24, labels.BUILDING] = 1
    pair = _pair(before, after)
    pair.before[..., 0] = before[..., labels.TREE] * 200
    moved = 0
    for seed in range(8):
        shifted = pair.misregistered(np.random.default_rng(seed))
        felled = shifted.changes[..., labels.TREE, sample.REMOVED] == 1
        assert np.array_equal(shifted.before[..., 0] == 200, felled)
        assert np.array_equal(shifted.state_before[..., labels.TREE] == 1, felled)
        built = shifted.changes[..., labels.BUILDING, sample.APPEARED]
        assert np.array_equal(built, after[..., labels.BUILDING])
        assert np.array_equal(shifted.after, pair.after)
        moved += not np.array_equal(felled, before[..., labels.TREE] == 1)
    assert moved > 4


def test_targets_count_the_changed_pixels_of_a_cell():
    changes = np.zeros((4, 4, 6, 2), np.uint8)
    changes[0, :3, labels.ROAD, sample.APPEARED] = 1
    changes[3, 3, labels.ROAD, sample.APPEARED] = labels.UNKNOWN
    image, state = np.zeros((4, 4, 3), np.uint8), sample.nothing_known(4, 4)
    targets = sample.PairSample(image, image, state, state, changes).targets()
    assert targets.shape == (2, 6, 2, 2)
    assert targets[sample.APPEARED, labels.ROAD].tolist() == [[2, 1], [0, labels.UNKNOWN]]
    assert not targets[sample.REMOVED].any()


def test_a_cell_with_some_change_keeps_the_code():
    pair = _house_built()
    pair.changes[:2, :2] = 0
    pair.changes[0, 0, labels.ROAD, sample.APPEARED] = labels.SOME
    assert pair.targets()[sample.APPEARED, labels.ROAD, 0, 0] == labels.SOME
    assert pair.swapped().targets()[sample.REMOVED, labels.ROAD, 0, 0] == labels.SOME


def test_foreign_labels_say_that_something_changed_but_not_what(tmp_path):
    rng = np.random.default_rng(4)
    for place in ("a_1", "a_2", "b_1"):
        label = np.zeros((300, 320), np.uint8)
        label[100:200, 100:200] = 1
        for name in ("before", "after"):
            _write(tmp_path / place / f"{name}.tif", rng.integers(0, 255, (300, 320, 3)))
        _write(tmp_path / place / "label.tif", label[..., None])
    source = weak_pairs.WeakPairs(tmp_path, weak_pairs.WEAK_SETS["oscd"], "a_1+a_2")
    assert len(source.pairs) == 1
    crops = [source.draw(rng) for _ in range(8)]
    values = np.concatenate(
        [p.changes[..., [labels.BUILDING, labels.ROAD], sample.APPEARED].ravel() for p in crops]
    )
    assert set(values) == {0, labels.SOME}
    assert 0.05 < (values == labels.SOME).mean() < 0.5
    for pair in crops:
        assert pair.before.shape == (256, 256, 3)
        assert (pair.changes[..., sample.REMOVED] == labels.UNKNOWN).all()
        assert (pair.changes[..., labels.TREE, :] == labels.UNKNOWN).all()
    with pytest.raises(InputError, match="No pairs"):
        weak_pairs.WeakPairs(tmp_path / "none", weak_pairs.WEAK_SETS["oscd"])


def _write(path: Path, array: np.ndarray) -> None:
    from osgeo import gdal

    path.parent.mkdir(exist_ok=True)
    height, width, bands = array.shape
    raster = gdal.GetDriverByName("GTiff").Create(str(path), width, height, bands)
    for band in range(bands):
        raster.GetRasterBand(band + 1).WriteArray(array[..., band].astype(np.uint8))


def test_parts_of_another_pair_are_taken_on_both_dates():
    pair, other = _house_built(), _house_built()
    other.after = other.after + 1
    other.changes = other.changes * 0
    where = np.zeros((SIZE, SIZE), bool)
    where[:16] = True
    mixed = pair.with_parts_of(other, where)
    assert np.array_equal(mixed.after[:16], other.after[:16])
    assert np.array_equal(mixed.after[16:], pair.after[16:])
    assert (mixed.changes[..., labels.BUILDING, sample.APPEARED] == 1).sum() == 8 * 16
    assert (pair.changes[..., labels.BUILDING, sample.APPEARED] == 1).sum() == 16 * 16


def test_a_tint_is_one_curve_per_band_and_often_that_of_both_dates() -> None:
    image = np.random.default_rng(0).integers(0, 256, (64, 64, 3)).astype(np.uint8)
    tinted = augment.tint(image, np.random.default_rng(1))
    assert abs(tinted.astype(float).mean((0, 1)) - image.mean((0, 1))).max() > 5
    for band in range(3):  # pixels of one value stay pixels of one value
        values = tinted[..., band][image[..., band] == 100]
        assert len(set(values.tolist())) == 1
    none = np.full((SIZE, SIZE, 6), labels.UNKNOWN, np.uint8)
    grey = np.full((SIZE, SIZE, 3), 120, np.uint8)
    pairs = [
        sample.PairSample.from_states(grey, grey, none, none).augmented(
            np.random.default_rng(seed), strength=0.0, tint=1.0
        )
        for seed in range(40)
    ]
    alike = [abs(p.before.astype(float) - p.after).mean() < 2 for p in pairs]
    assert 8 < sum(alike) < 32


def test_haze_and_shadow_leave_the_size_and_change_the_brightness():
    image = np.full((32, 48, 3), 120, np.uint8)
    brighter = darker = 0
    for seed in range(20):
        changed = augment._haze_or_shadow(image, np.random.default_rng(seed), 1.0)
        assert changed.shape == image.shape
        brighter += changed.mean() > 125
        darker += changed.mean() < 115
    assert brighter > 2
    assert darker > 2


def test_bank_has_no_held_out_noun_and_every_class():
    bank = phrases.build_bank()
    assert len(set(bank.phrases)) == len(bank.phrases)
    assert not set(bank.phrases) & set(phrases.HELD_OUT_NOUNS)
    assert set(bank.classes) == {-1, 0, 1, 2, 3, 4, 5}


def _segmentation_set(root: Path) -> None:
    from PIL import Image

    for kind in ("images", "labels"):
        (root / "segmentation" / "epfl_roads" / kind).mkdir(parents=True)
    rng = np.random.default_rng(0)
    for number in range(3):
        image = rng.integers(0, 255, (300, 300, 3)).astype(np.uint8)
        label = np.full((300, 300), 254, np.uint8)
        label[:, 60 * number + 20 : 60 * number + 50] = 2
        folder = root / "segmentation" / "epfl_roads"
        Image.fromarray(image).save(folder / "images" / f"{number}.jpg")
        Image.fromarray(label).save(folder / "labels" / f"{number}.png")


def test_pseudo_pairs_change_only_where_their_labels_differ(tmp_path):
    _segmentation_set(tmp_path)
    source = datasets.open_source("epfl_roads", tmp_path, tmp_path)
    found = 0
    for seed in range(12):
        pair = source.draw(np.random.default_rng(seed))
        assert pair.before.shape == (sources.CROP, sources.CROP, 3)
        road = labels.ROAD
        appeared = pair.changes[..., road, sample.APPEARED] == 1
        was, is_now = pair.state_before[..., road], pair.state_after[..., road]
        assert np.array_equal(appeared, (is_now == 1) & (was == 0))
        assert (pair.changes[..., labels.WATER, :] != 1).all()
        found += appeared.any()
    assert found > 3


def test_same_image_pairs_have_no_change(tmp_path):
    _segmentation_set(tmp_path)
    source = datasets.open_source("same:epfl_roads", tmp_path, tmp_path)
    pair = source.draw(np.random.default_rng(0))
    assert np.array_equal(pair.before, pair.after)
    assert not pair.changes.any()


def test_items_depend_on_seed_and_index_alone(tmp_path):
    _segmentation_set(tmp_path)
    parts = [datasets.open_source("epfl_roads", tmp_path, tmp_path)]
    data = datasets.PairDataset(parts, [1.0], seed=5)
    again = datasets.PairDataset(parts, [1.0], seed=5)
    data[0]
    assert all(np.array_equal(data[3][k], again[3][k]) for k in data[3])
    other = datasets.PairDataset(parts, [1.0], seed=6)
    assert not np.array_equal(data[3]["before"], other[3]["before"])
    batch = collate([data[0], data[1]])
    assert batch["targets"].shape == (2, 2, 6, sources.CROP // 2, sources.CROP // 2)
    assert batch["sentences"].shape == (2, 2, 6)
    assert batch["state_after"].shape == (2, 6, sources.CROP // 4, sources.CROP // 4)


def test_missing_data_is_an_error(tmp_path, monkeypatch):
    monkeypatch.delenv("CHANGESCRIBE_DATA", raising=False)
    with pytest.raises(InputError, match="training data"):
        datasets.data_root()
    with pytest.raises(InputError, match="generated"):
        datasets.open_source("generated", tmp_path, tmp_path)


@pytest.mark.parametrize(
    "layout",
    [
        "levir",
        "same:levir",
        "year:oscd",
        "paste:levir:generated",
        "oscd-bercy+nantes",
        "airchange-Szada",
        "same:oscd-bercy",
        "paste:levir:airchange-Szada",
        "epfl_roads",
    ],
)
def test_layouts_are_known(layout):
    datasets.check_layout(layout)


@pytest.mark.parametrize(
    "layout",
    [
        "levr",
        "sane:levir",
        "same:levr",
        "same:",
        "same:levir:levir",
        "paste:levir",
        "paste:levir:levir:levir",
        "same:same:levir",
        "levir-1",
        "naip_trees-a",
        "oscd-",
        "oscd-a+",
        "paste:levir:generated-a",
        "",
    ],
)
def test_a_misspelt_layout_is_an_error_before_anything_is_opened(layout, tmp_path, monkeypatch):
    def opened(*_):
        raise AssertionError("opened")

    for name in ("LevirPairs", "GeneratedPairs", "SameImage"):
        monkeypatch.setattr(sources, name, opened)
    with pytest.raises(InputError) as error:
        datasets.open_source(layout, tmp_path, tmp_path)
    assert f"Unknown data source: {layout}." in error.value.message
    for name in ("levir", "oscd", "naip_trees", "dubai", "paste:A:B"):
        assert name in error.value.hint


def test_a_place_that_is_not_there_cannot_be_left_out(tmp_path, monkeypatch):
    for place in ("bercy", "saclay_e"):
        (tmp_path / "oscd" / place).mkdir(parents=True)
    monkeypatch.setattr(datasets, "WeakPairs", lambda *arguments: arguments[2])
    assert datasets.open_source("oscd-saclay", tmp_path, tmp_path) == "saclay"
    datasets.check_places("paste:levir:oscd-saclay+bercy", tmp_path)
    with pytest.raises(InputError, match="oscd has no place nantes"):
        datasets.check_places("paste:levir:oscd-saclay+nantes", tmp_path)
    with pytest.raises(InputError, match="oscd has no place bercie") as error:
        datasets.open_source("same:oscd-saclay+bercie", tmp_path, tmp_path)
    assert "bercy, saclay_e" in error.value.hint


@pytest.mark.real_data
def test_levir_pairs_are_labelled_where_they_change():
    source = sources.LevirPairs(Path(os.environ["CHANGESCRIBE_DATA"]), (1, 2))
    for seed in range(8):
        pair = source.draw(np.random.default_rng(seed))
        building = pair.changes[..., labels.BUILDING, :]
        assert set(np.unique(building[..., sample.APPEARED])) <= {0, 1}
        assert not building[..., sample.REMOVED].any()
        assert (pair.state_after[building[..., 0] == 1, labels.BUILDING] == 1).all()


def _captioned(monkeypatch, tmp_path, *crops: list[str]) -> sources.CaptionedPairs:
    """Crops of one tile side by side, 8 pixels each, with their sentences."""
    tile = [np.zeros((8, 8 * len(crops), 3), np.uint8), np.zeros((8, 8 * len(crops), 3), np.uint8)]
    tile[1][..., 0] = np.arange(8 * len(crops)) // 8
    shape = tile[0].shape[:2]
    tile += [np.zeros(shape, np.uint8), np.zeros((*shape, 6), bool), np.zeros(shape, np.uint8)]
    monkeypatch.setattr(sources, "_read_levir", lambda *_: [tuple(tile)])
    rows = [
        {"tile": "test_1", "box": [8 * i, 0, 8 * i + 8, 8], "captions": texts}
        for i, texts in enumerate(crops)
    ]
    (tmp_path / "levir").mkdir()
    (tmp_path / "levir" / "captions.json").write_text(json.dumps(rows))
    return sources.CaptionedPairs(tmp_path, (1, 1))


def test_sentences_say_what_changed_somewhere_in_their_crop(tmp_path, monkeypatch):
    gone = "trees are removed"
    source = _captioned(
        monkeypatch,
        tmp_path,
        [gone] * 3 + ["houses appear"] * 2,
        ["houses appear"] * 5,
        [gone] * 2 + ["houses appear"] * 3,
    )
    drawn = {}
    for seed in range(20):
        pair = source.draw(np.random.default_rng(seed))
        drawn[int(pair.after[0, 0, 0])] = pair
        assert (pair.after[..., 0] == pair.after[0, 0, 0]).all()
    tree = [drawn[i].sentences[labels.TREE].tolist() for i in range(3)]
    # Appeared, removed. Two of five sentences leave it unknown.
    assert tree == [[0, 1], [0, 0], [0, labels.UNKNOWN]]
    # Masks label these instead.
    assert (drawn[0].sentences[[labels.BUILDING, labels.ROAD]] == labels.UNKNOWN).all()


def test_crops_whose_sentences_report_trees_are_drawn_as_often_as_all_others(tmp_path, monkeypatch):
    source = _captioned(
        monkeypatch, tmp_path, ["trees are removed"] * 5, *[["houses appear"] * 5] * 9, []
    )
    rng = np.random.default_rng(0)
    drawn = [int(source.draw(rng).after[0, 0, 0]) for _ in range(200)]
    assert 75 < drawn.count(0) < 125
    assert set(drawn) == set(range(10))  # and never the one without sentences


def test_sentence_labels_follow_swaps_and_are_dropped_for_mixtures(tmp_path, monkeypatch):
    pair = _house_built()
    pair.sentences[labels.TREE] = 0, 1
    assert pair.swapped().sentences[labels.TREE].tolist() == [1, 0]
    turned = pair.misregistered(np.random.default_rng(0))
    assert turned.sentences[labels.TREE].tolist() == [0, 1]
    ways = {
        tuple(pair.augmented(np.random.default_rng(i)).sentences[labels.TREE]) for i in range(9)
    }
    assert ways == {(0, 1), (1, 0)}
    mixed = pair.with_parts_of(_house_built(), np.eye(SIZE, dtype=bool))
    assert (mixed.sentences == labels.UNKNOWN).all()
    with pytest.raises(InputError, match="has sentences"):
        _captioned(monkeypatch, tmp_path)


def test_drawn_lines_become_roads_near_them_and_none_far_away(monkeypatch):
    line = {"type": "LineString", "coordinates": [[10.01, 49.97], [10.05, 49.97]]}
    found = [{"properties": {"tile": 3, "kind": "road"}, "geometry": line}]
    monkeypatch.setattr(roads, "_features", lambda: found)
    place = (10.0, 0.001, 0.0, 50.0, 0.0, -0.001)
    assert roads.lines_of(3, "road", place)[0][0] == pytest.approx((10, 30))
    state = roads.new_roads(3, (60, 60), place)
    assert state[30, 30] == 1
    assert state[30 + roads.SURELY_ROAD, 30] == 1
    assert state[30 + roads.SURELY_ROAD + 1, 30] == labels.UNKNOWN
    assert state[30 + roads.SURELY_NONE + 1, 30] == 0
    assert not roads.new_roads(4, (60, 60), place).any()


def test_shipped_lines_are_on_every_tile_that_trains_or_scores():
    tiles = {f["properties"]["tile"] for f in roads._features()}
    assert tiles <= set(range(1, 37))
    assert {31, 32, 34, 35} <= tiles


@pytest.mark.parametrize("note", ["", "[", "\udcff", '{"generator": "another", "size": 320}'])
def test_scenes_that_another_generator_signed_are_not_trained_on(note, tmp_path):
    (tmp_path / "1.npz").touch()
    sources.GeneratedPairs(tmp_path)  # unsigned: the user's own
    signed = tmp_path / scene_cache.MADE_BY
    signed.write_text(note, encoding="utf-8", errors="surrogateescape")
    with pytest.raises(InputError, match="another version of the generator"):
        sources.GeneratedPairs(tmp_path)
    (tmp_path / "1.npz").rename(tmp_path / "1.kept")
    scene_cache.write_scenes(tmp_path, 0)
    (tmp_path / "1.kept").rename(tmp_path / "1.npz")
    sources.GeneratedPairs(tmp_path)
