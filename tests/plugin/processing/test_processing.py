# SPDX-License-Identifier: GPL-3.0-or-later
"""The Processing algorithms in a real QGIS, with a small system instead of the bundled model."""

from __future__ import annotations

import os
import re

import numpy as np
import pytest
from algorithms import LEFT, PIXEL, SIZE, TOP, BrightnessSystem, caption, detect, rows

pytest.importorskip("qgis.core")

from osgeo import gdal
from qgis.core import (
    QgsApplication,
    QgsCoordinateReferenceSystem,
    QgsProcessingAlgRunnerTask,
    QgsProcessingContext,
    QgsProcessingException,
    QgsProcessingFeedback,
    QgsProcessingOutputLayerDefinition,
    QgsProject,
    QgsRasterLayer,
    QgsRectangle,
    QgsReferencedRectangle,
    QgsVectorLayer,
)
from qgis.PyQt.QtCore import QEventLoop, QTimer

from changescribe.engine import systems
from changescribe.engine.detect.resume import resumable
from changescribe.engine.errors import DependencyError
from changescribe.engine.hosts import routing
from changescribe.engine.hosts.base import InProcessHost
from changescribe.engine.weights import catalogue
from changescribe.ui.packages import tiers
from changescribe.ui.packages.install import require
from changescribe.ui.processing.provider import ChangeScribeProvider

# --- the provider ----------------------------------------------------------------------------


def test_provider_offers_three_algorithms_and_can_come_and_go(provider) -> None:
    registry = QgsApplication.processingRegistry()
    names = sorted(algorithm.name() for algorithm in provider.algorithms())
    assert names == ["captionchanges", "detectchanges", "exportchanges"]
    assert provider.name() == "ChangeScribe"
    assert os.path.isfile(provider.svgIconPath())
    assert not provider.icon().isNull()
    for algorithm in provider.algorithms():
        assert algorithm.shortHelpString()
        assert algorithm.helpUrl().startswith("https://")
        assert not algorithm.flags() & algorithm.Flag.FlagNoThreading
        assert algorithm.flags() & algorithm.Flag.FlagCanCancel
    registry.removeProvider("changescribe")
    assert registry.algorithmById("changescribe:detectchanges") is None
    again = ChangeScribeProvider()
    registry.addProvider(again)
    assert registry.algorithmById("changescribe:detectchanges") is not None
    registry.removeProvider("changescribe")


def test_parameters_are_those_of_the_output_contract(provider) -> None:
    algorithm = QgsApplication.processingRegistry().algorithmById("changescribe:detectchanges")
    names = {p.name() for p in algorithm.parameterDefinitions()}
    assert {
        "BEFORE",
        "AFTER",
        "PROMPT",
        "SYSTEM",
        "EXTENT",
        "THRESHOLD",
        "MIN_AREA",
        "PIXEL_SIZE",
        "ALIGN",
        "CLOUDS",
        "MASK_BEFORE",
        "MASK_AFTER",
        "MASK_VALUES",
        "DEVICE",
        "OUTPUT",
        "MASK",
        "SCORE",
    } <= names
    assert {o.name() for o in algorithm.outputDefinitions()} >= {
        "OUTPUT",
        "MASK",
        "SCORE",
        "CAPTION",
    }


def test_without_onnxruntime_the_algorithm_says_so(provider, monkeypatch) -> None:
    monkeypatch.setattr(tiers, "_importable", lambda _name: False)
    registry = QgsApplication.processingRegistry()
    for name, expected in (("detectchanges", False), ("exportchanges", True)):
        outcome = registry.algorithmById(f"changescribe:{name}").create().canExecute()
        able, message = outcome if isinstance(outcome, tuple) else (outcome, "")
        assert able is expected
        assert ("onnxruntime" in message) is not expected
    # The command works in a terminal, where there is no panel.
    python, rest = re.search('run: "(.+?)" -m pip install (.+)', dependencies_hint()).groups()
    assert os.path.isfile(python)
    assert f'--target "{tiers.folder()}"' in rest
    assert '"onnxruntime>=1.19,<2"' in rest


def dependencies_hint() -> str:
    with pytest.raises(DependencyError) as caught:
        require()
    return caught.value.hint


