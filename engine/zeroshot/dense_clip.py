# SPDX-License-Identifier: GPL-3.0-or-later
"""Dense CLIP: the similarity of every patch of an image to phrases.

The last block of a CLIP vision transformer mixes the patches to describe the image as a whole and
loses the positions of objects. Here its attention is computed from self-similarities instead
(query-query, key-key and value-value), without the residual connection and the MLP (SCLIP,
ClearCLIP, SegEarth-OV). The similarity of the class token to a phrase, a bias of the whole image,
is subtracted in part from every patch.

Works with every vision transformer of open_clip that has a class token; only the attention of the
last block is replaced.
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

#: Pairs compared by attention: the standard one, and the self-similarities of the last block.
STANDARD = ("qk",)
SELF = ("qq", "kk", "vv")
#: Fraction of the class token's similarity that is subtracted from each patch.
CLASS_TOKEN_SHARE = 0.3
#: Factor of the cosines before the softmax. CLIP's training ends at 100; published results for
#: dense prediction use 50, since patches are less certain than images.
TEMPERATURE = 50.0
#: Sizes at which an image is encoded, relative to twice the model's window.
SCALES = (0.8, 1.0, 1.2)
#: Pixels of a resized image per cell of the maps.
STRIDE = 4
#: Sides of a resized image are multiples of this many pixels.
_STEP = 32
#: Windows per batch.
_WINDOWS = 32


def attend(attention: nn.Module, tokens: Tensor, pairs: Sequence[str] = SELF) -> Tensor:
    """Attend with the weights of an attention module of open_clip.

    Args:
        attention: ``torch.nn.MultiheadAttention``, or open_clip's own ``Attention``.
        tokens: (B, N, C), normalised.
        pairs: pairs of "q", "k" and "v" to compare; the outputs are summed. :data:`STANDARD` is
            the module's own attention.

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
        images: (B, 3, S, S) normalised, S the input size of the model.
    """
    patches = visual.conv1(images).flatten(2).transpose(1, 2)
    first = visual.class_embedding.to(patches.dtype).expand(len(patches), 1, -1)
    tokens = torch.cat([first, patches], 1) + visual.positional_embedding.to(patches.dtype)
    tokens = visual.ln_pre(tokens)
    for block in visual.transformer.resblocks[:-1]:
        tokens = block(tokens)
    return tokens


def dense_features(visual: nn.Module, images: Tensor) -> tuple[Tensor, Tensor]:
    """Return features of the patches and of the class token in the space of the texts.

    Args:
        visual: ``open_clip.transformer.VisionTransformer``.
        images: (B, 3, S, S) normalised, S the input size of the model.

    Returns:
        (B, D, S/p, S/p) and (B, D), of unit length.
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
    """Raise InputError unless an image tower is a vision transformer with a class token."""
    plain = hasattr(visual, "class_embedding") and getattr(visual, "attn_pool", None) is None
    attention = visual.transformer.resblocks[-1].attn if plain else None
    scaled = getattr(attention, "logit_scale", None) is not None
    if not plain or scaled or visual.image_size[0] != visual.image_size[1]:
        raise InputError(ZeroshotTexts.not_a_plain_vit(), details=type(visual).__name__)


def origins(length: int, window: int, stride: int) -> list[int]:
    """Return the starts of windows along a side; the last window ends with the side."""
    starts = list(range(0, length - window, stride))
    return [*starts, length - window]


def resized(height: int, width: int, base: int, window: int) -> tuple[int, int]:
    """Return height and width of an image resized to about ``base`` pixels on the shorter side.

    Sides are multiples of 32, or as long as a window if that is longer.
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
    """Merge the maps of overlapping windows by their mean.

    Args:
        answers: one (P, g, g) per window.
        corners: top and left of each in pixels, multiples of :data:`STRIDE`.
        size: height and width of the image in pixels.
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
    """Return the probability of each class at each place.

    A class is represented by its best phrase, so that synonyms are no advantage, followed by a
    softmax over the classes.

    Args:
        cosines: (P, H, W) similarity of each phrase.
        groups: rows of ``cosines`` for each of G classes.

    Returns:
        (G, H, W); sums to 1 over the classes.
    """
    best = torch.stack([cosines[list(rows)].amax(0) for rows in groups])
    return (TEMPERATURE * best).softmax(0)


class DenseClip:
    """A CLIP of open_clip that compares every place of an image with phrases."""

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
        # Normalisation of the model, for values from 0 to 255.
        mean, std = (torch.tensor(getattr(model.visual, n)) for n in ("image_mean", "image_std"))
        self._mean = (255 * mean).view(1, 3, 1, 1).to(device.name)
        self._std = (255 * std).view(1, 3, 1, 1).to(device.name)

    def encode_text(self, phrases: Sequence[str]) -> Tensor:
        """Return embeddings (P, D) of unit length, the mean over the templates; cached."""
        for phrase in phrases:
            if phrase not in self._texts:
                ids = self._tokenizer([text.format(phrase) for text in self._templates])
                with self._device.autocast():
                    texts = self._model.encode_text(ids.to(self._device.name)).float()
                mean = F.normalize(texts, dim=-1).mean(0)
                self._texts[phrase] = F.normalize(mean, dim=-1)
        return torch.stack([self._texts[phrase] for phrase in phrases])

    def fit(self, image: Tensor, texts: Tensor) -> list[Tensor]:
        """Return the similarity of phrases to each place of an image.

        Args:
            image: (3, H, W) float, 0 to 255; about two windows across once resized.
            texts: (P, D) from :meth:`encode_text`.

        Returns:
            (P, h, w) for each of :data:`SCALES`: cosines minus the share of the class token.
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

    Returns:
        (G, H, W); its first plane is H_t if the object is the first class.
    """
    planes = [
        F.interpolate(posterior(m, groups)[None], size, mode="bilinear", align_corners=False)[0]
        for m in maps
    ]
    return reduce(torch.add, planes) / len(maps)
