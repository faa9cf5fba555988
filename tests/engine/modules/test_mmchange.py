# SPDX-License-Identifier: GPL-3.0-or-later
"""MMChange: blocks, values by hand, training, the system, ONNX."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from PIL import Image

from changescribe.engine import systems
from changescribe.engine.errors import InputError, WeightsError
from changescribe.engine.modules.mmchange import onnx as mmchange_onnx
from changescribe.engine.modules.mmchange.blocks import (
    ImageFeatureRefinement,
    ImageTextFeatureFusion,
    NeighbourAggregation,
    SpatialGroupEnhancement,
    SupervisedAttentionDecoder,
    TextDifferenceEnhancement,
    gate_by_mean,
    scaled_dot_product_attention,
)
from changescribe.engine.modules.mmchange.config import MMChangeConfig
from changescribe.engine.modules.mmchange.network import MMChange, load_trained, score_pair
from changescribe.engine.request import APPEARED, CHANGED, REMOVED, Query
from changescribe.engine.systems.mmchange import HEAD, MmchangeSystem
from changescribe.engine.training.loop import train
from changescribe.engine.training.pairs.pair import LabelledPair
from changescribe.engine.training.recipe import load_recipe
from changescribe.engine.training.tasks.mmchange import MmchangeTask, mask_loss
from changescribe.engine.weights import loading
from changescribe.engine.weights.store import WeightsStore

pytestmark = pytest.mark.torch


def tiny(**settings):
    torch.manual_seed(0)
    return MMChange(MMChangeConfig.from_settings({"tiny": True, **settings})).eval()


def pair():
    rng = np.random.default_rng(1)
    before = rng.integers(0, 90, (64, 64, 3)).astype(np.uint8)
    after = before.copy()
    after[16:48, 16:48] = 220
    mask = np.zeros((64, 64), np.uint8)
    mask[16:48, 16:48] = 1
    directions = {("buildings", APPEARED): mask, ("buildings", REMOVED): np.zeros_like(mask)}
    return LabelledPair(before, after, mask, directions=directions)


def batch_of(task, pairs):
    items = [task.sample(p, np.random.default_rng(0)) for p in pairs]
    return {name: torch.from_numpy(np.stack([i[name] for i in items])) for name in items[0]}


def store_with(tmp_path, **settings):
    """Return a store with a tiny network of random weights."""
    path = tmp_path / "mmchange.safetensors"
    config = {"tiny": True, **settings}
    metadata = {"config": config, "recipe": {"name": "test", "crop": 64}, "step": 3}
    loading.save_head(tiny(**settings).state_dict(), path, metadata)
    store = WeightsStore(tmp_path / "store")
    store.import_from(path, [HEAD])
    return store


def test_blocks_keep_their_sizes_on_a_rectangle():
    maps = [torch.randn(2, 16, 16 // 2**i, 24 // 2**i) for i in range(4)]
    assert ImageFeatureRefinement(16)(maps[0], maps[0]).shape == maps[0].shape
    assert ImageTextFeatureFusion(16)(maps[3], maps[3]).shape == maps[3].shape
    aggregate = NeighbourAggregation(16, 16, 16, 16)
    assert aggregate(maps[1], maps[0], maps[2]).shape == maps[1].shape
    text = TextDifferenceEnhancement(32, 16)(torch.randn(2, 32), torch.randn(2, 32), maps[0])
    assert [t.shape for t in text] == [m.shape for m in maps]
    masks = SupervisedAttentionDecoder(16)(maps)
    assert [m.shape[1:] for m in masks] == [(1, *m.shape[2:]) for m in maps]


def test_formulas_by_hand():
    # Eq. 11: the mean of (0, 2) is 1, its sigmoid 0.731.
    gated = gate_by_mean(torch.tensor([0.0, 2.0]).view(1, 1, 1, 2))
    assert gated.flatten().tolist() == pytest.approx([0, 1.46212], abs=1e-4)
    # Eq. 3: of tokens (1, 0) and (0, 1) the scores are 1/sqrt(2) and 0.
    kept = np.exp(2**-0.5) / (np.exp(2**-0.5) + 1)
    attended = scaled_dot_product_attention(torch.eye(2)[None])[0]
    assert attended[0].tolist() == pytest.approx([kept, 1 - kept], abs=1e-5)
    # With its first weights (0 and 1) the enhancement is a constant gate of sigmoid(1).
    features = torch.randn(1, 8, 3, 3)
    enhanced = SpatialGroupEnhancement(4)(features)
    assert torch.allclose(enhanced, features * 0.7310586, atol=1e-5)


def test_the_pixel_gate_chooses_between_image_and_text():
    fusion = ImageTextFeatureFusion(8)
    with torch.no_grad():
        fusion.out.weight.copy_(torch.eye(8)[:, :, None, None])
        fusion.out.bias.zero_()
        fusion.pixel.attend.weight.zero_()
        image, text = torch.full((1, 8, 4, 4), 1.0), torch.full((1, 8, 4, 4), 3.0)
        fusion.pixel.attend.bias.zero_()  # gate 0.5: 4 + 0.5 * 1 + 0.5 * 3
        assert torch.allclose(fusion(image, text), torch.full((1, 8, 4, 4), 6.0))
        fusion.pixel.attend.bias.fill_(50)  # gate 1: 4 + 1
        assert torch.allclose(fusion(image, text), torch.full((1, 8, 4, 4), 5.0))


def test_groups_of_the_refinement_do_not_meet():
    refine = ImageFeatureRefinement(8).eval().refine
    features = torch.randn(1, 8, 4, 4)
    changed = features.clone()
    changed[:, :2] += 5
    difference = (refine(features) - refine(changed)).abs().amax((0, 2, 3))
    assert difference[:2].max() > 1e-3
    assert difference[2:].max() == 0


def test_loss_by_hand_and_without_unknown_pixels():
    target = torch.tensor([[[1, 0, 255]]], dtype=torch.uint8)
    entropy, dice = mask_loss(torch.zeros(1, 1, 3), target)
    assert float(entropy) == pytest.approx(np.log(2), abs=1e-5)
    assert float(dice) == pytest.approx(1 - (2 * 0.5 + 1) / (1 + 1 + 1), abs=1e-5)
    other = mask_loss(torch.tensor([[[0.0, 0.0, 9.0]]]), target)
    assert float(other[0]) == pytest.approx(float(entropy))


@pytest.mark.parametrize("left_out", ["ifr", "tde", "itff", "text"])
def test_an_ablation_leaves_its_block_out_and_trains_the_rest(left_out):
    model = MMChange(MMChangeConfig.from_settings({"tiny": True, left_out: False}))
    images, text = torch.rand(2, 3, 64, 64) * 255, torch.randn(2, 128)
    sum(m.mean() for m in model(images, images.flip(0), text, text.flip(0))).backward()
    assert all(p.grad is not None for p in model.parameters())
    names = " ".join(type(m).__name__ for m in model.modules())
    blocks = {
        "ifr": "ImageFeatureRefinement",
        "tde": "TextDifferenceEnhancement",
        "itff": "ImageTextFeatureFusion",
        "text": "TextDifferenceEnhancement",
    }
    assert blocks[left_out] not in names


def test_training_makes_the_loss_fall_and_an_exchange_moves_the_texts(tmp_path):
    class Texts(MmchangeTask):
        def _embedding(self, path, crop):
            return np.full(128, crop.mean() / 255, np.float32)

    task = Texts(tmp_path)
    torch.manual_seed(0)
    model = task.build({"tiny": True})
    one = pair()
    other = LabelledPair(
        one.after,
        one.before,
        one.change,
        directions={
            ("buildings", APPEARED): one.directions["buildings", REMOVED],
            ("buildings", REMOVED): one.directions["buildings", APPEARED],
        },
    )
    batch = batch_of(task, [one, other])
    assert torch.equal(batch["text_before"][0], batch["text_after"][1])
    assert batch["text_before"][0, 0] < batch["text_before"][1, 0]
    assert [int(t.sum()) for t in batch["target"]] == [1024, 0]
    optimiser = torch.optim.Adam(model.parameters(), 1e-2)
    losses = []
    for step in range(6):
        loss, figures = task.loss(model, batch, step)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(figures["loss"])
    assert losses[-1] < 0.85 * losses[0]
    assert task.predict(model.eval(), batch)["change"].shape == (2, 64, 64)


def test_texts_of_a_pair_come_from_the_source(tmp_path):
    task = MmchangeTask(tmp_path)
    task.build({"tiny": True, "text_source": {"source": "bundled"}})
    sample = task.sample(pair(), np.random.default_rng(0))
    assert np.linalg.norm(sample["text_before"]) == pytest.approx(1, abs=1e-3)
    assert list(tmp_path.rglob("*.json"))


def test_the_other_order_of_the_dates_has_the_texts_in_the_other_order():
    model = tiny()
    dates, texts = torch.rand(2, 1, 3, 64, 64) * 255, torch.randn(2, 1, 128)
    with torch.no_grad():
        found = score_pair(model.encoder, model.head, tuple(dates), tuple(texts))
        given = model(*dates, *texts)[0].sigmoid()[:, 0]
        exchanged = model(*dates.flip(0), *texts.flip(0))[0].sigmoid()[:, 0]
        stuck = model(*dates.flip(0), *texts)[0].sigmoid()[:, 0]
    assert torch.allclose(found[0], given, atol=1e-5)
    assert torch.allclose(found[1], exchanged, atol=1e-5)
    assert not torch.allclose(exchanged, stuck, atol=1e-4)


def test_a_setting_that_is_wrong_is_named():
    with pytest.raises(InputError, match="colour"):
        MMChangeConfig.from_settings({"colour": 1})
    with pytest.raises(InputError, match="direction"):
        MMChangeConfig.from_settings({"object": ""})


def test_onnx_equals_torch_on_another_tile_size(tmp_path):
    model = tiny()
    path = tmp_path / "mmchange.onnx"
    mmchange_onnx.export(model.head, path, "abc")
    head = mmchange_onnx.OnnxHead(path, "abc")
    images, text = torch.rand(6, 3, 96, 64) * 255, torch.randn(6, 128)
    with torch.no_grad():
        maps = model.encoder(images)
        parts = [m[:3] for m in maps], [m[3:] for m in maps], text[:3], text[3:]
        expected = model.head(*parts)[0]
    assert float((head(*parts)[0] - expected).abs().max()) < 1e-3
    with pytest.raises(WeightsError, match="other weights"):
        mmchange_onnx.OnnxHead(path, "def")


def test_system_answers_its_object_and_exchanges_directions_with_the_dates(tmp_path):
    store = store_with(tmp_path)
    system = MmchangeSystem(store)
    assert (system.info.tile_size, system.info.classes) == (64, ("buildings",))
    assert system.info.revision == "test, step 3"
    system.load("cpu")
    one = pair()
    before, after = one.before[None], one.after[None]
    houses = [Query("houses", direction) for direction in (APPEARED, REMOVED, CHANGED)]
    queries = [*houses, Query("water", APPEARED)]
    found = system.predict(before, after, queries).scores
    back = system.predict(after, before, queries).scores
    assert found.shape == (1, 4, 64, 64)
    assert np.allclose(found[:, 0], back[:, 1], atol=1e-5)
    assert not np.allclose(found[:, 0], found[:, 1], atol=1e-4)
    assert np.array_equal(found[:, 2], found[:, :2].max(1))
    assert not found[:, 3].any()
    (note,) = system.notes(queries)
    assert '"water"' in note
    location = store.location(store.entry(HEAD))
    mmchange_onnx.export_file(location)
    onnx = MmchangeSystem(store)
    onnx.load("cpu")
    assert "onnxruntime" in onnx.device
    assert np.abs(onnx.predict(before, after, queries).scores - found).max() < 1e-3


def test_a_system_without_direction_or_object_warns(tmp_path):
    system = MmchangeSystem(store_with(tmp_path, direction=False, object="", text=False))
    assert not system.info.directed
    system.load("cpu")
    queries = [Query("roads", APPEARED), Query("roads", REMOVED)]
    one = pair()
    scores = system.predict(one.before[None], one.after[None], queries).scores
    assert np.array_equal(scores[:, 0], scores[:, 1])
    notes = " ".join(system.notes(queries))
    assert "any change" in notes
    assert "no direction" in notes


def test_what_the_loop_writes_is_what_the_system_loads(tmp_path):
    one = pair()
    for name, pixels in (("A", one.before), ("B", one.after), ("label", one.change * 255)):
        folder = tmp_path / "data" / "train" / name
        folder.mkdir(parents=True)
        Image.fromarray(pixels).save(folder / "1.png")
    recipe = tmp_path / "small.yaml"
    recipe.write_text(
        "{name: small, task: mmchange, steps: 2, batch_size: 2, crop: 64, precision: fp32, "
        "model: {tiny: true, object: buildings}, "
        "data: [{layout: levir_cd, folder: data, split: train}]}"
    )
    weights = train(recipe, tmp_path / "run", data=tmp_path, device="cpu")
    store = WeightsStore(tmp_path / "store")
    store.import_from(weights, [HEAD])
    system = MmchangeSystem(store)
    assert system.info.revision == "small, step 2"
    found = system.predict(one.before[None], one.after[None], [Query("houses", APPEARED)])
    assert found.scores.shape == (1, 1, 64, 64)


def test_a_set_without_the_labels_to_learn_is_refused_before_the_run(tmp_path):
    one = pair()
    for name, pixels in (("time1", one.before), ("time2", one.after), ("label", one.change * 255)):
        folder = tmp_path / "SYSU-CD" / "train" / name
        folder.mkdir(parents=True)
        Image.fromarray(pixels).save(folder / "1.png")
    recipe = tmp_path / "small.yaml"
    text = (
        "{name: small, task: mmchange, steps: 2, batch_size: 2, crop: 64, precision: fp32, "
        "model: {tiny: true, MODEL}, data: [{layout: sysu_cd, folder: SYSU-CD, split: train}]}"
    )
    recipe.write_text(text.replace("MODEL", "object: buildings"))
    with pytest.raises(
        InputError, match='sysu_cd has no labels to learn "buildings" from'
    ) as error:
        train(recipe, tmp_path / "run", data=tmp_path, device="cpu")
    assert "model.direction to false" in error.value.hint
    assert not (tmp_path / "run").exists()
    recipe.write_text(text.replace("MODEL", 'object: "", direction: false'))
    assert train(recipe, tmp_path / "run", data=tmp_path, device="cpu").exists()


@pytest.mark.parametrize("name", ["mmchange", "mmchange_substitute"])
def test_the_recipes_that_ship_are_read(name):
    recipe = load_recipe(name)
    assert recipe.task == "mmchange"
    assert MMChangeConfig.from_settings(recipe.model).object == "buildings"


def test_system_names_what_is_missing(tmp_path):
    system = systems.create("mmchange")
    assert system.info.tier == "full"
    with pytest.raises(WeightsError, match=r"mmchange\.safetensors"):
        MmchangeSystem(WeightsStore(tmp_path)).load("cpu")
    store = store_with(
        tmp_path, text_source={"source": "labels"}, text_tower="clip-vit-b-32-openai"
    )
    assert MmchangeSystem(store).info.weights == (HEAD, "clip-vit-b-32-openai")
    with pytest.raises(WeightsError, match="ViT-B-32"):
        MmchangeSystem(store).load("cpu")
    assert load_trained(store.location(store.entry(HEAD))).config.text
