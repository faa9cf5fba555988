# SPDX-License-Identifier: GPL-3.0-or-later
"""The prompt grammar by examples: prompts and their queries."""

from __future__ import annotations

import time

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
    # one word for object and verb, in UK and US spelling
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
    # places and times are left out
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
    # excluded objects are left out
    ("roads built but not sheds", "+roads"),
    ("roads built, no buildings", "+roads"),
    ("buildings demolished except sheds", "-buildings"),
    # nothing is corrected; unknown nouns are passed on as they are
    ("buildngs demolished", "-buildngs"),
    ("roads bulit", "*roads bulit"),
    ("tennis courts removed", "-tennis courts"),
    ("Straßenbahn built", "+straßenbahn"),
    # sizes
    ("roads at least 100 m long", "*roads"),
    ("new roads at least 10 m wide", "+roads"),
    ("1 ha of trees cleared", "-trees"),
    ("more than 2 ha of forest removed", "-forest"),
    ("trees cleared, 2 ha or more", "-trees"),
    ("100 new houses", "+houses"),
    ("big new buildings", "+buildings"),
    ("clearings over 2 ha", "-trees"),
    ("houses built 2012-2019", "+houses"),
    ("more than one new house", "+house"),
    ("new 2-lane roads", "+roads"),
    ("no longer existing buildings", "-buildings"),
    # places after "leading", "standing" and the like
    ("road to the airport", "*road"),
    ("new road to the airport", "+road"),
    ("path leading to the school", "*path"),
    ("roads connecting the villages", "*roads"),
    ("road to buildings", "-road +buildings"),
    ("houses next to the lake", "*houses"),
    ("houses north of the river", "*houses"),
    ("bridge built over the river", "+bridge"),
    ("new buildings along the road and in the forest", "+buildings"),
    ("trees lost to fire", "-trees"),
    ("trees lost because of drought", "-trees"),
    ("damage to buildings", "-buildings"),
    # earlier classes
    ("new buildings on former forest", "+buildings"),
    ("buildings on former farmland", "+buildings"),
    ("new houses on what used to be forest", "+houses"),
    ("buildings built where forest was cleared", "+buildings"),
    ("houses that were forest before", "+houses"),
    ("houses demolished where forest was", "-houses"),
    ("what was forest and is now houses", "-forest +houses"),
    ("loss of farmland to buildings", "-farmland +buildings"),
    ("farmland lost to urbanisation", "-farmland +buildings +roads"),
    ("forest to farmland conversion", "-forest +farmland"),
    ("trees => buildings", "-trees +buildings"),
    ("replaced roofs", "*roofs"),
    ("trees replaced by buildings; new roads", "-trees +buildings +roads"),
    ("new roads, trees replaced by buildings", "+roads -trees +buildings"),
    ("from forest to grass and from grass to houses", "-forest +grass -grass +houses"),
    # questions
    ("where were houses built?", "+houses"),
    ("can you show where trees were cleared", "-trees"),
    ("how much forest was lost?", "-forest"),
    ("has the river moved?", "*river"),
    # one word, and words that stand for another
    ("new construction", "+buildings"),
    ("demolition", "-buildings"),
    ("new-builds near the station", "+houses"),
    ("collapsed buildings", "-buildings"),
    ("flood damage", "+water"),
    ("glacier retreat", "-glacier"),
    ("high-rise buildings built", "+high-rise buildings"),
    ("swimming-pools built", "+swimming pools"),
    ("only new buildings", "+buildings"),
    # other languages
    ("neue Gebäude", "+buildings"),
    ("Haeuser abgerissen", "-houses"),
    ("Wo wurden Straßen gebaut?", "+roads"),
    ("Gibt es neue Straßen?", "+roads"),
    ("Wald durch Häuser ersetzt", "-forest +houses"),
    ("arbres abattus et routes construites", "-trees +roads"),
    ("batiments demolis", "-buildings"),
    ("nuevas carreteras", "+roads"),
    ("árboles talados cerca del río", "-trees"),
    ("bosque reemplazado por casas", "-forest +houses"),
    ("novos edifícios", "+buildings"),
    ("desmatamento", "-trees"),
    ("routes", "*routes"),
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
    assert parsed.queries == _expected(expected)
    assert parsed.text == text
    assert not parsed.anything


@pytest.mark.parametrize("text", [case[0] for case in CASES])
def test_queries_make_a_prompt_that_is_read_as_them(text: str) -> None:
    parsed = parse(text)
    again = parse(compose(parsed))
    assert (again.queries, again.partners) == (parsed.queries, parsed.partners)
    if len(parsed.queries) > 1 and not parsed.partners[0]:
        rest = parse(compose(parsed, {0}))
        assert (rest.queries, rest.partners) == (parsed.queries[1:], parsed.partners[1:])


def test_of_an_exchange_one_side_may_be_left_out() -> None:
    parsed = parse("forest replaced by houses and roads")
    assert compose(parsed, {2}) == "forest replaced by houses"
    assert compose(parsed, {0}) == (
        "houses appeared on former forest, roads appeared on former forest"
    )
    assert compose(parsed, {0, 1, 2}) == ""


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
        "all",
        "land use changes",
        "change detection",
    ],
)
def test_anything(text: str) -> None:
    parsed = parse(text)
    assert parsed.anything
    assert parsed.queries == ()
    assert parsed.explanation == "looks for: any change"
    assert resolve(parsed, ["roads", "trees"]).queries == _expected("*roads *trees")


