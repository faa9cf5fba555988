# SPDX-License-Identifier: GPL-3.0-or-later
"""LG-CD as a system: info, missing weights, answers, and its ONNX head."""

from __future__ import annotations

import numpy as np
import pytest

from changescribe.engine.errors import WeightsError
from changescribe.engine.request import Query
from changescribe.engine.systems.lgcd import HEAD, LgcdSystem
from changescribe.engine.weights.store import WeightsStore


@pytest.fixture
def store(tmp_path):
    return WeightsStore(tmp_path / "store")


@pytest.fixture
def one_thread():
    """Use one thread: on a busy machine, several slow tiny models down."""
    torch = pytest.importorskip("torch")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.manual_seed(5)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def trained(tmp_path, store, one_thread):
    """A store with the head of a tiny LG-CD, as training writes it."""
    import torch

    from changescribe.engine.training.tasks import create
    from changescribe.engine.weights.loading import save_head

    task = create("lgcd")
    model = task.build({"tiny": True})
    # An untrained head is nearly constant, which would hide mistakes.
    for module in model.head.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = 1.0
    images = torch.rand(2, 3, 64, 64) * torch.tensor([100.0, 255.0])[:, None, None, None]
    dates = torch.tensor([0, 1]), torch.tensor([1, 0])
    model.train()(images, *dates, *task._text.encode(["roads", "trees"]))
    model.head.decoder.project[-1].weight.data.mul_(30)
    settings = {"tiny": True, "objects": ["buildings", "roads"]}
    metadata = {"system": "lgcd", "config": settings, "step": 3, "recipe": {"name": "small"}}
    weights = tmp_path / "model.safetensors"
    save_head(task.weights(model), weights, metadata)
    store.import_from(weights, [HEAD])
    return store


