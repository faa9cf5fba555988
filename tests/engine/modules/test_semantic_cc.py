# SPDX-License-Identifier: GPL-3.0-or-later
"""Semantic-CC: its blocks against values by hand, its three stages, answers of the system."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
pytest.importorskip("peft")

from changescribe.engine.backbones import language, lora, vit
from changescribe.engine.errors import InputError, WeightsError
from changescribe.engine.modules.kcfi.config import KcfiConfig
from changescribe.engine.modules.semantic_cc import network as semantic_cc
from changescribe.engine.modules.semantic_cc.config import INSTRUCTIONS, TINY, SemanticCcConfig
from changescribe.engine.modules.semantic_cc.encoder import (
    BitemporalEncoder,
    ChangeSemanticFilter,
    DateFilter,
)
from changescribe.engine.request import APPEARED, REMOVED, Query
from changescribe.engine.systems.semantic_cc import HEAD, SemanticCcSystem
from changescribe.engine.training.pairs.pair import LabelledPair
from changescribe.engine.training.recipe import (
    AugmentSpec,
    DataSpec,
    OptimiserSpec,
    Recipe,
    load_recipe,
)
from changescribe.engine.training.tasks import create
from changescribe.engine.training.tasks.semantic_cc import (
    BOTH,
    CAPTION,
    DETECT,
    caption_loss,
    stage_of,
)
from changescribe.engine.training.trainer import Trainer
from changescribe.engine.weights.loading import save_head
from changescribe.engine.weights.store import WeightsStore

pytestmark = pytest.mark.torch


@pytest.fixture(autouse=True)
def one_thread():
    """Use one thread: on a busy machine, several slow tiny models down."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.manual_seed(3)
    yield
    torch.set_num_threads(threads)


def tiny(**changes):
    return semantic_cc.build(replace(TINY, **changes), language.tiny())


def test_a_date_filter_is_eq_3():
    part = DateFilter(2)
    part.project.weight.data = torch.tensor([[1.0, 0.0, 0.0, -1.0]])
    part.project.bias.data.zero_()
    x, y = torch.tensor([[[1.0, 2.0], [0.0, 4.0]]]), torch.tensor([[[9.0, 1.0], [9.0, 3.0]]])
    # sigmoid(1 - 1) and sigmoid(0 - 3), one number a row.
    assert part(x, y)[0].tolist() == [
        pytest.approx([0.5, 1.0]),
        pytest.approx([0.0, 4 * 0.0474259], abs=1e-6),
    ]


def test_the_semantic_filter_begins_without_effect_and_shares_the_spatial_one():
    part = ChangeSemanticFilter(8, 4)
    before, after = torch.randn(2, 1, 4, 8)
    one, two = part(before, after)
    assert torch.equal(one, before)
    assert torch.equal(two, after)
    for ffn in (part.spatial_ffn, *part.channel_ffn):
        torch.nn.init.normal_(ffn[2].weight)
    one, two = part(before, after)
    assert one.shape == two.shape == (1, 4, 8)
    # Swapped dates change the channel filters, but not the spatial one.
    assert not torch.allclose(part(after, before)[1], one)
    for ffn in part.channel_ffn:
        torch.nn.init.zeros_(ffn[2].weight)
    other, own = part(after, before)
    one, two = part(before, after)
    assert torch.allclose(own, one)
    assert torch.allclose(other, two)


def test_inter_task_attention_is_eq_5():
    part = semantic_cc.InterTaskAttention(1, 2)
    part.weight.data = torch.tensor([[1.0, 2.0]])
    part.project.weight.data = torch.tensor([[1.0, 1.0, 0.0]])
    part.project.bias.data.zero_()
    # S = 2 (1 * 3 + 2 * -1) = 2; the first of X_2 is 3 sigmoid(2); sigmoid(2 + that).
    found = part(torch.tensor([[[2.0]]]), torch.tensor([[[3.0, -1.0]]]))
    assert found.item() == pytest.approx(1 / (1 + np.exp(-(2 + 3 * 0.8807971))), abs=1e-6)


