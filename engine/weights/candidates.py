# SPDX-License-Identifier: GPL-3.0-or-later
"""Which files of a folder are an entry of the catalogue."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..errors import WeightsError
from . import catalogue, loading
from .catalogue import Entry

#: What ``changescribe train`` leaves in the folder of a run, the better one first.
RUN_WEIGHTS = ("best.safetensors", "model.safetensors")


def candidates(source: Path, entry: Entry, wanted: Sequence[Entry]) -> list[Path]:
    """Return where an entry is in a folder, at most one place, or the file itself."""
    if source.is_file():
        fits = source.name.lower() == entry.file.lower() or len(wanted) == 1
        return [source] if fits and not entry.is_folder else []
    places = [source / entry.file, source / entry.id / entry.file]
    if entry.is_folder and (source.name == entry.file or len(wanted) == 1):
        places.append(source)
    for place in places:
        if (place / "config.json").is_file() if entry.is_folder else place.is_file():
            return [place]
    if entry.format != catalogue.CHANGESCRIBE:
        return []
    systems = {source / name: _system_of(source / name) for name in RUN_WEIGHTS}
    trained = [path for path, system in systems.items() if system]
    fitting = [p for p in trained if _plain(systems[p]) == _plain(entry.architecture or "")]
    # Of a folder that was named for one entry alone it is told what it was trained for instead.
    return (fitting or (trained if len(wanted) == 1 else []))[:1]


def _system_of(path: Path) -> str:
    """Return the system of which a file is a training run's outcome; "" of any other file."""
    try:
        return str(loading.head_metadata(path).get("system") or "") if path.is_file() else ""
    except WeightsError:
        return ""


def check_system(entry: Entry, source: Path, part: Path) -> None:
    """See that a file of "changescribe train" is one, and of the system that it is given to.

    Raises:
        WeightsError: it is something else.
    """
    if entry.format != catalogue.CHANGESCRIBE:
        return
    try:
        system = loading.head_metadata(part).get("system")
    except WeightsError as error:
        error.message = error.message.replace(part.name, source.name)
        raise
    if system and _plain(system) != _plain(entry.architecture or ""):
        raise WeightsError(
            f'"{source}" was trained for the system "{system}", not for {entry.title}; it was not '
            "imported.",
            "Choose the entry of that system.",
        )


def _plain(name: str) -> str:
    """Return "lgcd" for "lg-cd": recipes and the catalogue spell systems differently."""
    return str(name).replace("-", "").replace("_", "")
