# SPDX-License-Identifier: GPL-3.0-or-later
"""Outputs appear complete or not at all."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
from osgeo import gdal

from changescribe.engine import writing
from changescribe.engine.errors import CancelledError, ChangeScribeError, InputError, OutputError
from changescribe.engine.raster import writer as writer_module
from changescribe.engine.raster.grid import Grid
from changescribe.engine.raster.support import same_crs, spatial_reference
from changescribe.engine.raster.writer import RasterWriter, warp_to

UTM = spatial_reference("EPSG:32633").ExportToWkt()
GRID = Grid(300, 280, (500000.0, 0.5, 0.0, 5000000.0, 0.0, -0.5), UTM)


def test_everything_is_in_the_file(tmp_path):
    path = str(tmp_path / "out_score.tif")
    scores = np.arange(4 * 280 * 300).reshape(4, 280, 300) % 255
    names = ["roads|appeared", "trees|removed", "a|b", "c|d"]
    with RasterWriter(path, GRID, 4, np.uint8, 255, names, 1 / 254) as writer:
        writer.write(0, 0, scores[:, :100].astype(np.uint8))
        writer.write(0, 100, scores[:, 100:].astype(np.uint8))
        assert not os.path.exists(path)
        writer.commit()
    assert os.listdir(tmp_path) == ["out_score.tif"]
    dataset = gdal.Open(path)
    np.testing.assert_array_equal(dataset.ReadAsArray(), scores)
    assert dataset.GetGeoTransform() == GRID.geotransform
    assert dataset.GetSpatialRef().GetAuthorityCode(None) == "32633"
    band = dataset.GetRasterBand(1)
    assert band.GetBlockSize() == [256, 256]
    assert dataset.GetMetadataItem("COMPRESSION", "IMAGE_STRUCTURE") == "DEFLATE"
    assert [dataset.GetRasterBand(i + 1).GetDescription() for i in range(4)] == names
    assert band.GetScale() == pytest.approx(1 / 254)
    assert band.GetNoDataValue() == 255
    # Four bands of bytes are not a picture with transparency.
    kinds = [dataset.GetRasterBand(i + 1).GetColorInterpretation() for i in range(4)]
    assert gdal.GCI_AlphaBand not in kinds
    assert gdal.GCI_RedBand not in kinds


def test_colours(tmp_path):
    path = str(tmp_path / "mask.tif")
    colours = {0: (0, 0, 0, 0), 1: (200, 30, 30, 255)}
    with RasterWriter(path, GRID, colours=colours, nodata=255) as writer:
        writer.commit()
    dataset = gdal.Open(path)
    table = dataset.GetRasterBand(1).GetRasterColorTable()
    assert table.GetColorEntry(1) == (200, 30, 30, 255)
    assert os.listdir(tmp_path) == ["mask.tif"]


def test_what_is_not_written_is_nodata(tmp_path):
    path = str(tmp_path / "part.tif")
    with RasterWriter(path, GRID, nodata=255) as writer:
        writer.write(10, 20, np.ones((1, 30, 40), np.uint8))
        writer.commit()
    values = gdal.Open(path).ReadAsArray()
    assert (values[20:50, 10:50] == 1).all()
    assert (values == 255).sum() == values.size - 30 * 40


@pytest.mark.parametrize("geotransform", [(0.0, 1.0, 0.0, 0.0, 0.0, -1.0), (7, 1, 0, -9, 0, -1)])
def test_without_georeference(tmp_path, geotransform):
    path = str(tmp_path / "plain.tif")
    with RasterWriter(path, Grid(20, 10, geotransform, ""), nodata=255) as writer:
        writer.commit()
    dataset = gdal.Open(path)
    assert dataset.GetGeoTransform(can_return_null=True) == geotransform
    assert dataset.GetSpatialRef() is None
    assert os.listdir(tmp_path) == ["plain.tif"]


def test_a_crs_that_tiff_cannot_hold(tmp_path):
    pole = (
        "+proj=ob_tran +o_proj=longlat +o_lon_p=0 +o_lat_p=40 +lon_0=10 +R=6371229 "
        "+to_meter=0.0174532925199433"
    )
    grid = Grid(20, 10, (1.0, 0.1, 0.0, 2.0, 0.0, -0.1), spatial_reference(pole).ExportToWkt())
    path = str(tmp_path / "out.tif")
    with RasterWriter(path, grid) as writer:
        writer.commit()
    assert same_crs(gdal.Open(path).GetSpatialRef().ExportToWkt(), grid.crs_wkt)
    with RasterWriter(path, grid) as writer:
        writer.flush()
    assert not [name for name in os.listdir(tmp_path) if ".part" in name]


def test_abort_and_errors_leave_nothing(tmp_path):
    path = tmp_path / "out.tif"
    writer = RasterWriter(str(path), GRID)
    writer.write(0, 0, np.ones((1, 280, 300), np.uint8))
    writer.abort()
    assert not os.listdir(tmp_path)
    with pytest.raises(ZeroDivisionError), RasterWriter(str(path), GRID):
        raise ZeroDivisionError
    assert not os.listdir(tmp_path)


def test_an_older_file_stays_until_the_new_one_is_complete(tmp_path):
    path = tmp_path / "out.tif"
    path.write_text("old")
    (tmp_path / "out.tif.aux.xml").write_text("statistics of the old one")
    with RasterWriter(str(path), GRID) as writer:
        writer.write(0, 0, np.ones((1, 280, 300), np.uint8))
    assert path.read_text() == "old"
    with RasterWriter(str(path), GRID) as writer:
        writer.commit()
    assert gdal.Open(str(path)).RasterXSize == 300
    assert os.listdir(tmp_path) == ["out.tif"]


def test_folders_that_cannot_be_written(tmp_path):
    with pytest.raises(InputError, match="does not exist") as error:
        RasterWriter(str(tmp_path / "missing" / "out.tif"), GRID)
    assert error.value.hint
    file = tmp_path / "file"
    file.write_text("")
    with pytest.raises(InputError, match="does not exist"):
        RasterWriter(str(file / "out.tif"), GRID)
    # Tests may run as root, whom no folder refuses; the file system's own folder does.
    if os.path.isdir("/proc/self"):
        with pytest.raises(OutputError, match="could not be written") as error:
            RasterWriter("/proc/self/out.tif", GRID)
        assert error.value.hint
    # A name that is taken by a folder cannot be replaced.
    (tmp_path / "taken").mkdir()
    with pytest.raises(OutputError, match="could not be written"):
        RasterWriter(str(tmp_path / "taken"), GRID).commit()
    assert sorted(os.listdir(tmp_path)) == ["file", "taken"]


DISK_FULL = """
    import resource, signal, sys
    import numpy as np
    from changescribe.engine.errors import OutputError
    from changescribe.engine.raster.grid import Grid
    from changescribe.engine.raster.support import spatial_reference
    from changescribe.engine.raster.writer import RasterWriter, warp_to

    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    folder, what = sys.argv[1:]
    utm = spatial_reference("EPSG:32633").ExportToWkt()
    grid = Grid(1500, 1500, (500000.0, 1.0, 0.0, 5000000.0, 0.0, -1.0), utm)
    noise = np.random.default_rng(0).integers(0, 254, (1, 1500, 1500)).astype(np.uint8)
    try:
        if what == "warp":
            with RasterWriter(folder + "/source.tif", grid, nodata=255) as writer:
                writer.write(0, 0, noise)
                writer.commit()
        resource.setrlimit(resource.RLIMIT_FSIZE, (500_000, 500_000))
        if what == "warp":
            target = Grid(1500, 1500, (500000.5, 1.0, 0.0, 5000000.0, 0.0, -1.0), utm)
            warp_to(folder + "/source.tif", target, folder + "/out.tif")
        with RasterWriter(folder + "/out.tif", grid, nodata=255) as writer:
            for y in range(0, 1500, 100):
                writer.write(0, y, noise[:, y : y + 100])
                if what == "flush":
                    writer.flush()
            writer.commit()
    except OutputError as error:
        print(error.message, "|", error.hint)
        sys.exit(7)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="file size limits are a POSIX thing")
