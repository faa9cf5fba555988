# SPDX-License-Identifier: GPL-3.0-or-later
"""Base of the systems whose weights are made by "changescribe train"."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Any, Callable, Optional

from ..device import Device, choose
from ..errors import InputError, WeightsError
from ..weights import files, loading
from ..weights.store import WeightsStore
from .base import ChangeSystem
from .texts import SystemsTexts

if TYPE_CHECKING:
    from pathlib import Path


class TrainedSystem(ChangeSystem):
    """A system with trained weights in the store; another file may be imported at any time.

    Args:
        store: of weights; None is the usual place.

    Attributes:
        label: the paper's name.
        head: entry of the trained file in the catalogue of weights.
        settings: class of the settings, with ``from_settings``.
    """

    label: str
    head: str
    settings: Any

    def __init__(self, store: Optional[WeightsStore] = None) -> None:
        self._store = store
        self._requested_device = ""
        #: Stamp of the trained file that is loaded.
        self._stamp: Optional[tuple[int, int]] = None
        self._used: Optional[Device] = None
        self._device: str = SystemsTexts.not_loaded()

    @abstractmethod
    def _open(self, path: Path, store: WeightsStore, device: Device) -> str:
        """Open all parts of a verified trained file; return the device in use, for the user."""

    @abstractmethod
    def _close(self) -> None:
        """Free all parts."""

    def _stored(self) -> WeightsStore:
        return self._store or WeightsStore()

    def _trained(self) -> tuple[Any, Optional[int], str]:
        """Return settings, side of the training crops and revision; defaults without a file."""
        store = self._stored()
        try:
            metadata = loading.head_metadata(store.location(store.entry(self.head)))
            config = self.settings.from_settings(metadata["config"])
            recipe = metadata["recipe"]
            crop = recipe.get("crop")
            return (
                config,
                None if crop is None else int(crop),
                f"{recipe['name']}, step {metadata['step']}",
            )
        except (WeightsError, InputError, KeyError, TypeError, ValueError):
            # Loading it reports what is wrong with the file.
            return self.settings(), None, "not trained"

    def load(self, device: str = "auto") -> None:
        """Load the weights, also if the file or the device has changed; see the base class."""
        store = self._stored()
        stamp = store.stamp(self.head)
        if self._used is not None and (device, stamp) == (self._requested_device, self._stamp):
            return
        store.require(self.label, self.info.weights)
        chosen = choose(device)
        path = store.path(self.head)
        self.unload()  # frees the memory before the new weights need it
        self._device = self._open(path, store, chosen)
        self._used, self._requested_device, self._stamp = chosen, device, stamp

    def _in_use(self) -> Device:
        """Return the device in use, after loading the weights if necessary."""
        if self._used is None:
            self.load(self._requested_device or "auto")
        if self._used is None:
            raise RuntimeError("load chose no device")
        return self._used

    @property
    def device(self) -> str:
        """The device in use and why."""
        return self._device

    def unload(self) -> None:
        """Free all parts."""
        self._close()
        self._used = None
        self._device = SystemsTexts.not_loaded()


def head_in_use(
    path: Path, head: Any, exported: Callable[[Path, str, str], Any], device: Device, part: str
) -> tuple[Any, str]:
    """Return the head, its ONNX file if there is one, else the module; and the device in use.

    Args:
        path: the trained file; the ONNX file beside it must be made from it.
        head: torch module.
        exported: opens an ONNX file, given its path, the SHA-256 of the trained file and a device.
        device: to compute on.
        part: what the ONNX file contains, for the user.
    """
    onnx = path.with_suffix(".onnx")
    if onnx.is_file():
        opened = exported(onnx, files.sha256_of(path), device.name)
        return opened, SystemsTexts.on_onnxruntime(device=device.text, part=part)
    return head.to(device.name), device.text
