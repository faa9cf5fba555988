# SPDX-License-Identifier: GPL-3.0-or-later
"""The prompt grammar, by examples: what an analyst types, what is looked for."""

from __future__ import annotations

from dataclasses import replace

import pytest

from changescribe.engine.errors import InputError
from changescribe.engine.prompt import compose, notes, parse, resolve
from changescribe.engine.request import Query

# "+" appeared, "-" removed, "*" both
CASES = [
    # verb after and before the noun
    ("roads built", "+roads"),
    ("built roads", "+roads"),
    ("new houses", "+houses"),
    ("New Houses", "+houses"),
    ("  roads   built.  ", "+roads"),
    ("newly built houses", "+houses"),
    ("construction of roads", "+roads"),
    ("the construction of new roads", "+roads"),
    ("trees were cleared", "-trees"),
    ("trees have been felled", "-trees"),
    ("where have buildings been demolished?", "-buildings"),
    ("have any trees been planted", "+trees"),
    ("show me all the new swimming pools", "+swimming pools"),
    ("loss of tree cover", "-tree cover"),
    ("increase in buildings", "+buildings"),
    ("the lake shrank", "-lake"),
    ("expanded lakes", "+lakes"),
    ("fewer trees", "-trees"),
    ("trees cut down", "-trees"),
    ("cut down trees", "-trees"),
    ("trees have been cut", "-trees"),
    ("trees cut", "-trees"),
    ("cut trees", "-trees"),
    ("cutting of trees", "-trees"),
    ("clear-cut forest", "-forest"),
    ("road widening", "+road"),
    ("widening of roads", "+roads"),
    ("roads widened", "+roads"),
    ("widened roads", "+roads"),
    ("runway lengthened", "+runway"),
    ("river shortened", "-river"),
    ("rivers narrowed", "-rivers"),
    ("torn-down buildings", "-buildings"),
    ("lakes dried up", "-lakes"),
    ("tree-felling", "-tree"),
    ("solar panels installed", "+solar panels"),
    ("buildings that no longer exist", "-buildings"),
    ("new buildings demolished", "-buildings"),
    # no verb, or "changed"
    ("buildings", "*buildings"),
    ("buildings changed", "*buildings"),
    ("changes to buildings", "*buildings"),
    ("what happened to the forest?", "*forest"),
    ("show me all changes in the forest", "*forest"),
    # several targets
    ("new roads and demolished buildings", "+roads -buildings"),
    ("roads and buildings built", "+roads +buildings"),
    ("roads, buildings and bridges built", "+roads +buildings +bridges"),
    ("new roads, buildings and trees", "+roads +buildings +trees"),
    ("roads built, trees cleared; buildings demolished", "+roads -trees -buildings"),
    ("roads built or demolished", "+roads -roads"),
    ("built and demolished roads", "+roads -roads"),
    ("roads and demolished buildings", "*roads -buildings"),
    ("roads; roads built", "+roads"),
    ("trees as well as grass lost", "-trees -grass"),
    # exchanges
    ("trees replaced by buildings", "-trees +buildings"),
    ("forest has been replaced with houses and roads", "-forest +houses +roads"),
    ("grass turned into water", "-grass +water"),
    ("forest converted to farmland", "-forest +farmland"),
    ("conversion of forest to farmland", "-forest +farmland"),
    ("buildings replacing trees", "-trees +buildings"),
    ("houses built instead of trees", "-trees +houses"),
    ("from grass to roads", "-grass +roads"),
    ("grass to buildings", "-grass +buildings"),
    ("forest -> houses", "-forest +houses"),
    ("trees cleared for roads", "-trees +roads"),
    ("trees cut for roads", "-trees +roads"),
    ("trees cut down to build houses", "-trees +houses"),
    ("trees became grass", "-trees +grass"),
    # one word for what and how, in UK and US spelling
    ("deforestation", "-trees"),
    ("clear cutting", "-trees"),
    ("reforestation", "+trees"),
    ("urbanisation", "+buildings +roads"),
    ("urbanization", "+buildings +roads"),
    ("urban sprawl", "+buildings +roads"),
    ("sprawl", "+buildings +roads"),
    ("urban growth", "+buildings +roads"),
    ("urban expansion in the north", "+buildings +roads"),
    ("expansion of the city", "+buildings +roads"),
    ("growth of built-up areas", "+buildings +roads"),
    ("flooding", "+water"),
    ("flooded", "+water"),
    ("flooded fields", "+water"),
    ("deforestation and new roads", "-trees +roads"),
    # nouns that look like verbs, and phrases
    ("building demolished", "-building"),
    ("new construction sites", "+construction sites"),
    ("construction sites", "*construction sites"),
    ("blocks of flats built", "+blocks of flats"),
    ("houses with red roofs built", "+houses with red roofs"),
    ("new railway cutting", "+railway cutting"),
    ("road cut built", "+road cut"),
    ("new parking lots", "+parking lots"),
    ("built-up areas", "*built-up areas"),
    ("new-build houses", "+houses"),
    ("cul-de-sacs built", "+cul-de-sacs"),
    # where and when something happened is left out
    ("trees along the river cleared", "-trees"),
    ("houses built on grass", "+houses"),
    ("roads built between 2012 and 2019", "+roads"),
    ("buildings built where there was forest", "+buildings"),
    ("buildings demolished near the new road", "-buildings"),
    ("houses built on cleared land", "+houses"),
    ("roads destroyed by flooding", "-roads"),
    ("roads larger than a football field", "*roads"),
    ("buildings larger than 1,000 m2 demolished", "-buildings"),
    ("in the north roads were built", "+roads"),
    # what is not wanted is left out
    ("roads built but not sheds", "+roads"),
    ("roads built, no buildings", "+roads"),
    ("buildings demolished except sheds", "-buildings"),
    # nothing is corrected; unknown nouns are passed on as they are
    ("buildngs demolished", "-buildngs"),
    ("roads bulit", "*roads bulit"),
    ("tennis courts removed", "-tennis courts"),
    ("Straße built", "+straße"),
]