@pytest.mark.parametrize("what", ["commit", "flush", "warp"])
@pytest.mark.parametrize("exceptions", ["", "from osgeo import gdal; gdal.UseExceptions()"])
def test_disk_full(tmp_path, what, exceptions):
    # A limit on the size of files makes real writes fail, in a process of its own.
    code = exceptions + "\n" + textwrap.dedent(DISK_FULL)
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path), what],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
    )
    assert done.returncode == 7, done.stderr
    assert "could not be written" in done.stdout
    assert "disk is full" not in done.stdout  # the system said that the file is too large
    assert os.listdir(tmp_path) == (["source.tif"] if what == "warp" else [])


def test_a_full_disk_is_an_error_before_the_file_is_removed(tmp_path, monkeypatch):
    parts = []

    class Usage:
        free = 1000

    def usage(_):
        parts.extend(name for name in os.listdir(tmp_path) if name.endswith(".part"))
        return Usage

    monkeypatch.setattr(writing.shutil, "disk_usage", usage)
    writer = RasterWriter(str(tmp_path / "out.tif"), GRID)
    monkeypatch.setattr(writer_module, "gdal_call", lambda call: (False, "Write error"))
    with pytest.raises(OutputError) as error:
        writer.write(0, 0, np.ones((1, 10, 10), np.uint8))
    monkeypatch.undo()
    assert "disk is full" in error.value.hint
    assert parts
    writer.abort()


