# SPDX-License-Identifier: GPL-3.0-or-later
"""Captions, word for word."""

from __future__ import annotations

from dataclasses import replace

import pytest

from changescribe.engine.classes import CLASSES
from changescribe.engine.prompt import parse, resolve
from changescribe.engine.request import Query, Region
from changescribe.engine.wording.facts import (
    Tally,
    format_area,
    format_length,
    region_caption,
    scene_caption,
)

ROAD = Region(
    1, "roads", "appeared", "tree", "road", 0.9, 2460.0, 9840, 412.3, "north-east", (0, 0, 1, 1)
)
HOUSE = Region(
    2, "houses", "removed", "building", "grass", 0.9, 318.0, 1272, None, "south", (0, 0, 1, 1)
)


def test_region_captions_of_the_design() -> None:
    assert region_caption(ROAD, 0.5) == "New road, 410 m long, in the north-east, replacing trees."
    house = replace(HOUSE, object="buildings")
    assert region_caption(house, 0.5) == "Building demolished, 320 m², in the south, now grass."


@pytest.mark.parametrize(
    ("change", "caption"),
    [
        ({"from_class": None}, "New road, 410 m long, in the north-east."),
        ({"from_class": "road"}, "New road, 410 m long, in the north-east."),
        (
            {"from_class": "bare ground"},
            "New road, 410 m long, in the north-east, replacing bare ground.",
        ),
        ({"length_m": None}, "New road, 2,500 m², in the north-east, replacing trees."),
        (
            {"length_m": None, "area_m2": None, "position": "", "from_class": None},
            "New road, 9,840 pixels.",
        ),
        ({"position": "centre"}, "New road, 410 m long, in the centre, replacing trees."),
        ({"object": "streets"}, "New street, 410 m long, in the north-east, replacing trees."),
        (
            {"object": "trees", "direction": "removed", "to_class": None, "length_m": None},
            "Trees cleared, 2,500 m², in the north-east.",
        ),
        (
            {"object": "forest", "from_class": "grass", "length_m": None},
            "New forest, 2,500 m², in the north-east, replacing grass.",
        ),
        (
            {"object": "lakes", "direction": "removed", "to_class": "grass", "length_m": None},
            "Lake disappeared, 2,500 m², in the north-east, now grass.",
        ),
        (
            {"object": "factories", "from_class": None, "length_m": None},
            "New factory, 2,500 m², in the north-east.",
        ),
        (
            {"object": "houses", "length_m": None, "along": "streets"},
            "New house, 2,500 m², in the north-east, along a new street, replacing trees.",
        ),
        # Nouns that no class knows stay as they are, in the singular or not.
        (
            {"object": "swimming pools", "from_class": None, "length_m": None},
            "Swimming pools appeared, 2,500 m², in the north-east.",
        ),
        (
            {"object": "glacier", "direction": "removed", "to_class": None, "length_m": None},
            "Glacier disappeared, 2,500 m², in the north-east.",
        ),
        (
            {"direction": "changed", "from_class": "tree", "to_class": "grass", "length_m": None},
            "Road changed, 2,500 m², in the north-east, from trees to grass.",
        ),
        (
            {"direction": "changed", "from_class": "tree", "to_class": None, "length_m": None},
            "Road changed, 2,500 m², in the north-east.",
        ),
    ],
)
def test_region_caption(change: dict[str, object], caption: str) -> None:
    assert region_caption(replace(ROAD, **change), 0.5) == caption


@pytest.mark.parametrize(
    ("area", "pixel", "text"),
    [
        (318.0, 0.5, "320 m²"),
        (774.0, 0.5, "770 m²"),
        (774.0, 10.0, "800 m²"),
        (42.4, 0.5, "40 m²"),
        (42.4, 0.1, "42 m²"),
        (9949.0, 0.5, "9,900 m²"),
        (9960.0, 0.5, "1 ha"),
        (31000.0, 0.5, "3.1 ha"),
        (123456.0, 0.5, "12 ha"),
        (999000.0, 0.5, "1 km²"),
        (2.4e6, 0.5, "2.4 km²"),
        (8.15e8, 30.0, "820 km²"),
        (0.42, None, "0.42 m²"),
        (0.0, 0.5, "0 m²"),
    ],
)
def test_area(area: float, pixel: float | None, text: str) -> None:
    assert format_area(area, pixel) == text


@pytest.mark.parametrize(
    ("length", "pixel", "text"),
    [
        (412.3, 0.5, "410 m"),
        (72.6, 0.5, "73 m"),
        (72.6, 10.0, "70 m"),
        (996.0, 0.5, "1 km"),
        (1340.0, 0.5, "1.3 km"),
        (12900.0, 30.0, "13 km"),
    ],
)
def test_length(length: float, pixel: float, text: str) -> None:
    assert format_length(length, pixel) == text


def tally(noun: str, way: str, count: int = 0, area: float | None = 0.0, **at: float) -> Tally:
    places = {name.replace("_", "-"): share for name, share in at.items()}
    return Tally(Query(noun, way), count, area, places)


def test_scene_caption_of_the_design() -> None:
    tallies = [
        tally("roads", "appeared", 12, 31000.0, north_east=20000.0, south=11000.0),
        tally("roads", "removed"),
    ]
    assert (
        scene_caption(parse("roads"), tallies, pixel_size=0.5)
        == "12 roads appeared (3.1 ha), most in the north-east; no road disappeared."
    )


