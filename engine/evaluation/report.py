# SPDX-License-Identifier: GPL-3.0-or-later
"""The figures of an evaluation as Markdown tables, for the model card."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from .robustness.disturbances import LIGHT, NOISE_DECIBEL

Figures = dict[str, Any]

#: Of rows that repeat others: the model answers exchanged dates by exchanging its two directions.
BY_CONSTRUCTION = "equal by construction"
#: Key and name of the data sets of other sensors.
WEAK_SETS = (("oscd", "OSCD"), ("airchange", "AirChange"))
_WANTED_AUC = {"buildings|appeared": 0.85, "roads|appeared": 0.80, "trees|removed": 0.70}


def markdown(figures: Figures) -> str:
    """Return the report on figures of :func:`.bundled.evaluate`."""
    parts = [
        f"Measured on `{figures['model']}`, {figures['device']}.",
        "### Bars\n" + _table(("what", "wanted", "measured", "met"), _bars(figures)),
        _levir(figures["levir_31_36"]),
        _roads(figures["levir_31_36"]["road_lines"]),
        _captions(figures["levir_31_36"]["captions"]),
        _absent(figures["levir_31_36"]),
        _baselines(figures),
        _elsewhere(figures),
    ]
    if "robustness" in figures:
        parts.append(_robustness(figures))
    parts += [_generated(figures["generated"]), _calibration(figures["calibration"])]
    parts.append(_speed(figures))
    return "\n\n".join(parts) + "\n"


def _bars(figures: Figures) -> list[Sequence[str]]:
    """Compare with what was asked of the model."""
    levir, built = figures["levir_31_36"], figures["levir_31_36"]["built"]
    plain, *others = (row["f1"] for row in built.values())
    captions = levir["captions"]
    swapped = levir["dates_swapped"]["buildings|removed"]["f1"]
    rows = [
        _bar("LEVIR 31-36, buildings built, F1", plain, 0.90),
        _bar("synonyms: largest distance in F1", max(abs(f1 - plain) for f1 in others), 0.02, True),
        _bar("roads built on drawn lines, F", levir["road_lines"]["all"]["f"], 0.85),
        *(
            _bar(f"captions: {name.replace('|', ' ')}, AUC", captions[name]["auc"], wanted)
            for name, wanted in _WANTED_AUC.items()
            if name in captions
        ),
        _bar("absent objects, mean share of pixels", levir["absent_share_mean"], 0.01, True),
        _bar(
            f"dates swapped: distance in F1 ({BY_CONSTRUCTION})", abs(swapped - plain), 0.03, True
        ),
        *(
            _bar(
                f"{name}: F1 above CVA + Otsu",
                figures[key]["model"]["f1"] - figures[key]["cva_otsu"]["f1"],
                0.15,
            )
            for key, name in WEAK_SETS
            if figures[key]["places"]
        ),
        _bar("bundled files, MB", figures["megabytes"]["total"], 20, True),
        _bar("seconds for a 1024x1024 pair", figures["speed"]["seconds_median"], 0.5, True),
    ]
    if "robustness" in figures:
        for what, name, most in (
            ("noise + light", "noise + light", 0.05),
            ("2 px of shift", "earlier date shifted by 2 px", 0.10),
        ):
            loss = plain - figures["robustness"][name]["f1"]
            rows.append(_bar(f"{what}: loss of F1", loss, most, True))
    return rows


def _bar(what: str, measured: float, wanted: float, at_most: bool = False) -> Sequence[str]:
    """Return a row; a figure that is no number (NaN) meets nothing."""
    met = measured <= wanted if at_most else measured >= wanted
    sign = "at most" if at_most else "at least"
    return what, f"{sign} {wanted:g}", f"{measured:.3f}", "yes" if met else "**no**"


def _levir(levir: Figures) -> str:
    rows = [(f'"{text}"', *_four(row)) for text, row in levir["built"].items()]
    rows += [
        (f"dates swapped, {name.replace('|', ' ')} ({BY_CONSTRUCTION})", *_four(row))
        for name, row in levir["dates_swapped"].items()
    ]
    return (
        "### Buildings on LEVIR 31-36\nBy pixel, summed over the tiles, threshold 0.5. The rows "
        f"with the dates swapped are a consistency check, {BY_CONSTRUCTION}, and no measurement: "
        'exchanged dates exchange the two directions inside the model, so that "removed" finds '
        'what "appeared" finds otherwise, and "appeared" what "removed" does.\n'
        + _table(("prompt", "P", "R", "F1", "IoU"), rows)
    )


def _roads(lines: Figures) -> str:
    rows = [
        (name, f"{row['line_px']}", *(f"{row[key]:.3f}" for key in ("precision", "recall", "f")))
        for name, row in lines.items()
    ]
    return (
        "### Roads built, against centre lines drawn by eye\nRecall: share of the lines with a "
        "detection within 8 px; precision: share of detected pixels within 16 px of a line; "
        "what is near a line in doubt alone does not count.\n"
        + _table(("tile", "px of lines", "P", "R", "F"), rows)
    )


def _captions(captions: Figures) -> str:
    rows = [
        (
            name.replace("|", " "),
            f"{row['auc']:.3f}",
            f"{row['interval'][0]:.3f} to {row['interval'][1]:.3f}",
            str(row["positive"]),
            str(row["negative"]),
            " / ".join(f"{share:.2%}" for share in row["found"]),
            f"swapped ({BY_CONSTRUCTION})" if row["dates_swapped"] else "",
        )
        for name, row in captions.items()
    ]
    return (
        "### Crops against captions (LEVIR-CC, tiles 31-36)\nROC AUC of the mean of a crop's top "
        "1 % of pixels; positive: at least 3 of 5 sentences say it, negative: none does. Found: "
        "mean share of the pixels that pass the threshold, in positive / negative crops. Fewer "
        "than 10 positives: dates swapped. Such a row and that of the other direction with the "
        f"dates in order are {BY_CONSTRUCTION}: where both are shown, this one is a consistency "
        "check, and no second measurement.\n"
        + _table(("change", "AUC", "95 % interval", "positive", "negative", "found", "dates"), rows)
    )


def _absent(levir: Figures) -> str:
    rows = [(f'"{text}"', f"{share:.3%}") for text, share in levir["absent_share"].items()]
    rows.append(("mean of these", f"{levir['absent_share_mean']:.3%}"))
    rows.append(('"buildings demolished" (almost none were)', f"{levir['demolished_share']:.3%}"))
    return (
        "### What is not there\nShare of the pixels of LEVIR 31-36 that are found. Training has "
        "named none of these things.\n" + _table(("prompt", "found"), rows)
    )


def _baselines(figures: Figures) -> str:
    built = figures["levir_31_36"]["built"]
    base = figures["baselines_on_levir"]
    difference = base["class_difference"]
    lines = figures["levir_31_36"]["road_lines"]["all"]
    names = list(built)
    rows = [
        ("CVA + Otsu", *_four(base["cva_otsu"]), ""),
        (
            "class branch alone, p_after (1 - p_before) >= 0.5",
            *_four(difference["buildings"]),
            f"{difference['roads']['f']:.3f}",
        ),
        (
            "the same at its best threshold on these tiles",
            "",
            "",
            f"{difference['buildings_best_f1']:.3f}",
            "",
            f"{difference['roads_best_f']:.3f}",
        ),
        ("class by its own name (a class index)", *_four(built[names[0]]), f"{lines['f']:.3f}"),
        (
            "class by other words (mean)",
            *(
                f"{sum(built[n][key] for n in names[1:]) / len(names[1:]):.3f}"
                for key in ("precision", "recall", "f1", "iou")
            ),
            "",
        ),
    ]
    return (
        "### Baselines on LEVIR 31-36, and the network without text\nThe class branch scores each "
        "date by itself and reads no sentence. A class's own name is one fixed vector, so asking "
        "with it is the network with a class index in the place of the text; the row below says "
        "what free words cost against it. A network trained without text from the start was not "
        "measured here.\n" + _table(("what", "P", "R", "F1", "IoU", "roads F"), rows)
    )


def _elsewhere(figures: Figures) -> str:
    rows, missing = [], []
    for key, title in WEAK_SETS:
        part = figures[key]
        missing += part["not_measured"]
        if not part["places"]:
            continue
        rows.append((f'{title}, "{part["prompt"]}"', *_four(part["model"])))
        rows.append((f"{title}, CVA + Otsu", *_four(part["cva_otsu"])))
        best, threshold = part["best_f1"], part["best_threshold"]
        rows.append((f"{title}, best threshold ({threshold:g})", "", "", f"{best:.3f}", ""))
        for place, row in part["places"].items():
            rows.append((f"- {place}", *_four(row["model"])))
    text = "### OSCD and AirChange\n"
    if rows:
        text += (
            "Each place by a model that was not trained on it and whose threshold was not fitted "
            "on it (of AirChange: on no picture of the site). Through the pipeline, any mask value "
            "> 0 against the labels. The best threshold is chosen on these labels: it says how "
            "much of a miss is a matter of the threshold.\n"
            + _table(("what", "P", "R", "F1", "IoU"), rows)
        )
    if missing:
        text += (
            f"\n\nIn the training of this model, and not measured: {', '.join(missing)}. "
            "That takes the models of `changescribe build folds`, "
            "each of which left some places out.\n"
        )
    return text


def _robustness(figures: Figures) -> str:
    plain = figures["levir_31_36"]["built"]["buildings built"]["f1"]
    rows = [("as they are", *_four(figures["levir_31_36"]["built"]["buildings built"]), "")]
    rows += [
        (name, *_four(row), f"{row['f1'] - plain:+.3f}")
        for name, row in figures["robustness"].items()
    ]
    return (
        "### Robustness: buildings built on LEVIR 31-36\nMMChange's table IV gives no magnitudes. "
        f"Here light is a factor of {LIGHT[0]:g} to {LIGHT[1]:g} for each date, and noise is white "
        f"and Gaussian, {NOISE_DECIBEL:g} dB below the signal, on both dates.\n"
        + _table(("pairs", "P", "R", "F1", "IoU", "change of F1"), rows)
    )


def _generated(generated: Figures) -> str:
    rows = [(name.replace("|", " "), *_four(row)) for name, row in generated.items()]
    return "### Generated scenes\nSeeds that training has not seen, 0.5 m.\n" + _table(
        ("change", "P", "R", "F1", "IoU"), rows
    )


def _calibration(calibration: Figures) -> str:
    rows = []
    for name, row in calibration.items():
        errors = [f"{row[date]['ece']:.4f}" for date in ("before", "after")]
        errors += [f"{row[date]['ece_unsure']:.3f}" for date in ("before", "after")]
        rows.append((name, f"{row['scale']:g}", f"{row['bias']:g}", *errors))
    curves = [
        (name, *("" if b is None else f"{b[1]:.2f}" for b in row["after"]["bins"]))
        for name, row in calibration.items()
    ]
    bins = tuple(f"{i / 10:.1f}-{(i + 1) / 10:.1f}" for i in range(10))
    return (
        "### Calibration\nscore = sigmoid(scale x raw + bias), so that 0.5 is the best threshold: "
        "of trees the one with the best mean of F1 on generated scenes and F1 of the captioned "
        "crops of LEVIR 31-36, found where 1 % of their pixels are. "
        "ECE: expected calibration error over all pixels, and over those with scores of 0.1 to "
        "0.9 alone. Roads on LEVIR: within 5 px of a drawn line against further than 14 px.\n"
        + _table(
            ("class", "scale", "bias", "ECE before", "after", "ECE 0.1-0.9 before", "after"), rows
        )
        + "\n\nReliability, calibrated: share of the pixels that are right, by score.\n"
        + _table(("class", *bins), curves)
    )


def _speed(figures: Figures) -> str:
    speed, sizes = figures["speed"], figures["megabytes"]
    files = ", ".join(f"{name} {size:g}" for name, size in sizes.items() if name != "total")
    return (
        f"### Speed and size\n{speed['seconds_median']:.2f} s for a pair of "
        f"{speed['pixels'][0]}x{speed['pixels'][1]} and one query in the product's tiles, "
        f"median of {len(speed['seconds_all'])} ({speed['device']}); "
        f"{figures['speed_magnified']['seconds_median']:.2f} s for one that is magnified to "
        f"{figures['speed_magnified']['pixels'][0]} pixels, as a tile of LEVIR with its pixels of "
        f"0.55 m is. {sizes['total']:g} MB: {files}."
    )


def _four(row: Figures) -> tuple[str, ...]:
    return tuple(f"{row[key]:.3f}" for key in ("precision", "recall", "f1", "iou"))


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
