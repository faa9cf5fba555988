# SPDX-License-Identifier: GPL-3.0-or-later
"""True and false sentences about places with known facts."""

from __future__ import annotations

import pytest

from changescribe.engine.wording.guard import Facts, Found, Guard, check, tidied

_WAYS = {"+": "appeared", "-": "removed", "~": "changed"}


def facts(short: str, own: str = "") -> Facts:
    """Read "building+12 road+1 tree-0"; areas are 300 m2 a region."""
    found = {}
    for item in short.split():
        name, way = item.rstrip("0123456789")[:-1], item.rstrip("0123456789")[-1]
        count = int(item[len(name) + 1 :])
        found[name.replace("_", " "), _WAYS[way]] = Found(count, 300.0 * count)
    return Facts(found, (own[:-1], _WAYS[own[-1]]) if own else None)


SUBURB = "building+12 road+2 tree-3 grass-0"
TRUE = [
    (SUBURB, "Many houses are built along the road."),
    (SUBURB, "Some trees are removed and a road is built with several villas around."),
    (SUBURB, "The woods have been replaced by houses."),
    (SUBURB, "Several houses replace the grass."),
    (SUBURB, "Houses are built. Trees are cut down."),
    (SUBURB, "a road with houses on both sides appears in the forest"),
    (SUBURB, "Rows of villas have been constructed."),
    (SUBURB, "A residential area with roads has been built."),
    (SUBURB, "Ten houses appear in the desert."),
    ("building+1", "A house is built near the trees."),
    ("building+1", "A large building has been constructed beside the parking lot."),
    ("building+2", "Two houses were built at the corner of the road."),
    ("building+1", "Two houses were built."),  # 300 m2 can be both, in one region
    ("road+1", "A new road runs through the woods."),
    ("road+1", "Two roads appeared."),  # a net is one region
    ("road+3", "A road was built between the houses."),
    ("building-1", "The house has been demolished."),
    ("building-4", "Some buildings are torn down."),
    ("tree+1", "Trees are planted along the street."),
    ("water+1", "A pond appears in the meadow."),
    ("water-1 bare_ground+1", "The lake has turned into bare land."),
    ("building~3", "Several houses are built."),  # a system without direction
    ("swimming_pool+1", "A swimming pool was built behind the house."),
    ("", "The scene is the same as before."),
    ("", "there is no difference"),
    ("road+1", "The road has been widened."),
]
FALSE = [
    ("grass-2", "No change has occurred.", "presence"),  # contradicts the facts
    (SUBURB, "No change has occurred.", "presence"),
    ("building+1", "The two scenes seem identical.", "presence"),
    ("", "Some houses are built.", "presence"),
    ("grass+1", "A road is built.", "object"),
    ("tree-1", "Some houses are built in the woods.", "object"),
    ("building+12", "Many houses are built and a road is added.", "object"),
    ("building+12", "Houses are built and trees are removed.", "object"),
    ("building+12", "Houses with swimming pools are built.", "object"),
    ("building+3", "A parking lot has been built beside the houses.", "object"),
    ("road+2", "A bridge was built.", "object"),
    ("road+1", "The river has become a road.", "object"),
    ("building-2", "Two houses have been built.", "direction"),
    ("building+2", "The houses were demolished.", "direction"),
    ("tree+2", "The forest has been cleared.", "direction"),
    ("road-1", "A road is built.", "direction"),
    ("building+1 tree-1", "The house has been replaced by trees.", "direction"),
    ("building+30", "A house is built.", "count"),
    ("building+30", "Two houses are built.", "count"),
    ("building+1", "Twenty 20 houses are built.", "count"),
    ("building+1", "Twelve houses are built.", "count"),
    ("building+2", "40 buildings appear.", "count"),
    ("building+12", "The car has been moved.", "object"),
    ("building+12", "A beautiful summer day.", "empty"),
    ("building+12", "The houses have not been built.", "empty"),
    ("building+12", "No houses were built.", "empty"),
]
FORM = [
    ("", "empty"),
    ("...", "empty"),
    ("houses built", "length"),
    ("Some houses are built near the", "length"),
    ("Some houses are built and", "length"),
    ("Some houses are built " * 12, "length"),
    ("Some houses are built on " + ", ".join(f"plot {n}" for n in range(80)) + ".", "length"),
    ("houses houses are built", "repetition"),
    ("a road is built and a road is built and a road is built", "repetition"),
    ("houses are built on the houses are built on the road", "repetition"),
    ("A road with a road and a road", "repetition"),
    ("A road with a road and roads.", "repetition"),
    ("Houses near the house beside a house are built.", "repetition"),
    ("Trees and houses and the trees with houses and trees appear.", "repetition"),
    ("Houses and houses are built.", "repetition"),
    ("A road with a road is built near the trees.", "repetition"),
    ("The trees are replaced by roads and some roads.", "repetition"),
    ("a <unk> is built in the woods", "unknown"),
    ("a ##house is built in the woods", "unknown"),
    ("unk houses are built near the road", "unknown"),
    ("some houses \N{REPLACEMENT CHARACTER} are built", "unknown"),
    ("一些 houses are built here", "unknown"),
    ("some houses are built, see https www", "unknown"),
    ("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa houses are built", "unknown"),
]
#: Each has a noun twice or more, and none is a loop.
NO_LOOP = [
    "Roads are built next to the road.",
    "A new road next to the road is built.",
    "Many houses appear along the road and trees are removed.",
    "Houses are built along the road and the road is widened.",
    "Some houses appear beside the road and a road with many houses around is built.",
    "A road connecting the two roads appears between the two roads.",
    "Houses appear along the road near the woods and a road beside the woods disappears.",
    "More and more houses are built along the road.",
    "Cars become more and more.",
    "Houses are built along the road. Roads with houses replace the trees.",
    "A row of houses is built between the houses and the road.",
]