def test_messages_name_the_final_file(tmp_path, coarse):
    hidden = tmp_path / ".changescribe-1"
    hidden.mkdir()
    (hidden / "taken").mkdir()
    path, final = str(hidden / "taken"), str(tmp_path / "run_mask.tif")
    with pytest.raises(OutputError) as error:
        RasterWriter(path, GRID, shown_as=final).commit()
    assert final in error.value.message
    assert "changescribe-1" not in str(error.value)
    with pytest.raises(OutputError) as error:
        warp_to(coarse, GRID.window(0, 0, 30, 30), path, shown_as=final)
    assert final in error.value.message


# Warping back ---------------------------------------------------------------------------------


@pytest.fixture
def coarse(tmp_path):
    """Scores on pixels of 1 m, with a row without data."""
    grid = Grid(20, 20, (500000.0, 1.0, 0.0, 5000000.0, 0.0, -1.0), UTM)
    path = str(tmp_path / "work.tif")
    columns = np.arange(20, dtype=np.uint8) * 10
    values = np.stack([np.tile(columns, (20, 1)), np.full((20, 20), 50, np.uint8)])
    values[:, 10] = 255
    with RasterWriter(path, grid, 2, np.uint8, 255, ["a|b", "c|d"], 1 / 254) as writer:
        writer.write(0, 0, values)
        writer.commit()
    return path


def test_scores_are_interpolated(coarse, tmp_path):
    target = Grid(40, 40, (500000.0, 0.5, 0.0, 5000000.0, 0.0, -0.5), UTM)
    path = str(tmp_path / "out.tif")
    fractions = []
    warp_to(coarse, target, path, progress=lambda part: fractions.append(part) or True)
    dataset = gdal.Open(path)
    values = dataset.ReadAsArray()
    # Centre of the fine column 11 is 5.75 m: a quarter past the centre of the coarse column 5.
    assert values[0, 5, 11] in {52, 53}
    assert values[0, 5, 0] == 0
    assert (values[1, :20] == 50).all()
    assert (values[:, 20:22] == 255).all()
    assert (values[1, 22:] == 50).all()
    assert dataset.GetRasterBand(2).GetDescription() == "c|d"
    assert dataset.GetRasterBand(2).GetScale() == pytest.approx(1 / 254)
    assert fractions[-1] == 1.0
    assert sorted(os.listdir(tmp_path)) == ["out.tif", "work.tif"]


