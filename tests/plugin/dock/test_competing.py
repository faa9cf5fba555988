# SPDX-License-Identifier: GPL-3.0-or-later
"""The list of competing classes in the dock, and the proposal of the full tier's default."""

from __future__ import annotations

from types import SimpleNamespace

import fake_engine
import pytest
from qgis.core import QgsProcessingContext, QgsProcessingFeedback

from changescribe.engine import systems
from changescribe.ui.dock import system_panel
from changescribe.ui.dock.competing_panel import CompetingPanel
from changescribe.ui.processing.detect_changes import DetectChanges
from changescribe.ui.settings import Settings

DEFAULT = ("grass", "water")


def described(**changes):
    return fake_engine.info(
        **{
            "name": systems.FULL_DEFAULT,
            "title": "Any noun",
            "tier": "full",
            "competing": DEFAULT,
            **changes,
        }
    )


def test_the_list_is_shown_for_systems_that_have_one_only() -> None:
    panel = CompetingPanel(Settings())
    panel.show_for(fake_engine.info())
    assert panel.isHidden()
    assert panel.names is None
    panel.show_for(described())
    assert not panel.isHidden()
    assert panel.edit.toPlainText() == "grass, water"
    assert panel.names is None
    assert not panel.reset_button.isEnabled()


def test_an_edited_list_is_kept_and_can_be_reset() -> None:
    panel = CompetingPanel(Settings())
    panel.show_for(described())
    told = []
    panel.changed.connect(lambda: told.append(panel.names))
    panel.edit.setPlainText("Grass, bare ground,")
    assert told[-1] == panel.names == ("grass", "bare ground")
    again = CompetingPanel(Settings())
    again.show_for(described())
    assert again.names == ("grass", "bare ground")
    panel.edit.setPlainText(" ")
    assert "competing class" in panel.reason
    panel.reset_button.click()
    assert panel.names is None
    assert not panel.reason
    assert not Settings().competing


def test_the_list_goes_into_the_request(desk, monkeypatch) -> None:
    assert desk.dock.build_request().hints.competing is None
    monkeypatch.setattr(system_panel, "installed_systems", lambda: (described(),))
    desk.dock.system.reload()
    desk.dock.refresh()
    assert not desk.dock.competing.isHidden()
    desk.dock.competing.edit.setPlainText("asphalt, sand")
    desk.dock.refresh()
    assert desk.dock.build_request().hints.competing == ("asphalt", "sand")
    desk.dock.competing.edit.clear()
    assert "competing class" in desk.dock.reason()


@pytest.mark.parametrize("chosen", ["", "bundled"])
def test_the_full_default_is_recommended_once_its_weights_are_here(
    desk, monkeypatch, chosen: str
) -> None:
    weights = ["sam2.1-hiera-tiny"]
    everything = (fake_engine.info(), described(weights=tuple(weights)))
    monkeypatch.setattr(system_panel, "installed_systems", lambda: everything)
    desk.settings.system = chosen
    panel = desk.dock.system
    panel.reload()
    assert [panel.combo.itemData(i) for i in range(2)] == ["bundled", systems.FULL_DEFAULT]
    assert panel.info.name == "bundled"
    store = SimpleNamespace(missing=lambda _: ())
    monkeypatch.setattr(system_panel, "WeightsStore", lambda: store)
    panel.reload()
    assert [panel.combo.itemData(i) for i in range(2)] == [systems.FULL_DEFAULT, "bundled"]
    assert panel.combo.itemText(0) == "Any noun (recommended)"
    assert panel.info.name == (chosen or systems.FULL_DEFAULT)


def test_the_processing_algorithm_takes_a_list(qgis_app, qgis_processing, pair) -> None:
    algorithm = DetectChanges()
    algorithm.initAlgorithm()
    context = QgsProcessingContext()
    given = {"BEFORE": pair[0], "AFTER": pair[1], "PROMPT": "ships appeared", "OUTPUT": "x.gpkg"}
    for text, expected in (("Quay, water", ("quay", "water")), ("", None)):
        assert algorithm.prepare({**given, "COMPETING": text}, context, QgsProcessingFeedback())
        assert algorithm._request.hints.competing == expected
