# SPDX-License-Identifier: GPL-3.0-or-later
"""The loop with a tiny task: resuming, accumulation, schedules, frozen parts, validation."""

from __future__ import annotations

import csv
import logging

import numpy as np
import pytest

torch = pytest.importorskip("torch")
from PIL import Image
from torch import nn

from changescribe.engine.device import Device
from changescribe.engine.errors import ChangeScribeError, InputError
from changescribe.engine.training import loop, processes, trainer
from changescribe.engine.training.recipe import OptimiserSpec, Recipe, ScheduleSpec, load_recipe
from changescribe.engine.training.tasks.base import Task
from changescribe.engine.weights.loading import read_head

pytestmark = pytest.mark.torch

RECIPE = """
name: tiny
task: lgcd
steps: 6
batch_size: 4
accumulate: 2
crop: 16
ema: 0.9
clip: 1.0
precision: fp32
checkpoint_every: 3
validate_every: 2
optimiser: {name: adamw, lr: 0.01}
schedule: {name: poly, warmup: 2}
data: [{layout: levir_cd, split: train}]
validation: {layout: levir_cd, split: val}
"""


class TinyModel(nn.Module):
    """A frozen layer with statistics, dropout, and a trained layer."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Conv2d(6, 4, 1), nn.BatchNorm2d(4)).requires_grad_(False)
        self.norm = nn.BatchNorm2d(6)
        self.drop = nn.Dropout(0.3)
        self.head = nn.Conv2d(10, 1, 3, padding=1)

    def forward(self, before, after):
        pair = torch.cat([before, after - before], 1) / 255
        return self.head(self.drop(torch.cat([self.encoder(pair), self.norm(pair)], 1)))[:, 0]

    def train(self, mode=True):
        super().train(mode)
        self.encoder.eval()
        return self


class TinyTask(Task):
    """Learns where the later image is bright; counts its steps."""

    name = "tiny"
    classes = ("a", "b")

    def __init__(self) -> None:
        self.steps = 0

    def build(self, settings):
        return TinyModel()

    def sample(self, pair, rng):
        images = {"before": pair.before, "after": pair.after}
        planes = {k: v.transpose(2, 0, 1).astype(np.float32) for k, v in images.items()}
        return {**planes, "change": pair.change}

    def loss(self, model, batch, step):
        self.steps += 1
        logits = model(batch["before"], batch["after"])
        loss = nn.functional.binary_cross_entropy_with_logits(logits, batch["change"].float())
        return loss, {"cross_entropy": float(loss.detach())}

    def predict(self, model, batch):
        return {"change": model(batch["before"], batch["after"]).sigmoid()}

    def state_dict(self):
        return {"steps": self.steps}

    def load_state_dict(self, state):
        self.steps = state["steps"]


@pytest.fixture(autouse=True)
def quiet():
    """One thread, and no output from TensorBoard."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    logging.getLogger("tensorboard").setLevel(logging.ERROR)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(name="data", scope="module")
def fixture_data(tmp_path_factory):
    """A LEVIR-CD of bright squares that appear."""
    root = tmp_path_factory.mktemp("levir")
    rng = np.random.default_rng(0)
    for split in ("train", "val"):
        for number in range(3):
            before = rng.integers(0, 90, (24, 24, 3)).astype(np.uint8)
            after, mask = before.copy(), np.zeros((24, 24), np.uint8)
            y, x = rng.integers(0, 12, 2)
            after[y : y + 10, x : x + 10] += 150
            mask[y : y + 10, x : x + 10] = 255
            for part, array in (("A", before), ("B", after), ("label", mask)):
                (root / split / part).mkdir(parents=True, exist_ok=True)
                Image.fromarray(array).save(root / split / part / f"{number}.png")
    return root


def _recipe(tmp_path, text=RECIPE):
    path = tmp_path / "tiny.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def _rows(path):
    with path.open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def _equal(one, other) -> bool:
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(_equal(one[k], other[k]) for k in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(_equal, one, other))
    return torch.equal(one, other) if isinstance(one, torch.Tensor) else one == other


