# SPDX-License-Identifier: GPL-3.0-or-later
"""Losses by hand, a tiny run that learns and resumes, and the ONNX export against torch."""

from __future__ import annotations

from dataclasses import asdict

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from changescribe.engine.errors import InputError
from changescribe.engine.modules.bundled.network import ChangeModel, ModelConfig
from changescribe.engine.training import export, losses
from changescribe.engine.training.loop import train
from changescribe.engine.training.pairs.pair import LabelledPair
from changescribe.engine.training.recipe import (
    DataSpec,
    OptimiserSpec,
    Recipe,
    ScheduleSpec,
    load_recipe,
)
from changescribe.engine.training.scenes import labels, phrases, sample
from changescribe.engine.training.tasks.bundled import BundledTask, load_model
from changescribe.engine.training.trainer import Trainer

pytestmark = pytest.mark.torch

TINY = ModelConfig(backbone="tiny", width=16, detail=8, text_width=16, pretrained=False)


@pytest.fixture(autouse=True)
def one_thread():
    """Use one thread: on a busy machine, several slow tiny models down."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def random_text(texts: list[str]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Stand-in for the text tower: random but fixed embeddings."""
    rng = np.random.default_rng(0)
    sentences = rng.normal(size=(len(texts), 16))
    sentences /= np.linalg.norm(sentences, axis=1, keepdims=True)
    return rng.normal(size=(len(texts), 16, 16)), np.ones((len(texts), 16)), sentences


def _trainer() -> Trainer:
    recipe = Recipe(
        "tiny",
        task="bundled",
        model=asdict(TINY),
        steps=40,
        ema=0.997,
        clip=5.0,
        optimiser=OptimiserSpec(lr=5e-3),
        schedule=ScheduleSpec(warmup=2),
    )
    task = BundledTask(random_text)
    task.prepare(recipe, 0)
    return Trainer(recipe, task)


def _batch() -> dict[str, torch.Tensor]:
    """White squares appear as buildings; the other classes are unlabelled."""
    before = torch.full((2, 3, 64, 64), 60, dtype=torch.uint8)
    after = before.clone()
    truth = torch.zeros(2, 64, 64, dtype=torch.uint8)
    truth[0, 8:40, 8:40] = truth[1, 24:56, 16:48] = 1
    after[truth[:, None].expand_as(after) == 1] = 230
    state_before = torch.full((2, 6, 16, 16), 255, dtype=torch.uint8)
    state_after = state_before.clone()
    state_before[:, 0], state_after[:, 0] = 0, truth[:, 2::4, 2::4]
    targets = torch.full((2, 2, 6, 32, 32), 255, dtype=torch.uint8)
    targets[:, 0, 0], targets[:, 1, 0] = truth[:, ::2, ::2] * 4, 0
    steady = torch.zeros(2, 6, 16, 16, dtype=torch.bool)
    return {
        "before": before,
        "after": after,
        "state_before": state_before,
        "state_after": state_after,
        "steady": steady,
        "targets": targets,
        "sentences": torch.full((2, 2, 6), 255, dtype=torch.uint8),
    }


def test_change_loss_by_hand():
    logits = torch.tensor([[[[0.0, 0.0]]]])
    target = torch.tensor([[[[1.0, 0.0]]]])
    # CE ln 2; overlap 0.5, sums 1 + 1: Dice (1 + 1) / (2 + 1).
    expected = np.log(2) + 1 - 2 / 3
    loss = losses.change_loss(logits, target, torch.ones_like(target, dtype=torch.bool))
    assert float(loss) == pytest.approx(expected, abs=1e-5)


def test_a_query_without_change_has_cross_entropy_alone():
    target = torch.zeros(1, 1, 2, 2)
    loss = losses.change_loss(torch.zeros(1, 1, 2, 2), target, target == 0)
    assert float(loss) == pytest.approx(np.log(2), abs=1e-5)


