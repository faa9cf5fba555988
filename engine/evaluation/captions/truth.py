# SPDX-License-Identifier: GPL-3.0-or-later
"""Correctness of factual captions on generated scenes, whose changes are known.

*From true masks*, a system with the true labels replaces the model, so that all errors come from
the code between mask and sentence. *From detections* of the bundled model, its errors are
included. Captions are judged by their words, not by the underlying facts:

- the caption of a region is right if most of its pixels changed as stated (object and direction)
  and the class stated as replaced is the most frequent one there;
- a count in the caption of a scene ("12 buildings appeared") is right if it is exact up to ten,
  or off by at most a tenth.

``changescribe evaluate caption-truth --scenes 8``
"""

from __future__ import annotations

import re
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from osgeo import gdal, osr
from scipy import ndimage
from tqdm import tqdm

from ... import systems
from ...classes import CLASSES, class_of
from ...detect import pipeline
from ...errors import InputError
from ...hosts.base import InProcessHost
from ...raster.area import AreaMask
from ...raster.reader import RasterSource
from ...request import APPEARED, NO_HINTS, REMOVED, Area, ChangeRequest, Hints, Query
from ...results.detected import Detected
from ...synthesis.scenes import ScenePair, synthesise
from ...systems.base import CLASS_UNKNOWN, ChangeSystem, SystemInfo, TilePrediction
from ..places.generated import EVALUATION_SEEDS, PIXEL_SIZE
from ..texts import EvaluationTexts

PROMPT = "new and demolished buildings, new roads, trees cleared, water appeared"
SIDE = 512
#: Minimum area of a region in m2, in the truth and in the run.
MIN_AREA = 20.0
_CODES = {land_cover.name: code for code, land_cover in enumerate(CLASSES, 1)}
_GONE = ("demolished", "removed", "cleared", "disappeared")
_REGION = re.compile(rf"^(?:New (?P<new>[a-z ]+)|(?P<old>[A-Z][a-z ]*?) (?:{'|'.join(_GONE)})),")
_REPLACED = re.compile(r"\b(?:replacing|now) ([a-z ]+)\.")
_COUNT = re.compile(
    r"(?P<n>\d[\d,]*|no) (?P<noun>[a-z ]+?) (?P<verb>appeared|disappeared)"
    r"|(?P<stuff>[a-z ]+?) (?P<way>appeared|disappeared) in (?P<places>\d[\d,]*) places?"
)


class Truth(ChangeSystem):
    """Answers with the true changes of a scene of one tile."""

    scene: ScenePair | None = None

    @property
    def info(self) -> SystemInfo:
        """One tile is the whole scene."""
        return SystemInfo(
            name="truth",
            title="",
            description="",
            pixel_sizes=(PIXEL_SIZE,),
            classes=tuple(_CODES),
            tile_size=SIDE if self.scene is None else len(self.scene.before),
            overlap=0,
            batch_size=1,
            revision="",
            terms="",
        )

    def load(self, device: str = "auto") -> None:
        """Do nothing: there are no weights."""

    @property
    def device(self) -> str:
        """Nothing runs."""
        return "CPU"

    def predict(
        self,
        before: np.ndarray,
        after: np.ndarray,
        queries: Sequence[Query],
        hints: Hints = NO_HINTS,
    ) -> TilePrediction:
        """Return the true changes of the scene."""
        scene = self.scene
        if scene is None:
            raise RuntimeError("there is no scene")
        planes = [changed_so(scene, query) for query in queries]
        dates = [
            np.where(labels == 0, CLASS_UNKNOWN, labels - 1).astype(np.uint8)[None]
            for labels in (scene.labels_before, scene.labels_after)
        ]
        return TilePrediction(np.stack(planes)[None].astype(np.float32), dates[0], dates[1])


def changed_so(scene: ScenePair, query: Query) -> np.ndarray:
    """Return (H, W) bool: where a class appeared or was removed."""
    code = _CODES[class_of(query.object).name]  # type: ignore[union-attr]
    was, is_now = scene.labels_before == code, scene.labels_after == code
    return (is_now & ~was) if query.direction == APPEARED else (was & ~is_now)


@dataclass
class Tally:
    """Numbers of checked and correct captions, by kind of check."""

    looked: Counter[str] = field(default_factory=Counter)
    right: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)

    def add(self, kind: str, right: bool, example: str) -> None:
        """Count a caption; keep the first wrong ones as examples."""
        self.looked[kind] += 1
        self.right[kind] += right
        if not right and len(self.wrong) < 40:
            self.wrong.append(f"{kind}: {example}")

    def figures(self) -> dict[str, object]:
        """Return shares, counts and examples."""
        shares = {
            kind: {"share": round(self.right[kind] / count, 4), "captions": count}
            for kind, count in sorted(self.looked.items())
        }
        total = sum(self.looked.values())
        return {
            "share": round(sum(self.right.values()) / max(1, total), 4),
            "captions": total,
            "by": shares,
            "wrong": self.wrong,
        }


