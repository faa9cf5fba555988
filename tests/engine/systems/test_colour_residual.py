# SPDX-License-Identifier: GPL-3.0-or-later
"""Residuals between two dates of generated ground, and the queries that receive them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from changescribe.engine import prompt
from changescribe.engine.detect.scoring import hints_for
from changescribe.engine.request import Hints
from changescribe.engine.systems.base import SystemInfo
from changescribe.engine.systems.bundled.colour_residual import CELL, colour_residual

SIDE = 128
NO_FEATURES = np.zeros((2, 1, SIDE // CELL, SIDE // CELL), np.float32)
CHANGED = np.s_[40:64, 72:96]


def _ground(seed: int = 4) -> np.ndarray:
    """Return fields of many colours, (H, W, 3) uint8."""
    rng = np.random.default_rng(seed)
    fields = rng.integers(60, 200, (SIDE // 8, SIDE // 8, 3))
    noise = rng.normal(0, 4, (SIDE, SIDE, 3))
    return np.clip(fields.repeat(8, 0).repeat(8, 1) + noise, 0, 255).astype(np.uint8)


def _other_sensor(image: np.ndarray) -> np.ndarray:
    """The same ground with other colours: bands mixed, darker, less contrast."""
    mixing = np.array([[0.5, 0.2, 0.0], [0.1, 0.4, 0.2], [0.0, 0.3, 0.4]])
    return np.clip(image @ mixing + 30, 0, 255).astype(np.uint8)


def _changed(image: np.ndarray, where: tuple[slice, slice] = CHANGED) -> np.ndarray:
    after = image.copy()
    after[where] = 255 - after[where]
    return after


def test_another_sensor_is_no_change_and_a_changed_patch_is():
    before = _ground()
    after = _other_sensor(_changed(before))
    amount = colour_residual(before, after, NO_FEATURES)
    assert amount.shape == (SIDE, SIDE)
    assert amount.dtype == np.float32
    outside = np.ones((SIDE, SIDE), bool)
    outside[36:68, 68:100] = False
    inside = amount[44:60, 76:92]
    assert np.median(inside) > 5 * np.quantile(amount[outside], 0.95)


def test_a_large_change_does_not_distort_the_prediction():
    before = _ground()
    amount = colour_residual(before, _other_sensor(_changed(before, np.s_[:, :40])), NO_FEATURES)
    assert np.median(amount[:, :36]) > 5 * np.median(amount[:, 48:])


def test_a_change_predicted_by_the_features_is_no_residual():
    """Half of the fields turn green: only features that mark them predict it."""
    before = _ground()
    turning = np.random.default_rng(1).random((SIDE // 8, SIDE // 8)) < 0.5
    after = np.where(turning.repeat(8, 0).repeat(8, 1)[..., None], (60, 160, 60), before)
    features = np.stack([turning.repeat(2, 0).repeat(2, 1)] * 2)[:, None].astype(np.float32)
    known = colour_residual(before, after.astype(np.uint8), features)
    blind = colour_residual(before, after.astype(np.uint8), NO_FEATURES)
    assert known.mean() < 0.8 * blind.mean()


def test_exchanged_dates_change_nothing():
    before, after = _ground(), _other_sensor(_changed(_ground()))
    features = np.random.default_rng(0).normal(size=(2, 5, 32, 32)).astype(np.float32)
    forward = colour_residual(before, after, features)
    assert np.allclose(forward, colour_residual(after, before, features[::-1]), atol=1e-4)


def test_the_same_image_twice_has_no_residual():
    assert colour_residual(_ground(), _ground(), NO_FEATURES).max() < 0.2


def test_nodata_is_no_change_and_does_not_affect_the_rest():
    before = _ground()
    after = _other_sensor(_changed(before))
    cut_before, cut_after = before.copy(), after.copy()
    cut_before[:, :32] = cut_after[:, :32] = 0
    amount = colour_residual(cut_before, cut_after, NO_FEATURES)
    assert amount[:, :24].max() == 0
    whole = colour_residual(before[:, 32:], after[:, 32:], NO_FEATURES[..., 8:])
    assert np.allclose(amount[:, 48:], whole[:, 16:], atol=0.02)


@pytest.mark.parametrize("kept", [0, 32])
def test_too_few_pixels_give_no_residual(kept):
    before, after = _ground(1), _ground(2)
    before[kept:] = after[kept:] = 0
    before[:, kept:] = after[:, kept:] = 0
    assert colour_residual(before, after, NO_FEATURES).max() == 0


INFO = SystemInfo("s", "", "", (0.44,), ("building", "water"), 64, 16, 1, "1", "")


@pytest.mark.parametrize(
    ("text", "pixel_size", "coarse"),
    [
        ("buildings built", 0.5, False),
        ("buildings built", 2.0, False),  # magnified: objects are recognisable
        ("buildings built", 10.0, True),
        ("buildings built", None, False),
        ("anything changed", 1.1, False),
        ("anything changed", 2.0, True),
        ("anything changed", 10.0, True),
        ("anything changed", None, True),
    ],
)
def test_pixels_are_coarse_where_objects_cannot_be_known_by_their_shape(text, pixel_size, coarse):
    parsed = prompt.resolve(prompt.parse(text), ["buildings", "water"])
    assert hints_for(parsed, pixel_size, INFO) == Hints(coarse=coarse)
    sharp = hints_for(replace(parsed, hints=Hints(sharp=True)), pixel_size, INFO)
    assert sharp == Hints(coarse=coarse and pixel_size is not None, sharp=True)
    anywhere = hints_for(parsed, pixel_size, replace(INFO, pixel_sizes=()))
    assert anywhere.coarse == (pixel_size is None and parsed.anything)