@pytest.mark.parametrize("name", ["lgcd", "mmchange", "textscd", "zero-shot"])
def test_a_system_without_its_weights_names_them(
    qgis_app, qgis_processing, pair, monkeypatch, tmp_path, name
) -> None:
    """The engine's own words reach the log of the algorithm, from the system as it is."""
    monkeypatch.setenv("CHANGESCRIBE_WEIGHTS", str(tmp_path / "store"))
    monkeypatch.setattr(tiers, "missing", lambda tier=None: ())
    host = InProcessHost()
    monkeypatch.setattr(routing, "shared_host", lambda: host)
    provider = ChangeScribeProvider()
    QgsApplication.processingRegistry().addProvider(provider)
    try:
        with pytest.raises(QgsProcessingException) as caught:
            detect(pair, SYSTEM=name, OUTPUT=str(tmp_path / "out.gpkg"))
    finally:
        QgsApplication.processingRegistry().removeProvider("changescribe")
    words = str(caught.value)
    for entry in map(catalogue.entry, systems.create(name).info.weights):
        assert f"({entry.file}, {entry.size_text})" in words
        assert f"--id {entry.id}" in words
    assert "Import from folder" in words


# --- detect ----------------------------------------------------------------------------------


def test_detect_writes_the_output_contract(provider, pair, tmp_path) -> None:
    out = tmp_path / "out.gpkg"
    result = detect(
        pair, OUTPUT=str(out), MASK=str(tmp_path / "m.tif"), SCORE=str(tmp_path / "s.tif")
    )
    assert result["OUTPUT"] == str(out)
    (change,) = rows(out)
    assert change["direction"] == "appeared"
    assert change["prompt"] == "buildings built"
    assert change["area_px"] == 600
    assert change["area_m2"] == pytest.approx(600 * PIXEL**2, rel=0.01)
    assert (change["date_before"], change["date_after"]) == ("2012-05-04", "2019")
    xmin, xmax, ymin, ymax = change["geometry"].GetEnvelope()
    assert (xmin - LEFT, TOP - ymax) == pytest.approx((8 * PIXEL, 10 * PIXEL), abs=PIXEL)
    assert (xmax - LEFT, TOP - ymin) == pytest.approx((38 * PIXEL, 30 * PIXEL), abs=PIXEL)
    (run,) = rows(out, "runs")
    assert run["caption"] == result["CAPTION"]
    assert result["CAPTION"]
    assert result["COUNT"] == 1
    mask = gdal.Open(result["MASK"]).ReadAsArray()
    assert mask.shape == (SIZE, SIZE)
    assert mask[15, 15] == 1
    assert mask[75, 65] == 0
    score = gdal.Open(result["SCORE"]).ReadAsArray()
    assert score[15, 15] > 200
    assert sorted(p.name for p in tmp_path.iterdir() if not p.name.startswith("town")) == [
        "m.tif",
        "out.gpkg",
        "s.tif",
    ]


def test_detect_replaces_what_is_there(provider, pair, tmp_path) -> None:
    out = tmp_path / "out.gpkg"
    detect(pair, OUTPUT=str(out))
    detect(pair, OUTPUT=str(out), PROMPT="buildings demolished")
    assert [row["direction"] for row in rows(out)] == ["removed"]
    assert len(rows(out, "runs")) == 1


def test_detect_to_temporary_outputs(provider, pair) -> None:
    result = detect(pair, OUTPUT="TEMPORARY_OUTPUT", MASK="TEMPORARY_OUTPUT")
    assert result["OUTPUT"].endswith(".gpkg")
    layer = QgsVectorLayer(result["OUTPUT"], "changes", "ogr")
    assert layer.isValid()
    assert "caption" in layer.fields().names()
    assert layer.featureCount() == 1
    assert QgsRasterLayer(result["MASK"]).isValid()
    assert "SCORE" not in result


@pytest.mark.parametrize("extension", ["shp", "geojson"])
def test_detect_to_another_format(provider, pair, tmp_path, extension) -> None:
    out = tmp_path / f"out.{extension}"
    result = detect(pair, OUTPUT=str(out))
    assert result["OUTPUT"] == str(out)
    layer = QgsVectorLayer(str(out), "changes", "ogr")
    assert layer.featureCount() == 1
    assert not (tmp_path / "out.gpkg").exists()


@pytest.mark.parametrize("extension", ["gpkg", "shp"])
def test_map_tip_only_where_its_fields_are(provider, pair, tmp_path, extension) -> None:
    import processing

    out = tmp_path / f"out.{extension}"
    context = QgsProcessingContext()
    project = QgsProject()
    context.setProject(project)
    detect_parameters = {
        "BEFORE": pair[0],
        "AFTER": pair[1],
        "PROMPT": "buildings built",
        "OUTPUT": QgsProcessingOutputLayerDefinition(str(out), project),
    }
    processing.run("changescribe:detectchanges", detect_parameters, context=context)
    (source,) = context.layersToLoadOnCompletion()
    layer = QgsVectorLayer(source, "changes", "ogr")
    details = context.layersToLoadOnCompletion()[source]
    details.postProcessor().postProcessLayer(layer, context, QgsProcessingFeedback())
    assert layer.renderer().type() == "categorizedSymbol"
    assert bool(layer.mapTipTemplate()) == (extension == "gpkg")


