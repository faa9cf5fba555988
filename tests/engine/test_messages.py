# SPDX-License-Identifier: GPL-3.0-or-later
"""Texts for the user: key, parameters, English, and one place per package."""

from __future__ import annotations

import copy
import importlib
import json
import pickle
import pkgutil
import string

import pytest

from changescribe import engine
from changescribe.engine.errors import ExistsError, InputError
from changescribe.engine.messages import Message, Text


class RasterTexts:
    no_polygon = Message('"{path}" contains no {what}.', "Choose a layer with {what}.")


def test_a_text_is_english_and_keeps_key_and_parameters() -> None:
    text = RasterTexts.no_polygon(path="a.shp", what="polygons")
    assert text == '"a.shp" contains no polygons.'
    assert (text.key, text.parameters["path"]) == ("raster.no_polygon", "a.shp")
    error = InputError(text)
    assert error.hint == "Choose a layer with polygons."
    assert json.dumps([error.message]) == '["\\"a.shp\\" contains no polygons."]'
    for copied in (copy.deepcopy(text), pickle.loads(pickle.dumps(text))):  # noqa: S301
        assert isinstance(copied, Text)
        assert (copied, copied.key, copied.hint) == (text, text.key, text.hint)


def test_a_missing_parameter_is_a_programming_error() -> None:
    with pytest.raises(KeyError):
        RasterTexts.no_polygon(path="a.shp")


def test_an_own_hint_replaces_that_of_the_message() -> None:
    assert InputError(RasterTexts.no_polygon("Look elsewhere.", path="a", what="b")).hint == (
        "Look elsewhere."
    )
    assert ExistsError("a.gpkg").hint.startswith("Choose another name")


def _messages() -> list[Message]:
    found = []
    for info in pkgutil.walk_packages(engine.__path__, f"{engine.__name__}."):
        if info.name.rpartition(".")[2] in {
            "texts",
            "errors",
            "api",
            "console",
            "device",
            "writing",
        }:
            module = importlib.import_module(info.name)
            for owner in vars(module).values():
                if isinstance(owner, type) and owner.__name__.endswith("Texts"):
                    found += [value for value in vars(owner).values() if isinstance(value, Message)]
    return found


def test_keys_are_unique_and_fields_are_names() -> None:
    keys = [message.key for message in _messages()]
    assert "error.exists" in keys
    assert len(keys) == len(set(keys))
    for message in _messages():
        for _, field, _, _ in string.Formatter().parse(message.text + message.hint):
            assert field is None or field.isidentifier(), message.key


def test_parameters_are_plain_values() -> None:
    class Broken:
        def __str__(self) -> str:
            return "broken"

    text = RasterTexts.no_polygon(path=Broken(), what=ValueError("x"))
    assert text.parameters == {"path": "broken", "what": "x"}
    assert pickle.loads(pickle.dumps(text)).parameters == text.parameters  # noqa: S301
