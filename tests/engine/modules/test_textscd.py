# SPDX-License-Identifier: GPL-3.0-or-later
"""TextSCD: blocks, losses by hand, training, from-to classes of the system, ONNX."""

from __future__ import annotations

import csv

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from PIL import Image

from changescribe.engine.classes import index_among
from changescribe.engine.errors import InputError, WeightsError
from changescribe.engine.modules.textscd import onnx as textscd_onnx
from changescribe.engine.modules.textscd.config import SECOND_CLASSES, TextSCDConfig
from changescribe.engine.modules.textscd.network import (
    CAPTION_WORDS,
    Decoder,
    Maps,
    PairFeatures,
    TextGuidedInteraction,
    TextSCD,
    caption_words,
    open_tower,
)
from changescribe.engine.prompt import parse
from changescribe.engine.regions.exchange import bind
from changescribe.engine.request import APPEARED, CHANGED, REMOVED, Query
from changescribe.engine.systems.textscd import HEAD, TextscdSystem, margin, shown
from changescribe.engine.training.loop import train
from changescribe.engine.training.pairs.pair import UNKNOWN, LabelledPair
from changescribe.engine.training.pairs.second import CLASSES, UNCHANGED, Second
from changescribe.engine.training.recipe import load_recipe
from changescribe.engine.training.tasks.textscd import (
    TextscdTask,
    change_loss,
    dice_loss,
    semantic_loss,
    similarity_loss,
)
from changescribe.engine.weights import loading
from changescribe.engine.weights.store import WeightsStore

pytestmark = pytest.mark.torch


def tiny(**settings):
    torch.manual_seed(0)
    return TextSCD(TextSCDConfig.from_settings({"tiny": True, **settings})).eval()


def pair(**kwargs):
    rng = np.random.default_rng(1)
    before = rng.integers(0, 90, (64, 64, 3)).astype(np.uint8)
    after = before.copy()
    after[16:48, 16:48] = 220
    change = np.zeros((64, 64), np.uint8)
    change[16:48, 16:48] = 1
    was, is_now = (np.where(change, i, UNKNOWN).astype(np.uint8) for i in (2, 4))
    return LabelledPair(before, after, change, was, is_now, **kwargs)


def store_with(tmp_path, **settings):
    """Return a store with a tiny network of random weights."""
    path = tmp_path / "textscd.safetensors"
    metadata = {
        "config": {"tiny": True, **settings},
        "recipe": {"name": "test", "crop": 512},
        "step": 3,
    }
    loading.save_head(tiny(**settings).state_dict(), path, metadata)
    store = WeightsStore(tmp_path / "store")
    store.import_from(path, [HEAD])
    return store


def test_the_classes_are_those_of_the_data_set():
    assert Second.classes == SECOND_CLASSES


def test_blocks_keep_their_sizes_on_a_rectangle():
    features = torch.randn(2, 16, 4, 6)
    assert PairFeatures(16)(features, features).shape == features.shape
    words, mask = torch.randn(2, 5, 8), torch.ones(2, 5)
    assert TextGuidedInteraction(16, 8, 2)(features, words, mask).shape == features.shape
    pyramid = [torch.randn(2, 8, 16, 24), torch.randn(2, 12, 8, 12)]
    assert Decoder((8, 12), 6)(pyramid, (64, 96)).shape == (2, 6, 64, 96)


def test_padding_of_a_caption_does_not_matter_its_words_do():
    guide = TextGuidedInteraction(16, 8, 2)
    features, words = torch.randn(1, 16, 4, 4), torch.randn(1, 5, 8)
    mask = torch.tensor([[1.0, 1, 1, 0, 0]])
    expected = guide(features, words, mask)
    other = words.clone()
    other[:, 3:] = 9 * torch.randn(2, 8)
    assert torch.allclose(guide(features, other, mask), expected, atol=1e-5)
    other[:, 0] = torch.randn(8)
    assert not torch.allclose(guide(features, other, mask), expected, atol=1e-4)


