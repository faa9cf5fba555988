# SPDX-License-Identifier: GPL-3.0-or-later
"""Captions on the map: labels, annotations, their places."""

from __future__ import annotations

import random

from canvas import show_canvas
from qgis.core import (
    QgsAnnotationLayer,
    QgsFeatureRequest,
    QgsMapRendererParallelJob,
    QgsProject,
)
from qgis.PyQt.QtGui import QColor

from changescribe.ui.map import annotations, styles
from changescribe.ui.map.placement import Box, Item, place


def test_captions_label_at_large_scales_only(desk):
    layer = desk.run().layer("changes")
    rule = layer.labeling().rootRule().children()[0]
    assert rule.settings().fieldName == "caption"
    assert 500 <= rule.minimumScale() <= 250_000
    assert rule.maximumScale() == 0
    # A rule ends with the labeling that owns it.
    labeling = styles.caption_labels(None)
    assert not labeling.rootRule().children()[0].minimumScale()


def test_what_is_captioned_on_the_map_has_no_label_over_it(desk):
    show_canvas(desk, 800, 600)
    desk.canvas.setExtent(desk.before.extent())
    run = desk.run()
    layer = run.layer("changes")

    def labelled():
        rule = layer.labeling().rootRule().children()[0]
        wanted = rule.filterExpression() or "true"
        assert layer.labelsEnabled()
        assert rule.minimumScale() >= 500
        request = QgsFeatureRequest().setFilterExpression(wanted)
        return sorted(feature["change_id"] for feature in layer.getFeatures(request))

    everything = sorted(feature["change_id"] for feature in layer.getFeatures())
    assert run.captions_shown()
    assert labelled() == []
    desk.dock.results.captions_button.click()
    assert not run.captions_shown()
    assert labelled() == everything
    # What lies outside of the map is not captioned, and has its label when the map gets there.
    first = next(layer.getFeatures())
    bounds = first.geometry().boundingBox()
    bounds.scale(2.5)
    desk.canvas.setExtent(bounds)
    desk.dock.results.captions_button.click()
    assert run.captions_shown()
    assert first["change_id"] not in labelled()
    assert labelled()
    layer.setLabeling(styles.caption_labels(None, classes=True))
    styles.label_all_but(layer, [1])
    assert not layer.labeling().rootRule().children()[0].filterExpression()


def test_ten_largest_captions_are_annotated(desk):
    desk.engine.count = 12
    show_canvas(desk, 1400, 1000)
    desk.canvas.setExtent(desk.before.extent())
    run = desk.run()
    layer = run.layer("captions")
    assert isinstance(layer, QgsAnnotationLayer)
    texts = [i for i in layer.items().values() if i.type() == "pointtext"]
    lines = [i for i in layer.items().values() if i.type() == "linestring"]
    assert 8 <= len(texts) <= annotations.LARGEST
    assert len(lines) == len(texts)
    assert all(i.text().startswith("New building") for i in texts)
    assert desk.dock.results.captions_button.isChecked()


def test_captions_button_hides_and_rebuilds(desk):
    run = desk.run()
    layer = run.layer("captions")
    first = len(layer.items())
    desk.dock.results.captions_button.click()
    assert not run.captions_shown()
    assert not desk.settings.captions_shown
    desk.dock.results.captions_button.click()
    assert run.captions_shown()
    assert run.layer("captions") is layer
    assert len(layer.items()) == first


def test_captions_can_be_off_from_the_start(desk):
    desk.settings.captions_shown = False
    run = desk.run()
    assert run.layer("captions") is None
    assert not desk.dock.results.captions_button.isChecked()
    desk.dock.results.captions_button.click()
    assert run.layer("captions") is not None


def test_captions_are_drawn_where_they_were_placed(desk):
    """The text stands in its box: rendered, nothing of it leaves the map, its box is white."""
    desk.engine.count = 1
    show_canvas(desk, 800, 600)
    desk.canvas.setExtent(desk.before.extent())
    run = desk.run()
    settings = desk.canvas.mapSettings()
    settings.setLayers([run.layer("captions")])
    settings.setBackgroundColor(QColor(0, 0, 0))
    job = QgsMapRendererParallelJob(settings)
    job.start()
    job.waitForFinished()
    image = job.renderedImage()
    white = [
        (x, y)
        for x in range(0, image.width(), 2)
        for y in range(0, image.height(), 2)
        if image.pixelColor(x, y).lightness() > 180
    ]
    assert len(white) > 500
    xs, ys = [x for x, _y in white], [y for _x, y in white]
    assert min(xs) > 0
    assert max(xs) < image.width() - 2
    assert min(ys) > 0
    assert max(ys) < image.height() - 2


def test_removing_the_group_removes_the_captions(desk):
    run = desk.run()
    group = run.group()
    ids = [node.layerId() for node in group.findLayers()]
    assert len(ids) == 3
    group.parent().removeChildNode(group)
    QgsProject.instance().removeMapLayers(ids)
    assert run.group() is None
    assert run.layer("captions") is None
    assert not run.captions_shown()
    desk.dock.results.zoom_button.click()
    assert "no longer in the project" in desk.bar.currentItem().text()
    desk.dock.results.captions_button.click()
    assert not desk.dock.results.captions_button.isChecked()


def test_zoom_places_captions_anew(desk):
    desk.engine.count = 6
    run = desk.run()
    layer = run.layer("captions")
    scale = layer.minimumScale()
    desk.canvas.zoomByFactor(4)
    desk.dock.results.zoom_button.click()
    assert layer.minimumScale() != scale


def test_shortened_captions():
    assert annotations.shorten("New road, by a wood.") == ("New road, by a wood",)
    lines = annotations.shorten("word " * 60)
    assert len(lines) == 3
    assert lines[-1].endswith("\N{HORIZONTAL ELLIPSIS}")
    assert max(len(line) for line in lines) <= 34
    assert annotations.shorten("") == ()
    text = "Some houses are built along the road. 13 buildings appeared (5,300 m²)."
    assert annotations.shorten(text)[-1] == "(5,300\N{NO-BREAK SPACE}m²)"
    assert annotations.shorten("5 ha, 2 km, 3 houses") == (
        "5\N{NO-BREAK SPACE}ha, 2\N{NO-BREAK SPACE}km, 3 houses",
    )


def test_placement_never_overlaps():
    dice = random.Random(7)
    view = Box(0, 0, 1000, 700)
    for _ in range(20):
        items = []
        for _n in range(10):
            x, y = dice.uniform(50, 950), dice.uniform(50, 650)
            items.append(Item((x, y), Box(x - 15, y - 10, 30, 20), dice.uniform(60, 200), 45))
        boxes = [box for box in place(items, view, [i.region for i in items]) if box is not None]
        assert len(boxes) >= 7
        assert all(box.inside(view) for box in boxes)
        for number, box in enumerate(boxes):
            assert not any(box.overlaps(other) for other in boxes[number + 1 :])


def test_placement_gives_up_rather_than_overlap():
    item = Item((50, 50), Box(40, 40, 20, 20), 300, 40)
    assert place([item], Box(0, 0, 100, 100)) == [None]
