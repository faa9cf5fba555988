# SPDX-License-Identifier: GPL-3.0-or-later
"""Trainable weights of a bundled model, read back from its ONNX files.

The export folds batch normalisation into the convolutions. Here every folded convolution gets a
batch normalisation again: its mean and variance are measured on sample images, and its scale and
shift cancel them. The model computes the same as the files, and can be trained further.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from ..errors import InputError, WeightsError
from ..modules.bundled.network import ChangeModel, ModelConfig
from ..weights.loading import save_head
from .scenes.sources import read_rgb
from .texts import TrainingTexts
from .trainer import WEIGHTS

#: Sizes of the shipped model.
SHIPPED = {"backbone": "mobilenet_v2", "width": 64, "detail": 32, "pretrained": False, "frozen": 0}
#: Side in pixels of the window read from each sample image.
_SIDE = 512
_LAYERS = (nn.Conv2d, nn.Linear, nn.BatchNorm2d)


def write_run(models: Path, pairs: Path, out: Path) -> Path:
    """Write the weights of a model folder as the result of a training run.

    Args:
        models: folder with ``encoder.onnx`` and ``head.onnx`` of the shipped sizes.
        pairs: folder with ``before/`` and ``after/``, rasters of the same names in both, similar
            to the imagery to train on.
        out: folder of the run, for ``start_from`` of a recipe.

    Raises:
        InputError: there are no pairs.
        WeightsError: the files are missing or belong to another model.
    """
    model = load_onnx(models, sample_pairs(pairs), ModelConfig(**SHIPPED))
    out.mkdir(parents=True, exist_ok=True)
    path = out / WEIGHTS
    save_head(model.state_dict(), path, {"system": "bundled", "config": SHIPPED})
    return path


def sample_pairs(folder: Path, count: int = 8) -> list[np.ndarray]:
    """Return the upper left corners of evenly spaced pairs as (2, H, W, 3) uint8 each."""
    names = sorted(p.name for p in (folder / "before").glob("*") if p.suffix != ".xml")
    pairs = []
    for name in names[:: max(1, len(names) // count)][:count]:
        images = [read_rgb(folder / date / name)[:_SIDE, :_SIDE] for date in ("before", "after")]
        height, width = (side // 32 * 32 for side in images[0].shape[:2])
        if height and width and images[0].shape == images[1].shape:
            pairs.append(np.stack(images)[:, :height, :width])
    if not pairs:
        raise InputError(TrainingTexts.no_shipped_pairs(folder=folder))
    return pairs


def load_onnx(folder: Path, pairs: Sequence[np.ndarray], config: ModelConfig) -> ChangeModel:
    """Return the model of ``encoder.onnx`` and ``head.onnx``, in evaluation mode.

    Args:
        folder: of the files.
        pairs: images for the batch-norm statistics, each (2, H, W, 3) uint8, H and W multiples
            of 32.
        config: sizes of the model.

    Raises:
        WeightsError: the files are missing or belong to a model of other sizes.
    """
    model = ChangeModel(config).eval()
    images = [torch.from_numpy(pair).permute(0, 3, 1, 2).float() for pair in pairs]
    sentence = nn.functional.normalize(torch.ones(1, config.text_width))
    with torch.no_grad():
        for part in ("encoder", "head"):
            names = [n for n in _call_order(model, images[0], sentence) if n.startswith(part)]
            _fill(model, names, folder / f"{part}.onnx")
        _restore_statistics(model, images, sentence)
    return model


def _call_order(model: ChangeModel, pair: Tensor, sentence: Tensor) -> list[str]:
    """Return the names of the layers with weights, in call order."""
    names = {module: name for name, module in model.named_modules()}
    order: dict[str, None] = {}  # the encoder is called twice
    hooks = [
        layer.register_forward_hook(lambda called, *_: order.setdefault(names[called]))
        for layer in model.modules()
        if isinstance(layer, _LAYERS)
    ]
    model(pair[:1], pair[1:], sentence)
    for hook in hooks:
        hook.remove()
    return list(order)


def _fill(model: ChangeModel, names: Sequence[str], path: Path) -> None:
    """Copy the weights of a file into layers given in the same order."""
    nodes, values = _read(path)
    layers = [model.get_submodule(name) for name in names]
    for position, layer in enumerate(layers):
        if isinstance(layer, nn.BatchNorm2d):
            continue
        weight, bias = next(nodes, (np.empty(0), None))
        if tuple(layer.weight.shape) != weight.shape:
            raise WeightsError(TrainingTexts.other_sizes(file=path.name))
        layer.weight.copy_(torch.from_numpy(weight.astype(np.float32)))
        if bias is None:
            continue
        shift = torch.from_numpy(bias.astype(np.float32))
        if layer.bias is not None:
            layer.bias.copy_(shift)
        else:  # folded: the following batch normalisation only shifts its input
            norm = layers[position + 1]
            norm.bias.copy_(shift)
            norm.weight.fill_(1.0)
            norm.running_mean.zero_()
            norm.running_var.fill_(1.0 - norm.eps)
    for name, parameter in model.named_parameters():
        if parameter.ndim == 0 and name in values:
            parameter.fill_(float(values[name]))


def _read(
    path: Path,
) -> tuple[Iterator[tuple[np.ndarray, np.ndarray | None]], dict[str, np.ndarray]]:
    """Return weight and bias of each convolution and linear layer in order, and all values."""
    import onnx
    from onnx import numpy_helper

    try:
        graph = onnx.load(str(path)).graph
    except Exception as error:  # from onnx, protobuf or the file system
        raise WeightsError(TrainingTexts.onnx_unreadable(path=path), details=str(error)) from error
    values = {i.name: numpy_helper.to_array(i) for i in graph.initializer}
    # Large weights are stored as fp16 and cast back.
    casts = {n.output[0]: n.input[0] for n in graph.node if n.op_type == "Cast"}
    values.update({name: values[source] for name, source in casts.items() if source in values})
    layers = (
        (values[node.input[1]], values.get(node.input[2]) if len(node.input) > 2 else None)
        for node in graph.node
        if node.op_type in {"Conv", "Gemm"} and node.input[1] in values
    )
    return layers, values


def _restore_statistics(model: ChangeModel, images: Sequence[Tensor], sentence: Tensor) -> None:
    """Set every batch normalisation to the statistics of its input, and cancel them."""
    moments: dict[nn.BatchNorm2d, list[Tensor]] = {}

    def measure(norm: nn.BatchNorm2d, inputs: tuple[Tensor, ...], _: Tensor) -> None:
        values = inputs[0].transpose(0, 1).flatten(1)
        both = torch.stack([values.mean(1), values.square().mean(1)])
        moments.setdefault(norm, []).append(both)

    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
    hooks = [norm.register_forward_hook(measure) for norm in norms]
    for pair in images:
        model(pair[:1], pair[1:], sentence)
    for hook in hooks:
        hook.remove()
    for norm, measured in moments.items():
        mean, square = torch.stack(measured).mean(0)
        variance = (square - mean.square()).clamp(min=1e-6)
        norm.running_mean.copy_(mean)
        norm.running_var.copy_(variance)
        norm.weight.copy_((variance + norm.eps).sqrt())
        norm.bias.add_(mean)
