# SPDX-License-Identifier: GPL-3.0-or-later
"""Sentences in the style of LEVIR-CC and their events."""

from __future__ import annotations

import pytest

from changescribe.engine.wording.reading import crop_truth, read_sentence

_WAYS = {"+": "appeared", "-": "removed"}


def _events(short: str) -> set[tuple[str, str]]:
    """Read "road+ tree-"."""
    return {(item[:-1], _WAYS[item[-1]]) for item in short.split()}


@pytest.mark.parametrize(
    ("sentence", "says"),
    [
        ("trees are removed", "tree-"),
        ("a road is built", "road+"),
        ("houses replaced the woods", "building+ tree-"),
        ("the woods have been replaced by houses", "building+ tree-"),
        (
            "the forest has turned into a residential area with houses and roads",
            "building+ road+ tree-",
        ),
        (
            "trees are removed and an arc road is built with some houses around",
            "building+ road+ tree-",
        ),
        ("several houses have been built on both sides of the road", "building+"),
        ("some villas are built along a new road in the forest", "building+ road+"),
        ("two buildings appear in the woods between the old houses", "building+"),
        (
            "in the open space three rows of houses are built near the corner of the road",
            "building+",
        ),
        ("a road appears at the top in place of some trees", "road+ tree-"),
        ("some trees are removed by several buildings", "building+ tree-"),
        ("a house is built in the woods with a path to the road", "building+ road+"),
        (
            "trees and a house are removed and a cross road is built through the woods",
            "building- road+ tree-",
        ),
        ("a road with villas built along replaces the bareland and trees", "building+ road+ tree-"),
        (
            (
                "house at the bottom disappears and two lines of villas surround a road "
                "replacing many plants"
            ),
            "building- building+ tree-",
        ),
        ("a house surrounded by the roads and the woods shows up", "building+"),
        ("a row of villas is constructed and the path disappears", "building+ road-"),
        (
            "almost all trees are cut down and some houses are built along a new cement road",
            "building+ road+ tree-",
        ),
        ("more trees are planted near the houses", "tree+"),
        ("a parking lot appears beside the road", ""),
        ("the pond dried up", ""),
        ("there is no difference", ""),
        ("the scene is the same as before", ""),
        ("almost nothing has changed", ""),
    ],
)
def test_events_of_a_sentence(sentence: str, says: str):
    assert read_sentence(sentence).events == _events(says)


@pytest.mark.parametrize(
    ("sentence", "hints"),
    [
        ("the road is rebuilt and two houses are built", "road+"),
        ("bushes are removed and a road is built", "tree-"),
        ("some houses with a widened road show up", "road+"),
    ],
)
def test_what_is_not_sure_is_a_hint(sentence: str, hints: str):
    assert read_sentence(sentence).hints == _events(hints)


def test_a_crop_needs_three_sentences_and_a_negative_none():
    road, none = "a road is built", "there is no difference"
    event = ("road", "appeared")
    assert crop_truth([road, road, road, none, none], event) is True
    assert crop_truth([road, road, none, none, none], event) is None
    assert crop_truth(["the road is widened", none, none, none, none], event) is None
    assert crop_truth([none] * 5, event) is False
    assert crop_truth([road] * 5, ("road", "removed")) is False
