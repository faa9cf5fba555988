# SPDX-License-Identifier: GPL-3.0-or-later
"""What LG-CD's parts cost, and what its head gains on onnxruntime.

``python -m changescribe.engine.evaluation.lgcd_heads [--encoder NAME] [--tile N] ...`` prints
one line of JSON: seconds of the encoder for a pair of tiles, and of the head for all questions
about it, on PyTorch and on onnxruntime. The weights are random, which does not change the time.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import torch

from ..backbones import frozen, names
from ..device import choose
from ..modules.lgcd import LgcdHead
from ..modules.lgcd_config import LgcdConfig
from ..modules.lgcd_onnx import OnnxHead, export

#: Of CLIP ViT-B/16: channels of a word and of a sentence.
TEXT_WIDTH = 512
#: Words of a prompt of two nouns, with the signs of beginning and end.
WORDS = 4


def measure(
    config: LgcdConfig,
    tile: int,
    questions: int,
    repeats: int,
    device: str = "auto",
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, Any]:
    """Measure one pair of tiles.

    Args:
        config: sizes, and the encoder.
        tile: side in pixels.
        questions: answered in one pass of the head.
        repeats: medians are taken over so many, after one that does not count.
        device: see :func:`..device.choose`.
        clock: in seconds; that of the process's own time on a busy machine without a GPU.

    Returns:
        Medians in seconds, peak GPU memory in bytes, and the largest difference of the two
        heads' logits, which are computed in single precision on onnxruntime.
    """
    chosen = choose(device)
    torch.manual_seed(0)
    encoder = frozen.build(config.encoder, pretrained=False)
    head = LgcdHead(encoder.channels, TEXT_WIDTH, TEXT_WIDTH, config).eval()
    text = (
        torch.randn(questions, WORDS, TEXT_WIDTH),
        torch.ones(questions, WORDS, dtype=torch.bool),
        torch.nn.functional.normalize(torch.randn(questions, TEXT_WIDTH)),
    )
    first = torch.arange(questions) % 2
    inputs = [part.to(chosen.name) for part in (first, 1 - first, *text)]
    images = torch.rand(2, 3, tile, tile, device=chosen.name) * 255
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "head.onnx"
        export(head, path)
        onnx = OnnxHead(path, "", chosen.name)
    encoder, head = encoder.to(chosen.name), head.to(chosen.name)
    with torch.inference_mode(), chosen.autocast():
        features = encoder(images)
        seconds = {
            "encoder_s": _seconds(lambda: encoder(images), repeats, clock),
            "head_torch_s": _seconds(lambda: head(features, *inputs), repeats, clock),
            "head_onnx_s": _seconds(lambda: onnx(features, *inputs), repeats, clock),
        }
        difference = head(features, *inputs)[-1].float().cpu() - onnx(features, *inputs)[-1]
    memory = torch.cuda.max_memory_allocated() if chosen.name == "cuda" else None
    return {
        "device": chosen.text,
        "encoder": names.title(config.encoder),
        "tile": tile,
        "questions": questions,
        **{name: round(value, 4) for name, value in seconds.items()},
        "onnx_gain": round(seconds["head_torch_s"] / seconds["head_onnx_s"], 2),
        "difference": float(difference.abs().max()),
        "gpu_memory": memory,
    }


def _seconds(call: Callable[[], Any], repeats: int, clock: Callable[[], float]) -> float:
    """Return the median time of a call, the GPU's work included."""
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


def main() -> None:
    """Measure as the arguments say."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--encoder", default=LgcdConfig.encoder, choices=names.encoders())
    parser.add_argument("--tile", type=int, default=512)
    parser.add_argument("--questions", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--width", type=int, default=LgcdConfig.width)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--cpu-time", action="store_true", help="for a busy machine without a GPU")
    chosen = parser.parse_args()
    clock = time.process_time if chosen.cpu_time else time.perf_counter
    config = LgcdConfig(encoder=chosen.encoder, width=chosen.width)
    figures = measure(
        config, chosen.tile, chosen.questions, chosen.repeats, chosen.device, clock
    )
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
