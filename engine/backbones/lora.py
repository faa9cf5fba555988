# SPDX-License-Identifier: GPL-3.0-or-later
"""Low-rank adapters (LoRA) in the attention of a transformer, with the package peft."""

from __future__ import annotations

from torch import nn

from ..errors import InputError, missing_package
from .texts import BackbonesTexts

#: Names of the query, key and value layers in the transformers of common libraries.
_TARGETS = ("qkv query key value q_proj k_proj v_proj qkv_proj c_attn query_key_value Wqkv").split()


def add(model: nn.Module, rank: int, alpha: int, dropout: float) -> None:
    """Insert adapters into a transformer in place and freeze everything else.

    The adapters start at zero, so the output does not change.

    Args:
        model: transformer whose attention layers have one of the common names.
        rank: rank of the adapters.
        alpha: the output of an adapter is scaled by alpha / rank.
        dropout: rate at the input of the adapters.

    Raises:
        DependencyError: peft is not installed.
        InputError: the model has no layer with such a name.
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
            value.data = value.data.float()  # trained in single precision


def _has_weight(part: nn.Module) -> bool:
    """Return whether a module is a single layer with weights, quantised ones included."""
    return getattr(part, "weight", None) is not None and not list(part.children())
