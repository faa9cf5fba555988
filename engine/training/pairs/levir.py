# SPDX-License-Identifier: GPL-3.0-or-later
"""LEVIR with captions: LEVIR-CC and LEVIR-MCI as published, and the project's own tiles."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import InputError
from ..recipe import DataSpec
from ..texts import TrainingTexts
from .base import ImagePairs, Window, both_directions, read_image
from .binary import BUILDINGS
from .pair import LabelledPair

ROADS = "roads"


def _read_json(path: Path) -> Any:
    """Read a file of captions."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(
            TrainingTexts.captions_unreadable(path=path), details=str(error)
        ) from error


class LevirCc(ImagePairs):
    """LEVIR-CC: 10077 pairs of 256 x 256 pixels, 0.5 m, with five captions each.

    ``images / SPLIT / A, B / NAME.png`` and ``LevirCCcaptions.json`` (Liu et al., TGRS 2022;
    github.com/Chen-Yang-Liu/RSICC). There are no other labels.
    """

    parts: tuple[str, ...] = ("A", "B")

    def __init__(self, spec: DataSpec, folder: Path) -> None:
        super().__init__(spec, folder)
        rows = _read_json(folder / "LevirCCcaptions.json")
        try:
            self._captions = {
                Path(row["filename"]).stem: tuple(s["raw"].strip() for s in row["sentences"])
                for row in rows["images"]
            }
        except (KeyError, TypeError, AttributeError) as error:
            raise InputError(
                TrainingTexts.captions_layout(path=folder / "LevirCCcaptions.json"),
                details=repr(error),
            ) from error

    def _base(self) -> Path:
        return self.folder / "images" / self.spec.split

    def _label(self, pair: LabelledPair, labels: list[np.ndarray], index: int) -> None:
        pair.captions = self._captions.get(self.names[index], ())


class LevirMci(LevirCc):
    """LEVIR-MCI: the pairs and captions of LEVIR-CC, and roads and buildings that changed.

    ``images / SPLIT / A, B, label / NAME.png`` and ``LevirCCcaptions.json``; a label is 0, 128
    for roads or 255 for buildings that changed (Liu et al., TGRS 2024;
    github.com/Chen-Yang-Liu/Change-Agent). The labels have no direction; nearly all
    changed objects are new, so all count as appeared.
    """

    parts = ("A", "B", "label")

    def _read_label(self, path: Path) -> np.ndarray:
        label = read_image(path, "L")
        strange = sorted(set(np.unique(label).tolist()) - {0, 128, 255})
        if strange:
            raise InputError(TrainingTexts.bad_label_value(path=path, value=strange[0]))
        return label

    def _label(self, pair: LabelledPair, labels: list[np.ndarray], index: int) -> None:
        super()._label(pair, labels, index)
        pair.change = (labels[0] > 0).astype(np.uint8)
        both_directions(pair, ROADS, (labels[0] == 128).astype(np.uint8))
        both_directions(pair, BUILDINGS, (labels[0] == 255).astype(np.uint8))


class LevirTiles(ImagePairs):
    """The project's LEVIR-CD tiles: 1024 x 1024 pixels; buildings that changed.

    ``before, after, label / test_N.tif``. ``split`` is ``train`` (tiles 1 to 30), ``val``
    (31 to 36) or empty (all); tiles are never split. They are part of the
    official test set, so figures are not comparable with the papers.
    """

    parts = ("before", "after", "label")
    prompt = BUILDINGS
    keeps = 36  # 7 MB each
    #: First and last tile of the splits.
    splits = {"train": (1, 30), "val": (31, 36), "": (0, 10**6)}  # noqa: RUF012 - a constant

    def _base(self) -> Path:
        return self.folder

    def _keep(self, names: list[str]) -> None:
        first, last = self._range()
        super()._keep([name for name in names if first <= _number(name) <= last])

    def _range(self) -> tuple[int, int]:
        if self.spec.split not in self.splits:
            raise InputError(TrainingTexts.no_split(split=self.spec.split))
        return self.splits[self.spec.split]

    def _label(self, pair: LabelledPair, labels: list[np.ndarray], index: int) -> None:
        pair.change = labels[0]
        both_directions(pair, BUILDINGS, labels[0])


class LevirCrops(LevirTiles):
    """The captioned crops of :class:`LevirTiles`, 256 x 256 pixels with five sentences each.

    ``captions.json`` beside the images: a list of ``{"tile", "box": [x0, y0, x1, y1],
    "captions"}``.
    """

    def __init__(self, spec: DataSpec, folder: Path) -> None:
        super().__init__(spec, folder)
        tiles = {name: number for number, name in enumerate(self.names)}
        rows = [row for row in _read_json(folder / "captions.json") if row["tile"] in tiles]
        self._tiles = [tiles[row["tile"]] for row in rows]
        self._boxes = [row["box"] for row in rows]
        self._captions = [tuple(row["captions"]) for row in rows]
        self._tile_names = self.names
        self.names = [f"{row['tile']}_{row['box'][0]}_{row['box'][1]}" for row in rows]

    def paths(self, index: int) -> list[Path]:
        """Return the files of a crop's tile."""
        name = self._tile_names[self._tiles[index]]
        return [files[name] for files in self._files]

    def size(self, index: int) -> tuple[int, int]:
        """Return height and width of a crop in pixels."""
        x0, y0, x1, y1 = self._boxes[index]
        return y1 - y0, x1 - x0

    def read(self, index: int, window: Window | None = None) -> LabelledPair:
        """Return a crop, or a window of it; see :meth:`.base.PairSet.read`."""
        x0, y0, _, _ = self._boxes[index]
        window = window or Window(0, 0, *self.size(index))
        pair = super().read(index, window._replace(y=window.y + y0, x=window.x + x0))
        pair.captions = self._captions[index]
        return pair


def _number(name: str) -> int:
    """Return the number in a tile's name; -1 without one."""
    found = re.search(r"\d+", name)
    return int(found.group()) if found else -1
