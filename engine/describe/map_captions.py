# SPDX-License-Identifier: GPL-3.0-or-later
"""Captions for the map, about a finished detection: its regions, tiles and the whole scene.

What a system writes about a place is checked against the facts of the place and followed by them;
if nothing true was written, the facts stand alone. All captions go into a GeoPackage beside the
results; the results themselves stay as they are.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Callable, Optional

from osgeo import ogr

from ..detect.rasters import grid_for, open_rasters
from ..errors import CancelledError, ChangeScribeError
from ..raster.area import place_of
from ..raster.support import gdal_call, spatial_reference, thread_options
from ..request import Progress, Stage
from ..results.changes_layer import undefined_crs
from ..results.detected import Detected
from ..results.journal import Claim, commit
from ..wording.guard import Facts, Guard, check
from ..writing import could_not_write
from .checked import CheckedWriter, detect_everything, with_facts
from .request import (
    ANYTHING,
    FACTS,
    REGIONS,
    SCENE,
    TILES,
    Callbacks,
    MapCaption,
    MapCaptions,
    ignore,
)
from .texts import DescribeTexts
from .writer import open_writer

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from ..hosts.base import Host
    from ..raster.grid import Grid
    from ..request import Area, CancelledCallback, ProgressCallback
    from ..systems.base import SystemInfo
    from .request import MapCaptionRequest

#: This many regions, the largest, and this many tiles get a caption.
MAX_REGIONS, MAX_TILES = 200, 400
#: Fields of the file of captions: name, type.
FIELDS: tuple[tuple[str, int], ...] = (
    ("level", ogr.OFTString),
    ("change_id", ogr.OFTInteger64),
    ("caption", ogr.OFTString),
    ("source", ogr.OFTString),
    ("run_id", ogr.OFTString),
)
LAYER = "captions"


def captions_path(gpkg: str) -> str:
    """Return the path of the captions of a run's results."""
    return f"{os.path.splitext(gpkg)[0]}_captions.gpkg"


def caption_map(
    request: MapCaptionRequest,
    host: Host,
    progress: Optional[ProgressCallback] = None,
    cancelled: Optional[CancelledCallback] = None,
    captioned: Optional[Callable[[MapCaption], None]] = None,
) -> MapCaptions:
    """Describe the regions of a detection, its tiles and the whole scene.

    Args:
        request: what to describe.
        host: where systems run.
        progress: called with each caption in turn.
        cancelled: called between captions, and by the host while it waits; the captions written
            so far are kept.
        captioned: called with each caption as soon as it is ready.

    Raises:
        InputError: the results or the rasters cannot be opened.
        WeightsError: weights are missing or damaged.
        DependencyError: a package is missing.
        OutputError: the captions could not be written.
    """
    guard = Guard()
    warnings: list[str] = []
    callbacks = Callbacks.of(progress, cancelled, warnings.append)
    done: list[MapCaption] = []
    partial = False
    try:
        with contextlib.closing(_captions(request, host, guard, callbacks)) as captions:
            for caption in captions:
                done.append(caption)
                if captioned is not None:
                    captioned(caption)
    except CancelledError:
        partial = True
    except ChangeScribeError:
        # The captions so far are on the map.
        if done:
            _write(request, done)
        raise
    path = _write(request, done) if done else ""
    return MapCaptions(tuple(done), path, (*guard.warnings, *warnings), partial)


