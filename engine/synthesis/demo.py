# SPDX-License-Identifier: GPL-3.0-or-later
"""The demo pair of the plugin: the edge of a town in Texas, in 2016 and 2023.

``changescribe build demo FOLDER`` recreates it.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ..raster.support import spatial_reference
from . import settlement
from .materials import Season
from .output import LABEL_NAMES, Place, fact_features, jpeg_options, write_json, write_raster
from .plan import Plan
from .relief import sun_vector
from .render import Light
from .scenes import MARGIN, Looks, ScenePair, draw_pair
from .sensor import Camera
from .world import BOTH, ONLY_BEFORE, Canvas, blob

SEED = 9
SIZE = 1024
PIXEL_SIZE = 0.5
SUPERSAMPLING = 2
DATES = ("2016-05-04", "2023-06-21")
#: Upper left corner in EPSG:32614, between Austin and Georgetown.
CORNER = (628_400.0, 3_382_600.0)
JPEG_QUALITY = 91


def demo_pair() -> ScenePair:
    """Return the demo pair."""
    rng = np.random.default_rng([SEED, 1])
    gsd = PIXEL_SIZE / SUPERSAMPLING
    canvas = Canvas(SIZE * SUPERSAMPLING, MARGIN * SUPERSAMPLING, gsd)
    plan = Plan(rng, SIZE * PIXEL_SIZE, MARGIN * PIXEL_SIZE)
    _edge_of_town(plan)
    return draw_pair(plan.world, canvas, _looks(), SEED, PIXEL_SIZE, SUPERSAMPLING, rng)


def _edge_of_town(plan: Plan) -> None:
    """Plan old streets, a new quarter on pasture and a field, a pond and permanent woods."""
    size = plan.size
    plan.world.layout = "demo"
    far = size + 60.0
    # Old town in the west, the new quarter in the middle, open country in the east.
    x = np.array([[0.40, 0.44, 0.37, 0.42], [0.80, 0.74, 0.83, 0.70]]) * size
    west = np.column_stack([x[0], [-60, 0.3 * size, 0.65 * size, far]])
    east = np.column_stack([x[1], [-60, 0.35 * size, 0.7 * size, far]])
    new = np.concatenate([west, east[::-1]])
    wild = np.concatenate([east, [[far, far], [far, -60]]])
    plan.keep_trees, plan.radius, plan.leafless = 0.06, (1.4, 4.6), 0.1
    field = np.array([[0.45, 0.52], [0.71, 0.56], [0.73, 0.93], [0.45, 0.90]]) * size
    settlement.streets(plan, new, "nature", single=0.012, wild=wild)
    plan.world.base = ("dry_grass", "dry_grass")
    plan.ground("crop", field, ONLY_BEFORE)
    plan.world.patches.insert(0, plan.world.patches.pop())
    plan.keep_clear(field)
    plan.pond(BOTH, 27.0, np.array([0.88, 0.60]) * size)
    plan.worn(6)
    plan.tree_rows(2)
    plan.scatter(120.0, 0.55)
    plan.scatter(380.0, 0.35, blob(plan.rng, np.array([0.93, 0.25]) * size, 0.16 * size))


def _looks() -> Looks:
    """Return a dry spring day in 2016 and a greener June day in 2023."""

    def season(green: float, wet: float) -> Season:
        return Season(green, 1.0, (0.27, 0.315, 0.205), wet, -0.3)

    def light(azimuth: float, elevation: float, lean: tuple[int, int]) -> Light:
        return Light(sun_vector(np.radians(azimuth), np.radians(elevation)), 0.3, lean)

    def camera(
        high: float, balance: tuple[float, float, float], shift: tuple[float, float]
    ) -> Camera:
        return Camera(
            low=14,
            high=high,
            stretch=0.75,
            gamma=1.05,
            balance=balance,
            saturation=0.95,
            haze=0.015,
            blur=0.35,
            sharpen=0.35,
            noise=0.8,
            quality=0,
            shift=shift,
        )

    return Looks(
        (season(-0.45, 0.1), season(0.45, 0.3)),
        (light(138.0, 50.0, (0, 0)), light(152.0, 61.0, (1, 0))),
        (camera(232, (1.01, 1.0, 0.97), (0.0, 0.0)), camera(214, (0.98, 1.0, 1.01), (0.4, -0.3))),
    )


def write_demo(folder: str | Path) -> tuple[Path, Path]:
    """Write both rasters of the demo pair and its truth; return the paths of the rasters.

    Raises:
        OutputError: a file could not be written.
    """
    folder = Path(folder)
    pair = demo_pair()
    wkt = str(spatial_reference("EPSG:32614").ExportToWkt())
    place = Place(wkt, *CORNER, PIXEL_SIZE)
    paths = []
    for picture, date in zip((pair.before, pair.after), DATES, strict=True):
        path = folder / f"demo_{date}.tif"
        write_raster(path, picture, place, jpeg_options(JPEG_QUALITY), date)
        paths.append(path)
    _write_truth(folder, pair, place)
    return paths[0], paths[1]


def _write_truth(folder: Path, pair: ScenePair, place: Place) -> None:
    """Write the labels of both dates as one raster, before + 8 * after, and figures of change."""
    packed = pair.labels_before + 8 * pair.labels_after
    write_raster(folder / "demo_truth.tif", packed, place, ("COMPRESS=DEFLATE", "TILED=YES"))
    totals: dict[str, float] = {}
    for feature in fact_features(pair, place)["features"]:
        values = feature["properties"]
        key = f"{values['object']}|{values['direction']}"
        totals[key] = round(totals.get(key, 0.0) + values["area_m2"], 1)
    write_json(
        folder / "demo_truth.json",
        {
            "classes": list(LABEL_NAMES),
            "code": "before + 8 * after",
            "dates": list(DATES),
            "seed": SEED,
            "pixel_size": PIXEL_SIZE,
            "buildings": pair.changed_buildings,
            "areas_m2": totals,
            "captions": list(pair.captions),
        },
    )
