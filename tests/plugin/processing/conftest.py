# SPDX-License-Identifier: GPL-3.0-or-later
"""The provider with a small system, and a pair of rasters."""

from __future__ import annotations

import numpy as np
import pytest
from algorithms import SIZE, BrightnessSystem

pytest.importorskip("qgis.core")
from qgis.core import (
    QgsApplication,
)

from changescribe.engine import systems
from changescribe.engine.hosts import routing
from changescribe.engine.hosts.base import InProcessHost
from changescribe.ui.processing.provider import ChangeScribeProvider


@pytest.fixture
def provider(qgis_app, qgis_processing, monkeypatch):
    """The provider in the registry, and a host of its own with the small system."""
    monkeypatch.setattr(systems, "create", lambda _name: BrightnessSystem())
    monkeypatch.setattr(BrightnessSystem, "stop", None)
    host = InProcessHost()
    monkeypatch.setattr(routing, "shared_host", lambda: host)
    provider = ChangeScribeProvider()
    QgsApplication.processingRegistry().addProvider(provider)
    yield provider
    QgsApplication.processingRegistry().removeProvider("changescribe")


@pytest.fixture
def pair(make_raster):
    """Two rasters: a block of 20 x 30 pixels appears, one of 10 x 12 disappears."""
    before = np.full((3, SIZE, SIZE), 20, np.uint8)
    before[:, 70:80, 60:72] = 240
    after = np.full((3, SIZE, SIZE), 20, np.uint8)
    after[:, 10:30, 8:38] = 240
    return make_raster("town_2012-05-04.tif", before), make_raster("town_2019.tif", after)
