# SPDX-License-Identifier: GPL-3.0-or-later
"""The command ``changescribe reproduce``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import InputError
from .shared import add_command, add_data, add_device, add_overrides, data_folder, need_torch
from .texts import CliTexts

if TYPE_CHECKING:
    import argparse

#: What ``--preset`` may be; equals those of the tables, which need PyTorch's environment.
PRESETS = ("full", "small")


def add(commands: Any) -> None:
    """Add the command to the parsers of the command line."""
    parser = add_command(
        commands,
        "reproduce",
        _reproduce,
        "train and measure the rows of a paper's table, and print it with ours beside (full tier)",
    )
    parser.add_argument("paper", nargs="?", metavar="PAPER", help="such as lg-cd; see --list")
    parser.add_argument("table", nargs="?", metavar="TABLE", help="its number, such as III or 3")
    add_overrides(parser)
    parser.add_argument("--list", action="store_true", help="list all tables")
    parser.add_argument(
        "--preset",
        default=PRESETS[0],
        choices=PRESETS,
        help="full: as in the paper; small: substitute encoders and a short training on the "
        "project's LEVIR tiles, for a CPU",
    )
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("out/reproduce"),
        metavar="FOLDER",
        help="for runs and tables, default: %(default)s; what is there is not computed again",
    )
    add_data(parser)
    add_device(parser)


def _reproduce(arguments: argparse.Namespace) -> int:
    need_torch()
    from ..evaluation.reproduce import tables
    from ..weights.files import write_text

    if arguments.list:
        print(tables.listing())
        return 0
    if not (arguments.paper and arguments.table):
        raise InputError(CliTexts.no_table_named())
    table = tables.find_table(arguments.paper, arguments.table)
    data = data_folder(arguments.data)
    from ..evaluation.reproduce.printing import as_json, as_markdown
    from ..evaluation.reproduce.rows import reproduce

    outcomes = reproduce(
        table,
        data,
        arguments.out / "runs",
        preset=arguments.preset,
        values=arguments.overrides,
        device=arguments.device,
    )
    path = arguments.out / f"{table.paper}-{table.number}-{arguments.preset}"
    text = as_markdown(table, outcomes)
    content = as_json(table, outcomes, arguments.preset)
    write_text(path.with_suffix(".md"), text)
    write_text(path.with_suffix(".json"), json.dumps(content, indent=1) + "\n")
    print(text, end="")
    return 0
