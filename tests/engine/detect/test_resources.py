# SPDX-License-Identifier: GPL-3.0-or-later
"""Too little memory or disk space is reported as that; memory does not follow the raster."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Callable

import numpy as np
import pytest
from detect_case import GEOTRANSFORM, changes, scene
from osgeo import gdal, osr

from changescribe.engine import systems
from changescribe.engine.detect import pipeline, resources
from changescribe.engine.errors import InputError, OutOfMemoryError, is_out_of_memory
from changescribe.engine.hosts.base import InProcessHost
from changescribe.engine.raster import writer
from changescribe.engine.raster.reader import RasterSource
from changescribe.engine.raster.support import gdal_call
from changescribe.engine.request import ChangeRequest

MakeRaster = Callable[..., str]


def limited(
    brightness: InProcessHost, monkeypatch: pytest.MonkeyPatch, pixels: int, problem: Exception
) -> list[tuple[int, ...]]:
    """Let the system fail on batches of more pixels; return the shapes of the others."""
    system = systems.create("brightness")
    monkeypatch.setattr(system, "info", replace(system.info, tile_size=256, overlap=32))
    predict, shapes = system.predict, []

    def predict_if_it_fits(before: np.ndarray, *more: object) -> object:
        if before.size // 3 > pixels:
            raise problem
        shapes.append(before.shape)
        return predict(before, *more)

    monkeypatch.setattr(system, "predict", predict_if_it_fits)
    monkeypatch.setattr(brightness, "_systems", {"brightness": system})
    return shapes


@pytest.fixture
def request_(make_raster: MakeRaster, tmp_path: Path) -> ChangeRequest:
    before, after = scene(500, 500), scene(500, 500)
    for top, left in ((40, 40), (120, 300), (350, 110)):
        after[:, top : top + 40, left : left + 60] = 250
    return ChangeRequest(
        before=make_raster("a.tif", before),
        after=make_raster("b.tif", after),
        prompt="buildings",
        output=str(tmp_path / "out.gpkg"),
        system="brightness",
    )


@pytest.mark.parametrize("pixels", [2 * 256 * 256, 256 * 256, 128 * 128])
@pytest.mark.parametrize(
    "problem",
    [
        MemoryError(),
        RuntimeError("[ONNXRuntimeError] : 6 : RUNTIME_EXCEPTION : Failed to allocate memory"),
        RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB."),
    ],
)
def test_batches_and_tiles_are_halved(
    brightness: InProcessHost,
    request_: ChangeRequest,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    pixels: int,
    problem: Exception,
) -> None:
    whole = pipeline.detect(request_, brightness)
    shapes = limited(brightness, monkeypatch, pixels, problem)
    result = pipeline.detect(replace(request_, output=str(tmp_path / "less.gpkg")), brightness)
    assert result.count == whole.count == 3
    assert Path(result.mask).read_bytes() == Path(whole.mask).read_bytes()
    names = ("envelope", "score", "area_m2", "to_class")
    assert [[row[name] for name in names] for row in changes(result.gpkg)] == [
        [row[name] for name in names] for row in changes(whole.gpkg)
    ]
    assert max(np.prod(shape[:3]) for shape in shapes) <= pixels
    assert any("Memory was short" in warning for warning in result.warnings)


def test_no_memory_for_the_smallest_tile(
    brightness: InProcessHost, request_: ChangeRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    limited(brightness, monkeypatch, 100, RuntimeError("CUDA error: out of memory"))
    with pytest.raises(OutOfMemoryError, match="graphics card"):
        pipeline.detect(request_, brightness)
    limited(brightness, monkeypatch, 100, MemoryError())
    with pytest.raises(OutOfMemoryError, match="not enough memory for this run") as error:
        pipeline.detect(request_, brightness)
    assert error.value.exit_code == 1
    assert sorted(p.name for p in Path(request_.output).parent.iterdir()) == ["a.tif", "b.tif"]


def test_a_fault_of_the_system_is_not_repeated(
    brightness: InProcessHost, request_: ChangeRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    limited(brightness, monkeypatch, 0, ZeroDivisionError("division by zero"))
    with pytest.raises(ZeroDivisionError):
        pipeline.detect(request_, brightness)


@pytest.mark.parametrize(
    "report",
    ["Out of memory allocating 80 bytes", "cannot allocate 123456789 bytes", "std::bad_alloc"],
)
def test_gdal_without_memory_does_not_blame_the_file(
    request_: ChangeRequest, monkeypatch: pytest.MonkeyPatch, report: str
) -> None:
    with pytest.raises(OutOfMemoryError):
        gdal_call(gdal.Error, gdal.CE_Failure, gdal.CPLE_OutOfMemory, report)
    with RasterSource.open(request_.before) as source:

        def read(*_: object) -> None:
            gdal.Error(gdal.CE_Failure, gdal.CPLE_OutOfMemory, report)

        monkeypatch.setattr(gdal.Band, "ReadAsArray", read)
        with pytest.raises(OutOfMemoryError):
            source.read(source.grid.window(0, 0, 64, 64))


def test_arrays_without_memory(
    brightness: InProcessHost, request_: ChangeRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read(*_: object) -> None:
        np.zeros(1 << 60, np.uint8)

    monkeypatch.setattr(gdal.Band, "ReadAsArray", read)
    with pytest.raises(OutOfMemoryError):
        pipeline.detect(request_, brightness)


def test_other_errors_are_not_about_memory() -> None:
    assert not is_out_of_memory(InputError("The prompt", "cannot allocate"))
    assert not is_out_of_memory(RuntimeError("no such layer"))


# ---- before the run ----


def huge(tmp_path: Path, side: int) -> str:
    srs = osr.SpatialReference()
    srs.ImportFromEPSG(32633)
    dataset = gdal.GetDriverByName("VRT").Create(str(tmp_path / f"{side}.vrt"), side, side, 3)
    dataset.SetGeoTransform(GEOTRANSFORM)
    dataset.SetProjection(srs.ExportToWkt())
    return dataset.GetDescription()


@pytest.mark.parametrize("side", [2_000_000_000, 100_000_000])
def test_a_raster_without_end_is_refused_in_figures(
    brightness: InProcessHost, request_: ChangeRequest, tmp_path: Path, side: int
) -> None:
    path = huge(tmp_path, side)
    copy = shutil.copy(path, tmp_path / "later.vrt")
    start = time.monotonic()
    with pytest.raises(InputError, match=r"GB of disk space, but only [\d.,]+ GB") as error:
        pipeline.detect(replace(request_, before=path, after=str(copy)), brightness)
    assert f"{side:,} x {side:,} pixels" in str(error.value)
    assert time.monotonic() - start < 10


def test_a_part_of_it_can_be_analysed(
    brightness: InProcessHost, request_: ChangeRequest, tmp_path: Path
) -> None:
    from changescribe.engine.request import Extent

    x, y = GEOTRANSFORM[0], GEOTRANSFORM[3]
    path = huge(tmp_path, 2_000_000_000)
    copy = str(shutil.copy(path, tmp_path / "later.vrt"))
    part = Extent(x + 100, y - 200, x + 200, y - 100)
    request = replace(request_, before=path, after=copy, extent=part)
    assert pipeline.detect(request, brightness).count == 0


def test_too_little_disk_or_memory(
    brightness: InProcessHost, request_: ChangeRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resources, "_free_memory", lambda: 200_000_000)
    with pytest.raises(InputError, match=r"0\.3 GB of memory, but only 0\.2 GB"):
        pipeline.detect(request_, brightness)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=1000))
    with pytest.raises(InputError, match="of disk space"):
        pipeline.detect(request_, brightness)


def test_free_memory_is_known() -> None:
    free = resources._free_memory()
    assert free is not None
    assert 1e7 < free < 1e14


# ---- memory does not follow the raster ----


def test_gdal_caches_no_more_of_a_taller_raster(
    brightness: InProcessHost,
    make_raster: MakeRaster,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(writer, "_CACHED_BYTES", 1 << 19)
    used = {}
    for height in (2048, 8192):
        peaks = [0]
        request = ChangeRequest(
            before=make_raster(f"a{height}.tif", scene(height, 512), nodata=0),
            after=make_raster(f"b{height}.tif", scene(height, 512, 70), nodata=0),
            prompt="buildings",
            output=str(tmp_path / f"{height}.gpkg"),
            system="brightness",
        )
        before = gdal.GetCacheUsed()
        pipeline.detect(
            request,
            brightness,
            lambda _, peaks=peaks, before=before: peaks.append(gdal.GetCacheUsed() - before),
        )
        used[height] = max(peaks)
    assert used[8192] < 1.5 * used[2048]


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.parametrize("megabytes", [600, 700, 800, 900, 1000, 1100, 1300])
def test_the_computer_is_short_of_memory(tmp_path: Path, megabytes: int) -> None:
    """A limited process finishes, or says what it lacks, and blames no file."""
    pytest.importorskip("resource")
    demo = sorted((Path(__file__).parents[3] / "resources" / "demo").glob("demo_2*.tif"))
    code = (
        "import resource, sys\n"
        "limit = int(sys.argv.pop(1))\n"
        "resource.setrlimit(resource.RLIMIT_AS, (limit, limit))\n"
        "from changescribe.engine.cli import main\n"
        "sys.exit(main())\n"
    )
    command = [sys.executable, "-c", code, str(megabytes * 1_000_000), "detect"]
    options = ["--prompt", "buildings built", "--out", str(tmp_path / "out.gpkg")]
    run = subprocess.run(
        [*command, *map(str, demo), *options],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    if run.returncode:
        assert "Error: There is not enough memory for this run." in run.stderr
        assert run.returncode == 1
        assert list(tmp_path.iterdir()) == []
    assert "Traceback" not in run.stderr
    assert run.returncode == (0 if (tmp_path / "out.gpkg").exists() else 1)


CHILD = """
import resource, sys
from changescribe.engine.detect import pipeline
from changescribe.engine.request import ChangeRequest
before, after, output = sys.argv[1:]
pipeline.detect(ChangeRequest(before=before, after=after, prompt="buildings built", output=output))
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.timeout(3600)
def test_peak_memory_of_the_bundled_model(tmp_path: Path) -> None:
    """At 64 megapixels at most a tenth more than at 16."""
    demo = Path(__file__).parents[3] / "resources" / "demo"
    peaks = {}
    for side in (4000, 8000):
        paths = []
        for source in sorted(demo.glob("demo_2*.tif")):
            tile = gdal.Open(str(source))
            values = tile.ReadAsArray()[:3]
            copies = -(-side // values.shape[2])
            path = tmp_path / f"{source.stem}_{side}.tif"
            options = ["TILED=YES", "PHOTOMETRIC=RGB"]
            made = gdal.GetDriverByName("GTiff").Create(
                str(path), side, side, 3, gdal.GDT_Byte, options=options
            )
            made.SetGeoTransform(tile.GetGeoTransform())
            made.SetProjection(tile.GetProjection())
            for y in range(0, side, values.shape[1]):
                rows = values[:, : side - y]
                made.WriteArray(np.tile(rows, (1, 1, copies))[:, :, :side], 0, y)
            made = None
            paths.append(str(path))
        command = [sys.executable, "-c", CHILD, *paths, str(tmp_path / f"{side}.gpkg")]
        run = subprocess.run(command, capture_output=True, text=True, check=True, timeout=1500)
        peaks[side] = int(run.stdout.split()[-1])
    assert peaks[8000] <= 1.1 * peaks[4000], peaks
