# SPDX-License-Identifier: GPL-3.0-or-later
"""A local file never makes GDAL fetch anything."""

from __future__ import annotations

import http.server
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from osgeo import gdal

from changescribe.engine.errors import InputError
from changescribe.engine.raster.area import read_area
from changescribe.engine.raster.offline import _check_kind, open_file
from changescribe.engine.raster.source import open_dataset
from changescribe.engine.results.detected import Detected
from changescribe.engine.results.export import export

WMS = """<GDAL_WMS><Service name="WMS"><Version>1.1.1</Version><ServerUrl>{url}/wms?</ServerUrl>
<SRS>EPSG:4326</SRS><ImageFormat>image/jpeg</ImageFormat><Layers>x</Layers></Service>
<DataWindow><UpperLeftX>-180</UpperLeftX><UpperLeftY>90</UpperLeftY><LowerRightX>180</LowerRightX>
<LowerRightY>-90</LowerRightY><SizeX>640</SizeX><SizeY>320</SizeY></DataWindow>
<BandsCount>3</BandsCount></GDAL_WMS>"""
WCS = "<WCS_GDAL><ServiceURL>{url}/wcs?</ServiceURL><CoverageName>x</CoverageName></WCS_GDAL>"
VRT = """<VRTDataset rasterXSize="8" rasterYSize="8"><GeoTransform>0,1,0,0,0,-1</GeoTransform>
<VRTRasterBand dataType="Byte" band="1"><SimpleSource>
<SourceFilename relativeToVRT="{relative}">{source}</SourceFilename><SourceBand>1</SourceBand>
<SrcRect xOff="0" yOff="0" xSize="8" ySize="8"/><DstRect xOff="0" yOff="0" xSize="8" ySize="8"/>
</SimpleSource></VRTRasterBand></VRTDataset>"""
OGR_VRT = """<OGRVRTDataSource><OGRVRTLayer name="changes">
<SrcDataSource>{source}</SrcDataSource></OGRVRTLayer></OGRVRTDataSource>"""


class Counter(http.server.BaseHTTPRequestHandler):
    """Counts requests."""

    requests: list[str] = []  # noqa: RUF012 - one server at a time

    def do_GET(self) -> None:
        self.requests.append(self.path)
        self.send_error(404)

    do_HEAD = do_POST = do_GET  # noqa: N815

    def log_message(self, *_: object) -> None:
        """Print nothing."""


@pytest.fixture
def url() -> Iterator[str]:
    Counter.requests.clear()
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Counter)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def vrt(source: str, relative: int = 0) -> str:
    return VRT.format(source=source, relative=relative)


def hostile(folder: Path, kind: str, url: str) -> Path:
    """Write a file that leads GDAL to ``url``."""
    escaped = WMS.format(url=url).replace("<", "&lt;").replace('"', "&quot;")
    contents = {
        "vsicurl": vrt(f"/vsicurl/{url}/x.tif"),
        "vsicurl with options": vrt(f"/vsicurl?max_retry=1&amp;url={url}/x.tif"),
        "streaming": vrt(f"/vsicurl_streaming/{url}/x.tif"),
        "http": vrt(f"{url}/x.tif"),
        "inside a zip": vrt(f"/vsizip//vsicurl/{url}/x.zip/x.tif"),
        "inline": vrt(escaped),
        "service": WMS.format(url=url),
        "coverage": WCS.format(url=url),
        "declared": "\ufeff<?xml version='1.0'?>\n" + WCS.format(url=url),
    }
    (folder / "wms.xml").write_text(WMS.format(url=url))
    (folder / "inner.vrt").write_text(contents["vsicurl"])
    contents["nested"] = vrt("inner.vrt", 1)
    contents["nested service"] = vrt("wms.xml", 1)
    path = folder / "image.tif"
    path.write_text(contents[kind], encoding="utf-8")
    return path


KINDS = [
    "vsicurl", "vsicurl with options", "streaming", "http", "inside a zip", "inline", "service",
    "coverage", "declared", "nested", "nested service",
]  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_a_local_raster_fetches_nothing(kind: str, url: str, tmp_path: Path) -> None:
    path = hostile(tmp_path, kind, url)
    with pytest.raises(InputError, match="takes its data from the network"):
        open_dataset(str(path))
    assert Counter.requests == []