def test_extent_is_understood_in_any_crs(provider, pair, tmp_path) -> None:
    # The lower half only: the block that appeared lies outside.
    middle = TOP - SIZE * PIXEL / 2
    box = QgsRectangle(LEFT, TOP - SIZE * PIXEL, LEFT + SIZE * PIXEL, middle)
    plain = f"{box.xMinimum()},{box.xMaximum()},{box.yMinimum()},{box.yMaximum()}"
    crs = QgsCoordinateReferenceSystem("EPSG:32633")
    for number, extent in enumerate(
        (
            plain,
            f"{plain} [EPSG:32633]",
            QgsReferencedRectangle(box, crs),
        )
    ):
        out = tmp_path / f"out{number}.gpkg"
        detect(
            pair,
            OUTPUT=str(out),
            EXTENT=extent,
            PROMPT="anything changed",
            MASK=str(tmp_path / f"m{number}.tif"),
        )
        (run,) = rows(out, "runs")
        assert gdal.Open(str(tmp_path / f"m{number}.tif")).RasterYSize == SIZE // 2
        assert rows(out) == [] or all(r["direction"] != "appeared" for r in rows(out))
        assert run["caption"]
    geographic = "14.99,15.01,45.1,45.2 [EPSG:4326]"
    detect(pair, OUTPUT=str(tmp_path / "geo.gpkg"), EXTENT=geographic)
    assert len(rows(tmp_path / "geo.gpkg")) == 1


def test_minimum_area_threshold_and_bands_reach_the_engine(provider, pair, tmp_path) -> None:
    out = str(tmp_path / "out.gpkg")
    assert detect(pair, OUTPUT=out, MIN_AREA=200.0)["COUNT"] == 0
    assert detect(pair, OUTPUT=out, MIN_AREA=100.0)["COUNT"] == 1
    assert detect(pair, OUTPUT=out, THRESHOLD=0.95)["COUNT"] == 0
    assert detect(pair, OUTPUT=out, BANDS_BEFORE=[1, 2, 3], BANDS_AFTER=[3, 2, 1])["COUNT"] == 1
    with pytest.raises(QgsProcessingException, match=r"[Bb]and"):
        detect(pair, OUTPUT=out, BANDS_AFTER=[7])


def test_the_pixel_size_reaches_the_engine(provider, make_raster, tmp_path) -> None:
    pixels = np.full((3, SIZE, SIZE), 20, np.uint8)
    pair = [make_raster(name, pixels, None) for name in ("one.tif", "two.tif")]
    detect(pair, OUTPUT=str(tmp_path / "out.gpkg"), PIXEL_SIZE=1.0)
    assert rows(tmp_path / "out.gpkg", "runs")[0]["told_pixel_size"] == 1.0
    tiles = [caption(pair, LEVEL="tiles", **size) for size in ({}, {"PIXEL_SIZE": 1.0})]
    assert tiles[1]["OUTPUT"].featureCount() > tiles[0]["OUTPUT"].featureCount()


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"PROMPT": ""}, "rompt"),
        ({"AFTER": "missing.tif"}, "AFTER"),
        ({"EXTENT": "0,1,0,1 [EPSG:32633]"}, "."),
    ],
)
def test_bad_input_is_explained_and_leaves_nothing(provider, pair, tmp_path, parameters, words):
    out = tmp_path / "out.gpkg"
    with pytest.raises(QgsProcessingException, match=words):
        detect(pair, OUTPUT=str(out), **parameters)
    assert [p.name for p in tmp_path.iterdir() if not p.name.startswith("town")] == []


def test_an_online_map_is_refused_with_a_way_out(provider, pair, tmp_path) -> None:
    url = "type=xyz&url=http://127.0.0.1:9/%7Bz%7D/%7Bx%7D/%7By%7D.png&zmax=19&zmin=0"
    layer = QgsRasterLayer(url, "streets", "wms")
    if not layer.isValid():
        pytest.skip("this QGIS has no provider for online maps")
    QgsProject.instance().addMapLayer(layer)
    with pytest.raises(QgsProcessingException, match=r"online map.*GeoTIFF"):
        detect(pair, AFTER=layer.id(), OUTPUT=str(tmp_path / "out.gpkg"))
    QgsProject.instance().removeMapLayer(layer.id())


