# SPDX-License-Identifier: GPL-3.0-or-later
"""Objects pasted on other ground, and colours of other years."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("torch")

from changescribe.engine.errors import InputError
from changescribe.engine.training.scenes import composites, datasets, labels, sample, sources

pytestmark = pytest.mark.torch

SIDE = 64
HOUSE = np.s_[20:40, 20:40]
APPEARED, REMOVED = sample.APPEARED, sample.REMOVED


class Given:
    """A source of one pair."""

    def __init__(self, pair: sample.PairSample) -> None:
        self.pair = pair

    def draw(self, rng: np.random.Generator) -> sample.PairSample:
        """Return it."""
        return self.pair


class Draws:
    """A random generator that sets when objects are pasted on both dates."""

    def __init__(self, both: bool) -> None:
        self.both = both

    def random(self) -> float:
        """First whether both, then how far colours are matched: not at all."""
        both, self.both = self.both, None
        return {True: 0.0, False: 0.9, None: 0.0}[both]

    def integers(self, low: int, high: int) -> int:
        """A rim of two pixels."""
        return 2


def ground(state: int) -> sample.PairSample:
    """Return a grey pair that is labelled for buildings only."""
    image = np.full((SIDE, SIDE, 3), 90, np.uint8)
    was = sample.nothing_known(SIDE, SIDE)
    was[..., labels.BUILDING] = state
    is_now = sample.nothing_known(SIDE, SIDE)
    pair = sample.PairSample.from_states(image, image.copy(), was, is_now)
    pair.changes[..., labels.BUILDING, :] = 0
    return pair


def donor() -> sample.PairSample:
    """Return a bright house that was built on a meadow."""
    before = np.full((SIDE, SIDE, 3), 60, np.uint8)
    after = before.copy()
    after[HOUSE] = 240
    was = np.zeros((SIDE, SIDE, 6), np.uint8)
    was[..., labels.GRASS] = 1
    is_now = was.copy()
    is_now[HOUSE] = 0
    is_now[(*HOUSE, labels.BUILDING)] = 1
    return sample.PairSample.from_states(before, after, was, is_now)


def laid(pair: sample.PairSample, both: bool) -> sample.PairSample:
    objects = donor().changes[..., labels.BUILDING, APPEARED] == 1
    return composites.paste(pair, donor(), labels.BUILDING, objects, Draws(both))


@pytest.mark.parametrize("state", [0, labels.UNKNOWN])
def test_an_object_laid_on_the_later_date_appeared_there(state):
    pair = laid(ground(state), both=False)
    built = pair.changes[..., labels.BUILDING, APPEARED]
    assert (built[HOUSE] == 1).all()
    assert (built == 1).sum() == 400
    assert (built[18:42, 18:42] != labels.UNKNOWN).all()
    assert (pair.changes[(*HOUSE, labels.BUILDING, REMOVED)] == 0).all()
    assert (pair.before == 90).all()
    assert (pair.after[24:36, 24:36] == 240).all()
    assert (pair.after[:14] == 90).all()
    # The rim includes the meadow, where no building remains.
    assert (pair.state_after[18:20, 20:40, labels.GRASS] == 1).all()
    assert (pair.state_after[:18] == labels.UNKNOWN).all()


def test_a_building_pasted_on_another_stays_unknown():
    built = laid(ground(1), both=False).changes[..., labels.BUILDING, APPEARED]
    assert (built[HOUSE] == labels.UNKNOWN).all()
    assert (built[:18] == 0).all()


def test_only_buildings_are_new_where_nothing_was_known():
    pair, meadow = ground(labels.UNKNOWN), donor().swapped()
    objects = meadow.changes[..., labels.GRASS, APPEARED] == 1
    assert objects.sum() == 400
    laid_on = composites.paste(pair, meadow, labels.GRASS, objects, Draws(False))
    assert (laid_on.changes[(*HOUSE, labels.GRASS, APPEARED)] == labels.UNKNOWN).all()
    pair.state_before[..., labels.GRASS] = 0
    laid_on = composites.paste(pair, meadow, labels.GRASS, objects, Draws(False))
    assert (laid_on.changes[(*HOUSE, labels.GRASS, APPEARED)] == 1).all()


def test_an_object_laid_on_both_dates_is_no_change():
    pair = laid(ground(labels.UNKNOWN), both=True)
    assert np.array_equal(pair.before, pair.after)
    assert (pair.before[24:36, 24:36] == 240).all()
    assert not pair.changes[18:42, 18:42].any()
    assert (pair.state_before[(*HOUSE, labels.BUILDING)] == 1).all()


def test_drawn_pairs_show_what_their_labels_say():
    source = composites.Pasted(Given(ground(0)), Given(donor()))
    seen = set()
    for seed in range(30):
        pair = source.draw(np.random.default_rng(seed))
        for direction in (APPEARED, REMOVED):
            count = int((pair.changes[..., labels.BUILDING, direction] == 1).sum())
            seen.add((direction, count))
    assert (APPEARED, 400) in seen
    assert (REMOVED, 400) not in seen
    nothing = composites.Pasted(Given(ground(0)), Given(ground(0)))
    assert np.array_equal(nothing.draw(np.random.default_rng(0)).after, ground(0).after)


def test_what_cannot_be_new_is_not_laid():
    lost = donor().swapped()  # a meadow replaced the house
    lost.changes[..., labels.BUILDING, :] = 0
    for state, laid_on in ((labels.UNKNOWN, False), (0, True)):
        pair = ground(labels.UNKNOWN)
        pair.state_before[..., labels.GRASS] = state
        drawn = composites.Pasted(Given(pair), Given(lost)).draw(np.random.default_rng(1))
        assert np.array_equal(drawn.after, pair.after) != laid_on


def test_other_years_change_colours_alone(tmp_path: Path):
    folder = tmp_path / "naip"
    folder.mkdir()
    ramp = np.tile(np.arange(0, 200, dtype=np.uint8), (200, 1))
    for year, image in (("2009", ramp), ("2012", ramp + 40)):
        Image.fromarray(np.dstack([image] * 3)).save(folder / f"{year}.tif")
    pair = ground(0)
    pair.before[:] = pair.after[:] = ramp[:SIDE, 60:124, None]
    source = composites.OtherYear(Given(pair), tmp_path)
    shifts = set()
    for seed in range(20):
        year = source.draw(np.random.default_rng(seed))
        assert not year.changes.any()
        difference = year.after.astype(int) - year.before
        # Everywhere in the same direction, at most by what lies between the years.
        assert (difference >= 0).all() or (difference <= 0).all()
        assert abs(difference).max() <= 41
        shifts.add(int(np.sign(difference.sum())))
    assert shifts == {-1, 1}
    assert (source.same.source.pair.after == pair.after).all()


def test_composites_are_named_in_a_recipe(tmp_path: Path):
    folder = tmp_path / "segmentation" / "epfl_roads"
    for name in ("images", "labels"):
        (folder / name).mkdir(parents=True)
    image = np.full((300, 300, 3), 90, np.uint8)
    Image.fromarray(image).save(folder / "images" / "1.jpg")
    code = np.zeros((300, 300), np.uint8)
    code[:, 100:120] = 2
    Image.fromarray(code).save(folder / "labels" / "1.png")
    pasted = datasets.open_source("paste:epfl_roads:epfl_roads", tmp_path, tmp_path)
    assert pasted.draw(np.random.default_rng(0)).after.shape == (sources.CROP, sources.CROP, 3)
    with pytest.raises(InputError, match="series"):
        datasets.open_source("year:epfl_roads", tmp_path, tmp_path)
    with pytest.raises(InputError, match="Unknown data source"):
        datasets.open_source("paste:epfl_roads", tmp_path, tmp_path)
