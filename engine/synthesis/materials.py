# SPDX-License-Identifier: GPL-3.0-or-later
"""Materials of the ground: colours by season, texture and label."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .textures import STREAK, Noise
from .world import BARE, GRASS, OTHER, ROAD, WATER, Colour, Window

Array = NDArray[np.float32]


@dataclass(frozen=True)
class Material:
    """Appearance of a kind of ground.

    Attributes:
        first: one extreme of the colour, as displayed, 0 to 1.
        second: the other extreme; noise mixes them.
        patchy: variation of the mix between places.
        grain: standard deviation of the brightness between pixels.
        label: label code.
        green: how strongly the colour follows the season (0: not at all).
        soft: width of a ragged edge in metres; 0 is sharp.
    """

    first: Colour
    second: Colour
    patchy: float
    grain: float
    label: int
    green: float = 0.0
    soft: float = 0.0


MATERIALS: dict[str, Material] = {
    "dry_grass": Material((0.60, 0.51, 0.39), (0.41, 0.37, 0.27), 0.34, 0.13, GRASS, 0.45, 2.0),
    "meadow": Material((0.47, 0.44, 0.32), (0.33, 0.35, 0.23), 0.32, 0.12, GRASS, 0.8, 2.0),
    "lawn": Material((0.43, 0.41, 0.29), (0.31, 0.35, 0.23), 0.30, 0.085, GRASS, 1.0, 0.0),
    "crop": Material((0.50, 0.46, 0.31), (0.32, 0.37, 0.22), 0.14, 0.045, GRASS, 0.6, 0.8),
    "plough": Material((0.50, 0.41, 0.32), (0.38, 0.31, 0.24), 0.16, 0.05, BARE, 0.0, 0.8),
    "soil": Material((0.83, 0.76, 0.63), (0.62, 0.52, 0.41), 0.30, 0.075, BARE, 0.0, 2.5),
    "rock": Material((0.84, 0.80, 0.72), (0.58, 0.54, 0.45), 0.40, 0.12, BARE, 0.0, 2.5),
    "litter": Material((0.46, 0.40, 0.33), (0.33, 0.31, 0.23), 0.32, 0.15, GRASS, 0.4, 2.0),
    "water": Material((0.13, 0.17, 0.15), (0.20, 0.22, 0.17), 0.08, 0.006, WATER, 0.0, 1.0),
    "slab": Material((0.90, 0.87, 0.80), (0.76, 0.73, 0.66), 0.15, 0.03, OTHER),
    "asphalt": Material((0.43, 0.43, 0.42), (0.35, 0.35, 0.35), 0.16, 0.030, ROAD),
    "concrete": Material((0.68, 0.66, 0.61), (0.60, 0.58, 0.53), 0.15, 0.028, ROAD),
    "gravel": Material((0.74, 0.70, 0.62), (0.63, 0.58, 0.50), 0.25, 0.055, ROAD, 0.0, 0.5),
    "dirt": Material((0.72, 0.64, 0.52), (0.60, 0.51, 0.40), 0.25, 0.060, ROAD, 0.0, 0.6),
    "kerb": Material((0.70, 0.68, 0.63), (0.64, 0.62, 0.57), 0.10, 0.03, ROAD),
    "verge": Material((0.64, 0.57, 0.45), (0.50, 0.45, 0.34), 0.25, 0.07, GRASS, 0.3, 1.0),
    "pool": Material((0.30, 0.62, 0.72), (0.24, 0.54, 0.68), 0.10, 0.02, OTHER),
}


@dataclass(frozen=True)
class Season:
    """The state of vegetation and soil on one date.

    Attributes:
        green: -1 parched or wintry to 1 lush.
        leaves: leaves of deciduous trees, 0 bare to 1 full.
        tree: colour of the leaves.
        wet: 0 dry to 1 wet soil, which is darker.
        muddy: 0 dark clear water to 1 brown, or -1 green.
    """

    green: float
    leaves: float
    tree: Colour
    wet: float
    muddy: float

    @staticmethod
    def draw(rng: np.random.Generator) -> Season:
        """Return a random season."""
        green = float(np.clip(rng.normal(-0.1, 0.55), -1, 1))
        deep = rng.uniform(0, 1)
        tree = (
            0.245 + 0.07 * deep + rng.normal(0, 0.012),
            0.285 + 0.06 * deep + rng.normal(0, 0.012),
            0.185 + 0.045 * deep + rng.normal(0, 0.012),
        )
        return Season(
            green,
            float(np.clip(green * 0.8 + rng.uniform(0.3, 1.3), 0, 1)),
            tree,
            float(rng.beta(1.5, 3)),
            float(np.clip(rng.normal(0, 0.5), -1, 1)),
        )


class Ground:
    """Colours of materials for one date of a scene."""

    def __init__(self, shared: dict[str, Array], own: dict[str, Array], season: Season) -> None:
        self._shared = shared
        self._own = own
        self.season = season
        self._mix = shared["blend"] + np.float32(0.45) * own["patch"]
        self._grain = (
            np.float32(0.5) * shared["fine"]
            + np.float32(0.7) * shared["grain"]
            + np.float32(0.35) * own["white"]
        )
        # Tufts and stones, and the distribution of rough and smooth ground.
        self._tufts = np.clip(shared["fine"] * np.float32(0.25) - np.float32(0.3), 0, 0.32)
        self._rough = np.clip(np.float32(0.85) + np.float32(0.4) * shared["cloud"], 0.35, 1.5)

    @property
    def edge(self) -> Array:
        """Pixel noise shared by both dates, (size, size), standard deviation 1."""
        return self._shared["fine"]

    @property
    def blend(self) -> Array:
        """Noise of wide patches shared by both dates, (size, size), standard deviation about 1."""
        return self._shared["blend"]

    @property
    def grain(self) -> Array:
        """Pixel noise, half of it of this date, (size, size), standard deviation 1."""
        return np.float32(0.8) * self._shared["grain"] + np.float32(0.6) * self._own["white"]

    @staticmethod
    def lie(noise: Noise) -> dict[str, Array]:
        """Return the noise fields shared by both dates."""
        names = ("patch", "cloud", "fine", "grain")
        fields = {name: noise.field(name) for name in names}
        fields["blend"] = 0.7 * fields["patch"] + 0.9 * fields["cloud"]
        fields["wave"] = noise.wave(3.0)
        return fields

    @staticmethod
    def weather(noise: Noise) -> dict[str, Array]:
        """Return the noise fields of one date."""
        return {name: noise.field(name) for name in ("patch", "white", STREAK)}

    def colour(self, name: str, where: Window, tone: float = 1.0, tint: float = 0.0) -> Array:
        """Return the colour (3, h, w) of a material in a window of the canvas.

        Args:
            name: key of :data:`MATERIALS`.
            where: rows and columns.
            tone: factor for the brightness.
            tint: -1 to 1, shifts the mix towards the first or second colour.
        """
        material = MATERIALS[name]
        first, second = self._seasoned(name, material, tint)
        mix = self._mix[where] * np.float32(material.patchy)
        mix += np.float32(0.5)
        np.clip(mix, 0, 1, out=mix)
        grain = self._grain[where] * np.float32(material.grain)
        if name == "soil":
            mix -= np.float32(0.16) * self._shared["cloud"][where]
            np.clip(mix, 0, 1, out=mix)
            grain += self._tracks(where)
        if material.soft > 1.5:
            grain -= self._tufts[where]
            grain *= self._rough[where]
        grain += np.float32(1.0)
        grain *= np.float32(tone)
        colour = (second - first)[:, None, None] * mix
        colour += first[:, None, None]
        colour *= grain
        return colour

    def _seasoned(self, name: str, material: Material, tint: float) -> tuple[Array, Array]:
        """Return the two colours of a material, adjusted to the season."""
        first, second = (np.array(c, np.float32) for c in (material.first, material.second))
        if material.green:
            turn = np.float32(material.green * (0.65 * self.season.green + 0.5 * tint))
            lush = np.array([-0.11, -0.045, -0.08], np.float32)
            first, second = first + lush * turn, second + lush * turn
        elif name == "water":
            mud = self.season.muddy + 0.5 * tint
            colour = np.array([0.22, 0.15, 0.06] if mud > 0 else [-0.02, 0.06, -0.03], np.float32)
            first, second = first + colour * abs(mud), second + colour * abs(mud)
        elif material.label == BARE:
            wet = np.float32(1.0 - 0.22 * self.season.wet)
            shift = np.array([0.0, -0.035, -0.06], np.float32) * np.float32(
                tint + self.season.green * 0.4
            )
            first, second = (first + shift) * wet, (second + shift) * wet
        return np.clip(first, 0.02, 1), np.clip(second, 0.02, 1)

    def _tracks(self, where: Window) -> Array:
        """Return wheel tracks on a building site: winding pale and dark lines."""
        wave = self._shared["wave"][where] * 1.7 + 0.16 * self._shared["cloud"][where]
        near = np.abs(wave - np.round(wave))
        tracks = 0.05 * np.exp(-((near / 0.022) ** 2))
        tracks -= 0.06 * np.exp(-(((near - 0.06) / 0.02) ** 2))
        return tracks.astype(np.float32, copy=False)
