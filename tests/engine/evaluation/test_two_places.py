# SPDX-License-Identifier: GPL-3.0-or-later
"""Figures between two places of a labelled set."""

from __future__ import annotations

import types

import numpy as np
import pytest

pytest.importorskip("scipy")
pytest.importorskip("torch")
from PIL import Image

from changescribe.engine.classes import CLASS_NAMES
from changescribe.engine.evaluation.places.two_places import ClassOnSet, measure_two_places

pytestmark = pytest.mark.torch

IDENTITY = {"scale": 1.0, "bias": 0.0}


def test_counts_by_hand():
    counts = ClassOnSet()
    # One right, one false, one missed; the last pixel is unknown.
    counts.add(np.array([[0.9, 0.8, 0.3, 0.9]]), np.array([[1, 0, 1, 255]], np.uint8), IDENTITY)
    figures = counts.figures()
    assert (figures["precision"], figures["recall"], figures["f1"]) == (0.5, 0.5, 0.5)
    # From a raw score of -0.85 = logit(0.3) down all three are found: 2 * 2 / (3 + 2).
    assert figures["best_f1"] == 0.8
    assert figures["best_raw"] < -0.8


def test_roads_between_two_places(tmp_path):
    """A system that sees every road finds those that are on the later image alone."""
    folder = tmp_path / "segmentation" / "epfl_roads"
    for kind in ("images", "labels"):
        (folder / kind).mkdir(parents=True)
    for number in range(3):
        image, label = np.zeros((300, 300, 3), np.uint8), np.full((300, 300), 254, np.uint8)
        image[:, 60 * number + 20 : 60 * number + 50] = 200
        label[:, 60 * number + 20 : 60 * number + 50] = 2
        Image.fromarray(image).save(folder / "images" / f"{number}.jpg", quality=100)
        Image.fromarray(label).save(folder / "labels" / f"{number}.png")
    asked = []

    def predict(before, after, queries):
        asked.extend(queries)
        found = (after[..., 0] > 100) & (before[..., 0] <= 100)
        return types.SimpleNamespace(scores=np.where(found, 0.9, 0.1)[:, None])

    figures = measure_two_places(
        types.SimpleNamespace(predict=predict),
        tmp_path,
        dict.fromkeys(CLASS_NAMES, IDENTITY),
        lambda text: None,
        pairs=6,
    )
    assert list(figures) == ["epfl_roads"]  # the other sets are not there
    assert figures["epfl_roads"]["road"]["f1"] > 0.97  # edges are interpolated
    assert {(query.object, query.direction) for query in asked} == {("roads", "appeared")}
