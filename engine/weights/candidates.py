# SPDX-License-Identifier: GPL-3.0-or-later
"""Find the files of catalogue entries in a folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..errors import WeightsError
from . import catalogue, loading
from .catalogue import Entry
from .texts import WeightsTexts

#: Weight files in the folder of a run of ``changescribe train``, in order of preference.
RUN_WEIGHTS = ("best.safetensors", "model.safetensors")


def candidates(source: Path, entry: Entry, sought: Sequence[Entry]) -> list[Path]:
    """Find an entry in a folder, or accept a file as an entry; return at most one path."""
    if source.is_file():
        fits = source.name.lower() == entry.file.lower() or len(sought) == 1
        return [source] if fits and not entry.is_folder else []
    places = [source / entry.file, source / entry.id / entry.file]
    if entry.is_folder and (source.name == entry.file or len(sought) == 1):
        places.append(source)
    for place in places:
        if (place / "config.json").is_file() if entry.is_folder else place.is_file():
            return [place]
    if entry.format != catalogue.CHANGESCRIBE:
        return []
    systems = {source / name: _system_of(source / name) for name in RUN_WEIGHTS}
    trained = [path for path, system in systems.items() if system]
    fitting = [p for p in trained if _plain(systems[p]) == _plain(entry.architecture or "")]
    # A run for another system is returned for a single entry, so that the error can name it.
    return (fitting or (trained if len(sought) == 1 else []))[:1]


def _system_of(path: Path) -> str:
    """Return the system that a weight file was trained for; "" if it is not from a run."""
    try:
        return str(loading.head_metadata(path).get("system") or "") if path.is_file() else ""
    except WeightsError:
        return ""


def check_system(entry: Entry, source: Path, part: Path) -> None:
    """Check that weights were trained for the system of an entry.

    Args:
        entry: to import to; any format but that of ``changescribe train`` passes.
        source: file chosen by the user, for messages.
        part: its copy.

    Raises:
        WeightsError: the file is not from ``changescribe train``, or is for another system.
    """
    if entry.format != catalogue.CHANGESCRIBE:
        return
    system = loading.head_metadata(part, shown_as=source).get("system")
    if system and _plain(system) != _plain(entry.architecture or ""):
        raise WeightsError(
            WeightsTexts.other_system(source=source, system=system, title=entry.title)
        )


def _plain(name: str) -> str:
    """Return "lgcd" for "lg-cd", since recipes and the catalogue spell systems differently."""
    return str(name).replace("-", "").replace("_", "")
