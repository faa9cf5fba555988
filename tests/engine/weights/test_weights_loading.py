# SPDX-License-Identifier: GPL-3.0-or-later
"""Weight files in their real formats, with random weights of the true architectures."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import re
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

torch = pytest.importorskip("torch")

from changescribe.engine.errors import DependencyError, WeightsError
from changescribe.engine.weights import catalogue, loading

pytestmark = pytest.mark.torch


class Program:
    """Runs when it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple:
        return os.mkdir, (str(self.marker),)


def small() -> torch.nn.Module:
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4))


def equal(first: torch.nn.Module, second: torch.nn.Module) -> bool:
    pairs = zip(first.state_dict().items(), second.state_dict().items())
    return all(a == b and torch.equal(x, y) for (a, x), (b, y) in pairs)


@pytest.mark.parametrize("wrapper", [None, "model", "state_dict"])
@pytest.mark.parametrize("prefix", ["", "module."])
def test_what_training_programs_write(tmp_path: Path, wrapper: str, prefix: str) -> None:
    module, path = small(), tmp_path / "a.pt"
    state = {prefix + name: value for name, value in module.state_dict().items()}
    torch.save({wrapper: state, "epoch": 3} if wrapper else state, path)
    other = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4))
    loading.fill(other, loading.state_dict(path), path.name)
    assert equal(module, other)


def test_a_program_is_never_run(tmp_path: Path) -> None:
    marker = tmp_path / "was here"
    torch.save({"model": small().state_dict(), "extra": Program(marker)}, tmp_path / "a.pt")
    (tmp_path / "b.pt").write_bytes(pickle.dumps(Program(marker)))
    for name in ("a.pt", "b.pt"):
        with pytest.raises(WeightsError, match="programs besides numbers, which are never run"):
            loading.read(tmp_path / name)
    assert not marker.exists()


def test_damaged_and_foreign_files(tmp_path: Path) -> None:
    whole, cut = tmp_path / "whole.pt", tmp_path / "cut.pt"
    torch.save(small().state_dict(), whole)
    cut.write_bytes(whole.read_bytes()[:-200])
    text = tmp_path / "text.safetensors"
    text.write_text("<html>not found</html>")
    for path in (cut, text, tmp_path / "missing.pt"):
        with pytest.raises(WeightsError):
            loading.state_dict(path)
    torch.save([1, 2], whole)
    with pytest.raises(WeightsError, match="contains no weights"):
        loading.state_dict(whole)


def test_keys_and_shapes_must_fit(tmp_path: Path) -> None:
    module, path = small(), tmp_path / "a.pt"
    state = module.state_dict()
    for change, words in (
        ({"0.weight": None}, "missing: 0.weight"),
        ({"2.weight": torch.zeros(1)}, "unexpected: 2.weight"),
        ({"0.bias": torch.zeros(5)}, r"0\.bias \(5,\) instead of \(4,\)"),
    ):
        torch.save({n: v for n, v in {**state, **change}.items() if v is not None}, path)
        with pytest.raises(
            WeightsError, match="does not contain the weights of this model"
        ) as caught:
            loading.fill(small(), loading.state_dict(path), path.name)
        assert re.search(words, caught.value.details)


def test_a_trained_head_keeps_what_builds_it_again(tmp_path: Path) -> None:
    module, path = small(), tmp_path / "lg-cd.safetensors"
    loading.save_head(module.state_dict(), path, {"system": "lg-cd", "width": 128})
    assert [p.name for p in tmp_path.iterdir()] == ["lg-cd.safetensors"]
    tensors, metadata = loading.read_head(path)
    assert metadata == {"system": "lg-cd", "width": 128}
    other = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4))
    loading.fill(other, tensors, path.name)
    assert equal(module, other)
    from safetensors.torch import save_file

    save_file(dict(module.state_dict()), str(path))
    with pytest.raises(WeightsError, match="not made by"):
        loading.read_head(path)


def test_a_torchscript_archive_is_opened_only_where_it_is_the_pinned_one(tmp_path: Path) -> None:
    module, path = small().eval(), tmp_path / "clip.pt"
    torch.jit.save(torch.jit.trace(module, torch.zeros(2, 3)), path)
    pinned = hashlib.sha256(path.read_bytes()).hexdigest()
    for unpinned in (None, "0" * 64):
        with pytest.raises(WeightsError, match="unknown program"):
            loading.state_dict(path, pinned_sha256=unpinned)
    assert torch.equal(loading.state_dict(path, pinned_sha256=pinned)["0.weight"], module[0].weight)


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "open_clip", None)
    with pytest.raises(DependencyError, match="open_clip_torch"):
        loading.clip(tmp_path / "a.pt", "ViT-B-32")


def test_resnet(tmp_path: Path) -> None:
    from torchvision import models

    torch.save(models.resnet18(weights=None).state_dict(), tmp_path / "resnet18.pth")
    assert loading.resnet(tmp_path / "resnet18.pth", "resnet18")(torch.zeros(1, 3, 32, 32)).shape
    with pytest.raises(WeightsError, match="does not contain the weights of this model"):
        loading.resnet(tmp_path / "resnet18.pth", "resnet34")


