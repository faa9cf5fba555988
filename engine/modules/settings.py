# SPDX-License-Identifier: GPL-3.0-or-later
"""From the section ``model`` of a recipe to the sizes of a network; without torch."""

from __future__ import annotations

from dataclasses import fields, is_dataclass, replace
from typing import Any, TypeVar

from ..errors import InputError

Config = TypeVar("Config")


def read_settings(title: str, usual: Config, tiny: Config, settings: dict[str, Any]) -> Config:
    """Return a configuration with settings taken over.

    A list becomes a tuple where the configuration has one: YAML and JSON know only lists.

    Args:
        title: of the network, for messages.
        usual: what is not set.
        tiny: the same where ``tiny: true`` is set.
        settings: section ``model`` of a recipe, or of the header of trained weights.

    Raises:
        InputError: a setting is unknown.
    """
    if not is_dataclass(usual):
        raise TypeError("a configuration is a data class")
    known = {part.name for part in fields(usual)}
    settings = dict(settings)
    start = tiny if settings.pop("tiny", False) else usual
    unknown = set(settings) - known
    if unknown:
        raise InputError(f"{title} has no setting named {', '.join(sorted(unknown))}.")
    for name, value in settings.items():
        if isinstance(value, list) and isinstance(getattr(start, name), tuple):
            settings[name] = tuple(value)
    return replace(start, **settings)  # type: ignore[type-var]
