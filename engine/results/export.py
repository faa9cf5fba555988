# SPDX-License-Identifier: GPL-3.0-or-later
"""Changes as a shapefile, GeoJSON or GeoPackage for other programs."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Callable, Optional

from osgeo import gdal, ogr, osr

from ..errors import InputError, OutputError
from ..raster.offline import open_file
from ..raster.support import gdal_call, thread_options
from ..writing import WritingTexts, could_not_write
from .changes_layer import CHANGES, RUNS, known_crs, undefined_crs
from .crs import storable_crs
from .journal import Claim, commit, recover
from .texts import ResultsTexts

#: Names of at most ten characters, the limit of a shapefile. A test checks that they are unique
#: and that every field of ``changes`` has one.
SHAPEFILE_NAMES: dict[str, str] = {
    "change_id": "change_id",
    "prompt": "prompt",
    "object": "object",
    "direction": "direction",
    "from_class": "from_class",
    "to_class": "to_class",
    "score": "score",
    "area_m2": "area_m2",
    "area_px": "area_px",
    "caption": "caption",
    "before": "before",
    "after": "after",
    "date_before": "date_bef",
    "date_after": "date_aft",
    "system": "system",
    "revision": "revision",
    "run_id": "run_id",
    "created": "created",
    "status": "status",
}
#: Bytes of text in a field of a shapefile.
TEXT_BYTES = 254
#: Maximum size in bytes of each part of a shapefile (.shp, .dbf).
_SHAPEFILE_BYTES = 2**31 - 1
_WIDTHS = {"score": (8, 4), "area_m2": (20, 1), "change_id": (12, 0), "area_px": (15, 0)}
#: Decimal places in formats that people read; a GeoPackage keeps all.
_DIGITS = {"area_m2": 1}
_DRIVERS = {".shp": "ESRI Shapefile", ".geojson": "GeoJSON", ".json": "GeoJSON", ".gpkg": "GPKG"}
#: All files of a shapefile: its indices and metadata would not fit a new one.
_SHAPEFILE_PARTS = (
    ".shp",
    ".shx",
    ".dbf",
    ".prj",
    ".cpg",
    ".cst",
    ".idm",
    ".ind",
    ".qix",
    ".sbn",
    ".sbx",
    ".qmd",
    ".shp.xml",
    ".qpj",
    "_captions.csv",
)


def export(
    gpkg: str,
    out: str,
    *,
    overwrite: bool = False,
    min_score: Optional[float] = None,
    statuses: Sequence[str] = (),
) -> tuple[str, ...]:
    """Write the changes of a run in another format.

    Args:
        gpkg: as :mod:`changescribe.engine.results.changes_layer` writes it.
        out: ``.shp``, ``.geojson`` or ``.gpkg``. A shapefile gets a ``.cpg`` (UTF-8) and,
            if a text was cut to 254 bytes, ``<name>_captions.csv`` with the full captions.
            GeoJSON is in WGS 84 (RFC 7946) if the changes have a CRS.
        overwrite: replace an existing file, including all parts of a shapefile.
        min_score: drop changes with a lower score.
        statuses: keep only changes with one of these; empty keeps all.

    Returns:
        Warnings for the user.

    Raises:
        InputError: the GeoPackage cannot be read, the output exists, or its folder is missing or
            not writable.
        OutputError: the result could not be written; nothing is left behind.
    """
    target = Path(os.path.abspath(out))
    # OGR gives its own parts lower-case endings.
    target = target.with_suffix(target.suffix.lower()) if target.suffix else target
    driver = _DRIVERS.get(target.suffix)
    if driver is None:
        raise InputError(ResultsTexts.no_export_format(name=target.name))
    source = _open(gpkg)
    if target.exists() and target.samefile(gpkg):
        raise InputError(ResultsTexts.replaces_source())
    layer = source.GetLayerByName(CHANGES)
    layer.SetAttributeFilter(_filter(min_score, statuses))
    write = {"ESRI Shapefile": _shapefile, "GeoJSON": _geojson, "GPKG": _geopackage}[driver]
    with Claim(target, overwrite, _parts(target)) as claim:
        try:
            warnings = write(source, layer, claim.new / target.name)
        except OSError as error:
            raise could_not_write(target, error) from error
        finally:
            layer.SetAttributeFilter(None)
        commit(claim)
    return warnings


def _open(path: str) -> gdal.Dataset:
    recover(Path(path))
    source, problem = open_file(path, gdal.OF_VECTOR | gdal.OF_READONLY)
    if source is None and "locked" in problem:
        raise InputError(WritingTexts.in_use(path=path), details=problem)
    if source is None:
        raise InputError(ResultsTexts.cannot_open(path=path), details=problem)
    layer, _ = gdal_call(source.GetLayerByName, CHANGES)
    if layer is None:
        raise InputError(ResultsTexts.no_layer(path=path, layer=CHANGES))
    return source


def _filter(min_score: Optional[float], statuses: Sequence[str]) -> Optional[str]:
    terms = []
    if min_score is not None:
        terms.append(f"score >= {float(min_score)!r}")
    if statuses:
        quoted = ", ".join("'" + status.replace("'", "''") + "'" for status in statuses)
        terms.append(f"status IN ({quoted})")
    return " AND ".join(terms) or None


def _parts(target: Path) -> list[str]:
    """Return the names of all files that an export to ``target`` replaces."""
    if target.suffix != ".shp":
        return [target.name]
    return [target.stem + ending for ending in _SHAPEFILE_PARTS]


def _write(fill: Callable[[], bool]) -> None:
    """Run GDAL calls that write a file; an error of GDAL is an OSError."""
    with thread_options(GDAL_PAM_ENABLED="NO"):
        done, problem = gdal_call(fill)
    if problem or not done:
        raise OSError(problem)


def _fields(layer: ogr.Layer) -> list[tuple[str, int]]:
    """Return name and type of the fields, including those that the user added."""
    definition = layer.GetLayerDefn()
    fields = [definition.GetFieldDefn(i) for i in range(definition.GetFieldCount())]
    return [(field.GetName(), field.GetType()) for field in fields]


def shapefile_names(names: Sequence[str]) -> dict[str, str]:
    """Return a unique name of at most ten characters for each field of the layer."""
    given: dict[str, str] = {}
    used: set[str] = set()
    for name in sorted(names, key=lambda name: name not in SHAPEFILE_NAMES):
        short = SHAPEFILE_NAMES.get(name, name.encode("ascii", "replace").decode()[:10])
        number = 1
        while short.lower() in used:
            short = f"{short[: 9 - len(str(number))]}_{number}"
            number += 1
        used.add(short.lower())
        given[name] = short
    return given


def cut_text(text: str, limit: int = TEXT_BYTES) -> str:
    """Cut a text between two characters to a number of UTF-8 bytes."""
    return text.encode("utf-8")[:limit].decode("utf-8", "ignore")


def _shapefile_crs(
    layer: ogr.Layer,
) -> tuple[Optional[osr.SpatialReference], Optional[osr.CoordinateTransformation]]:
    """Return a CRS that a .prj file can store, and the transformation to it if it is another."""
    crs = known_crs(layer)
    if crs is None:
        return None, None
    crs = crs.Clone()
    crs.SetAxisMappingStrategy(osr.OAMS_TRADITIONAL_GIS_ORDER)
    xmin, xmax, ymin, ymax = layer.GetExtent()
    centre = ((xmin + xmax) / 2, (ymin + ymax) / 2)
    stored, replaced = storable_crs(crs, "ESRI Shapefile", centre)
    return stored, osr.CoordinateTransformation(crs, stored) if replaced else None


def _shapefile(_source: gdal.Dataset, layer: ogr.Layer, path: Path) -> tuple[str, ...]:
    fields = _fields(layer)
    names = shapefile_names([name for name, _ in fields])
    widths = _text_widths(layer, fields)
    cut: set[str] = set()
    crs, move = _shapefile_crs(layer)

    def fill() -> bool:
        driver = ogr.GetDriverByName("ESRI Shapefile")
        target = driver.CreateDataSource(str(path))
        made = target.CreateLayer(path.stem, crs, ogr.wkbPolygon, options=["ENCODING=UTF-8"])
        for name, kind in fields:
            made.CreateField(_shapefile_field(names[name], name, kind, widths.get(name)))
        definition = made.GetLayerDefn()
        for feature in _features(layer):
            copy = ogr.Feature(definition)
            copy.SetGeometry(feature.GetGeometryRef())
            if move is not None and copy.GetGeometryRef().Transform(move) != 0:
                return False
            for index, (name, kind) in enumerate(fields):
                if feature.IsFieldSetAndNotNull(index):
                    copy.SetField(index, _value(feature, index, kind, name, cut))
            if made.CreateFeature(copy) != 0:
                return False
        return True

    _write(fill)
    path.with_suffix(".cpg").write_text("UTF-8", encoding="ascii")
    for part in (path, path.with_suffix(".dbf")):
        if part.stat().st_size > _SHAPEFILE_BYTES:
            raise OutputError(ResultsTexts.too_large())
    moved = () if move is None else (ResultsTexts.crs_not_storable(),)
    if not cut:
        return moved
    sidecar = path.with_name(f"{path.stem}_captions.csv")
    _write_captions(layer, sidecar)
    listed = ", ".join(sorted(cut))
    return (*moved, ResultsTexts.cut_texts(bytes=TEXT_BYTES, fields=listed, name=sidecar.name))


def _text_widths(layer: ogr.Layer, fields: Sequence[tuple[str, int]]) -> dict[str, int]:
    """Return the bytes that each text field needs, since every row of a .dbf takes all of them."""
    widths = {name: 1 for name, kind in fields if kind == ogr.OFTString}
    for feature in _features(layer):
        for name, width in widths.items():
            needed = len((feature.GetField(name) or "").encode("utf-8"))
            widths[name] = min(max(width, needed), TEXT_BYTES)
    return widths


def _shapefile_field(short: str, name: str, kind: int, text_width: Optional[int]) -> ogr.FieldDefn:
    field = ogr.FieldDefn(short, kind)
    if text_width is not None:
        field.SetWidth(text_width)
    elif name in _WIDTHS:
        width, precision = _WIDTHS[name]
        field.SetWidth(width)
        field.SetPrecision(precision)
    return field


def _features(layer: ogr.Layer) -> Iterator[ogr.Feature]:
    layer.ResetReading()
    feature = layer.GetNextFeature()
    while feature is not None:
        yield feature
        feature = layer.GetNextFeature()


def _value(feature: ogr.Feature, index: int, kind: int, name: str, cut: set[str]) -> object:
    if kind in (ogr.OFTInteger, ogr.OFTInteger64):
        return feature.GetFieldAsInteger64(index)
    if kind == ogr.OFTReal:
        return feature.GetFieldAsDouble(index)
    text = feature.GetFieldAsString(index)
    short = cut_text(text)
    if short != text:
        cut.add(name)
    return short


def _write_captions(layer: ogr.Layer, path: Path) -> None:
    # Spreadsheets need the byte order mark to read UTF-8.
    with path.open("w", encoding="utf-8-sig", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("change_id", "caption", "prompt"))
        for feature in _features(layer):
            writer.writerow(
                (
                    feature.GetField("change_id"),
                    _cell(feature.GetField("caption")),
                    _cell(feature.GetField("prompt")),
                )
            )


def _cell(text: Optional[str]) -> str:
    """Return a text that spreadsheets do not run as a formula (OWASP, CSV injection)."""
    text = text or ""
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text


def _geojson(_source: gdal.Dataset, layer: ogr.Layer, path: Path) -> tuple[str, ...]:
    options = ["WRITE_BBOX=YES"]
    if known_crs(layer) is not None:
        # The driver transforms to WGS 84, and orients and cuts rings as RFC 7946 demands.
        options.append("RFC7946=YES")
    _write(lambda: _copy(layer, "GeoJSON", path, options))
    if known_crs(layer) is None:
        return (ResultsTexts.no_degrees(),)
    return ()


def _geopackage(source: gdal.Dataset, layer: ogr.Layer, path: Path) -> tuple[str, ...]:
    _write(lambda: _copy(layer, "GPKG", path, ["GEOMETRY_NAME=geom"]))
    runs, _ = gdal_call(source.GetLayerByName, RUNS)
    if runs is not None:
        _write(lambda: _add_runs(runs, path))
    return ()


def _copy(layer: ogr.Layer, driver: str, path: Path, options: Sequence[str]) -> bool:
    target = ogr.GetDriverByName(driver).CreateDataSource(str(path))
    crs = known_crs(layer)
    if crs is None and driver == "GPKG":
        crs = undefined_crs()
    made = target.CreateLayer(CHANGES, crs, ogr.wkbMultiPolygon, options=list(options))
    return _copy_features(layer, made, _DIGITS if driver == "GeoJSON" else None)


def _add_runs(runs: ogr.Layer, path: Path) -> bool:
    target = gdal.OpenEx(str(path), gdal.OF_VECTOR | gdal.OF_UPDATE)
    made = target.CreateLayer(RUNS, None, ogr.wkbNone, ["ASPATIAL_VARIANT=GPKG_ATTRIBUTES"])
    return _copy_features(runs, made)


def _copy_features(
    layer: ogr.Layer, made: ogr.Layer, digits: Optional[dict[str, int]] = None
) -> bool:
    definition = layer.GetLayerDefn()
    for index in range(definition.GetFieldCount()):
        made.CreateField(definition.GetFieldDefn(index))
    rounded = {
        name: places
        for name, places in (digits or {}).items()
        if definition.GetFieldIndex(name) >= 0
    }
    transaction = made.TestCapability(ogr.OLCTransactions)
    if transaction:
        made.StartTransaction()
    for feature in _features(layer):
        copy = ogr.Feature(made.GetLayerDefn())
        copy.SetFrom(feature)
        for name, places in rounded.items():
            value = feature.GetField(name)
            if value is not None:
                copy.SetField(name, round(value, places))
        if made.CreateFeature(copy) != 0:
            return False
    return not transaction or made.CommitTransaction() == 0