def _captions(
    request: MapCaptionRequest, host: Host, guard: Guard, callbacks: Callbacks
) -> Generator[MapCaption, None, None]:
    """Yield the captions."""
    detection, levels = request.detection, request.levels
    callbacks.progress(Progress(Stage.READING, 0.0))
    results = Detected(detection.output)
    with _writer(request, host, results, guard, callbacks) as writer:
        info = host.info(detection.system if writer is None else request.system)
        with open_rasters(detection) as rasters:
            grid = grid_for(detection, *rasters, info.pixel_sizes).working
        regions = list(results.regions(MAX_REGIONS)) if REGIONS in levels else []
        tiles = []
        if TILES in levels or (SCENE in levels and writer is not None):
            tiles = [place for place in _cells(grid, info) if results.describe(place)]
        if len(tiles) > MAX_TILES:
            callbacks.warned(DescribeTexts.tiles_left_out(described=MAX_TILES, tiles=len(tiles)))
            tiles = tiles[:MAX_TILES]
        steps = _steps(len(regions) + len(tiles), callbacks)

        def caption(
            level: str, sentence: str, facts: str, place: Area, number: int = 0
        ) -> MapCaption:
            return MapCaption(level, *with_facts(sentence, facts, request.system), place, number)

        for region in regions:
            next(steps)
            sentence = "" if writer is None else writer.about_region(region.area, region.event)
            yield caption(REGIONS, sentence, region.caption, region.area, region.change_id)
        sentences: Counter[str] = Counter()
        for place in tiles:
            next(steps)
            sentence = "" if writer is None else writer.about(place)
            if sentence:
                sentences[sentence] += 1
            if TILES in levels:
                yield caption(TILES, sentence, results.describe(place), place)
        if SCENE in levels:
            whole = place_of(grid, 0, 0, grid.width, grid.height)
            sentence = "" if writer is None else _true_of(sentences, writer.facts(whole))
            yield caption(SCENE, sentence, results.caption, whole)
    callbacks.progress(Progress(Stage.DONE, 1.0))


@contextlib.contextmanager
def _writer(
    request: MapCaptionRequest, host: Host, results: Detected, guard: Guard, callbacks: Callbacks
) -> Iterator[Optional[CheckedWriter]]:
    """Load the system that writes (None: facts alone), and detect what to check it against."""
    detection = request.detection
    if request.system == FACTS:
        yield None
        return
    with tempfile.TemporaryDirectory(prefix="changescribe-") as folder:
        detections = [results]
        if (detection.system, detection.prompt) != (request.checked_by, ANYTHING):
            checked_by = replace(detection, system=request.checked_by)
            # Its warnings are those of the run, which the user has seen.
            quiet = replace(callbacks, warned=ignore)
            everything = detect_everything(checked_by, host, folder, quiet)
            if everything is not None:
                detections.append(everything)
        callbacks.progress(Progress(Stage.LOADING, 0.0))
        # Progress counts captions here, not tiles.
        silent = replace(callbacks, progress=ignore)
        with open_writer(detection, request.system, host, silent) as writer:
            yield CheckedWriter(writer, detections, guard)


def _steps(total: int, callbacks: Callbacks) -> Iterator[None]:
    """Report each caption before it is written; the time left follows from those before."""
    start = time.monotonic()
    for done in range(total):
        callbacks.stop_if_cancelled()
        left = (time.monotonic() - start) / done * (total - done) if done else None
        callbacks.progress(Progress(Stage.CAPTIONING, done / total, done + 1, total, left))
        yield


def _true_of(sentences: Counter[str], facts: Optional[Facts]) -> str:
    """Return the commonest sentence of the tiles that is true of the scene; "" if none is."""
    ordered = (sentence for sentence, _ in sentences.most_common())
    return next((sentence for sentence in ordered if check(sentence, facts) is None), "")


def _cells(grid: Grid, info: SystemInfo) -> Iterator[Area]:
    """Cut a grid evenly into parts no larger than a tile that do not overlap."""
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
    with Claim(Path(final), overwrite=True) as claim:
        part = str(claim.new / claim.final.name)
        with thread_options(GDAL_PAM_ENABLED="NO"):
            written, problem = gdal_call(lambda: _fill(part, captions, request.run_id))
        if not written:
            raise could_not_write(final, problem)
        commit(claim)
    return final


def _fill(path: str, captions: list[MapCaption], run_id: str) -> bool:
    """Write the rows; called with GDAL's errors collected by the caller."""
    source = ogr.GetDriverByName("GPKG").CreateDataSource(path)
    if source is None:
        return False
    crs = captions[0].place.crs
    target = spatial_reference(crs) if crs else undefined_crs()
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
        if caption.place.crs and caption.place.crs != crs:
            geometry.AssignSpatialReference(spatial_reference(caption.place.crs))
            geometry.TransformTo(target)
        feature.SetGeometryDirectly(ogr.ForceToMultiPolygon(geometry))
        if layer.CreateFeature(feature) != 0:
            return False
    layer.CommitTransaction()
    return True
