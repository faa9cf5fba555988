# SPDX-License-Identifier: GPL-3.0-or-later
"""Texts for the user about prompts."""

from __future__ import annotations

from ..messages import Message

_HINT = (
    'Say what changed and how, such as "roads built", "buildings demolished", "trees cleared", '
    '"grass replaced by buildings" or "anything changed".'
)


class PromptTexts:
    """Errors, warnings and the line that shows how a prompt was understood."""

    empty = Message("The prompt is empty.", _HINT)
    too_long = Message(
        "The prompt has {count} characters, more than {limit}.", f"Shorten it. {_HINT}"
    )
    no_object = Message('The prompt "{prompt}" does not say what to look for.', _HINT)
    no_classes = Message(
        "This system has no classes of its own, so it cannot look for any change.", _HINT
    )
    nothing_left = Message(
        'The prompt "{prompt}" leaves nothing to look for.', "This system knows {classes}."
    )
    ignored = Message(
        "Ignored in the prompt: {parts}. The area analysed says where to look, the minimum area "
        "how large changes must be, and the layers when."
    )
    did_you_mean = Message('Did you mean "{prompt}"?')

    looks_for = Message("looks for: {what}")
    query = Message("{object}, {direction}")
    query_on_former = Message("{object}, {direction} on former {former}")
    exchange = Message("{came} replaced {gone}")
    any_change = Message("any change")
    anything = Message("anything, {direction}")
    anything_except = Message("{anything}, except {classes}")
    with_details = Message("{what} ({details})")
    with_ignored = Message("{line} (ignored: {parts})")
    with_english = Message('{line} (read as "{english}")')
    with_suggestion = Message('{line} - did you mean "{prompt}"?')

    language_not_utf8 = Message(
        "The language file {file} is not encoded in UTF-8.", "Save it in UTF-8."
    )
    language_line = Message(
        "Line {line} of the language file {file} cannot be read.",
        "Write the words, an equals sign, and the English: route, rue = road",
    )
    language_word = Message(
        'Line {line} of the language file {file} gives "{word}" a second meaning.',
        "Remove one of the two.",
    )
