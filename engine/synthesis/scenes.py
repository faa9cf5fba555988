# SPDX-License-Identifier: GPL-3.0-or-later
"""Generated scene pairs: two dates of a place with their labels, from a seed."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Optional

import numpy as np
from numpy.typing import NDArray

from .facts import ChangedObject, Dating, captions, changed_buildings, changed_objects
from .layouts import build_world
from .materials import Ground, Season
from .relief import Relief
from .render import Light, Painter, label_relief, lit, raise_relief
from .sensor import Camera, draw_light, expose, shifted_crop
from .textures import Noise
from .world import BOTH, ONLY_AFTER, ONLY_BEFORE, Canvas, World

Array = NDArray[np.float32]
Labels = NDArray[np.uint8]

MARGIN = 12


@dataclass(frozen=True)
class ScenePair:
    """Two images of one place with their labels.

    Attributes:
        before: (size, size, 3) uint8 RGB.
        after: the same for the later date.
        labels_before: (size, size) uint8: 1 building, 2 road, 3 tree, 4 grass, 5 water,
            6 bare ground, 0 other (car parks, driveways, walks, pools).
        labels_after: the same for the later date; labels are not misregistered.
        pixel_size: in metres.
        layout: name of the layout.
        seed: of the generator.
        buildings_before: (size, size) int32 number of the building, 0 for none.
        buildings_after: the same; a number means the same building on both dates.
    """

    before: Labels
    after: Labels
    labels_before: Labels
    labels_after: Labels
    pixel_size: float
    layout: str
    seed: int
    buildings_before: NDArray[np.int32]
    buildings_after: NDArray[np.int32]

    @property
    def changed(self) -> NDArray[np.bool_]:
        """Return where the labels of the two dates differ, (size, size)."""
        return self.labels_before != self.labels_after

    @property
    def datings(self) -> tuple[Dating, Dating]:
        """Return labels and building numbers of both dates."""
        return (
            Dating(self.labels_before, self.buildings_before),
            Dating(self.labels_after, self.buildings_after),
        )

    @cached_property
    def _objects(self) -> tuple[tuple[ChangedObject, ...], dict[str, NDArray[np.int32]]]:
        return changed_objects(*self.datings, self.pixel_size)

    @property
    def facts(self) -> tuple[ChangedObject, ...]:
        """Return the connected changes of each class, derived from the labels."""
        return self._objects[0]

    @property
    def fact_numbers(self) -> dict[str, NDArray[np.int32]]:
        """Return, by direction, a raster (size, size) of the numbers of ``facts``, from 1."""
        return self._objects[1]

    @cached_property
    def changed_buildings(self) -> dict[str, int]:
        """Return the numbers of buildings that appeared and were removed."""
        return changed_buildings(*self.datings, self.pixel_size)

    @cached_property
    def captions(self) -> tuple[str, ...]:
        """Return five sentences about the changes."""
        height, width = self.labels_before.shape
        return captions(self.facts, self.changed_buildings, (height, width), self.seed)


@dataclass(frozen=True)
class Looks:
    """The conditions of both dates."""

    seasons: tuple[Season, Season]
    lights: tuple[Light, Light]
    cameras: tuple[Camera, Camera]

    @staticmethod
    def draw(rng: np.random.Generator, gsd: float) -> Looks:
        """Return random conditions; some pairs share the season or the sensor."""
        seasons = (Season.draw(rng), Season.draw(rng))
        lights = (draw_light(rng, gsd), draw_light(rng, gsd))
        cameras = (Camera.draw(rng), Camera.draw(rng))
        if rng.random() < 0.2:
            seasons = (seasons[0], seasons[0])
        if rng.random() < 0.1:
            lights = (lights[0], lights[0])
        if rng.random() < 0.15:
            cameras = (cameras[0], cameras[0])
        if rng.random() < 0.7:
            shift = np.clip(rng.normal(0, 0.8, 2), -2, 2)
            cameras = (cameras[0], replace(cameras[1], shift=(float(shift[0]), float(shift[1]))))
        return Looks(seasons, lights, cameras)


def synthesise(
    seed: int,
    size: int = 256,
    pixel_size: Optional[float] = None,
    layout: Optional[str] = None,
    supersampling: int = 1,
    registered: bool = False,
) -> ScenePair:
    """Generate a pair of scenes.

    Args:
        seed: the same seed and arguments give the same scene.
        size: height and width in pixels.
        pixel_size: in metres; None draws one between 0.3 and 1.2, usually near 0.5.
        layout: a name of :data:`~.layouts.LAYOUTS`, or None to draw one.
        supersampling: drawn pixels per pixel of the result, along each side.
        registered: omit the misregistration of up to 2 pixels that most pairs have, though not
            their labels: training shifts a date together with its labels.

    Returns:
        The pair, with the dates swapped half of the time, so that objects disappear as often as
        they appear.
    """
    rng = np.random.default_rng([seed, size, 20240])
    gsd = pixel_size or float(np.clip(np.exp(rng.normal(np.log(0.5), 0.25)), 0.3, 1.2))
    gsd_drawn = gsd / supersampling
    canvas = Canvas(size * supersampling, MARGIN * supersampling, gsd_drawn)
    world = build_world(rng, size * gsd, canvas.margin * gsd_drawn, layout)
    if rng.random() < 0.5:
        swap_dates(world)
    looks = Looks.draw(rng, gsd_drawn)
    if registered:
        first, second = looks.cameras
        looks = replace(looks, cameras=(first, replace(second, shift=first.shift)))
    return draw_pair(world, canvas, looks, seed, gsd, supersampling, rng)


def swap_dates(world: World) -> None:
    """Swap the dates of a world in place."""
    world.base = (world.base[1], world.base[0])
    for name in ("patches", "roads", "decks", "buildings", "trees"):
        setattr(
            world, name, [replace(o, dates=(o.dates[1], o.dates[0])) for o in getattr(world, name)]
        )
    world.parking = [(x, y, a, (d[1], d[0])) for x, y, a, d in world.parking]


def draw_pair(
    world: World,
    canvas: Canvas,
    looks: Looks,
    seed: int,
    gsd: float,
    supersampling: int,
    rng: np.random.Generator,
) -> ScenePair:
    """Draw both dates of ``world`` on ``canvas`` and photograph them."""
    noise = Noise(rng, canvas.size)
    shared = Ground.lie(noise)
    common = Relief.flat(canvas.size)
    raise_relief(common, canvas, world, BOTH, 1)
    pictures, labels, numbers = [], [], []
    inner = slice(canvas.margin + supersampling // 2, canvas.margin + canvas.scene, supersampling)
    for date, own_dates in enumerate((ONLY_BEFORE, ONLY_AFTER)):
        relief = common.copy()
        raise_relief(relief, canvas, world, own_dates, 1)
        ground = Ground(shared, Ground.weather(noise), looks.seasons[date])
        painter = Painter(world, date, canvas, ground, rng)
        painter.paint()
        label_relief(painter.label, relief)
        labels.append(np.ascontiguousarray(painter.label[inner, inner]))
        numbers.append(np.where(relief.roof > 0.5, relief.number, 0)[inner, inner].astype(np.int32))
        scene = lit(painter, relief, looks.seasons[date], looks.lights[date], canvas)
        pictures.append(_photograph(scene, canvas, looks.cameras[date], supersampling, rng))
    (before, after), (was, is_now), (standing, built) = pictures, labels, numbers
    return ScenePair(before, after, was, is_now, gsd, world.layout, seed, standing, built)


def _photograph(
    scene: Array, canvas: Canvas, camera: Camera, supersampling: int, rng: np.random.Generator
) -> Labels:
    shift = (camera.shift[0] * supersampling, camera.shift[1] * supersampling)
    inner = shifted_crop(scene, canvas.margin, canvas.scene, shift)
    if supersampling > 1:
        k = supersampling
        inner = inner.reshape(3, canvas.scene // k, k, canvas.scene // k, k).mean((2, 4))
    return expose(inner, camera, rng)
