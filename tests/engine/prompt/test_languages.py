# SPDX-License-Identifier: GPL-3.0-or-later
"""The files of other languages: each is valid, and a new one needs nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from changescribe.engine.errors import InputError
from changescribe.engine.lexicon import prompt_words
from changescribe.engine.paths import LANGUAGES
from changescribe.engine.prompt import parse
from changescribe.engine.prompt.languages import in_english, languages, read_language

FILES = sorted(LANGUAGES.glob("*.txt"))
TOY = """# A toy language
domo*, domoj = houses
nova, novaj = new
l', la =
akvo = water
ĝardeno granda = meadow
"""


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_file_is_sound(path: Path) -> None:
    language = read_language(path)
    assert len(language.telling) >= 100, "words that only this language has, without a star"
    known = prompt_words()
    unknown = {
        word: english
        for word, english in language.words.items()
        if not known.issuperset(english.split())
    }
    assert unknown == {}
    assert {"", "and", "built", "not"} <= set(language.words.values())


def test_every_file_is_read_once() -> None:
    assert {path.stem for path in FILES} >= {"de", "es", "fr", "pt"}
    assert len(languages()) == len(FILES)
    assert languages() is languages()


def test_a_file_is_enough_for_a_language(tmp_path: Path) -> None:
    assert in_english("novaj domoj", tmp_path) == ""
    toy = tmp_path / "with toy"
    toy.mkdir()
    (toy / "toy.txt").write_text(TOY, encoding="utf-8")
    assert in_english("novaj domoj", toy) == "new houses"
    assert in_english("l'akvo, nova ĝardeno granda?", toy) == "water, new meadow"
    assert in_english("nova gardeno granda", toy) == "new meadow"  # without the accent
    assert in_english("la domo", toy) == ""  # marked as a word of English prompts
    assert in_english("nova domo", toy) == "new houses"
    assert in_english("new roads and nova", toy) == ""  # more English than not
    assert parse(in_english("novaj domoj", toy)).queries[0].object == "houses"


@pytest.mark.parametrize("line", ["domo houses", "domo, = house", "= house", "nova = recent"])
def test_a_wrong_line_is_named(tmp_path: Path, line: str) -> None:
    path = tmp_path / "toy.txt"
    path.write_text(f"{TOY}{line}\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"[Ll]ine 7 of the language file toy\.txt"):
        read_language(path)


def test_a_byte_order_mark_is_no_word_and_other_encodings_are_an_error(tmp_path: Path) -> None:
    file = tmp_path / "toy.txt"
    file.write_bytes("\ufeffcasu = house\n".encode())
    assert read_language(file).words["casu"] == "house"
    file.write_bytes("ca\u00df = house\n".encode("cp1252"))
    with pytest.raises(InputError, match="UTF-8"):
        read_language(file)
