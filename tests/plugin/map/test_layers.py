# SPDX-License-Identifier: GPL-3.0-or-later
"""What a run puts into the project: group, styles, labels, map tips, captions as annotations."""

from __future__ import annotations

import base64
import dataclasses
import os
import random
import re

import fake_engine
import numpy as np
import pytest
from qgis.core import (
    QgsAnnotationLayer,
    QgsCoordinateReferenceSystem,
    QgsExpression,
    QgsExpressionContext,
    QgsExpressionContextUtils,
    QgsFeatureRequest,
    QgsMapRendererParallelJob,
    QgsProject,
    QgsRasterLayer,
    QgsVectorLayer,
)
from qgis.PyQt.QtGui import QColor, QImage, qGray
from waiting import wait_until

from changescribe.ui.map import annotations, layers, styles, tip_pictures
from changescribe.ui.map.placement import Box, Item, place


def names_in(group):
    return [node.layer().name() for node in group.findLayers()]


def show_canvas(desk, width, height):
    desk.canvas.setMinimumSize(width, height)
    desk.canvas.window().show()
    desk.canvas.show()
    wait_until(lambda: desk.canvas.mapSettings().outputSize().width() >= width - 10)


def test_group_on_top_with_files_only(desk):
    desk.engine.count = 4
    run = desk.run()
    root = QgsProject.instance().layerTreeRoot()
    group = root.children()[0]
    assert group.name() == "buildings built, 2016 \N{RIGHTWARDS ARROW} 2023"
    assert names_in(group) == ["captions", "changes", "mask"]
    assert {layer.providerType() for layer in (run.layer("changes"), run.layer("mask"))} == {
        "ogr", "gdal"}
    assert not [layer for layer in QgsProject.instance().mapLayers().values()
                if layer.providerType() == "memory"]
    assert run.layer("changes").featureCount() == 4
    assert run.layer("changes").crs() == desk.before.crs()
    assert desk.dock.results.list.item(0).text().startswith(group.name() + "\n4 found")


def test_legend_counts_no_features(desk):
    """QGIS's counting thread and the main thread both ask the project for its variables."""
    run = desk.run()
    assert not run.group().findLayer(run.layer("changes").id()).customProperty("showFeatureCount")


def test_polygon_symbols(desk):
    desk.dock.prompt.set_text("new roads and demolished buildings")
    run = desk.run()
    renderer = run.layer("changes").renderer()
    found = {c.value(): c for c in renderer.categories()}
    assert {c.label() for c in found.values()} == {"roads appeared", "buildings removed"}
    for value, colour in (("roads|appeared", "#0072b2"), ("buildings|removed", "#d55e00")):
        symbol = found[value].symbol()
        halo, fill = symbol.symbolLayer(0), symbol.symbolLayer(1)
        assert fill.strokeColor().name() == colour
        assert fill.fillColor().name() == colour
        assert fill.fillColor().alphaF() == pytest.approx(0.2, abs=0.01)
        assert fill.strokeWidth() == 0.5
        assert halo.width() > fill.strokeWidth()
        assert halo.color().lightness() > 240


def test_objects_of_a_direction_have_shades_of_its_colour():
    kinds = [("roads", "appeared"), ("roads", "removed"), ("houses", "appeared"),
             ("trees", "appeared"), ("pools", "appeared"), ("houses", "removed")]
    renderer = styles.region_renderer(kinds)  # kept, since it owns the symbols
    found = [
        (category.symbol().symbolLayer(1).strokeColor().name(),
         category.symbol().symbolLayer(1).strokeStyle())
        for category in renderer.categories()
    ]
    colours = [colour for colour, _pen in found]
    assert colours[:2] == ["#0072b2", "#d55e00"]
    assert len(set(colours)) == 5  # the fourth object that appeared has the first one's colour
    assert colours[4] == colours[0]
    assert found[4][1] != found[0][1]


#: Linear RGB as seen without red, green or blue receptors (Machado, Oliveira and Fernandes 2009).
SIGHTS = (
    np.eye(3),
    [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.098216],
     [-0.003882, -0.048116, 1.051998]],
    [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413],
     [-0.011820, 0.042940, 0.968881]],
    [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602],
     [0.004733, 0.691367, 0.303900]],
)


def lab(name, sight):
    """CIE L*a*b* of a colour as it is seen."""
    value = np.array([int(name[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    linear = np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)
    linear = np.clip(np.array(sight) @ linear, 0, 1)
    xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722],
                    [0.0193, 0.1192, 0.9505]]) @ linear / np.array([0.95047, 1, 1.08883])
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


