# SPDX-License-Identifier: GPL-3.0-or-later
"""The mix of sources as a torch data set; item ``i`` depends only on the seed and ``i``."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from torch.utils.data import Dataset

from ...errors import InputError
from ..texts import TrainingTexts
from . import sources
from .composites import OtherYear, Pasted
from .labels import BARE, BUILDING, ROAD, TREE, WATER
from .weak_pairs import WEAK_SETS, WeakPairs

#: Sets of ``segmentation``: labelled classes and default magnification.
_LABELLED = {
    "dubai": ((BUILDING, ROAD, WATER, BARE), (0.9, 2.0)),
    "epfl_roads": ((ROAD,), (0.7, 1.3)),
    "massachusetts_roads": ((ROAD,), (1.0, 2.0)),
    "massachusetts_buildings": ((BUILDING,), (1.0, 2.0)),
    "dronedeploy": ((BUILDING, TREE), (0.86, 1.3)),
    "penang": ((BUILDING, ROAD, WATER), (1.8, 3.2)),
    "eth_cil2022": ((ROAD,), (0.7, 1.4)),
    "vegas_roads": ((ROAD,), (0.7, 1.3)),
    "campo_grande_trees": ((TREE,), (0.9, 1.5)),
    "sichuan_landslides": ((BARE,), (0.8, 1.6)),
}
#: Sets of small images at 0.1 m: 5 x 5 of them, reduced, form a scene.
_MOSAICS = {"dronedeploy": 5, "campo_grande_trees": 5}
#: Sources with their own names.
NAMES = ("levir", "levir_captions", *WEAK_SETS, "naip_trees", "generated", *_LABELLED)
#: Sources whose crops are never scaled.
UNSCALED = ("levir_captions", "naip_trees")
#: Sources made from others, with the number of those.
_KINDS = {"same": 1, "year": 1, "paste": 2}


def data_root() -> Path:
    """Return the folder of the real data.

    Raises:
        InputError: ``CHANGESCRIBE_DATA`` is not set or not a folder.
    """
    root = Path(os.environ.get("CHANGESCRIBE_DATA", ""))
    if not os.environ.get("CHANGESCRIBE_DATA") or not root.is_dir():
        raise InputError(TrainingTexts.no_data_folder())
    return root


def parts_of(layout: str) -> list[tuple[str, list[str]]]:
    """Return the sources of a layout, with the places that each leaves out.

    ``paste:levir:oscd-bercy+nantes`` consists of ``levir`` and ``oscd`` without two places.
    """
    first, *others = layout.split(":")
    parts = [part.partition("-") for part in others or [first]]
    return [(name, left_out.split("+") if dash else []) for name, dash, left_out in parts]


def check_layout(layout: str) -> None:
    """Raise InputError for a source unknown to :func:`open_source`, without opening any."""
    kind, colon, _ = layout.partition(":")
    parts = parts_of(layout)
    if (colon and _KINDS.get(kind) != len(parts)) or any(
        name not in NAMES or (left_out and (name not in WEAK_SETS or not all(left_out)))
        for name, left_out in parts
    ):
        raise InputError(
            TrainingTexts.no_source(
                layout=layout,
                known=", ".join(NAMES),
                weak=" and ".join(WEAK_SETS),
                example=next(iter(WEAK_SETS)),
            )
        )


def open_source(
    name: str, root: Path, generated: Path, scales: tuple[float, float] | None = None
) -> sources.Source:
    """Load a source into memory.

    Args:
        name: ``levir``, ``levir_captions`` (its crops with sentences), ``oscd``, ``airchange``,
            ``naip_trees``, ``generated``, a set of ``segmentation``, or one of these after
            ``same:`` (the same image twice) or ``year:`` (the same in the colours of another
            year). ``paste:levir:generated``: objects of generated scenes on LEVIR's ground.
            Places after ``-`` are left out: ``oscd-bercy+nantes``, ``airchange-Szada``.
        root: the data folder.
        generated: folder of the cache of generated scenes.
        scales: smallest and largest magnification; None is the source's default. Fixed for
            ``levir_captions`` and ``naip_trees``.

    Raises:
        InputError: unknown name or place, or no data.
    """
    check_layout(name)
    kind, _, rest = name.partition(":")
    if rest:
        parts = [open_source(part, root, generated, scales) for part in rest.split(":")]
        if kind == "paste":
            return Pasted(*parts)
        return sources.SameImage(*parts) if kind == "same" else OtherYear(*parts, root)
    if name == "levir":
        return sources.LevirPairs(root, (1, 30), scales or (0.7, 1.5))
    if name == "levir_captions":
        return sources.CaptionedPairs(root, (1, 30))
    folder, _, left_out = name.partition("-")
    if folder in WEAK_SETS:
        check_places(name, root)
        return WeakPairs(root / folder, WEAK_SETS[folder], left_out, scales)
    if name == "naip_trees":
        return sources.NaipTrees(root)
    if name == "generated":
        return sources.GeneratedPairs(generated, scales or (0.8, 1.25))
    return open_labelled(name, root, scales)


def open_labelled(
    name: str, root: Path, scales: tuple[float, float] | None = None
) -> sources.PseudoPairs:
    """Load a set of ``segmentation`` into memory.

    Raises:
        InputError: it has no images.
    """
    classes, usual = _LABELLED[name]
    return sources.PseudoPairs(root, name, classes, scales or usual, _MOSAICS.get(name, 0))


def check_places(layout: str, root: Path) -> None:
    """Raise InputError for unknown places to leave out: a misspelt one would be trained on.

    Only folder names are read; a missing data set is an error when it is opened.
    """
    for name, left_out in parts_of(layout):
        _check_left_out(root / name, left_out)


def _check_left_out(folder: Path, left_out: Sequence[str]) -> None:
    places = sorted(path.name for path in folder.glob("*"))
    for start in left_out if places else ():
        if not any(place.startswith(start) for place in places):
            raise InputError(
                TrainingTexts.no_place(folder=folder.name, place=start, known=", ".join(places))
            )


class PairDataset(Dataset):
    """Pairs of all sources, drawn by weight."""

    def __init__(
        self,
        parts: Sequence[sources.Source],
        weights: Sequence[float],
        seed: int,
        strength: float = 1.0,
        tint: float = 0.0,
    ) -> None:
        self.parts = list(parts)
        self.shares = np.asarray(weights, np.float64) / np.sum(weights)
        self.seed = seed
        self.strength = strength
        self.tint = tint

    def __getitem__(self, index: int) -> dict[str, np.ndarray]:
        """Return pair number ``index``, augmented.

        Returns:
            ``before``, ``after``: (3, H, W) uint8. ``state_before``, ``state_after``:
            (6, H/4, W/4) uint8. ``steady``: (6, H/4, W/4) bool: certainly no change of that class.
            ``targets``: (2, 6, H/2, W/2) uint8, see :meth:`.sample.PairSample.targets`.
            ``sentences``: (2, 6) uint8, by direction and class.
        """
        rng = np.random.default_rng((self.seed, index))
        part = self.parts[rng.choice(len(self.parts), p=self.shares)]
        pair = part.draw(rng).augmented(rng, self.strength, self.tint)
        return {
            "before": pair.before.transpose(2, 0, 1),
            "after": pair.after.transpose(2, 0, 1),
            "state_before": pair.state_before[2::4, 2::4].transpose(2, 0, 1),
            "state_after": pair.state_after[2::4, 2::4].transpose(2, 0, 1),
            "steady": (pair.changes[2::4, 2::4] == 0).all(-1).transpose(2, 0, 1),
            "targets": pair.targets(),
            "sentences": np.ascontiguousarray(pair.sentences.T),
        }