def test_dice_of_a_query_counts_the_scenes_without_that_change():
    target = torch.zeros(2, 1, 1, 1)
    target[0] = 1
    known = torch.ones_like(target, dtype=torch.bool)
    quiet = losses.change_loss(torch.tensor([[[[9.0]]], [[[-9.0]]]]), target, known)
    noisy = losses.change_loss(torch.tensor([[[[9.0]]], [[[9.0]]]]), target, known)
    # Dice falls from (2 + 1) / (2 + 1) to (2 + 1) / (3 + 1), the cross-entropy rises by 9 / 2.
    assert float(noisy - quiet) == pytest.approx(0.25 + 4.5, abs=1e-2)


def test_unknown_pixels_do_not_count():
    target = torch.tensor([[[[1.0, 0.0, 1.0]]]])
    known = torch.tensor([[[[True, True, False]]]])
    one = losses.change_loss(torch.tensor([[[[1.0, -1.0, 9.0]]]]), target, known)
    other = losses.change_loss(torch.tensor([[[[1.0, -1.0, -9.0]]]]), target, known)
    assert float(one) == pytest.approx(float(other))
    state = torch.full((1, 6, 2, 2), 255, dtype=torch.uint8)
    assert float(losses.class_loss(torch.randn(1, 6, 2, 2), state)) == 0


def test_some_loss_uses_the_highest_of_several_queries():
    targets = torch.tensor([[[[254, 0, 255]], [[254, 0, 0]], [[0, 0, 0]]]], dtype=torch.uint8)
    logits = torch.tensor([[[[-9.0, -9.0, 5.0]], [[9.0, -9.0, 5.0]], [[9.0, 9.0, 9.0]]]])
    # The second query finds it, the third is not among those with the code, and pixels with an
    # unknown member do not count: cross-entropy and Dice are 0.
    assert float(losses.some_loss(logits, targets)) == pytest.approx(0, abs=1e-3)
    # None finds it: cross-entropy (9 + 0) / 2, Dice 1 - 1 / (1 + 1).
    logits[0, 1, 0, 0] = -9
    assert float(losses.some_loss(logits, targets)) == pytest.approx(4.5 + 0.5, abs=1e-2)
    assert float(losses.some_loss(logits, targets.clamp(max=4))) == 0


def test_sentence_loss_uses_the_highest_pixels_of_a_crop():
    # Of 10 x 10 pixels the highest two count: 0.02 of them.
    logits = torch.full((1, 3, 10, 10), -8.0)
    logits[0, :2, 4, 4], logits[0, :2, 7, 1] = 3, 1
    reported = torch.tensor([[1, 0, 255]], dtype=torch.uint8)
    # Their mean is 2: the first query is reported, the second is not.
    expected = (np.log1p(np.exp(-2)) + np.log1p(np.exp(2))) / 2
    assert float(losses.sentence_loss(logits, reported)) == pytest.approx(expected, abs=1e-5)
    assert float(losses.sentence_loss(logits, torch.full_like(reported, 255))) == 0
    logits.requires_grad_()
    losses.sentence_loss(logits, reported).backward()
    assert logits.grad.count_nonzero() == 4


def test_sentence_labels_apply_to_their_direction():
    """A crop whose sentences say "trees removed" raises that score, not "trees appeared"."""
    trainer = _trainer()
    batch = _batch()
    batch["targets"][:] = batch["state_before"][:] = batch["state_after"][:] = 255
    batch["sentences"][:, sample.REMOVED, labels.TREE] = 1
    batch["sentences"][:, sample.APPEARED, labels.TREE] = 0

    def highest() -> list[float]:
        sentence = trainer.task.text.sentences[trainer.task.bank.of_class(labels.TREE)[:1]]
        dates = batch["before"].float(), batch["after"].float()
        with torch.no_grad():
            return [
                float(trainer.model(*pair, sentence).flatten(1).topk(20).values.mean())
                for pair in (dates, dates[::-1])
            ]

    for step in range(30):
        trainer.step(step, [batch])
    came, went = highest()
    assert went > came + 0.5


