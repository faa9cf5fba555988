# SPDX-License-Identifier: GPL-3.0-or-later
"""The files of rasters: the same, complete, unchanged."""

from __future__ import annotations

import os
import zipfile

import numpy as np
import pytest
from osgeo import gdal

from changescribe.engine.errors import InputError
from changescribe.engine.raster.files import same_raster
from changescribe.engine.raster.reader import RasterSource


def test_two_paths_of_one_raster(make_raster, tmp_path, monkeypatch):
    path = make_raster("a.tif", np.zeros((3, 8, 8), np.uint8))
    other = make_raster("b.tif", np.zeros((3, 8, 8), np.uint8))
    monkeypatch.chdir(tmp_path)
    os.link(path, "hard.tif")
    os.symlink(path, "soft.tif")
    for twin in ("a.tif", "./a.tif", "hard.tif", "soft.tif"):
        assert same_raster(path, twin), twin
    assert not same_raster(path, other)


def test_rasters_in_archives_and_containers(make_raster, tmp_path, monkeypatch):
    path = make_raster("a.tif", np.zeros((3, 8, 8), np.uint8))
    monkeypatch.chdir(tmp_path)
    with zipfile.ZipFile("z.zip", "w") as archive:
        archive.write(path, "in/a.tif")
        archive.write(path, "in/b.tif")
    inside = f"/vsizip/{tmp_path}/z.zip/in/a.tif"
    for twin in ("/vsizip/z.zip/in/a.tif", f"/vsizip//{tmp_path}/z.zip/in/../in/a.tif"):
        assert same_raster(inside, twin), twin
    assert not same_raster(inside, "/vsizip/z.zip/in/b.tif")
    assert same_raster('NETCDF:"a.tif":red', f"NETCDF:{path}:red")
    assert not same_raster("NETCDF:a.tif:red", "NETCDF:a.tif:blue")


@pytest.mark.parametrize("interleave", ["BSQ", "BIP", "BIL"])
def test_a_raw_file_that_is_too_short_is_refused(make_raster, tmp_path, interleave):
    image = make_raster("a.tif", np.full((3, 20, 30), 7, np.uint16))
    path = str(tmp_path / "a.dat")
    options = [f"INTERLEAVE={interleave}"]
    gdal.Translate(path, image, format="ENVI", creationOptions=options)
    RasterSource.open(path).close()
    os.truncate(path, os.path.getsize(path) - 1)
    with pytest.raises(InputError, match="incomplete"):
        RasterSource.open(path)


def test_files_that_change_are_noticed(make_raster, tmp_path):
    path = make_raster("a.tif", np.zeros((3, 8, 8), np.uint8))
    mosaic = str(tmp_path / "m.vrt")
    gdal.BuildVRT(mosaic, [path]).FlushCache()
    with RasterSource.open(mosaic) as source:
        assert not source.changed
        (tmp_path / "a.tif.aux.xml").touch()
        assert not source.changed
        os.replace(make_raster("new.tif", np.ones((3, 8, 8), np.uint8)), path)
        assert source.changed