def test_a_local_vector_file_fetches_nothing(url: str, tmp_path: Path) -> None:
    path = tmp_path / "areas.gpkg"
    for source in (f"{url}/x.geojson", f"/vsicurl/{url}/x.geojson", f"WFS:{url}/wfs"):
        path.write_text(OGR_VRT.format(source=source))
        for read in (read_area, Detected, lambda p: export(p, str(tmp_path / "out.shp"))):
            with pytest.raises(InputError, match="takes its data from the network"):
                read(str(path))
    assert Counter.requests == []


def test_what_is_not_recognized_cannot_fetch_either(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("changescribe.engine.raster.offline._remote_source", lambda *_: "")
    path = hostile(tmp_path, "coverage", url)
    assert open_file(str(path), gdal.OF_RASTER)[0] is None
    assert Counter.requests == []


def test_an_address_that_the_user_typed_is_fetched(url: str) -> None:
    assert open_file(f"/vsicurl/{url}/x.tif", gdal.OF_RASTER)[0] is None
    assert Counter.requests


def test_a_mosaic_of_local_files_opens(tmp_path: Path) -> None:
    tile = str(tmp_path / "tile.tif")
    raster = gdal.GetDriverByName("GTiff").Create(tile, 8, 8)
    raster.GetRasterBand(1).WriteArray(np.full((8, 8), 7, np.uint8))
    raster.SetMetadataItem("SOURCE", "http://example.org/terms")
    raster = None
    (tmp_path / "inner.vrt").write_text(vrt("tile.tif", 1))
    (tmp_path / "mosaic.vrt").write_text(vrt("inner.vrt", 1))
    mosaic = open_dataset(str(tmp_path / "mosaic.vrt"))
    assert (mosaic.ReadAsArray() == 7).all()


def test_a_mosaic_of_itself_is_no_endless_search(tmp_path: Path) -> None:
    path = tmp_path / "loop.vrt"
    path.write_text(vrt("loop.vrt", 1))
    open_file(str(path), gdal.OF_RASTER)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs pipes")
@pytest.mark.parametrize(
    "path",
    [
        "{pipe}",
        "{folder}/mosaic.vrt",
        "/vsigzip/{pipe}",
        "/vsizip/{pipe}/inside.tif",
        "/vsizip/{{{pipe}}}/inside.tif",
        "/vsisubfile/0_100,{pipe}",
        "NETCDF:{pipe}:layer",
        "/dev/zero",
        "/dev/stdin",
        "/vsistdin/",
        "/vsitar//dev/zero",
    ],
)
def test_devices_and_pipes_are_no_rasters(path: str, tmp_path: Path) -> None:
    """In a process of its own: it would wait for a writer of the pipe for ever."""
    pipe = tmp_path / "pipe.tif"
    os.mkfifo(pipe)
    vrt = VRT.replace("{relative}", "1").replace("{source}", pipe.name)
    (tmp_path / "mosaic.vrt").write_text(vrt, encoding="utf-8")
    code = (
        "import sys\n"
        "from changescribe.engine.raster.reader import RasterSource\n"
        "from changescribe.engine.raster.area import read_area\n"
        "from changescribe.engine.errors import InputError\n"
        "for read in (RasterSource.open, read_area):\n"
        "    try: read(sys.argv[1])\n"
        "    except InputError as error: print(error)\n"
    )
    path = path.format(pipe=pipe, folder=tmp_path)
    run = subprocess.run(
        [sys.executable, "-c", code, path],
        stdin=subprocess.PIPE,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert run.stdout.count("is a device or a pipe, not a file.") == 2


def test_looking_for_devices_takes_no_time() -> None:
    start = time.monotonic()
    for path in ("/" * 5000, "/a" * 5000, "<VRTDataset>" + "/a" * 20000, "a:/" * 5000):
        _check_kind(path)
    assert time.monotonic() - start < 1