def test_shapes_of_the_blocks():
    unit = semantic_cc.SemanticAggregationUnit(16, 8, 2)
    caption, change = unit(torch.randn(4, 9, 16), torch.randn(4, 9, 8))
    assert (caption.shape, change.shape) == ((4, 9, 16), (4, 9, 8))
    pyramid = semantic_cc.SimplePyramid(16, 5)
    assert [tuple(part.shape) for part in pyramid(torch.randn(1, 16, 6, 6))] == [
        (1, 5, side, side) for side in (24, 12, 6, 3)
    ]
    decoder = semantic_cc.ChangeDetectionDecoder(8, 5)
    assert decoder(*torch.randn(2, 1, 8, 5, 5), 40, 48).shape == (1, 2, 40, 48)
    config = SemanticCcConfig()
    assert (config.queries, config.query_width, config.reduced, config.units) == (32, 768, 256, 3)
    assert (config.rank, config.alpha, config.dropout) == (16, 32, 0.05)
    model = tiny()
    features = model(*torch.rand(2, 2, 3, 48, 64) * 255)
    assert features.caption.shape == (4, 16, 16)  # 4 x 4 patches of 8 pixels
    assert features.change.shape == (2, 2, 48, 64)
    assert model.captioner(features.caption).shape == (2, 4, 16)
    assert len(set(INSTRUCTIONS)) == 4
    assert all(text.count("<image>") == 1 for text in INSTRUCTIONS)


def test_the_enhancer_is_eq_8():
    part = semantic_cc.ChangeFeatureEnhancer(1, 1)
    for layer in (*part.weigh, part.project):
        torch.nn.init.zeros_(layer.bias)
    for layer in part.weigh:
        torch.nn.init.zeros_(layer.weight)
    part.project.weight.data = torch.tensor([[1.0, 10.0, 100.0]])
    # Halves of 4 and 2, and what lies between them.
    assert part(torch.tensor([[[4.0]]]), torch.tensor([[[2.0]]])).item() == pytest.approx(112)


def test_the_queries_look_inside_only():
    model = tiny().eval()
    features = torch.randn(2, 16, 16)
    inside = torch.zeros(1, 16)
    inside[0, :4] = 1
    part = model.captioner(features, inside)
    features[:, 4:] += 1
    assert torch.allclose(model.captioner(features, inside), part, atol=1e-5)
    assert not torch.allclose(model.captioner(features), part, atol=1e-3)
    nothing = model.captioner(features, 0 * inside)
    assert torch.allclose(nothing, model.captioner(features), atol=1e-5)


def test_sams_vit_is_an_encoder_with_its_own_neck():
    sam = pytest.importorskip("timm.models.vision_transformer_sam")
    network = sam.VisionTransformerSAM(
        img_size=64, patch_size=8, embed_dim=16, depth=4, num_heads=2, num_classes=0,
        use_rel_pos=True, window_size=3, global_attn_indexes=(0, 1, 2, 3), neck_chans=8,
    )  # fmt: skip
    neck = network.neck
    taps = vit.ViTTaps(vit.found_sam(network))
    assert taps.taps == (1, 2, 3, 4)
    encoder = BitemporalEncoder(replace(TINY, size=32), taps)
    assert encoder.reduce is neck
    assert not any(p.requires_grad for p in neck.parameters())
    wide, narrow = encoder(*torch.rand(2, 1, 3, 40, 40) * 255)
    assert (wide.shape, narrow.shape) == ((2, 16, 16), (2, 16, 8))
    names = {name for name, p in encoder.vit.named_parameters() if p.requires_grad}
    assert names
    assert all("lora_" in name and ".qkv." in name for name in names)


