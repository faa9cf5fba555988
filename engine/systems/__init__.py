# SPDX-License-Identifier: GPL-3.0-or-later
"""The change-detection systems, by name. A system's module is imported when it is asked for."""

from __future__ import annotations

from importlib import import_module

from ..errors import InputError
from .base import ChangeSystem

#: name -> (module in this package, class). The first one is the default.
_SYSTEMS: dict[str, tuple[str, str]] = {
    "bundled": ("bundled", "BundledSystem"),
}


def names() -> tuple[str, ...]:
    """Return the names of all systems, the default first."""
    return tuple(_SYSTEMS)


def create(name: str) -> ChangeSystem:
    """Return a new system, with its weights not yet loaded.

    Raises:
        InputError: no system has that name.
    """
    try:
        module, class_name = _SYSTEMS[name]
    except KeyError:
        raise InputError(
            f'There is no system named "{name}".', f"Choose one of: {', '.join(_SYSTEMS)}."
        ) from None
    system_class = getattr(import_module(f".{module}", __name__), class_name)
    return system_class()
