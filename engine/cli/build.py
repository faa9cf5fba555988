# SPDX-License-Identifier: GPL-3.0-or-later
"""The command ``changescribe build``: the files that ship, and those that they are made from.

``train`` takes a recipe; what is built here has no recipe, or is made from a finished run.
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import InputError
from ..paths import MODELS, RECIPES
from .shared import add_command, add_data, data_folder, generator_installed, key_values, need_torch
from .texts import CliTexts

if TYPE_CHECKING:
    import argparse

    from ..training.captioner.steps import Schedule

#: Systems whose heads can be exported.
ONNX_HEADS = ("lgcd", "mmchange", "textscd")


def add(parsers: Any) -> None:
    """Add the command and its parts to the parsers of the command line."""
    help_ = "make model files and training data (full tier)"
    build = parsers.add_parser("build", help=help_, description=f"M{help_[1:]}.")
    parts = build.add_subparsers(dest="part", metavar="PART", required=True)
    _add_training(parts)
    _add_model_files(parts)
    demo = add_command(parts, "demo", _demo, "write the demo pair")
    demo.add_argument("folder", type=Path, metavar="FOLDER", help="such as resources/demo")


def _add_training(parts: Any) -> None:
    scenes = add_command(parts, "scenes", _scenes, "write the generated scenes that training reads")
    scenes.add_argument("folder", type=Path, metavar="FOLDER", help="for the scenes")
    scenes.add_argument("--count", type=int, metavar="N", help="default: as many as recipes use")

    captioner = add_command(parts, "captioner", _captioner, "train the bundled captioner (minutes)")
    captioner.add_argument(
        "--model", type=Path, default=MODELS, metavar="FOLDER", help="files of the bundled model"
    )
    captioner.add_argument(
        "--out", type=Path, default=MODELS, metavar="FOLDER", help="default: the shipped model's"
    )
    captioner.add_argument(
        "--cache",
        type=Path,
        default=Path("out/captioner"),
        metavar="FOLDER",
        help="keeps the features of the crops",
    )
    captioner.add_argument(
        "--views", default="tile", metavar="LIST", help="views of each crop: tile,mirrored"
    )
    captioner.add_argument("--threads", type=int, default=1, metavar="N", help="of PyTorch")
    captioner.add_argument(
        "--option",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="setting of the schedule, such as epochs=1; can be repeated",
    )
    add_data(captioner)

    language = add_command(
        parts, "caption-language", _language, "train the small language model of captions"
    )
    language.add_argument(
        "--out",
        type=Path,
        default=Path("out/train/caption-words"),
        metavar="FOLDER",
        help="for the model; default: %(default)s",
    )
    language.add_argument("--steps", type=int, metavar="N", help="of training")
    language.add_argument(
        "--threads", type=int, default=0, metavar="N", help="of PyTorch; 0: its default"
    )
    add_data(language)

    texts = add_command(
        parts, "descriptions", _descriptions, "describe the images of a recipe, into a file"
    )
    texts.add_argument("recipe", metavar="RECIPE", help="of mmchange or textscd: name or YAML file")
    texts.add_argument("out", type=Path, metavar="FILE.json", help="continued if it exists")
    texts.add_argument(
        "--texts", type=Path, metavar="JSON", help="texts made elsewhere, by file name"
    )
    add_data(texts)

    tower = add_command(parts, "text-tower", _text_tower, "distil the bundled model's text tower")
    tower.add_argument(
        "--recipe",
        type=Path,
        default=RECIPES / "text_tower.yaml",
        metavar="FILE.yaml",
        help="default: the shipped one",
    )
    tower.add_argument(
        "--out",
        type=Path,
        default=Path("out/text_tower"),
        metavar="FOLDER",
        help="for the model files; default: %(default)s",
    )


def _add_model_files(parts: Any) -> None:
    release = add_command(
        parts, "release", _release, "write the model files of a training run, calibrated"
    )
    release.add_argument(
        "run_folder", type=Path, metavar="RUN_FOLDER", help="folder of the training run"
    )
    release.add_argument("recipe", metavar="RECIPE", help="of the run: a name, or a YAML file")
    release.add_argument("folder", type=Path, metavar="MODEL_FOLDER", help="for the files")

    folds = add_command(
        parts, "folds", _folds, "train models that left out places of OSCD and AirChange"
    )
    folds.add_argument("runs", type=Path, metavar="RUNS", help="holds the run that RECIPE extends")
    folds.add_argument("recipe", metavar="RECIPE", help="last stage of the model that ships")
    folds.add_argument("shipped", type=Path, metavar="MODEL_FOLDER", help="its model files")
    folds.add_argument("out", type=Path, metavar="OUT", help="for a folder of model files per fold")
    add_data(folds)

    residual = add_command(
        parts, "colour-residual", _colour_residual, "fit a model's colour residual again"
    )
    residual.add_argument("folder", type=Path, metavar="MODEL_FOLDER", help="its manifest changes")
    add_data(residual)

    weights = add_command(
        parts, "weights", _weights, "write a model's weights as a run that a recipe can start from"
    )
    weights.add_argument("run_folder", type=Path, metavar="RUN_FOLDER", help="such as RUNS/shipped")
    weights.add_argument(
        "--model", type=Path, default=MODELS, metavar="FOLDER", help="default: the shipped model's"
    )
    weights.add_argument(
        "--pairs",
        type=Path,
        required=True,
        metavar="FOLDER",
        help="before/ and after/ of imagery like that of the training",
    )

    onnx = add_command(parts, "onnx", _onnx, "export the trained head of a system to ONNX")
    onnx.add_argument("system", choices=ONNX_HEADS, help="of the head")
    onnx.add_argument("weights", type=Path, metavar="FILE.safetensors", help="as train wrote it")


def _scenes(arguments: argparse.Namespace) -> None:
    with generator_installed():
        import tqdm  # noqa: F401 - shows the progress

        from ..training.scenes import scene_cache
    scene_cache.write_scenes(
        arguments.folder, scene_cache.COUNT if arguments.count is None else arguments.count
    )


def _captioner(arguments: argparse.Namespace) -> None:
    need_torch()
    from ..training.captioner.run import build

    build(
        data_folder(arguments.data),
        arguments.model,
        arguments.out,
        arguments.cache,
        views=arguments.views.split(","),
        schedule=_schedule(key_values(arguments.option)),
        threads=arguments.threads,
    )


def _schedule(given: dict[str, str]) -> Schedule:
    """Return the captioner's schedule with some settings replaced."""
    from ..training.captioner.steps import Schedule

    settings = asdict(Schedule())
    for name, value in given.items():
        if name not in settings:
            raise InputError(CliTexts.no_setting(name=name, names=", ".join(settings)))
        try:
            settings[name] = type(settings[name])(value)
        except ValueError as error:
            raise InputError(CliTexts.not_a_number(name=name, value=value)) from error
    return Schedule(**settings)