def test_adapters_start_without_effect_and_need_a_matching_layer():
    model = language.tiny().model
    tokens = torch.arange(6)[None]
    before = model(tokens).logits
    lora.add(model, 2, 4, 0.0)
    assert torch.equal(model(tokens).logits, before)
    learned = [name for name, p in model.named_parameters() if p.requires_grad]
    assert learned
    assert all("_proj.lora_" in name for name in learned)
    with pytest.raises(InputError, match="no attention"):
        lora.add(torch.nn.Linear(2, 2), 2, 4, 0.0)


def test_settings_are_checked():
    assert SemanticCcConfig.from_settings({"tiny": True, "units": 2}) == replace(TINY, units=2)
    for settings, words in (
        ({"depth": 3}, "no setting named depth"),
        ({"globals": [4, 2]}, "ascending"),
        ({"reduced": 30, "heads": 4}, "multiple"),
    ):
        with pytest.raises(InputError, match=words):
            SemanticCcConfig.from_settings(settings)
    with pytest.raises(InputError, match="16 channels"):
        tiny(heads=3, reduced=9)


def test_stages_by_hand():
    # Epochs of 3 + 2 + 1 steps: masks, sentences, both.
    stages = [stage_of(step, (3, 2, 1)) for step in range(8)]
    assert stages == [DETECT] * 3 + [CAPTION] * 2 + [BOTH] + [DETECT] * 2
    assert [stage_of(step, (1, 2, 0)) for step in range(4)] == [DETECT, CAPTION, CAPTION, DETECT]


class FakePairs:
    """A set of one size with one pair in it, or with sentences alone."""

    def __init__(self, spec):
        self.spec, self.names = spec, [str(n) for n in range(int(spec.folder))]

    def __len__(self):
        return len(self.names)

    def size(self, index):
        return 32, 32

    def draw(self, rng):
        return int(rng.integers(len(self)))

    def read(self, index, window=None):
        pair = square_pair()
        if self.spec.layout == "masks":
            return replace(pair, captions=())
        return pair if self.spec.layout == "both" else replace(pair, change=None)


def test_an_epoch_passes_once_over_the_pairs_of_each_stage(monkeypatch, tmp_path):
    module = "changescribe.engine.training"
    for user in (f"{module}.tasks.semantic_cc", f"{module}.pairs.crops"):
        monkeypatch.setattr(f"{user}.open_pairs", lambda spec, root: FakePairs(spec))
    recipe = small_recipe()
    recipe.data = [DataSpec("masks", "8"), DataSpec("sentences", "6"), DataSpec("both", "4")]
    task = create("semantic_cc")
    task.prepare(recipe, 0)
    crops = task.dataset(recipe, tmp_path, tmp_path)
    # Batches of 2: 12 pairs with masks, 10 with sentences, 4 with both.
    assert task._lengths == (6, 5, 2)
    for step, mask, sentence in ((0, True, None), (6, None, True), (11, True, True)):
        for sample in (crops[2 * step], crops[2 * step + 1]):
            assert mask is None or (sample["change"] != 255).all()
            assert sentence is None or sample["caption"].any()
    recipe.loss = {"both_steps": 7}
    task.prepare(recipe, 0)
    task.dataset(recipe, tmp_path, tmp_path)
    assert task._lengths == (6, 5, 7)
    recipe.data = recipe.data[:1]
    with pytest.raises(InputError, match="pairs with sentences"):
        task.dataset(recipe, tmp_path, tmp_path)


def small_recipe() -> Recipe:
    return Recipe(
        name="small",
        task="semantic_cc",
        model={"tiny": True},
        steps=40,
        batch_size=2,
        crop=32,
        precision="fp32",
        optimiser=OptimiserSpec(lr=1e-2, weight_decay=0.1),
        augment=AugmentSpec(flip=False, rotate=False, exchange=0.0),
    )


def square_pair(size: int = 32) -> LabelledPair:
    rng = np.random.default_rng(0)
    before, after = rng.integers(40, 80, (2, size, size, 3), dtype=np.uint8)
    change = np.zeros((size, size), np.uint8)
    change[8:24, 8:24] = 1
    after[change == 1] = 240
    return LabelledPair(before, after, change, captions=("a house",))


