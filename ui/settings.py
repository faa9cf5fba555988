# SPDX-License-Identifier: GPL-3.0-or-later
"""The plugin's settings: one typed class over QgsSettings."""

from __future__ import annotations

from typing import Any, Optional

from qgis.core import QgsSettings

from ..engine.hosts.routing import AUTO

_PREFIX = "changescribe"
_HISTORY_LENGTH = 15
#: In place of a minimum area: the engine chooses. 0 is a choice: it keeps everything.
AUTOMATIC_AREA = -1.0

#: Offered below the history in the prompt's drop-down list.
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


class Settings:
    """Reads and writes the settings of the plugin in the user's QGIS profile."""

    def _get(self, key: str, default: Any, kind: type) -> Any:
        return QgsSettings().value(f"{_PREFIX}/{key}", default, type=kind)

    def _set(self, key: str, value: Any) -> None:
        # Qt stores a subclass of str, such as a text of the engine, as a Python object.
        value = str(value) if isinstance(value, str) else value
        QgsSettings().setValue(f"{_PREFIX}/{key}", value)

    @property
    def prompt_history(self) -> list[str]:
        """Prompts of past runs, the latest first."""
        # A list of one string comes back as a string from an INI file.
        stored = QgsSettings().value(f"{_PREFIX}/prompt_history", []) or []
        if isinstance(stored, str):
            stored = [stored]
        return [str(text) for text in stored if str(text).strip()]

    def remember_prompt(self, prompt: str) -> None:
        """Put a prompt at the head of the history."""
        rest = [text for text in self.prompt_history if text.lower() != prompt.lower()]
        self._set("prompt_history", [prompt, *rest][:_HISTORY_LENGTH])

    @property
    def system(self) -> str:
        """Name of the system chosen last, or an empty text."""
        return self._get("system", "", str)

    @system.setter
    def system(self, name: str) -> None:
        self._set("system", name)

    @property
    def device(self) -> str:
        """``"auto"``, ``"cpu"`` or ``"cuda"``."""
        return self._get("device", "auto", str)

    @device.setter
    def device(self, name: str) -> None:
        self._set("device", name)

    @property
    def host(self) -> str:
        """Where PyTorch systems run: a mode of :mod:`..engine.routing`, ``"auto"`` by default."""
        return self._get("host", AUTO, str)

    @host.setter
    def host(self, mode: str) -> None:
        self._set("host", mode)

    @property
    def worker_python(self) -> str:
        """Python program of the worker process, or an empty text: found by itself."""
        return self._get("worker_python", "", str)

    @worker_python.setter
    def worker_python(self, path: str) -> None:
        self._set("worker_python", path)

    @property
    def environment_python(self) -> str:
        """Python program that the environment for PyTorch is made with; empty: QGIS's own."""
        return self._get("environment_python", "", str)

    @environment_python.setter
    def environment_python(self, path: str) -> None:
        self._set("environment_python", path)

    @property
    def weights_folder(self) -> str:
        """Folder of model weights, or an empty text: the environment's, or the usual one."""
        return self._get("weights_folder", "", str)

    @weights_folder.setter
    def weights_folder(self, folder: str) -> None:
        self._set("weights_folder", folder)

    @property
    def competing(self) -> str:
        """The user's list of competing classes, or an empty text: the system's own."""
        return self._get("competing", "", str)

    @competing.setter
    def competing(self, names: str) -> None:
        self._set("competing", names)

    @property
    def threshold(self) -> float:
        """Scores from here on count as change."""
        return self._get("threshold", 0.5, float)

    @threshold.setter
    def threshold(self, value: float) -> None:
        self._set("threshold", value)

    @property
    def min_area(self) -> float:
        """Smallest region in m2; :data:`AUTOMATIC_AREA` leaves it to the engine."""
        return self._get("smallest_area", AUTOMATIC_AREA, float)

    @min_area.setter
    def min_area(self, value: float) -> None:
        self._set("smallest_area", value)

    @property
    def output_folder(self) -> str:
        """Folder for results, or an empty text: beside the earlier layer."""
        return self._get("output_folder", "", str)

    @output_folder.setter
    def output_folder(self, folder: str) -> None:
        self._set("output_folder", folder)

    @property
    def captions_shown(self) -> bool:
        """Show the captions of a new run on the map."""
        return self._get("captions_shown", True, bool)

    @captions_shown.setter
    def captions_shown(self, shown: bool) -> None:
        self._set("captions_shown", shown)

    @property
    def caption_system(self) -> str:
        """Name of the system that writes captions, or an empty text: the facts alone."""
        return self._get("caption_system", "", str)

    @caption_system.setter
    def caption_system(self, name: str) -> None:
        self._set("caption_system", name)

    @property
    def caption_levels(self) -> tuple[str, ...]:
        """What captions are about: regions, tiles, scene."""
        return tuple(filter(None, self._get("caption_levels", "regions", str).split(",")))

    @caption_levels.setter
    def caption_levels(self, levels: tuple[str, ...]) -> None:
        self._set("caption_levels", ",".join(levels))

    @property
    def export_folder(self) -> str:
        """Folder of the last export, or an empty text."""
        return self._get("export_folder", "", str)

    @export_folder.setter
    def export_folder(self, folder: str) -> None:
        self._set("export_folder", folder)

    def speed(self, system: str) -> Optional[float]:
        """Pixels per second that a system reached on this machine; None before its first run."""
        value = self._get(f"speed/{system}", 0.0, float)
        return value if value > 0 else None

    def remember_speed(self, system: str, pixels_per_second: float) -> None:
        """Store a measured speed, smoothed with the one known so far."""
        if pixels_per_second <= 0:
            return
        known = self.speed(system)
        value = pixels_per_second if known is None else (known + pixels_per_second) / 2
        self._set(f"speed/{system}", value)

    def measured_device(self, system: str, chosen: str) -> str:
        """What a system's last run with a choice of device really used, and why; or empty."""
        return self._get(f"device_used/{system}/{chosen}", "", str)

    def remember_device(self, system: str, chosen: str, used: str) -> None:
        """Store the device that a run really used."""
        self._set(f"device_used/{system}/{chosen}", used)
