# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes generated scenes to disk once, so that training does not wait for the generator.

``python -m changescribe.engine.training.scene_cache FOLDER [COUNT] [FIRST_SEED]``
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np

#: Larger than a training crop, so that crops differ.
SCENE_SIZE = 320
#: Scenes of training have seeds from here on; the evaluation takes others.
FIRST_SEED = 100_000


def write_scenes(folder: Path, count: int = 800, first_seed: int = FIRST_SEED) -> None:
    """Write scenes that are not there yet; a line of progress on standard error.

    Args:
        folder: for the ``.npz`` files.
        count: number of scenes.
        first_seed: seed of the first.
    """
    from ..synthesis.scenes import synthesise

    folder.mkdir(parents=True, exist_ok=True)
    for seed in range(first_seed, first_seed + count):
        path = folder / f"{seed}.npz"
        if path.exists():
            continue
        scene = synthesise(seed, SCENE_SIZE)
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
        sys.stderr.write(f"\rscene {seed - first_seed + 1} of {count} ")
    sys.stderr.write("\n")


if __name__ == "__main__":
    write_scenes(Path(sys.argv[1]), *(int(value) for value in sys.argv[2:]))
