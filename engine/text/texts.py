# SPDX-License-Identifier: GPL-3.0-or-later
"""Texts for the user about the text encoder of the bundled model."""

from __future__ import annotations

from ..messages import Message


class TextTexts:
    """Errors."""

    no_onnxruntime = Message(
        "The package onnxruntime is not installed.",
        "Install it from the dependencies panel of ChangeScribe.",
    )
    missing = Message("The text model is missing: {path}.", "Install the plugin again.")
    unreadable = Message("The text model cannot be read: {path}.", "Install the plugin again.")
    vocabulary_unreadable = Message(
        "The vocabulary of the text model cannot be read: {path}.", "Install the plugin again."
    )
    no_token = Message(
        "The vocabulary of the text model has no {token} token.",
        "The file is damaged: install the plugin again.",
    )
