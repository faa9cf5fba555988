# SPDX-License-Identifier: GPL-3.0-or-later
"""``import changescribe.engine as cs``: light, typed, and enough for a notebook."""

from __future__ import annotations

import inspect
import json
import pickle
import runpy
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest

import changescribe.engine as cs
from changescribe.engine import api, systems
from changescribe.engine.describe import pair as captioning
from changescribe.engine.describe.request import BoxCaption
from changescribe.engine.detect import pipeline
from changescribe.engine.errors import DependencyError, ExistsError, InputError
from changescribe.engine.hosts.base import InProcessHost
from changescribe.engine.systems.base import ChangeSystem

EXAMPLES = Path(__file__).resolve().parents[2] / "docs" / "examples"


@pytest.fixture
def pair(make_raster: Callable[..., str]) -> tuple[str, str]:
    before = np.full((3, 200, 300), 60, np.uint8)
    after = before.copy()
    after[:, 50:70, 100:140] = 250
    return make_raster("before.tif", before), make_raster("after.tif", after)


@pytest.fixture(autouse=True)
def _host(brightness: InProcessHost, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipeline, "shared_host", lambda: brightness)
    monkeypatch.setattr(captioning, "shared_host", lambda: brightness)


def detect(pair: tuple[str, str], **options: object) -> cs.ChangeResult:
    return cs.detect(*pair, "buildings built", system="brightness", **options)


