# SPDX-License-Identifier: GPL-3.0-or-later
"""Training data of the captioner: bundled-model features of captioned crops."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ...paths import MODELS
from ...systems.bundled import MANIFEST, BundledSystem, features
from ...systems.bundled.features import QUERIES
from ..augment import photometric
from ..scenes.sources import magnified, read_captions, read_rgb

#: Training tiles; the others are for validation.
TRAINING_TILES = range(1, 31)
_SEED = 7
#: Side of a tile in pixels, at 0.55 m and resampled to the 0.44 m of the plugin (a multiple of 32).
_SIDE, _MAGNIFIED = 1024, 1280

_Features = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class Crops:
    """The captioned crops.

    Attributes:
        tiles: (N,) tile numbers.
        boxes: (N, 4) x0, y0, x1, y1 in the tile.
        captions: five sentences per crop.
        changed: (N,) bool, according to the annotators.
        grid: (views, N, C, 8, 8) float16, see :func:`..change_features.features`.
        summary: (views, N, S) float32.
    """

    tiles: np.ndarray
    boxes: np.ndarray
    captions: tuple[tuple[str, ...], ...]
    changed: np.ndarray
    grid: np.ndarray
    summary: np.ndarray

    @property
    def training(self) -> np.ndarray:
        """(N,) bool: crops of training tiles."""
        return np.isin(self.tiles, list(TRAINING_TILES))


def read_crops(
    data: Path,
    cache: Path,
    models: Path | None = None,
    views: Sequence[str] = ("tile",),
    log: Callable[[str], None] = lambda _: None,
) -> Crops:
    """Read crops and features; features are cached per set of model files.

    Args:
        data: the folder of real data.
        cache: folder for the features.
        models: folder of the bundled model's files; None is the shipped model.
        views: names from :data:`VIEWS`.
        log: called with a line of progress.
    """
    rows = read_captions(data / "levir")
    system = BundledSystem(models)
    system.load("cpu")
    tiles = np.array([int(row["tile"].rpartition("_")[2]) for row in rows])
    boxes = np.array([row["box"] for row in rows])
    folder = cache / f"features_{_digest(models or MODELS)}"
    folder.mkdir(parents=True, exist_ok=True)
    grids: list[list[Any]] = [[None] * len(rows) for _ in views]
    summaries: list[list[Any]] = [[None] * len(rows) for _ in views]
    for view, name in enumerate(views):
        for number in np.unique(tiles):
            members = np.flatnonzero(tiles == number)
            path = folder / f"{name}_{number}.npz"
            if not path.exists():
                log(f"features of tile {number}, {name}")
                _write(path, VIEWS[name](system, data / "levir", int(number), boxes[members]))
            with np.load(path) as kept:
                parts = zip(members, kept["grid"], kept["summary"], strict=True)
            for member, grid, summary in parts:
                grids[view][member], summaries[view][member] = grid, summary
    return Crops(
        tiles,
        boxes,
        tuple(tuple(row["captions"]) for row in rows),
        np.array([bool(row["changed"]) for row in rows]),
        np.stack([np.stack(view) for view in grids]),
        np.stack([np.stack(view) for view in summaries]),
    )


def _digest(models: Path) -> str:
    """Return a digest of the model's files, its calibration and the pooling code."""
    manifest = json.loads((models / MANIFEST).read_text(encoding="utf-8"))
    known = repr((manifest["sha256"], manifest["calibration"])).encode()
    return hashlib.sha256(known + Path(features.__file__).read_bytes()).hexdigest()[:12]


def _dates(folder: Path, number: int) -> list[np.ndarray]:
    return [read_rgb(folder / date / f"test_{number}.tif") for date in ("before", "after")]


def _in_tile(
    system: BundledSystem, folder: Path, number: int, boxes: np.ndarray
) -> list[_Features]:
    """Encode each crop within its tile, as the plugin does."""
    return _within(system, _dates(folder, number), boxes)


def _mirrored(
    system: BundledSystem, folder: Path, number: int, boxes: np.ndarray
) -> list[_Features]:
    """Encode the mirrored tile in different light; the grids are mirrored back."""
    rng = np.random.default_rng((_SEED, number))
    dates = [
        photometric(np.ascontiguousarray(date[:, ::-1]), rng, 0.6)
        for date in _dates(folder, number)
    ]
    there = boxes.copy()
    there[:, [0, 2]] = dates[0].shape[1] - boxes[:, [2, 0]]
    return [(grid[..., ::-1], summary) for grid, summary in _within(system, dates, there)]


def _within(system: BundledSystem, dates: list[np.ndarray], boxes: np.ndarray) -> list[_Features]:
    """Encode the magnified tile once and pool each crop of it."""
    dates = [magnified(date, _MAGNIFIED / _SIDE) for date in dates]
    seen = system.look(*dates, QUERIES)
    found = []
    for x0, y0, x1, y1 in np.rint(boxes * (_MAGNIFIED / _SIDE)).astype(int):
        inside = np.zeros((_MAGNIFIED, _MAGNIFIED), np.uint8)
        inside[y0:y1, x0:x1] = 1
        found.append(features.features(*seen, inside))
    return found


def _write(path: Path, found: list[_Features]) -> None:
    grid, summary = (np.stack(part) for part in zip(*found, strict=True))
    part = path.with_suffix(".part")
    with part.open("wb") as file:
        np.savez_compressed(file, grid=grid.astype(np.float16), summary=summary)
    part.replace(path)


#: Views of the crops of a tile, with their surroundings.
VIEWS: dict[str, Callable[[BundledSystem, Path, int, np.ndarray], list[_Features]]] = {
    "tile": _in_tile,
    "mirrored": _mirrored,
}
