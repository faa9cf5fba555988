# SPDX-License-Identifier: GPL-3.0-or-later
"""Factual captions of scenes whose truth is known, and the reading of their words."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("scipy")
pytest.importorskip("PIL")
pytest.importorskip("tqdm")

from changescribe.engine.evaluation.captions import truth
from changescribe.engine.evaluation.captions.truth import Tally, _counts, _region, measure
from changescribe.engine.synthesis.scenes import synthesise


def test_captions_of_true_masks_are_true() -> None:
    figures = measure("truth", range(900_000, 900_002), side=256).figures()
    assert figures["captions"] > 20
    assert figures["share"] >= 0.95, figures


def test_the_words_are_read() -> None:
    caption = (
        "12 buildings appeared (3.1 ha), most in the north-east, 2 of them along a new road; "
        "1 building disappeared (200 m²); no road appeared; trees disappeared in 1,005 places "
        "(2 ha); water appeared in 1 place (50 m²)."
    )
    assert dict(_counts(caption)) == {
        ("building", "appeared"): 12,
        ("building", "removed"): 1,
        ("road", "appeared"): 0,
        ("tree", "removed"): 1005,
        ("water", "appeared"): 1,
    }
    nothing = 'No change matching "new roads, water appeared" was found in the area analysed.'
    assert dict(_counts(nothing)) == {}


def test_a_false_caption_is_counted_as_such() -> None:
    scene = synthesise(900_000, 128, 0.5)
    for caption, code, dates in (
        ("New building, 320 m², in the south.", 1, (0, 1)),
        ("Trees cleared, 320 m², in the south.", 3, (1, 0)),
    ):
        labels = [np.full((128, 128), 4, np.uint8), np.full((128, 128), 4, np.uint8)]
        labels[dates[1]][20:40, 20:40] = code
        fake = truth.ScenePair(
            scene.before,
            scene.after,
            *labels,
            0.5,
            "",
            1,
            scene.buildings_before,
            scene.buildings_after,
        )
        inside = np.zeros((128, 128), bool)
        inside[20:40, 20:40] = True
        tally = Tally()
        _region(fake, caption, inside, tally)
        assert tally.right["region"] == 1
        _region(fake, caption, np.roll(inside, 60, 0), tally)
        _region(fake, "Building demolished, 320 m².", inside, tally)
        _region(fake, "Nonsense.", inside, tally)
        assert (tally.looked["region"], tally.right["region"]) == (4, 1)
        assert len(tally.wrong) == 3
