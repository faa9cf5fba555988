# SPDX-License-Identifier: GPL-3.0-or-later
"""The measures of the bundled model's card against values by hand."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("scipy")
from PIL import Image

from changescribe.engine.evaluation.masks.baselines import (
    change_magnitude,
    cva_otsu,
    otsu_threshold,
)
from changescribe.engine.evaluation.masks.calibration import (
    RawCounts,
    calibrated,
    fit_map,
    raw_scores,
)
from changescribe.engine.evaluation.masks.ranking import (
    CropRanking,
    CropsFound,
    bootstrap_auc,
    crop_score,
    roc_auc,
)
from changescribe.engine.evaluation.masks.road_lines import LineMatch
from changescribe.engine.evaluation.pictures import (
    FALSE_ALARM,
    HIT,
    LINE,
    MISS,
    SIDE,
    row_of_pictures,
    write_sheet,
)
from changescribe.engine.evaluation.places.elsewhere import ThresholdSweep
from changescribe.engine.evaluation.robustness.disturbances import (
    DISTURBANCES,
    brighter,
    light,
    noise,
    resized,
    salt_and_pepper,
    shift_before,
)
from changescribe.engine.request import APPEARED, REMOVED, Query

RNG = np.random.default_rng(0)


def test_auc_counts_pairs_and_half_of_the_ties():
    scores = np.array([0.9, 0.5, 0.5, 0.1])
    truth = np.array([True, True, False, False])
    assert roc_auc(scores, truth) == pytest.approx((1 + 1 + 0.5 + 1) / 4)
    assert np.isnan(roc_auc(scores, np.ones(4, bool)))


def test_bootstrap_interval_holds_the_auc_and_is_a_point_where_all_is_sure():
    truth = np.arange(40) % 2 == 0
    scores = truth + RNG.normal(0, 0.8, 40)
    low, high = bootstrap_auc(scores, truth, rounds=200)
    assert low < roc_auc(scores, truth) < high
    assert bootstrap_auc(truth.astype(float), truth, rounds=20) == (1.0, 1.0)


def test_crop_score_is_the_mean_of_the_top_percent():
    score = np.zeros((20, 10))
    score[0, :3] = (1.0, 0.6, 0.2)
    assert crop_score(score) == pytest.approx(0.8)  # 2 of 200 pixels


def test_few_positives_take_the_exchanged_dates():
    built, nothing = ["a road is built"] * 5, ["there is no difference"] * 5
    captions = [
        {"tile": "t", "box": [x, 0, x + 4, 4], "captions": built if x < 48 else nothing}
        for x in range(0, 96, 4)
    ]
    ways = (APPEARED, REMOVED)
    scores = {Query(w, d): np.zeros((4, 96)) for w in ("roads", "buildings", "trees") for d in ways}
    backward = dict(scores)
    scores[Query("roads", APPEARED)] = np.tile(np.arange(96) < 48, (4, 1)).astype(float)
    scores[Query("roads", APPEARED)][0] /= 4  # three rows of four are found
    backward[Query("roads", REMOVED)] = 1 - np.tile(np.arange(96) < 48, (4, 1)).astype(float)
    ranking = CropRanking(captions)
    ranking.add("t", scores, backward)
    figures = ranking.figures()
    assert figures["roads|appeared"] == {
        "auc": 1.0,
        "interval": [1.0, 1.0],
        "positive": 12,
        "negative": 12,
        "dates_swapped": False,
        "found": [0.75, 0.0],
    }
    assert figures["roads|removed"]["dates_swapped"]
    assert figures["roads|removed"]["auc"] == 0.0
    assert set(figures) == {"roads|appeared", "roads|removed"}


def test_crops_are_found_where_enough_of_their_pixels_are():
    gone, nothing = ["trees are removed"], ["no change"]
    perhaps = gone + nothing
    groups = [gone * 5, gone * 5, gone * 5, nothing * 5, nothing * 5, perhaps * 2]
    captions = [
        {"tile": "t", "box": [20 * i, 0, 20 * i + 20, 20], "captions": texts}
        for i, texts in enumerate(groups)
    ]
    score = np.zeros((20, 120))
    score[:, :20], score[:, 80:100], score[:, 100:] = 3, 1, 5
    score[0, 20:28] = 2  # 2 % of the second crop
    score[0, 40] = 9  # too little of the third
    found = CropsFound(("tree", REMOVED), captions)
    found.add("t", score)
    found.add("another", score)
    # At 2.5 one of three is found, and nothing else: 2 / (1 + 3). At 1.5 two. At 0.5 one of them
    # is none, too: 4 / (3 + 3). At 4 none.
    expected = [2 / 4, 4 / 5, 4 / 6, 0]
    assert found.f1_at(np.array([2.5, 1.5, 0.5, 4])) == pytest.approx(expected)


def test_road_lines_by_hand():
    score = np.zeros((100, 100))
    score[20, :50] = 1  # on the first half of the line
    score[60, :10] = 1  # false alarms
    score[90, :30] = 1  # near a line in doubt
    match = LineMatch.of(score, [[(0, 20), (100, 20)]], [[(0, 92), (100, 92)]])
    figures = match.at(0.5)
    assert figures.recall == pytest.approx(58 / 100)  # 8 px further than the detections reach
    assert figures.precision == pytest.approx(50 / 60)
    assert figures.f == pytest.approx(2 * 0.58 * (5 / 6) / (0.58 + 5 / 6))


def test_road_reach_is_a_circle_and_a_detection_near_both_kinds_counts():
    score = np.zeros((60, 60))
    score[10, 30] = 1
    assert LineMatch.of(score, [[(30, 18), (31, 18)]], []).at(0.5).recall == 1
    assert LineMatch.of(score, [[(36, 16), (37, 16)]], []).at(0.5).recall == 0
    lines = [[(0, 20), (60, 20)]]
    assert LineMatch.of(score, lines, lines).at(0.5).precision == 1


def test_tiles_are_summed_and_a_tile_without_lines_has_only_false_alarms():
    score = np.ones((40, 40))
    empty = LineMatch.of(score, [], [])
    assert (empty.at(0.5).precision, empty.at(0.5).recall, empty.at(0.5).f) == (0, 0, 0)
    full = LineMatch.of(score, [[(0, 0), (40, 40)]], [])
    both = LineMatch.together([full, empty]).at(0.5)
    assert both.recall == 1
    assert both.precision == pytest.approx(len(full.near) / 3200)


def test_otsu_parts_two_heaps_in_the_middle():
    values = np.concatenate([np.full(70, 1.0), np.full(30, 5.0)])
    assert otsu_threshold(values) == pytest.approx(3.0, abs=0.02)


def test_cva_takes_out_gain_and_offset_of_a_date():
    before = RNG.normal(100, 20, (40, 40, 3))
    assert change_magnitude(before, 3 * before + 7).max() == pytest.approx(0, abs=1e-9)
    after = 1.5 * before + 7
    after[5:12, 5:12] += 400
    truth = np.zeros((40, 40), bool)
    truth[5:12, 5:12] = True
    assert (cva_otsu(before, after) == truth).all()
    after[0, 0] = 1e6
    valid = np.ones((40, 40), bool)
    valid[0, 0] = False
    assert (cva_otsu(before, after, valid) == truth).all()


def test_reliability_by_hand():
    counts = RawCounts()
    raw = raw_scores(np.array([0.95, 0.95, 0.25, 0.25]))
    counts.add(raw, np.array([True, False, True, False]))
    found = counts.reliability()
    assert found["ece"] == pytest.approx((0.45 + 0.25) / 2, abs=0.01)
    assert found["ece_unsure"] == pytest.approx(0.25, abs=0.01)
    assert found["bins"][9][1:] == [0.5, 2]
    assert found["bins"][0] is None


def test_raw_scores_undo_the_calibration():
    raw = np.array([-3.0, 0.0, 2.0])
    assert raw_scores(calibrated(raw, 0.6, -1.0), 0.6, -1.0) == pytest.approx(raw)


def test_fitted_map_puts_the_best_threshold_at_one_half_and_mends_the_scores():
    raw = RNG.normal(-1, 2, 40_000)
    truth = RNG.random(40_000) < calibrated(raw, 2.0, 1.0)
    counts = RawCounts()
    counts.add(raw, truth)
    table = fit_map(counts)
    threshold = -table["bias"] / table["scale"]
    tried = np.arange(-3, 3, 0.05)
    assert counts.f1_at(np.array([threshold]))[0] >= counts.f1_at(tried).max() - 0.003
    assert counts.reliability(**table)["ece"] < counts.reliability()["ece"] / 2
    assert table["scale"] == pytest.approx(2, rel=0.25)


def test_fitted_map_follows_a_quality_of_its_own_and_survives_no_change():
    counts = RawCounts()
    counts.add(RNG.normal(0, 1, 100), np.zeros(100, bool))
    assert fit_map(counts) == {"scale": 1.0, "bias": 0.0}
    counts.add(np.array([1.0]), np.array([True]))
    table = fit_map(counts, lambda thresholds: 1.0 * np.isclose(thresholds, 1.2))
    assert -table["bias"] / table["scale"] == pytest.approx(1.2, abs=0.01)


def test_fitted_threshold_stays_near_the_networks_own():
    counts = RawCounts()
    counts.add(np.array([-4.0, -4.0, -6.0]), np.array([True, True, False]))
    table = fit_map(counts)
    assert abs(table["bias"] / table["scale"]) <= 1.55


def test_threshold_sweep_finds_the_best_f1():
    sweep = ThresholdSweep()
    sweep.add(np.array([200, 100, 50, 0]), np.array([True, True, False, False]))
    best, threshold = sweep.best()
    assert best == 1
    assert 50 < threshold * 254 <= 100


def test_disturbances_do_what_they_say():
    image = RNG.integers(40, 200, (32, 48, 3)).astype(np.uint8)
    moved, after = shift_before(2)(image, image, RNG)
    assert (moved[:, 2:] == image[:, :-2]).all()
    assert after is image
    assert (brighter(1.25)(image, image, RNG)[1] == np.clip(np.rint(image * 1.25), 0, 255)).all()
    spotted = salt_and_pepper(0.5)(image, image, RNG)[0]
    assert 0.4 < np.isin(spotted, (0, 255)).all(2).mean() < 0.6
    ratios = [(lit / image).mean() for lit in light(image, image, RNG)]
    assert all(0.74 < ratio < 1.26 for ratio in ratios)
    assert ratios[0] != ratios[1]
    grey = np.full((64, 64, 3), 100, np.uint8)
    assert noise(grey, grey, RNG)[0].std() == pytest.approx(100 / 10**1.25, rel=0.1)
    for disturb in DISTURBANCES.values():
        for disturbed in disturb(image, image, RNG):
            assert disturbed.shape == image.shape
            assert disturbed.dtype == np.uint8


def test_half_resolution_averages():
    image = np.zeros((4, 4, 3), np.uint8)
    image[::2] = 200
    assert (resized(image, 0.5) == 100).all()
    assert resized(image, 2).shape == (8, 8, 3)


def test_picture_rows_colour_what_is_right_wrong_and_missed():
    shape = (SIDE, SIDE)  # so that nothing is resized
    score, truth = np.zeros(shape), np.zeros(shape)
    score[10, 10:30] = 1
    truth[12, 10:20] = 1
    image = np.zeros((*shape, 3), np.uint8)
    exact = row_of_pictures(image, image, score, truth, "")[-SIDE:, -SIDE:]
    assert tuple(exact[10, 15]) == FALSE_ALARM
    assert tuple(exact[12, 15]) == MISS
    near = row_of_pictures(image, image, score, truth, "", reach=(4, 4))[-SIDE:, -SIDE:]
    assert tuple(near[10, 15]) == HIT
    assert tuple(near[10, 29]) == FALSE_ALARM
    assert not near[12, 15].any()


def test_a_sheet_has_a_head_and_its_rows(tmp_path):
    image = np.zeros((20, 30, 3), np.uint8)
    row = row_of_pictures(image, image, image[..., 0], None, "a place")
    write_sheet([row, row], tmp_path / "new" / "sheet.jpg")
    with Image.open(tmp_path / "new" / "sheet.jpg") as sheet:
        assert sheet.size == (5 * SIDE, LINE + 2 * (SIDE + LINE))
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["sheet.jpg"]
