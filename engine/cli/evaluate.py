# SPDX-License-Identifier: GPL-3.0-or-later
"""The command ``changescribe evaluate``, and its parts."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Optional

from ..errors import InputError
from .build import ONNX_HEADS
from .shared import add_command, add_data, add_device, data_folder, key_values, need_torch
from .texts import CliTexts

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

#: What ``evaluate --protocol`` may be.
PROTOCOLS = ("both", "tile", "image")


def add(commands: Any) -> None:
    """Add the command and its parts to the parsers of the command line."""
    evaluate = add_command(
        commands,
        "evaluate",
        _evaluate,
        "measure the bundled model, or a system or a training run on a data set (full tier)",
    )
    evaluate.add_argument(
        "--out",
        type=Path,
        default=Path("out/evaluation"),
        metavar="FOLDER",
        help="for the figures; default: %(default)s",
    )
    add_data(evaluate)
    add_device(evaluate)
    _add_data_set(evaluate)
    bundled = evaluate.add_argument_group("the bundled model, on everything its card reports")
    bundled.add_argument("--model", type=Path, metavar="FOLDER", help="default: the shipped one")
    bundled.add_argument(
        "--folds",
        type=Path,
        metavar="FOLDER",
        default=Path("out/folds"),
        help="models that left out places of OSCD and AirChange",
    )
    bundled.add_argument("--quick", action="store_true", help="skip robustness")
    parts = evaluate.add_subparsers(
        dest="part", metavar="[PART]", title="parts", description="each has its own options"
    )
    _add_commands(parts)


def _add_data_set(parser: argparse.ArgumentParser) -> None:
    part = parser.add_argument_group("a system, or a training run, on a labelled data set")
    part.add_argument("--system", metavar="NAME", help="its weights must be in place")
    part.add_argument("--run", dest="trained", type=Path, metavar="FOLDER", help="as train --out")
    part.add_argument(
        "--layout",
        metavar="NAME",
        help="levir_cd, whu_cd, second, ...; default: the validation of the run's recipe",
    )
    part.add_argument("--folder", default="", help="of the data set, in the data folder")
    part.add_argument("--split", default="", help="such as test")
    part.add_argument(
        "--option",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="of the layout, such as polygons=new_buildings.gpkg; can be repeated",
    )
    part.add_argument(
        "--protocol",
        default=PROTOCOLS[0],
        choices=PROTOCOLS,
        help="tile: in tiles of --tile; image: whole images",
    )
    part.add_argument("--tile", type=int, default=256, metavar="PX", help="of the tile protocol")
    part.add_argument("--prompt", default="", metavar="TEXT", help="default: the data set's")
    part.add_argument(
        "--threshold", type=float, default=0.5, metavar="T", help="lowest score of a change"
    )


def _add_commands(parts: Any) -> None:
    heads = add_command(parts, "heads", _heads, "measure the speed of heads on PyTorch and on ONNX")
    heads.add_argument(
        "--system", default=ONNX_HEADS[0], choices=ONNX_HEADS, help="default: %(default)s"
    )
    heads.add_argument("--encoder", metavar="NAME", help="or backbone; default: the system's")
    heads.add_argument("--width", type=int, help="of the head; default: the system's")
    heads.add_argument("--tile", type=int, default=512, metavar="PX", help="side of the tiles")
    heads.add_argument("--questions", type=int, default=2, metavar="N", help="per tile")
    heads.add_argument("--repeats", type=int, default=5, metavar="N", help="of each measurement")
    heads.add_argument("--cpu-time", action="store_true", help="for a busy machine without a GPU")
    add_device(heads)

    captions = add_command(
        parts, "captions", _captions, "measure a system's captions on a data set"
    )
    captions.add_argument("system", metavar="SYSTEM", help="name of a system that writes")
    captions.add_argument(
        "--layout", default="levir_crops", metavar="NAME", help="levir_crops, levir_cc, levir_mci"
    )
    captions.add_argument("--folder", default="levir", help="of the data set, in the data folder")
    captions.add_argument("--split", default="val", help="default: %(default)s")
    captions.add_argument(
        "--vocabulary", type=Path, metavar="TXT", help="training sentences, for the ids"
    )
    captions.add_argument("--out", type=Path, metavar="JSON", help="for figures and answers")
    add_data(captions)
    add_device(captions)

    table = add_command(
        parts, "caption-table", _caption_table, "compare captioners on the crops of LEVIR 31-36"
    )
    table.add_argument(
        "--out", type=Path, default=Path("out/captions"), metavar="FOLDER", help="for the table"
    )
    table.add_argument(
        "--cache",
        type=Path,
        default=Path("out/captioner"),
        metavar="FOLDER",
        help="of features, as build captioner keeps them",
    )
    table.add_argument("--model", type=Path, metavar="FOLDER", help="default: the shipped one")
    table.add_argument(
        "--answers",
        action="append",
        default=[],
        metavar="NAME=JSON",
        help="a system's answers, as evaluate captions --out writes them; can be repeated",
    )
    add_data(table)

    shifts = add_command(
        parts,
        "shifts",
        _shifts,
        "plant shifts into LEVIR 31-36, and see how well they are measured and corrected",
    )
    add_data(shifts)

    places = add_command(
        parts,
        "places",
        _places,
        "measure the bundled model between two places of each labelled set, as two dates",
    )
    places.add_argument("--model", type=Path, metavar="FOLDER", help="default: the shipped one")
    places.add_argument("--pairs", type=int, default=40, metavar="N", help="of crops, per set")
    add_data(places)

    truth = add_command(
        parts, "caption-truth", _caption_truth, "measure how many factual captions are true"
    )
    truth.add_argument("--scenes", type=int, default=8, metavar="N", help="number of scenes")
    truth.add_argument(
        "--system",
        nargs="*",
        default=["truth", "bundled"],
        metavar="NAME",
        help="truth: true masks",
    )


def check_order(words: Sequence[str], arguments: argparse.Namespace) -> None:
    """Check that no option of ``evaluate`` precedes the name of a part, which would ignore it.

    Raises:
        InputError: one does.
    """
    if arguments.command != "evaluate" or not arguments.part:
        return
    if words[words.index("evaluate") + 1] != arguments.part:
        raise InputError(CliTexts.part_not_first(command="evaluate", part=arguments.part))


def _evaluate(arguments: argparse.Namespace) -> int:
    data = data_folder(arguments.data)
    need_torch()
    if arguments.layout or arguments.trained:
        return _evaluate_on_data_set(arguments, data)
    if arguments.system:
        raise InputError(CliTexts.no_data_set())
    from ..evaluation.bundled import evaluate

    evaluate(data, arguments.out, arguments.model, quick=arguments.quick, folds=arguments.folds)
    return 0


def _evaluate_on_data_set(arguments: argparse.Namespace, data: Path) -> int:
    if bool(arguments.system) == bool(arguments.trained):
        raise InputError(CliTexts.nothing_to_measure())
    from ..evaluation.data_sets import evaluate
    from ..training.recipe import DataSpec, load_recipe

    spec: Optional[DataSpec] = DataSpec(
        arguments.layout, arguments.folder, arguments.split, options=key_values(arguments.option)
    )
    if arguments.option and not arguments.layout:
        raise InputError(CliTexts.option_without_layout())
    if not arguments.layout:
        spec = load_recipe(arguments.trained / "recipe.yaml").validation
    if spec is None:
        raise InputError(CliTexts.no_validation())
    protocols = PROTOCOLS[1:] if arguments.protocol == "both" else (arguments.protocol,)
    evaluate(
        spec,
        data,
        arguments.out,
        system=arguments.system or "",
        run=arguments.trained,
        protocols=protocols,
        tile=arguments.tile,
        text=arguments.prompt,
        device=arguments.device,
        threshold=arguments.threshold,
    )
    return 0


def _heads(arguments: argparse.Namespace) -> None:
    need_torch()
    from ..evaluation.speed.heads import measure

    encoder = "encoder" if arguments.system == "lgcd" else "backbone"
    settings = {encoder: arguments.encoder, "width": arguments.width}
    figures = measure(
        arguments.system,
        {name: value for name, value in settings.items() if value},
        arguments.tile,
        arguments.questions,
        arguments.repeats,
        arguments.device,
        time.process_time if arguments.cpu_time else time.perf_counter,
    )
    print(json.dumps(figures))


def _captions(arguments: argparse.Namespace) -> None:
    need_torch()
    from ..evaluation.captions.metrics import measure_system
    from ..training.recipe import DataSpec

    figures = measure_system(
        arguments.system,
        DataSpec(arguments.layout, arguments.folder, arguments.split),
        data_folder(arguments.data),
        device=arguments.device,
        sentences=arguments.vocabulary,
        out=arguments.out,
    )
    print(json.dumps(figures, indent=1))


def _caption_table(arguments: argparse.Namespace) -> None:
    need_torch()
    from ..evaluation.captions.table import write_table

    table = write_table(
        data_folder(arguments.data),
        arguments.out,
        arguments.cache,
        model=arguments.model,
        answers_of={n: Path(path) for n, path in key_values(arguments.answers).items()},
    )
    print(table, end="")


def _caption_truth(arguments: argparse.Namespace) -> None:
    need_torch()
    from ..evaluation.captions.truth import measure_systems

    figures = measure_systems(arguments.system, arguments.scenes)
    print(json.dumps(figures, indent=1, ensure_ascii=False))


def _shifts(arguments: argparse.Namespace) -> None:
    need_torch()
    from ..evaluation.robustness.shifts import measure

    print(json.dumps(measure(data_folder(arguments.data)), indent=1))


def _places(arguments: argparse.Namespace) -> None:
    need_torch()
    from ..evaluation.places.two_places import measure

    figures = measure(data_folder(arguments.data), arguments.model, pairs=arguments.pairs)
    print(json.dumps(figures, indent=1))