def _expected(text: str) -> tuple[Query, ...]:
    found: list[Query] = []
    for item in text.replace(" +", "|+").replace(" -", "|-").replace(" *", "|*").split("|"):
        ways = {"+": ("appeared",), "-": ("removed",), "*": ("appeared", "removed")}[item[0]]
        found += [Query(item[1:], way) for way in ways]
    return tuple(found)


@pytest.mark.parametrize(("text", "expected"), CASES, ids=[case[0] for case in CASES])
def test_queries(text: str, expected: str) -> None:
    parsed = parse(text)
    assert tuple(replace(query, partners=()) for query in parsed.queries) == _expected(expected)
    assert parsed.text == text
    assert not parsed.anything


@pytest.mark.parametrize("text", [case[0] for case in CASES])
def test_queries_make_a_prompt_that_is_read_as_them(text: str) -> None:
    queries = parse(text).queries
    assert parse(compose(queries)).queries == queries
    if len(queries) > 1 and not queries[0].partners:
        assert parse(compose(queries[1:])).queries == queries[1:]


def test_of_an_exchange_one_side_may_be_left_out() -> None:
    forest, houses, roads = parse("forest replaced by houses and roads").queries
    assert compose((forest, houses)) == "forest replaced by houses"
    assert compose((houses, roads)) == "houses appeared, roads appeared"
    assert compose(()) == ""


@pytest.mark.parametrize(
    "text",
    [
        "anything changed",
        "any change",
        "what changed?",
        "What has changed here?",
        "changes",
        "all changes",
        "show me everything that changed",
        "everything",
        "differences",
    ],
)
def test_anything(text: str) -> None:
    parsed = parse(text)
    assert parsed.anything
    assert parsed.queries == ()
    assert parsed.explanation == "looks for: any change"
    assert resolve(parsed, ["roads", "trees"]).queries == _expected("*roads *trees")


