# SPDX-License-Identifier: GPL-3.0-or-later
"""Which device PyTorch systems run on, in which precision, and why."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from .errors import missing_package
from .messages import Message

#: Compute capability of the first NVIDIA cards with bfloat16 arithmetic (Ampere).
_BFLOAT16_CAPABILITY = (8, 0)


class DeviceTexts:
    """Texts for the user about the device of a PyTorch system."""

    no_torch = Message("This system needs PyTorch, which is not installed here.")
    cuda = Message("CUDA ({card}, {memory} GB), {precision}")
    cpu = Message("CPU ({threads}): {reason}")
    thread = Message("1 thread")
    threads = Message("{count} threads")
    as_chosen = Message("as chosen")
    no_cuda = Message("PyTorch finds no CUDA device")


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
        """Return the context to compute in; it does nothing in single precision."""
        import torch

        dtype = getattr(torch, self.precision)
        return torch.autocast(self.name, dtype=dtype, enabled=dtype is not torch.float32)


def choose(device: str = "auto") -> Device:
    """Choose a device for PyTorch: for "auto" and "cuda" a GPU if torch finds one.

    Raises:
        DependencyError: torch is not installed.
    """
    try:
        import torch
    except ImportError as error:
        raise missing_package(DeviceTexts.no_torch(), error) from error
    if device != "cpu" and torch.cuda.is_available():
        properties = torch.cuda.get_device_properties(0)
        has_bfloat16 = (properties.major, properties.minor) >= _BFLOAT16_CAPABILITY
        precision = "bfloat16" if has_bfloat16 else "float16"
        memory = f"{properties.total_memory / 1e9:.0f}"
        text = DeviceTexts.cuda(card=properties.name, memory=memory, precision=precision)
        return Device("cuda", precision, text)
    count = torch.get_num_threads()
    threads = DeviceTexts.thread() if count == 1 else DeviceTexts.threads(count=count)
    reason = DeviceTexts.as_chosen() if device == "cpu" else DeviceTexts.no_cuda()
    return Device("cpu", "float32", DeviceTexts.cpu(threads=threads, reason=reason))
