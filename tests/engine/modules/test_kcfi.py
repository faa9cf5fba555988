# SPDX-License-Identifier: GPL-3.0-or-later
"""KCFI: its parts against values by hand, training, and answers of the system."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from changescribe.engine.backbones import language
from changescribe.engine.errors import InputError, WeightsError
from changescribe.engine.modules.kcfi import network
from changescribe.engine.modules.kcfi.config import TINY, KcfiConfig
from changescribe.engine.request import APPEARED, REMOVED, Query
from changescribe.engine.systems.kcfi import HEAD, KcfiSystem
from changescribe.engine.training.dynamic_weights import DynamicWeights, weights_of
from changescribe.engine.training.loop import validate
from changescribe.engine.training.pairs.crops import Tiles
from changescribe.engine.training.pairs.pair import UNKNOWN, LabelledPair
from changescribe.engine.training.recipe import Recipe
from changescribe.engine.training.scenes.consensus import cider_d
from changescribe.engine.training.tasks import create
from changescribe.engine.training.tasks.captioned import change_loss
from changescribe.engine.training.tasks.kcfi import caption_loss
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


def test_warp_without_flow_changes_nothing():
    features = torch.randn(2, 3, 5, 7)
    assert torch.allclose(network.warp(features, torch.zeros(2, 2, 5, 7)), features, atol=1e-5)


def test_the_right_flow_undoes_a_shift():
    features = torch.randn(1, 3, 6, 8)
    moved = torch.roll(features, (1, 2), (2, 3))  # down by 1, to the right by 2
    flow = torch.tensor([2.0, 1.0]).view(1, 2, 1, 1).expand(1, 2, 6, 8)
    back = network.warp(moved, flow)
    assert torch.allclose(back[:, :, :5, :6], features[:, :, :5, :6], atol=1e-5)
    # Half a pixel is the mean of two; past the border is what lies on it.
    half = network.warp(features, torch.tensor([0.5, 0.0]).view(1, 2, 1, 1).expand(1, 2, 6, 8))
    assert torch.allclose(half[..., :7], (features[..., :7] + features[..., 1:]) / 2, atol=1e-5)
    assert torch.allclose(half[..., 7], features[..., 7], atol=1e-5)


def test_key_changes_are_those_of_eq_3():
    before, after = torch.randn(2, 1, 4, 6, 6)
    perceiver = network.KeyChangePerceiver(4, "own")
    flows = perceiver.flow(before, after)
    assert flows[0].shape == (1, 2, 6, 6)
    one = network.warp(before, flows[0]) - before
    two = network.warp(after, flows[1]) - after
    assert torch.allclose(perceiver(before, after), (one - two).abs())
    for part in perceiver.flow.layers[3].parameters():
        part.data.zero_()
    assert perceiver(before, after).abs().max() < 1e-5  # nothing moved: nothing is left
    perceiver.residual = "other"
    assert torch.allclose(perceiver(before, after), 2 * (before - after).abs(), atol=1e-5)


def test_by_default_scenes_that_differ_uniformly_have_key_changes():
    torch.manual_seed(0)
    dark, bright = (torch.full((1, 3, 32, 32), value) for value in (40.0, 220.0))
    found = {}
    for config in (TINY, replace(TINY, residual="own")):
        with torch.no_grad():
            found[config.residual] = network.build(config, language.tiny()).eval()(dark, bright).key
    assert list(found) == ["other", "own"]
    # The borders of the tiny encoder's maps differ; the middle is uniform.
    other, own = (key[..., 1:-1, 1:-1].mean() for key in found.values())
    assert other > 0.1
    assert own < 0.1 * other
    assert KcfiConfig().residual == "other"


def test_sizes_are_those_of_the_paper():
    model = network.build(TINY, language.tiny())
    features = model(*torch.rand(2, 2, 3, 48, 64) * 255)
    assert features.key.shape == (2, 4 * 16, 6, 8)  # four taps, patches of 8 pixels
    assert features.change.shape == (2, 2, 48, 64)
    assert model.projector(features.key).shape == (2, 48, 16)
    few = network.Projector(64, 16, tokens=2)
    assert few(features.key).shape == (2, 4, 16)
    standard = network.Projector(64, 16, tokens=2, standardise=True).train()
    assert torch.allclose(standard(features.key), standard(7 * features.key + 3), atol=1e-2)
    detector = network.ChangeDetectionBranch(64, 8, standardise=True).train()
    bright, dark = (detector(scale * features.key + 3, 48, 64) for scale in (1, 7))
    assert torch.allclose(bright, dark, atol=1e-2)
    assert len(set(network.INSTRUCTIONS)) == 5
    assert all(text.count("<image>") == 1 for text in network.INSTRUCTIONS)


def test_settings_are_checked():
    assert KcfiConfig.from_settings({"tiny": True, "width": 4}) == replace(TINY, width=4)
    for settings, words in (
        ({"depth": 3}, "no setting named depth"),
        ({"taps": [1, 2, 3]}, "4 taps"),
        ({"taps": [4, 3, 2, 1]}, "ascending"),
        ({"residual": "both"}, "no residual"),
    ):
        with pytest.raises(InputError, match=words):
            KcfiConfig.from_settings(settings)
    with pytest.raises(InputError, match="has 4 blocks"):
        network.build(replace(TINY, taps=(1, 2, 3, 5)), language.tiny())


def test_dynamic_weights_by_hand():
    # w = 0.5/1 and 0.9/1: with T = 0.2 exp(2.5) and exp(4.5), with T = 2 exp(.25) and exp(.45).
    assert weights_of((0.5, 0.9), (1.0, 1.0), 0.2) == pytest.approx(
        (2 * 12.182494 / 102.199625, 2 * 90.017131 / 102.199625), abs=1e-6
    )
    assert weights_of((0.5, 0.9), (1.0, 1.0), 2.0) == pytest.approx(
        (2 * 1.284025 / 2.852338, 2 * 1.568312 / 2.852338), abs=1e-6
    )
    assert weights_of((3.0, 0.3), (6.0, 0.6), 0.2) == pytest.approx((1, 1))
    # A loss that grew a thousandfold does not overflow.
    assert weights_of((1000.0, 1.0), (1.0, 1.0), 0.2) == pytest.approx((2, 0))


def test_weights_are_one_for_two_epochs_and_survive_a_pause():
    weights = DynamicWeights(2, epoch=2, temperature=0.2)
    losses = [(4.0, 1.0), (2.0, 1.0), (2.0, 0.8), (1.0, None), (9.0, 9.0)]
    seen = []
    for step, parts in enumerate(losses):
        seen.append(weights.at(step))
        weights.add(parts)
    assert seen[:4] == [(1, 1)] * 4
    # Means: 3 and 1, then 1.5 and 0.8.
    assert seen[4] == pytest.approx(weights_of((1.5, 0.8), (3.0, 1.0), 0.2))
    again = DynamicWeights(2, epoch=2, temperature=0.2)
    again.load_state_dict(weights.state_dict())
    assert again.at(5) == weights.at(5) == seen[4]
    assert again.at(6) == weights.at(6) != seen[4]


def square_pair(size: int = 32) -> LabelledPair:
    rng = np.random.default_rng(0)
    before, after = rng.integers(40, 80, (2, size, size, 3), dtype=np.uint8)
    change = np.zeros((size, size), np.uint8)
    change[8:24, 8:24] = 1
    after[change == 1] = 240
    return LabelledPair(before, after, change, captions=("a house", "a hut"))


def batch_of(rows):
    return {k: torch.from_numpy(np.stack([row[k] for row in rows])) for k in rows[0]}


def test_samples_have_one_sentence_and_one_instruction():
    task, pair = create("kcfi"), square_pair()
    rng = np.random.default_rng(0)
    rows = [task.sample(pair, rng) for _ in range(30)]
    texts = {bytes(row["caption"]).rstrip(b"\0").decode() for row in rows}
    assert texts == {"a house", "a hut"}
    assert {int(row["instruction"]) for row in rows} == {0, 1, 2, 3, 4}
    silent = task.sample(replace(pair, captions=(), change=None), rng)
    assert not silent["caption"].any()
    assert (silent["change"] == UNKNOWN).all()


def test_losses_by_hand_and_of_what_is_labelled_only():
    logits = torch.tensor([[[[0.0, 2.0]], [[0.0, 0.0]]]])  # of no change, of change
    target = torch.tensor([[[1, 255]]], dtype=torch.uint8)
    assert change_loss(logits, target).item() == pytest.approx(np.log(2), abs=1e-6)
    both = torch.tensor([[[1, 0]]], dtype=torch.uint8)
    known = -np.log(np.exp(2) / (np.exp(2) + 1))
    assert change_loss(logits, both).item() == pytest.approx((np.log(2) + known) / 2, abs=1e-6)
    assert change_loss(logits, torch.full_like(both, 255)) is None
    task, pair = create("kcfi"), square_pair()
    model = task.build({"tiny": True})
    rng = np.random.default_rng(0)
    captioned, silent = task.sample(pair, rng), task.sample(replace(pair, captions=()), rng)
    key = torch.rand(2, 64, 4, 4)
    alone = caption_loss(model, key[:1], batch_of([captioned]))
    assert torch.isclose(caption_loss(model, key, batch_of([captioned, silent])), alone, atol=1e-5)
    assert caption_loss(model, key[:1], batch_of([silent])) is None


@pytest.mark.parametrize("train_encoder", [True, False])
def test_tiny_model_learns_both_tasks_and_frozen_parts_stay(train_encoder):
    task, pair = create("kcfi"), replace(square_pair(), captions=("a house",))
    settings = {"tiny": True, "residual": "other", "train_encoder": train_encoder}
    model = task.build(settings).train()
    assert not model.network.training
    started = {name: value.clone() for name, value in model.state_dict().items()}
    recipe = FakeRecipe()
    groups = task.parameter_groups(model, recipe)
    assert groups[0]["lr"] == recipe.optimiser.encoder_lr
    optimiser = torch.optim.Adam([{"params": group["params"]} for group in groups], 1e-2)
    rng = np.random.default_rng(0)
    figures = []
    for step in range(25):
        batch = batch_of([task.sample(pair, rng) for _ in range(2)])
        total, parts = task.loss(model, batch, step)
        optimiser.zero_grad()
        total.backward()
        optimiser.step()
        figures.append({"loss": total.item(), **parts})
    # A random language model can learn little, but something.
    for name, share in (("caption", 0.95), ("change", 0.5), ("loss", 0.9)):
        assert figures[-1][name] < share * figures[0][name]
    assert figures[0]["weight_caption"] == 1
    changed = {n for n, value in model.state_dict().items() if not torch.equal(value, started[n])}
    assert not any(name.startswith("network.") for name in changed)
    assert any(name.startswith("encoder.") for name in changed) is train_encoder
    for part in ("extractor.", "projector.", "detector."):
        assert any(name.startswith(part) for name in changed)
    saved = task.weights(model)
    assert not any(name.startswith("network.") for name in saved)
    assert any(name.startswith("encoder.") for name in saved) is train_encoder
    score = task.predict(model.eval(), batch_of([task.question(pair)]))["change"][0]
    assert score.shape == (32, 32)
    assert score[pair.change == 1].mean() > score[pair.change == 0].mean()


def test_sentences_choose_the_best_weights(tmp_path):
    task, pair = create("kcfi"), square_pair()
    trainer = Trainer(Recipe("small", task="kcfi", model={"tiny": True}, crop=32), task)
    trainer.model.language.write = lambda images, texts, beams: ["A house."] * len(images)

    class OnePair:
        def __len__(self):
            return 2

        def size(self, index):
            return 32, 32

        def read(self, index, window=None):
            captions = ("a house", "one house") if index else ("the trees are gone",)
            return replace(pair, captions=captions)

    figures = validate(trainer, Tiles(OnePair(), 32, task.question, task.truth))
    assert 0 < figures["cider_d"] < 1000
    expected = cider_d(["a house"] * 2, [["the trees are gone"], ["a house", "one house"]])
    assert figures["cider_d"] == pytest.approx(expected)
    assert cider_d(["a house", "a tree"], [["a house"], ["a tree"]]) > expected


class FakeRecipe:
    class optimiser:  # noqa: N801 - stands for the recipe's section of that name
        lr, encoder_lr = 1e-4, 1e-5


@pytest.fixture
def trained(tmp_path):
    """A store with the weights of a tiny KCFI, as training writes them."""
    task = create("kcfi")
    model = task.build({"tiny": True, "residual": "other"})
    metadata = {
        "system": "kcfi",
        "config": {"tiny": True, "residual": "other"},
        "step": 3,
        "recipe": {"name": "small", "crop": 64},
    }
    save_head(task.weights(model), tmp_path / "model.safetensors", metadata)
    store = WeightsStore(tmp_path / "store")
    store.import_from(tmp_path / "model.safetensors", [HEAD])
    return store, model.eval()


def test_system_marks_and_writes_from_one_pass(trained):
    store, model = trained
    system = KcfiSystem(store)
    assert system.info.revision == "small, step 3"
    assert system.info.tile_size == 64
    assert system.info.writes
    rng = np.random.default_rng(2)
    before, after = rng.integers(0, 255, (2, 2, 64, 64, 3), dtype=np.uint8)
    queries = [Query("houses", APPEARED), Query("trees", REMOVED)]
    passes = []
    system.load("cpu")
    system._model.encoder.register_forward_hook(lambda *parts: passes.append(1))
    whole = np.ones((2, 64, 64), np.uint8)
    answer = system.describe(before, after, queries, whole)
    assert len(passes) == 1
    expected = model(*(torch.from_numpy(t).permute(0, 3, 1, 2).float() for t in (before, after)))
    change = expected.change.softmax(1)[:, 1].detach().numpy()
    assert np.allclose(answer.scores[:, 0], change, atol=1e-4)
    assert not answer.scores[:, 1].any()
    assert np.array_equal(answer.scores, system.predict(before, after, queries).scores)
    written = model.language.write(model.projector(expected.key), network.INSTRUCTIONS[:1] * 2)
    for caption, raw in zip(answer.captions, written, strict=True):
        assert caption.lower().rstrip(".") == raw.lower().strip().rstrip(".").strip()
    # Other parts of the images get other sentences; empty parts get the same.
    nothing = system.describe(before, after, queries, 0 * whole).captions
    assert nothing[0] == nothing[1]
    (object_note, direction_note) = system.notes(queries)
    assert "trees" in object_note
    assert "no direction" in direction_note
    system.unload()
    assert system.device == "not loaded"


def test_missing_weights_are_listed(tmp_path):
    store = WeightsStore(tmp_path)
    info = KcfiSystem(store).info
    assert (info.revision, info.tier) == ("not trained", "full")
    assert info.weights == (HEAD, "qwen2-0.5b-instruct")
    with pytest.raises(WeightsError) as error:
        KcfiSystem(store).load("cpu")
    for name in ("kcfi.safetensors", "Qwen2-0.5B-Instruct"):
        assert name in error.value.message


def test_training_lists_all_missing_weights(monkeypatch, tmp_path):
    monkeypatch.setenv("CHANGESCRIBE_WEIGHTS", str(tmp_path))
    with pytest.raises(WeightsError) as error:
        create("kcfi").build({})
    for name in ("ViT-B-16.pt", "Qwen2-0.5B-Instruct"):
        assert name in error.value.message
