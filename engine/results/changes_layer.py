# SPDX-License-Identifier: GPL-3.0-or-later
"""The GeoPackage of a run: layer ``changes``, table ``runs`` (output contract).

Regions arrive in the order of the raster. They are kept on disk until all are known, then
written with their numbers and captions, the largest first.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sqlite3
import tempfile
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, Optional, Union

from osgeo import ogr, osr

from ..errors import ExistsError
from ..raster.support import gdal_call, spatial_reference, thread_options
from ..request import MAX_REGIONS_IN_RESULT, Alignment, ParsedPrompt, QueryCount, Region
from ..wording.facts import Tally, region_caption, scene_caption
from ..writing import could_not_write

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from ..errors import ChangeScribeError
    from ..regions.facts import RegionShape

CHANGES = "changes"
RUNS = "runs"
UNREVIEWED = "unreviewed"

#: Fields of ``changes`` in their order: name, type.
CHANGE_FIELDS: tuple[tuple[str, int], ...] = (
    ("change_id", ogr.OFTInteger64),
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
#: Fields of ``runs``.
RUN_FIELDS: tuple[tuple[str, int], ...] = (
    ("run_id", ogr.OFTString),
    ("created", ogr.OFTString),
    ("caption", ogr.OFTString),
    ("prompt", ogr.OFTString),
    ("parse", ogr.OFTString),
    ("competing", ogr.OFTString),
    ("count", ogr.OFTInteger64),
    ("counts", ogr.OFTString),
    ("areas_m2", ogr.OFTString),
    ("area_analysed_m2", ogr.OFTReal),
    ("share_analysed", ogr.OFTReal),
    ("before", ogr.OFTString),
    ("after", ogr.OFTString),
    ("date_before", ogr.OFTString),
    ("date_after", ogr.OFTString),
    ("system", ogr.OFTString),
    ("revision", ogr.OFTString),
    ("threshold", ogr.OFTReal),
    ("min_area", ogr.OFTReal),
    ("pixel_size", ogr.OFTReal),
    ("told_pixel_size", ogr.OFTReal),
    ("device", ogr.OFTString),
    ("seconds", ogr.OFTReal),
    ("alignment", ogr.OFTString),
    ("warnings", ogr.OFTString),
    ("partial", ogr.OFTInteger),
    ("request", ogr.OFTString),
)
_BATCH = 1000


@dataclass(frozen=True)
class RunInfo:
    """A run, as far as it is known before its regions.

    Attributes:
        parsed: the prompt's queries, with "anything" resolved.
        before, after: full paths of the rasters.
        revision: of the system's weights.
        pixel_size: of the mask in metres; None without georeference.
        user_pixel_size: pixel size in metres given by the user where the raster has none.
        created: ISO time; "" is now.
        threshold: of the mask.
        min_area: of the mask in m2; None without georeference.
        alignment: the shift between the rasters; None if it was not measured.
        request: of :func:`.record.to_json`; "" if it is not known.
    """

    run_id: str
    prompt: str
    parsed: ParsedPrompt
    before: str
    after: str
    date_before: Optional[str]
    date_after: Optional[str]
    system: str
    revision: str
    pixel_size: Optional[float] = None
    user_pixel_size: Optional[float] = None
    created: str = ""
    threshold: float = 0.5
    min_area: Optional[float] = None
    alignment: Optional[Alignment] = None
    request: str = ""


@dataclass(frozen=True)
class WrittenChanges:
    """What :meth:`ChangesWriter.finish` wrote.

    Attributes:
        regions: the largest ones, largest first, at most :data:`MAX_REGIONS_IN_RESULT`.
        count: number of all regions.
        counts: number and area of the regions of each query, including queries without any.
        caption: of the scene.
    """

    regions: tuple[Region, ...]
    count: int
    counts: tuple[QueryCount, ...]
    caption: str


def counts_by_key(counts: Iterable[QueryCount]) -> dict[str, int]:
    """Return the number of regions per ``object|direction`` (output contract)."""
    return {str(query): query.count for query in counts}


def areas_by_key(counts: Iterable[QueryCount]) -> dict[str, float]:
    """Return the area in m2 per ``object|direction``; empty without georeference."""
    return {str(query): query.area_m2 for query in counts if query.area_m2 is not None}


def layer_crs(grid_crs: str, requested: Optional[str]) -> str:
    """Return the CRS of the layer as WKT: the requested one, else that of the grid.

    The layer of a raster without georeference has none, whatever is requested.

    Raises:
        InputError: ``requested`` is not a CRS.
    """
    if requested is None or not grid_crs:
        return grid_crs
    return spatial_reference(requested).ExportToWkt()


def undefined_crs() -> osr.SpatialReference:
    """Return GeoPackage's undefined Cartesian CRS; a layer without it is taken to be in degrees."""
    return osr.SpatialReference('LOCAL_CS["Undefined Cartesian SRS",UNIT["Meter",1]]')