def test_steady_classes_should_score_alike():
    before, after = torch.zeros(1, 6, 2, 2), torch.zeros(1, 6, 2, 2)
    after[0, 0] = 20
    steady = torch.zeros(1, 6, 2, 2, dtype=torch.bool)
    assert float(losses.steady_loss(before, after, steady)) == 0
    steady[0, :2] = True
    assert float(losses.steady_loss(before, after, steady)) == pytest.approx(0.125, abs=1e-4)


def test_loss_falls_and_the_direction_is_learnt():
    trainer, batch = _trainer(), _batch()
    figures = [trainer.step(step, [batch]) for step in range(40)]
    assert figures[-1]["change"] < 0.6 * figures[0]["change"]
    model = trainer.model.eval()
    before, after = batch["before"].float(), batch["after"].float()
    task = trainer.task
    sentence = task.text.sentences[task.bank.of_class(0)[:1]]
    with torch.no_grad():
        appeared = model(before, after, sentence)[:, 0, ::2, ::2]
        removed = model(after, before, sentence)[:, 0, ::2, ::2]
    inside = batch["targets"][:, 0, 0] == 4
    assert appeared[inside].mean() > appeared[~inside].mean() + 1
    assert removed[inside].mean() < appeared[inside].mean() - 1
    pair = LabelledPair(*(batch[date][0].permute(1, 2, 0).numpy() for date in ("before", "after")))
    question = {name: torch.from_numpy(a)[None] for name, a in task.question(pair).items()}
    with torch.no_grad():
        change = task.predict(model, question)["change"][0, ::2, ::2]
    assert change[inside[0]].mean() > change[~inside[0]].mean() + 0.2


def test_every_class_and_an_absent_object_are_queried():
    task = _trainer().task
    named = [task.bank.classes[task.phrases(step)].tolist() for step in range(3)]
    assert named == [[0, 1, 2, 3, 4, 5, phrases.ABSENT, phrases.ABSENT]] * 3
    assert not torch.equal(task.phrases(0), task.phrases(1))


def test_text_stays_frozen():
    trainer = _trainer()
    before = trainer.task.text.sentences.clone()
    trainer.step(0, [_batch()])
    assert torch.equal(trainer.task.text.sentences, before)
    trained = {id(p) for group in trainer.optimiser.param_groups for p in group["params"]}
    assert id(trainer.task.text.sentences) not in trained


def test_train_writes_weights_that_load(tmp_path):
    scenes = tmp_path / "scenes"
    scenes.mkdir()
    rng = np.random.default_rng(0)
    for number in range(2):
        images = rng.integers(0, 255, (2, 320, 320, 3)).astype(np.uint8)
        codes = rng.integers(0, 7, (2, 320, 320)).astype(np.uint8)
        np.savez(
            scenes / f"{number}.npz",
            before=images[0],
            after=images[1],
            label_before=codes[0],
            label_after=codes[1],
        )
    recipe = tmp_path / "tiny.yaml"
    recipe.write_text(
        "name: tiny\ntask: bundled\nsteps: 2\nbatch_size: 1\nema: 0.99\n"
        "model: {backbone: tiny, width: 16, detail: 8, text_width: 16, pretrained: false}\n"
        "data: [{layout: generated, terms: open}]\n",
        encoding="utf-8",
    )
    weights = train(recipe, tmp_path / "run", data=tmp_path, task=BundledTask(random_text))
    assert load_model(weights).config.width == 16


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("crop: 512", "crop"),
        ("augment: {flip: false}", "augment.flip"),
        ("augment: {rotate: false}", "augment.rotate"),
        ("augment: {exchange: 0.0}", "augment.exchange"),
        ("loss: {chnage: 3}", "loss.chnage"),
        ("data: [{layout: levir, split: train}]", "split of levir"),
        ("data: [{layout: levir, folder: levir}]", "folder of levir"),
        ("data: [{layout: levir, names: list.txt}]", "names of levir"),
        ("data: [{layout: levir, folds: 2}]", "folds of levir"),
        ("data: [{layout: levir, fold: [0]}]", "fold of levir"),
        ("data: [{layout: levir, changed: 0.5}]", "changed of levir"),
        ("data: [{layout: levir, options: {scale: [1, 2]}}]", "options.scale of levir"),
        ("data: [{layout: naip_trees, options: {scales: [1, 2]}}]", "options.scales of naip_trees"),
        ("data: [{layout: levir_captions, options: {scales: [1, 2]}}]", "scales of levir_captions"),
        ("data: [{layout: 'same:naip_trees', options: {scales: [1, 2]}}]", "scales of same:naip"),
        ("data: [{layout: levir}, {layout: oscd-a+}]", "Unknown data source: oscd-a+."),
    ],
)
def test_what_the_bundled_model_would_ignore_is_refused(tmp_path, monkeypatch, change, message):
    def loaded(*_):
        raise AssertionError("loaded")

    monkeypatch.setattr(BundledTask, "prepare", loaded)
    text = "name: tiny\ntask: bundled\nsteps: 2\n"
    text += "" if change.startswith("data") else "data: [{layout: levir}]\n"
    recipe = tmp_path / "tiny.yaml"
    recipe.write_text(f"{text}{change}\n", encoding="utf-8")
    with pytest.raises(InputError) as error:
        train(recipe, tmp_path / "run", data=tmp_path)
    assert message in error.value.message
    assert not (tmp_path / "run").exists()


