# SPDX-License-Identifier: GPL-3.0-or-later
"""A request as text: the same run again."""

from __future__ import annotations

import pytest

from changescribe.engine.request import Area, ChangeRequest, Extent, Hints
from changescribe.engine.results.record import from_json, to_json

FULL = ChangeRequest(
    before="/a/before.tif",
    after="/a/after.tif",
    prompt="Dächer gebaut",
    output="/out/x.gpkg",
    system="bundled",
    extent=Extent(1.0, 2.0, 3.5, 4.0, "EPSG:32633"),
    area=Area("POLYGON((0 0,0 1,1 1,0 0))"),
    bands_before=(3, 2, 1),
    threshold=0.35,
    min_area=0.0,
    hints=Hints(competing=("grass", "water"), partners=(("trees",), ())),
    nodata_before=((0.0, 3.0),),
    mask="/out/mask.tif",
    overwrite=True,
)


def test_a_request_comes_back_without_its_outputs():
    again = from_json(to_json(FULL), "/new/y.gpkg")
    assert (again.output, again.mask, again.overwrite) == ("/new/y.gpkg", None, False)
    same = from_json(to_json(FULL), FULL.output, mask=FULL.mask, overwrite=True)
    assert same == FULL
    assert "ä" in to_json(FULL)


def test_rasters_that_moved_and_keys_of_a_later_version():
    text = to_json(FULL).replace("{", '{"later": [1], ', 1)
    assert from_json(text, before="/b/before.tif").before == "/b/before.tif"


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"before": "x", "after": "y"}'])
def test_what_is_not_a_request(text):
    with pytest.raises(ValueError):
        from_json(text)
