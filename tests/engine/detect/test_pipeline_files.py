# SPDX-License-Identifier: GPL-3.0-or-later
"""Files that exist, are in use, or cannot be written."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Callable

import numpy as np
import pytest

from changescribe.engine.detect import pipeline
from changescribe.engine.errors import ChangeScribeError, InputError, OutputError
from changescribe.engine.hosts.base import InProcessHost
from changescribe.engine.raster.writer import RasterWriter
from changescribe.engine.request import ChangeRequest
from changescribe.engine.results.changes_layer import ChangesWriter

MakeRaster = Callable[..., str]


def test_an_existing_result_is_kept(brightness: InProcessHost, request_: ChangeRequest) -> None:
    result = pipeline.detect(request_, brightness)
    stamp = Path(result.gpkg).read_bytes()
    with pytest.raises(InputError, match="exists"):
        pipeline.detect(request_, brightness)
    assert Path(result.gpkg).read_bytes() == stamp


def test_a_full_disk_leaves_the_old_result(
    brightness: InProcessHost, request_: ChangeRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = pipeline.detect(request_, brightness)
    old = Path(result.mask).read_bytes()

    def full(self: RasterWriter, x: int, y: int, array: np.ndarray) -> None:
        self.abort()
        raise self.failed("No space left on device")

    monkeypatch.setattr(RasterWriter, "write", full)
    with pytest.raises(OutputError) as error:
        pipeline.detect(replace(request_, overwrite=True), brightness)
    assert "disk is full" in str(error.value)
    assert ".changescribe-" not in str(error.value)
    assert Path(result.mask).read_bytes() == old
    assert not list(Path(result.gpkg).parent.glob(".changescribe-*"))


def test_what_lay_beside_an_old_result_goes_with_it(
    brightness: InProcessHost, request_: ChangeRequest
) -> None:
    """Overviews and statistics of the old mask would be shown for the new one."""
    result = pipeline.detect(request_, brightness)
    for suffix in (".ovr", ".aux.xml"):
        Path(result.mask + suffix).write_text("old")
    pipeline.detect(replace(request_, overwrite=True), brightness)
    assert not Path(result.mask + ".ovr").exists()
    assert not Path(result.mask + ".aux.xml").exists()


def test_a_result_in_use_is_kept_whole(
    brightness: InProcessHost, request_: ChangeRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Windows locks a file that is open in QGIS: then nothing is replaced."""
    result = pipeline.detect(request_, brightness)
    paths = [Path(path) for path in (result.gpkg, result.mask, result.score)]
    old = [path.read_bytes() for path in paths]
    move = Path.replace

    def locked(self: Path, target: object) -> Path:
        if self == Path(result.gpkg):
            raise PermissionError(13, "in use", str(self))
        return move(self, target)

    monkeypatch.setattr(Path, "replace", locked)
    with pytest.raises(ChangeScribeError):
        pipeline.detect(replace(request_, overwrite=True, threshold=0.6), brightness)
    assert [path.read_bytes() for path in paths] == old
    assert len(list(paths[0].parent.iterdir())) == 5  # the two sources and the old result


def test_files_are_closed_when_a_run_fails(
    brightness: InProcessHost, request_: ChangeRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An open file cannot be removed on Windows: the hidden folder would stay."""

    def full(self: ChangesWriter, shape: object) -> None:
        raise OutputError("The disk is full.", "Free some space.")

    monkeypatch.setattr(ChangesWriter, "add", full)
    with pytest.raises(OutputError):
        pipeline.detect(request_, brightness)
    links = [
        os.readlink(f"/proc/self/fd/{fd}")
        for fd in os.listdir("/proc/self/fd")
        if os.path.islink(f"/proc/self/fd/{fd}")
    ]
    assert not [link for link in links if ".changescribe-" in link]
