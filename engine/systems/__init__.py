# SPDX-License-Identifier: GPL-3.0-or-later
"""The change-detection systems, by name. A system's module is imported when it is created."""

from __future__ import annotations

from importlib import import_module

from ..errors import InputError
from .base import ChangeSystem
from .texts import SystemsTexts

#: The system to propose when its weights are installed.
FULL_DEFAULT = "zero-shot"
#: name -> (module in this package, class). The first one is the default.
_SYSTEMS: dict[str, tuple[str, str]] = {
    "bundled": ("bundled", "BundledSystem"),
    FULL_DEFAULT: ("zeroshot", "ZeroShotSystem"),
    "zero-shot-remoteclip": ("zeroshot", "ZeroShotRemoteClipSystem"),
    "lgcd": ("lgcd", "LgcdSystem"),
    "mmchange": ("mmchange", "MmchangeSystem"),
    "textscd": ("textscd", "TextscdSystem"),
    "kcfi": ("kcfi", "KcfiSystem"),
    "semantic-cc": ("semantic_cc", "SemanticCcSystem"),
}
#: The same for systems from outside the package; their modules are imported from ``sys.path``.
_REGISTERED: dict[str, tuple[str, str]] = {}


def names() -> tuple[str, ...]:
    """Return the names of all systems, the default first."""
    return (*_SYSTEMS, *_REGISTERED)


def register(name: str, entry: str) -> None:
    """Add a system from outside the package.

    Args:
        name: as in its ``info``; not that of a system of the package.
        entry: ``"module:Class"``, imported from ``sys.path``, in a worker process from that of
            its Python.

    Raises:
        InputError: the name is taken, or the entry has another form.
    """
    module, _, class_name = entry.partition(":")
    if name in _SYSTEMS or not module or not class_name:
        raise InputError(SystemsTexts.cannot_add(name=name, entry=entry))
    _REGISTERED[name] = (module, class_name)


def entry(name: str) -> str:
    """Return the entry of a system that was registered; empty for a system of the package."""
    return ":".join(_REGISTERED.get(name, ()))


def create(name: str) -> ChangeSystem:
    """Return a new system; its weights are not loaded.

    Raises:
        InputError: no system has that name.
    """
    if name in _SYSTEMS:
        module, class_name = _SYSTEMS[name]
        found = import_module(f".{module}", __name__)
    elif name in _REGISTERED:
        module, class_name = _REGISTERED[name]
        found = import_module(module)
    else:
        raise InputError(SystemsTexts.unknown_system(name=name, names=", ".join(names())))
    return getattr(found, class_name)()