def test_classes_are_not_mixed(coarse, tmp_path):
    target = Grid(55, 55, (500000.0, 0.35, 0.0, 5000000.0, 0.0, -0.35), UTM)
    path = str(tmp_path / "out.tif")
    warp_to(coarse, target, path, "nearest")
    values = gdal.Open(path).ReadAsArray()
    assert set(np.unique(values[0])) <= {*range(0, 200, 10), 255}
    # Outside the source there is no data.
    far = Grid(10, 10, (600000.0, 0.35, 0.0, 5000000.0, 0.0, -0.35), UTM)
    warp_to(coarse, far, path, "nearest")
    assert (gdal.Open(path).ReadAsArray() == 255).all()


def test_blocks_leave_no_seam(tmp_path, monkeypatch):
    grid = Grid(50, 50, (500000.0, 1.0, 0.0, 5000000.0, 0.0, -1.0), UTM)
    path, one, many = (str(tmp_path / name) for name in ("work.tif", "one.tif", "many.tif"))
    values = np.random.default_rng(0).integers(0, 255, (1, 50, 50)).astype(np.uint8)
    with RasterWriter(path, grid, nodata=255) as writer:
        writer.write(0, 0, values)
        writer.commit()
    target = Grid(90, 90, (500000.2, 0.55, 0.0, 4999999.7, 0.0, -0.55), UTM)
    warp_to(path, target, one)
    monkeypatch.setattr(writer_module, "_BLOCK_WIDTH", 13)
    monkeypatch.setattr(writer_module, "_BLOCK_HEIGHT", 11)
    warp_to(path, target, many)
    first, second = (gdal.Open(name).ReadAsArray().astype(int) for name in (one, many))
    assert np.abs(first - second).max() <= 1


def test_another_crs(coarse, tmp_path):
    degrees = spatial_reference("EPSG:4326").ExportToWkt()
    target = Grid(10, 10, (15.00005, 1e-5, 0.0, 45.15345, 0.0, -1e-5), degrees)
    path = str(tmp_path / "out.tif")
    warp_to(coarse, target, path)
    values = gdal.Open(path).ReadAsArray()
    assert set(np.unique(values[1])) <= {50, 255}
    assert (values[1] == 50).any()


def test_a_stopped_warp_leaves_nothing(coarse, tmp_path):
    target = Grid(40, 40, (500000.0, 0.5, 0.0, 5000000.0, 0.0, -0.5), UTM)
    with pytest.raises(CancelledError):
        warp_to(coarse, target, str(tmp_path / "out.tif"), progress=lambda _: False)
    assert os.listdir(tmp_path) == ["work.tif"]


def failing(*_, **__):
    raise OutputError("No space left on device")


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="open files are listed on Linux")
@pytest.mark.parametrize("cause", ["cancelled", "disk", "source"])
def test_an_error_does_not_keep_files_open(coarse, tmp_path, monkeypatch, cause):
    """An open file cannot be removed on Windows."""
    grid = Grid(40, 40, (500000.0, 0.5, 0.0, 5000000.0, 0.0, -0.5), UTM)
    if cause == "disk":
        monkeypatch.setattr(RasterWriter, "__init__", failing)
    if cause == "source":
        monkeypatch.setattr(gdal, "Warp", lambda *_, **__: 0)
    with pytest.raises(ChangeScribeError) as error:
        warp_to(coarse, grid, str(tmp_path / "out.tif"), progress=lambda _: False)
    names = [os.path.join("/proc/self/fd", number) for number in os.listdir("/proc/self/fd")]
    opened = [os.readlink(name) for name in names if os.path.islink(name)]
    assert not [name for name in opened if name.startswith(str(tmp_path))], error


def test_a_missing_source(tmp_path):
    with pytest.raises(InputError, match="could not be read"):
        warp_to(str(tmp_path / "no.tif"), GRID, str(tmp_path / "out.tif"))
    assert not list(Path(tmp_path).iterdir())