def test_a_system_without_directions_gets_changed() -> None:
    (query,) = resolve(parse("anything changed"), ["buildings"], directed=False).queries
    assert query == Query("buildings", "changed")
    (query,) = resolve(parse("what was built?"), ["buildings"], directed=False).queries
    assert query == Query("buildings", "appeared")  # as asked


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
        "unchanged forest",
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
    assert parse(text).partners == (("houses", "roads"), ("forest",), ("forest",))


def test_targets_side_by_side_are_not_bound() -> None:
    assert parse("trees cleared and buildings built").partners == ((), ())


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
        ("changes from 2012 to 2019", ["from 2012 to 2019"]),
        ("what changed near the river?", ["near the river"]),
        ("what was demolished in the forest?", ["in the forest"]),
        ("trees on slopes replaced by houses near the lake", ["on slopes", "near the lake"]),
        ("buildings demolished except sheds", ["except sheds"]),
        ("roads and x built", ["x"]),
        ("roads at least 100 m long", ["at least 100 m long"]),
        ("1 ha of trees cleared", ["1 ha"]),
        ("new road to the airport", ["to the airport"]),
        ("big new buildings", ["big"]),
        ("buildings built in the last 5 years", ["in the last 5 years"]),
        ("Häuser nahe dem Fluss gebaut", ["near river"]),
        # Words that are used or have no meaning are not listed as ignored.
        ("roads built, no buildings", []),
        ("roads built but not sheds", []),
        ("roads built in this image", []),
        ("show me all changes in the forest", []),
        ("new buildings on former forest", []),
        ("trees cleared between the two dates", []),
        ("houses with red roofs built", []),
    ],
)
def test_what_is_ignored_is_reported(text: str, unused: list[str]) -> None:
    parsed = parse(text)
    assert list(parsed.unused) == unused
    assert ("ignored: " + "; ".join(unused) in parsed.explanation) == bool(unused)
    (*warning,) = notes(parsed)
    assert [part in warning[0] for part in unused] == [True] * len(unused)
    assert len(warning) == bool(unused)
    assert all(text.startswith("Ignored in the prompt: ") for text in warning)


def test_resolve_keeps_what_is_ignored() -> None:
    parsed = resolve(parse("what was built in the north?"), ["roads", "trees"])
    assert parsed.explanation == (
        "looks for: anything, appeared (roads, trees) (ignored: in the north)"
    )
    assert [query.direction for query in parsed.queries] == ["appeared", "appeared"]


def test_resolve_leaves_a_target_alone() -> None:
    parsed = parse("roads built")
    assert resolve(parsed, ["trees"]) is parsed


def test_resolve_without_classes() -> None:
    with pytest.raises(InputError, match="no classes"):
        resolve(parse("any change"), [])


@pytest.mark.parametrize(
    "text",
    [
        "new houses on former forest",
        "houses built where forest was cleared",
        "houses on land that used to be forest",
    ],
)
def test_what_was_there_before_binds_what_came(text: str) -> None:
    parsed = parse(text)
    assert parsed.queries == (Query("houses", "appeared"),)
    assert parsed.partners == (("forest",),)
    assert parsed.explanation == "looks for: houses, appeared on former forest"


def test_exchanges_side_by_side_are_bound_each_for_itself() -> None:
    parsed = parse("trees replaced by buildings, grass replaced by roads, new houses")
    assert [(q.object, partners) for q, partners in zip(parsed.queries, parsed.partners)] == [
        ("trees", ("buildings",)),
        ("buildings", ("trees",)),
        ("grass", ("roads",)),
        ("roads", ("grass",)),
        ("houses", ()),
    ]
    assert parsed.explanation.startswith(
        "looks for: buildings replaced trees, roads replaced grass (trees, removed; "
    )


@pytest.mark.parametrize(
    ("text", "names", "explanation"),
    [
        ("everything except water", ["roads", "trees"], "any change, except water"),
        ("anything but water", ["roads", "trees"], "any change, except water"),
        (
            "what changed apart from vegetation?",
            ["roads", "water"],
            "any change, except trees and grass",
        ),
        ("everything new except roads", ["trees", "water"], "anything, appeared, except roads"),
        ("alles außer Wasser", ["roads", "trees"], "any change, except water"),
    ],
)
def test_everything_except(text: str, names: list[str], explanation: str) -> None:
    parsed = parse(text)
    assert parsed.explanation.startswith(f"looks for: {explanation}")
    resolved = resolve(parsed, ["roads", "trees", "water"])
    assert list(dict.fromkeys(query.object for query in resolved.queries)) == names


def test_everything_except_all_is_nothing() -> None:
    with pytest.raises(InputError, match="leaves nothing"):
        resolve(parse("everything except roads"), ["roads"])


def test_an_exception_that_cannot_be_excluded_is_reported() -> None:
    assert parse("everything except cars").unused == ("except cars",)


def test_long_prompts_are_refused_at_once() -> None:
    assert parse("houses built" + " " * 980).queries
    start = time.monotonic()
    for text in ("a" * 1001, "houses built " * 1300, "x, " * 100_000):
        with pytest.raises(InputError, match=f"{len(text)} characters, more than 1000"):
            parse(text)
    assert time.monotonic() - start < 0.1
