# SPDX-License-Identifier: GPL-3.0-or-later
"""The ChangeScribe inference engine: no Qt, no QGIS.

::

    import changescribe.engine as cs

    cs.detect("before.tif", "after.tif", "roads built").to_geodataframe()

The names below are loaded when they are first used; see :mod:`.api`.
"""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from typing import Protocol

    from .api import SystemState, describe, detect, export
    from .describe.request import BoxCaption
    from .errors import ChangeScribeError
    from .request import Area, ChangeRequest, ChangeResult, Extent, Hints
    from .systems.base import ChangeSystem

    class _Systems(Protocol):
        """The package ``systems``, which is also a function."""

        FULL_DEFAULT: str

        def __call__(self) -> list[SystemState]: ...
        def names(self) -> tuple[str, ...]: ...
        def create(self, name: str) -> ChangeSystem: ...
        def register(self, name: str, entry: str) -> None: ...
        def entry(self, name: str) -> str: ...

    systems: _Systems

__all__ = [
    "Area",
    "BoxCaption",
    "ChangeRequest",
    "ChangeResult",
    "ChangeScribeError",
    "Extent",
    "Hints",
    "SystemState",
    "describe",
    "detect",
    "export",
    "systems",
]

_MODULES = {
    "Area": "request",
    "BoxCaption": "describe.request",
    "ChangeRequest": "request",
    "ChangeResult": "request",
    "ChangeScribeError": "errors",
    "Extent": "request",
    "Hints": "request",
    "SystemState": "api",
    "export": "api",
}
#: Functions of :mod:`.api` with the names of packages of the engine: the packages can be called.
_CALLABLE = ("describe", "detect", "systems")


def __getattr__(name: str) -> Any:
    if name in _CALLABLE:
        return import_module(f".{name}", __name__)
    if name in _MODULES:
        return getattr(import_module(f".{_MODULES[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)


class _CallablePackage(ModuleType):
    """A package that is also the function of its name in :mod:`.api`."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._function(*args, **kwargs)

    @property
    def __doc__(self) -> Any:  # type: ignore[override]
        return self._function.__doc__

    @property
    def __signature__(self) -> Any:
        from inspect import signature

        return signature(self._function)

    @property
    def _function(self) -> Any:
        return getattr(import_module(".api", __package__), self.__name__.rpartition(".")[2])


class _Engine(ModuleType):
    """This module: it makes packages callable as the import system binds them to it."""

    def __setattr__(self, name: str, value: Any) -> None:
        if name in _CALLABLE and isinstance(value, ModuleType):
            value.__class__ = _CallablePackage
        super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Engine
