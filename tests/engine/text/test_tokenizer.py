# SPDX-License-Identifier: GPL-3.0-or-later
"""The tokenizer against fixed numbers and against transformers' own."""

from __future__ import annotations

import random

import pytest

from changescribe.engine.errors import WeightsError
from changescribe.engine.text.tokenizer import VOCABULARY_PATH, WordPieceTokenizer


@pytest.fixture(scope="module")
def tokenizer() -> WordPieceTokenizer:
    return WordPieceTokenizer.load()


# As given by transformers' BertTokenizer for the same vocabulary.
FIXED = [
    ("roads built", [101, 4925, 2328, 102]),
    (
        "New swimming-pools, cul-de-sacs!",
        [101, 2047, 5742, 1011, 12679, 1010, 12731, 2140, 1011, 2139, 1011, 17266, 2015, 999, 102],
    ),
    ("photovolta\xefque \xc9l\xe9vation", [101, 6302, 6767, 24458, 7413, 6678, 102]),
    ("", [101, 102]),
    ("\u9053\u8def 100m\xb2 $5", [101, 1957, 100, 2531, 2213, 10701, 1002, 1019, 102]),
    (
        "H\xe4user in Stra\xdfe \u03a3\u038a\u03a3\u03a5\u03a6\u039f\u03a3",
        [101, 5292, 20330, 1999, 2358, 27807, 1173, 18199, 29733, 29735, 29736, 29730, 29733, 102],
    ),
    ("deforestation\t\x07of \u200bmangroves", [101, 13366, 25794, 1997, 29340, 2015, 102]),
    ("x" * 101, [101, 100, 102]),
]


@pytest.mark.parametrize(("text", "numbers"), FIXED)
def test_fixed_numbers(tokenizer: WordPieceTokenizer, text: str, numbers: list[int]) -> None:
    assert tokenizer.encode(text) == numbers


def test_long_text_is_cut_and_still_ends(tokenizer: WordPieceTokenizer) -> None:
    numbers = tokenizer.encode("road " * 50)
    assert len(numbers) == 16
    assert numbers[0] == 101
    assert numbers[-1] == 102


def test_batch_is_padded(tokenizer: WordPieceTokenizer) -> None:
    ids, mask = tokenizer.encode_batch(["roads", "new roads built"])
    assert [len(row) for row in ids] == [5, 5]
    assert ids[0][3:] == [0, 0]
    assert mask == [[1, 1, 1, 0, 0], [1, 1, 1, 1, 1]]
    ids, mask = tokenizer.encode_batch(["roads"], pad_to=16)
    assert len(ids[0]) == len(mask[0]) == 16
    assert sum(mask[0]) == 3


def test_vocabulary_is_complete(tokenizer: WordPieceTokenizer) -> None:
    assert len(tokenizer) == 30522


def test_special_names_in_the_text_are_plain_text(tokenizer: WordPieceTokenizer) -> None:
    assert 102 not in tokenizer.encode("[SEP]")[1:-1]


def test_missing_or_foreign_vocabulary(tmp_path) -> None:
    with pytest.raises(WeightsError):
        WordPieceTokenizer.load(tmp_path / "none.txt")
    (tmp_path / "other.txt").write_text("a\nb\n", encoding="utf-8")
    with pytest.raises(WeightsError, match="PAD"):
        WordPieceTokenizer.load(tmp_path / "other.txt")


WORDS = (
    "roads built demolished buildings Häuser forêt déforestation naïve çà ÅNGSTRÖM Straße "
    "ΣΊΣΥΦΟΣ дома реки 建物 道路が 新しい 건물 مباني बाढ़ İstanbul ﬁeld e\u0301te\u0301 cul-de-sac "
    "swimming-pools photovoltaic antidisestablishmentarianism electroencephalographically "
    "12 3.14 1,000 2019/2020 50% 100m² 5° $3 a+b <tag> x^2 ~ ` | ... !? «quoted» “curly” – — … "
    "🙂 🏠 \u200b \u00ad \ufffd \x07 \t \n \u3000 \xa0 ǅ ŉ ß ẞ ff ½ № ™ ① ㎡ ½km l'eau d’eau"
)


def _random_prompt(rng: random.Random) -> str:
    """A prompt as users and cats on keyboards type them."""
    words = WORDS.split(" ")
    kinds = rng.random()
    if kinds < 0.1:
        blocks = ((32, 0x250), (0x370, 0x530))
        return "".join(chr(rng.randrange(*rng.choice(blocks))) for _ in range(20))
    if kinds < 0.15:
        return rng.choice(["x", "road"]) * rng.randrange(20, 130)
    picked = [rng.choice(words) for _ in range(rng.randrange(0, 12))]
    joined = rng.choice([" ", "  ", "-", ", ", ""]).join(picked)
    return joined.upper() if kinds > 0.9 else joined


@pytest.mark.torch
def test_agrees_with_transformers_on_a_thousand_prompts(tokenizer, tmp_path) -> None:
    transformers = pytest.importorskip("transformers", reason="needs the full tier")
    folder = tmp_path / "bert"
    folder.mkdir()
    (folder / "vocab.txt").write_bytes(VOCABULARY_PATH.read_bytes())
    theirs = transformers.BertTokenizer.from_pretrained(str(folder), do_lower_case=True)
    rng = random.Random(3)
    prompts = [_random_prompt(rng) for _ in range(1000)]
    expected = theirs(prompts, truncation=True, max_length=16)["input_ids"]
    differing = [
        (prompt, tokenizer.encode(prompt), numbers)
        for prompt, numbers in zip(prompts, expected)
        if tokenizer.encode(prompt) != numbers
    ]
    assert not differing, differing[:3]
    assert sum(len(set(numbers)) > 4 for numbers in expected) > 700