@pytest.mark.parametrize("sentence", NO_LOOP)
def test_a_noun_may_return_in_another_place(sentence: str) -> None:
    assert check(sentence) is None


@pytest.mark.parametrize(("known", "sentence"), TRUE)
def test_a_true_sentence_stays(known: str, sentence: str) -> None:
    assert check(sentence, facts(known)) is None


@pytest.mark.parametrize(("known", "sentence", "kind"), FALSE)
def test_a_false_sentence_is_replaced(known: str, sentence: str, kind: str) -> None:
    assert check(sentence, facts(known)) == kind


@pytest.mark.parametrize(("sentence", "kind"), FORM)
def test_a_malformed_sentence_is_replaced(sentence: str, kind: str) -> None:
    assert check(sentence) == kind


@pytest.mark.parametrize(
    ("known", "own", "sentence", "kind"),
    [
        (SUBURB, "road+", "A road is built with many houses around.", None),
        (SUBURB, "road+", "Many houses are built along the road.", "region"),
        (SUBURB, "tree-", "The woods are replaced by houses.", None),
        (SUBURB, "tree-", "Many houses are built in the woods.", "region"),
        ("grass+1", "grass+", "No change has occurred.", "presence"),
        ("building~2", "building~", "Some houses are built.", None),
    ],
)
def test_a_sentence_about_a_region_is_about_it(known, own, sentence, kind) -> None:
    assert check(sentence, facts(known, own)) == kind


def test_a_noun_of_the_prompt_that_was_not_found_is_not_kept() -> None:
    known = facts("road+1")
    assert check("A road and houses are built.", known) == "object"
    sentence = "A road and glasshouses are built."
    assert check(sentence, known) is None
    assert check(sentence, Facts(known.found, queried=frozenset({"glasshouses"}))) == "object"


def test_nouns_of_the_prompt_are_understood() -> None:
    known = facts("glasshouses+4")
    assert check("Some glasshouses were built.", known) is None
    assert check("A glasshouse was built.", known) is None
    assert check("Some glasshouses were removed.", known) == "direction"


@pytest.mark.parametrize(
    ("sentence", "plain"),
    [
        ("a road is built in the top left corner", "A road is built."),
        ("Houses are built at the bottom of the scene.", "Houses are built."),
        ("houses are built on the right side and trees go", "Houses are built and trees go."),
        ("a house is built at the left of the road", "A house is built at the left of the road."),
        ("houses are built on the left, near the lake", "Houses are built, near the lake."),
        ("it is built in the middle of the forest", "It is built in the middle of the forest."),
        ("a house appears on the bareland on the bareland", "A house appears on the bareland."),
        ("houses near the road near the road are built", "Houses near the road are built."),
        (
            "houses appear on the road on the left road",
            "Houses appear on the road on the left road.",
        ),
    ],
)
def test_places_in_the_image_and_repeated_places_are_left_out(sentence: str, plain: str) -> None:
    assert tidied(sentence) == plain


def test_a_corner_of_a_region_is_not_many() -> None:
    corner = Facts({("building", "appeared"): Found(0, 120.0)})
    assert check("A house is built.", corner) is None
    assert check("Many houses are built on both sides of the road.", corner) == "count"
    # The area of a class known only from an exchange is unknown.
    assert check("Some houses are removed.", facts("building-0 grass+1")) is None


def test_warnings_count_replaced_sentences_by_reason() -> None:
    guard = Guard()
    for sentence in (
        "Some houses are built.",
        "Trees are cut down.",
        "Houses are gone.",
        "all all houses rose",
    ):
        guard.passes(sentence, facts("building+4"))
    assert guard.warnings == (
        "3 of 4 written captions were replaced by the facts of the detection.",
        (
            "What was wrong: an object that was not found there (1), what appeared and what was "
            "removed (1), repeated words (1)."
        ),
    )
    assert Guard().warnings == ()