def known_crs(layer: ogr.Layer) -> Optional[osr.SpatialReference]:
    """Return the CRS of a layer of a GeoPackage; None if it is undefined."""
    crs = layer.GetSpatialRef()
    return None if crs is None or (crs.GetName() or "").startswith("Undefined ") else crs


class ChangesWriter:
    """Writes the GeoPackage of one run; a context manager that leaves nothing unless finished.

    Args:
        path: of the GeoPackage.
        crs_wkt: CRS of the polygons; "" for none.
        info: of the run.
        overwrite: replace an existing file.
        shown_as: final name of the file, for messages, if ``path`` is temporary.

    Raises:
        InputError: the file exists already, or the folder is missing or not writable.
        OutputError: the disk is full.
    """

    def __init__(
        self,
        path: str,
        crs_wkt: str,
        info: RunInfo,
        overwrite: bool = False,
        shown_as: Optional[str] = None,
    ) -> None:
        self._path = os.path.abspath(path)
        self._shown_as = shown_as or self._path
        self._crs = spatial_reference(crs_wkt) if crs_wkt else None
        created = info.created or datetime.now(timezone.utc).isoformat(timespec="seconds")
        self._info = replace(info, created=created)
        if os.path.exists(self._path) and not overwrite:
            raise ExistsError(self._shown_as)
        try:
            self._folder = tempfile.mkdtemp(
                prefix=".changescribe-", dir=os.path.dirname(self._path)
            )
        except OSError as error:
            raise self._failed(error) from error
        self._pending: list[tuple[object, ...]] = []
        self._stage = sqlite3.connect(
            os.path.join(self._folder, "regions.sqlite"), check_same_thread=False
        )
        self._run_sql("PRAGMA journal_mode=OFF")
        self._run_sql("PRAGMA synchronous=OFF")
        self._run_sql("CREATE TABLE region (size REAL, query INTEGER, facts TEXT, wkb BLOB)")

    def __enter__(self) -> ChangesWriter:
        return self

    def __exit__(self, *error: object) -> None:
        self.abort()

    def add(self, shape: RegionShape) -> None:
        """Add a region; :meth:`finish` gives it a number and a caption.

        Raises:
            OutputError: the disk is full.
        """
        region = shape.region
        size = region.area_px if region.area_m2 is None else region.area_m2
        self._pending.append((size, shape.query, json.dumps(vars(region)), shape.wkb))
        if len(self._pending) >= _BATCH:
            self._flush()

    def finish(
        self,
        *,
        device: str = "",
        seconds: float = 0.0,
        area_analysed_m2: Optional[float] = None,
        share_analysed: Optional[float] = None,
        warnings: tuple[str, ...] = (),
        partial: bool = False,
    ) -> WrittenChanges:
        """Write the file and move it to its name; ``partial`` says that not all tiles were done.

        Raises:
            OutputError: the disk is full, or the file is in use.
        """
        self._flush()
        tallies = self._tally()
        caption = scene_caption(
            self._info.parsed,
            tallies,
            pixel_size=self._info.pixel_size,
            share=share_analysed,
            partial=partial,
        )
        counts = tuple(
            QueryCount(t.query.object, t.query.direction, t.count, t.area_m2) for t in tallies
        )
        total = sum(query.count for query in counts)
        areas = areas_by_key(counts)
        run = {
            **self._run_row(),
            "caption": caption,
            "count": total,
            "counts": json.dumps(counts_by_key(counts), ensure_ascii=False),
            "areas_m2": json.dumps(areas, ensure_ascii=False) if areas else None,
            "area_analysed_m2": area_analysed_m2,
            "share_analysed": share_analysed,
            "device": device,
            "seconds": seconds,
            "warnings": json.dumps(list(warnings), ensure_ascii=False),
            "partial": int(partial),
        }
        regions = self._write(run)
        return WrittenChanges(tuple(regions), total, counts, caption)

    def abort(self) -> None:
        """Remove the temporary files."""
        with contextlib.suppress(sqlite3.Error):
            self._stage.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _run_row(self) -> dict[str, object]:
        info = self._info
        parse = {
            "explanation": info.parsed.explanation,
            "anything": info.parsed.anything,
            "queries": [
                {"object": query.object, "direction": query.direction}
                for query in info.parsed.queries
            ],
        }
        names = (
            "run_id",
            "created",
            "prompt",
            "before",
            "after",
            "date_before",
            "date_after",
            "system",
            "revision",
            "threshold",
            "min_area",
            "pixel_size",
        )
        row: dict[str, object] = {name: getattr(info, name) for name in names}
        row["told_pixel_size"] = info.user_pixel_size
        row["request"] = info.request or None
        if info.alignment:
            row["alignment"] = json.dumps(asdict(info.alignment))
        row["parse"] = json.dumps(parse, ensure_ascii=False)
        row["competing"] = ", ".join(info.parsed.hints.competing or ()) or None
        return row

    def _tally(self) -> list[Tally]:
        tallies = []
        georeferenced = self._info.pixel_size is not None
        parsed = self._info.parsed
        for index, (query, partners) in enumerate(zip(parsed.queries, parsed.partners)):
            rows = self._run_sql(
                "SELECT json_extract(facts, '$.position'), COUNT(*), SUM(size), "
                "SUM(json_extract(facts, '$.along') != ''), MAX(json_extract(facts, '$.along')) "
                "FROM region WHERE query = ? GROUP BY 1",
                (index,),
            ).fetchall()
            area = sum(row[2] for row in rows) if georeferenced else None
            positions = {row[0]: row[2] for row in rows}
            count, along = sum(row[1] for row in rows), sum(row[3] for row in rows)
            line = max((row[4] for row in rows), default="")
            tallies.append(Tally(query, count, area, positions, along, line, partners))
        return tallies

    def _write(self, run: dict[str, object]) -> list[Region]:
        part = os.path.join(self._folder, "changes.gpkg")
        with thread_options(OGR_SQLITE_SYNCHRONOUS="OFF"):
            regions, problem = gdal_call(self._fill, part, run)
        if problem or regions is None:
            raise self._failed(problem)
        try:
            os.replace(part, self._path)
        except OSError as error:
            raise self._failed(error) from error
        self.abort()
        return regions

    def _fill(self, path: str, run: dict[str, object]) -> Optional[list[Region]]:
        """Write both tables; None if that fails, and GDAL reports why."""
        source = ogr.GetDriverByName("GPKG").CreateDataSource(path)
        if source is None:
            return None
        options = [f"DESCRIPTION={run['caption']}", "GEOMETRY_NAME=geom", "FID=fid"]
        layer = source.CreateLayer(
            CHANGES, self._crs or undefined_crs(), ogr.wkbMultiPolygon, options=options
        )
        table = source.CreateLayer(
            RUNS, None, ogr.wkbNone, options=["ASPATIAL_VARIANT=GPKG_ATTRIBUTES"]
        )
        if layer is None or table is None:
            return None
        for target, fields in ((layer, CHANGE_FIELDS), (table, RUN_FIELDS)):
            for name, kind in fields:
                target.CreateField(ogr.FieldDefn(name, kind))
        kept: list[Region] = []
        indices = _indices(layer, CHANGE_FIELDS)
        layer.StartTransaction()
        rows = self._run_sql("SELECT facts, wkb FROM region ORDER BY size DESC, rowid")
        for number, (facts, wkb) in enumerate(rows, start=1):
            region = self._numbered(json.loads(facts), number)
            if number <= MAX_REGIONS_IN_RESULT:
                kept.append(region)
            feature = ogr.Feature(layer.GetLayerDefn())
            _set(feature, self._change_row(region), indices)
            feature.SetGeometryDirectly(ogr.CreateGeometryFromWkb(wkb))
            if layer.CreateFeature(feature) != 0:
                return None
        layer.CommitTransaction()
        row = ogr.Feature(table.GetLayerDefn())
        _set(row, run, _indices(table, RUN_FIELDS))
        return kept if table.CreateFeature(row) == 0 else None

    def _numbered(self, facts: dict[str, Any], number: int) -> Region:
        facts["bounds"] = tuple(facts["bounds"])
        region = Region(**{**facts, "change_id": number})
        return replace(region, caption=region_caption(region, self._info.pixel_size))

    def _change_row(self, region: Region) -> dict[str, object]:
        info = self._info
        names = (
            "change_id",
            "object",
            "direction",
            "from_class",
            "to_class",
            "score",
            "area_m2",
            "area_px",
            "caption",
        )
        row: dict[str, object] = {name: getattr(region, name) for name in names}
        row.update(
            prompt=info.prompt,
            before=os.path.basename(info.before),
            after=os.path.basename(info.after),
            date_before=info.date_before,
            date_after=info.date_after,
            system=info.system,
            revision=info.revision,
            run_id=info.run_id,
            created=info.created,
            status=UNREVIEWED,
        )
        return row

    def _flush(self) -> None:
        try:
            self._stage.executemany("INSERT INTO region VALUES (?, ?, ?, ?)", self._pending)
            self._stage.commit()
        except sqlite3.Error as error:
            raise self._failed(str(error)) from error
        self._pending.clear()

    def _run_sql(self, statement: str, values: tuple[object, ...] = ()) -> sqlite3.Cursor:
        try:
            return self._stage.execute(statement, values)
        except sqlite3.Error as error:
            raise self._failed(str(error)) from error

    def _failed(self, problem: Union[str, OSError]) -> ChangeScribeError:
        return could_not_write(self._shown_as, problem)


def _indices(layer: ogr.Layer, fields: Sequence[tuple[str, int]]) -> dict[str, int]:
    """Return the index of each field; GDAL's bindings take long to find one by its name."""
    definition = layer.GetLayerDefn()
    return {name: definition.GetFieldIndex(name) for name, _ in fields}


def _set(feature: ogr.Feature, row: dict[str, object], indices: dict[str, int]) -> None:
    """Set the fields of a feature; None becomes NULL."""
    for name, value in row.items():
        if value is None:
            feature.SetFieldNull(indices[name])
        else:
            feature.SetField(indices[name], value)
