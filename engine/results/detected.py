# SPDX-License-Identifier: GPL-3.0-or-later
"""The results of a finished detection by area: facts for the caption guard, factual captions."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Optional

from osgeo import ogr

from ..classes import class_of
from ..errors import InputError
from ..raster.offline import check_offline
from ..raster.support import gdal_call, spatial_reference
from ..request import APPEARED, CHANGED, REMOVED, Area, ParsedPrompt, Query
from ..wording.facts import Tally, scene_caption
from ..wording.guard import Facts, Found
from .changes_layer import CHANGES, RUNS, known_crs
from .journal import recover
from .texts import ResultsTexts

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ..wording.reading import Event

#: A region counts in an area that contains this share of it, or this many of its pixels.
_MIN_SHARE, _MIN_PIXELS = 0.5, 400


@dataclass(frozen=True)
class DetectedRegion:
    """A region of the layer ``changes``.

    ``event`` is its class and direction, with the prompt's noun if that names no class.
    """

    change_id: int
    event: Event
    caption: str
    area: Area


class Detected:
    """The results of a detection, read from the GeoPackage of the run; not thread-safe.

    Raises:
        InputError: it cannot be opened, or holds no run.
    """

    def __init__(self, gpkg: str) -> None:
        check_offline(gpkg)
        recover(Path(gpkg))
        file, problem = gdal_call(ogr.Open, gpkg)
        # A copy in memory, since QGIS may write into the file in the meantime.
        memory = ogr.GetDriverByName("Memory")
        self._source = None
        if file is not None:
            self._source, problem = gdal_call(memory.CopyDataSource, file, "detected")
        layer = None if self._source is None else self._source.GetLayerByName(CHANGES)
        runs = None if self._source is None else self._source.GetLayerByName(RUNS)
        run = None if runs is None else runs.GetNextFeature()
        if layer is None or run is None:
            raise InputError(ResultsTexts.no_results(path=gpkg), details=problem)
        self._layer = layer
        self._crs = known_crs(layer)
        self.crs_wkt = self._crs.ExportToWkt() if self._crs is not None else ""
        try:
            parse = json.loads(run["parse"])
            queries = tuple(Query(q["object"], q["direction"]) for q in parse["queries"])
            self._parsed = ParsedPrompt(run["prompt"] or "", queries, bool(parse["anything"]))
            self._pixel_size: Optional[float] = run["pixel_size"]
            self.caption: str = run["caption"] or ""
            _check_rows(layer)
        except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
            raise InputError(ResultsTexts.no_results(path=gpkg), details=repr(error)) from error

    @property
    def extent(self) -> tuple[float, float, float, float]:
        """Extent of all regions: xmin, ymin, xmax, ymax."""
        xmin, xmax, ymin, ymax = self._layer.GetExtent()
        return xmin, ymin, xmax, ymax

    @property
    def nothing_found(self) -> str:
        """Caption of a place without regions."""
        return scene_caption(self._parsed, [], pixel_size=self._pixel_size)

    def regions(self, most: int) -> Iterator[DetectedRegion]:
        """Yield the regions, the largest first, at most ``most``."""
        self._layer.SetSpatialFilter(None)
        self._layer.ResetReading()
        rows = ((feature["change_id"], feature.GetFID()) for feature in self._layer)
        for _, fid in sorted(rows)[:most]:
            feature = self._layer.GetFeature(fid)
            yield DetectedRegion(
                int(feature["change_id"]),
                _event(feature),
                feature["caption"] or "",
                Area(feature.GetGeometryRef().ExportToWkt(), self.crs_wkt or None),
            )

    def facts(
        self, place: Area, own: Optional[Event] = None, within: Optional[Area] = None
    ) -> Facts:
        """Return what was found in a place, a polygon (without a CRS in that of the layer).

        ``own`` is described at :class:`Facts`; ``within`` cuts the place to these polygons.
        """
        found: dict[Event, Found] = {}
        for feature, share in self._inside(place, within):
            event = _event(feature)
            counts = share >= _MIN_SHARE or share * feature["area_px"] >= _MIN_PIXELS
            before = found.get(event, Found(0, 0.0))
            area = (before.area_m2 or 0.0) + share * (feature["area_m2"] or 0.0)
            found[event] = Found(
                before.count + int(counts), None if feature["area_m2"] is None else area
            )
            for name, way in ((feature["from_class"], REMOVED), (feature["to_class"], APPEARED)):
                # What it replaced, or what replaced it, changed as well.
                if name:
                    found.setdefault((name, way), Found(0, 0.0))
        return Facts(found, own, frozenset(_named(query.object) for query in self._parsed.queries))

    def describe(self, place: Area) -> str:
        """Return the factual caption of a place; "" if nothing was found in it."""
        tallies: dict[Query, Tally] = {}
        for feature, share in self._inside(place):
            if share < _MIN_SHARE and share * feature["area_px"] < _MIN_PIXELS:
                continue
            query = Query(feature["object"], feature["direction"])
            tally = tallies.get(query, Tally(query, area_m2=None))
            area = None
            if feature["area_m2"] is not None:
                area = (tally.area_m2 or 0.0) + share * feature["area_m2"]
            tallies[query] = Tally(query, tally.count + 1, area)
        if not tallies:
            return ""
        # Only the scene's caption mentions what is absent: "anything" leaves that out here.
        parsed = ParsedPrompt(self._parsed.text, tuple(tallies), anything=True)
        ordered = sorted(tallies.values(), key=lambda tally: -(tally.area_m2 or tally.count))
        return scene_caption(parsed, ordered, pixel_size=self._pixel_size)

    def _inside(
        self, place: Area, within: Optional[Area] = None
    ) -> Iterator[tuple[ogr.Feature, float]]:
        """Yield the regions that overlap a place, with the share of each that lies in it."""
        geometry = self._placed(place)
        if within is not None:
            both, _ = gdal_call(geometry.Intersection, self._placed(within))
            if both is None or both.IsEmpty():
                return
            geometry = both
        self._layer.SetSpatialFilter(geometry)
        self._layer.ResetReading()
        for feature in self._layer:
            region = feature.GetGeometryRef()
            whole = region.Area()
            part, _ = gdal_call(region.Intersection, geometry)
            # A region that only touches the place shares a line or a point with it.
            surface = part is not None and part.GetDimension() > 1
            share = part.Area() / whole if surface and whole > 0 else 0.0
            if share > 0:
                yield feature, share
        self._layer.SetSpatialFilter(None)

    def _placed(self, place: Area) -> ogr.Geometry:
        geometry, _ = gdal_call(ogr.CreateGeometryFromWkt, place.wkt)
        if geometry is None:
            raise InputError(ResultsTexts.no_polygon())
        if place.crs and self._crs is not None:
            source = spatial_reference(place.crs)
            if not source.IsSame(self._crs):
                gdal_call(geometry.TransformTo, self._crs)
        return geometry


def together(facts: Sequence[Facts]) -> Facts:
    """Merge the facts of several detections of one place; the first takes precedence."""
    found = {}
    for known in reversed(facts):
        found.update({event: row for event, row in known.found.items() if row.count})
    for known in facts:
        for event, row in known.found.items():
            found.setdefault(event, row)
    return Facts(found, facts[0].own, frozenset().union(*(known.queried for known in facts)))


def _check_rows(layer: ogr.Layer) -> None:
    """Raise KeyError or ValueError if what is read of each change is missing."""
    for feature in layer:
        needed = (feature[name] for name in ("change_id", "object", "area_px"))
        if None in needed or feature.GetGeometryRef() is None:
            raise ValueError(f"incomplete change {feature.GetFID()}")
        _ = [feature[n] for n in ("direction", "caption", "area_m2", "from_class", "to_class")]


def _event(feature: ogr.Feature) -> Event:
    return _named(feature["object"]), feature["direction"] or CHANGED


def _named(noun: str) -> str:
    land_cover = class_of(noun)
    return noun if land_cover is None else land_cover.name
