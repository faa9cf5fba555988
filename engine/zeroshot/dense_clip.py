# SPDX-License-Identifier: GPL-3.0-or-later
"""CLIP for every patch of an image: which of some phrases fits it best.

The last block of a CLIP vision transformer mixes the patches so that the image
as a whole is told; where things are gets lost. Here that block attends by
likeness alone, query to query, key to key and value to value, and keeps neither
the residual nor the MLP that only makes sense on top of it (SCLIP, ClearCLIP,
SegEarth-OV). What the class token makes of a phrase, the bias of the whole
image, is subtracted from each patch.

Works with every vision transformer of open_clip that has a class token: its
modules are used as they are, only the last block's attention is computed here.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from typing import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..device import Device
from ..errors import InputError
from .texts import ZeroshotTexts

#: Pairs whose likeness is attended by: the usual one, and those of the last block here.
STANDARD = ("qk",)
SELF = ("qq", "kk", "vv")
#: Part of the class token's fit that is subtracted from that of each patch.
CLASS_TOKEN_SHARE = 0.3
#: Factor of the cosines before the softmax. Training ends at 100; patches are less sure than
#: images, and the field's dense figures were made with this.
TEMPERATURE = 50.0
#: An image is looked at in so many sizes, relative to twice the model's window.
SCALES = (0.8, 1.0, 1.2)
#: Pixels of a resized image per cell of the maps.
STRIDE = 4
#: Sides of a resized image are multiples of this many pixels.
_STEP = 32
#: Windows that go through the model at once.
_WINDOWS = 32


def attend(attention: nn.Module, tokens: Tensor, pairs: Sequence[str] = SELF) -> Tensor:
    """Attend with the weights of an attention module of open_clip.

    Args:
        attention: ``torch.nn.MultiheadAttention``, or open_clip's own ``Attention``.
        tokens: (B, N, C), normalised.
        pairs: of "q", "k" and "v": what is compared with what; the answers are summed. With
            :data:`STANDARD` this is the module's own attention.

    Returns:
        (B, N, C) after the output projection.
    """
    batch, length, width = tokens.shape
    joined = F.linear(tokens, attention.in_proj_weight, attention.in_proj_bias)
    # (3, B, heads, N, C / heads)
    parts = joined.reshape(batch, length, 3, attention.num_heads, -1).permute(2, 0, 3, 1, 4)
    heads = dict(zip("qkv", parts))
    if hasattr(attention, "ln_q"):
        heads["q"], heads["k"] = attention.ln_q(heads["q"]), attention.ln_k(heads["k"])
    answers = [
        F.scaled_dot_product_attention(heads[pair[0]], heads[pair[1]], heads["v"]) for pair in pairs
    ]
    mixed = reduce(torch.add, answers)
    if getattr(attention, "head_scale", None) is not None:
        mixed = mixed * attention.head_scale
    mixed = mixed.transpose(1, 2).reshape(batch, length, width)
    if hasattr(attention, "ln_inner"):
        mixed = attention.ln_inner(mixed)
    return attention.out_proj(mixed)


def embed(visual: nn.Module, images: Tensor) -> Tensor:
    """Return the tokens before the last block: (B, 1 + N, C), the class token first.

    Args:
        visual: ``open_clip.transformer.VisionTransformer``.
        images: (B, 3, S, S) normalised, S the size that the model was trained with.
    """
    patches = visual.conv1(images).flatten(2).transpose(1, 2)
    first = visual.class_embedding.to(patches.dtype).expand(len(patches), 1, -1)
    tokens = torch.cat([first, patches], 1) + visual.positional_embedding.to(patches.dtype)
    tokens = visual.ln_pre(tokens)
    for block in visual.transformer.resblocks[:-1]:
        tokens = block(tokens)
    return tokens


def dense_features(visual: nn.Module, images: Tensor) -> tuple[Tensor, Tensor]:
    """Return what a vision transformer makes of each patch, and of the class token.

    Args:
        visual: ``open_clip.transformer.VisionTransformer``.
        images: (B, 3, S, S) normalised, S the size that the model was trained with.

    Returns:
        (B, D, S/p, S/p) and (B, D), of unit length in the space of the texts.
    """
    block = visual.transformer.resblocks[-1]
    tokens = attend(block.attn, block.ln_1(embed(visual, images)))
    features = visual.ln_post(tokens)
    if visual.proj is not None:
        features = features @ visual.proj
    features = F.normalize(features.float(), dim=-1)
    patches = features[:, 1:].transpose(1, 2).unflatten(2, tuple(visual.grid_size))
    return patches, features[:, 0]


def check(visual: nn.Module) -> None:
    """Refuse image towers that are no vision transformer with a class token.

    Raises:
        InputError: it is another kind of network.
    """
    plain = hasattr(visual, "class_embedding") and getattr(visual, "attn_pool", None) is None
    attention = visual.transformer.resblocks[-1].attn if plain else None
    scaled = getattr(attention, "logit_scale", None) is not None
    if not plain or scaled or visual.image_size[0] != visual.image_size[1]:
        raise InputError(ZeroshotTexts.not_a_plain_vit(), details=type(visual).__name__)


def origins(length: int, window: int, stride: int) -> list[int]:
    """Return where windows begin along a side, the last one at its end.

    Args:
        length: of the side in pixels, at least ``window``.
        window: side of a window.
        stride: distance of neighbours; the last two may be closer.
    """
    starts = list(range(0, length - window, stride))
    return [*starts, length - window]


def resized(height: int, width: int, base: int, window: int) -> tuple[int, int]:
    """Return the size of an image whose shorter side becomes about ``base`` pixels.

    Both sides are multiples of 32 and no shorter than a window.
    """
    factor = base / min(height, width)

    def scaled(side: int) -> int:
        longer = max(round(side * factor / _STEP) * _STEP, window)
        return -(-longer // STRIDE) * STRIDE

    return scaled(height), scaled(width)


def stitch(
    answers: Sequence[Tensor],
    corners: Sequence[tuple[int, int]],
    size: tuple[int, int],
    window: int,
) -> Tensor:
    """Join the maps of overlapping windows; where several lie, their mean counts.

    Args:
        answers: one (P, g, g) per window.
        corners: top and left of each in pixels, multiples of :data:`STRIDE`.
        size: of the image in pixels.
        window: side of a window in pixels.

    Returns:
        (P, H / 4, W / 4).
    """
    side = -(-window // STRIDE)
    total = answers[0].new_zeros(len(answers[0]), size[0] // STRIDE, size[1] // STRIDE)
    count = total.new_zeros(1, *total.shape[1:])
    for answer, (top, left) in zip(answers, corners):
        y, x = top // STRIDE, left // STRIDE
        fine = F.interpolate(answer[None], (side, side), mode="bilinear", align_corners=False)[0]
        total[:, y : y + side, x : x + side] += fine
        count[:, y : y + side, x : x + side] += 1
    return total / count


def posterior(cosines: Tensor, groups: Sequence[Sequence[int]]) -> Tensor:
    """Return how likely each class is at each place.

    A class counts with the best of its phrases, so that one with many synonyms has no advantage;
    the softmax over the classes follows.

    Args:
        cosines: (P, H, W), the fit of each phrase.
        groups: rows of ``cosines`` that each of G classes has.

    Returns:
        (G, H, W), sums to 1 over the classes.
    """
    best = torch.stack([cosines[list(rows)].amax(0) for rows in groups])
    return (TEMPERATURE * best).softmax(0)


class DenseClip:
    """A CLIP of open_clip that says of every place in an image how well phrases fit it.

    Args:
        model: an open_clip model, in evaluation mode, on the device.
        tokenizer: of the same architecture.
        templates: sentences with "{}" for the phrase.
        device: where it computes, and in which precision.
    """

    def __init__(
        self,
        model: nn.Module,
        tokenizer: Callable[[list[str]], Tensor],
        templates: Sequence[str],
        device: Device,
    ) -> None:
        check(model.visual)
        self._model = model
        self._tokenizer = tokenizer
        self._templates = tuple(templates)
        self._texts: dict[str, Tensor] = {}
        self.window = int(model.visual.image_size[0])
        self._device = device
        # What the model was trained with; in 0 to 255.
        mean, std = (torch.tensor(getattr(model.visual, n)) for n in ("image_mean", "image_std"))
        self._mean = (255 * mean).view(1, 3, 1, 1).to(device.name)
        self._std = (255 * std).view(1, 3, 1, 1).to(device.name)

    def encode_text(self, phrases: Sequence[str]) -> Tensor:
        """Embed phrases: the mean over the templates, (P, D) of unit length; each is kept."""
        for phrase in phrases:
            if phrase not in self._texts:
                ids = self._tokenizer([text.format(phrase) for text in self._templates])
                with self._device.autocast():
                    texts = self._model.encode_text(ids.to(self._device.name)).float()
                mean = F.normalize(texts, dim=-1).mean(0)
                self._texts[phrase] = F.normalize(mean, dim=-1)
        return torch.stack([self._texts[phrase] for phrase in phrases])

    def fit(self, image: Tensor, texts: Tensor) -> list[Tensor]:
        """Return how well phrases fit each place of an image.

        Args:
            image: (3, H, W) float, 0 to 255.
            texts: (P, D) from :meth:`encode_text`.

        Returns:
            For each of :data:`SCALES` the cosines less the class token's share, (P, h, w); an
            image is about two windows across.
        """
        maps = []
        for scale in SCALES:
            base = round(2 * self.window * scale)
            size = resized(image.shape[1], image.shape[2], base, self.window)
            scaled = F.interpolate(
                image[None], size, mode="bilinear", align_corners=False, antialias=True
            )
            maps.append(self._fit_windows((scaled - self._mean) / self._std, texts))
        return maps

    def _fit_windows(self, image: Tensor, texts: Tensor) -> Tensor:
        height, width = image.shape[2:]
        stride = max(self.window // 2 // STRIDE, 1) * STRIDE
        corners = [
            (top, left)
            for top in origins(height, self.window, stride)
            for left in origins(width, self.window, stride)
        ]
        side = self.window
        windows = torch.cat([image[:, :, y : y + side, x : x + side] for y, x in corners])
        answers: list[Tensor] = []
        for some in windows.split(_WINDOWS):
            with self._device.autocast():
                patches, whole = dense_features(self._model.visual, some)
            fit = torch.einsum("bdhw,pd->bphw", patches, texts)
            answers += fit - CLASS_TOKEN_SHARE * (whole @ texts.T)[:, :, None, None]
        return stitch(answers, corners, (height, width), side)


def mean_posterior(
    maps: Sequence[Tensor], groups: Sequence[Sequence[int]], size: tuple[int, int]
) -> Tensor:
    """Average the posterior over the scales.

    Args:
        maps: what :meth:`DenseClip.fit` returned.
        groups: see :func:`posterior`.
        size: height and width of the answer.

    Returns:
        (G, H, W); H_t of the design is its first plane where the object is the first class.
    """
    planes = [
        F.interpolate(posterior(m, groups)[None], size, mode="bilinear", align_corners=False)[0]
        for m in maps
    ]
    return reduce(torch.add, planes) / len(maps)
