# SPDX-License-Identifier: GPL-3.0-or-later
"""LEVIR tiles 31-36, read and scored once for all evaluations."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ... import prompt
from ...request import APPEARED, REMOVED, Query
from ...systems.base import ChangeSystem
from ...training.metrics import BinaryCounts
from ...training.scenes.phrases import HELD_OUT_NOUNS
from ...training.scenes.roads import lines_of
from ...training.scenes.sources import geotransform, read_rgb
from ..masks.ranking import ASKED
from ..masks.road_lines import LineMatch
from .whole_image import score_pair

#: Pixel size in metres. The tiles are in degrees: 0.52 m wide and 0.59 m high on the ground.
PIXEL_SIZE = 0.554
#: Validation tiles; not a test set, since choices were made on them.
VALIDATION_TILES = range(31, 37)
#: Wordings of "buildings built", first the plain one.
BUILT = ("buildings built", "new houses", "homes constructed", "building appeared")
DEMOLISHED = "buildings demolished"
#: Objects that neither captions of these tiles nor training mention. Training queries other absent
#: objects, which the model has therefore learnt not to find.
ABSENT = tuple(f"new {noun}" for noun in (*HELD_OUT_NOUNS, "pyramids", "coral reefs"))
#: Every class and direction in captions.
CLASS_QUERIES = tuple(Query(word, way) for word in ASKED.values() for way in (APPEARED, REMOVED))


@dataclass(frozen=True)
class LevirTile:
    """A tile.

    Attributes:
        number: 1 to 36.
        before: (H, W, 3) uint8.
        after: the same for the later date.
        label: (H, W) uint8, > 0 where a building changed.
        geotransform: of its rasters.
    """

    number: int
    before: np.ndarray
    after: np.ndarray
    label: np.ndarray
    geotransform: tuple[float, ...]

    def road_match(self, score: np.ndarray) -> LineMatch:
        """Compare a score (H, W) with the drawn centre lines of new roads."""
        roads, doubts = (
            lines_of(self.number, kind, self.geotransform) for kind in ("road", "doubt")
        )
        return LineMatch.of(score, roads, doubts)


@dataclass(frozen=True)
class ScoredTile:
    """A tile with its scores.

    Attributes:
        forward: score (H, W) by query.
        backward: score by query with swapped dates; :data:`CLASS_QUERIES` only.
    """

    tile: LevirTile
    forward: dict[Query, np.ndarray]
    backward: dict[Query, np.ndarray]

    def of_prompt(self, text: str) -> np.ndarray:
        """Return the maximum score (H, W) over the queries of a prompt."""
        return np.max([self.forward[query] for query in prompt.parse(text).queries], 0)


def read_tile(data: Path, number: int) -> LevirTile:
    """Read a tile."""
    folder = data / "levir"
    before, after, label = (
        read_rgb(folder / part / f"test_{number}.tif") for part in ("before", "after", "label")
    )
    place = geotransform(folder / "after" / f"test_{number}.tif")
    return LevirTile(number, before, after, label[..., 0], place)


def score_tiles(system: ChangeSystem, tiles: Iterable[LevirTile]) -> Iterator[ScoredTile]:
    """Score tiles one by one; all queries share one pass per order of the dates."""
    texts = (*BUILT, DEMOLISHED, *ABSENT)
    asked = [query for text in texts for query in prompt.parse(text).queries]
    queries = list(dict.fromkeys([*CLASS_QUERIES, *asked]))
    for tile in tiles:
        forward = score_pair(system, tile.before, tile.after, queries, PIXEL_SIZE)
        backward = score_pair(system, tile.after, tile.before, CLASS_QUERIES, PIXEL_SIZE)
        yield ScoredTile(
            tile,
            dict(zip(queries, forward, strict=True)),
            dict(zip(CLASS_QUERIES, backward, strict=True)),
        )


class PromptFigures:
    """Buildings by prompt, in both orders of the dates, and prompts for absent objects."""

    def __init__(self) -> None:
        self.built = {text: BinaryCounts() for text in BUILT}
        self.swapped = {way: BinaryCounts() for way in (APPEARED, REMOVED)}
        self.absent = {text: BinaryCounts() for text in (DEMOLISHED, *ABSENT)}

    def add(self, scored: ScoredTile) -> None:
        """Count a tile."""
        label = scored.tile.label
        for text, counts in self.built.items():
            counts.add(scored.of_prompt(text) >= 0.5, label)
        for way, counts in self.swapped.items():
            counts.add(scored.backward[Query("buildings", way)] >= 0.5, label)
        for text, counts in self.absent.items():
            counts.add(scored.of_prompt(text) >= 0.5, np.zeros_like(label))

    def figures(self) -> dict[str, object]:
        """Return the figures; for absent objects the share of detected pixels."""
        shares = {text: round(c.found_share, 6) for text, c in self.absent.items()}
        absent = [shares[text] for text in ABSENT]
        return {
            "built": {text: counts.figures() for text, counts in self.built.items()},
            "dates_swapped": {
                f"buildings|{way}": counts.figures() for way, counts in self.swapped.items()
            },
            "demolished_share": shares[DEMOLISHED],
            "absent_share": {text: shares[text] for text in ABSENT},
            "absent_share_mean": round(float(np.mean(absent)), 6),
        }
