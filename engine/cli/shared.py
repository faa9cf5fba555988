# SPDX-License-Identifier: GPL-3.0-or-later
"""What several commands share: parsers, options, and checks before anything is imported."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Optional

from ..errors import InputError, missing_package
from .texts import CliTexts

Run = Callable[[argparse.Namespace], Optional[int]]


def add_command(parsers: Any, name: str, run: Run, help_: str) -> argparse.ArgumentParser:
    """Add a command, or a part of one such as ``evaluate heads``; return its parser."""
    parser = parsers.add_parser(name, help=help_, description=f"{help_[0].upper()}{help_[1:]}.")
    parser.set_defaults(run=run)
    return parser


def add_data(parser: argparse.ArgumentParser) -> None:
    """Add ``--data``."""
    parser.add_argument(
        "--data", type=Path, metavar="FOLDER", help="data folder; default: $CHANGESCRIBE_DATA"
    )


def add_device(parser: argparse.ArgumentParser) -> None:
    """Add ``--device``."""
    parser.add_argument(
        "--device",
        default="auto",
        choices=("auto", "cpu", "cuda"),
        help="auto: the graphics card if there is one",
    )


def add_overrides(parser: argparse.ArgumentParser) -> None:
    """Add values of a recipe, KEY=VALUE, which may also follow options; see :func:`.app.main`."""
    parser.add_argument(
        "overrides",
        nargs="*",
        metavar="KEY=VALUE",
        help="values of the recipe to change, such as optimiser.lr=1e-4",
    )


def add_overwrite(parser: argparse.ArgumentParser) -> None:
    """Add ``--overwrite``."""
    parser.add_argument("--overwrite", action="store_true", help="replace existing outputs")


def data_folder(given: Optional[Path]) -> Path:
    """Return the folder of training and test data.

    Raises:
        InputError: none was given and CHANGESCRIBE_DATA is not set, or it does not exist.
    """
    folder = given or Path(os.environ.get("CHANGESCRIBE_DATA", ""))
    if not folder.name or not folder.is_dir():
        raise InputError(CliTexts.no_data_folder())
    return folder


def need_torch() -> None:
    """Raise DependencyError where PyTorch is not installed, without importing it."""
    try:
        version("torch")
    except PackageNotFoundError as error:
        raise missing_package(CliTexts.no_torch(), error) from error


@contextmanager
def generator_installed() -> Iterator[None]:
    """Raise DependencyError where an import in this block lacks a package of the generator."""
    try:
        yield
    except ImportError as error:
        raise missing_package(CliTexts.no_generator(), error) from error


def key_values(given: Sequence[str]) -> dict[str, str]:
    """Read KEY=VALUE pairs.

    Raises:
        InputError: one is something else.
    """
    pairs = [text.partition("=") for text in given]
    for key, equals, _ in pairs:
        if not (key and equals):
            raise InputError(CliTexts.not_key_value(text=f"{key}{equals}"))
    return {key: value for key, _, value in pairs}
