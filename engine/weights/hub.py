# SPDX-License-Identifier: GPL-3.0-or-later
"""Models of transformers by name: a folder, a catalogue entry, or a commit on the hub."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Optional

from ..errors import InputError, WeightsError, missing_package
from . import catalogue
from .store import WeightsStore
from .texts import WeightsTexts

_COMMIT = re.compile(r"[0-9a-f]{40}")
#: Files of a model that are downloaded from the hub: no code, no pickles.
_HUB_FILES = ("*.json", "*.txt", "*.model", "*.safetensors", "*.jinja")


def model_folder(name: str, store: Optional[WeightsStore] = None) -> Path:
    """Return the folder of a model in the layout of transformers.

    Args:
        name: a folder, the id of a catalogue entry, or ``owner/name@commit`` on the hub, with the
            full commit so that the model is always the same.
        store: store of weights; None for the default one.

    Raises:
        InputError: the name is none of these.
        WeightsError: the model is missing, or cannot be downloaded.
        DependencyError: huggingface_hub is not installed.
    """
    if Path(name).is_dir():
        return Path(name)
    if name in catalogue.entries() and catalogue.entries()[name].is_folder:
        return (store or WeightsStore()).path(name)
    repository, _, commit = name.partition("@")
    if repository.count("/") != 1 or not _COMMIT.fullmatch(commit):
        known = [entry.id for entry in catalogue.entries().values() if entry.is_folder]
        raise InputError(WeightsTexts.no_model(name=name, known=", ".join(known)))
    return _from_hub(repository, commit)


def _from_hub(name: str, commit: str) -> Path:
    """Return the folder of a model, downloaded unless the hub's cache has it."""
    try:
        from huggingface_hub import snapshot_download
    except ImportError as error:
        text = WeightsTexts.model_needs_package(package="huggingface_hub")
        raise missing_package(text, error) from error
    try:
        return Path(snapshot_download(name, revision=commit, allow_patterns=list(_HUB_FILES)))
    except Exception as error:  # its errors share no public base class
        raise WeightsError(WeightsTexts.hub_fails(name=name), details=repr(error)) from error
