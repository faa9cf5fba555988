# SPDX-License-Identifier: GPL-3.0-or-later
"""The small language model of captions, target sentences, cached features."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from changescribe.engine.backbones import language, vit
from changescribe.engine.backbones.feature_cache import FeatureCache
from changescribe.engine.device import Device
from changescribe.engine.modules.kcfi import network
from changescribe.engine.modules.kcfi.config import KcfiConfig
from changescribe.engine.training.captioner import model as caption_language
from changescribe.engine.training.captioner.targets import consensus, decoded, drawn, encoded

pytestmark = pytest.mark.torch

CAPTIONS = (
    "some houses are built along the road",
    "houses appear",
    "many houses are built along a road",
    "trees are cleared",
    "houses are built along the road",
)


@pytest.fixture(autouse=True)
def one_thread():
    """Use one thread: on a busy machine, several slow tiny models down."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.manual_seed(3)
    yield
    torch.set_num_threads(threads)


def test_the_consensus_shares_most_with_the_others():
    assert consensus(CAPTIONS) == CAPTIONS[4]
    assert consensus(("one",)) == "one"
    rng = np.random.default_rng(0)
    assert {drawn(CAPTIONS, rng, 1.0) for _ in range(9)} == {CAPTIONS[4]}
    assert len({drawn(CAPTIONS, rng) for _ in range(60)}) == 5
    assert drawn((), rng) == ""


def test_sentences_travel_as_bytes():
    rows = np.stack([encoded("a h\u00fctte"), encoded(""), encoded("x" * 999)])
    assert rows.shape == (3, 384)
    assert decoded(torch.from_numpy(rows)) == ["a h\u00fctte", "", "x" * 384]


def test_hints_are_mostly_words_of_the_sentence():
    rng = np.random.default_rng(0)
    found = [
        word
        for _ in range(50)
        for word in caption_language.hints("houses are built along the road", ["pond"], 8, rng)
    ]
    counts = {word: found.count(word) for word in set(found)}
    assert set(counts) == {"houses", "built", "along", "road", "pond", "<empty>"}
    assert counts["pond"] < counts["<empty>"] < sum(counts[w] for w in ("houses", "road", "built"))


def test_a_model_is_trained_saved_and_loaded_as_any_other(tmp_path):
    sizes = caption_language.Sizes(width=16, layers=1, heads=2, steps=1, batch=4)
    sentences = ["trees are removed", "a pond is built"] * 3 + ["rare words"]
    model, tokenizer = caption_language.train(sentences, sizes)
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    loaded = language.load(str(tmp_path), Device("cpu", "float32", "CPU"))
    ids = loaded.tokenizer("Trees are rare.").input_ids
    assert loaded.tokenizer.decode(ids[:2]) == "trees are"
    assert ids[2] == loaded.tokenizer.unk_token_id
    # Every word of the instructions is known.
    for text in (*network.INSTRUCTIONS, *caption_language.SEMANTIC_CC):
        before, after = loaded.prompt(text)
        assert before == []
        assert loaded.tokenizer.unk_token_id not in after
    assert isinstance(loaded.write(torch.randn(1, 4, 16), network.INSTRUCTIONS[:1])[0], str)


def test_remembered_features_are_those_of_the_encoder_and_computed_once():
    encoder = vit.build("tiny").eval().requires_grad_(False)
    seen = []
    encoder.register_forward_hook(lambda module, given, out: seen.append(len(given[0])))
    images = torch.rand(3, 3, 16, 16) * 255
    cached = FeatureCache(encoder, 10**6)
    first = cached(images)
    again = cached(images[[2, 0]])
    assert seen == [1, 1, 1]
    with torch.no_grad():
        expected = encoder(images)
    for part, whole, later in zip(first, expected, again, strict=True):
        assert torch.allclose(part, whole, atol=1e-2)
        assert torch.equal(part[[2, 0]], later)
    seen.clear()
    small = FeatureCache(encoder, 1)  # no room
    small(images)
    small(images)
    assert len(seen) == 6
    config = KcfiConfig.from_settings({"tiny": True, "remember": 1, "train_encoder": False})
    model = network.build(config, language.tiny())
    seen.clear()
    assert model(images, images).change.shape == (3, 2, 16, 16)
    assert not any("remembered" in name for name in model.state_dict())
