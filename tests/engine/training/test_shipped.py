# SPDX-License-Identifier: GPL-3.0-or-later
"""Weights read back from ONNX files: they compute the same, in training mode too, and learn."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("onnx")

from PIL import Image

from changescribe.engine.errors import InputError, WeightsError
from changescribe.engine.modules.bundled.network import ChangeModel, ModelConfig
from changescribe.engine.paths import MODELS
from changescribe.engine.training import export, shipped
from changescribe.engine.training.tasks.bundled import load_model

pytestmark = pytest.mark.torch

TINY = ModelConfig(backbone="tiny", width=16, detail=8, text_width=16, pretrained=False)


def _pairs(count: int = 4, side: int = 96) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.integers(0, 255, (2, side, side, 3)).astype(np.uint8) for _ in range(count)]


def _answer(model: ChangeModel, pairs: list[np.ndarray], width: int) -> np.ndarray:
    before, after = (
        torch.from_numpy(np.stack([pair[date] for pair in pairs])).permute(0, 3, 1, 2).float()
        for date in (0, 1)
    )
    torch.manual_seed(1)
    sentences = torch.nn.functional.normalize(torch.randn(3, width), dim=1)
    with torch.no_grad():
        return model(before, after, sentences).numpy()


def _trained() -> ChangeModel:
    torch.manual_seed(0)
    model = ChangeModel(TINY)
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(std=0.1)
            module.running_var.uniform_(0.5, 1.5)
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
            torch.nn.init.normal_(module.bias, std=0.1)
    model.head.prior.gain.data.fill_(2.5)
    return model.eval()


def test_what_was_exported_comes_back(tmp_path: Path) -> None:
    model, pairs = _trained(), _pairs()
    export.export(model, tmp_path, half=False)
    again = shipped.load_onnx(tmp_path, pairs, TINY)
    expected = _answer(model, pairs, 16)
    assert expected.std() > 0.1
    assert np.allclose(_answer(again, pairs, 16), expected, atol=1e-3)
    # Training mode normalises by the batch: as the sample images are the batch, nothing changes.
    assert np.allclose(_answer(again.train(), pairs, 16), expected, atol=0.1 * expected.std())


def test_files_of_other_sizes_are_refused(tmp_path: Path) -> None:
    export.export(_trained(), tmp_path, half=False)
    with pytest.raises(WeightsError, match=r"encoder\.onnx"):
        shipped.load_onnx(tmp_path, _pairs(1), ModelConfig(**shipped.SHIPPED))
    with pytest.raises(WeightsError, match="cannot be read"):
        shipped.load_onnx(tmp_path / "none", _pairs(1), TINY)


def test_the_shipped_model_becomes_a_run(tmp_path: Path) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    for date, image in zip(("before", "after"), _pairs(1, 128)[0]):
        (tmp_path / date).mkdir()
        Image.fromarray(image).save(tmp_path / date / "a.png")
    model = load_model(shipped.write_run(MODELS, tmp_path, tmp_path / "shipped"))
    session = onnxruntime.InferenceSession(
        str(MODELS / "encoder.onnx"), providers=["CPUExecutionProvider"]
    )
    images = _pairs(1, 64)[0]
    expected = session.run(None, {"images": images})
    with torch.no_grad():
        found = model.encoder(torch.from_numpy(images).permute(0, 3, 1, 2).float())
    for name, one, other in zip(found._fields, expected, found):
        assert np.allclose(one, other.numpy(), atol=2e-3 * np.abs(one).max()), name
    with pytest.raises(InputError, match="no pairs"):
        shipped.write_run(MODELS, tmp_path / "shipped", tmp_path / "other")