def batch_of(rows):
    return {k: torch.from_numpy(np.stack([row[k] for row in rows])) for k in rows[0]}


def test_tiny_model_learns_in_three_stages_and_what_is_frozen_stays():
    trainer = Trainer(small_recipe(), create("semantic_cc"), "cpu")
    task, model = trainer.task, trainer.model
    task._lengths = (1, 1, 1)
    rng = np.random.default_rng(0)
    parts = {
        DETECT: {"encoder", "norm", "neck", "detector"},
        CAPTION: {"neck", "captioner", "network"},
        BOTH: {"neck"},
    }
    first, last = {}, {}
    for step in range(30):
        before = {name: value.clone() for name, value in model.state_dict().items()}
        batch = batch_of([task.sample(square_pair(), rng) for _ in range(2)])
        figures = trainer.step(step, [batch])
        state = model.state_dict()
        changed = {name for name, value in before.items() if not torch.equal(value, state[name])}
        stage = step % 3
        assert {name.partition(".")[0] for name in changed} == parts[stage]
        # Of the ViT and of the language model adapters alone, whatever the optimiser keeps.
        for name in changed:
            if name.startswith(("encoder.vit.", "network.")):
                assert "lora_" in name
        assert figures["stage"] == stage
        (last if stage in first else first)[stage] = figures
    assert last[DETECT]["change"] < 0.75 * first[DETECT]["change"]
    assert last[CAPTION]["caption"] < 0.98 * first[CAPTION]["caption"]
    assert last[BOTH]["loss"] < first[BOTH]["loss"]
    both = last[BOTH]
    assert both["loss"] == pytest.approx(both["caption"] + 0.5 * both["change"], abs=1e-4)
    assert last[DETECT]["caption"] == last[CAPTION]["change"] == 0
    saved = task.weights(model)
    for name in saved:
        if name.startswith(("encoder.vit.", "network.")):
            assert "lora_" in name
    assert any(name.startswith("network.") for name in saved)
    score = task.predict(model.eval(), batch_of([task.question(square_pair())]))["change"][0]
    assert score[8:24, 8:24].mean() > score[:8].mean()


def test_one_stage_trains_everything_jointly():
    trainer = Trainer(small_recipe(), create("semantic_cc"), "cpu")
    trainer.task._lengths = (0, 0, 1)
    before = {name: value.clone() for name, value in trainer.model.state_dict().items()}
    rng = np.random.default_rng(0)
    batch = batch_of([trainer.task.sample(square_pair(), rng) for _ in range(2)])
    figures = trainer.step(0, [batch])
    assert min(figures["caption"], figures["change"]) > 0
    state = trainer.model.state_dict()
    changed = {name for name, value in before.items() if not torch.equal(value, state[name])}
    parts = {"encoder", "norm", "neck", "detector", "captioner", "network"}
    assert {name.partition(".")[0] for name in changed} == parts


def test_the_loss_of_sentences_is_of_those_that_have_one():
    task = create("semantic_cc")
    model = task.build({"tiny": True}).eval()
    rng = np.random.default_rng(0)
    captioned = task.sample(square_pair(), rng)
    silent = task.sample(replace(square_pair(), captions=()), rng)
    batch = batch_of([silent, captioned])
    features = model(batch["before"].float(), batch["after"].float())
    alone = batch_of([captioned])
    seen = model(alone["before"].float(), alone["after"].float())
    expected = caption_loss(model, seen, alone)
    assert torch.isclose(caption_loss(model, features, batch), expected, atol=1e-3)
    assert caption_loss(model, features, batch_of([silent, silent])) is None