def measure(system: str, seeds: Sequence[int], side: int = SIDE) -> Tally:
    """Detect in generated scenes and check every caption; "truth" stands for true masks."""
    tally = Tally()
    systems.register("truth", f"{__name__}:{Truth.__name__}")
    host = InProcessHost()
    try:
        for seed in tqdm(seeds, desc=system, unit="scene"):
            scene = synthesise(seed, side, PIXEL_SIZE)
            Truth.scene = scene
            with tempfile.TemporaryDirectory() as folder:
                _look(scene, system, host, Path(folder), tally)
    finally:
        host.close()
    return tally


def _look(scene: ScenePair, system: str, host: InProcessHost, folder: Path, tally: Tally) -> None:
    request = ChangeRequest(
        before=_written(folder / "before.tif", scene.before),
        after=_written(folder / "after.tif", scene.after),
        prompt=PROMPT,
        output=str(folder / "out.gpkg"),
        system=system,
        min_area=MIN_AREA,
        remember=False,
    )
    result = pipeline.detect(request, host)
    with RasterSource.open(request.before) as source:
        grid = source.grid
    for region in Detected(result.gpkg).regions(10_000):
        inside = AreaMask(Area(region.area.wkt, region.area.crs), grid).on(grid)
        if inside.any():
            _region(scene, region.caption, inside, tally)
    _scene(scene, result.caption, result.parse.queries, tally)


def _region(scene: ScenePair, caption: str, inside: np.ndarray, tally: Tally) -> None:
    stated = _REGION.match(caption)
    example = f"{scene.seed}: {caption}"
    land_cover = None if stated is None else class_of((stated["new"] or stated["old"]).lower())
    if stated is None or land_cover is None:
        tally.add("region", False, f"{example} (not understood)")
        return
    appeared = stated["new"] is not None
    query = Query(land_cover.name, APPEARED if appeared else REMOVED)
    share = float(changed_so(scene, query)[inside].mean())
    tally.add("region", share >= 0.5, f"{example} ({share:.0%} of it)")
    replaced = _REPLACED.search(caption)
    if replaced is None or share < 0.5:
        return
    other = class_of(replaced[1])
    labels = (scene.labels_before if appeared else scene.labels_after)[inside]
    counts = np.bincount(labels, minlength=len(CLASSES) + 1)
    counts[[0, _CODES[land_cover.name]]] = 0
    best = CLASSES[int(counts.argmax()) - 1].name
    right = other is not None and other.name == best
    tally.add("replaced", right, f"{example} (rather {best})")


def _scene(scene: ScenePair, caption: str, queries: Sequence[Query], tally: Tally) -> None:
    counts = dict(_counts(caption))
    for query in queries:
        name = class_of(query.object).name  # type: ignore[union-attr]
        truth, stated = true_count(scene, query), counts.get((name, query.direction), 0)
        right = abs(stated - truth) <= (0 if truth <= 10 else truth / 10)
        tally.add(f"count of {query}", right, f"{scene.seed}: {caption} ({query}: {truth})")


def _counts(caption: str) -> Iterator[tuple[tuple[str, str], int]]:
    """Yield the counts in the caption of a scene: (class, direction), number."""
    for clause in re.sub(r"\([^)]*\)", "", caption).lower().split(";"):
        found = _COUNT.search(clause)
        noun = found and class_of((found["noun"] or found["stuff"]).strip())
        if found is None or noun is None:
            continue
        number = found["n"] or found["places"] or "0"
        verb = found["verb"] or found["way"]
        count = (
            0
            if number == "no" or (found["n"] is None and found["places"] is None)
            else int(number.replace(",", ""))
        )
        yield (noun.name, APPEARED if verb == "appeared" else REMOVED), count


def true_count(scene: ScenePair, query: Query) -> int:
    """Return the number of changed buildings, or of connected areas of another class."""
    if class_of(query.object).name == "building":  # type: ignore[union-attr]
        return scene.changed_buildings[query.direction]
    parts, count = ndimage.label(changed_so(scene, query), np.ones((3, 3), int))
    sizes = np.bincount(parts.ravel(), minlength=count + 1)[1:]
    return int((sizes * scene.pixel_size**2 >= MIN_AREA).sum())


def _written(path: Path, pixels: np.ndarray) -> str:
    """Write an image as a GeoTIFF in a metric CRS."""
    height, width = pixels.shape[:2]
    raster = gdal.GetDriverByName("GTiff").Create(str(path), width, height, 3, gdal.GDT_Byte)
    raster.SetGeoTransform((500000.0, PIXEL_SIZE, 0.0, 5000000.0, 0.0, -PIXEL_SIZE))
    crs = osr.SpatialReference()
    crs.ImportFromEPSG(32633)
    raster.SetProjection(crs.ExportToWkt())
    for band in range(3):
        raster.GetRasterBand(band + 1).WriteArray(pixels[..., band])
    raster.FlushCache()
    return str(path)


def measure_systems(names: Sequence[str], scenes: int) -> dict[str, dict[str, object]]:
    """Measure the captions of systems ("truth": true masks) on the evaluation's first scenes.

    Raises:
        InputError: there are fewer scenes.
    """
    if not 0 < scenes <= len(EVALUATION_SEEDS):
        raise InputError(
            EvaluationTexts.bad_scene_count(count=scenes, largest=len(EVALUATION_SEEDS))
        )
    seeds = list(EVALUATION_SEEDS)[:scenes]
    return {name: measure(name, seeds).figures() for name in names}
