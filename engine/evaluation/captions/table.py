# SPDX-License-Identifier: GPL-3.0-or-later
"""Table of captions of LEVIR 31-36: baselines, the bundled captioner, trained systems.

``changescribe evaluate caption-table --out FOLDER --answers KCFI=FILE.json``. The baselines are:

- the most frequent training sentence, and the most frequent one about a change for changed crops;
- a caption of the nearest training crop by the bundled model's features, namely the one most
  similar to the others, which favours the baseline;
- the factual captions from the detection of "anything changed".
"""

from __future__ import annotations

import json
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ...describe.checked import ANYTHING, detect_everything
from ...hosts.base import InProcessHost
from ...raster.area import place_of
from ...raster.reader import RasterSource
from ...request import ChangeRequest
from ...systems.bundled import BundledSystem
from ...training.captioner.features import Crops, read_crops
from ...training.scenes.consensus import Consensus
from ...weights.files import write_text
from ...wording.reading import says_no_change, words
from .metrics import Answered, cider_of_each, interval, report, vocabulary

FREQUENT = "most frequent sentence"
FREQUENT_CHANGE = "most frequent sentence about a change"
NEAREST = "nearest training crop"
FACTUAL = "factual captions"
BUNDLED = "bundled captioner"
#: Target: CIDEr-D above each of these, on all crops and on the changed ones.
BASELINES = (FREQUENT, NEAREST, FACTUAL)
PARTS = ("all", "changed")
_COLUMNS = ("bleu_1", "bleu_2", "bleu_3", "bleu_4", "meteor", "rouge_l", "cider_d", "s_m")
_TITLES = {"meteor": "METEOR", "rouge_l": "ROUGE-L", "cider_d": "CIDEr-D (95 %)", "s_m": "S*m"}

Sentences = Sequence[str]


def most_frequent(sentences: Sentences, *, change: bool = False) -> str:
    """Return the most frequent sentence, optionally among those about a change."""
    counts = Counter(
        " ".join(words(text)) for text in sentences if not (change and says_no_change(text))
    )
    return counts.most_common(1)[0][0]


def nearest(known: np.ndarray, captions: Sequence[Sentences], test: np.ndarray) -> list[str]:
    """Caption crops (M, F) with a caption of the most similar training crop (N, F).

    Returns:
        For each test crop, the caption of its nearest neighbour (cosine of standardised features)
        that is most similar to the neighbour's other captions.
    """
    mean, spread = known.mean(0), known.std(0) + 1e-6
    unit = [(part - mean) / spread for part in (known, test)]
    unit = [part / np.linalg.norm(part, axis=1, keepdims=True) for part in unit]
    closest = (unit[1] @ unit[0].T).argmax(1)
    groups = [[words(text) for text in group] for group in captions]
    judge = Consensus(groups)
    return [
        captions[place][int(np.argmax(judge.siblings(int(place), groups[place])))]
        for place in closest
    ]


def factual(data: Path, crops: Crops, which: np.ndarray) -> list[str]:
    """Return factual captions of crops from the detection of "anything changed" in their tiles."""
    found: dict[int, str] = {}
    with tempfile.TemporaryDirectory(prefix="changescribe-") as folder:
        host = InProcessHost()
        for tile in np.unique(crops.tiles[which]):
            before, after = (
                str(data / "levir" / date / f"test_{tile}.tif") for date in ("before", "after")
            )
            request = ChangeRequest(
                before=before, after=after, prompt=ANYTHING, output="", overwrite=True
            )
            known = detect_everything(request, host, folder)
            with RasterSource.open(before) as source:
                grid = source.grid
            for crop in which[crops.tiles[which] == tile]:
                x0, y0, x1, y1 = (int(edge) for edge in crops.boxes[crop])
                if known is not None:
                    place = place_of(grid, x0, y0, x1 - x0, y1 - y0)
                    found[int(crop)] = known.describe(place) or known.nothing_found
        host.close()
    return [found[int(crop)] for crop in which]


