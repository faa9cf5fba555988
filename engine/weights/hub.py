# SPDX-License-Identifier: GPL-3.0-or-later
"""Models of transformers by name: a folder, an entry of the catalogue, or a commit on a hub."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Optional

from ..errors import InputError, WeightsError, missing_package
from . import catalogue
from .store import WeightsStore

_COMMIT = re.compile(r"[0-9a-f]{40}")
#: Files of a model's folder on a hub that are fetched: no code, no pickles.
_HUB_FILES = ("*.json", "*.txt", "*.model", "*.safetensors", "*.jinja")


def model_folder(name: str, store: Optional[WeightsStore] = None) -> Path:
    """Return the folder of a model as transformers saves it.

    Args:
        name: a folder, an entry of the catalogue, or ``owner/name@commit`` on the hub, the commit
            in full so that it is always the same.
        store: of the weights; None is the usual place.

    Raises:
        InputError: the name means nothing.
        WeightsError: the model is missing, or cannot be fetched.
        DependencyError: a package is missing.
    """
    if Path(name).is_dir():
        return Path(name)
    if name in catalogue.entries() and catalogue.entries()[name].is_folder:
        return (store or WeightsStore()).path(name)
    repository, _, commit = name.partition("@")
    if repository.count("/") != 1 or not _COMMIT.fullmatch(commit):
        known = [entry.id for entry in catalogue.entries().values() if entry.is_folder]
        raise InputError(
            f'"{name}" names no model.',
            f"Give a folder, one of {', '.join(known)}, or owner/name@commit with all 40 digits "
            "of the commit.",
        )
    return _from_hub(repository, commit)


def _from_hub(name: str, commit: str) -> Path:
    """Return the folder of a model, fetched from the hub where it is not in its cache."""
    try:
        from huggingface_hub import snapshot_download
    except ImportError as error:
        raise missing_package(
            "This model needs the package huggingface_hub, which is not installed here.", error
        ) from error
    try:
        return Path(snapshot_download(name, revision=commit, allow_patterns=list(_HUB_FILES)))
    except Exception as error:  # its errors share no public base class
        raise WeightsError(
            f"The model {name} cannot be fetched.",
            "Get its folder on another machine and give its path.",
            repr(error),
        ) from error