def test_an_interrupted_run_ends_bit_by_bit_like_an_uninterrupted_one(tmp_path, data):
    recipe = _recipe(tmp_path)
    loop.train(recipe, tmp_path / "whole", data=data, task=TinyTask())
    # Stopped after step 3, and killed during step 5: only step 3 is in the checkpoint.
    loop.train(recipe, tmp_path / "parts", data=data, task=TinyTask(), steps=3)
    torch.manual_seed(99)
    with (tmp_path / "parts" / "log.csv").open("a") as file:
        file.write("4,0.1,9,9\n")
    loop.train(recipe, tmp_path / "parts", data=data, task=TinyTask())
    states = [torch.load(tmp_path / run / "checkpoint.pt") for run in ("whole", "parts")]
    assert states[0]["step"] == 6
    assert states[0]["task"] == {"steps": 12}
    for part in states[0]:
        assert _equal(states[0][part], states[1][part]), part
    logs = [_rows(tmp_path / run / "log.csv") for run in ("whole", "parts")]
    assert [row["step"] for row in logs[1]] == list("123456")
    assert [row["loss"] for row in logs[0]] == [row["loss"] for row in logs[1]]
    assert (
        _rows(tmp_path / "whole/validation.csv")[-1] == _rows(tmp_path / "parts/validation.csv")[-1]
    )
    whole, parts = (read_head(tmp_path / run / "model.safetensors") for run in ("whole", "parts"))
    assert _equal(dict(whole[0]), dict(parts[0]))
    assert whole[1] == parts[1]


def test_frozen_parts_stay_and_are_not_written(tmp_path, data):
    path = loop.train(_recipe(tmp_path), tmp_path / "run", data=data, task=TinyTask())
    state, header = read_head(path)
    assert set(state) == {
        "head.weight",
        "head.bias",
        "norm.weight",
        "norm.bias",
        "norm.running_mean",
        "norm.running_var",
        "norm.num_batches_tracked",
    }
    assert (header["system"], header["step"], header["classes"]) == ("tiny", 6, ["a", "b"])
    assert header["recipe"]["optimiser"]["lr"] == 0.01
    torch.manual_seed(17)
    fresh = TinyModel()
    assert not torch.equal(state["head.weight"], fresh.head.weight)
    checkpoint = torch.load(tmp_path / "run" / "checkpoint.pt")
    assert "encoder.1.running_mean" not in checkpoint["model"]


def test_validation_chooses_the_best_weights_and_logs(tmp_path, data):
    text = RECIPE.replace("steps: 6", "steps: 40").replace(
        "validate_every: 2", "validate_every: 10"
    )
    loop.train(_recipe(tmp_path, text), tmp_path / "run", data=data, task=TinyTask())
    rows = _rows(tmp_path / "run" / "validation.csv")
    assert [row["step"] for row in rows] == ["10", "20", "30", "40"]
    best = max(float(row["f1"]) for row in rows)
    assert best > 0.8
    header = read_head(tmp_path / "run" / "best.safetensors")[1]
    assert header["validation"]["f1"] == pytest.approx(best, abs=1e-5)
    losses = [float(row["loss"]) for row in _rows(tmp_path / "run" / "log.csv")]
    assert np.mean(losses[-5:]) < 0.5 * np.mean(losses[:5])
    assert any((tmp_path / "run" / "tensorboard").iterdir())
    assert load_recipe(tmp_path / "run" / "recipe.yaml").crop == 16


def test_a_run_does_not_hide_that_its_recipe_was_changed(tmp_path, data):
    text = RECIPE.replace("steps: 6", "steps: 2")
    out = tmp_path / "run"
    weights = loop.train(_recipe(tmp_path, text), out, data=data, task=TinyTask())
    kept = (out / "recipe.yaml").read_text(), weights.read_bytes()
    changed = _recipe(tmp_path, text.replace("lr: 0.01", "lr: 0.02"))
    with pytest.raises(InputError, match=r"optimiser\.lr differs"):
        loop.train(changed, out, data=data, task=TinyTask())
    assert ((out / "recipe.yaml").read_text(), weights.read_bytes()) == kept
    # A folder without a recipe is not checked, and a longer run is the same one.
    (out / "recipe.yaml").unlink()
    loop.train(changed, out, data=data, task=TinyTask())
    longer = _recipe(tmp_path, changed.read_text().replace("steps: 2", "steps: 3"))
    loop.train(longer, out, data=data, task=TinyTask())
    assert torch.load(out / "checkpoint.pt")["step"] == 3


