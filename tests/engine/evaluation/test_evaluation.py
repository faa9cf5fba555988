# SPDX-License-Identifier: GPL-3.0-or-later
"""Metrics against figures by hand, and whole-image scores against the tiles."""

from __future__ import annotations

import numpy as np
import pytest

from changescribe.engine.evaluation.places.whole_image import score_pair
from changescribe.engine.request import Query
from changescribe.engine.systems.base import ChangeSystem, SystemInfo, TilePrediction
from changescribe.engine.training.metrics import BinaryCounts, f1_by_threshold


def test_figures_by_hand():
    counts = BinaryCounts()
    counts.add(np.array([[1, 1, 0, 0]]), np.array([[255, 0, 1, 0]]))
    counts.add(np.array([[1, 0]]), np.array([[1, 0]]))
    assert (counts.tp, counts.fp, counts.fn, counts.tn) == (2, 1, 1, 2)
    assert counts.precision == pytest.approx(2 / 3)
    assert counts.recall == pytest.approx(2 / 3)
    assert counts.f1 == pytest.approx(2 / 3)
    assert counts.iou == pytest.approx(0.5)
    assert counts.accuracy == pytest.approx(4 / 6)
    assert counts.found_share == pytest.approx(0.5)


def test_figures_are_of_sums_not_means_over_pairs():
    counts = BinaryCounts()
    counts.add(np.ones((1, 99)), np.ones((1, 99)))
    counts.add(np.ones((1, 1)), np.zeros((1, 1)))
    assert counts.precision == pytest.approx(0.99)


def test_nothing_found_and_nothing_there_is_zero_not_an_error():
    counts = BinaryCounts()
    counts.add(np.zeros((2, 2)), np.zeros((2, 2)))
    assert counts.figures() == {
        "precision": 0,
        "recall": 0,
        "f1": 0,
        "iou": 0,
        "accuracy": 1,
        "found_share": 0,
    }


def test_f1_by_threshold_by_hand():
    """Scores 0, 1, 2: of the changed pixels 1, 0, 2; of the unchanged ones 3, 1, 0."""
    found = f1_by_threshold(np.array([1, 0, 2]), np.array([3, 1, 0]))
    assert found == pytest.approx([2 * 3 / (2 * 3 + 4), 2 * 2 / (2 * 2 + 1 + 1), 4 / 5])
    assert f1_by_threshold(np.zeros(2, int), np.zeros(2, int)).tolist() == [0, 0]


class _Redness(ChangeSystem):
    """Scores a pixel by the red of the later image."""

    info = SystemInfo("red", "", "", (1.0,), (), 64, 16, 1, "", "")
    device = "none"

    def load(self, device: str = "auto") -> None:
        """Do nothing."""

    def predict(self, before, after, queries, hints=None):
        """Return red / 255."""
        red = after[..., 0].astype(np.float32) / 255
        return TilePrediction(np.stack([red] * len(queries), 1))


def test_whole_image_score_equals_the_score_of_its_pixels():
    after = np.random.default_rng(0).integers(0, 256, (150, 210, 3)).astype(np.uint8)
    scores = score_pair(_Redness(), after, after, [Query("roads", "appeared")], 1.0)
    assert scores.shape == (1, 150, 210)
    assert np.allclose(scores[0], after[..., 0] / 255, atol=1e-5)


def test_a_pair_is_scored_at_the_systems_pixel_size():
    after = np.zeros((100, 120, 3), np.uint8)
    after[20:60, 40:80] = 200
    scores = score_pair(_Redness(), after, after, [Query("roads", "appeared")], 2.0)
    assert scores.shape == (1, 100, 120)
    assert abs(scores[0] - after[..., 0] / 255).mean() < 0.01
