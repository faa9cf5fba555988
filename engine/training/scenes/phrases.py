# SPDX-License-Identifier: GPL-3.0-or-later
"""The phrase bank: object phrases for training the vision model.

Each phrase names a land-cover class, or an object that the training pairs do not contain. The
latter teach the model to answer with an empty mask.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...classes import CLASSES

#: Class index of phrases for absent objects.
ABSENT = -1

_ADJECTIVES: dict[str, tuple[str, ...]] = {
    "building": ("residential", "large", "small", "industrial", "new", "family"),
    "road": ("new", "paved", "residential", "main", "asphalt", "access"),
    "tree": ("large", "tall", "green", "dense"),
    "grass": ("green", "dry", "short"),
    "water": ("open", "surface", "standing"),
    "bare ground": (),
}

#: Objects that no training label calls changed; none is in :data:`HELD_OUT_NOUNS`.
ABSENT_NOUNS = tuple(
    (
        "swimming pools, swimming pool, pools, solar panels, solar panel, solar farm, "
        "aircraft, airplanes, planes, helicopters, ships, boats, vessels, yachts, stadiums, "
        "sports stadium, cars, vehicles, trucks, buses, parked cars, trains, railway, railway "
        "lines, wind turbines, wind farms, storage tanks, oil tanks, bridges, harbours, "
        "ports, airports, runways, tennis courts, football fields, baseball diamonds, "
        "playgrounds, golf courses, cranes, shipping containers, containers, tents, refugee "
        "camps, power lines, pylons, fountains, statues, monuments, cemeteries, vineyards, "
        "rice fields, greenhouses, quarries, mines, landfills, volcanoes, glaciers, snow, "
        "ice, clouds, smoke, fire, people, crowds, animals, cows, horses, fences, billboards, "
        "antennas, chimneys, windmills, lighthouses, dams, pipelines, circuses, roller "
        "coasters, submarines, tanks, trampolines, basketball courts"
    ).split(", ")
)

#: Absent nouns for evaluation only.
HELD_OUT_NOUNS = tuple(
    (
        "ferries, oil rigs, water towers, race tracks, satellite dishes, elephants, cable "
        "cars, icebergs"
    ).split(", ")
)


@dataclass(frozen=True)
class PhraseBank:
    """Phrases and their classes.

    Attributes:
        phrases: distinct object phrases, lower case.
        classes: (N,) index of the class of each, or :data:`ABSENT`.
    """

    phrases: tuple[str, ...]
    classes: np.ndarray

    def of_class(self, index: int) -> np.ndarray:
        """Return the rows of the phrases of one class (or of :data:`ABSENT`)."""
        return np.flatnonzero(self.classes == index)

    def sample(self, index: int, rng: np.random.Generator) -> int:
        """Return the row of a random phrase of a class, with probability 0.4 its name."""
        rows = self.of_class(index)
        if index != ABSENT and rng.random() < 0.4:
            return int(rows[rng.integers(0, 2)])  # the class name comes first
        return int(rows[rng.integers(len(rows))])


def build_bank() -> PhraseBank:
    """Return all training phrases: synonyms, with and without adjectives, and absent nouns."""
    phrases: list[str] = []
    classes: list[int] = []
    for index, land_cover in enumerate(CLASSES):
        words = [land_cover.plural, land_cover.name, *land_cover.words]
        heads = land_cover.words[:8]
        for adjective in _ADJECTIVES[land_cover.name]:
            words += [f"{adjective} {head}" for head in heads]
        distinct = list(dict.fromkeys(words))
        phrases += distinct
        classes += [index] * len(distinct)
    phrases += ABSENT_NOUNS
    classes += [ABSENT] * len(ABSENT_NOUNS)
    return PhraseBank(tuple(phrases), np.array(classes))
