# SPDX-License-Identifier: GPL-3.0-or-later
"""Several processes: the same result as one, started by the loop or by torchrun."""

from __future__ import annotations

import csv
import os
import subprocess
import sys

import numpy as np
import pytest

torch = pytest.importorskip("torch")
from PIL import Image

from changescribe.engine.device import Device
from changescribe.engine.errors import InputError
from changescribe.engine.training import loop, processes
from changescribe.engine.training.recipe import load_recipe
from changescribe.engine.weights.loading import read_head

pytestmark = pytest.mark.torch

# KCFI has neither batch norm nor dropout, and all pairs have equally many labels, so that the mean
# over the processes is the mean over the batch.
RECIPE = """
name: several
task: kcfi
steps: 3
batch_size: 4
crop: 32
precision: fp32
threads: 1
optimiser: {name: sgd, lr: 0.5, weight_decay: 0.0}
schedule: {name: constant, warmup: 0}
model: {tiny: true, language: tiny}
data: [{layout: levir_cd, split: train}]
validation: {layout: levir_cd, split: train}
"""


@pytest.fixture(name="data", scope="module")
def fixture_data(tmp_path_factory):
    root = tmp_path_factory.mktemp("levir")
    rng = np.random.default_rng(0)
    for number in range(4):
        mask = np.zeros((40, 40), np.uint8)
        mask[number : number + 20, 5:25] = 255
        before = rng.integers(0, 255, (40, 40, 3)).astype(np.uint8)
        for part, array in (("A", before), ("B", before // 2), ("label", mask)):
            (root / "train" / part).mkdir(parents=True, exist_ok=True)
            Image.fromarray(array).save(root / "train" / part / f"{number}.png")
    return root


def _recipe(tmp_path):
    path = tmp_path / "several.yaml"
    path.write_text(RECIPE, encoding="utf-8")
    return path


def _f1(run):
    with (run / "validation.csv").open(encoding="utf-8") as file:
        return [row["f1"] for row in csv.DictReader(file)]


def _far(one, other):
    states = [read_head(run / "model.safetensors")[0] for run in (one, other)]
    assert states[0].keys() == states[1].keys()
    return max(float((states[0][k].float() - states[1][k].float()).abs().max()) for k in states[0])


@pytest.mark.slow
def test_two_processes_learn_what_one_does(tmp_path, data):
    recipe = _recipe(tmp_path)
    loop.train(recipe, tmp_path / "one", data=data, device="cpu")
    start = tmp_path / "start"
    loop.train(recipe, start, data=data, device="cpu", values=["optimiser.lr=0"])
    loop.train(recipe, tmp_path / "two", data=data, device="cpu", values=["processes=2"])
    moved, apart = _far(start, tmp_path / "one"), _far(tmp_path / "one", tmp_path / "two")
    assert moved > 0.01
    assert apart < 1e-4 * moved
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node"]
    command += ["2", "-m", "changescribe.engine.cli", "train", str(recipe), "--data", str(data)]
    command += ["--out", str(tmp_path / "run"), "--device", "cpu"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=240, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("model.safetensors") == 1
    assert _far(tmp_path / "two", tmp_path / "run") < 1e-6
    assert _f1(tmp_path / "one") == _f1(tmp_path / "two") == _f1(tmp_path / "run")
    # What the recipe says about processes stays as written, so that any number can go on.
    assert load_recipe(tmp_path / "run" / "recipe.yaml").processes == 1


def test_a_process_per_gpu_and_what_torchrun_says(tmp_path, monkeypatch):
    recipe = load_recipe(_recipe(tmp_path), ["processes=4"])
    monkeypatch.setattr(processes, "choose", lambda name: Device("cuda", "float32", ""))
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert processes.count(recipe, "auto") == 2
    monkeypatch.setattr(processes, "by_torchrun", lambda: True)
    monkeypatch.setenv("WORLD_SIZE", "8")
    assert processes.count(recipe, "auto") == 8
    monkeypatch.setenv("RANK", "1")
    assert not processes.is_first()


def test_gpus_talk_through_nccl(monkeypatch):
    calls = []
    monkeypatch.setattr(
        torch.distributed, "init_process_group", lambda *a, **k: calls.append((*a, k))
    )
    monkeypatch.setattr(torch.cuda, "set_device", calls.append)
    monkeypatch.setattr(processes, "choose", lambda name: Device("cuda", "float32", ""))
    processes._join(5, 1, 8, "auto", "env://")
    number, (backend, options) = calls
    assert (number, backend) == (1, "nccl")
    assert (options["rank"], options["world_size"]) == (5, 8)
    monkeypatch.setattr(processes, "choose", lambda name: Device("cpu", "float32", ""))
    processes._join(0, 0, 2, "cpu", "env://")
    assert calls[-1][0] == "gloo"


def test_batches_must_divide_among_the_processes(tmp_path, data, monkeypatch):
    monkeypatch.setattr(processes, "count", lambda recipe, device: 3)
    with pytest.raises(InputError, match="multiple of processes x accumulate = 3"):
        loop.train(_recipe(tmp_path), tmp_path / "run", data=data)
    assert not (tmp_path / "run").exists()