def _language(arguments: argparse.Namespace) -> None:
    need_torch()
    from ..training.captioner.model import build

    build(
        data_folder(arguments.data), arguments.out, steps=arguments.steps, threads=arguments.threads
    )
    print(arguments.out)


def _descriptions(arguments: argparse.Namespace) -> None:
    need_torch()
    from ..training.descriptions import describe
    from ..training.recipe import load_recipe

    recipe = load_recipe(arguments.recipe)
    describe(recipe, data_folder(arguments.data), arguments.out, arguments.texts)
    print(arguments.out)


def _text_tower(arguments: argparse.Namespace) -> None:
    need_torch()
    from ..training.text.distillation import run_file

    run_file(arguments.recipe, arguments.out)


def _release(arguments: argparse.Namespace) -> None:
    need_torch()
    from ..evaluation.release import release

    release(arguments.run_folder, arguments.recipe, arguments.folder)


def _folds(arguments: argparse.Namespace) -> None:
    need_torch()
    from ..evaluation.places.folds import train_folds
    from ..training.recipe import load_recipe

    recipe = load_recipe(arguments.recipe)
    data = data_folder(arguments.data)
    train_folds(arguments.runs, recipe, arguments.shipped, arguments.out, data)


def _colour_residual(arguments: argparse.Namespace) -> None:
    need_torch()
    from ..evaluation.places.colour_residual import fit_into_manifest

    fit_into_manifest(arguments.folder, data_folder(arguments.data))


def _weights(arguments: argparse.Namespace) -> None:
    need_torch()
    from ..training.shipped import write_run

    print(write_run(arguments.model, arguments.pairs, arguments.run_folder))


def _onnx(arguments: argparse.Namespace) -> None:
    need_torch()
    if arguments.system == "lgcd":
        from ..modules.lgcd.onnx import export_file
    elif arguments.system == "mmchange":
        from ..modules.mmchange.onnx import export_file
    else:
        from ..modules.textscd.onnx import export_file
    print(export_file(arguments.weights))


def _demo(arguments: argparse.Namespace) -> None:
    with generator_installed():
        from ..synthesis.demo import write_demo
    for path in write_demo(arguments.folder):
        print(path)
