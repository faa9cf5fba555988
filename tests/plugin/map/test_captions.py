# SPDX-License-Identifier: GPL-3.0-or-later
"""Captions as labels of QGIS: which ones, where, and their switch."""

from __future__ import annotations

import pytest
from canvas import show_canvas
from qgis.core import (
    QgsExpression,
    QgsExpressionContext,
    QgsFeature,
    QgsField,
    QgsFields,
    QgsMapRendererParallelJob,
    QgsMapSettings,
    QgsProject,
)
from qgis.PyQt.QtTest import QTest

from changescribe.ui.compat import FIELD_TEXT
from changescribe.ui.map import labels


def placed(desk, run, extent=None):
    """Render the changes; return what the labelling engine placed."""
    settings = QgsMapSettings(desk.canvas.mapSettings())
    settings.setLayers([run.layer("changes")])
    if extent is not None:
        settings.setExtent(extent)
    job = QgsMapRendererParallelJob(settings)
    job.start()
    job.waitForFinished()
    found = job.takeLabelingResults().allLabels()
    return [label for label in found if not label.isUnplaced], settings


@pytest.fixture
def many(desk):
    """30 changes of different size on a map of 1400 x 1000 pixels."""
    desk.engine.count = 30
    show_canvas(desk, 1400, 1000)
    desk.canvas.setExtent(desk.before.extent())
    return desk.run()


def test_the_ten_largest_in_view_and_all_close_by(desk, many):
    layer = many.layer("changes")
    rules = layer.labeling().rootRule().children()
    assert [rule.settings().limitNumLabels for rule in rules] == [True, False]
    assert rules[0].maximumScale() == rules[1].minimumScale() == 500
    by_size = [f.id() for f in sorted(layer.getFeatures(), key=lambda f: -f["area_px"])]
    layer.setLabeling(labels.caption_labels(10.0**9))  # all scales are small or large
    close, _settings = placed(desk, many)
    assert len({label.featureId for label in close}) > labels.LARGEST
    layer.setLabeling(labels.caption_labels(None))
    shown, settings = placed(desk, many)
    numbers = {label.featureId for label in shown}
    assert 5 <= len(numbers) <= labels.LARGEST
    assert numbers <= set(by_size[: labels.LARGEST])
    # Zoomed and panned, they are the largest of what is in view then.
    part = settings.extent()
    part.setXMinimum(part.center().x())
    part.setYMaximum(part.center().y())
    there, _settings = placed(desk, many, part)
    in_view = [f for f in by_size if layer.getFeature(f).geometry().boundingBox().intersects(part)]
    assert {label.featureId for label in there} <= set(in_view[: labels.LARGEST])
    assert there


def test_captions_never_overlap(desk, many):
    layer = many.layer("changes")
    layer.setLabeling(labels.caption_labels(None))
    shown, _settings = placed(desk, many)
    boxes = [label.labelRect for label in shown]
    for number, box in enumerate(boxes):
        assert not any(box.intersects(other) for other in boxes[number + 1 :])


def test_each_caption_has_a_line_to_its_change(desk, many):
    labeling = many.layer("changes").labeling()
    for rule in labeling.rootRule().children():
        callout = rule.settings().callout()
        assert callout.enabled()


def test_long_captions_are_cut_and_classes_come_first():
    context = QgsExpressionContext()
    fields = QgsFields()
    for name in ("caption", "from_class", "to_class"):
        fields.append(QgsField(name, FIELD_TEXT))
    feature = QgsFeature(fields)
    feature["caption"] = "word " * 60

    def text(**options):
        labeling = labels.caption_labels(None, **options)  # kept, since it owns its rules
        rule = labeling.rootRule().children()[0]
        context.setFeature(feature)
        context.setFields(fields)
        expression = QgsExpression(str(rule.settings().fieldName))
        assert not expression.hasParserError(), expression.parserErrorString()
        return expression.evaluate(context)

    assert len(text()) == 109
    assert text().endswith("\N{HORIZONTAL ELLIPSIS}")
    assert text(classes=True) == text()
    feature["from_class"], feature["to_class"] = "grass", "building"
    assert text(classes=True) == "grass \N{RIGHTWARDS ARROW} building"
    feature["caption"] = "New road."
    assert text() == "New road."


def test_the_button_follows_its_layer(desk):
    run = desk.run()
    button, layer = desk.dock.results.captions_button, run.layer("changes")
    assert button.isChecked()
    button.click()
    assert not layer.labelsEnabled()
    assert not desk.settings.captions_shown
    button.click()
    assert layer.labelsEnabled()
    # As in the layer's properties.
    layer.setLabelsEnabled(False)
    layer.emitStyleChanged()
    assert not button.isChecked()
    layer.setLabelsEnabled(True)
    layer.emitStyleChanged()
    assert button.isChecked()


def test_captions_can_be_off_from_the_start(desk):
    desk.settings.captions_shown = False
    run = desk.run()
    assert not run.captions_shown()
    assert not desk.dock.results.captions_button.isChecked()
    desk.dock.results.captions_button.click()
    assert run.captions_shown()


def test_the_group_can_be_removed(desk):
    run = desk.run()
    group = run.group()
    ids = [node.layerId() for node in group.findLayers()]
    assert len(ids) == 2
    group.parent().removeChildNode(group)
    QgsProject.instance().removeMapLayers(ids)
    desk.dock.results.zoom_button.click()
    assert "no longer in the project" in desk.bar.currentItem().text()
    assert not run.captions_shown()
    QTest.qWait(20)
    assert not desk.dock.results.runs
