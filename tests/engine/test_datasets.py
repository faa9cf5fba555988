# SPDX-License-Identifier: GPL-3.0-or-later
"""Labels, pseudo-pairs, queries and augmentation of the training data."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")

from changescribe.engine.errors import InputError
from changescribe.engine.training import augment, datasets, labels, phrases, sample, sources

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


def test_queries_ask_for_what_happened_and_for_what_cannot_be():
    bank = phrases.build_bank()
    pair = _house_built()
    seen_absent = False
    for seed in range(30):
        asked = sample.ask(pair, 3, bank, np.random.default_rng(seed))
        assert len(asked) == 3
        first = asked[0]
        assert bank.classes[first.phrase] == labels.BUILDING
        assert first.direction == sample.APPEARED
        assert (first.target == 1).sum() == 256
        for query in asked:
            if bank.classes[query.phrase] == phrases.ABSENT:
                seen_absent = True
                assert not query.target.any()
            if bank.classes[query.phrase] == labels.WATER:
                assert (query.target != 1).all()
    assert seen_absent


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
    bank = phrases.build_bank()
    data = datasets.PairDataset(parts, [1.0], bank, 3, seed=5)
    again = datasets.PairDataset(parts, [1.0], bank, 3, seed=5)
    data[0]
    assert all(np.array_equal(data[3][k], again[3][k]) for k in data[3])
    other = datasets.PairDataset(parts, [1.0], bank, 3, seed=6)
    assert not np.array_equal(data[3]["before"], other[3]["before"])
    batch = datasets.collate([data[0], data[1]])
    assert batch.targets.shape == (6, sources.CROP, sources.CROP)
    assert batch.state_after.shape == (2, 6, sources.CROP, sources.CROP)


def test_missing_data_is_told(tmp_path, monkeypatch):
    monkeypatch.delenv("CHANGESCRIBE_DATA", raising=False)
    with pytest.raises(InputError, match="training data"):
        datasets.data_root()
    with pytest.raises(InputError, match="generated"):
        datasets.open_source("generated", tmp_path, tmp_path)


@pytest.mark.real_data
def test_levir_pairs_are_labelled_where_they_change():
    source = sources.LevirPairs(Path(os.environ["CHANGESCRIBE_DATA"]), (1, 2))
    for seed in range(8):
        pair = source.draw(np.random.default_rng(seed))
        building = pair.changes[..., labels.BUILDING, :]
        assert set(np.unique(building[..., sample.APPEARED])) <= {0, 1}
        assert not building[..., sample.REMOVED].any()
        assert (pair.state_after[building[..., 0] == 1, labels.BUILDING] == 1).all()