def test_a_transformers_folder(tmp_path: Path) -> None:
    from transformers import Qwen2Config, Qwen2ForCausalLM

    config = Qwen2Config(
        vocab_size=50,
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=1,
        max_position_embeddings=32,
    )
    model = Qwen2ForCausalLM(config)
    model.save_pretrained(tmp_path / "qwen")
    loaded = loading.transformers_part(tmp_path / "qwen", dtype=torch.float32)
    assert equal(model, loaded)
    with pytest.raises(WeightsError, match="not a model folder of transformers"):
        loading.transformers_part(tmp_path)
    (tmp_path / "qwen" / "model.safetensors").write_bytes(b"cut")
    with pytest.raises(WeightsError, match='model in "qwen" cannot be loaded'):
        loading.transformers_part(tmp_path / "qwen")


def test_code_of_a_transformers_folder_is_never_run(tmp_path: Path) -> None:
    folder, marker = tmp_path / "custom", tmp_path / "was here"
    folder.mkdir()
    (folder / "modeling_custom.py").write_text(f"import os; os.mkdir({str(marker)!r})")
    (folder / "config.json").write_text(
        json.dumps(
            {
                "model_type": "custom",
                "auto_map": {
                    "AutoConfig": "modeling_custom.Config",
                    "AutoModelForCausalLM": "modeling_custom.Model",
                },
            }
        )
    )
    with pytest.raises(WeightsError, match="cannot be loaded"):
        loading.transformers_part(folder)
    assert not marker.exists()


def test_the_architectures_of_the_catalogue_exist() -> None:
    open_clip = pytest.importorskip("open_clip")
    import transformers
    from torchvision.models import list_models

    known = {
        catalogue.SAM2_CHECKPOINT: set(loading.SAM2_CONFIGURATIONS.values()),
        catalogue.OPEN_CLIP: set(open_clip.list_models()),
        catalogue.TORCHVISION: set(list_models()),
    }
    for entry in catalogue.entries().values():
        if entry.format in known:
            assert entry.architecture in known[entry.format], entry.id
        elif entry.format == catalogue.TRANSFORMERS_FOLDER:
            assert hasattr(transformers, entry.architecture), entry.id


def test_the_catalogue_agrees_with_the_installed_packages() -> None:
    pretrained = pytest.importorskip("open_clip.pretrained")
    from importlib.metadata import metadata

    from torchvision import models

    readme = SimpleNamespace(sam2=metadata("sam2").get_payload())
    for entry in catalogue.entries().values():
        if entry.format == catalogue.SAM2_CHECKPOINT:
            assert f"({entry.url})" in readme.sam2
        elif entry.format == catalogue.TORCHVISION:
            weights = models.get_model_weights(entry.architecture)["IMAGENET1K_V1"]
            assert entry.url == weights.url
        elif "open_clip/pretrained.py" in entry.source.get("url", ""):
            tag = entry.source["url"].rsplit(" ", 1)[-1]
            assert entry.url == pretrained.get_pretrained_url(entry.architecture, tag)


@pytest.mark.slow
def test_a_sam2_checkpoint_as_build_sam2_takes_it(tmp_path: Path) -> None:
    from sam2.build_sam import build_sam2

    path = tmp_path / "sam2.1_hiera_tiny.pt"
    config = "configs/sam2.1/sam2.1_hiera_t.yaml"
    model = build_sam2(config, None, device="cpu")
    torch.save({"model": model.state_dict()}, path)
    build_sam2(config, str(path), device="cpu")  # the package itself takes our file
    trunk = loading.hiera_trunk(path, "tiny")
    assert equal(trunk, model.image_encoder.trunk)
    with torch.inference_mode():
        maps = trunk(torch.zeros(1, 3, 64, 64))
    assert [tuple(m.shape[1:]) for m in maps] == [
        (96, 16, 16),
        (192, 8, 8),
        (384, 4, 4),
        (768, 2, 2),
    ]
    assert equal(loading.sam2_model(path, "tiny"), model)
    with pytest.raises(WeightsError, match="does not contain the weights of this model"):
        loading.hiera_trunk(path, "small")


@pytest.mark.slow
def test_an_open_clip_file_and_openais_archive(tmp_path: Path) -> None:
    open_clip = pytest.importorskip("open_clip")
    # The smallest true architecture of open_clip with a CLIP text tower.
    name = "ViT-S-32-alt"
    model = open_clip.create_model(name, pretrained=None).eval()
    path = tmp_path / "open_clip.pt"
    torch.save({"state_dict": model.state_dict(), "epoch": 32}, path)
    open_clip.create_model(name, pretrained=str(path))  # open_clip itself takes our file
    tokens = open_clip.get_tokenizer(name)(["roads built"])
    with torch.inference_mode():
        expected = model.encode_text(tokens)
        text = loading.clip_text(path, name)
        assert torch.equal(text.encode_text(tokens), expected)
    assert text.visual is None
    with pytest.raises(WeightsError, match="does not contain"):
        loading.clip(path, "ViT-B-32")

    archive = tmp_path / "archive.pt"
    holder = torch.nn.Module()
    for key, value in [*model.state_dict().items(), ("context_length", torch.tensor(77))]:
        _put(holder, key.split("."), value.half() if value.is_floating_point() else value)
    torch.jit.save(torch.jit.script(holder), archive)
    pinned = hashlib.sha256(archive.read_bytes()).hexdigest()
    with torch.inference_mode():
        found = loading.clip(archive, name, pinned).encode_text(tokens)
    assert found.dtype == torch.float32
    assert torch.allclose(found, expected, atol=1e-2)


def _put(module: torch.nn.Module, names: list[str], value: torch.Tensor) -> None:
    for name in names[:-1]:
        if not hasattr(module, name):
            module.add_module(name, torch.nn.Module())
        module = getattr(module, name)
    module.register_buffer(names[-1], value)