def test_similarity_loss_by_hand():
    # Eq. 11 at three pixels: unchanged and alike, changed and unlike, unchanged at 60 degrees.
    before = torch.tensor([[1.0, 0.0], [1.0, 0.0], [1.0, 0.0]]).T.view(1, 2, 1, 3)
    after = torch.tensor([[2.0, 0.0], [0.0, 1.0], [0.5, 3**0.5 / 2]]).T.view(1, 2, 1, 3)
    change = torch.tensor([[[0, 1, 0]]], dtype=torch.uint8)
    assert float(similarity_loss(before, after, change)) == pytest.approx(0.5 / 3, abs=1e-5)
    change[..., 0] = 1  # alike where it should have changed costs 1
    assert float(similarity_loss(before, after, change)) == pytest.approx(1.5 / 3, abs=1e-5)
    change[..., 2] = UNKNOWN
    assert float(similarity_loss(before, after, change)) == pytest.approx(0.5, abs=1e-5)


def test_dice_and_entropy_by_hand_and_without_unknown_pixels():
    probability = torch.tensor([0.8, 0.4, 0.9]).view(1, 1, 1, 3)
    truth = torch.tensor([1.0, 0.0, 1.0]).view(1, 1, 1, 3)
    known = torch.tensor([[[True, True, False]]])
    expected = 1 - 2 * 0.8 / (0.64 + 0.16 + 1)
    assert float(dice_loss(probability, truth, known)) == pytest.approx(expected, abs=1e-5)
    nothing = torch.full((1, 1, 2), UNKNOWN, dtype=torch.uint8)
    assert float(semantic_loss(torch.randn(1, 3, 1, 2), nothing)) == 0
    target = torch.tensor([[[2, UNKNOWN]]], dtype=torch.uint8)
    # Three equal classes: cross-entropy ln 3; Dice of 1/3 against 1.
    loss = float(semantic_loss(torch.zeros(1, 3, 1, 2), target))
    assert loss == pytest.approx(np.log(3) + 1 - (2 / 3) / (1 / 9 + 1), abs=1e-5)
    unchanged = torch.zeros(1, 1, 2, dtype=torch.uint8)
    assert float(change_loss(torch.zeros(1, 1, 2), unchanged)) == pytest.approx(np.log(2), abs=1e-5)


def test_captions_are_dropped_at_the_share_of_the_recipe_and_never_used_to_evaluate(tmp_path):
    task = TextscdTask(tmp_path)
    task.build({"tiny": True})
    rng = np.random.default_rng(0)
    one = pair(captions=("grass became houses",))
    with_text = [bool(task.sample(one, rng)["caption"].any()) for _ in range(300)]
    assert 0.62 < np.mean(with_text) < 0.78
    assert not task.question(one)["caption"].any()


def test_training_makes_the_loss_fall_and_the_tower_stays_frozen(tmp_path):
    task = TextscdTask(tmp_path)
    torch.manual_seed(0)
    model = task.build({"tiny": True, "text_dropout": 0})
    assert task.classes == SECOND_CLASSES
    # The tower is not part of the network: it is not trained, averaged or written.
    assert not [name for name, _ in model.named_parameters() if "tower" in name]
    words = caption_words(task._tower, ["grass"], "cpu", model.config)[0].clone()
    one = pair(captions=("low vegetation turned into buildings",))
    item = task.sample(one, np.random.default_rng(0))
    batch = {name: torch.from_numpy(np.stack([value, value])) for name, value in item.items()}
    optimiser = torch.optim.SGD(model.parameters(), 0.02, momentum=0.9)
    losses = []
    for step in range(6):
        loss, figures = task.loss(model, batch, step)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(figures["loss"])
    assert losses[-1] < 0.8 * losses[0]
    assert torch.equal(caption_words(task._tower, ["grass"], "cpu", model.config)[0], words)
    assert not words.requires_grad
    found = task.predict(model.eval(), batch)
    assert {name: value.shape for name, value in found.items()} == dict.fromkeys(
        ("change", "semantic_before", "semantic_after"), (2, 64, 64)
    )


