# SPDX-License-Identifier: GPL-3.0-or-later
"""A request with known changes."""

from __future__ import annotations

from pathlib import Path
from typing import Callable

import pytest
from detect_case import scene

from changescribe.engine.request import ChangeRequest

MakeRaster = Callable[..., str]


@pytest.fixture
def request_(make_raster: MakeRaster, tmp_path: Path) -> ChangeRequest:
    """One building of 40 x 20 pixels (200 m²) appears, one of 20 x 20 (100 m²) is removed."""
    before, after = scene(), scene()
    after[:, 50:70, 100:140] = 250
    before[:, 150:170, 200:220] = 250
    return ChangeRequest(
        before=make_raster("town_2012-05-04.tif", before),
        after=make_raster("town_2019.tif", after),
        prompt="buildings",
        output=str(tmp_path / "out.gpkg"),
        system="brightness",
    )
