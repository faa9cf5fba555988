# SPDX-License-Identifier: GPL-3.0-or-later
"""An engine for tests of the user interface: real files, invented changes, no model."""

from __future__ import annotations

import os
import threading
import time

import numpy as np
from osgeo import gdal, ogr, osr

from changescribe.engine.errors import CancelledError
from changescribe.engine.prompt import parse
from changescribe.engine.request import ChangeResult, Progress, QueryCount, Region, Stage
from changescribe.engine.systems.base import SystemInfo

FIELDS = (
    ("change_id", ogr.OFTInteger),
    ("prompt", ogr.OFTString),
    ("object", ogr.OFTString),
    ("direction", ogr.OFTString),
    ("from_class", ogr.OFTString),
    ("to_class", ogr.OFTString),
    ("score", ogr.OFTReal),
    ("area_m2", ogr.OFTReal),
    ("area_px", ogr.OFTInteger64),
    ("caption", ogr.OFTString),
    ("before", ogr.OFTString),
    ("after", ogr.OFTString),
    ("date_before", ogr.OFTString),
    ("date_after", ogr.OFTString),
    ("system", ogr.OFTString),
    ("revision", ogr.OFTString),
    ("run_id", ogr.OFTString),
    ("created", ogr.OFTString),
    ("status", ogr.OFTString),
)


def info(**changes):
    values = {
        "name": "bundled",
        "title": "Bundled: fast, no download",
        "description": "A small model that comes with the plugin.",
        "pixel_sizes": (0.5,),
        "classes": ("building", "road"),
        "tile_size": 256,
        "overlap": 32,
        "batch_size": 1,
        "revision": "test",
        "terms": "research data; see the model card",
    }
    return SystemInfo(**{**values, **changes})


class FakeEngine:
    """Replaces ``pipeline.detect``; ``hold`` keeps it in its tile loop until released."""

    def __init__(self, count=3, tiles=4, error=None, hold=False, partial=True):
        self.count, self.tiles, self.error, self.partial = count, tiles, error, partial
        self.requests = []
        self.threads = []
        self.running = threading.Event()
        self.release = threading.Event()
        if not hold:
            self.release.set()

    def __call__(self, request, host, progress=None, cancelled=None):
        self.requests.append(request)
        self.threads.append(threading.get_ident())
        started = time.monotonic()
        progress(Progress(Stage.READING, 0.0))
        if self.error is not None:
            raise self.error
        stopped = False
        for tile in range(1, self.tiles + 1):
            progress(Progress(Stage.DETECTING, tile / (self.tiles + 1), tile, self.tiles, 2.0))
            self.running.set()
            while not self.release.wait(0.01) and not cancelled():
                pass
            if cancelled():
                if not self.partial:
                    raise CancelledError
                stopped = True
                break
        return write_result(request, self.count, time.monotonic() - started, partial=stopped)


def write_result(request, count, seconds=1.0, partial=False):
    """Write mask, score and GeoPackage with ``count`` squares; return the result."""
    source = gdal.Open(request.before)
    stem = os.path.splitext(request.output)[0]
    queries = parse(request.prompt).queries
    regions = [_region(source, queries[n % len(queries)], n, count) for n in range(count)]
    mask = np.zeros((source.RasterYSize, source.RasterXSize), np.uint8)
    for _region_, box in regions:
        mask[box[1] : box[3], box[0] : box[2]] = {"appeared": 1, "removed": 2}[_region_.direction]
    for suffix in ("_mask.tif", "_score.tif"):
        raster = gdal.GetDriverByName("GTiff").Create(
            stem + suffix, source.RasterXSize, source.RasterYSize, 1, gdal.GDT_Byte
        )
        raster.SetGeoTransform(source.GetGeoTransform())
        raster.SetProjection(source.GetProjection())
        raster.GetRasterBand(1).WriteArray(mask if suffix == "_mask.tif" else mask * 100)
        raster.GetRasterBand(1).SetNoDataValue(255)
        raster = None
    run_id = os.path.basename(stem)
    _write_gpkg(request, source, regions, run_id)
    counts = []
    for query in queries:
        chosen = [
            r for r, _box in regions if (r.object, r.direction) == (query.object, query.direction)
        ]
        area = sum(r.area_m2 for r in chosen)
        counts.append(QueryCount(query.object, query.direction, len(chosen), area))
    caption = (
        f"{count} {queries[0].object} appeared, most in the north-east."
        if count
        else (f'No change matching "{request.prompt}" was found.')
    )
    return ChangeResult(
        run_id=run_id,
        gpkg=request.output,
        mask=stem + "_mask.tif",
        score=stem + "_score.tif",
        parse=parse(request.prompt),
        regions=tuple(r for r, _box in regions),
        count=count,
        counts=tuple(counts),
        caption=caption,
        area_analysed_m2=1.0,
        system="bundled",
        revision="test",
        device="CPU (2 threads)",
        timings_s={"total": seconds},
        partial=partial,
        date_before=request.date_before,
        date_after=request.date_after,
    )


def _region(source, query, number, count):
    columns = max(1, int(np.ceil(np.sqrt(count))))
    width, height = source.RasterXSize / columns, source.RasterYSize / columns
    x = int((number % columns + 0.2) * width)
    y = int((number // columns + 0.2) * height)
    side = max(2, int(min(width, height) * (0.6 - 0.03 * number)))
    to_map = source.GetGeoTransform()
    bounds = (
        to_map[0] + x * to_map[1],
        to_map[3] + (y + side) * to_map[5],
        to_map[0] + (x + side) * to_map[1],
        to_map[3] + y * to_map[5],
    )
    caption = (
        f"New {query.object.rstrip('s')}, {side // 2} m long, joining the existing "
        f"{query.object} in the north-east, replacing trees."
    )
    return Region(
        number + 1,
        query.object,
        query.direction,
        "tree",
        query.object.rstrip("s"),
        0.9 - 0.04 * number,
        side * side * to_map[1] ** 2,
        side * side,
        None,
        "centre",
        bounds,
        caption,
    ), (x, y, x + side, y + side)


def _write_gpkg(request, source, regions, run_id):
    reference = None
    if source.GetProjection():
        reference = osr.SpatialReference()
        reference.ImportFromWkt(source.GetProjection())
    target = ogr.GetDriverByName("GPKG").CreateDataSource(request.output)
    layer = target.CreateLayer("changes", srs=reference, geom_type=ogr.wkbMultiPolygon)
    for name, kind in FIELDS:
        layer.CreateField(ogr.FieldDefn(name, kind))
    for region, _box in regions:
        feature = ogr.Feature(layer.GetLayerDefn())
        xmin, ymin, xmax, ymax = region.bounds
        geometry = ogr.CreateGeometryFromWkt(
            f"MULTIPOLYGON((({xmin} {ymin},{xmin} {ymax},{xmax} {ymax},{xmax} {ymin},"
            f"{xmin} {ymin})))"
        )
        feature.SetGeometry(geometry)
        for name in (
            "change_id",
            "object",
            "direction",
            "from_class",
            "to_class",
            "score",
            "area_m2",
            "area_px",
            "caption",
        ):
            feature[name] = getattr(region, name)
        feature["prompt"], feature["run_id"] = request.prompt, run_id
        feature["date_before"] = request.date_before or ""
        feature["date_after"] = request.date_after or ""
        feature["status"] = "unreviewed"
        layer.CreateFeature(feature)
    runs = target.CreateLayer("runs", geom_type=ogr.wkbNone)
    runs.CreateField(ogr.FieldDefn("caption", ogr.OFTString))
    target = None
