# SPDX-License-Identifier: GPL-3.0-or-later
"""Texts for the user about the zero-shot system."""

from __future__ import annotations

from ..messages import Message


class ZeroshotTexts:
    """Errors of this package; see :mod:`changescribe.engine.messages`."""

    not_a_plain_vit = Message(
        "This CLIP has no dense features that single patches of an image could be classified by.",
        "Choose one whose image tower is a plain vision transformer, such as ViT-B-16.",
    )
