# SPDX-License-Identifier: GPL-3.0-or-later
"""The commands ``changescribe train`` and ``changescribe evaluate``: the full tier's PyTorch."""

from __future__ import annotations

import os
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Optional

from ..errors import InputError, missing_package

if TYPE_CHECKING:
    import argparse

#: What ``evaluate --protocol`` may be.
PROTOCOLS = ("both", "tile", "image")


def add(commands: Any) -> None:
    """Add the commands to the parsers of the command line."""
    train = commands.add_parser("train", help="train a system from a recipe (full tier)")
    train.add_argument("recipe", help="a YAML file, or the name of a shipped one")
    train.add_argument("--out", type=Path, help="default: out/train/RECIPE; a run there goes on")
    train.add_argument("--steps", type=int, metavar="N", help="stop after step N; it can go on")
    train.add_argument("--fresh", action="store_true", help="start again where there is a run")
    _add_common(train)
    train.set_defaults(run=_train)
    evaluate = commands.add_parser(
        "evaluate",
        help="measure a system or a training run on a data set; without one, the bundled model",
    )
    evaluate.add_argument("--out", type=Path, default=Path("out/evaluation"))
    _add_common(evaluate)
    _add_data_set(evaluate)
    bundled = evaluate.add_argument_group("the bundled model, on all that its card reports")
    bundled.add_argument("--model", type=Path, metavar="FOLDER", help="default: the shipped one")
    bundled.add_argument(
        "--folds",
        type=Path,
        metavar="FOLDER",
        default=Path("out/folds"),
        help="models that left out places of OSCD and AirChange",
    )
    bundled.add_argument("--quick", action="store_true", help="without robustness")
    evaluate.set_defaults(run=_evaluate)


def _add_common(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--data", type=Path, help="data folder; default: $CHANGESCRIBE_DATA")
    parser.add_argument("--device", default="auto", choices=("auto", "cpu", "cuda"))


def _add_data_set(parser: argparse.ArgumentParser) -> None:
    part = parser.add_argument_group("a system, or a training run, on a labelled data set")
    part.add_argument("--system", metavar="NAME", help="its weights must be in place")
    part.add_argument("--run", dest="trained", type=Path, metavar="FOLDER", help="of train --out")
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
        help="of the layout, such as polygons=new_buildings.gpkg of geotiff; can be repeated",
    )
    part.add_argument("--protocol", default=PROTOCOLS[0], choices=PROTOCOLS)
    part.add_argument("--tile", type=int, default=256, metavar="PX", help="of the tile protocol")
    part.add_argument("--prompt", default="", metavar="TEXT", help="default: the data set's")
    part.add_argument("--threshold", type=float, default=0.5, metavar="T")


def _train(arguments: argparse.Namespace) -> int:
    _need_torch()
    from ..training.loop import train
    from ..training.recipe import load_recipe

    # A misspelt name is told before a missing data folder is.
    load_recipe(arguments.recipe)
    weights = train(
        arguments.recipe,
        arguments.out or Path("out/train") / Path(arguments.recipe).stem,
        data=_data_folder(arguments.data),
        device=arguments.device,
        resume=not arguments.fresh,
        steps=arguments.steps,
    )
    print(weights)
    return 0


def _evaluate(arguments: argparse.Namespace) -> int:
    data = _data_folder(arguments.data)
    _need_torch()
    if arguments.layout or arguments.trained:
        return _evaluate_on_data_set(arguments, data)
    if arguments.system:
        raise InputError(
            "There is no data set to measure on.", "Name its layout, such as --layout levir_cd."
        )
    from ..evaluation.bundled import evaluate

    evaluate(data, arguments.out, arguments.model, quick=arguments.quick, folds=arguments.folds)
    return 0


def _evaluate_on_data_set(arguments: argparse.Namespace, data: Path) -> int:
    if bool(arguments.system) == bool(arguments.trained):
        raise InputError(
            "Name what is to be measured.", "Either --system NAME, or --run FOLDER of a training."
        )
    from ..evaluation.data_sets import evaluate
    from ..training.recipe import DataSpec, load_recipe

    spec: Optional[DataSpec] = DataSpec(
        arguments.layout, arguments.folder, arguments.split, options=_options(arguments.option)
    )
    if arguments.option and not arguments.layout:
        raise InputError(
            "--option belongs to a layout, and none is named.", "Add --layout and --folder."
        )
    if not arguments.layout:
        spec = load_recipe(arguments.trained / "recipe.yaml").validation
    if spec is None:
        raise InputError(
            "There is no data set to measure on: the recipe of the run has no validation.",
            "Name a layout, such as --layout levir_cd.",
        )
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


def _options(given: list[str]) -> dict[str, str]:
    """Read KEY=VALUE pairs.

    Raises:
        InputError: one is something else.
    """
    pairs = [text.partition("=") for text in given]
    for key, equals, _ in pairs:
        if not (key and equals):
            raise InputError(
                f'"{key}{equals}" is not an option of a layout.', "Write it as KEY=VALUE."
            )
    return {key: value for key, _, value in pairs}


def _data_folder(given: Optional[Path]) -> Path:
    """Return the folder of training and test data.

    Raises:
        InputError: none was given and CHANGESCRIBE_DATA is not set, or it does not exist.
    """
    folder = given or Path(os.environ.get("CHANGESCRIBE_DATA", ""))
    if not folder.name or not folder.is_dir():
        raise InputError(
            "The folder of training data was not found.",
            "Name it with --data or in the variable CHANGESCRIBE_DATA.",
        )
    return folder


def _need_torch() -> None:
    try:
        version("torch")
    except PackageNotFoundError as error:
        raise missing_package(
            "Training and evaluation need PyTorch, which is not installed here.", error
        ) from error
