# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes generated pairs as georeferenced files, with facts and captions."""

from __future__ import annotations

import contextlib
import json
import os
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from osgeo import gdal, ogr

from ..classes import CLASS_NAMES
from ..errors import CancelledError, InputError, OutputError
from ..raster.support import gdal_call, spatial_reference, thread_options
from ..request import APPEARED, REMOVED
from .layouts import LAYOUTS
from .scenes import ScenePair, synthesise
from .texts import SynthesisTexts

#: Red, green, blue of the label codes, for the colour table of label rasters.
LABEL_COLOURS = (
    (90, 90, 90),
    (220, 60, 50),
    (250, 215, 80),
    (25, 110, 40),
    (150, 205, 110),
    (50, 110, 220),
    (190, 150, 100),
)
LABEL_NAMES = ("other", *CLASS_NAMES)
#: Called with the number of pairs written and the total.
ProgressCallback = Callable[[int, int], None]

_DEFLATE = ("COMPRESS=DEFLATE", "PREDICTOR=2", "TILED=YES", "BLOCKXSIZE=256", "BLOCKYSIZE=256")
_LABEL = ("COMPRESS=DEFLATE", "TILED=YES", "BLOCKXSIZE=256", "BLOCKYSIZE=256")


def jpeg_options(quality: int) -> tuple[str, ...]:
    """Return creation options for a GeoTIFF with JPEG compression in YCbCr."""
    return (
        "COMPRESS=JPEG",
        f"JPEG_QUALITY={quality}",
        "PHOTOMETRIC=YCBCR",
        "TILED=YES",
        "BLOCKXSIZE=256",
        "BLOCKYSIZE=256",
    )


@dataclass(frozen=True)
class Place:
    """Where on Earth a scene lies.

    Attributes:
        crs_wkt: of a projected CRS in metres.
        left: x of the upper left corner.
        top: y of the upper left corner.
        pixel_size: metres.
    """

    crs_wkt: str
    left: float
    top: float
    pixel_size: float

    @property
    def geotransform(self) -> tuple[float, float, float, float, float, float]:
        """Return GDAL's geotransform."""
        return (self.left, self.pixel_size, 0.0, self.top, 0.0, -self.pixel_size)


def metric_crs(text: str) -> str:
    """Return the WKT of a projected CRS in metres.

    Raises:
        InputError: ``text`` is not a CRS, or its unit is not metres.
    """
    srs = spatial_reference(text)
    if not srs.IsProjected() or abs(srs.GetLinearUnits() - 1.0) > 1e-6:
        raise InputError(SynthesisTexts.bad_crs(crs=text))
    return str(srs.ExportToWkt())