def features_of(crops: Crops) -> np.ndarray:
    """Return (N, F) features of crops: the encoder's, averaged to 2 x 2 cells, and the summary."""
    grid = crops.grid[0].astype(np.float32)
    count, channels, side, _ = grid.shape
    cells = grid.reshape(count, channels, 2, side // 2, 2, side // 2).mean((3, 5))
    return np.concatenate([cells.reshape(count, -1), crops.summary[0]], 1)


def compare(
    answers: Mapping[str, Sequence[Answered]], ids: Mapping[str, int] | None = None
) -> dict[str, Any]:
    """Measure systems and baselines on the same crops.

    Returns:
        By name the result of :func:`.metrics.report`, with ``above``: by baseline and part the
        difference of CIDEr-D and its 95 % interval (paired bootstrap over crops).
    """
    figures = {name: report(rows, ids) for name, rows in answers.items()}
    for part in PARTS:
        each = {
            name: cider_of_each([row for row in rows if part == "all" or row.changed])
            for name, rows in answers.items()
            if part in figures[name]
        }
        for name, own in each.items():
            for baseline in set(BASELINES) & set(each) - {name}:
                difference = own - each[baseline]
                above = figures[name].setdefault("above", {}).setdefault(baseline, {})
                above[part] = {
                    "cider_d": float(difference.mean()),
                    "interval_95": interval(difference),
                }
    return figures


def markdown(figures: Mapping[str, Any]) -> str:
    """Return the figures of :func:`compare` as tables."""
    lines = []
    for part in ("all", "changed", "unchanged"):
        lines += _part_table(part, {name: row for name, row in figures.items() if part in row})
    lines += [
        "### CIDEr-D above the baselines, with 95 % intervals",
        "| captions | crops | " + " | ".join(BASELINES) + " |",
        "| --- |" + " --- |" * (1 + len(BASELINES)),
    ]
    for name, found in figures.items():
        if name in (*BASELINES, FREQUENT_CHANGE):
            continue
        for part in PARTS:
            cells = []
            for baseline in BASELINES:
                value = found.get("above", {}).get(baseline, {}).get(part)
                cells.append(
                    "{:+.1f} ({:+.1f} to {:+.1f})".format(value["cider_d"], *value["interval_95"])
                    if value
                    else ""
                )
            lines.append(f"| {name} | {part} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _part_table(part: str, rows: Mapping[str, Any]) -> list[str]:
    """Return the lines of the table for a part of the crops."""
    if not rows:
        return []
    names = [_TITLES.get(column, column.replace("bleu_", "B-")) for column in _COLUMNS]
    lines = [
        f"### {part.capitalize()}: {next(iter(rows.values()))[part]['pairs']} crops",
        f"| captions | {' | '.join(names)} | no-change accuracy |",
        "| --- |" + " --- |" * (1 + len(names)),
    ]
    for name, found in rows.items():
        low, high = found[part]["cider_d_95"]
        cells = [_number(found[part]["words"][column]) for column in _COLUMNS]
        cells[_COLUMNS.index("cider_d")] += f" ({low:.1f} to {high:.1f})"
        cells.append(_number(found["no_change_accuracy"]) if part == "all" else "")
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return [*lines, ""]


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.1f}"


def baseline_answers(
    data: Path, crops: Crops, test: np.ndarray, sentences: Sentences, kept: Path
) -> dict[str, list[str]]:
    """Return the captions of the baselines."""
    known = np.flatnonzero(crops.training)
    seen = features_of(crops)
    if not kept.exists():
        write_text(kept, json.dumps(factual(data, crops, test), indent=1))
    return {
        FREQUENT: [most_frequent(sentences)] * len(test),
        FREQUENT_CHANGE: [most_frequent(sentences, change=True)] * len(test),
        NEAREST: nearest(seen[known], [crops.captions[n] for n in known], seen[test]),
        FACTUAL: json.loads(kept.read_text(encoding="utf-8")),
    }


def bundled_answers(crops: Crops, test: np.ndarray, system: BundledSystem) -> list[str]:
    """Return the captions of the bundled captioner, from the same features as in the plugin."""
    captioner = system.captioner()
    return [captioner.write(crops.grid[0, n].astype(np.float32), crops.summary[0, n]) for n in test]


def write_table(
    data: Path,
    out: Path,
    cache: Path,
    *,
    model: Path | None = None,
    answers_of: Mapping[str, Path] | None = None,
) -> str:
    """Measure baselines, the bundled captioner and trained systems on the crops of LEVIR 31-36.

    Args:
        data: the folder of real data.
        out: folder for the table (``captions.md``), figures and answers (``captions.json``).
        cache: folder of the crops' features; missing ones are written.
        model: folder of the bundled model's files; None is the shipped model.
        answers_of: files written by :func:`.metrics.measure_system`, by name of the system.

    Returns:
        The table, in Markdown.
    """
    out.mkdir(parents=True, exist_ok=True)
    crops = read_crops(data, cache, model, ("tile",))
    test = np.flatnonzero(~crops.training)
    text = (data / "levir" / "caption_sentences_train.txt").read_text(encoding="utf-8")
    sentences = text.splitlines()
    for crop in np.flatnonzero(crops.training):
        sentences += crops.captions[crop]
    system = BundledSystem(model)
    system.load("cpu")
    kept = out / f"factual_{system.info.revision}.json"
    captions = baseline_answers(data, crops, test, sentences, kept)
    if system.info.writes:
        captions[BUNDLED] = bundled_answers(crops, test, system)
    names = [f"test_{crops.tiles[n]}_{crops.boxes[n][0]}_{crops.boxes[n][1]}" for n in test]
    for name, path in (answers_of or {}).items():
        written = json.loads(path.read_text(encoding="utf-8"))["answers"]
        captions[name] = [written[crop] for crop in names]
    answers = {
        name: [
            Answered(crop, sentence, crops.captions[n])
            for crop, sentence, n in zip(names, rows, test, strict=True)
        ]
        for name, rows in captions.items()
    }
    figures = compare(answers, vocabulary(sentences))
    by_crop = {name: dict(zip(names, rows, strict=True)) for name, rows in captions.items()}
    kept_text = json.dumps({"figures": figures, "answers": by_crop}, indent=1)
    write_text(out / "captions.json", kept_text)
    table = markdown(figures)
    write_text(out / "captions.md", table)
    return table