def test_an_empty_caption_has_words_and_a_long_one_is_cut():
    config = TextSCDConfig.from_settings({"tiny": True})
    words, mask = caption_words(open_tower(config), ["", "a " * 80], "cpu", config)
    assert mask.sum(1).min() >= 1
    assert words.shape[1] <= CAPTION_WORDS
    assert torch.isfinite(words).all()
    with pytest.raises(InputError, match="built for 512"):
        open_tower(TextSCDConfig(text_tower="shipped"))


def test_labels_with_more_classes_than_the_model_are_refused(tmp_path):
    task = TextscdTask(tmp_path)
    task.build({"tiny": True, "classes": ["field", "town"]})
    with pytest.raises(InputError, match="more classes"):
        task.sample(pair(), np.random.default_rng(0))


def test_onnx_equals_torch_on_another_tile_size_and_length(tmp_path):
    model = tiny()
    path = tmp_path / "textscd.onnx"
    textscd_onnx.export(model.head, path, "abc")
    head = textscd_onnx.OnnxHead(path, "abc")
    words, mask = torch.randn(3, 7, 128), torch.ones(3, 7)
    mask[:, 4:] = 0
    with torch.no_grad():
        maps = model.encode(torch.rand(6, 3, 96, 64) * 255)
        parts = [m[:3] for m in maps], [m[3:] for m in maps], words, mask
        expected = model.head(*parts)
    for one, other in zip(head(*parts), expected):
        assert one.shape == other.shape
        assert float((one - other).abs().max()) < 1e-3


def test_margin_is_above_half_only_for_the_likeliest_class():
    posterior = np.array([0.45, 0.35, 0.2]).reshape(1, 3, 1, 1)
    assert margin(posterior).ravel() == pytest.approx([0.45 / 0.8, 0.35 / 0.8, 0.2 / 0.65])


def test_class_to_class_queries_follow_the_published_rule(tmp_path):
    system = TextscdSystem(store_with(tmp_path))
    assert system.info.classes == (
        "water",
        "bare ground",
        "low vegetation",
        "tree",
        "building",
        "playgrounds",
    )
    assert system.info.tile_size == 512
    system.load("cpu")
    # Four pixels: low vegetation to buildings, the same but unchanged, trees to buildings, and
    # low vegetation to water.
    logits = torch.zeros(2, 6, 1, 4)
    for pixel, (was, is_now) in enumerate(((2, 4), (2, 4), (3, 4), (2, 0))):
        logits[0, was, 0, pixel] = logits[1, is_now, 0, pixel] = 4
    change = torch.tensor([3.0, -3, 3, 3]).view(1, 1, 1, 4)
    # Both orders at once: the second half has swapped dates.
    system._head = lambda *_: Maps(logits, logits.flip(0), change.repeat(2, 1, 1, 1))
    tiles = np.zeros((1, 32, 32, 3), np.uint8)
    # The engine binds the two sides of the exchange by the classes of this system.
    parsed, warnings = bind(parse("low vegetation turned into buildings"), system.info.classes)
    queries = parsed.queries
    assert not warnings
    assert queries == (Query("low vegetation", REMOVED), Query("buildings", APPEARED))
    assert parsed.partners == (("buildings",), ("low vegetation",))
    found = system.predict(tiles, tiles, [*queries, Query("buildings", CHANGED)])
    high = found.scores[0, :, 0] > 0.5
    assert high[0].tolist() == [True, False, False, True]
    assert high[1].tolist() == [True, False, True, False]
    assert high[2].tolist() == [True, False, True, False]
    assert found.classes_before[0, 0].tolist() == [2, 2, 3, 2]
    assert found.classes_after[0, 0].tolist() == [4, 4, 4, 0]
    system._head = lambda *_: Maps(logits.flip(0), logits, change.repeat(2, 1, 1, 1))
    back = system.predict(tiles, tiles, [Query("buildings", REMOVED)]).scores[0, 0, 0]
    assert np.allclose(back, found.scores[0, 1, 0])