def test_shades_differ_for_every_kind_of_sight():
    """A difference of 2.3 is just noticeable; outlines on imagery need several times that."""
    names = [styles.shade_of(way, i) for way in ("appeared", "removed", "changed")
             for i in range(3)]
    for sight in SIGHTS:
        seen = [lab(name, sight) for name in names]
        for i, one in enumerate(seen):
            assert all(np.linalg.norm(one - other) > 12 for other in seen[:i])


def test_every_feature_falls_into_a_category(desk):
    desk.dock.prompt.set_text("new roads and demolished buildings")
    layer = desk.run().layer("changes")
    values = {c.value() for c in layer.renderer().categories()}
    expression = QgsExpression(layer.renderer().classAttribute())
    context = QgsExpressionContext(QgsExpressionContextUtils.globalProjectLayerScopes(layer))
    for feature in layer.getFeatures():
        context.setFeature(feature)
        assert expression.evaluate(context) in values


def test_style_is_saved_in_the_geopackage(desk):
    run = desk.run()
    again = QgsVectorLayer(f"{run.gpkg}|layername=changes", "x", "ogr")
    assert [c.label() for c in again.renderer().categories()] == ["buildings appeared"]
    assert again.mapTipTemplate() == styles.map_tip()
    assert again.labelsEnabled()
    stem = os.path.splitext(run.gpkg)[0]
    written = sorted(os.listdir(os.path.dirname(run.gpkg)))
    assert os.path.basename(stem) + "_mask.qml" in written
    mask = QgsRasterLayer(run.mask, "m")
    assert [c.label for c in mask.renderer().classes()][1:] == ["appeared", "removed", "changed"]
    assert not [name for name in written if name.endswith(".aux.xml")]


def test_mask_style(desk):
    run = desk.run()
    classes = {c.value: c.color for c in run.layer("mask").renderer().classes()}
    assert set(classes) == {0, 1, 2, 3}
    assert classes[0].alpha() == 0
    assert classes[1].name() == "#0072b2"


def test_metadata_holds_prompt_and_sources(desk):
    run = desk.run()
    abstract = run.layer("changes").metadata().abstract()
    for text in ("buildings built", desk.before.source(), "2016-05-04", "CPU (2 threads)"):
        assert text in abstract
    assert run.layer("mask").metadata().identifier() == run.run_id


def test_map_tip(desk):
    layer = desk.run().layer("changes")
    context = QgsExpressionContext(QgsExpressionContextUtils.globalProjectLayerScopes(layer))
    feature = next(layer.getFeatures())
    context.setFeature(feature)
    html = QgsExpression.replaceExpressionText(layer.mapTipTemplate(), context)
    assert "[%" not in html
    assert feature["caption"] in html
    assert "0.90" in html
    assert "m&sup2;" in html
    assert "tree &rarr; building" in html


def test_map_tip_shows_text_as_it_is(desk):
    layer = desk.run().layer("changes")
    context = QgsExpressionContext(QgsExpressionContextUtils.globalProjectLayerScopes(layer))
    feature = next(layer.getFeatures())
    for name in ("caption", "object", "from_class", "date_before"):
        feature[name] = "<img src=x> & more"
    context.setFeature(feature)
    html = QgsExpression.replaceExpressionText(layer.mapTipTemplate(), context)
    assert "<img" not in html
    assert html.count("&lt;img src=x&gt; &amp; more") == 4


def test_map_tip_without_values(desk):
    layer = desk.run().layer("changes")
    context = QgsExpressionContext(QgsExpressionContextUtils.globalProjectLayerScopes(layer))
    feature = next(layer.getFeatures())
    for name in ("caption", "score", "area_m2", "from_class", "to_class", "date_before"):
        feature[name] = None
    context.setFeature(feature)
    html = QgsExpression.replaceExpressionText(layer.mapTipTemplate(), context)
    assert "NULL" not in html
    assert "pixels" in html
    assert "not known" in html


def test_map_tip_shows_both_dates(desk):
    layer = desk.run().layer("changes")
    context = QgsExpressionContext(QgsExpressionContextUtils.globalProjectLayerScopes(layer))
    context.setFeature(next(layer.getFeatures()))

    def pictures():
        html = QgsExpression.replaceExpressionText(layer.mapTipTemplate(), context)
        assert "[%" not in html
        found = re.findall(r'src="data:image/png;base64,([^"]+)"', html)
        return [QImage.fromData(base64.b64decode(text)) for text in found]

    assert pictures() == []
    function = tip_pictures.register()
    try:
        # Drawn as the project shows them.
        desk.after.brightnessFilter().setBrightness(120)
        sides = range(10, tip_pictures.SIDE, 10)
        before, after = (
            [qGray(image.pixel(x, y)) for x in sides for y in sides] for image in pictures()
        )
        assert np.mean(before) < np.mean(after) - 40
        QgsProject.instance().removeMapLayer(desk.before.id())
        assert len(pictures()) == 2, "from the file"
        layer.setCustomProperty(tip_pictures.BEFORE_PROPERTY, "/nowhere.tif")
        assert len(pictures()) == 1
    finally:
        function.take_back()
    assert pictures() == []


