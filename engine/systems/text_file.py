# SPDX-License-Identifier: GPL-3.0-or-later
"""Files of descriptions, written by "changescribe build descriptions"."""

from __future__ import annotations

import json
from pathlib import Path

from ..errors import InputError
from .texts import SystemsTexts


def read_texts(path: Path) -> dict[str, str]:
    """Read texts by the :func:`.text_sources.content_key` of their images: ``{"texts": {...}}``.

    Raises:
        InputError: the file is missing or has another form.
    """
    try:
        texts = json.loads(path.read_text(encoding="utf-8"))["texts"]
        if all(isinstance(text, str) for text in texts.values()):
            return dict(texts)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(SystemsTexts.texts_unreadable(file=path), details=repr(error)) from error
    raise InputError(SystemsTexts.texts_unreadable(file=path))
