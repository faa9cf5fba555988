# SPDX-License-Identifier: GPL-3.0-or-later
"""Phrases for CLIP, the list of competing classes, and a description without torch."""

from __future__ import annotations

import subprocess
import sys

import pytest

from changescribe.engine.classes import CLASS_NAMES, listed_names
from changescribe.engine.zeroshot import vocabulary


def test_a_list_is_read_as_it_is_typed() -> None:
    assert listed_names(" Grass,bare  ground ;water\ngrass,, ") == ("grass", "bare ground", "water")
    assert listed_names(" , ") == ()


def test_the_object_does_not_compete_with_itself() -> None:
    question = vocabulary.question("houses", ("building", "grass", "parking lot"))
    assert question.phrases == ("houses", "building", "house", "roof")
    assert question.against == (("grass", "lawn", "meadow"), ("parking lot",))
    assert not question.is_stuff
    assert vocabulary.question("parking lots", ("parking lot", "road")).against == (
        ("road", "street"),
    )
    alone = vocabulary.question("houses", ("building",))
    assert alone.used_default
    assert ("road", "street") in alone.against
    default = vocabulary.question("trees", ())
    assert not default.used_default
    assert len(default.against) == len(vocabulary.COMPETING) - 1


def test_a_special_noun_stands_for_itself() -> None:
    assert vocabulary.question("warehouses", ("building", "road")).phrases == ("warehouses",)
    assert vocabulary.question("swimming pools", ()).phrases == ("swimming pools",)
    assert vocabulary.synonyms("roads") == ("roads", "road", "street")


@pytest.mark.parametrize(
    ("noun", "is_stuff"),
    [
        ("trees", True),
        ("roads", True),
        ("water", True),
        ("wheat fields", True),
        ("buildings", False),
        ("warehouses", False),
        ("swimming pools", False),
        ("ships", False),
    ],
)
def test_stuff_has_no_outlines(noun: str, is_stuff: bool) -> None:
    assert vocabulary.question(noun, ()).is_stuff == is_stuff


def test_the_classes_of_a_place_come_before_what_else_competes() -> None:
    covers = vocabulary.land_cover_classes(("grass", "Shadow".lower(), "houses"))
    assert [words[0] for words in covers] == [*CLASS_NAMES, "shadow"]


def test_the_system_is_described_without_torch() -> None:
    code = (
        "import sys; from changescribe.engine import systems\n"
        "info = systems.create('zero-shot').info\n"
        "assert info.competing and info.classes and info.weights and info.terms\n"
        "print(sorted({'torch', 'open_clip', 'sam2', 'numpy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
