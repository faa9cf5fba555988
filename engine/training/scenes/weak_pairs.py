# SPDX-License-Identifier: GPL-3.0-or-later
"""Pairs of OSCD and AirChange, which label change without its kind."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ...errors import InputError
from ...raster.radiometry import joint_stretch
from ...raster.reader import RasterSource
from ..texts import TrainingTexts
from .labels import BUILDING, NUM_CLASSES, ROAD, SOME, UNKNOWN
from .sample import APPEARED, REMOVED, PairSample, nothing_known
from .sources import crop_scaled, read_rgb


@dataclass(frozen=True)
class Meaning:
    """Meaning of a label.

    Attributes:
        classes: at least one of them changed where the label is 1, and none where it is 0.
        directions: at least one of them applies.
        scales: smallest and largest magnification.
    """

    classes: tuple[int, ...]
    directions: tuple[int, ...]
    scales: tuple[float, float]


#: OSCD labels urban growth at 10 m, AirChange any lasting change at 1.5 m.
WEAK_SETS = {
    "oscd": Meaning((BUILDING, ROAD), (APPEARED,), (0.9, 2.0)),
    "airchange": Meaning(tuple(range(NUM_CLASSES)), (APPEARED, REMOVED), (0.8, 1.6)),
}


class WeakPairs:
    """Folders with ``before.tif``, ``after.tif`` and ``label.tif`` on the grid of ``before``.

    The rasters are stretched to 8 bits as in the plugin.

    Args:
        folder: of the data set.
        meaning: of its labels.
        left_out: prefixes of the places to leave out, joined by "+"; "" leaves out none.
        scales: smallest and largest magnification; None is the meaning's default.
    """

    def __init__(
        self,
        folder: Path,
        meaning: Meaning,
        left_out: str = "",
        scales: tuple[float, float] | None = None,
    ) -> None:
        self.meaning = meaning
        self.scales = scales or meaning.scales
        unused = tuple(filter(None, left_out.split("+")))
        names = sorted(path for path in folder.glob("*") if (path / "label.tif").exists())
        self.pairs = [_read(path) for path in names if not path.name.startswith(unused)]
        if not self.pairs:
            raise InputError(TrainingTexts.no_weak_pairs(name=folder.name))

    def draw(self, rng: np.random.Generator) -> PairSample:
        """Return a random crop, half of the time around a changed pixel."""
        arrays = self.pairs[rng.integers(len(self.pairs))]
        if rng.random() < 0.5:
            arrays = _around(arrays, arrays[2] == 1, rng)
        before, after, label = crop_scaled(arrays, rng, *self.scales)
        states = (nothing_known(*label.shape) for _ in range(2))
        unknown = np.full((*label.shape, NUM_CLASSES, 2), UNKNOWN, np.uint8)
        pair = PairSample(before, after, *states, unknown)
        codes = np.array([0, SOME, *[UNKNOWN] * 254], np.uint8)[label]
        for index in self.meaning.classes:
            for direction in self.meaning.directions:
                pair.changes[..., index, direction] = codes
        return pair


def _read(folder: Path) -> list[np.ndarray]:
    """Return before, after (H, W, 3) uint8 and label (H, W): 0, 1, unknown without data."""
    with (
        RasterSource.open(str(folder / "before.tif")) as one,
        RasterSource.open(str(folder / "after.tif")) as two,
    ):
        stretches = joint_stretch(one, two, one.grid)
        (before, known), (after, known_after) = (one.read(one.grid), two.read(one.grid))
    label = (read_rgb(folder / "label.tif")[..., 0] > 0).astype(np.uint8)
    label[~(known & known_after)] = UNKNOWN
    return [stretches[0].apply(before), stretches[1].apply(after), label]


def _around(
    arrays: list[np.ndarray], changed: np.ndarray, rng: np.random.Generator
) -> list[np.ndarray]:
    """Cut a larger window around a random changed pixel."""
    places = np.argwhere(changed[::4, ::4]) * 4
    if not len(places):
        return arrays
    centre, size = places[rng.integers(len(places))], 320
    window = tuple(
        slice(start, start + size)
        for start in (
            int(np.clip(c - rng.integers(size), 0, max(0, side - size)))
            for c, side in zip(centre, changed.shape, strict=True)
        )
    )
    return [array[window] for array in arrays]
