# SPDX-License-Identifier: GPL-3.0-or-later
"""Captions for the map, about a finished detection: its regions, tiles and the whole scene.

What a system writes about a place is checked against the facts of the place and followed
by them; where nothing true was written, the facts stand alone. Each caption is told as
soon as it is ready, and cancelling keeps those that are there. All of them go into a
GeoPackage beside the results; the results themselves stay as they are.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Callable, Optional

from osgeo import ogr

from ..errors import CancelledError, ChangeScribeError
from ..raster.area import AreaMask
from ..raster.common_grid import common_grid
from ..raster.reader import RasterSource
from ..raster.support import gdal_call, spatial_reference, thread_options
from ..request import Area, ChangeRequest, Extent, Progress
from ..results.changes_layer import undefined_crs
from ..results.detected import Detected
from ..wording.guard import Facts, Guard, check
from ..writing import could_not_write
from .checked import ANYTHING, CHECKED_BY, CheckedWriter, detect_everything
from .pair import FACTS
from .writer import CaptionWriter, place_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..hosts.base import Host
    from ..raster.grid import Grid
    from ..request import CancelledCallback, ProgressCallback
    from ..systems.base import SystemInfo

SCENE, TILES, REGIONS = "scene", "tiles", "regions"
#: What captions can be about, in the order in which they are written.
LEVELS = (REGIONS, TILES, SCENE)
#: As many regions, the largest, and as many tiles are described.
MAX_REGIONS, MAX_TILES = 200, 400
#: Of the file of captions: name, type.
FIELDS: tuple[tuple[str, int], ...] = (
    ("level", ogr.OFTString),
    ("change_id", ogr.OFTInteger64),
    ("caption", ogr.OFTString),
    ("source", ogr.OFTString),
    ("run_id", ogr.OFTString),
)
LAYER = "captions"


@dataclass(frozen=True)
class MapCaptionRequest:
    """What is to be described.

    Attributes:
        detection: what was asked of the detection; its ``output`` holds the results.
        run_id: of the detection.
        system: name of a system that writes sentences, or :data:`.captioning.FACTS`.
        levels: of :data:`LEVELS`.
        checked_by: the system whose detection of everything sentences are checked against,
            beside the results.
    """

    detection: ChangeRequest
    run_id: str
    system: str = FACTS
    levels: tuple[str, ...] = (REGIONS,)
    checked_by: str = CHECKED_BY


@dataclass(frozen=True)
class MapCaption:
    """A caption and its place.

    Attributes:
        level: of :data:`LEVELS`.
        caption: what was written, then the facts.
        source: name of the system that wrote, or :data:`.captioning.FACTS`.
        place: polygons; with a CRS of their own.
        change_id: of a region; else 0.
    """

    level: str
    caption: str
    source: str
    place: Area
    change_id: int = 0


@dataclass(frozen=True)
class MapCaptions:
    """What became of a request.

    Attributes:
        captions: all, in the order in which they were written.
        path: of the GeoPackage that holds them; "" where there is none.
        warnings: sentences for the user.
        partial: cancelled; what is there is kept.
    """

    captions: tuple[MapCaption, ...]
    path: str
    warnings: tuple[str, ...] = ()
    partial: bool = False


#: Is given each caption as soon as it is ready.
ToldCallback = Callable[[MapCaption], None]


def captions_path(gpkg: str) -> str:
    """Return where the captions of a run's results are kept."""
    return f"{os.path.splitext(gpkg)[0]}_captions.gpkg"


def caption_map(
    request: MapCaptionRequest,
    host: Host,
    progress: Optional[ProgressCallback] = None,
    cancelled: Optional[CancelledCallback] = None,
    told: Optional[ToldCallback] = None,
) -> MapCaptions:
    """Describe the regions of a detection, its tiles and the whole, as asked.

    Args:
        request: what to describe.
        host: where systems run.
        progress: told of each caption.
        cancelled: asked between captions, and by the host while it waits.
        told: given each caption as soon as it is ready.

    Raises:
        InputError: the results or the rasters cannot be opened.
        WeightsError: weights are missing or damaged.
        DependencyError: a package is missing.
        OutputError: the captions could not be written.
    """
    run = _Run(request, host, progress or (lambda _: None), cancelled or (lambda: False))
    partial = False
    with contextlib.ExitStack() as stack:
        try:
            for caption in run.captions(stack):
                run.done.append(caption)
                if told is not None:
                    told(caption)
        except CancelledError:
            partial = True
        except ChangeScribeError:
            # What has been told is on the map.
            if run.done:
                _write(request, run.done)
            raise
    path = _write(request, run.done) if run.done else ""
    return MapCaptions(tuple(run.done), path, tuple(run.warnings), partial)


