# SPDX-License-Identifier: GPL-3.0-or-later
"""The text tower: masking, distillation, export, and the file that ships."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest

from changescribe.engine.errors import DependencyError, WeightsError
from changescribe.engine.text.encoder import MODEL_PATH, TextEncoder
from changescribe.engine.text.tokenizer import WordPieceTokenizer

# Nearest of these to each key, by the shipped file.
SYNONYMS = {
    "homes": "buildings",
    "dwellings": "buildings",
    "motorway": "roads",
    "lane": "roads",
    "woodland": "trees",
    "jungle": "trees",
    "lagoon": "water",
    "creek": "water",
    "lawn": "grass",
    "dirt": "bare ground",
    "automobiles": "cars",
    "yachts": "ships",
}
CLASSES = tuple(dict.fromkeys(SYNONYMS.values()))


@pytest.fixture(scope="module")
def encoder() -> TextEncoder:
    pytest.importorskip("onnxruntime")
    return TextEncoder()


def test_shipped_file_has_its_declared_outputs(encoder: TextEncoder) -> None:
    words, mask, sentence = encoder.encode(["roads", "new swimming pools"])
    assert words.shape == (2, 16, 128)
    assert words.dtype == sentence.dtype == np.float32
    assert mask.dtype == bool
    assert mask.sum(axis=1).tolist() == [3, 5]
    assert not words[~mask].any()
    np.testing.assert_allclose(np.linalg.norm(sentence, axis=1), 1.0, atol=1e-5)


def test_shipped_file_is_small_and_readable_by_old_runtimes() -> None:
    assert MODEL_PATH.stat().st_size <= 5_000_000
    onnx = pytest.importorskip("onnx", reason="needs the full tier")
    model = onnx.load(str(MODEL_PATH))
    assert model.ir_version <= 9
    assert [(entry.domain, entry.version) for entry in model.opset_import] == [("", 17)]


def test_card_names_the_files_that_ship() -> None:
    card = MODEL_PATH.with_name("TEXT_TOWER.md").read_text(encoding="utf-8")
    for name in ("text.onnx", "vocab.txt"):
        digest = hashlib.sha256(MODEL_PATH.with_name(name).read_bytes()).hexdigest()
        assert f"`{name}` `{digest}`" in card


def test_shipped_file_knows_synonyms(encoder: TextEncoder) -> None:
    _, _, names = encoder.encode(CLASSES)
    _, _, words = encoder.encode(list(SYNONYMS))
    nearest = [CLASSES[i] for i in (words @ names.T).argmax(axis=1)]
    wrong = {w: n for w, n in zip(SYNONYMS, nearest) if SYNONYMS[w] != n}
    assert len(wrong) <= 1, wrong


def test_other_texts_in_the_batch_change_nothing(encoder: TextEncoder) -> None:
    alone = TextEncoder().encode(["roads"])
    among = encoder.encode(["a very long phrase about buildings near the river", "roads"])
    for one, many in zip(alone, among):
        np.testing.assert_allclose(one[0], many[1], atol=1e-5)


def test_encoder_remembers_the_latest_texts() -> None:
    pytest.importorskip("onnxruntime")
    encoder = TextEncoder(cache_size=2)
    first = encoder.encode(["roads", "trees", "roads", "water"])
    assert list(encoder._cache) == ["trees", "water"]
    encoder._session = None  # only from the cache from here on
    again = encoder.encode(["water", "trees"])
    np.testing.assert_array_equal(again[2], first[2][[3, 1]])
    assert list(encoder._cache) == ["water", "trees"]


def test_missing_or_damaged_model_is_a_weights_error(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    with pytest.raises(WeightsError, match="missing"):
        TextEncoder(model=tmp_path / "none.onnx")
    (tmp_path / "bad.onnx").write_bytes(b"no model")
    with pytest.raises(WeightsError, match="cannot be read"):
        TextEncoder(model=tmp_path / "bad.onnx")


def _tiny_tower():
    torch = pytest.importorskip("torch")
    from changescribe.engine.modules.bundled.text_tower import TextTower, TextTowerConfig

    with torch.random.fork_rng():
        torch.manual_seed(1)
        return TextTower(TextTowerConfig.tiny()).eval()


def _random_batch():
    import torch

    generator = torch.Generator().manual_seed(2)
    ids = torch.randint(1, 50, (4, 9), generator=generator)
    mask = (torch.arange(9)[None] < torch.tensor([9, 3, 1, 6])[:, None]).long()
    return ids * mask, mask


@pytest.mark.torch
def test_padding_changes_nothing() -> None:
    import torch

    tower = _tiny_tower()
    ids, mask = _random_batch()
    words, sentence = tower(ids, mask)
    assert words.shape == (4, 9, 16)
    torch.testing.assert_close(sentence.norm(dim=1), torch.ones(4))
    words_cut, sentence_cut = tower(ids[1:2, :3], mask[1:2, :3])
    torch.testing.assert_close(words[1:2, :3], words_cut, atol=1e-5, rtol=0)
    torch.testing.assert_close(sentence[1:2], sentence_cut, atol=1e-5, rtol=0)
    noise = torch.where(mask.bool(), ids, 7)
    torch.testing.assert_close(tower(noise, mask.bool())[1], sentence)


@pytest.mark.torch
def test_weights_survive_a_file(tmp_path: Path) -> None:
    import torch

    from changescribe.engine.modules.bundled.text_tower import load_text_tower, save_text_tower

    tower = _tiny_tower()
    save_text_tower(tower, tmp_path / "a" / "tower.pt")
    again = load_text_tower(tmp_path / "a" / "tower.pt")
    assert not again.training
    torch.testing.assert_close(again(*_random_batch()), tower(*_random_batch()))
    for name, content in (("missing.pt", None), ("bad.pt", b"no weights")):
        if content:
            (tmp_path / name).write_bytes(content)
        with pytest.raises(WeightsError):
            load_text_tower(tmp_path / name)


def _run_onnx(path: Path, ids, mask):
    onnxruntime = pytest.importorskip("onnxruntime")
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return session.run(["words", "sentence"], {"ids": ids.numpy(), "mask": mask.numpy()})


@pytest.mark.torch
def test_export_equals_torch_and_shrinks_faithfully(tmp_path: Path) -> None:
    pytest.importorskip("onnx")
    import torch

    from changescribe.engine.modules.bundled.text_tower import TextTower, TextTowerConfig
    from changescribe.engine.training.text.export import export_float, export_text_tower

    torch.manual_seed(0)
    # Wide enough that linear weights are halved as well.
    config = TextTowerConfig(vocabulary=50, length=16, width=64, layers=1, heads=2, hidden=128)
    tower = TextTower(config).eval()
    ids, mask = _random_batch()
    with torch.inference_mode():
        words, sentence = (part.numpy() for part in tower(ids, mask))
    export_float(tower, tmp_path / "float.onnx")
    for got, expected in zip(_run_onnx(tmp_path / "float.onnx", ids, mask), (words, sentence)):
        np.testing.assert_allclose(got, expected, atol=1e-3)
    size = export_text_tower(tower, tmp_path / "small.onnx")
    assert size < 0.7 * (tmp_path / "float.onnx").stat().st_size
    words_small, sentence_small = _run_onnx(tmp_path / "small.onnx", ids, mask)
    assert ((sentence_small * sentence).sum(axis=1) > 0.999).all()
    assert np.abs(words_small - words).max() < 0.1
    # One text of another length: both axes are free.
    one = _run_onnx(tmp_path / "small.onnx", ids[:1, :5], mask[:1, :5])
    assert one[0].shape == (1, 5, 64)


def _words_tokenizer() -> WordPieceTokenizer:
    """A tokenizer that knows the words of the training nouns and nothing else."""
    from changescribe.engine.training.text.phrases import nouns

    words = sorted({word for noun in nouns() for word in noun.split()})
    return WordPieceTokenizer(["[PAD]", "[UNK]", "[CLS]", "[SEP]", *words])


def _distiller(tokens: int):
    import torch

    from changescribe.engine.modules.bundled.text_tower import TextTower, TextTowerConfig
    from changescribe.engine.training.text.distillation import Distiller

    with torch.random.fork_rng():
        torch.manual_seed(0)
        config = TextTowerConfig(tokens, width=24, layers=1, heads=2, hidden=32)
        return Distiller(TextTower(config), teacher_width=24)


def _bag_of_words_teacher(ids, mask):
    """Mean of fixed random token vectors: quick, and learnable."""
    import torch

    table = torch.randn(3000, 24, generator=torch.Generator().manual_seed(4))
    mean = (table[ids] * mask[:, :, None]).sum(1) / mask.sum(1, keepdim=True)
    return torch.nn.functional.normalize(mean, dim=-1)


@pytest.mark.torch
def test_distillation_lowers_the_loss() -> None:
    pytest.importorskip("torch")
    from changescribe.engine.training.text import distillation
    from changescribe.engine.training.text.phrases import nouns

    tokenizer = _words_tokenizer()
    distiller = _distiller(len(tokenizer))
    phrases = distillation.prepare(nouns()[:200], tokenizer, _bag_of_words_teacher)
    options = distillation.DistillationOptions(
        epochs=25, minutes=1.0, batch=50, learning_rate=1e-2, embedding_learning_rate=3e-2
    )
    history = distillation.train(distiller, phrases, options)
    assert history[-1] < 0.5 * history[0]
    figures = distillation.evaluate(distiller, phrases, tokenizer, _bag_of_words_teacher)
    assert figures["cosine"] > 0.7


@pytest.mark.torch
def test_start_is_a_bag_of_words_near_the_teacher() -> None:
    torch = pytest.importorskip("torch")
    from changescribe.engine.training.text import distillation

    tokenizer = _words_tokenizer()
    distiller = _distiller(len(tokenizer))
    texts = distillation.prepare(["road", "lake", "tiled roof"], tokenizer, _bag_of_words_teacher)
    untrained = torch.cosine_similarity(distiller(texts.ids, texts.mask)[1], texts.targets)
    distillation.initialise(distiller, tokenizer, _bag_of_words_teacher)
    started = torch.cosine_similarity(distiller(texts.ids, texts.mask)[1], texts.targets)
    assert started.min() > untrained.max()
    assert started.min() > 0.5


@pytest.mark.torch
def test_a_missing_teacher_is_an_error_with_a_hint() -> None:
    pytest.importorskip("transformers", reason="needs the full tier")
    from changescribe.engine.training.text.distillation import MiniLMTeacher

    with pytest.raises(DependencyError, match="pretrained"):
        MiniLMTeacher(package="no_such_package_anywhere")


def test_phrases_leave_held_out_words_alone() -> None:
    from changescribe.engine.training.text.phrases import HELD_OUT_SYNONYMS, training_phrases

    vocabulary = ["roads", "lane", "homes", "##ing", "copse"]
    phrases = training_phrases(vocabulary, 500, 5, hold_out=True, seed=1)
    words = {word for phrase in phrases for word in phrase.split()}
    assert not words & set(HELD_OUT_SYNONYMS)
    assert {"swimming pools", "railways", "aircraft", "roads"} <= set(phrases)
    assert len(phrases) == len(set(phrases))
    assert "lane" in training_phrases(vocabulary, 0, 0, hold_out=False, seed=1)
