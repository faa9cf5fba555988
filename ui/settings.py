# SPDX-License-Identifier: GPL-3.0-or-later
"""The plugin's settings, as typed properties over QgsSettings."""

from __future__ import annotations

from typing import Any, Optional

from qgis.core import QgsSettings

from ..engine.hosts.routing import AUTO

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


class Settings:
    """Settings of the plugin in the user's QGIS profile."""

    def _get(self, key: str, default: Any, kind: type) -> Any:
        return QgsSettings().value(f"{_PREFIX}/{key}", default, type=kind)

    def _set(self, key: str, value: Any) -> None:
        # Qt stores a subclass of str, such as a text of the engine, as a Python object.
        value = str(value) if isinstance(value, str) else value
        QgsSettings().setValue(f"{_PREFIX}/{key}", value)

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
        self._set("prompt_history", [prompt, *rest][:_HISTORY_LENGTH])

    @property
    def system(self) -> str:
        """Name of the last system chosen, or empty."""
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
        """Where PyTorch systems run: a mode of :mod:`..engine.hosts.routing`."""
        return self._get("host", AUTO, str)

    @host.setter
    def host(self, mode: str) -> None:
        self._set("host", mode)

    @property
    def worker_python(self) -> str:
        """Python executable of the worker process; empty to search for one."""
        return self._get("worker_python", "", str)

    @worker_python.setter
    def worker_python(self, path: str) -> None:
        self._set("worker_python", path)

    @property
    def environment_python(self) -> str:
        """Python executable that creates the environment for PyTorch; empty for QGIS's own."""
        return self._get("environment_python", "", str)

    @environment_python.setter
    def environment_python(self, path: str) -> None:
        self._set("environment_python", path)

    @property
    def weights_folder(self) -> str:
        """Folder of model weights; empty for the default."""
        return self._get("weights_folder", "", str)

    @weights_folder.setter
    def weights_folder(self, folder: str) -> None:
        self._set("weights_folder", folder)

    @property
    def competing(self) -> str:
        """The user's competing classes, separated by commas; empty for the system's own."""
        return self._get("competing", "", str)

    @competing.setter
    def competing(self, names: str) -> None:
        self._set("competing", names)

    @property
    def threshold(self) -> float:
        """Minimum score that counts as change."""
        return self._get("threshold", 0.5, float)

    @threshold.setter
    def threshold(self, value: float) -> None:
        self._set("threshold", value)

    @property
    def min_area(self) -> float:
        """Minimum area of a region in m2, or :data:`AUTOMATIC_AREA`."""
        return self._get("smallest_area", AUTOMATIC_AREA, float)

    @min_area.setter
    def min_area(self, value: float) -> None:
        self._set("smallest_area", value)

    @property
    def output_folder(self) -> str:
        """Folder for results; empty for the folder of the before layer."""
        return self._get("output_folder", "", str)

    @output_folder.setter
    def output_folder(self, folder: str) -> None:
        self._set("output_folder", folder)

    @property
    def captions_shown(self) -> bool:
        """Whether captions of a new run are shown on the map."""
        return self._get("captions_shown", True, bool)

    @captions_shown.setter
    def captions_shown(self, shown: bool) -> None:
        self._set("captions_shown", shown)

    @property
    def caption_system(self) -> str:
        """Name of the system that writes captions; empty for facts only."""
        return self._get("caption_system", "", str)

    @caption_system.setter
    def caption_system(self, name: str) -> None:
        self._set("caption_system", name)

    @property
    def caption_levels(self) -> tuple[str, ...]:
        """What is captioned: "regions", "tiles", "scene"."""
        return tuple(filter(None, self._get("caption_levels", "regions", str).split(",")))

    @caption_levels.setter
    def caption_levels(self, levels: tuple[str, ...]) -> None:
        self._set("caption_levels", ",".join(levels))

    @property
    def export_folder(self) -> str:
        """Folder of the last export, or empty."""
        return self._get("export_folder", "", str)

    @export_folder.setter
    def export_folder(self, folder: str) -> None:
        self._set("export_folder", folder)

    def speed(self, system: str) -> Optional[float]:
        """Measured speed of a system in pixels per second; None before its first run."""
        value = self._get(f"speed/{system}", 0.0, float)
        return value if value > 0 else None

    def remember_speed(self, system: str, pixels_per_second: float) -> None:
        """Store a measured speed, averaged with the previous value."""
        if pixels_per_second <= 0:
            return
        known = self.speed(system)
        value = pixels_per_second if known is None else (known + pixels_per_second) / 2
        self._set(f"speed/{system}", value)

    def measured_device(self, system: str, chosen: str) -> str:
        """Device used by the last run of a system with this choice, and why; or empty."""
        return self._get(f"device_used/{system}/{chosen}", "", str)

    def remember_device(self, system: str, chosen: str, used: str) -> None:
        """Store the device that a run used."""
        self._set(f"device_used/{system}/{chosen}", used)
