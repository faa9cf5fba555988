# SPDX-License-Identifier: GPL-3.0-or-later
"""``qgis_process`` with the plugin in a profile of its own, and the bundled model."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("qgis.core")

from osgeo import gdal, ogr

from changescribe.ui.packages import tiers

REPOSITORY = Path(__file__).resolve().parents[3]
SIZE = 96


@pytest.fixture
def pair(make_raster):
    """Two rasters; a bright block appears."""
    before = np.full((3, SIZE, SIZE), 60, np.uint8)
    after = before.copy()
    after[:, 10:40, 8:48] = 240
    return make_raster("town_2012.tif", before), make_raster("town_2019.tif", after)


@pytest.fixture
def qgis_process(tmp_path):
    """Return a function that runs ``qgis_process`` with the plugin, in a profile of its own."""
    # The wrapper script of some distributions passes an option that the program does not know.
    program = shutil.which("qgis_process.bin") or shutil.which("qgis_process")
    if program is None:
        pytest.skip("qgis_process is not installed")
    found = importlib.util.find_spec("onnxruntime")
    if found is None:
        pytest.skip("onnxruntime is not installed")
    plugins = tmp_path / "config" / "profiles" / "default" / "python" / "plugins"
    plugins.mkdir(parents=True)
    (plugins / "changescribe").symlink_to(REPOSITORY, target_is_directory=True)
    # As installed from the dock: the plugin itself puts this folder on the path.
    packages = tmp_path / "cache" / "changescribe" / tiers.abi_tag() / "compact"
    packages.mkdir(parents=True)
    (packages / "onnxruntime").symlink_to(Path(found.origin).parent, target_is_directory=True)
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "QGIS", "VIRTUAL"))}
    folders = [p for p in kept.get("PATH", "").split(os.pathsep) if not p.startswith(sys.prefix)]
    environment = {
        **kept,
        "PATH": os.pathsep.join(folders),
        "QT_QPA_PLATFORM": "offscreen",
        "QGIS_CUSTOM_CONFIG_PATH": str(tmp_path / "config"),
        "XDG_CACHE_HOME": str(tmp_path / "cache"),
        "QGIS_OPTS": "",
    }

    def run(*arguments: str) -> subprocess.CompletedProcess:
        return subprocess.run(
            [program, *arguments],
            env=environment,
            check=False,
            capture_output=True,
            text=True,
            timeout=120,
        )

    enabled = run("plugins", "enable", "changescribe")
    assert enabled.returncode == 0, enabled.stdout + enabled.stderr
    return run


def test_qgis_process_detects_and_exports(qgis_process, pair, tmp_path) -> None:
    out = tmp_path / "out.gpkg"
    listed = qgis_process("list")
    for name in ("detectchanges", "captionchanges", "exportchanges"):
        assert f"changescribe:{name}" in listed.stdout, listed.stdout[-3000:] + listed.stderr
    done = qgis_process(
        "--json",
        "run",
        "changescribe:detectchanges",
        "--",
        f"BEFORE={pair[0]}",
        f"AFTER={pair[1]}",
        "PROMPT=anything changed",
        f"OUTPUT={out}",
        f"MASK={tmp_path / 'm.tif'}",
        "SYSTEM=bundled",
    )
    assert done.returncode == 0, done.stdout + done.stderr
    results = json.loads(done.stdout)["results"]
    source = ogr.Open(str(out))
    (run,) = source.GetLayerByName("runs")
    assert source.GetLayerByName("changes") is not None
    assert results["CAPTION"] == run["caption"]
    assert results["OUTPUT"] == str(out)
    assert gdal.Open(results["MASK"]).RasterXSize == SIZE
    exported = qgis_process(
        "run", "changescribe:exportchanges", "--", f"INPUT={out}", f"OUTPUT={tmp_path / 'out.shp'}"
    )
    assert exported.returncode == 0, exported.stdout + exported.stderr
    assert (tmp_path / "out.shp").exists()


def test_qgis_process_fails_with_a_reason(qgis_process, pair, tmp_path) -> None:
    done = qgis_process(
        "run",
        "changescribe:detectchanges",
        "--",
        f"BEFORE={pair[0]}",
        f"AFTER={pair[1]}",
        "PROMPT=the of",
        f"OUTPUT={tmp_path / 'out.gpkg'}",
    )
    assert done.returncode != 0
    assert "roads built" in done.stdout + done.stderr
    assert not (tmp_path / "out.gpkg").exists()
