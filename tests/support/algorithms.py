# SPDX-License-Identifier: GPL-3.0-or-later
"""Run Processing algorithms with a small system, and read the rows they write."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("qgis.core")
from osgeo import ogr

from changescribe.engine.request import APPEARED
from changescribe.engine.systems.base import ChangeSystem, SystemInfo, TilePrediction

SIZE = 96


#: Upper left corner and pixel size of the rasters of ``make_raster``.
LEFT, TOP, PIXEL = 500000.0, 5000000.0, 0.5


class BrightnessSystem(ChangeSystem):
    """Scores brighter pixels as appeared and darker ones as removed."""

    info = SystemInfo(
        name="bundled",
        title="Brightness",
        description="For tests.",
        pixel_sizes=(PIXEL,),
        classes=("building",),
        tile_size=64,
        overlap=16,
        batch_size=2,
        revision="test",
        terms="none",
    )
    stop = None

    def load(self, device="auto"):
        self._device = device

    @property
    def device(self):
        return "CPU (test)"

    def predict(self, before, after, queries, hints=None):
        if self.stop is not None:
            self.stop()
        difference = (after.astype(np.float32) - before.astype(np.float32)).mean(-1) / 255
        planes = [difference if q.direction == APPEARED else -difference for q in queries]
        return TilePrediction(np.clip(np.stack(planes, 1), 0, 1))


def detect(pair, **parameters):
    import processing

    given = {"BEFORE": pair[0], "AFTER": pair[1], "PROMPT": "buildings built"}
    return processing.run("changescribe:detectchanges", {**given, **parameters})


def caption(pair, feedback=None, **parameters):
    import processing

    given = {"BEFORE": pair[0], "AFTER": pair[1], "OUTPUT": "TEMPORARY_OUTPUT"}
    return processing.run("changescribe:captionchanges", {**given, **parameters}, feedback=feedback)


def rows(path, layer="changes"):
    source = ogr.Open(str(path))
    assert source is not None, path
    table = source.GetLayerByName(layer)
    assert table is not None, layer
    return [
        feature.items() | {"geometry": feature.geometry() and feature.geometry().Clone()}
        for feature in table
    ]
