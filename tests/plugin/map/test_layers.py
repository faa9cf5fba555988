# SPDX-License-Identifier: GPL-3.0-or-later
"""What a run puts into the project: group, styles, labels, map tips, captions as annotations."""

from __future__ import annotations

import base64
import dataclasses
import os
import re
import shutil
import sqlite3
from pathlib import Path

import fake_engine
import numpy as np
import pytest
from qgis.core import (
    QgsCoordinateReferenceSystem,
    QgsExpression,
    QgsExpressionContext,
    QgsExpressionContextUtils,
    QgsProject,
    QgsRasterLayer,
    QgsVectorLayer,
)
from qgis.PyQt.QtGui import QImage, qGray
from waiting import wait_until

from changescribe.engine.results import journal
from changescribe.ui.map import labels, layers, styles, tip_pictures


def names_in(group):
    return [node.layer().name() for node in group.findLayers()]


def test_group_on_top_with_files_only(desk):
    desk.engine.count = 4
    run = desk.run()
    root = QgsProject.instance().layerTreeRoot()
    group = root.children()[0]
    assert group.name() == "buildings built, 2016 \N{RIGHTWARDS ARROW} 2023"
    title = group.name()
    assert names_in(group) == [title, f"{title} (mask)"]
    assert {layer.providerType() for layer in (run.layer("changes"), run.layer("mask"))} == {
        "ogr",
        "gdal",
    }
    assert not [
        layer
        for layer in QgsProject.instance().mapLayers().values()
        if layer.providerType() == "memory"
    ]
    assert run.layer("changes").featureCount() == 4
    assert run.layer("changes").crs() == desk.before.crs()
    assert desk.dock.results.list.item(0).text().startswith(group.name() + "\n4 changes")


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
    kinds = [
        ("roads", "appeared"),
        ("roads", "removed"),
        ("houses", "appeared"),
        ("trees", "appeared"),
        ("pools", "appeared"),
        ("houses", "removed"),
    ]
    renderer = styles.region_renderer(kinds)  # kept, since it owns the symbols
    found = [
        (
            category.symbol().symbolLayer(1).strokeColor().name(),
            category.symbol().symbolLayer(1).strokeStyle(),
        )
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
    [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.098216],
        [-0.003882, -0.048116, 1.051998],
    ],
    [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.303900],
    ],
)


def lab(name, sight):
    """CIE L*a*b* of a colour as it is seen."""
    value = np.array([int(name[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    linear = np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)
    linear = np.clip(np.array(sight) @ linear, 0, 1)
    xyz = (
        np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
        @ linear
        / np.array([0.95047, 1, 1.08883])
    )
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


def test_shades_differ_for_every_kind_of_sight():
    """A difference of 2.3 is just noticeable; outlines on imagery need several times that."""
    names = [
        styles.shade_of(way, i) for way in ("appeared", "removed", "changed") for i in range(3)
    ]
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


def test_map_tip_in_another_language(desk, monkeypatch):
    """Translations may have quotes, and other orders of words."""
    french = {
        "score": "note d'essai",
        "{object} appeared": "apparition d'un objet ({object})",
        "{count} pixels": "nombre d'unités : {count}",
        "not known": "on n'en sait rien",
    }
    layer = desk.run().layer("changes")
    monkeypatch.setattr(styles, "tr", lambda text: french.get(text, f"[{text}]"))
    monkeypatch.setattr("changescribe.ui.translation.tr", styles.tr)
    context = QgsExpressionContext(QgsExpressionContextUtils.globalProjectLayerScopes(layer))
    feature = next(layer.getFeatures())
    for name in ("caption", "area_m2", "from_class", "to_class"):
        feature[name] = None
    context.setFeature(feature)
    html = QgsExpression.replaceExpressionText(styles.map_tip(), context)
    assert "[%" not in html
    assert "<b>apparition d'un objet (buildings)</b>" in html
    assert "nombre d'unités : " in html
    assert "on n'en sait rien" in html
    labels = re.findall(r"<tr><td>(.+?)</td>", html)
    assert labels == ["note d'essai", "[area]", "[what]", "[cover]", "[dates]"]


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
        function.unregister()
    assert pictures() == []


def test_classes_label_the_polygons_of_a_system_that_tells_them(desk):
    layer = desk.run().layer("changes")
    layer.setLabeling(labels.caption_labels(None, classes=True))
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


def test_project_brings_runs_and_captions_back(desk, tmp_path):
    desk.engine.count = 5
    run = desk.run()
    path = str(tmp_path / "project.qgz")
    assert QgsProject.instance().write(path)
    QgsProject.instance().clear()
    assert desk.dock.results.list.count() == 0
    assert QgsProject.instance().read(path)
    assert desk.dock.results.list.count() == 1
    restored = desk.dock.results.current
    assert restored == run
    assert restored.captions_shown()
    assert desk.dock.results.captions_button.isChecked()


def test_a_run_killed_in_its_last_moment_is_finished_when_the_project_opens(
    desk, tmp_path, monkeypatch
):
    run = desk.run()
    path = str(tmp_path / "project.qgz")
    assert QgsProject.instance().write(path)
    QgsProject.instance().clear()

    def killed(_: Path) -> None:
        raise KeyError

    def commit_newer_results() -> None:
        new = Path(shutil.copy(run.gpkg, tmp_path / "new.gpkg"))
        database = sqlite3.connect(new)
        triggers = "SELECT name FROM sqlite_master WHERE type = 'trigger'"
        for (name,) in database.execute(triggers).fetchall():
            database.execute(f'DROP TRIGGER "{name}"')
        database.execute("UPDATE changes SET status = 'newer'")
        database.commit()
        database.close()
        with (
            journal.Claim(Path(run.mask), overwrite=True) as mask,
            journal.Claim(Path(run.gpkg), overwrite=True) as changes,
        ):
            mask.stage(Path(shutil.copy(run.mask, tmp_path / "new.tif")))
            changes.stage(new)
            journal.commit(mask, changes)

    with monkeypatch.context() as patch:
        patch.setattr(journal, "_finish", killed)
        with pytest.raises(KeyError):
            commit_newer_results()
    assert QgsProject.instance().read(path)
    layer = desk.dock.results.current.layer("changes")
    assert {feature["status"] for feature in layer.getFeatures()} == {"newer"}
    folder = Path(run.gpkg).parent
    assert not [name for name in os.listdir(folder) if name.startswith(".changescribe-")]


def test_zoom(desk):
    desk.canvas.setDestinationCrs(QgsCoordinateReferenceSystem("EPSG:4326"))
    desk.run()
    desk.dock.results.zoom_button.click()
    extent = desk.canvas.extent()
    assert 14.9 < extent.center().x() < 15.1
    assert extent.width() < 0.01


def test_missing_result_file_is_an_error(desk):
    def lose(*args, **kwargs):
        result = fake_engine.FakeEngine()(*args, **kwargs)
        os.remove(result.gpkg)
        return result

    desk.controller.thread_._detect = lose
    desk.dock.run.detect_button.click()
    wait_until(lambda: desk.ends)
    assert desk.ends == ["failed"]
    assert "Cannot open the results" in str(desk.controller.last_error)
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