def test_captions_label_at_large_scales_only(desk):
    layer = desk.run().layer("changes")
    rule = layer.labeling().rootRule().children()[0]
    assert rule.settings().fieldName == "caption"
    assert 500 <= rule.minimumScale() <= 250_000
    assert rule.maximumScale() == 0
    assert not styles.caption_labels(None).rootRule().children()[0].minimumScale()


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


def test_classes_label_the_polygons_of_a_system_that_tells_them(desk):
    layer = desk.run().layer("changes")
    layer.setLabeling(styles.caption_labels(None, classes=True))
    settings = layer.labeling().rootRule().children()[0].settings()
    assert settings.isExpression
    expression = QgsExpression(settings.fieldName)
    context = QgsExpressionContext(QgsExpressionContextUtils.globalProjectLayerScopes(layer))
    feature = next(layer.getFeatures())
    feature["from_class"], feature["to_class"] = "low vegetation", "building"
    context.setFeature(feature)
    assert expression.evaluate(context) == "low vegetation \N{RIGHTWARDS ARROW} building"
    feature["from_class"] = None
    context.setFeature(feature)
    assert expression.evaluate(context) == feature["caption"]


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
    white = [(x, y) for x in range(0, image.width(), 2) for y in range(0, image.height(), 2)
             if image.pixelColor(x, y).lightness() > 180]
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


def test_project_brings_runs_and_captions_back(desk, tmp_path):
    desk.engine.count = 5
    run = desk.run()
    before = len(run.layer("captions").items())
    path = str(tmp_path / "project.qgz")
    assert QgsProject.instance().write(path)
    QgsProject.instance().clear()
    assert desk.dock.results.list.count() == 0
    assert QgsProject.instance().read(path)
    assert desk.dock.results.list.count() == 1
    restored = desk.dock.results.current
    assert restored == run
    assert len(restored.layer("captions").items()) == before
    assert restored.captions_shown()
    assert desk.dock.results.captions_button.isChecked()


def test_zoom(desk):
    desk.canvas.setDestinationCrs(QgsCoordinateReferenceSystem("EPSG:4326"))
    desk.run()
    desk.dock.results.zoom_button.click()
    extent = desk.canvas.extent()
    assert 14.9 < extent.center().x() < 15.1
    assert extent.width() < 0.01


def test_zoom_places_captions_anew(desk):
    desk.engine.count = 6
    run = desk.run()
    layer = run.layer("captions")
    scale = layer.minimumScale()
    desk.canvas.zoomByFactor(4)
    desk.dock.results.zoom_button.click()
    assert layer.minimumScale() != scale


def test_missing_result_file_is_an_error(desk):
    def lose(*args, **kwargs):
        result = fake_engine.FakeEngine()(*args, **kwargs)
        os.remove(result.gpkg)
        return result

    desk.controller.thread_._detect = lose
    desk.dock.run.detect_button.click()
    wait_until(lambda: desk.ends)
    assert desk.ends == ["failed"]
    assert "cannot be opened" in str(desk.controller.last_error)
    assert not QgsProject.instance().layerTreeRoot().findGroups()


def test_title():
    title = layers.title_of("roads built", "2016-05-04", "2016-09-01")
    assert title == "roads built, 2016-05-04 \N{RIGHTWARDS ARROW} 2016-09-01"
    assert layers.title_of("roads built", None, "2016") == "roads built"


def test_dates_that_only_the_engine_knows(desk):
    """Such as those of a raster's metadata; the fields in the dock are empty then."""
    def dated(*args, **kwargs):
        result = fake_engine.FakeEngine()(*args, **kwargs)
        return dataclasses.replace(result, date_before="2011-02-03", date_after="2014")

    desk.controller.thread_._detect = dated
    desk.dock.layers.before_date.setText("")
    desk.dock.layers.after_date.setText("")
    run = desk.run()
    assert run.title == "buildings built, 2011 \N{RIGHTWARDS ARROW} 2014"
    assert "2011-02-03" in run.layer("changes").metadata().abstract()


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
        "5\N{NO-BREAK SPACE}ha, 2\N{NO-BREAK SPACE}km, 3 houses",)


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
            assert not any(box.overlaps(other) for other in boxes[number + 1:])


def test_placement_gives_up_rather_than_overlap():
    item = Item((50, 50), Box(40, 40, 20, 20), 300, 40)
    assert place([item], Box(0, 0, 100, 100)) == [None]
