# SPDX-License-Identifier: GPL-3.0-or-later
"""WHU-CD: its two scenes as released, or the tiles that most papers cut from them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from osgeo import gdal

from ...errors import InputError
from ...raster.support import gdal_call
from ..recipe import DataSpec
from ..texts import TrainingTexts
from .base import PairSet, Window, both_directions, files_by_name
from .binary import BUILDINGS, LevirCd
from .pair import LabelledPair


def whu_cd(spec: DataSpec, folder: Path) -> PairSet:
    """Open WHU-CD as released, or cut into tiles in the layout of :class:`LevirCd`."""
    released = (folder / "change_label").is_dir()
    return (WhuScenes if released else LevirCd)(spec, folder)


class WhuScenes(PairSet):
    """WHU-CD: Christchurch 2012 and 2016, 0.2 m; buildings that changed.

    As released (Ji et al., TGRS 2019; gpcv.whu.edu.cn/data/building_dataset.html, "1. The
    two-period image data"), one scene for ``train`` and one for ``test``, read in windows::

        2012/whole_image/SPLIT/image/2012_SPLIT.tif
        2016/whole_image/SPLIT/image/2016_SPLIT.tif
        change_label/SPLIT/change_label.tif

    There is no ``val``. The labels have no direction; since the city was rebuilt after an
    earthquake, all change counts as appeared.
    """

    prompt = BUILDINGS

    def __init__(self, spec: DataSpec, folder: Path) -> None:
        super().__init__(spec, folder)
        split = spec.split
        self.paths = [
            folder / f"{year}/whole_image/{split}/image/{year}_{split}.tif" for year in (2012, 2016)
        ]
        self.paths.append(folder / f"change_label/{split}/change_label.tif")
        for path in self.paths:
            files_by_name(path.parent)
        sizes = {self._open(path)[1] for path in self.paths}
        if len(sizes) > 1:
            raise InputError(TrainingTexts.whu_sizes_differ(split=split), details=str(self.paths))
        self._size = sizes.pop()
        self._keep([split])

    def size(self, index: int) -> tuple[int, int]:
        """Return height and width of the scene in pixels."""
        return self._size

    def read(self, index: int, window: Window | None = None) -> LabelledPair:
        """Return the scene, or a window of it; see :meth:`PairSet.read`."""
        window = window or Window(0, 0, *self._size)
        before, after, label = (self._window(path, window) for path in self.paths)
        change = (label[..., 0] > 0).astype(np.uint8)
        pair = LabelledPair(before, after, change)
        pair.images = (str(self.paths[0]), str(self.paths[1]))
        both_directions(pair, BUILDINGS, change)
        return pair

    def _open(self, path: Path) -> tuple[gdal.Dataset, tuple[int, int]]:
        data, problem = gdal_call(lambda: gdal.Open(str(path)))
        if data is None:
            raise InputError(TrainingTexts.image_unreadable(path=path), details=problem)
        return data, (data.RasterYSize, data.RasterXSize)

    def _window(self, path: Path, window: Window) -> np.ndarray:
        """Read a window as (H, W, bands up to 3) uint8."""
        data, _ = self._open(path)
        area = (window.x, window.y, window.width, window.height)
        bands = range(1, min(data.RasterCount, 3) + 1)
        planes = [gdal_call(lambda b=b: data.GetRasterBand(b).ReadAsArray(*area)) for b in bands]
        for plane, problem in planes:
            if plane is None or problem:
                raise InputError(TrainingTexts.image_unreadable(path=path), details=problem)
        return np.stack([plane for plane, _ in planes], -1).astype(np.uint8)
