# SPDX-License-Identifier: GPL-3.0-or-later
"""Training tasks of the systems by name, imported on demand."""

from __future__ import annotations

from importlib import import_module

from ...errors import InputError
from ..pairs.pair import LabelledPair
from ..texts import TrainingTexts
from .base import Task

__all__ = ["LabelledPair", "Task", "create", "names"]

#: name -> (module in this package, class).
_TASKS: dict[str, tuple[str, str]] = {
    "bundled": ("bundled", "BundledTask"),
    "lgcd": ("lgcd", "LgcdTask"),
    "mmchange": ("mmchange", "MmchangeTask"),
    "textscd": ("textscd", "TextscdTask"),
    "kcfi": ("kcfi", "KcfiTask"),
    "semantic_cc": ("semantic_cc", "SemanticCcTask"),
}


def names() -> tuple[str, ...]:
    """Return the names of all tasks."""
    return tuple(_TASKS)


def create(name: str) -> Task:
    """Return a new task."""
    if name not in _TASKS:
        raise InputError(TrainingTexts.no_task(name=name, known=", ".join(names())))
    module, class_name = _TASKS[name]
    return getattr(import_module(f".{module}", __name__), class_name)()
