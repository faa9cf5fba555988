# SPDX-License-Identifier: GPL-3.0-or-later
"""Texts for the user: a key, an English template and parameters, so that they can be translated.

Each package keeps its texts in one class in its module ``texts``::

    class RasterTexts:
        no_polygon = Message('"{path}" contains no polygons.', "Choose a polygon layer.")

    raise InputError(RasterTexts.no_polygon(path=path))

A filled-in text is a ``str`` in English that still carries its key and its parameters: log files,
JSON and tests read the English, and the user interface can look up the key in a translation.
"""

from __future__ import annotations

from typing import Any, Optional


class Text(str):
    """An English text that remembers the message it was made from.

    Attributes:
        key: of the message, such as ``"raster.no_polygon"``.
        parameters: values of the template's fields; may be texts themselves.
        hint: what the user can do; empty if there is nothing to say.
    """

    __slots__ = ("hint", "key", "parameters")

    key: str
    parameters: dict[str, Any]
    hint: str

    def __reduce__(self) -> tuple[Any, ...]:
        return _restore, (str(self), self.key, self.parameters, self.hint)


def _restore(text: str, key: str, parameters: dict[str, Any], hint: str) -> Text:
    made = Text(text)
    made.key, made.parameters, made.hint = key, parameters, hint
    return made


class Message:
    """A template of a text, and of the hint that goes with it.

    Both are in the syntax of :meth:`str.format`, with named fields. The key is made from where the
    message is defined: ``no_polygon`` of the class ``RasterTexts`` is ``"raster.no_polygon"``.
    """

    key = ""

    def __init__(self, text: str, hint: str = "") -> None:
        self.text = text
        self.hint = hint

    def __set_name__(self, owner: type, name: str) -> None:
        self.key = f"{owner.__name__.removesuffix('Texts').lower()}.{name}"

    def __call__(self, hint: Optional[str] = None, **parameters: Any) -> Text:
        """Fill in the template; ``hint`` replaces the message's own hint.

        Raises:
            KeyError: a field has no value.
        """
        hint = self.hint.format(**parameters) if hint is None else hint
        # An error would keep its traceback alive, and could not be pickled.
        kept = {n: v if isinstance(v, (str, int, float)) else str(v) for n, v in parameters.items()}
        return _restore(self.text.format(**parameters), self.key, kept, hint)
