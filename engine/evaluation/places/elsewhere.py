# SPDX-License-Identifier: GPL-3.0-or-later
"""OSCD (Sentinel-2) and AirChange through the pipeline: other sensors, held-out places."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Optional

import numpy as np
from osgeo import gdal

from ...detect.pipeline import detect
from ...hosts.base import InProcessHost
from ...request import MASK_NODATA, SCORE_SCALE, ChangeRequest
from ...systems.base import ChangeSystem
from ...training.metrics import BinaryCounts, f1_by_threshold
from ...training.scenes.sources import open_raster, read_rgb
from ..masks.baselines import cva_otsu
from ..pictures import row_of_pictures


@dataclass(frozen=True)
class OtherSet:
    """A data set of folders with ``before.tif``, ``after.tif`` and ``label.tif``."""

    folder: str
    prompt: str


OSCD = OtherSet("oscd", "buildings and roads built")
AIRCHANGE = OtherSet("airchange", "anything changed")


class OneSystemHost(InProcessHost):
    """A host with one given system."""

    def __init__(self, system: ChangeSystem) -> None:
        super().__init__()
        self._systems[system.info.name] = system


@dataclass
class ThresholdSweep:
    """F1 of a score at every threshold, summed over images.

    Attributes:
        right: changed pixels by value of the score raster.
        wrong: unchanged pixels.
    """

    right: np.ndarray = field(default_factory=lambda: np.zeros(SCORE_SCALE + 1, np.int64))
    wrong: np.ndarray = field(default_factory=lambda: np.zeros(SCORE_SCALE + 1, np.int64))

    def add(self, values: np.ndarray, truth: np.ndarray) -> None:
        """Count pixels: ``values`` of the score raster, ``truth`` bool, of one shape."""
        self.right += np.bincount(values[truth], minlength=SCORE_SCALE + 1)
        self.wrong += np.bincount(values[~truth], minlength=SCORE_SCALE + 1)

    def best(self) -> tuple[float, float]:
        """Return the highest F1 and its threshold, in (0, 1]."""
        f1 = f1_by_threshold(self.right, self.wrong)
        best = 1 + int(f1[1:].argmax())
        return float(f1[best]), best / SCORE_SCALE


def measure_elsewhere(
    system_for: Callable[[str], Optional[ChangeSystem]],
    data: Path,
    what: OtherSet,
    log: Callable[[str], None],
) -> tuple[dict[str, object], list[np.ndarray]]:
    """Detect through the pipeline, and compare any mask value > 0 with the labels.

    Args:
        system_for: returns the loaded system for a place by name, one that was not trained on it;
            None if there is none.
        data: the folder of real data.
        what: which data set.
        log: called with a line of progress.

    Returns:
        Figures (``model`` and ``cva_otsu`` summed over the places; ``best_f1`` at the best
        threshold for these labels, without a minimum area; ``places`` one by one;
        ``not_measured``: names of the others), and rows of pictures.

    Raises:
        InputError: the data cannot be read.
    """
    sums = {"model": BinaryCounts(), "cva_otsu": BinaryCounts()}
    sweep = ThresholdSweep()
    places: dict[str, object] = {}
    rows, not_measured = [], []
    for folder in sorted(path for path in (data / what.folder).iterdir() if path.is_dir()):
        system = system_for(folder.name)
        if system is None:
            not_measured.append(folder.name)
            continue
        log(f"{what.folder}: {folder.name}")
        label = read_rgb(folder / "label.tif")[..., 0] > 0
        mask, score = run_detection(OneSystemHost(system), system.info.name, folder, what.prompt)
        known = mask != MASK_NODATA
        found = {"model": (mask > 0) & known, "cva_otsu": _baseline(folder, known)}
        figures = {}
        for name, plane in found.items():
            counts = BinaryCounts()
            counts.add(plane[known], label[known])
            sums[name].add(plane[known], label[known])
            figures[name] = counts.figures()
        places[folder.name] = figures
        sweep.add(score[known], label[known])
        before, after = (_shown(read_rgb(folder / f"{date}.tif")) for date in ("before", "after"))
        score[~known] = 0
        rows.append(
            row_of_pictures(before, after, score / SCORE_SCALE, label, folder.name, found["model"])
        )
    best, threshold = sweep.best()
    return {
        "prompt": what.prompt,
        **{name: counts.figures() for name, counts in sums.items()},
        "best_f1": round(best, 4),
        "best_threshold": round(threshold, 3),
        "places": places,
        "not_measured": not_measured,
    }, rows


def run_detection(
    host: OneSystemHost, name: str, folder: Path, text: str
) -> tuple[np.ndarray, np.ndarray]:
    """Run the pipeline; return mask and highest score (0 to 254) on the grid of BEFORE, uint8."""
    before = str(folder / "before.tif")
    with tempfile.TemporaryDirectory() as work:
        after, out = str(folder / "after.tif"), str(Path(work) / "changes.gpkg")
        result = detect(ChangeRequest(before, after, text, out, name, device="cpu"), host)
        grid = open_raster(Path(before))
        mask, score = _placed(result.mask, grid), _placed(result.score, grid)
    return mask[0], score.max(0)


def _placed(path: str, grid: gdal.Dataset) -> np.ndarray:
    """Read a raster on ``grid``, (C, H, W); nodata outside it."""
    raster = open_raster(Path(path))
    place, origin = raster.GetGeoTransform(), grid.GetGeoTransform()
    left = round((place[0] - origin[0]) / origin[1])
    top = round((place[3] - origin[3]) / origin[5])
    array = np.atleast_3d(raster.ReadAsArray())
    if raster.RasterCount == 1:
        array = array.transpose(2, 0, 1)
    whole = np.full((len(array), grid.RasterYSize, grid.RasterXSize), MASK_NODATA, np.uint8)
    whole[:, top : top + array.shape[1], left : left + array.shape[2]] = array
    return whole


def _baseline(folder: Path, known: np.ndarray) -> np.ndarray:
    """Return the change by CVA and Otsu's threshold, with all bands, on the grid of BEFORE."""
    before, after = (open_raster(folder / f"{date}.tif") for date in ("before", "after"))
    size = (before.RasterXSize, before.RasterYSize)
    if (after.RasterXSize, after.RasterYSize) != size:
        west, across, _, north, _, down = before.GetGeoTransform()
        bounds = (west, north + down * size[1], west + across * size[0], north)
        after = gdal.Warp(
            "",
            after,
            format="MEM",
            outputBounds=bounds,
            width=size[0],
            height=size[1],
            dstSRS=before.GetProjection(),
            resampleAlg="bilinear",
        )
    images = [raster.ReadAsArray().transpose(1, 2, 0) for raster in (before, after)]
    return cva_otsu(*images, known)


def _shown(image: np.ndarray) -> np.ndarray:
    """Stretch an image to 8 bits for a picture."""
    if image.dtype == np.uint8:
        return image
    low, high = np.percentile(image, [2, 98], axis=(0, 1))
    return np.clip((image - low) / np.maximum(high - low, 1) * 255, 0, 255).astype(np.uint8)
