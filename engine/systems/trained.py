# SPDX-License-Identifier: GPL-3.0-or-later
"""What the systems have in common whose weights "changescribe train" has made."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Any, Callable, Optional

from ..device import Device, choose
from ..errors import InputError, WeightsError
from ..weights import files, loading
from ..weights.store import WeightsStore
from .base import ChangeSystem

if TYPE_CHECKING:
    from pathlib import Path

_NOT_LOADED = "not loaded"


class TrainedSystem(ChangeSystem):
    """A system with weights of the user in the store; another file may be imported at any time.

    Subclasses name it, and open its parts.

    Args:
        store: of weights; None is the usual place.

    Attributes:
        label: the paper's name.
        head: entry of the catalogue of weights.
        settings: class of its settings, with ``from_settings``.
    """

    label: str
    head: str
    settings: Any

    def __init__(self, store: Optional[WeightsStore] = None) -> None:
        self._store = store
        self._wanted_device = ""
        #: Of the trained file that is loaded.
        self._stamp: Optional[tuple[int, int]] = None
        self._used: Optional[Device] = None
        self._device = _NOT_LOADED

    @abstractmethod
    def _open(self, path: Path, store: WeightsStore, device: Device) -> str:
        """Open all parts, on a device.

        Args:
            path: of the trained file, verified.
            store: of weights.
            device: to compute on.

        Returns:
            The device in words, and what else runs where.
        """

    @abstractmethod
    def _close(self) -> None:
        """Free all parts."""

    def _stored(self) -> WeightsStore:
        return self._store or WeightsStore()

    def _trained(self) -> tuple[Any, Optional[int], str]:
        """Return settings, side of the training crops and revision; the defaults without a file."""
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
            # What is wrong with the file is said when it is loaded.
            return self.settings(), None, "not trained"

    def load(self, device: str = "auto") -> None:
        """Load what is not loaded yet, or for another device; see the base class."""
        store = self._stored()
        stamp = store.stamp(self.head)
        if self._used is not None and (device, stamp) == (self._wanted_device, self._stamp):
            return
        store.require(self.label, self.info.weights)
        chosen = choose(device)
        path = store.path(self.head)
        self.unload()  # what was loaded before needs the memory no longer
        self._device = self._open(path, store, chosen)
        self._used, self._wanted_device, self._stamp = chosen, device, stamp

    def _in_use(self) -> Device:
        """Return the device in use; what is not loaded is."""
        if self._used is None:
            self.load(self._wanted_device or "auto")
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
        self._device = _NOT_LOADED


def head_in_use(
    path: Path, head: Any, exported: Callable[[Path, str, str], Any], device: Device, part: str
) -> tuple[Any, str]:
    """Return a head to compute with: its ONNX file where there is one, else the one of torch.

    Args:
        path: of the trained file; the ONNX file beside it was made from it, which is checked.
        head: torch module.
        exported: opens an ONNX file, given its path, the SHA-256 of the trained file and a device.
        device: to compute on.
        part: what the ONNX file has, in words.

    Returns:
        The head, and the device in words.
    """
    onnx = path.with_suffix(".onnx")
    if onnx.is_file():
        opened = exported(onnx, files.sha256_of(path), device.name)
        return opened, f"{device.text}; {part} on onnxruntime"
    return head.to(device.name), device.text
