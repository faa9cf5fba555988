# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads why the button is disabled."""

from __future__ import annotations


def reason(desk):
    desk.dock.refresh()
    text = desk.dock.run.reason_label.text()
    assert desk.dock.run.detect_button.isEnabled() == (not text)
    assert desk.dock.run.reason_label.isHidden() == (not text)
    return text
