# SPDX-License-Identifier: GPL-3.0-or-later
"""The figures of an evaluation as Markdown tables, for the model card."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from .robustness.disturbances import LIGHT, NOISE_DECIBEL

Figures = dict[str, Any]

#: Marks rows that repeat others: swapping the dates swaps the model's two directions.
BY_CONSTRUCTION = "equal by construction"
#: Key and name of the data sets of other sensors.
WEAK_SETS = (("oscd", "OSCD"), ("airchange", "AirChange"))
_WANTED_AUC = {"buildings|appeared": 0.85, "roads|appeared": 0.80, "trees|removed": 0.70}


def markdown(figures: Figures) -> str:
    """Return the report on the figures of :func:`.bundled.evaluate`."""
    parts = [
        f"Measured on `{figures['model']}`, {figures['device']}.",
        "### Targets\n" + _table(("what", "target", "measured", "met"), _bars(figures)),
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
    """Compare the figures with the project's own targets."""
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
    """Return a row; NaN meets no target."""
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
        "### Buildings on LEVIR 31-36\nPer pixel, summed over the tiles, threshold 0.5. The rows "
        f"with the dates swapped are a consistency check ({BY_CONSTRUCTION}), not a measurement: "
        "swapping the dates swaps the two directions inside the model.\n"
        + _table(("prompt", "P", "R", "F1", "IoU"), rows)
    )


def _roads(lines: Figures) -> str:
    rows = [
        (name, f"{row['line_px']}", *(f"{row[key]:.3f}" for key in ("precision", "recall", "f")))
        for name, row in lines.items()
    ]
    return (
        "### Roads built, against centre lines drawn by eye\nRecall: share of the lines with a "
        "detection within 8 px. Precision: share of the detected pixels within 16 px of a line. "
        "Pixels near doubtful lines only do not count.\n"
        + _table(("tile", "line pixels", "P", "R", "F"), rows)
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
        "1 % of pixels. Positive: at least 3 of 5 sentences report the change; negative: none "
        "does. Found: mean share of the pixels above the threshold, in positive / negative crops. "
        "Directions with fewer than 10 positives are measured with the dates swapped. Such a row "
        f"and that of the opposite direction are {BY_CONSTRUCTION}: where both are shown, it is a "
        "consistency check, not a second measurement.\n"
        + _table(("change", "AUC", "95 % interval", "positive", "negative", "found", "dates"), rows)
    )


def _absent(levir: Figures) -> str:
    rows = [(f'"{text}"', f"{share:.3%}") for text, share in levir["absent_share"].items()]
    rows.append(("mean", f"{levir['absent_share_mean']:.3%}"))
    rows.append(('"buildings demolished" (almost none were)', f"{levir['demolished_share']:.3%}"))
    return (
        "### Objects absent from the images\nShare of the pixels of LEVIR 31-36 that are "
        "detected all the same. No training label names these objects.\n"
        + _table(("prompt", "found"), rows)
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
        ("class name (acts as a class index)", *_four(built[names[0]]), f"{lines['f']:.3f}"),
        (
            "synonyms (mean)",
            *(
                f"{sum(built[n][key] for n in names[1:]) / len(names[1:]):.3f}"
                for key in ("precision", "recall", "f1", "iou")
            ),
            "",
        ),
    ]
    return (
        "### Baselines on LEVIR 31-36, and the network without text\nThe class branch scores each "
        "date by itself and reads no text. The name of a class is one fixed vector, so a prompt "
        "with that name equals a network with a class index instead of text; the row below shows "
        "what free wording costs. A network trained without text was not measured.\n"
        + _table(("what", "P", "R", "F1", "IoU", "roads F"), rows)
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
            "Each place is measured with a model that was neither trained nor calibrated on it "
            "(AirChange: on no image of its site), through the pipeline, any mask value > 0 "
            "against the labels. The best threshold is chosen on these labels; it shows how much "
            "of the error is due to the threshold.\n"
            + _table(("what", "P", "R", "F1", "IoU"), rows)
        )
    if missing:
        text += (
            f"\n\nPart of this model's training data and not measured: {', '.join(missing)}. "
            "Use the models of `changescribe build folds`, each trained without some places.\n"
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
        "### Robustness: buildings built on LEVIR 31-36\nMMChange's table IV states no magnitudes. "
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
        "### Calibration\nscore = sigmoid(scale x raw + bias), so that 0.5 is the best "
        "threshold. For trees, that is the best mean of F1 on generated scenes and F1 over the "
        "captioned crops of LEVIR 31-36, where a crop counts as found if 1 % of its pixels are. "
        "ECE: expected calibration error, over all pixels and over those with scores of 0.1 to "
        "0.9. Roads on LEVIR: pixels within 5 px of a drawn line against those beyond 14 px.\n"
        + _table(
            ("class", "scale", "bias", "ECE before", "after", "ECE 0.1-0.9 before", "after"), rows
        )
        + "\n\nReliability after calibration: share of the pixels that changed, by score.\n"
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
        f"{figures['speed_magnified']['pixels'][0]} pixels, as a tile of LEVIR (0.55 m) is. "
        f"{sizes['total']:g} MB: {files}."
    )


def _four(row: Figures) -> tuple[str, ...]:
    return tuple(f"{row[key]:.3f}" for key in ("precision", "recall", "f1", "iou"))


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