@pytest.mark.parametrize(
    ("text", "direction"),
    [
        ("what was built?", "appeared"),
        ("what's new", "appeared"),
        ("anything lost", "removed"),
        ("what was demolished in the forest?", "removed"),
    ],
)
def test_anything_in_one_direction(text: str, direction: str) -> None:
    parsed = parse(text)
    assert parsed.anything
    assert resolve(parsed, ["roads", "trees"]).queries == (
        Query("roads", direction),
        Query("trees", direction),
    )
    assert parsed.explanation.startswith(f"looks for: anything, {direction}")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "   ",
        "?!",
        "...",
        "built",
        "new",
        "demolished!",
        "the",
        "was",
        "and",
        "2019",
        "no roads",
        "roads not built",
        "nothing but not roads",
        "no change",
        "x",
        "a b",
        "he",
        "other",
        "larger than 1 ha",
        "in the north",
    ],
)
def test_nothing_to_look_for(text: str) -> None:
    with pytest.raises(InputError) as caught:
        parse(text)
    assert '"roads built"' in caught.value.hint


def test_explanation() -> None:
    assert parse("roads built").explanation == "looks for: roads, appeared"
    assert parse("trees replaced by houses and roads").explanation == (
        "looks for: houses and roads replaced trees "
        "(trees, removed; houses, appeared; roads, appeared)"
    )


@pytest.mark.parametrize(
    "text",
    [
        "forest replaced by houses and roads",
        "forest turned into houses and roads",
        "houses and roads replacing forest",
        "forest -> houses and roads",
    ],
)
def test_an_exchange_binds_what_went_to_what_came(text: str) -> None:
    gone, *come = parse(text).queries
    assert gone.partners == ("houses", "roads")
    assert [query.partners for query in come] == [("forest",), ("forest",)]


def test_targets_side_by_side_are_not_bound() -> None:
    queries = parse("trees cleared and buildings built").queries
    assert [query.partners for query in queries] == [(), ()]


@pytest.mark.parametrize(
    ("text", "unused"),
    [
        ("roads built near the river", ["near the river"]),
        ("trees along the river cleared", ["along the river"]),
        ("roads built in the north", ["in the north"]),
        ("houses in the western part of town demolished", ["in the western part of town"]),
        ("buildings larger than 1 ha", ["larger than 1 ha"]),
        ("buildings > 1,500 m² built near the new road", ["> 1,500 m²", "near the new road"]),
        ("no more than 3 houses built", ["no more than 3"]),
        ("new houses within 100 m of the river", ["within 100 m of the river"]),
        ("roads built between 2012 and 2019", ["between 2012 and 2019"]),
        ("changes since 2015", ["since 2015"]),
        ("what changed near the river?", ["near the river"]),
        ("what was demolished in the forest?", ["in the forest"]),
        ("trees on slopes replaced by houses near the lake", ["on slopes", "near the lake"]),
        ("buildings demolished except sheds", ["except sheds"]),
        ("roads and x built", ["x"]),
        # What is acted upon, or says nothing, is not mentioned.
        ("roads built, no buildings", []),
        ("roads built but not sheds", []),
        ("roads built in this image", []),
        ("show me all changes in the forest", []),
        ("trees cleared between the two dates", []),
        ("houses with red roofs built", []),
    ],
)
def test_what_nobody_acts_upon_is_told(text: str, unused: list[str]) -> None:
    parsed = parse(text)
    assert list(parsed.unused) == unused
    assert ("not used: " + "; ".join(unused) in parsed.explanation) == bool(unused)
    (*warning,) = notes(parsed)
    assert [part in warning[0] for part in unused] == [True] * len(unused)
    assert len(warning) == bool(unused)


def test_resolve_keeps_what_was_not_used() -> None:
    parsed = resolve(parse("what was built in the north?"), ["roads", "trees"])
    assert parsed.explanation == (
        "looks for: anything, appeared (roads, trees) (not used: in the north)"
    )
    assert [query.direction for query in parsed.queries] == ["appeared", "appeared"]


def test_resolve_leaves_a_target_alone() -> None:
    parsed = parse("roads built")
    assert resolve(parsed, ["trees"]) is parsed


def test_resolve_without_classes() -> None:
    with pytest.raises(InputError, match="no classes"):
        resolve(parse("any change"), [])
