# SPDX-License-Identifier: GPL-3.0-or-later
"""``changescribe evaluate``: all figures of the bundled model's card, in one run."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..paths import MODELS
from ..request import APPEARED, REMOVED, Query
from ..systems.bundled import BundledSystem
from ..training.metrics import BinaryCounts
from ..training.scenes.labels import UNKNOWN
from ..training.scenes.roads import distance_to, lines_of, new_roads
from ..training.scenes.sources import magnified, read_captions
from ..weights.files import write_text
from .masks.baselines import cva_otsu
from .masks.calibration import Calibration, RawCounts, raw_scores, read_calibration
from .masks.ranking import CropRanking
from .masks.road_lines import PRECISION_REACH, RECALL_REACH, LineMatch
from .pictures import row_of_pictures, write_sheet
from .places.colour_residual import unbiased_chooser
from .places.elsewhere import AIRCHANGE, OSCD, measure_elsewhere
from .places.generated import EVALUATION_SEEDS, GeneratedFigures, scored_scenes
from .places.levir import (
    PIXEL_SIZE,
    VALIDATION_TILES,
    LevirTile,
    PromptFigures,
    ScoredTile,
    read_tile,
    score_tiles,
)
from .report import markdown
from .robustness.harder_pairs import measure_robustness
from .robustness.no_text import ClassDifference, DifferenceFigures
from .speed.pair import measure_size, measure_speed

BUILT, ROADS, FELLED = (
    Query("buildings", APPEARED),
    Query("roads", APPEARED),
    Query("trees", REMOVED),
)
#: Half width of drawn lines in pictures, in pixels.
_DRAWN = 3


def evaluate(
    data: Path,
    out: Path,
    folder: Path | None = None,
    *,
    quick: bool = False,
    folds: Path | None = None,
) -> dict[str, Any]:
    """Measure real and generated pairs; write ``figures.json``, ``report.md`` and pictures.

    Args:
        data: the folder of real data.
        out: folder for the results.
        folder: folder of the model files; None is the shipped model.
        quick: skip robustness, which takes half of the time.
        folds: folder written by :mod:`.places.folds`. Without it, a model trained on OSCD and
            AirChange is not measured on them.

    Returns:
        The figures, as in ``figures.json``.

    Raises:
        InputError: the data cannot be read.
        WeightsError: the model cannot be read.
    """
    start = time.monotonic()

    def log(what: str) -> None:
        sys.stderr.write(f"[{time.monotonic() - start:5.0f} s] {what}\n")
        sys.stderr.flush()

    folder = folder or MODELS
    system = BundledSystem(folder)
    system.load("cpu")
    calibration = read_calibration(folder)
    tiles = [read_tile(data, number) for number in VALIDATION_TILES]
    figures: dict[str, Any] = {"model": system.info.revision, "device": system.device}
    log("speed")
    pair = (tiles[0].before, tiles[0].after)
    figures["speed"] = measure_speed(system, *pair)
    # The size of a LEVIR tile in the plugin.
    factor = PIXEL_SIZE / system.info.pixel_sizes[0]
    figures["speed_magnified"] = measure_speed(system, *(magnified(i, factor) for i in pair))
    figures["megabytes"] = measure_size(folder)
    levir = LevirFigures(data, calibration)
    for scored in score_tiles(system, tiles):
        log(f"LEVIR tile {scored.tile.number}")
        levir.add(scored)
    levir.write_sheets(out)
    figures["levir_31_36"] = levir.figures()
    log("baselines on LEVIR")
    figures["baselines_on_levir"] = measure_baselines(folder, tiles)
    generated = GeneratedFigures(calibration)
    for scene in scored_scenes(system, EVALUATION_SEEDS, log):
        generated.add(scene)
    figures["generated"] = generated.figures()
    figures["calibration"] = _reliabilities(calibration, levir.raw, generated.raw)
    choose = unbiased_chooser(system, folder, folds)
    for what in (OSCD, AIRCHANGE):
        figures[what.folder], rows = measure_elsewhere(choose, data, what, log)
        if rows:
            write_sheet(rows, out / f"{what.folder}.jpg")
    report = _write_results(out, figures)
    if not quick:  # the longer half, last: interrupting it leaves the other figures
        figures["robustness"] = measure_robustness(system, tiles, log)
        report = _write_results(out, figures)
    log("done")
    sys.stdout.write(report)
    return figures


def _write_results(out: Path, figures: dict[str, Any]) -> str:
    """Write figures and report; return the report."""
    report = markdown(figures)
    write_text(out / "figures.json", json.dumps(figures, indent=1) + "\n")
    write_text(out / "report.md", report)
    return report


class LevirFigures:
    """The figures on scored LEVIR tiles, accumulated tile by tile."""

    def __init__(self, data: Path, calibration: Calibration) -> None:
        self.raw = {name: RawCounts() for name in ("building", "road")}
        self._calibration = calibration
        self._prompts = PromptFigures()
        self._ranking = CropRanking(read_captions(data / "levir"))
        self._roads: dict[str, LineMatch] = {}
        self._rows: dict[str, list[np.ndarray]] = {"buildings": [], "roads": [], "trees": []}

    def add(self, scored: ScoredTile) -> None:
        """Measure a tile."""
        tile = scored.tile
        name = f"test_{tile.number}"
        self._prompts.add(scored)
        self._ranking.add(name, scored.forward, scored.backward)
        self._roads[name] = tile.road_match(scored.forward[ROADS])
        truths = {
            "building": (tile.label > 0).astype(np.uint8),
            "road": new_roads(tile.number, tile.label.shape, tile.geotransform),
        }
        for (class_name, truth), query in zip(truths.items(), (BUILT, ROADS), strict=True):
            known = truth != UNKNOWN
            raw = raw_scores(scored.forward[query], **self._calibration[class_name])
            self.raw[class_name].add(raw[known], truth[known] == 1)
        drawn = (
            distance_to(lines_of(tile.number, "road", tile.geotransform), tile.label.shape)
            <= _DRAWN
        )
        for word, query, truth, reach in (
            ("buildings", BUILT, tile.label, (0, 0)),
            ("roads", ROADS, drawn, (PRECISION_REACH, RECALL_REACH)),
            ("trees", FELLED, None, (0, 0)),
        ):
            title = f"{name}, {word} {query.direction}"
            score = scored.forward[query]
            self._rows[word].append(
                row_of_pictures(tile.before, tile.after, score, truth, title, reach=reach)
            )

    def write_sheets(self, out: Path) -> None:
        """Write the picture sheets."""
        for word, rows in self._rows.items():
            write_sheet(rows, out / f"levir_{word}.jpg")

    def figures(self) -> dict[str, Any]:
        """Return the figures."""
        together = LineMatch.together(list(self._roads.values()))
        return {
            **self._prompts.figures(),
            "road_lines": {
                "all": together.at(0.5).figures(),
                **{name: match.at(0.5).figures() for name, match in self._roads.items()},
            },
            "captions": self._ranking.figures(),
        }


def measure_baselines(folder: Path, tiles: Sequence[LevirTile]) -> dict[str, Any]:
    """Measure change vector analysis and the network without text on LEVIR."""
    cva = BinaryCounts()
    difference = DifferenceFigures(ClassDifference(folder))
    for tile in tiles:
        cva.add(cva_otsu(tile.before, tile.after), tile.label)
        difference.add(tile)
    return {"cva_otsu": cva.figures(), "class_difference": difference.figures()}


def _reliabilities(
    calibration: Calibration, levir: dict[str, RawCounts], generated: dict[str, RawCounts]
) -> dict[str, Any]:
    """Return the reliability of each class before and after its calibration."""
    result = {}
    for where, by_class in (("LEVIR 31-36", levir), ("generated", generated)):
        for name, counts in by_class.items():
            result[f"{name}, {where}"] = {
                **calibration[name],
                "before": counts.reliability(),
                "after": counts.reliability(**calibration[name]),
            }
    return result
