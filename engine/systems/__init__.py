# SPDX-License-Identifier: GPL-3.0-or-later
"""The change-detection systems, by name. A system's module is imported when it is asked for."""

from __future__ import annotations

from importlib import import_module

from ..errors import InputError
from .base import ChangeSystem

#: The system to propose where the full tier's weights are.
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
#: The same for systems from outside the package, whose modules are found on ``sys.path``.
_REGISTERED: dict[str, tuple[str, str]] = {}


def names() -> tuple[str, ...]:
    """Return the names of all systems, the default first."""
    return (*_SYSTEMS, *_REGISTERED)


def register(name: str, entry: str) -> None:
    """Add a system from outside the package.

    Args:
        name: as in its ``info``; must not be one of the package's own.
        entry: ``"module:Class"``, found on ``sys.path``, in a worker process on that of its Python.

    Raises:
        InputError: the name is taken, or the entry is not of that form.
    """
    module, _, class_name = entry.partition(":")
    if name in _SYSTEMS or not module or not class_name:
        raise InputError(
            f'"{name}" cannot be added as "{entry}".',
            "Give a new name, and the class as module:Class.",
        )
    _REGISTERED[name] = (module, class_name)


def entry(name: str) -> str:
    """Return what :func:`register` was given for a system; empty for the package's own."""
    return ":".join(_REGISTERED.get(name, ()))


def create(name: str) -> ChangeSystem:
    """Return a new system, with its weights not yet loaded.

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
        raise InputError(
            f'There is no system named "{name}".', f"Choose one of: {', '.join(names())}."
        )
    return getattr(found, class_name)()