class _Run:
    """One request. Holds what its levels share."""

    def __init__(
        self,
        request: MapCaptionRequest,
        host: Host,
        progress: ProgressCallback,
        cancelled: CancelledCallback,
    ) -> None:
        self._request = request
        self._host = host
        self._progress = progress
        self._cancelled = cancelled
        self._guard = Guard()
        self._notes: list[str] = []
        self._writing_notes: list[str] = []
        self._number, self._total, self._started = 0, 1, 0.0
        self.done: list[MapCaption] = []

    @property
    def warnings(self) -> list[str]:
        """What the user should know."""
        return [*self._notes, *self._guard.warnings, *self._writing_notes]

    def captions(self, stack: contextlib.ExitStack) -> Iterator[MapCaption]:
        """Yield the captions; the stack holds what they need open.

        Raises:
            CancelledError: the user does not want to go on.
        """
        request, detection = self._request, self._request.detection
        self._progress(Progress("reading", 0.0))
        results = Detected(detection.output)
        before, after = (
            stack.enter_context(RasterSource.open(path, bands, crs))
            for path, bands, crs in (
                (detection.before, detection.bands_before, detection.crs_before),
                (detection.after, detection.bands_after, detection.crs_after),
            )
        )
        writer = None
        info = self._host.info(detection.system)
        if request.system != FACTS:
            info = self._host.info(request.system)
            writer = self._writer(stack, results, before, after)
        extent = detection.extent
        if detection.area is not None and extent is None:
            extent = Extent(*AreaMask(detection.area, before.grid).envelope)
        size = detection.pixel_size
        grid = common_grid(before, after, extent, info.pixel_sizes, size).working
        regions = list(results.regions(MAX_REGIONS)) if REGIONS in request.levels else []
        tiles = []
        if TILES in request.levels or (SCENE in request.levels and writer is not None):
            tiles = [place for place in _cells(grid, info) if results.describe(place)]
            if len(tiles) > MAX_TILES:
                self._notes.append(
                    f"Captions of tiles: the first {MAX_TILES:,} of {len(tiles):,} were written."
                )
        self._total, self._started = len(regions) + len(tiles[:MAX_TILES]), time.monotonic()
        for region in regions:
            self._tell()
            sentence = "" if writer is None else writer.about_region(region.area, region.event)
            yield self._caption(REGIONS, sentence, region.caption, region.area, region.change_id)
        yield from self._places(writer, results, tiles[:MAX_TILES], grid)
        self._progress(Progress("done", 1.0))

    def _places(
        self,
        writer: Optional[CheckedWriter],
        results: Detected,
        tiles: list[Area],
        grid: Grid,
    ) -> Iterator[MapCaption]:
        """Yield the captions of tiles, then that of the scene, which takes up one of theirs."""
        levels = self._request.levels
        sentences: Counter[str] = Counter()
        for place in tiles:
            self._tell()
            sentence = "" if writer is None else writer.about(place)
            if sentence:
                sentences[sentence] += 1
            if TILES in levels:
                yield self._caption(TILES, sentence, results.describe(place), place)
        if SCENE in levels:
            whole = place_of(grid, 0, 0, grid.width, grid.height)
            sentence = _true_of(sentences, writer.facts(whole)) if writer is not None else ""
            yield self._caption(SCENE, sentence, results.caption, whole)

    def _writer(
        self,
        stack: contextlib.ExitStack,
        results: Detected,
        before: RasterSource,
        after: RasterSource,
    ) -> CheckedWriter:
        """Load the system that writes, and detect what its sentences are checked against."""
        request, detection = self._request, self._request.detection
        detections = [results]
        if (detection.system, detection.prompt) != (request.checked_by, ANYTHING):
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="changescribe-"))
            asked = ChangeRequest(**{**vars(detection), "system": request.checked_by})
            everything = detect_everything(
                asked, self._host, folder, self._progress, self._cancelled
            )
            if everything is not None:
                detections.append(everything)
        self._progress(Progress("loading", 0.0))
        system = stack.enter_context(
            self._host.open(request.system, detection.device, self._cancelled)
        )
        writer = CaptionWriter(
            before,
            after,
            system,
            None,
            self._cancelled,
            detection.extent,
            self._writing_notes.append,
            detection.pixel_size,
        )
        return CheckedWriter(writer, detections, self._guard)

    def _tell(self) -> None:
        """Tell of the next caption; the time left is that of the ones before.

        Raises:
            CancelledError: the user does not want to go on.
        """
        if self._cancelled():
            raise CancelledError
        done, left = self._number, None
        if done:
            left = (time.monotonic() - self._started) / done * (self._total - done)
        self._number += 1
        self._progress(Progress("captioning", done / self._total, self._number, self._total, left))

    def _caption(
        self, level: str, sentence: str, facts: str, place: Area, change_id: int = 0
    ) -> MapCaption:
        source = self._request.system if sentence else FACTS
        return MapCaption(level, f"{sentence} {facts}".strip(), source, place, change_id)


