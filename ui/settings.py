# SPDX-License-Identifier: GPL-3.0-or-later
"""The plugin's settings, as typed properties over QgsSettings."""

from __future__ import annotations

from typing import Any, Generic, Optional, TypeVar

from qgis.core import QgsSettings

from ..engine.hosts.routing import AUTO
from ..engine.paths import MEMORY_GB as DEFAULT_GB

_PREFIX = "changescribe"
_HISTORY_LENGTH = 15
#: Stands for a minimum area chosen by the engine; 0 keeps everything.
AUTOMATIC_AREA = -1.0

#: Offered below the history in the drop-down list of the prompt.
PROMPT_PRESETS: tuple[str, ...] = (
    "buildings built",
    "roads built",
    "buildings demolished",
    "trees cleared",
    "new roads and new buildings",
    "trees replaced by buildings",
    "water appeared",
    "bare ground appeared",
    "anything changed",
)


def _get(key: str, default: Any, kind: type) -> Any:
    return QgsSettings().value(f"{_PREFIX}/{key}", default, type=kind)


def _set(key: str, value: Any) -> None:
    # Qt stores a subclass of str, such as a text of the engine, as a Python object.
    value = str(value) if isinstance(value, str) else value
    QgsSettings().setValue(f"{_PREFIX}/{key}", value)


def _speed_key(system: str, remembered: bool) -> str:
    return f"{'speed_remembered' if remembered else 'speed'}/{system}"


T = TypeVar("T", str, float, bool)


class _Setting(Generic[T]):
    """A value under a key of QgsSettings, of the type of its default."""

    def __init__(self, key: str, default: T) -> None:
        self._key = key
        self._default: T = default

    def __get__(self, instance: object, owner: object = None) -> T:
        return _get(self._key, self._default, type(self._default))

    def __set__(self, instance: object, value: T) -> None:
        _set(self._key, value)


class Settings:
    """Settings of the plugin in the user's QGIS profile."""

    #: Name of the last system chosen, or empty.
    system = _Setting("system", "")
    #: ``"auto"``, ``"cpu"`` or ``"cuda"``.
    device = _Setting("device", "auto")
    #: A value of ``ALIGN_MODES`` in :mod:`..engine.request`.
    align = _Setting("align", "report")
    #: Where PyTorch systems run: a mode of :mod:`..engine.hosts.routing`.
    host = _Setting("host", AUTO)
    #: Python executable of the worker process; empty to search for one.
    worker_python = _Setting("worker_python", "")
    #: Python executable that creates the environment for PyTorch; empty for QGIS's own.
    environment_python = _Setting("environment_python", "")
    #: Folder of model weights; empty for the default.
    weights_folder = _Setting("weights_folder", "")
    #: The user's competing classes, separated by commas; empty for the system's own.
    competing = _Setting("competing", "")
    #: Minimum score that counts as change.
    threshold = _Setting("threshold", 0.5)
    #: Minimum area of a region in m2, or :data:`AUTOMATIC_AREA`.
    min_area = _Setting("smallest_area", AUTOMATIC_AREA)
    #: Folder for results; empty for one per project.
    output_folder = _Setting("output_folder", "")
    #: Whether captions of a new run are shown on the map.
    captions_shown = _Setting("captions_shown", True)
    #: Name of the system that writes captions; empty for facts only.
    caption_system = _Setting("caption_system", "")
    #: Maximum size in GB of what is remembered of pairs; 0 keeps nothing.
    memory_gb = _Setting("memory_gb", DEFAULT_GB)
    #: Folder of the last export, or empty.
    export_folder = _Setting("export_folder", "")

    @property
    def prompt_history(self) -> list[str]:
        """Prompts of past runs, latest first."""
        # INI files return a list of one string as a string.
        stored = QgsSettings().value(f"{_PREFIX}/prompt_history", []) or []
        if isinstance(stored, str):
            stored = [stored]
        return [str(text) for text in stored if str(text).strip()]

    def remember_prompt(self, prompt: str) -> None:
        """Put a prompt first in the history."""
        rest = [text for text in self.prompt_history if text.lower() != prompt.lower()]
        _set("prompt_history", [prompt, *rest][:_HISTORY_LENGTH])

    @property
    def caption_levels(self) -> tuple[str, ...]:
        """What is captioned: "regions", "tiles", "scene"."""
        return tuple(filter(None, _get("caption_levels", "regions", str).split(",")))

    @caption_levels.setter
    def caption_levels(self, levels: tuple[str, ...]) -> None:
        _set("caption_levels", ",".join(levels))

    def speed(self, system: str, *, remembered: bool = False) -> Optional[float]:
        """Measured speed of a system in pixels per second; None before its first run.

        ``remembered``: with pairs that are remembered.
        """
        value = _get(_speed_key(system, remembered), 0.0, float)
        return value if value > 0 else None

    def remember_speed(
        self, system: str, pixels_per_second: float, *, remembered: bool = False
    ) -> None:
        """Store a measured speed, averaged with the previous value."""
        if pixels_per_second <= 0:
            return
        known = self.speed(system, remembered=remembered)
        value = pixels_per_second if known is None else (known + pixels_per_second) / 2
        _set(_speed_key(system, remembered), value)

    def measured_device(self, system: str, chosen: str) -> str:
        """Device used by the last run of a system with this choice, and why; or empty."""
        return _get(f"device_used/{system}/{chosen}", "", str)

    def remember_device(self, system: str, chosen: str, used: str) -> None:
        """Store the device that a run used."""
        _set(f"device_used/{system}/{chosen}", used)
