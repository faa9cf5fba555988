# SPDX-License-Identifier: GPL-3.0-or-later
"""Read the section ``model`` of a recipe into the configuration of a network; without torch."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any, ClassVar, Protocol, TypeVar

from ..errors import InputError
from .texts import ModulesTexts


class _Dataclass(Protocol):
    __dataclass_fields__: ClassVar[dict[str, Any]]


Config = TypeVar("Config", bound=_Dataclass)


def read_settings(title: str, default: Config, tiny: Config, settings: dict[str, Any]) -> Config:
    """Return a configuration with the values of a recipe.

    Lists become tuples, since YAML and JSON have no tuples.

    Args:
        title: name of the network, for messages.
        default: configuration that the settings change.
        tiny: configuration that they change if ``tiny: true`` is set.
        settings: section ``model`` of a recipe, or of the header of trained weights.

    Raises:
        InputError: a setting is unknown.
    """
    known = {part.name for part in fields(default)}
    settings = dict(settings)
    start = tiny if settings.pop("tiny", False) else default
    unknown = set(settings) - known
    if unknown:
        names = ", ".join(sorted(unknown))
        raise InputError(ModulesTexts.unknown_setting(title=title, names=names))
    for name, value in settings.items():
        if isinstance(value, list) and isinstance(getattr(start, name), tuple):
            settings[name] = tuple(value)
    return replace(start, **settings)
