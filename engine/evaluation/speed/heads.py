# SPDX-License-Identifier: GPL-3.0-or-later
"""Time of the parts of LG-CD, MMChange and TextSCD, with their heads also on onnxruntime.

``changescribe evaluate heads [--system NAME] [--encoder NAME] ...`` prints JSON: seconds of the
encoder for a pair of tiles, and of the head on PyTorch and on onnxruntime. The weights are random,
which does not affect the time.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, Optional

import torch
from torch import Tensor, nn

from ...backbones import frozen
from ...device import choose
from ...modules.lgcd import onnx as lgcd_onnx
from ...modules.lgcd.config import LgcdConfig
from ...modules.lgcd.network import LgcdHead
from ...modules.mmchange import onnx as mmchange_onnx
from ...modules.mmchange.config import MMChangeConfig
from ...modules.mmchange.network import MMChange
from ...modules.textscd import onnx as textscd_onnx
from ...modules.textscd.config import TextSCDConfig
from ...modules.textscd.network import TextSCD

#: Channels of words and sentences of CLIP ViT-B/16.
TEXT_WIDTH = 512
#: Tokens of a prompt of two nouns, with start and end tokens.
WORDS = 4


@dataclass
class Parts:
    """A system in two parts.

    Attributes:
        encoder: both dates (2, 3, H, W) -> maps (2, C_i, h_i, w_i).
        arguments: maps -> arguments of the head.
        result: index of the head's output in the ONNX file; None: all.
    """

    encoder: nn.Module
    head: nn.Module
    onnx: Any
    arguments: Callable[[list[Tensor]], Sequence[Any]]
    result: Optional[int] = None


def lgcd(settings: dict[str, Any], questions: int) -> Parts:
    """Return LG-CD with a number of phrases, alternating the order of the dates."""
    config = LgcdConfig.from_settings(settings)
    encoder = frozen.build(config.encoder, pretrained=False)
    head = LgcdHead(encoder.channels, TEXT_WIDTH, TEXT_WIDTH, config)
    first = torch.arange(questions) % 2
    asked = (
        first,
        1 - first,
        torch.randn(questions, WORDS, TEXT_WIDTH),
        torch.ones(questions, WORDS, dtype=torch.bool),
        torch.nn.functional.normalize(torch.randn(questions, TEXT_WIDTH)),
    )

    def arguments(maps: list[Tensor]) -> Sequence[Any]:
        return maps, *(part.to(maps[0].device) for part in asked)

    return Parts(encoder, head, lgcd_onnx, arguments, -1)


def mmchange(settings: dict[str, Any], _questions: int) -> Parts:
    """Return MMChange without a prompt, for both orders of the dates, as in the system."""
    config = MMChangeConfig.from_settings({"pretrained": False, **settings})
    model = MMChange(config)
    texts = torch.nn.functional.normalize(torch.randn(2, config.text_width))

    def arguments(maps: list[Tensor]) -> Sequence[Any]:
        described = texts.to(maps[0].device)
        return maps, [m.flip(0) for m in maps], described, described.flip(0)

    return Parts(model.encoder, model.head, mmchange_onnx, arguments, 0)


def textscd(settings: dict[str, Any], _questions: int) -> Parts:
    """Return TextSCD without a prompt; one pass answers all."""
    config = TextSCDConfig.from_settings({"pretrained": False, **settings})
    model = TextSCD(config)
    words = torch.randn(1, WORDS, config.text_width)

    def arguments(maps: list[Tensor]) -> Sequence[Any]:
        maps, place = maps[-4:], maps[0].device
        dates = [m[:1] for m in maps], [m[1:] for m in maps]
        return *dates, words.to(place), torch.ones(1, WORDS, device=place)

    return Parts(model.backbone, model.head, textscd_onnx, arguments)


SYSTEMS: dict[str, Callable[[dict[str, Any], int], Parts]] = {
    "lgcd": lgcd,
    "mmchange": mmchange,
    "textscd": textscd,
}


def measure(
    system: str,
    settings: dict[str, Any],
    tile: int,
    questions: int = 2,
    repeats: int = 5,
    device: str = "auto",
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, Any]:
    """Measure one pair of tiles.

    Args:
        system: one of :data:`SYSTEMS`.
        settings: the section ``model`` of a recipe.
        tile: side in pixels.
        questions: queries per pass, for a system that reads prompts.
        repeats: runs for the median, after one warm-up.
        device: see :func:`..device.choose`.
        clock: in seconds; use process time on a busy machine without a GPU.

    Returns:
        Medians in seconds, peak GPU memory in bytes, and the largest difference between the two
        heads; onnxruntime computes in fp32.
    """
    chosen = choose(device)
    torch.manual_seed(0)
    parts = SYSTEMS[system](settings, questions)
    encoder, head = parts.encoder.eval(), parts.head.eval()
    images = torch.rand(2, 3, tile, tile, device=chosen.name) * 255
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "head.onnx"
        parts.onnx.export(head, path)
        onnx = parts.onnx.OnnxHead(path, "", chosen.name)
    encoder, head = encoder.to(chosen.name), head.to(chosen.name)
    with torch.inference_mode(), chosen.autocast():
        given = parts.arguments(list(encoder(images)))
        seconds = {
            "encoder_s": _seconds(lambda: encoder(images), repeats, clock),
            "head_torch_s": _seconds(lambda: head(*given), repeats, clock),
            "head_onnx_s": _seconds(lambda: onnx(*given), repeats, clock),
        }
        answers = list(head(*given))
        kept = answers if parts.result is None else [answers[parts.result]]
        pairs = zip(kept, onnx(*given), strict=True)
        difference = max(float((a.float().cpu() - b).abs().max()) for a, b in pairs)
    memory = torch.cuda.max_memory_allocated() if chosen.name == "cuda" else None
    return {
        "system": system,
        "device": chosen.text,
        "settings": settings,
        "tile": tile,
        "questions": questions if system == "lgcd" else None,
        **{name: round(value, 4) for name, value in seconds.items()},
        "onnx_gain": round(seconds["head_torch_s"] / seconds["head_onnx_s"], 2),
        "difference": difference,
        "gpu_memory": memory,
    }


def _seconds(call: Callable[[], Any], repeats: int, clock: Callable[[], float]) -> float:
    """Return the median time of a call, including the GPU's work."""
    call()
    found = []
    for _ in range(repeats):
        _wait()
        start = clock()
        call()
        _wait()
        found.append(clock() - start)
    return median(found)


def _wait() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
