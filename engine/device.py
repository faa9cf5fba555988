# SPDX-License-Identifier: GPL-3.0-or-later
"""Which device PyTorch systems run on, in which precision, and why."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from .errors import missing_package

#: Compute capability of the first NVIDIA cards with bfloat16 arithmetic (Ampere).
_BFLOAT16_CAPABILITY = (8, 0)


@dataclass(frozen=True)
class Device:
    """Where and how a PyTorch system computes.

    Attributes:
        name: torch's name, ``"cuda"`` or ``"cpu"``.
        precision: name of torch's type for autocast: ``"bfloat16"``, ``"float16"`` or
            ``"float32"``, which is no autocast.
        text: for the user, such as "CUDA (NVIDIA L4, 24 GB), bfloat16".
    """

    name: str
    precision: str
    text: str

    def autocast(self) -> Any:
        """Return the context in which to compute; single precision where that is the choice."""
        import torch

        wanted = getattr(torch, self.precision)
        return torch.autocast(self.name, dtype=wanted, enabled=wanted is not torch.float32)


def choose(wanted: str = "auto") -> Device:
    """Choose a device for PyTorch.

    Args:
        wanted: ``"auto"`` or ``"cuda"``: a GPU where torch finds one; ``"cpu"``.

    Raises:
        DependencyError: torch is not installed.
    """
    try:
        import torch
    except ImportError as error:
        raise missing_package(
            "This system needs PyTorch, which is not installed here.", error
        ) from error
    if wanted != "cpu" and torch.cuda.is_available():
        properties = torch.cuda.get_device_properties(0)
        enough = (properties.major, properties.minor) >= _BFLOAT16_CAPABILITY
        precision = "bfloat16" if enough else "float16"
        memory = f"{properties.total_memory / 1e9:.0f} GB"
        return Device("cuda", precision, f"CUDA ({properties.name}, {memory}), {precision}")
    threads = torch.get_num_threads()
    reason = "as chosen" if wanted == "cpu" else "PyTorch finds no CUDA device"
    plural = "s" if threads > 1 else ""
    return Device("cpu", "float32", f"CPU ({threads} thread{plural}): {reason}")