def test_a_fresh_start_leaves_no_checkpoint_to_go_on_from(tmp_path, data, monkeypatch):
    text = RECIPE.replace("steps: 6", "steps: 1")
    out = tmp_path / "run"
    loop.train(_recipe(tmp_path, text), out, data=data, task=TinyTask())

    def killed(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(loop, "_finish_step", killed)
    changed = _recipe(tmp_path, text.replace("lr: 0.01", "lr: 0.02"))
    with pytest.raises(KeyboardInterrupt):
        loop.train(changed, out, data=data, task=TinyTask(), resume=False)
    assert not (out / "checkpoint.pt").exists()
    assert not list(out.glob("*.safetensors"))
    assert load_recipe(out / "recipe.yaml").optimiser.lr == 0.02


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("start_from: none", "build on is missing: none"),
        ("start_from: bad", "model.safetensors"),
        ("data: [{layout: levir_cd, split: nowhere}]", "nowhere"),
        ("validation: {layout: levir_cd, split: nowhere}", "nowhere"),
    ],
)
def test_a_fresh_start_that_cannot_begin_leaves_the_earlier_run(tmp_path, data, line, message):
    text = RECIPE.replace("steps: 6", "steps: 1")
    out = tmp_path / "run"
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "model.safetensors").write_bytes(b"damaged")
    loop.train(_recipe(tmp_path, text), out, data=data, task=TinyTask())
    kept = {path: path.read_bytes() for path in out.iterdir() if path.is_file()}
    assert {"checkpoint.pt", "recipe.yaml", "model.safetensors"} <= {path.name for path in kept}
    name = line.partition(":")[0]
    broken = "\n".join(old for old in text.split("\n") if not old.startswith(f"{name}:")) + line
    with pytest.raises(ChangeScribeError, match=message):
        loop.train(_recipe(tmp_path, broken), out, data=data, task=TinyTask(), resume=False)
    assert {path: path.read_bytes() for path in out.iterdir() if path.is_file()} == kept


def test_a_misspelt_place_or_start_is_an_error_before_a_folder_is_made(tmp_path, monkeypatch):
    pytest.importorskip("osgeo")
    for place in ("bercy", "saclay_e"):
        (tmp_path / "data" / "oscd" / place).mkdir(parents=True)
    monkeypatch.setattr(loop, "_run", lambda rank, job: None)
    text = "name: run\ntask: bundled\nsteps: 1\nbatch_size: 1\n"

    def start(more: str) -> None:
        loop.train(_recipe(tmp_path, text + more), tmp_path / "run", data=tmp_path / "data")

    place = "data: [{layout: 'paste:levir:oscd-%s', terms: restricted}]\n"
    with pytest.raises(InputError, match="oscd has no place bercie"):
        start(place % "saclay+bercie")
    with pytest.raises(InputError, match="build on is missing: none"):
        start(place % "saclay+bercy" + "start_from: none\n")
    assert not (tmp_path / "run").exists()
    start(place % "saclay+bercy")
    assert (tmp_path / "run").exists()


def test_a_run_does_not_go_on_from_other_weights_than_it_started_from(tmp_path, data):
    first = _recipe(tmp_path, RECIPE.replace("steps: 6", "steps: 1"))
    weights = loop.train(first, tmp_path / "first", data=data, task=TinyTask())
    second = _recipe(tmp_path, RECIPE.replace("steps: 6", "steps: 3") + "start_from: first\n")

    def go_on(steps):
        loop.train(second, tmp_path / "second", data=data, task=TinyTask(), steps=steps)

    checkpoint = tmp_path / "second" / "checkpoint.pt"
    go_on(1)
    go_on(2)
    kept = weights.read_bytes()
    weights.unlink()
    go_on(3)  # it is not needed any more
    assert torch.load(checkpoint)["step"] == 3
    again = _recipe(tmp_path, RECIPE.replace("steps: 6", "steps: 1") + "seed: 5\n")
    loop.train(again, tmp_path / "first", data=data, task=TinyTask(), resume=False)
    assert weights.read_bytes() != kept
    second = _recipe(tmp_path, RECIPE.replace("steps: 6", "steps: 3") + "start_from: first\n")
    with pytest.raises(InputError, match="other weights of first"):
        go_on(3)
    state = torch.load(checkpoint)
    del state["origin"]  # as earlier versions wrote it
    torch.save(state, checkpoint)
    go_on(3)


