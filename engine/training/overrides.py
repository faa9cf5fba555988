# SPDX-License-Identifier: GPL-3.0-or-later
"""Values of a recipe set on the command line: ``steps=100 optimiser.lr=1e-4 data.0.folder=X``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import fields, is_dataclass
from difflib import get_close_matches
from importlib import import_module
from typing import Any, Union, get_args, get_origin, get_type_hints

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from ..errors import InputError
from .texts import TrainingTexts

#: Task -> configuration of its section ``model``: (module in ``engine.modules``, class).
_MODELS = {
    "bundled": ("bundled.network", "ModelConfig"),
    "lgcd": ("lgcd.config", "LgcdConfig"),
    "mmchange": ("mmchange.config", "MMChangeConfig"),
    "textscd": ("textscd.config", "TextSCDConfig"),
    "kcfi": ("kcfi.config", "KcfiConfig"),
    "semantic_cc": ("semantic_cc.config", "SemanticCcConfig"),
}
#: Task -> keys of its section ``loss``.
_LOSSES = {
    "bundled": ("change", "some", "sentences", "classes", "steady"),
    "lgcd": ("ce", "iou", "dice"),
    "kcfi": ("temperature", "epoch", "consensus", "detection"),
    "semantic_cc": ("balance", "consensus", "detect_steps", "caption_steps", "both_steps"),
}
#: Keys that an error names at most.
_MAX_NEAR = 4


def set_values(content: DictConfig, schema: type, values: Sequence[str]) -> None:
    """Set values of a recipe, in order.

    Args:
        content: the recipe as written; changed in place.
        schema: dataclass of a recipe.
        values: ``KEY=VALUE`` each; keys of sections are joined by dots, entries of lists are
            counted from 0, and the value is YAML.

    Raises:
        InputError: a value is not of this form, or its key is not one of a recipe; names near ones.
    """
    for text in values:
        key, equals, value = text.partition("=")
        if not (key and equals):
            raise InputError(TrainingTexts.not_an_override(text=text))
        known = set(_keys(schema, content, str(content.get("task", ""))))
        if key not in known and not _is_free(key, known):
            raise InputError(TrainingTexts.no_such_key(key=key, hint=_hint(key, known)))
        try:
            # OmegaConf reads 1e-4 as a number, which YAML itself takes for text.
            parsed = OmegaConf.create(f"value: {value}").value if value else ""
            OmegaConf.update(content, key, parsed, merge=False)
        except (OmegaConfBaseException, YAMLError, ValueError, AssertionError) as error:
            problem = TrainingTexts.not_an_override(text=text)
            raise InputError(problem, details=str(error)) from error


def _hint(key: str, known: set[str]) -> str:
    near = near_keys(key, known)
    if near:
        return TrainingTexts.near_keys(keys=", ".join(near))
    return TrainingTexts.top_keys(keys=", ".join(sorted(k for k in known if "." not in k)))


def near_keys(key: str, known: set[str]) -> list[str]:
    """Return known keys that are spelt similarly, or whose last part is."""
    parts: dict[str, list[str]] = {}
    for name in sorted(known):
        parts.setdefault(name.rpartition(".")[2], []).append(name)
    last = key.rpartition(".")[2]
    by_part = [
        name
        for part in get_close_matches(last, parts, _MAX_NEAR, 0.75)
        for name in sorted(parts[part], key=lambda n: (len(n), n))
    ]
    whole = get_close_matches(key, sorted(known), _MAX_NEAR, 0.7)
    return list(dict.fromkeys([*whole, *by_part]))[:_MAX_NEAR]


def _is_free(key: str, known: set[str]) -> bool:
    """Whether a key lies in a section whose keys are the layout's or the source's own."""
    return any(key.startswith(f"{name}.") for name in known if name.endswith(_FREE))


#: Sections without a schema of their own.
_FREE = ("options", "model.text_source")


def _keys(kind: Any, content: Any, task: str, prefix: str = "") -> Iterator[str]:
    """Return all keys of a dataclass, with those of its sections and of its lists' entries."""
    hints = get_type_hints(kind)
    for field in fields(kind):
        key = f"{prefix}{field.name}"
        yield key
        value = content.get(field.name) if OmegaConf.is_dict(content) else None
        inner = _dataclass_of(hints[field.name])
        if get_origin(hints[field.name]) is list and inner:
            for number in range(len(value or ())):
                yield f"{key}.{number}"
                yield from _keys(inner, value[number], task, f"{key}.{number}.")
        elif inner:
            yield from _keys(inner, value, task, f"{key}.")
        elif key == "model":
            yield from (f"{key}.{name}" for name in _settings_of(task))
        elif key == "loss":
            yield from (f"{key}.{name}" for name in _LOSSES.get(task, ()))


def _dataclass_of(hint: Any) -> Any:
    """Return the dataclass in ``X``, ``Optional[X]`` or ``list[X]``; None if there is none."""
    if get_origin(hint) in (Union, list):
        return next(filter(None, map(_dataclass_of, get_args(hint))), None)
    return hint if is_dataclass(hint) else None


def _settings_of(task: str) -> tuple[str, ...]:
    if task not in _MODELS:
        return ()
    module, name = _MODELS[task]
    config = getattr(import_module(f"...modules.{module}", __name__), name)
    return ("tiny", *(field.name for field in fields(config)))