@contextlib.contextmanager
def written_beside(path: Path) -> Iterator[Path]:
    """Provide a temporary name in the folder of ``path``, renamed to it at the end.

    Raises:
        OutputError: the folder cannot be written to.
    """
    temporary = path.with_name(f".{path.stem}-{uuid.uuid4().hex[:8]}{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        os.replace(temporary, path)
    except OSError as error:
        raise OutputError(SynthesisTexts.cannot_write(path=path), details=str(error)) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()


def write_raster(
    path: Path, pixels: NDArray[np.uint8], place: Place, options: Sequence[str], date: str = ""
) -> None:
    """Write an image (h, w, 3), or labels (h, w) with their colours, as a GeoTIFF.

    Raises:
        OutputError: it could not be written.
    """
    bands = pixels[..., None] if pixels.ndim == 2 else pixels
    dataset = gdal.GetDriverByName("MEM").Create(
        "", bands.shape[1], bands.shape[0], bands.shape[2], gdal.GDT_Byte
    )
    dataset.SetProjection(place.crs_wkt)
    dataset.SetGeoTransform(place.geotransform)
    if date:
        dataset.SetMetadataItem("TIFFTAG_DATETIME", date.replace("-", ":") + " 12:00:00")
    for i in range(bands.shape[2]):
        dataset.GetRasterBand(i + 1).WriteArray(np.ascontiguousarray(bands[..., i]))
    if pixels.ndim == 2:
        table = gdal.ColorTable()
        for code, colour in enumerate(LABEL_COLOURS):
            table.SetColorEntry(code, (*colour, 255))
        dataset.GetRasterBand(1).SetColorTable(table)
    with written_beside(path) as temporary, thread_options(GDAL_PAM_ENABLED="NO"):

        def copy() -> bool:
            made = gdal.GetDriverByName("GTiff").CreateCopy(
                str(temporary), dataset, 0, list(options)
            )
            return made is not None

        made, problem = gdal_call(copy)
        if not made or problem:
            raise OutputError(SynthesisTexts.cannot_write(path=path), details=problem)


def write_json(path: Path, content: object) -> None:
    """Write ``content`` as JSON.

    Raises:
        OutputError: it could not be written.
    """
    with written_beside(path) as temporary:
        temporary.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def fact_features(pair: ScenePair, place: Place) -> dict[str, Any]:
    """Return a GeoJSON feature collection of the changes, in the CRS of ``place``.

    Each feature has ``object, direction, from_class, to_class, area_px, area_m2, count``.
    """
    features: list[dict[str, Any]] = []
    for direction in (APPEARED, REMOVED):
        shapes = _polygons(pair.fact_numbers[direction], place)
        for number, geometry in sorted(shapes.items()):
            fact = pair.facts[number - 1]
            features.append(
                {
                    "type": "Feature",
                    "geometry": geometry,
                    "properties": {
                        "id": number,
                        "object": fact.object,
                        "direction": direction,
                        "from_class": fact.from_class,
                        "to_class": fact.to_class,
                        "area_px": fact.pixels,
                        "area_m2": round(fact.area_m2, 2),
                        "count": fact.count,
                    },
                }
            )
    features.sort(key=lambda f: f["properties"]["id"])
    authority = spatial_reference(place.crs_wkt).GetAuthorityCode(None)
    collection: dict[str, Any] = {"type": "FeatureCollection", "features": features}
    if authority:
        collection["crs"] = {
            "type": "name",
            "properties": {"name": f"urn:ogc:def:crs:EPSG::{authority}"},
        }
    return collection


def _polygons(numbers: NDArray[np.int32], place: Place) -> dict[int, dict[str, Any]]:
    """Return GeoJSON geometries of the numbered areas of a raster."""
    height, width = numbers.shape
    raster = gdal.GetDriverByName("MEM").Create("", width, height, 1, gdal.GDT_Int32)
    raster.SetGeoTransform(place.geotransform)
    band = raster.GetRasterBand(1)
    band.WriteArray(numbers)
    source = ogr.GetDriverByName("Memory").CreateDataSource("facts")
    layer = source.CreateLayer("facts", geom_type=ogr.wkbPolygon)
    layer.CreateField(ogr.FieldDefn("number", ogr.OFTInteger))
    _, problem = gdal_call(lambda: gdal.Polygonize(band, band, layer, 0, ["8CONNECTED=8"]))
    if problem:
        raise OutputError(SynthesisTexts.outline_fails(), details=problem)
    shapes: dict[int, dict[str, Any]] = {}
    for feature in layer:
        geometry = json.loads(feature.GetGeometryRef().ExportToJson())
        parts = geometry["coordinates"]
        empty = {"type": "MultiPolygon", "coordinates": []}
        known = shapes.setdefault(feature.GetField("number"), empty)
        known["coordinates"].extend([parts] if geometry["type"] == "Polygon" else parts)
    return shapes


def write_pair(
    folder: Path,
    name: str,
    pair: ScenePair,
    place: Place,
    dates: tuple[str, str],
) -> dict[str, Any]:
    """Write one pair into subfolders of ``folder``; return its entry for the list of scenes."""
    pictures, labels = (pair.before, pair.after), (pair.labels_before, pair.labels_after)
    for side, picture, label, date in zip(
        ("before", "after"), pictures, labels, dates, strict=True
    ):
        write_raster(folder / side / f"{name}.tif", picture, place, _DEFLATE, date)
        write_raster(folder / f"labels_{side}" / f"{name}.tif", label, place, _LABEL, date)
    write_json(folder / "facts" / f"{name}.geojson", fact_features(pair, place))
    return {
        "name": name,
        "seed": pair.seed,
        "layout": pair.layout,
        "pixel_size": pair.pixel_size,
        "date_before": dates[0],
        "date_after": dates[1],
        "captions": list(pair.captions),
        "changed": int(bool(pair.facts)),
        "changed_fraction": round(float(pair.changed.mean()), 5),
        "buildings": pair.changed_buildings,
    }


def write_pairs(
    out_dir: str | Path,
    n: int,
    seed: int = 0,
    size: int = 256,
    pixel_size: float | None = None,
    crs: str = "EPSG:32614",
    progress: ProgressCallback | None = None,
    layout: str | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> Path:
    """Write ``n`` generated pairs: images, labels, facts and captions.

    The folder contains ``before/NAME.tif``, ``after/NAME.tif`` (RGB), ``labels_before/NAME.tif``,
    ``labels_after/NAME.tif`` (codes with colours), ``facts/NAME.geojson`` and ``scenes.json``,
    a list with seed, dates, captions and counts of each pair.

    Args:
        out_dir: folder, created if missing; existing files are replaced.
        n: number of pairs.
        seed: of the first pair, at least 0, then counting up.
        size: pixels along each side.
        pixel_size: in metres; None draws one for each pair.
        crs: projected CRS of the files, in metres.
        progress: called after each pair.
        layout: name of a layout, or None for a mix.
        cancelled: called between pairs; True stops.

    Returns:
        Path of ``scenes.json``.

    Raises:
        InputError: an argument is out of range, or the CRS is not projected in metres.
        OutputError: a file could not be written.
        CancelledError: stopped; finished pairs are kept, without ``scenes.json``.
    """
    _check(n, seed, size, pixel_size, layout)
    wkt = metric_crs(crs)
    folder = Path(out_dir)
    entries = []
    for i in range(n):
        if cancelled is not None and cancelled():
            raise CancelledError(SynthesisTexts.cancelled(done=i, total=n, folder=folder))
        pair = synthesise(seed + i, size, pixel_size, layout)
        place, dates = _somewhere(seed + i, wkt, pair.pixel_size)
        entries.append(write_pair(folder, f"scene_{seed + i:06d}", pair, place, dates))
        if progress is not None:
            progress(i + 1, n)
    path = folder / "scenes.json"
    facts = {"generator": "changescribe synthesise", "classes": list(LABEL_NAMES), "crs": crs}
    write_json(path, {**facts, "scenes": entries})
    return path


def _check(n: int, seed: int, size: int, pixel_size: float | None, layout: str | None) -> None:
    if n < 1:
        raise InputError(SynthesisTexts.bad_count())
    if seed < 0:
        raise InputError(SynthesisTexts.bad_seed())
    if not 64 <= size <= 4096:
        raise InputError(SynthesisTexts.bad_size())
    if pixel_size is not None and not 0.2 <= pixel_size <= 10.0:
        raise InputError(SynthesisTexts.bad_pixel_size())
    if layout is not None and layout not in LAYOUTS:
        raise InputError(SynthesisTexts.no_layout(layout=layout, known=", ".join(LAYOUTS)))


def _somewhere(seed: int, wkt: str, pixel_size: float) -> tuple[Place, tuple[str, str]]:
    """Return a place and two dates for a seed, near the middle of a northern UTM zone."""
    rng = np.random.default_rng([seed, 4051])
    left = 560_000.0 + 100.0 * int(rng.integers(0, 1000))
    top = 3_300_000.0 + 100.0 * int(rng.integers(0, 2000))
    first = np.datetime64("2005-01-01") + int(rng.integers(0, 365 * 11))
    second = first + int(rng.integers(300, 365 * 8))
    return Place(wkt, left, top, pixel_size), (str(first), str(second))
