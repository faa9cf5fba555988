# SPDX-License-Identifier: GPL-3.0-or-later
"""Large pixels show no single buildings, so captions have a coarser word."""

from __future__ import annotations

import pytest

from changescribe.engine.prompt import parse
from changescribe.engine.request import Region
from changescribe.engine.wording.facts import Tally, region_caption, scene_caption


def region(direction: str) -> Region:
    return Region(
        1, "houses", direction, None, None, 0.8, 70_000.0, 700, None, "north", (0, 0, 1, 1)
    )


@pytest.mark.parametrize(
    ("pixel_size", "expected"),
    [
        (0.5, "New house, 7 ha, in the north."),
        (10.0, "New built-up area, 7 ha, in the north."),
    ],
)
def test_a_region(pixel_size, expected):
    assert region_caption(region("appeared"), pixel_size) == expected


def test_what_is_gone_and_the_scene():
    assert region_caption(region("removed"), 10.0).startswith("Built-up area disappeared")
    parsed = parse("houses built")
    tally = Tally(parsed.queries[0], 2, 140_000.0, {"north": 140_000.0})
    caption = scene_caption(parsed, [tally], pixel_size=10.0)
    assert caption.startswith("Built-up area appeared in 2 places (14 ha)")
    assert scene_caption(parsed, [tally], pixel_size=0.5).startswith("2 houses appeared")
