# SPDX-License-Identifier: GPL-3.0-or-later
"""The command ``changescribe train``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from .shared import add_command, add_data, add_device, add_overrides, data_folder, need_torch

if TYPE_CHECKING:
    import argparse


def add(commands: Any) -> None:
    """Add the command to the parsers of the command line."""
    train = add_command(commands, "train", _train, "train a system from a recipe (full tier)")
    train.add_argument("recipe", help="a YAML file, or the name of a shipped one")
    add_overrides(train)
    train.add_argument(
        "--out", type=Path, metavar="FOLDER", help="default: out/train/RECIPE; a run there resumes"
    )
    train.add_argument("--steps", type=int, metavar="N", help="stop after step N; it can resume")
    train.add_argument("--fresh", action="store_true", help="start again instead of resuming")
    add_data(train)
    add_device(train)


def _train(arguments: argparse.Namespace) -> int:
    need_torch()
    from ..training import processes
    from ..training.loop import train
    from ..training.recipe import load_recipe

    # A misspelt recipe is reported before a missing data folder.
    load_recipe(arguments.recipe, arguments.overrides)
    weights = train(
        arguments.recipe,
        arguments.out or Path("out/train") / Path(arguments.recipe).stem,
        data=data_folder(arguments.data),
        device=arguments.device,
        resume=not arguments.fresh,
        steps=arguments.steps,
        values=arguments.overrides,
    )
    if processes.is_first():
        print(weights)
    return 0