@pytest.fixture
def trained(tmp_path):
    """A store with the weights of a tiny Semantic-CC, as training writes them."""
    task = create("semantic_cc")
    model = task.build({"tiny": True})
    for value in model.parameters():
        if value.requires_grad:  # also those that begin with nothing
            value.data += 0.1 * torch.randn_like(value)
    metadata = {
        "system": "semantic_cc",
        "config": {"tiny": True},
        "step": 3,
        "recipe": {"name": "small", "crop": 64},
    }
    save_head(task.weights(model), tmp_path / "model.safetensors", metadata)
    store = WeightsStore(tmp_path / "store")
    store.import_from(tmp_path / "model.safetensors", [HEAD])
    return store, model.eval()


def test_system_marks_and_writes_from_one_pass(trained, monkeypatch):
    store, model = trained
    # The tiny ViT is random, and its weights are in no file: the same one for both.
    build = vit.build
    monkeypatch.setattr(vit, "build", lambda *a, **k: same_weights(build(*a, **k), model))
    system = SemanticCcSystem(store)
    info = system.info
    assert (info.name, info.revision, info.tile_size) == ("semantic-cc", "small, step 3", 64)
    assert info.writes
    rng = np.random.default_rng(2)
    before, after = rng.integers(0, 255, (2, 2, 64, 64, 3), dtype=np.uint8)
    queries = [Query("houses", APPEARED), Query("trees", REMOVED)]
    system.load("cpu")
    passes = []
    system._model.encoder.register_forward_hook(lambda *parts: passes.append(1))
    whole = np.ones((2, 64, 64), np.uint8)
    answer = system.describe(before, after, queries, whole)
    assert len(passes) == 1
    dates = [torch.from_numpy(t).permute(0, 3, 1, 2).float() for t in (before, after)]
    with torch.no_grad():
        expected = model(*dates)
        written = model.language.write(model.captioner(expected.caption), INSTRUCTIONS[:1] * 2)
    change = expected.change.softmax(1)[:, 1].numpy()
    assert np.allclose(answer.scores[:, 0], change, atol=1e-4)
    assert not answer.scores[:, 1].any()
    for caption, raw in zip(answer.captions, written, strict=True):
        assert caption.lower().rstrip(".") == raw.lower().strip().rstrip(".").strip()
    # Swapped dates are another query.
    swapped = system.describe(after, before, queries, whole)
    assert not np.allclose(swapped.scores[:, 0], change, atol=1e-4)
    object_note, direction_note = system.notes(queries)
    assert "Semantic-CC was trained on buildings" in object_note
    assert "no direction" in direction_note


def same_weights(taps, model):
    theirs = {
        name.replace("base_layer.", ""): value
        for name, value in model.encoder.vit.state_dict().items()
        if "lora_" not in name
    }
    taps.load_state_dict(theirs, strict=False)
    return taps


def test_missing_weights_are_listed(tmp_path):
    store = WeightsStore(tmp_path)
    info = SemanticCcSystem(store).info
    assert (info.revision, info.tier) == ("not trained", "full")
    assert info.weights == (HEAD, "sam-vit-l", "qwen2.5-0.5b-instruct")
    with pytest.raises(WeightsError) as error:
        SemanticCcSystem(store).load("cpu")
    for name in ("semantic-cc.safetensors", "sam_vit_l_0b3195.pth", "Qwen2.5-0.5B-Instruct"):
        assert name in error.value.message


def test_training_lists_all_missing_weights(monkeypatch, tmp_path):
    monkeypatch.setenv("CHANGESCRIBE_WEIGHTS", str(tmp_path))
    with pytest.raises(WeightsError) as error:
        create("semantic_cc").build({})
    for name in ("sam_vit_l_0b3195.pth", "Qwen2.5-0.5B-Instruct"):
        assert name in error.value.message


@pytest.mark.parametrize("suffix", ["", "_substitute"])
@pytest.mark.parametrize("settings", [KcfiConfig, SemanticCcConfig])
def test_recipes_are_read(settings, suffix):
    task = "kcfi" if settings is KcfiConfig else "semantic_cc"
    recipe = load_recipe(f"{task}{suffix}")
    assert recipe.task == task
    assert settings.from_settings(dict(recipe.model)).object == "buildings"
    assert recipe.terms == "restricted"