def test_what_the_bundled_model_uses_is_not_refused(tmp_path):
    ground = DataSpec("paste:levir:naip_trees", options={"scales": [0.9, 1.5]})
    recipe = Recipe(
        "tiny",
        task="bundled",
        steps=1,
        data=[ground],
        crop=512,
        validation=DataSpec("levir_cd", split="val"),
        loss={"some": 4.0},
    )
    BundledTask().check(recipe, tmp_path)  # validation tiles have the size of crops
    for name in ("bundled_elsewhere", "bundled_round", "bundled_open"):
        BundledTask().check(load_recipe(name), tmp_path)


def test_shipped_recipes_say_their_terms():
    assert load_recipe("bundled").terms == "restricted"
    assert load_recipe("bundled_open").terms == "open"


def _onnx_answer(folder, images, sentences) -> np.ndarray:
    onnxruntime = pytest.importorskip("onnxruntime")
    sessions = [
        onnxruntime.InferenceSession(str(folder / f), providers=["CPUExecutionProvider"])
        for f in ("encoder.onnx", "head.onnx")
    ]
    encoded = sessions[0].run(None, {"images": images.numpy()})
    inputs = {"sentence": sentences.numpy()}
    for row, date in enumerate(("before", "after")):
        inputs.update({f"{date}_{p}": a[row : row + 1] for p, a in zip(export.PARTS, encoded)})
    return sessions[1].run(None, inputs)[0]


@pytest.mark.parametrize(("half", "tolerance"), [(False, 1e-3), (True, 2e-2)])
def test_export_equals_torch_at_other_sizes(tmp_path, half, tolerance):
    pytest.importorskip("onnx")
    torch.manual_seed(0)
    model = ChangeModel(TINY)
    for module in model.modules():  # statistics as after a training run
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(std=0.1)
            module.running_var.uniform_(0.5, 1.5)
    export.export(model, tmp_path, half=half)
    images = torch.randint(0, 255, (2, 96, 160, 3), dtype=torch.uint8)
    sentences = torch.nn.functional.normalize(torch.randn(5, 16), dim=1)
    planes = images.permute(0, 3, 1, 2).float()
    with torch.no_grad():
        expected = model.eval()(planes[:1], planes[1:], sentences).numpy()
    assert expected.shape == (1, 5, 96, 160)
    assert expected.std() > 1e-3
    assert np.allclose(_onnx_answer(tmp_path, images, sentences), expected, atol=tolerance)