def test_a_result_can_be_blended_with_that_of_another_run(tmp_path, data):
    first = _recipe(tmp_path, RECIPE.replace("steps: 6", "steps: 1"))
    states = [
        read_head(loop.train(first, tmp_path / name, data=data, task=TinyTask()))[0]
        for name in ("first", "other")
    ][1:]
    text = RECIPE.replace("steps: 6", "steps: 3") + "start_from: first\n"
    for name, more in (("plain", ""), ("blended", "blend_with: other\nblend: 0.25\n")):
        recipe = _recipe(tmp_path, text + more)
        loop.train(recipe, tmp_path / name, data=data, task=TinyTask(), steps=2)
        weights = loop.train(recipe, tmp_path / name, data=data, task=TinyTask())
        states.append(read_head(weights)[0])
    other, plain, blended = states
    assert any(not torch.equal(other[name], plain[name]) for name in plain)
    for name, value in blended.items():
        own = plain[name]
        if own.is_floating_point():  # and not how many batches were counted
            # Once, at the end: a resumed run keeps its own weights.
            own = other[name] + 0.25 * (own - other[name])
        torch.testing.assert_close(value, own)
    again = _recipe(tmp_path, RECIPE.replace("steps: 6", "steps: 1") + "seed: 5\n")
    loop.train(again, tmp_path / "other", data=data, task=TinyTask(), resume=False)
    recipe = _recipe(tmp_path, text + "blend_with: other\nblend: 0.25\n")
    with pytest.raises(InputError, match="blended with other, whose weights have changed"):
        loop.train(recipe, tmp_path / "blended", data=data, task=TinyTask())
    missing = _recipe(tmp_path, text + "blend_with: none\n")
    with pytest.raises(InputError, match="build on is missing: none"):
        loop.train(missing, tmp_path / "fourth", data=data, task=TinyTask())
    assert not (tmp_path / "fourth").exists()


@pytest.mark.parametrize(
    ("device", "gpu", "several"),
    [
        ("cuda", True, False),
        ("auto", True, False),
        ("cpu", True, True),
        ("auto", False, True),
        ("cuda", False, True),
    ],
)
def test_a_gpu_has_one_process(tmp_path, monkeypatch, device, gpu, several):
    def choose(name):
        return Device("cuda" if gpu and name != "cpu" else "cpu", "float32", "")

    started = []
    monkeypatch.setattr(processes, "choose", choose)
    monkeypatch.setattr(trainer, "choose", choose)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: int(gpu))
    monkeypatch.setattr(processes, "run", lambda work, job, n, *_: started.append((n, job)))
    recipe = _recipe(tmp_path, RECIPE.replace("accumulate: 2", "processes: 2"))
    loop.train(recipe, tmp_path / "run", data=tmp_path, device=device, task=TinyTask())
    ((number, job),) = started
    assert number == job.recipe.processes == (2 if several else 1)
    name = trainer.choose_device(job.recipe, job.device).name
    assert name == ("cpu" if several else "cuda")
    assert job.written.processes == 2


def test_the_progress_bar_ends_where_the_run_does(tmp_path, data, capfd):
    recipe = _recipe(tmp_path, RECIPE + "stop_at: 2\n")
    loop.train(recipe, tmp_path / "run", data=data, task=TinyTask())
    assert "2/2" in capfd.readouterr().err


def _trainer(**changes) -> trainer.Trainer:
    recipe = Recipe(
        "t",
        task="tiny",
        steps=10,
        precision="fp32",
        optimiser=OptimiserSpec(name="sgd", lr=0.1, momentum=0),
        **changes,
    )
    return trainer.Trainer(recipe, TinyTask())


def _batch(count: int, seed: int = 0) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    images = torch.rand(2, count, 3, 8, 8, generator=generator) * 255
    return {"before": images[0], "after": images[1], "change": torch.ones(count, 8, 8)}


def test_accumulation_is_the_mean_of_the_parts():
    one, other = _trainer(), _trainer()
    for run in (one, other):
        run.model.drop.p = 0
        run.model.norm.eval()
    whole = _batch(4)
    parts = [{k: v[i : i + 2] for k, v in whole.items()} for i in (0, 2)]
    first, second = one.step(0, [whole]), other.step(0, parts)
    assert first["loss"] == pytest.approx(second["loss"], abs=1e-6)
    assert torch.allclose(one.model.head.weight, other.model.head.weight, atol=1e-7)


def test_schedules():
    def rates(name: str) -> list[float]:
        run = _trainer(schedule=ScheduleSpec(name, warmup=2, power=0.9))
        return [run._rate(step) for step in (0, 1, 2, 6, 10)]

    assert rates("constant") == [0.5, 1, 1, 1, 1]
    assert rates("poly") == pytest.approx([0.5, 1, 1, 0.5**0.9, 0])
    assert rates("cosine") == pytest.approx([0.5, 1, 1, 0.5, 0])