def test_exchanged_dates_exchange_appeared_and_removed(tmp_path):
    system = TextscdSystem(store_with(tmp_path))
    rng = np.random.default_rng(3)
    before, after = rng.integers(0, 256, (2, 1, 64, 96, 3)).astype(np.uint8)
    ways = [Query("buildings", way) for way in (APPEARED, REMOVED)]
    given = system.predict(before, after, ways)
    exchanged = system.predict(after, before, ways[::-1])
    assert given.scores.max() > 0
    assert np.allclose(given.scores, exchanged.scores, atol=1e-5)
    assert (given.classes_before == exchanged.classes_after).mean() > 0.999


def test_nouns_find_their_class_and_others_are_named():
    assert index_among("houses", SECOND_CLASSES) == 4
    assert index_among("forest", SECOND_CLASSES) == 3
    assert index_among("grass", SECOND_CLASSES) == 2
    assert index_among("roads", SECOND_CLASSES) is None
    assert index_among("paddy", ("paddy", "town")) == 0
    assert index_among("low vegetation", ("grass", "low vegetation")) == 1
    assert shown(("building", "buildings", "trees")) == ("building", "buildings", "tree")
    (note,) = TextscdSystem().notes([Query("roads", APPEARED), Query("trees", REMOVED)])
    assert '"roads"' in note


def test_system_runs_with_the_users_classes_and_its_onnx_head(tmp_path):
    store = store_with(tmp_path, classes=["paddy", "town"])
    tiles = np.random.default_rng(0).integers(0, 255, (2, 1, 64, 64, 3)).astype(np.uint8)
    queries = [Query("town", APPEARED)]
    system = TextscdSystem(store)
    assert system.info.classes == ("paddy", "town")
    found = system.predict(*tiles, queries)
    assert found.scores.shape == (1, 1, 64, 64)
    textscd_onnx.export_file(store.location(store.entry(HEAD)))
    onnx = TextscdSystem(store)
    onnx.load("cpu")
    assert "onnxruntime" in onnx.device
    assert np.abs(onnx.predict(*tiles, queries).scores - found.scores).max() < 1e-3


def test_what_the_loop_writes_is_what_the_system_loads(tmp_path):
    one = pair()
    colours = np.array([*CLASSES.values(), UNCHANGED], np.uint8)
    labels = [
        colours[np.where(part == UNKNOWN, len(CLASSES), part)]
        for part in (one.semantic_before, one.semantic_after)
    ]
    for name, pixels in zip(("im1", "im2", "label1", "label2"), (one.before, one.after, *labels)):
        folder = tmp_path / "data" / "train" / name
        folder.mkdir(parents=True)
        Image.fromarray(pixels).save(folder / "1.png")
    recipe = tmp_path / "small.yaml"
    recipe.write_text(
        "{name: small, task: textscd, steps: 2, batch_size: 2, crop: 64, precision: fp32, "
        "model: {tiny: true}, data: [{layout: second, folder: data, split: train}], "
        "validation: {layout: second, folder: data, split: train}}"
    )
    weights = train(recipe, tmp_path / "run", data=tmp_path, device="cpu")
    (row,) = csv.DictReader((tmp_path / "run" / "validation.csv").open(encoding="utf-8"))
    assert {"f1", "miou", "sek", "fscd"} <= set(row)
    store = WeightsStore(tmp_path / "store")
    store.import_from(weights, [HEAD])
    system = TextscdSystem(store)
    assert system.info.revision == "small, step 2"
    found = system.predict(one.before[None], one.after[None], [Query("houses", APPEARED)])
    assert found.classes_after.shape == (1, 64, 64)


def test_the_recipe_that_ships_is_read():
    recipe = load_recipe("textscd")
    assert recipe.optimiser.name == "sgd"
    assert TextSCDConfig.from_settings(recipe.model).classes == SECOND_CLASSES


def test_system_names_what_is_missing(tmp_path):
    system = TextscdSystem(WeightsStore(tmp_path))
    assert system.info.weights == (HEAD, "clip-vit-b-16-openai")
    with pytest.raises(WeightsError, match=r"textscd\.safetensors"):
        system.load("cpu")
