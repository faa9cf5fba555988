# SPDX-License-Identifier: GPL-3.0-or-later
"""The lexicon: prompts and sentences agree on the same words."""

from __future__ import annotations

import pytest

from changescribe.engine.classes import CLASS_NAMES, class_of
from changescribe.engine.lexicon import nouns, small_words, verbs
from changescribe.engine.prompt import parse
from changescribe.engine.request import APPEARED, CHANGED, REMOVED
from changescribe.engine.wording.guard import Facts, Found, check
from changescribe.engine.wording.reading import read_sentence

_WAYS = {APPEARED: "+", REMOVED: "-"}


def test_a_verb_has_one_direction() -> None:
    both = verbs.PROMPT_VERBS.keys() & verbs.SENTENCE_VERBS.keys()
    assert len(both) > 50
    assert {v: verbs.PROMPT_VERBS[v] for v in both} == {v: verbs.SENTENCE_VERBS[v] for v in both}
    assert not verbs.HINTS & verbs.SENTENCE_VERBS.keys()
    ways = {way for events in verbs.EVENT_WORDS.values() for _, way in events}
    assert ways | set(verbs.PROMPT_VERBS.values()) == {APPEARED, REMOVED, CHANGED}


def test_a_noun_has_one_class() -> None:
    assert tuple(nouns.CLASS_NOUNS) == tuple(nouns.SENTENCE_NOUNS) == CLASS_NAMES
    classes: dict[str, str] = {}
    for table in (nouns.CLASS_NOUNS, nouns.SENTENCE_NOUNS):
        for name, words in table.items():
            assert len(set(words)) == len(words)
            assert {classes.setdefault(word, name) for word in words} == {name}
    assert not nouns.OTHER_NOUNS & classes.keys()
    for events in verbs.EVENT_WORDS.values():
        assert all(class_of(noun) is not None for noun, _ in events)


def test_a_small_word_is_of_one_kind() -> None:
    assert small_words.BESIDE <= small_words.PLACE
    assert not small_words.NEGATIONS & (small_words.PLACE | small_words.FILLER)
    assert not small_words.DENIALS & small_words.SENTENCE_PLACE
    assert list(small_words.NUMBERS.values()) == list(range(1, 13))


# Words of only one of the former lists.
@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("trees are bulldozed", "tree-"),
        ("the house has collapsed", "building-"),
        ("trees are burned", "tree-"),
        ("collapsed houses are removed", "building-"),
        ("a motorway is laid", "road+"),
        ("an orchard is planted", "tree+"),
        ("some structures are built beneath the trees", "building+"),
        ("a road is broadened", ""),
        ("houses with red roofs", "building+"),
        ("a sand pit and a dirt road appear", "road+"),
    ],
)
def test_sentences_know_the_words_of_prompts(text: str, says: str) -> None:
    events = {event[0] + _WAYS[event[1]] for event in read_sentence(text).events}
    assert events == set(says.split())


@pytest.mark.parametrize(
    ("text", "noun", "directions", "unused"),
    [
        ("houses completed", "houses", [APPEARED], ()),
        ("forest eliminated", "forest", [REMOVED], ()),
        ("a lake emerges", "lake", [APPEARED], ()),
        ("the lake vanishes", "lake", [REMOVED], ()),
        ("reconstructed roads", "roads", [APPEARED], ()),
        ("roads improved", "roads", [APPEARED, REMOVED], ()),
        ("houses among the trees built", "houses", [APPEARED], ("among the trees",)),
        ("more than twelve houses built", "houses", [APPEARED], ("more than twelve",)),
        ("rows of new houses", "rows of houses", [APPEARED], ()),
        # Only in sentences does an object that stands somewhere mean a new one.
        (
            "houses located near the river",
            "houses located",
            [APPEARED, REMOVED],
            ("near the river",),
        ),
    ],
)
def test_prompts_know_the_words_of_sentences(text, noun, directions, unused) -> None:
    parsed = parse(text)
    assert [(q.object, q.direction) for q in parsed.queries] == [(noun, d) for d in directions]
    assert parsed.unused == unused


@pytest.mark.parametrize(
    ("sentence", "kind"),
    [
        ("A stream appears.", "presence"),
        ("The low vegetation is removed.", "presence"),
        ("A quarry appears.", "presence"),
        ("A pasture is not there.", "empty"),
    ],
)
def test_the_guard_knows_the_words_of_the_classes(sentence: str, kind: str) -> None:
    assert check(sentence, Facts()) == kind
    assert check("The low vegetation is gone.", Facts({("grass", REMOVED): Found(1)})) is None
