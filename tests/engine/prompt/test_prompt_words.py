# SPDX-License-Identifier: GPL-3.0-or-later
"""Misspelt words and words of other languages."""

from __future__ import annotations

import pytest

from changescribe.engine.prompt import notes, parse


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("buldings demolished", "buildings demolished"),
        ("raods built", "roads built"),
        ("Tress cleared", "trees cleared"),
        ("roads buitl", "roads built"),
        ("forst loss", "forest loss"),
        ("airprot built", "airport built"),
        ("new buildins", "new buildings"),
        ("vehicels gone", "vehicles gone"),
        # correct, or unknown
        ("trucks", ""),
        ("power lines", ""),
        ("tennis courts removed", ""),
        ("horses", ""),
        ("culverts built", ""),
    ],
)
def test_one_wrong_letter(text: str, meant: str) -> None:
    parsed = parse(text)
    assert parsed.suggestion == meant
    assert (f'did you mean "{meant}"?' in parsed.explanation) == bool(meant)
    assert (f'Did you mean "{meant}"?' in notes(parsed)) == bool(meant)


@pytest.mark.parametrize(
    "noun",
    """barns bunkers cairns chalets docks fens gullies jetties kiosks levees mangroves marinas mast
    moors orchids pastries peat polder prison pylons scree sheep silos slums spills steppe storks
    tarns towns villages vineyards weirs wharves""".split(),
)
def test_an_ordinary_word_is_not_doubted(noun: str) -> None:
    assert parse(f"{noun} removed").suggestion == ""


def test_another_language_is_reported() -> None:
    parsed = parse("neue Gebäude")
    assert parsed.explanation == 'looks for: buildings, appeared (read as "new buildings")'
    assert parse("¿qué cambió?").anything
    assert parse("Was hat sich verändert?").anything
    assert parse("qu'est-ce qui a changé").anything
    assert parse("o que mudou?").anything
    assert not parse("new roads").english
