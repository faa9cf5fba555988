# SPDX-License-Identifier: GPL-3.0-or-later
"""What was understood of the prompt: in words, and as pieces that can be taken out."""

from __future__ import annotations

import re


def test_each_thing_looked_for_can_be_left_out(desk):
    panel = desk.dock.prompt
    assert not panel.chips.isVisibleTo(panel)  # one thing: the field itself is cleared
    panel.set_text("new roads, trees cleared and buildings demolished")
    assert panel.chips.isVisibleTo(panel)
    assert re.findall(r'href="(.)"', panel.chips.text()) == ["0", "1", "2"]
    assert "trees\N{NO-BREAK SPACE}removed" in panel.chips.text()  # not wrapped within
    panel.chips.linkActivated.emit("1")
    assert panel.text == "roads appeared, buildings removed"
    assert panel.parse_label.text() == "looks for: roads, appeared; buildings, removed"
    panel.chips.linkActivated.emit("0")
    assert panel.text == "buildings removed"
    assert not panel.chips.isVisibleTo(panel)
    desk.run()
    assert desk.engine.requests[-1].prompt == "buildings removed"


def test_an_exchange_in_words(desk):
    panel = desk.dock.prompt
    panel.set_text("trees replaced by buildings")
    assert "buildings replaced trees" in panel.parse_label.text()
    panel.chips.linkActivated.emit("0")
    assert panel.text == "buildings appeared on former trees"


def test_what_is_not_used_is_told(desk):
    desk.dock.prompt.set_text("roads built near the river")
    assert desk.dock.prompt.parse_label.text().endswith("(ignored: near the river)")
    assert desk.dock.run.detect_button.isEnabled()
    desk.dock.prompt.set_text("x")
    assert "roads built" in desk.dock.prompt.parse_label.text()
    desk.dock.refresh()
    assert not desk.dock.run.detect_button.isEnabled()


def test_a_long_prompt_does_not_hide_what_was_found(desk):
    desk.dock.prompt.set_text("buildings built")
    desk.run()
    desk.dock.prompt.set_text(
        ", ".join(
            f"{noun} built"
            for noun in (
                "buildings",
                "roads",
                "swimming pools",
                "tennis courts",
                "warehouses",
                "car parks",
            )
        )
    )
    desk.run()
    lines = desk.dock.results.list
    assert "changes" in lines.item(0).text()
    assert lines.item(0).sizeHint().height() > lines.item(1).sizeHint().height()