def test_cancel_keeps_what_is_finished(provider, pair, tmp_path, monkeypatch) -> None:
    import processing

    feedback = QgsProcessingFeedback()
    monkeypatch.setattr(BrightnessSystem, "stop", feedback.cancel)
    out = tmp_path / "out.gpkg"
    result = processing.run(
        "changescribe:detectchanges",
        {"BEFORE": pair[0], "AFTER": pair[1], "PROMPT": "buildings built", "OUTPUT": str(out)},
        feedback=feedback,
    )
    assert rows(out, "runs")[0]["partial"]
    assert result["OUTPUT"] == str(out)
    hidden = [p.name for p in tmp_path.iterdir() if not p.name.startswith(("town", "out."))]
    # What the run needs to go on, and nothing else.
    assert len(hidden) == 1
    assert hidden[0].startswith(".changescribe-")
    assert resumable(str(out)).prompt == "buildings built"


def test_progress_reaches_the_feedback(provider, pair, tmp_path) -> None:
    import processing

    class Feedback(QgsProcessingFeedback):
        texts: list[str] = []  # noqa: RUF012

        def setProgressText(self, text):
            self.texts.append(text)

    feedback = Feedback()
    values = []
    feedback.progressChanged.connect(values.append)
    processing.run(
        "changescribe:detectchanges",
        {
            "BEFORE": pair[0],
            "AFTER": pair[1],
            "PROMPT": "buildings built",
            "OUTPUT": str(tmp_path / "out.gpkg"),
        },
        feedback=feedback,
    )
    assert values
    assert max(values) <= 100
    assert any("etecting" in text for text in feedback.texts)


def test_runs_in_a_thread_and_loads_styled_layers(
    provider, pair, tmp_path, qgis_new_project, monkeypatch
):
    from processing.gui import Postprocessing

    # QGIS 3.44 passes the layer tree's view on to C++, which takes no mock.
    monkeypatch.setattr(Postprocessing, "iface", None, raising=False)
    project = QgsProject.instance()
    context = QgsProcessingContext()
    context.setProject(project)
    feedback = QgsProcessingFeedback()
    algorithm = (
        QgsApplication.processingRegistry().algorithmById("changescribe:detectchanges").create()
    )
    parameters = {
        "BEFORE": pair[0],
        "AFTER": pair[1],
        "PROMPT": "buildings built, buildings demolished",
        "OUTPUT": QgsProcessingOutputLayerDefinition(str(tmp_path / "out.gpkg"), project),
        "MASK": QgsProcessingOutputLayerDefinition(str(tmp_path / "m.tif"), project),
    }
    task = QgsProcessingAlgRunnerTask(algorithm, parameters, context, feedback)
    loop = QEventLoop()
    outcome = []

    def on_executed(ok, results):
        outcome.append((ok, results))
        loop.quit()

    task.executed.connect(on_executed)
    QTimer.singleShot(60_000, loop.quit)
    QgsApplication.taskManager().addTask(task)
    loop.exec()
    assert outcome
    assert outcome[0][0]
    assert Postprocessing.handleAlgorithmResults(algorithm, context, feedback)
    layers = {type(layer).__name__: layer for layer in QgsProject.instance().mapLayers().values()}
    changes = layers["QgsVectorLayer"]
    assert changes.source().endswith("|layername=changes")
    assert changes.featureCount() == 2
    # Not what Processing gives a new layer: a category for each object and direction.
    assert len(changes.renderer().legendSymbolItems()) >= 2
    assert "caption" in changes.mapTipTemplate()
    assert layers["QgsRasterLayer"].renderer().type() == "paletted"


# --- export ----------------------------------------------------------------------------------


def test_export_to_shapefile(provider, pair, tmp_path) -> None:
    import processing

    out = detect(pair, OUTPUT=str(tmp_path / "out.gpkg"))["OUTPUT"]
    layer = QgsVectorLayer(f"{out}|layername=changes", "changes", "ogr")
    for number, source in enumerate((layer, out, f"{out}|layername=changes")):
        path = str(tmp_path / f"export{number}.shp")
        result = processing.run("changescribe:exportchanges", {"INPUT": source, "OUTPUT": path})
        assert result["OUTPUT"] == path
        exported = QgsVectorLayer(path, "exported", "ogr")
        assert exported.featureCount() == 1
        assert os.path.exists(path[:-3] + "cpg")


def test_export_refuses_other_layers(provider, make_raster, tmp_path) -> None:
    import processing

    layer = QgsVectorLayer("Polygon?crs=EPSG:4326", "fields", "memory")
    with pytest.raises(QgsProcessingException, match=r"fields.*detection"):
        processing.run(
            "changescribe:exportchanges", {"INPUT": layer, "OUTPUT": str(tmp_path / "x.shp")}
        )


# --- caption ---------------------------------------------------------------------------------