def tiles(count=2, height=64, width=96):
    rng = np.random.default_rng(2)
    before = rng.integers(0, 120, (count, height, width, 3), dtype=np.uint8)
    after = before.copy()
    after[:, : height // 2, width // 3 :] = rng.integers(90, 255, 3, dtype=np.uint8)
    return before, after


def test_without_a_head_the_needed_weights_are_listed(store):
    info = LgcdSystem(store).info
    assert (info.name, info.tier, info.revision) == ("lgcd", "full", "not trained")
    assert info.weights == (HEAD, "sam2.1-hiera-tiny", "clip-vit-b-16-openai")
    assert "SAM 2.1 Hiera tiny" in info.title
    assert info.classes == ("buildings",)


@pytest.mark.torch
def test_what_is_missing_is_named_with_its_size_and_how_to_get_it(tmp_path, store, one_thread):
    with pytest.raises(WeightsError, match=r"lg-cd\.safetensors") as caught:
        LgcdSystem(store).load("cpu")
    assert "models import" in caught.value.hint
    from changescribe.engine.modules.lgcd.config import LgcdConfig
    from changescribe.engine.modules.lgcd.network import LgcdHead
    from changescribe.engine.weights.loading import save_head

    settings = {"text": "shipped", "width": 8, "heads": 2}
    head = LgcdHead((96, 192, 384, 768), 128, 128, LgcdConfig.from_settings(settings))
    state = {f"head.{name}": value for name, value in head.state_dict().items()}
    metadata = {"config": settings, "step": 1, "recipe": {"name": "small"}}
    save_head(state, tmp_path / "model.safetensors", metadata)
    store.import_from(tmp_path / "model.safetensors", [HEAD])
    with pytest.raises(WeightsError, match=r"sam2\.1_hiera_tiny\.pt, \d+ MB") as caught:
        LgcdSystem(store).load("cpu")
    assert "models fetch sam2.1-hiera-tiny" in caught.value.hint


@pytest.mark.torch
def test_swapping_the_dates_swaps_appeared_and_removed(trained):
    system = LgcdSystem(trained)
    before, after = tiles()
    queries = [Query("buildings", d) for d in ("appeared", "removed", "changed")]
    forward = system.predict(before, after, queries).scores
    backward = system.predict(after, before, queries).scores
    assert forward.shape == (2, 3, 64, 96)
    assert forward.dtype == np.float32
    assert np.allclose(forward[:, 0], backward[:, 1], atol=1e-6)
    assert np.allclose(forward[:, 1], backward[:, 0], atol=1e-6)
    assert np.abs(forward[:, 0] - forward[:, 1]).max() > 0.05
    assert np.array_equal(forward[:, 2], forward[:, :2].max(1))


@pytest.mark.torch
def test_queries_share_one_pass_of_the_encoder_however_they_are_divided(trained, monkeypatch):
    system = LgcdSystem(trained)
    system.load("cpu")
    images = []
    system._encoder.register_forward_hook(lambda module, given, found: images.append(len(given[0])))
    before, after = tiles()
    queries = [Query(noun, d) for noun in ("roads", "trees") for d in ("appeared", "removed")]
    together = system.predict(before, after, queries).scores
    assert images == [4]
    monkeypatch.setattr("changescribe.engine.systems.lgcd._PIXELS_AT_ONCE", {"cpu": 3 * 64 * 96})
    assert np.allclose(system.predict(before, after, queries).scores, together, atol=1e-5)
    for row, query in enumerate(queries):
        alone = system.predict(before[1:], after[1:], [query]).scores
        assert np.allclose(alone[0, 0], together[1, row], atol=1e-5)
    assert system.predict(before, after, []).scores.shape == (2, 0, 64, 96)


@pytest.mark.torch
def test_a_head_that_is_imported_later_is_used_by_the_next_run(trained, tmp_path):
    from changescribe.engine.weights.loading import read_head, save_head

    system = LgcdSystem(trained)
    system.load("cpu")
    before, after = tiles(1)
    queries = [Query("buildings", "appeared")]
    first = system.predict(before, after, queries).scores
    loaded = system._head
    system.load("cpu")
    assert system._head is loaded  # nothing new: nothing is read again
    state, metadata = read_head(trained.path(HEAD))
    state = {name: -v if "decoder.project.1" in name else v for name, v in state.items()}
    save_head(state, tmp_path / "model.safetensors", {**metadata, "step": 9})
    trained.import_from(tmp_path / "model.safetensors", [HEAD])
    # A running detection continues with its initial weights.
    assert np.array_equal(system.predict(before, after, queries).scores, first)
    system.load("cpu")
    assert system.info.revision == "small, step 9"
    assert np.abs(system.predict(before, after, queries).scores - first).max() > 0.05


@pytest.mark.torch
def test_training_objects_are_reported(trained):
    system = LgcdSystem(trained)
    assert system.info.revision == "small, step 3"
    assert system.info.classes == ("buildings", "roads")
    assert system.notes([Query("houses", "appeared")]) == ()
    (note,) = system.notes([Query("trees", "appeared"), Query("trees", "removed")])
    assert '"trees"' in note
    assert "buildings, roads" in note


@pytest.mark.torch
def test_onnx_head_equals_the_one_of_torch_at_any_size(trained):
    pytest.importorskip("onnx")
    from changescribe.engine.modules.lgcd.onnx import export_file

    queries = [Query("roads", "appeared"), Query("small houses", "changed")]
    sizes = [(1, 64, 96), (2, 96, 64), (1, 128, 128)]
    system = LgcdSystem(trained)
    expected = [system.predict(*tiles(*size), queries).scores for size in sizes]
    weights = trained.path(HEAD)
    assert export_file(weights) == weights.with_suffix(".onnx")
    exported = LgcdSystem(trained)
    assert max(np.ptp(scores) for scores in expected) > 0.2
    for size, scores in zip(sizes, expected, strict=True):
        answer = exported.predict(*tiles(*size), queries).scores
        assert np.abs(answer - scores).max() < 1e-3
    assert "onnxruntime" in exported.device
    assert "onnxruntime" not in system.device
    # An ONNX file of older weights is not used for newer ones.
    from changescribe.engine.modules.lgcd.onnx import export, load_head

    export(load_head(weights)[0], weights.with_suffix(".onnx"), "of other weights")
    with pytest.raises(WeightsError, match="made from other weights"):
        LgcdSystem(trained).load("cpu")
