# SPDX-License-Identifier: GPL-3.0-or-later
"""Low-rank adapters (LoRA) in the attention of a transformer, with the package peft."""

from __future__ import annotations

from torch import nn

from ..errors import InputError, missing_package
from .texts import BackbonesTexts

#: Names of the layers that make queries, keys and values, in the libraries' transformers.
_TARGETS = (
    "qkv",
    "query",
    "key",
    "value",
    "q_proj",
    "k_proj",
    "v_proj",
    "qkv_proj",
    "c_attn",
    "query_key_value",
    "Wqkv",
)


def add(model: nn.Module, rank: int, alpha: int, dropout: float) -> None:
    """Put adapters into a transformer, in place; they alone learn, and begin without effect.

    Args:
        model: of any library whose attention has one of the usual names.
        rank: of the adapters.
        alpha: their output is scaled by alpha / rank.
        dropout: of what they read.

    Raises:
        DependencyError: peft is not installed.
        InputError: the model has no layer of such a name.
    """
    try:
        from peft import LoraConfig, inject_adapter_in_model
    except ImportError as error:
        text = BackbonesTexts.needs_package(what="This model", package="peft")
        raise missing_package(text, error) from error
    last = {name.rpartition(".")[2] for name, part in model.named_modules() if _has_weight(part)}
    found = [name for name in _TARGETS if name in last]
    if not found:
        raise InputError(BackbonesTexts.no_attention())
    settings = LoraConfig(
        r=rank, lora_alpha=alpha, lora_dropout=dropout, bias="none", target_modules=found
    )
    inject_adapter_in_model(settings, model)
    for name, value in model.named_parameters():
        value.requires_grad_("lora_" in name)
        if "lora_" in name:
            value.data = value.data.float()  # they learn in single precision, whatever the model


def _has_weight(part: nn.Module) -> bool:
    """Whether a module is a layer of its own, in four bits too."""
    return getattr(part, "weight", None) is not None and not list(part.children())