def _true_of(sentences: Counter[str], facts: Optional[Facts]) -> str:
    """Return the commonest sentence of the tiles that is true of the scene: "two houses" may not.

    Returns:
        "" where none is.
    """
    ordered = (sentence for sentence, _ in sentences.most_common())
    return next((sentence for sentence in ordered if check(sentence, facts) is None), "")


def _cells(grid: Grid, info: SystemInfo) -> Iterator[Area]:
    """Cut a grid evenly into parts that are no larger than a tile, and do not overlap."""
    ends = []
    for size in (grid.width, grid.height):
        count = -(-size // info.tile_size)
        ends.append([round(size * number / count) for number in range(count + 1)])
    for y0, y1 in zip(ends[1], ends[1][1:]):
        for x0, x1 in zip(ends[0], ends[0][1:]):
            yield place_of(grid, x0, y0, x1 - x0, y1 - y0)


def _write(request: MapCaptionRequest, captions: list[MapCaption]) -> str:
    """Write the captions beside the results, in the CRS of the first; return the path."""
    final = captions_path(request.detection.output)
    try:
        with tempfile.TemporaryDirectory(prefix=".changescribe-", dir=Path(final).parent) as folder:
            part = os.path.join(folder, "captions.gpkg")
            with thread_options(GDAL_PAM_ENABLED="NO"):
                written, problem = gdal_call(lambda: _fill(part, captions, request.run_id))
            if not written:
                raise could_not_write(final, problem)
            os.replace(part, final)
    except OSError as error:
        raise could_not_write(final, error) from error
    return final


def _fill(path: str, captions: list[MapCaption], run_id: str) -> bool:
    """Write the rows; called with GDAL's errors collected by the caller."""
    source = ogr.GetDriverByName("GPKG").CreateDataSource(path)
    if source is None:
        return False
    wanted = captions[0].place.crs
    target = spatial_reference(wanted) if wanted else undefined_crs()
    layer = source.CreateLayer(LAYER, target, ogr.wkbMultiPolygon)
    for name, kind in FIELDS:
        layer.CreateField(ogr.FieldDefn(name, kind))
    layer.StartTransaction()
    for caption in captions:
        feature = ogr.Feature(layer.GetLayerDefn())
        for name in ("level", "caption", "source"):
            feature.SetField(name, getattr(caption, name))
        feature.SetField("run_id", run_id)
        if caption.change_id:
            feature.SetField("change_id", caption.change_id)
        geometry = ogr.CreateGeometryFromWkt(caption.place.wkt)
        if caption.place.crs and caption.place.crs != wanted:
            geometry.AssignSpatialReference(spatial_reference(caption.place.crs))
            geometry.TransformTo(target)
        feature.SetGeometryDirectly(ogr.ForceToMultiPolygon(geometry))
        if layer.CreateFeature(feature) != 0:
            return False
    layer.CommitTransaction()
    return True