def _python(code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_the_import_loads_nothing_else():
    code = """
import sys
import changescribe.engine as cs
own = sorted(name for name in sys.modules if name.startswith("changescribe"))
assert own == ["changescribe", "changescribe.engine"], own
missing = [name for name in cs.__all__ if name not in dir(cs)]
assert not missing, missing
cs.ChangeRequest, cs.ChangeScribeError, cs.Extent, cs.ChangeResult, cs.detect, cs.systems, cs.export
heavy = {"numpy", "osgeo", "torch", "onnxruntime", "geopandas", "pandas"} & set(sys.modules)
assert not heavy, heavy
"""
    _python(code)


@pytest.mark.parametrize(
    "line",
    [
        "import changescribe.engine.detect.pipeline; from changescribe.engine import systems",
        "from changescribe.engine import detect, describe, systems",
        "import changescribe.engine as cs; cs.describe; cs.detect; cs.systems",
    ],
)
def test_packages_are_functions_too_however_they_are_imported(line):
    code = f"""
{line}
import changescribe.engine as cs
from changescribe.engine.detect import pipeline
from changescribe.engine.systems import names
import changescribe.engine.describe.pair
assert cs.systems.names() == names() == tuple(system.name for system in cs.systems())
try:
    cs.detect("no.tif", "no.tif", "roads built")
except cs.ChangeScribeError as error:
    print(error.message)
"""
    assert "no.tif" in _python(code)


def test_every_public_name_is_there_and_documented():
    for name in cs.__all__:
        assert inspect.getdoc(getattr(cs, name)), name
    for name in ("describe", "detect", "export", "systems"):
        assert inspect.getdoc(getattr(cs, name)) == inspect.getdoc(getattr(api, name))
        assert inspect.signature(getattr(cs, name)) == inspect.signature(getattr(api, name))
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        cs.nothing  # noqa: B018


def test_detect_writes_to_the_given_path(pair, tmp_path):
    out = tmp_path / "out.gpkg"
    result = detect(pair, out=out)
    assert result.count == 1
    assert result.paths["gpkg"] == out
    assert all(path.is_file() for path in result.paths.values())
    with pytest.raises(ExistsError):
        detect(pair, out=out)
    assert detect(pair, out=out, overwrite=True, threshold=0.9).count == 0


def test_without_an_output_each_run_has_files_of_its_own_until_the_process_ends(pair):
    first, second = (detect(pair).paths["gpkg"] for _ in range(2))
    assert first != second
    assert first.is_file()
    code = """
import sys
from changescribe.engine import api
print(api._temporary_output())
"""
    folder = Path(_python(code)).parent
    assert not folder.exists()
    assert not folder.parent.exists()


def test_options_are_those_of_the_request_with_plain_extents_and_area_files(pair, tmp_path):
    whole = detect(pair)
    xmin, ymin, xmax, ymax = whole.regions[0].bounds
    assert detect(pair, extent=(xmin, ymin, xmax, ymax)).count == 1
    ring = [(xmin, ymin), (xmax, ymin), (xmax, ymax), (xmin, ymax), (xmin, ymin)]
    area = tmp_path / "area.json"
    area.write_text(json.dumps({"type": "Polygon", "coordinates": [ring]}))
    with pytest.raises(InputError):  # GeoJSON is in degrees: elsewhere
        detect(pair, area=area)
    with pytest.raises(InputError, match=r"no\.gpkg"):
        detect(pair, area="no.gpkg")
    with pytest.raises(TypeError, match="treshold"):
        detect(pair, treshold=0.4)


def test_describe_gives_a_caption_for_the_pair_or_for_each_box(pair):
    (whole,) = cs.describe(*pair, system="brightness")
    assert whole.box == (0, 0, 300, 200)
    assert whole.caption.startswith("1 building appeared")
    boxes = [(0, 0, 90, 100), (90, 40, 150, 80)]
    nothing, house = cs.describe(*pair, boxes, system="brightness")
    assert (nothing.box, house.box) == tuple(boxes)
    assert "building" in house.caption
    assert "building" not in nothing.caption


def test_export_takes_a_result_or_a_path(pair, tmp_path):
    result = detect(pair)
    for number, changes in enumerate((result, result.gpkg, Path(result.gpkg))):
        out = tmp_path / f"{number}.geojson"
        assert cs.export(changes, out) == ()
        assert len(json.loads(out.read_text())["features"]) == 1
    with pytest.raises(ExistsError):
        cs.export(result, out)
    assert cs.export(result, out, overwrite=True, min_score=1.1) == ()
    assert json.loads(out.read_text())["features"] == []


def test_a_result_has_a_five_line_repr_and_escaped_html(pair, tmp_path):
    result = detect(pair, out=tmp_path / "a & <b>.gpkg")
    lines = repr(result).splitlines()
    assert len(lines) == 5
    assert lines[0] == result.caption
    assert lines[1].endswith("a & <b>.gpkg (1)")
    shown = result._repr_html_()
    assert "a &amp; &lt;b&gt;.gpkg" in shown
    assert "<b>" not in shown
    assert shown.count("<tr>") == 4
    assert pickle.loads(pickle.dumps(result)) == result  # noqa: S301


def test_a_geodataframe_is_read_from_the_layer_of_changes(pair, monkeypatch):
    result = detect(pair)
    fake = ModuleType("geopandas")
    fake.read_file = lambda path, layer: SimpleNamespace(path=path, layer=layer)
    monkeypatch.setitem(sys.modules, "geopandas", fake)
    frame = result.to_geodataframe()
    assert (frame.path, frame.layer) == (result.gpkg, "changes")
    monkeypatch.setitem(sys.modules, "geopandas", None)
    with pytest.raises(DependencyError) as raised:
        result.to_geodataframe()
    assert "pip install geopandas" in raised.value.hint


def test_a_geodataframe_has_the_fields_of_the_layer(pair):
    pytest.importorskip("geopandas")
    frame = detect(pair).to_geodataframe()
    assert list(frame["object"]) == ["buildings"]
    assert frame.geometry.area.sum() > 0


def test_systems_list_what_they_lack(monkeypatch):
    found = {system.name: system for system in cs.systems()}
    assert next(iter(found)) == "bundled"
    assert found["bundled"].usable
    assert found["bundled"].lacks == ()
    assert found["bundled"].terms
    assert not found["lgcd"].usable
    assert any("SAM 2.1" in text for text in found["lgcd"].lacks)

    def broken(_: str) -> ChangeSystem:
        raise InputError("It is broken.")

    monkeypatch.setattr(systems, "create", broken)
    assert next(iter(cs.systems())).lacks == ("It is broken.",)


def test_the_first_steps_run(tmp_path, monkeypatch, capsys):
    """The real model, on the demo pair: the numbers are those of its truth, roughly."""
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    names = runpy.run_path(str(EXAMPLES / "first_steps.py"))
    assert 90 <= names["result"].count <= 150
    assert len(names["part"].counts) == 2
    assert len(names["captions"]) == 2
    assert names["geojson"].is_file()
    assert "overlap" in capsys.readouterr().out
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"prompt": None}, "prompt is not text"),
        ({"extent": (1, 2, 3)}, "extent cannot be read"),
        ({"extent": "1,2,3,4"}, "extent cannot be read"),
        ({"threshold": "high"}, "threshold is not a number"),
        ({"date_before": 1234567}, "1234567"),
    ],
)
def test_what_cannot_be_read_is_an_input_error(options, message):
    given = {"prompt": "roads built", **options}
    with pytest.raises(cs.ChangeScribeError, match=message):
        cs.detect("before.tif", "after.tif", **given)


@pytest.mark.parametrize("boxes", [[(1, 2, 3)], (0, 0, 9, 9), 7])
def test_boxes_that_are_none_are_an_input_error(boxes):
    with pytest.raises(cs.ChangeScribeError, match="boxes cannot be read"):
        cs.describe("before.tif", "after.tif", boxes=boxes)


def test_a_list_is_shown_in_five_lines_and_as_a_table() -> None:
    rows = [api.SystemState(f"s{n}", "<Title>", n > 0, ("weights",), "") for n in range(6)]
    lines = repr(api.Listing(rows)).split("\n")
    assert lines[0] == "s0: <Title>: lacks weights"
    assert lines[1:] == ["s1: <Title>", "s2: <Title>", "s3: <Title>", "... and 2 more"]
    assert repr(api.Listing(rows[1:3])) == "s1: <Title>\ns2: <Title>"
    table = api.Listing(rows)._repr_html_()
    assert table.count("<tr>") == 6
    assert "<td>&lt;Title&gt;</td>" in table
    caption = BoxCaption((0, 0, 4, 4), "Two houses appeared.")
    assert repr(api.Listing([caption])) == "(0, 0, 4, 4): Two houses appeared."
