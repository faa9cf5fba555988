# SPDX-License-Identifier: GPL-3.0-or-later
"""The catalogue of weights: every value cites where it was read."""

from __future__ import annotations

import json
from dataclasses import asdict, replace

import pytest

from changescribe.engine import systems
from changescribe.engine.errors import InputError, WeightsError
from changescribe.engine.weights import catalogue
from changescribe.engine.weights.catalogue import Entry

SHIPPED = catalogue.entries()
TINY = SHIPPED["sam2.1-hiera-tiny"]


def test_what_the_systems_need_is_in_the_catalogue() -> None:
    assert {f"sam2.1-hiera-{size}" for size in ("tiny", "small", "base-plus", "large")} <= set(
        SHIPPED
    )
    for needed in (
        "clip-vit-b-16-openai",
        "clip-vit-b-32-openai",
        "remoteclip-vit-b-32",
        "resnet18-imagenet",
        "resnet34-imagenet",
        "resnet50-imagenet",
        "sam-vit-l",
        "tiny-llava-v1",
        "qwen2.5-0.5b-instruct",
        "lg-cd-head",
        "mmchange-head",
        "textscd-head",
    ):
        assert needed in SHIPPED
    assert {entry.format for entry in SHIPPED.values()} == set(catalogue.FORMATS)


@pytest.mark.parametrize("entry", SHIPPED.values(), ids=lambda entry: entry.id)
def test_every_value_has_a_source(entry: Entry) -> None:
    assert catalogue.problems(entry) == []
    for name in catalogue.SOURCED:
        if getattr(entry, name) is not None:
            without = {key: text for key, text in entry.source.items() if key != name}
            assert catalogue.problems(replace(entry, source=without)) == [f"{name} has no source"]
    if entry.terms:
        assert entry.terms.endswith(".")
        assert entry.terms.count(". ") == 0, "one sentence"


def test_only_what_can_be_verified_can_be_fetched() -> None:
    assert TINY.can_be_fetched
    assert not replace(TINY, sha256=None).can_be_fetched
    prefix_only = SHIPPED["resnet18-imagenet"]
    assert prefix_only.sha256 is None
    assert prefix_only.sha256_prefix == "f37072fd"
    assert not prefix_only.can_be_fetched
    assert prefix_only.file == "resnet18-f37072fd.pth"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"url": "http://dl.fbaipublicfiles.com/sam2.1_hiera_tiny.pt"}, "not https"),
        ({"url": "https://dl.fbaipublicfiles.com/other.pt"}, "does not end with"),
        ({"sha256": "7402E0"}, "64 hexadecimal"),
        ({"sha256_prefix": "74"}, "at least 8"),
        ({"size": 0}, "not positive"),
        ({"file": "../tiny.pt"}, "file name"),
        ({"id": "Tiny"}, "id is not"),
        ({"format": "pickle"}, "is not known"),
        ({"format": "transformers_folder"}, "no single SHA-256"),
        ({"revision": None}, "pinned revision"),
        ({"licence": None}, "source for licence, but no value"),
    ],
)
def test_rules(changes: dict, words: str) -> None:
    assert any(words in line for line in catalogue.problems(replace(TINY, **changes)))


def test_a_prefix_must_fit_the_whole() -> None:
    source = {**TINY.source, "sha256_prefix": "the file's name"}
    assert catalogue.problems(replace(TINY, sha256_prefix="7402e0d8", source=source)) == []
    wrong = replace(TINY, sha256_prefix="00000000", source=source)
    assert catalogue.problems(wrong) == ["sha256 does not begin with sha256_prefix"]


def test_a_damaged_catalogue_is_an_error_not_a_surprise() -> None:
    good = {"entries": [asdict(TINY)]}
    assert catalogue.parse(json.dumps(good)) == {TINY.id: TINY}
    for text in ("", "{}", "[]", '{"entries": [1]}', json.dumps({"entries": [{"id": "a"}]})):
        with pytest.raises(WeightsError, match="cannot be read"):
            catalogue.parse(text)
    unsourced = {**asdict(TINY), "source": {}}
    with pytest.raises(WeightsError, match="url has no source"):
        catalogue.parse(json.dumps({"entries": [unsourced]}))
    with pytest.raises(WeightsError, match="twice"):
        catalogue.parse(json.dumps({"entries": good["entries"] * 2}))
    with pytest.raises(WeightsError, match="mirror is no value"):
        catalogue.parse(json.dumps({"entries": [{**asdict(TINY), "mirror": "x"}]}))


def test_an_unknown_id_names_the_known_ones() -> None:
    with pytest.raises(InputError, match="sam-vit-l"):
        catalogue.entry("sam3")


def test_the_systems_need_only_what_is_in_the_catalogue() -> None:
    for name in systems.names():
        assert set(systems.create(name).info.weights) <= set(SHIPPED), name


def test_sizes_in_words() -> None:
    assert TINY.size_text == "156 MB"
    assert catalogue.megabytes(1_249_524_607) == "1.25 GB"
    assert catalogue.megabytes(None) == "size not known"
