# SPDX-License-Identifier: GPL-3.0-or-later
"""The change-detection systems, by name. A system's module is imported when it is created."""

from __future__ import annotations

import contextlib
import os
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


#: Systems from outside the package, for the command line, QGIS and worker processes:
#: ``name=module:Class``, several of them with commas.
VARIABLE = "CHANGESCRIBE_SYSTEMS"


def names() -> tuple[str, ...]:
    """Return the names of all systems, the default first.

    Parts of ``CHANGESCRIBE_SYSTEMS`` that cannot be read are left out: the command line and QGIS
    must start. :func:`create` reports them.
    """
    for item in _variable():
        with contextlib.suppress(InputError):
            _register_item(item)
    return (*_SYSTEMS, *_REGISTERED)


def _variable() -> list[str]:
    return [item for item in os.environ.get(VARIABLE, "").split(",") if item.strip()]


def _register_item(item: str) -> None:
    name, _, entry_ = (part.strip() for part in item.partition("="))
    if name not in _REGISTERED:
        register(name, entry_)


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
    if not name or name in _SYSTEMS or not module or not class_name:
        raise InputError(SystemsTexts.cannot_add(name=name, entry=entry))
    _REGISTERED[name] = (module, class_name)


def entry(name: str) -> str:
    """Return the entry of a system that was registered; empty for a system of the package."""
    return ":".join(_REGISTERED.get(name, ()))


def create(name: str) -> ChangeSystem:
    """Return a new system; its weights are not loaded.

    Raises:
        InputError: no system has that name, or that of another package cannot be loaded.
    """
    known = names()
    if name in _SYSTEMS:
        module, class_name = _SYSTEMS[name]
        found = import_module(f".{module}", __name__)
    elif name in _REGISTERED:
        return _create_registered(name)
    else:
        for item in _variable():
            _register_item(item)
        raise InputError(SystemsTexts.unknown_system(name=name, names=", ".join(known)))
    return getattr(found, class_name)()


def _create_registered(name: str) -> ChangeSystem:
    module, class_name = _REGISTERED[name]
    try:
        system: ChangeSystem = getattr(import_module(module), class_name)()
        stated = system.info.name
    except (ImportError, AttributeError, TypeError) as error:
        raise InputError(
            SystemsTexts.cannot_load(name=name, entry=entry(name)), details=repr(error)
        ) from error
    if stated != name:
        raise InputError(SystemsTexts.other_name(name=name, stated=stated))
    return system