def test_averaged_weights_are_put_in_and_back():
    run = _trainer(ema=0.5)
    for step in range(3):
        run.step(step, [_batch(2, step)])
    last = run.model.head.weight.clone()
    with run.averaged() as model:
        assert not model.training
        assert not torch.equal(model.head.weight, last)
        assert torch.equal(model.head.weight, run.average["head.weight"])
    assert torch.equal(run.model.head.weight, last)
    assert run.model.training
    # Decays are min(0.5, (1 + step) / (10 + step)): 0.1, 2/11, 0.25.
    again = _trainer(ema=0.5)
    average = again.model.head.weight.detach().clone()
    for step, decay in enumerate((0.1, 2 / 11, 0.25)):
        again.step(step, [_batch(2, step)])
        average = decay * average + (1 - decay) * again.model.head.weight.detach()
    assert torch.allclose(average, again.average["head.weight"], atol=1e-6)


def test_a_loss_that_is_no_number_stops_the_run():
    run = _trainer()
    with pytest.raises(InputError, match="no longer a number at step 4"):
        run.step(3, [{**_batch(2), "change": torch.full((2, 8, 8), torch.nan)}])


def test_half_precision_on_a_cpu():
    recipe = Recipe("t", task="tiny", steps=1, precision="bf16")
    run = trainer.Trainer(recipe, TinyTask())
    assert run.device.precision == "bfloat16"
    assert np.isfinite(run.step(0, [_batch(2)])["loss"])
    with pytest.raises(InputError, match="fp16 needs a GPU"):
        trainer.choose_device(Recipe("t", task="tiny", steps=1, precision="fp16"), "cpu")


def test_a_scaled_loss_is_scaled_back_and_its_scale_resumed(tmp_path, monkeypatch):
    # The scaler of fp16, which recipes allow on a GPU only, here on the CPU.
    half = Device("cpu", "float16", "CPU")
    monkeypatch.setattr(trainer, "choose_device", lambda recipe, device: half)
    run, before = _trainer(), TinyModel()
    assert run.scaler.is_enabled()
    before.load_state_dict(run.model.state_dict())
    run.step(0, [_batch(2)])
    monkeypatch.undo()
    plain = _trainer()
    plain.step(0, [_batch(2)])
    weights = [model.head.weight.detach() for model in (run.model, plain.model, before)]
    moved = (weights[1] - weights[2]).norm()
    assert 0 < (weights[0] - weights[1]).norm() < 0.05 * moved
    run.scaler.update(512.0)
    run.save(tmp_path, 1)
    monkeypatch.setattr(trainer, "choose_device", lambda recipe, device: half)
    again = _trainer()
    assert again.resume(tmp_path / "checkpoint.pt") == 1
    assert again.scaler.get_scale() == 512.0


def test_errors_of_readers_reach_the_user(tmp_path, data):
    text = RECIPE.replace("crop: 16", "crop: 64").replace("validation:", "validation: null #")
    with pytest.raises(ChangeScribeError) as error:
        loop.train(_recipe(tmp_path, text), tmp_path / "run", data=data, task=TinyTask())
    assert "24 x 24 pixels, fewer than the crops of 64" in error.value.message
    assert error.value.hint == "Set crop to 24 or less."


@pytest.mark.slow
def test_errors_of_several_processes_reach_the_user(tmp_path, data):
    text = RECIPE.replace("accumulate: 2", "processes: 2\nthreads: 1")
    text = text.replace("crop: 16", "crop: 64")
    recipe = _recipe(tmp_path, text + "model: {tiny: true}\n")
    with pytest.raises(InputError, match="24 x 24 pixels"):
        loop.train(recipe, tmp_path / "run", data=data)
    assert not list((tmp_path / "run").glob("meeting*"))


def test_weights_of_another_model_are_refused(tmp_path, data):
    loop.train(_recipe(tmp_path), tmp_path / "run", data=data, task=TinyTask(), steps=1)
    run = _trainer()
    run.model.extra = nn.Linear(2, 2)
    with pytest.raises(InputError, match="another model"):
        run.resume(tmp_path / "run" / "checkpoint.pt")
    with pytest.raises(InputError, match="build on is missing"):
        run.start_from(tmp_path / "none" / "model.safetensors")
