# SPDX-License-Identifier: GPL-3.0-or-later
"""The command line: what it prints where, and its exit codes."""

from __future__ import annotations

import json
import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Callable

import numpy as np
import pytest
from osgeo import ogr

from changescribe.engine import systems
from changescribe.engine.cli import app, main
from changescribe.engine.describe import pair as captioning
from changescribe.engine.describe.request import BoxCaption, CaptionRequest
from changescribe.engine.detect import pipeline
from changescribe.engine.errors import InputError
from changescribe.engine.hosts import doctor
from changescribe.engine.hosts.base import InProcessHost
from changescribe.engine.paths import PACKAGE
from changescribe.engine.request import Extent, Progress, Stage


@pytest.fixture
def pair(make_raster: Callable[..., str]) -> tuple[str, str]:
    before = np.full((3, 200, 300), 60, np.uint8)
    after = before.copy()
    after[:, 50:70, 100:140] = 250
    return make_raster("before.tif", before), make_raster("after.tif", after)


@pytest.fixture
def _host(brightness: InProcessHost, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(pipeline, "shared_host", lambda: brightness)
    handlers = {name: signal.getsignal(name) for name in (signal.SIGINT, signal.SIGTERM)}
    yield
    for name, handler in handlers.items():
        signal.signal(name, handler)


def detect(pair: tuple[str, str], out: Path, *options: str) -> int:
    prompt = [] if "--prompt" in options else ["--prompt", "buildings built"]
    return main(["detect", *pair, "--out", str(out), "--system", "brightness", *prompt, *options])


@pytest.mark.usefixtures("_host")
def test_json_is_one_object_and_alone_on_standard_output(
    pair: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    assert detect(pair, tmp_path / "out.gpkg", "--json") == 0
    printed = capsys.readouterr()
    answer = json.loads(printed.out)
    assert answer["schema_version"] == 1
    assert answer["parse"]["queries"] == [{"object": "buildings", "direction": "appeared"}]
    assert answer["counts"] == {"total": 1, "buildings|appeared": 1}
    assert answer["captions"][0]["change_id"] == 1
    for key in ("caption", "timings_s", "device", "warnings"):
        assert key in answer
    assert all(Path(path).is_file() for path in answer["outputs"].values())


@pytest.mark.usefixtures("_host")
def test_without_json_the_caption_is_printed(
    pair: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    assert detect(pair, tmp_path / "out.gpkg") == 0
    assert capsys.readouterr().out.startswith("1 building appeared")


@pytest.mark.usefixtures("_host")
def test_bad_input_exits_with_2(
    pair: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    out = tmp_path / "out.gpkg"
    assert detect(pair, out, "--prompt", "") == 2
    assert "roads built" in capsys.readouterr().err  # the hint gives examples
    assert detect((pair[0], "missing.tif"), out) == 2
    assert detect(pair, out, "--extent", "1,2,3") == 2
    assert detect(pair, out, "--aoi", "missing.shp") == 2
    assert not out.exists()
    assert detect(pair, out) == 0
    assert detect(pair, out) == 2
    assert "add --overwrite" in capsys.readouterr().err
    assert detect(pair, out, "--overwrite") == 0


@pytest.mark.usefixtures("_host")
def test_a_terminal_shows_the_progress_in_english(
    pair: tuple[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    assert detect(pair, tmp_path / "out.gpkg") == 0
    lines = [line.rstrip() for line in capsys.readouterr().err.split("\r")]
    assert "  0% reading" in lines
    assert any(" detecting - tile 13 of 24 - " in line for line in lines)
    assert any(line.startswith("100% done") for line in lines)


def test_the_version_is_that_of_the_package(capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert ended.value.code == 0
    project = (PACKAGE / "pyproject.toml").read_text(encoding="utf-8")
    version = re.search('^version = "(.+)"$', project, re.MULTILINE)[1]
    assert capsys.readouterr().out == f"changescribe {version}\n"


def test_every_stage_has_a_text() -> None:
    assert [app.stage_text(stage) for stage in Stage] == [stage.value for stage in Stage]


@pytest.mark.usefixtures("_host")
@pytest.mark.parametrize("name", [signal.SIGINT, signal.SIGTERM])
def test_interrupt_keeps_what_is_finished(
    pair: tuple[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: int
) -> None:
    def interrupt_at_tile_13(progress: Progress) -> None:
        if progress.tile == 13:
            os.kill(os.getpid(), name)

    monkeypatch.setattr(app, "_show_progress", interrupt_at_tile_13)
    assert detect(pair, tmp_path / "out.gpkg") == 130
    assert (tmp_path / "out.gpkg").exists()


@pytest.mark.usefixtures("_host")
def test_an_area_of_interest_from_a_file(
    pair: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    path = str(tmp_path / "aoi.geojson")
    source = ogr.GetDriverByName("GeoJSON").CreateDataSource(path)
    layer = source.CreateLayer("aoi")  # GeoJSON is in WGS84
    feature = ogr.Feature(layer.GetLayerDefn())
    strip = "POLYGON((15 45,15.0001 45,15.0001 46,15 46,15 45))"
    feature.SetGeometry(ogr.CreateGeometryFromWkt(strip))
    layer.CreateFeature(feature)
    del feature, layer, source
    assert detect(pair, tmp_path / "out.gpkg", "--aoi", path, "--json") == 0
    answer = json.loads(capsys.readouterr().out)
    # A strip of 0.0001 degrees is 7.9 m at 45 degrees north; the raster is 100 m high.
    assert answer["area_analysed_m2"] == pytest.approx(790, rel=0.1)


@pytest.mark.usefixtures("_host")
def test_an_extent_that_begins_with_a_minus(
    pair: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    """Half of the world lies at negative longitudes."""
    extent = "-1000000,4999950,500100,5000000"
    assert detect(pair, tmp_path / "out.gpkg", "--extent", extent, "--json") == 0
    assert json.loads(capsys.readouterr().out)["area_analysed_m2"] == pytest.approx(5004, rel=0.01)


@pytest.mark.usefixtures("_host")
def test_an_unknown_pixel_size_gives_a_note_and_a_given_one_is_used(
    make_raster, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    pixels = np.full((3, 100, 100), 60, np.uint8)
    pair = [make_raster(f"{name}.tif", pixels, None) for name in ("plain_b", "plain_a")]
    captioned = ["caption", *pair, "--system", "brightness"]
    for size, unknown in (((), True), (("--pixel-size", "0.5"), False)):
        assert detect(pair, tmp_path / f"out{unknown}.gpkg", *size) == 0
        assert ("The pixel size on the ground is not known" in capsys.readouterr().err) is unknown
        assert main([*captioned, *size]) == 0
        assert ("The pixel size on the ground is not known" in capsys.readouterr().err) is unknown


@pytest.mark.usefixtures("_host")
def test_captions_of_boxes(
    pair: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    boxes = tmp_path / "boxes.json"
    boxes.write_text("[[90, 40, 150, 80], [0, 100, 300, 200]]")
    code = main(["caption", *pair, "--boxes", str(boxes), "--system", "brightness", "--json"])
    assert code == 0
    printed = capsys.readouterr().out
    first, second = json.loads(printed)
    assert first["box"] == [90, 40, 150, 80]
    assert "1 building appeared" in first["caption"]
    assert "m²" in printed
    assert "No change" in second["caption"]
    with pytest.raises(InputError, match="outside"):
        captioning.caption(CaptionRequest(*pair, ((400, 0, 500, 10),), system="brightness"))


@pytest.mark.usefixtures("_host")
def test_export_writes_a_shapefile(
    pair: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    out = tmp_path / "out.gpkg"
    assert detect(pair, out) == 0
    capsys.readouterr()
    assert main(["export", str(out), str(tmp_path / "out.shp")]) == 0
    assert capsys.readouterr().out == f"Written: {tmp_path / 'out.shp'}\n"
    assert main(["export", str(out), str(tmp_path / "UPPER.SHP")]) == 0
    assert capsys.readouterr().out == f"Written: {tmp_path / 'UPPER.shp'}\n"
    assert (tmp_path / "UPPER.shp").exists()
    source = ogr.Open(str(tmp_path / "out.shp"))
    assert source.GetLayer(0).GetFeatureCount() == 1
    assert main(["export", str(out), str(tmp_path / "out.xyz")]) == 2
    assert main(["export", str(tmp_path / "no.gpkg"), str(tmp_path / "x.shp")]) == 2


def test_models_and_doctor(
    capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert main(["models", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)[0]["name"] == "bundled"
    monkeypatch.setenv("CHANGESCRIBE_WEIGHTS", str(tmp_path / "weights"))
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\necho 2.12 on CUDA \\(a card\\)\n")
    python.chmod(0o755)
    monkeypatch.setenv("CHANGESCRIBE_WORKER_PYTHON", str(python))
    assert main(["doctor"]) == 0
    rows = dict(line.split(": ", 1) for line in capsys.readouterr().out.splitlines())
    assert rows["GDAL"]
    assert rows["PyTorch in the worker process"] == "2.12 on CUDA (a card)"
    ours = "runs in this process (onnxruntime); has all its weights"
    assert rows["system bundled"] == ours
    zero_shot = rows["system zero-shot"]
    assert zero_shot.startswith("runs in a worker process (PyTorch); lacks sam2.1_hiera_base_plus")
    assert "(324 MB)" in zero_shot
    assert set(systems.names()) == {name[7:] for name in rows if name.startswith("system ")}
    python.write_text("#!/bin/sh\necho 'ImportError: no torch' >&2\nexit 1\n")
    assert doctor.doctor_worker()[1] == (
        "PyTorch in the worker process",
        "none (ImportError: no torch)",
    )


def test_extent() -> None:
    assert app.parse_extent("1,2,3,4") == Extent(1, 2, 3, 4)
    assert app.parse_extent("1,2,3,4,EPSG:4326") == Extent(1, 2, 3, 4, "EPSG:4326")
    for text in ("", "1,2,3", "3,2,1,4", "a,b,c,d"):
        with pytest.raises(InputError):
            app.parse_extent(text)


@pytest.mark.usefixtures("_host")
def test_captions_are_printed_as_they_come_and_stay_when_cancelled(
    pair: tuple[str, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    def caption(*_: object, captioned, cancelled, **__: object) -> list[BoxCaption]:
        captioned(BoxCaption((0, 0, 9, 9), "A house is built."))
        assert not cancelled()
        signal.raise_signal(signal.SIGINT)
        assert cancelled()
        return []

    monkeypatch.setattr(captioning, "caption", caption)
    assert main(["caption", *pair]) == 130
    assert capsys.readouterr().out == "A house is built.\n"


def test_boxes_cut_at_the_edge_give_a_note_and_boxes_outside_an_error(
    pair: tuple[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
) -> None:
    requests = []
    monkeypatch.setattr(captioning, "caption", lambda request, **_: requests.append(request) or [])
    path = tmp_path / "boxes.json"
    path.write_text("[[0, 0, 50, 50], [250, 150, 400, 400]]")
    assert main(["caption", *pair, "--boxes", str(path)]) == 0
    notes = capsys.readouterr().err
    assert "The box [250, 150, 400, 400] reaches beyond the raster of 300 x 200 pixels" in notes
    assert "[0, 0, 50, 50]" not in notes
    for text, problem in (
        ("[[0, 0, 9, 9], [300, 0, 310, 10]]", "lies outside the raster"),
        ('[[0, 0, "a", 9]]', "does not consist of numbers"),
        ("[[0, 0, NaN, 9]]", "does not consist of numbers"),
    ):
        path.write_text(text)
        assert main(["caption", *pair, "--boxes", str(path)]) == 2
        assert problem in capsys.readouterr().err
    assert len(requests) == 1
