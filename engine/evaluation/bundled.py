# SPDX-License-Identifier: GPL-3.0-or-later
"""Measures the bundled model on LEVIR tiles 31-36 and generated scenes, through its tiles."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Optional

import numpy as np

from ..classes import CLASSES
from ..request import APPEARED, REMOVED, Query
from ..systems.base import ChangeSystem
from ..systems.bundled import BundledSystem
from ..training.phrases import HELD_OUT_NOUNS
from ..training.sources import read_rgb
from .metrics import BinaryCounts
from .pictures import row_of_pictures, write_sheet
from .whole_image import score_pair

#: Tiles that training never sees; it is tuned on them, so they are no test set.
VALIDATION_TILES = range(31, 37)
SYNONYMS = ("houses", "homes", "building", "residential buildings")
ABSENT = ("swimming pools", "solar panels", *HELD_OUT_NOUNS[:3])
#: Generated scenes of the evaluation; training uses seeds from 100,000.
GENERATED_SEED, GENERATED_SCENES = 900_000, 16
#: Classes of which LEVIR has no labels, looked at in pictures.
PICTURED = (("roads", APPEARED), ("trees", REMOVED))


def evaluate(data: Path, out: Path, folder: Optional[Path] = None) -> dict[str, Any]:
    """Measure on real and generated pairs; print a table, write ``figures.json`` and pictures.

    Args:
        data: the folder of real data.
        out: for the results.
        folder: with the model files; None is the shipped model.

    Returns:
        What was measured.

    Raises:
        InputError: the data cannot be read.
        WeightsError: the model cannot.
    """
    system = BundledSystem(folder)
    system.load("cpu")
    pairs = [levir_pair(data, number) for number in VALIDATION_TILES]
    figures: dict[str, Any] = {"model": system.info.revision, "device": system.device}
    figures.update(measure(system, pairs, out))
    figures["generated"] = measure_generated(system)
    figures["seconds_per_1024_pair"] = measure_speed(system, pairs[0])
    out.mkdir(parents=True, exist_ok=True)
    (out / "figures.json").write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    _print(figures)
    return figures


def levir_pair(data: Path, number: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Read before, after and label of a LEVIR tile."""
    folder = data / "levir"
    before, after, label = (
        read_rgb(folder / part / f"test_{number}.tif") for part in ("before", "after", "label")
    )
    return before, after, label[..., 0]


def measure(
    system: ChangeSystem, pairs: Sequence[tuple[np.ndarray, np.ndarray, np.ndarray]], out: Path
) -> dict[str, Any]:
    """Score all queries on all pairs, in both orders of the dates."""
    buildings = Query("buildings", APPEARED)
    queries = [buildings, Query("buildings", REMOVED)]
    queries += [Query(word, APPEARED) for word in (*SYNONYMS, *ABSENT)]
    queries += [Query(*pictured) for pictured in PICTURED]
    counts = {str(query): BinaryCounts() for query in queries}
    swapped = {APPEARED: BinaryCounts(), REMOVED: BinaryCounts()}
    rows: dict[str, list[np.ndarray]] = {"buildings": [], "roads": [], "trees": []}
    for before, after, label in pairs:
        scores = score_pair(system, before, after, queries)
        for query, score in zip(queries, scores, strict=True):
            counts[str(query)].add(score >= 0.5, label)
            if query == buildings:
                rows["buildings"].append(row_of_pictures(before, after, score, label))
            elif (query.object, query.direction) in PICTURED:
                rows[query.object].append(row_of_pictures(before, after, score))
        reverse = [Query("buildings", direction) for direction in swapped]
        for query, score in zip(reverse, score_pair(system, after, before, reverse), strict=True):
            swapped[query.direction].add(score >= 0.5, label)
    for name, pictures in rows.items():
        write_sheet(pictures, out / f"levir_{name}.jpg")
    result = {name: count.figures() for name, count in counts.items()}
    result.update({f"dates swapped: buildings|{d}": c.figures() for d, c in swapped.items()})
    return {"levir_31_36": result}


def measure_generated(system: ChangeSystem, count: int = GENERATED_SCENES) -> dict[str, Any]:
    """Score generated scenes that training has not seen: every class, both directions."""
    from ..synthesis.scenes import synthesise

    queries = [Query(c.plural, d) for c in CLASSES for d in (APPEARED, REMOVED)]
    counts = {str(query): BinaryCounts() for query in queries}
    for seed in range(GENERATED_SEED, GENERATED_SEED + count):
        scene = synthesise(seed, 512, 0.5)
        scores = score_pair(system, scene.before, scene.after, queries)
        for number, query in enumerate(queries):
            code = number // 2 + 1
            was, is_now = scene.labels_before == code, scene.labels_after == code
            truth = is_now & ~was if query.direction == APPEARED else was & ~is_now
            counts[str(query)].add(scores[number] >= 0.5, truth)
    return {name: count.figures() for name, count in counts.items()}


def measure_speed(
    system: ChangeSystem, pair: tuple[np.ndarray, np.ndarray, np.ndarray]
) -> float:
    """Return the seconds for a 1024x1024 pair and one query, as one tile, best of three."""
    query = [Query("buildings", APPEARED)]
    best = float("inf")
    for _ in range(3):
        start = time.perf_counter()
        system.predict(pair[0][None], pair[1][None], query)
        best = min(best, time.perf_counter() - start)
    return round(best, 3)


def _print(figures: dict[str, Any]) -> None:
    """Print the table."""
    write = sys.stdout.write
    write(f"{figures['model']} on {figures['device']}\n")
    for part, title in (("levir_31_36", "LEVIR 31-36"), ("generated", "generated scenes")):
        write(f"{title:<42} {'P':>6} {'R':>6} {'F1':>6} {'IoU':>6}  found\n")
        for name, row in figures[part].items():
            numbers = " ".join(f"{row[k]:6.3f}" for k in ("precision", "recall", "f1", "iou"))
            write(f"{name:<42} {numbers} {row['found_share']:7.2%}\n")
    write(f"seconds for a 1024x1024 pair, one query: {figures['seconds_per_1024_pair']}\n")
