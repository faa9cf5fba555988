# SPDX-License-Identifier: GPL-3.0-or-later
"""Caches generated scenes on disk, so that training does not wait for the generator.

``changescribe build scenes FOLDER``
"""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import numpy as np

from ... import synthesis
from ...errors import InputError
from ...synthesis.scenes import synthesise
from ...weights.files import write_text
from ..texts import TrainingTexts

#: Side of a scene, larger than a training crop, so that crops differ.
SCENE_SIZE = 320
#: First seed for training scenes; evaluation uses lower ones.
FIRST_SEED = 100_000
#: Modules of the generator that do not affect the pixels of a scene.
_WITHOUT = {"demo.py", "facts.py", "output.py", "texts.py"}
#: Number of scenes for the shipped recipes.
COUNT = 800
#: Name of the file that records the version of the generator.
MADE_BY = "made_by.json"


def write_scenes(folder: Path, count: int = COUNT, first_seed: int = FIRST_SEED) -> None:
    """Write missing scenes, with a progress bar."""
    from tqdm import tqdm  # not needed for checking scenes

    folder.mkdir(parents=True, exist_ok=True)
    _check(folder)
    for seed in tqdm(range(first_seed, first_seed + count), desc="scenes", unit="scene"):
        path = folder / f"{seed}.npz"
        if path.exists():
            continue
        scene = synthesise(seed, SCENE_SIZE, registered=True)
        part = folder / f"{seed}.part"
        with part.open("wb") as file:
            np.savez(
                file,
                before=scene.before,
                after=scene.after,
                label_before=scene.labels_before,
                label_after=scene.labels_after,
            )
        os.replace(part, path)


def _check(folder: Path) -> None:
    """Check that existing scenes are from this generator, and mark a new folder."""
    if any(folder.glob("*.npz")):
        check_scenes(folder, unsigned=False)
        return
    write_text(folder / MADE_BY, json.dumps(_made_by(), indent=1) + "\n")


def check_scenes(folder: Path, *, unsigned: bool = True) -> None:
    """Raise InputError for scenes of another version of the generator.

    Args:
        folder: folder of the ``.npz`` files.
        unsigned: accept a folder without a record, such as the user's own scenes.

    Raises:
        InputError: they are from another version, or the record is damaged.
    """
    note = folder / MADE_BY
    if unsigned and not note.exists():
        return
    try:
        same = json.loads(note.read_text(encoding="utf-8")) == _made_by()
    except (OSError, ValueError):
        same = False
    if not same:
        raise InputError(TrainingTexts.old_scenes(folder=folder))


def _made_by() -> dict[str, object]:
    """Return the record for scenes of this generator."""
    return {"generator": generator_digest(), "size": SCENE_SIZE}


def generator_digest() -> str:
    """Return the SHA-256 of the sources that determine the scenes."""
    digest = hashlib.sha256()
    for path in sorted(Path(synthesis.__file__).parent.glob("*.py")):
        if path.name not in _WITHOUT:
            digest.update(path.read_bytes())
    return digest.hexdigest()