def test_absence_is_reported_only_for_queried_objects() -> None:
    tallies = [tally("roads", "appeared", 12, 31000.0, north=15500.0, south=15500.0)]
    text = scene_caption(parse("roads built"), tallies, pixel_size=0.5)
    assert text == "12 roads appeared (3.1 ha)."


def test_one_region_in_the_singular() -> None:
    tallies = [tally("houses", "removed", 1, 318.0, south=318.0)]
    text = scene_caption(parse("houses demolished"), tallies, pixel_size=0.5)
    assert text == "1 house disappeared (320 m²), in the south."


def test_all_in_one_place() -> None:
    tallies = [tally("houses", "appeared", 3, 900.0, centre=900.0)]
    text = scene_caption(parse("new houses"), tallies, pixel_size=0.5)
    assert text == "3 houses appeared (900 m²), all in the centre."


def test_what_cannot_be_counted() -> None:
    tallies = [
        tally("trees", "removed", 5, 12000.0),
        tally("swimming pools", "appeared", 1, 120.0),
        tally("grass", "removed"),
        tally("tennis courts", "removed"),
    ]
    text = scene_caption(parse("trees cleared and so on"), tallies, pixel_size=0.5)
    assert text == (
        "Trees disappeared in 5 places (1.2 ha); swimming pools appeared in 1 place (120 m²); "
        "no grass disappeared; no tennis courts disappeared."
    )


@pytest.mark.parametrize(
    ("along", "roads", "caption"),
    [
        (12, 1, "12 houses appeared along a new road (3.1 ha), all in the north."),
        (12, 3, "12 houses appeared along new roads (3.1 ha), all in the north."),
        (9, 3, "12 houses appeared (3.1 ha), all in the north, 9 of them along new roads."),
        (1, 3, "12 houses appeared (3.1 ha), all in the north, 1 of them along a new road."),
        (0, 3, "12 houses appeared (3.1 ha), all in the north."),
    ],
)
def test_along_new_roads(along: int, roads: int, caption: str) -> None:
    parsed = parse("houses and roads built")
    tallies = [
        Tally(parsed.queries[0], 12, 31000.0, {"north": 1.0}, along, "roads" if along else ""),
        tally("roads", "appeared", roads, 900.0),
    ]
    text = scene_caption(parsed, tallies, pixel_size=0.5)
    assert text.split("; ")[0] + "." == caption


def test_an_exchange() -> None:
    parsed = parse("trees replaced by houses and roads")
    trees, houses, roads = parsed.queries
    tallies = [
        Tally(trees, 4, 12000.0, {"north": 12000.0}, partners=parsed.partners[0]),
        Tally(houses, 2, 900.0, {"centre": 500.0}, partners=parsed.partners[1]),
        Tally(roads, partners=parsed.partners[2]),
    ]
    assert scene_caption(parsed, tallies, pixel_size=0.5) == (
        "Trees replaced by houses or roads in 4 places (1.2 ha), all in the north; "
        "2 houses replaced trees (900 m²), all in the centre."
    )


def test_nothing_found() -> None:
    text = scene_caption(parse("roads  built"), [tally("roads", "appeared")])
    assert text == 'No change matching "roads built" was found in the area analysed.'
    assert type(text) is str  # Qt would not write a subclass into a layer
    parsed = resolve(parse("anything changed"), [land_cover.plural for land_cover in CLASSES])
    text = scene_caption(parsed, [Tally(query) for query in parsed.queries])
    assert text == "No change was found in the area analysed."


@pytest.mark.parametrize("prompt", ["everything except water", "anything built", "what is gone?"])
def test_nothing_found_of_what_was_not_everything(prompt: str) -> None:
    parsed = resolve(parse(prompt), [land_cover.plural for land_cover in CLASSES])
    assert parsed.anything
    text = scene_caption(parsed, [Tally(query) for query in parsed.queries])
    assert text == f'No change matching "{prompt}" was found in the area analysed.'


def test_partial_runs_say_so_and_nothing_of_absence() -> None:
    tallies = [tally("roads", "appeared", 2, 900.0), tally("roads", "removed")]
    text = scene_caption(parse("roads"), tallies, pixel_size=0.5, partial=True)
    assert text == "2 roads appeared (900 m²). The run was stopped before it was finished."
    text = scene_caption(parse("roads"), [tally("roads", "removed")], partial=True)
    assert text == (
        'No change matching "roads" was found in the part that was analysed. '
        "The run was stopped before it was finished."
    )


def test_without_georeference() -> None:
    tallies = [Tally(Query("roads", "appeared"), 2, None, {"": 400.0})]
    assert scene_caption(parse("roads built"), tallies) == "2 roads appeared."


def test_anything_lists_the_largest_and_no_absence() -> None:
    names = ["buildings", "roads", "trees", "grass", "water", "bare ground"]
    parsed = resolve(parse("what was built?"), names)
    tallies = [
        tally(name, "appeared", index, 1000.0 * index, north=1000.0 * index)
        for index, name in enumerate([*names, "pools"])
    ]
    assert scene_caption(parsed, tallies, pixel_size=0.5) == (
        "Pools appeared in 6 places (6,000 m²), all in the north; bare ground appeared in 5 places "
        "(5,000 m²), all in the north; water appeared in 4 places (4,000 m²), all in the north; "
        "grass appeared in 3 places (3,000 m²), all in the north; trees appeared in 2 places "
        "(2,000 m²), all in the north; 1 smaller change of another kind."
    )
