# SPDX-License-Identifier: GPL-3.0-or-later
"""Input and output of the engine, used by the dock, Processing and the command line."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Callable, Optional

from .errors import DependencyError, ErrorTexts

if TYPE_CHECKING:
    import geopandas

APPEARED = "appeared"
REMOVED = "removed"
CHANGED = "changed"

#: Values of the mask raster (output contract).
MASK_VALUES = {"unchanged": 0, APPEARED: 1, REMOVED: 2, CHANGED: 3}
MASK_NODATA = 255
#: ``score = value / SCORE_SCALE`` in the score raster; 255 is no data.
SCORE_SCALE = 254


@dataclass(frozen=True)
class Query:
    """One thing to look for.

    Attributes:
        object: noun phrase as the user wrote it, lower case, without verb ("roads").
        direction: ``"appeared"``, ``"removed"`` or ``"changed"`` (a system without direction).
    """

    object: str
    direction: str

    def __str__(self) -> str:
        return f"{self.object}|{self.direction}"


@dataclass(frozen=True)
class Hints:
    """What helps only some systems; the others ignore it.

    Attributes:
        competing: what else the ground may be, for systems that distinguish the object from such
            a list; None is the system's own list.
        partners: for each query, the other side of "X replaced by Y": the ground was (of what
            appeared) or became (of what was removed) one of these. Empty if no query has any.
        coarse: the pixels are, or may be, too large to show the shape of objects.
        sharp: images of unknown pixel size are sharp, also where the prompt is "anything
            changed"; otherwise those may be ``coarse``.
    """

    competing: Optional[tuple[str, ...]] = None
    partners: tuple[tuple[str, ...], ...] = ()
    coarse: bool = False
    sharp: bool = False


NO_HINTS = Hints()


@dataclass(frozen=True)
class ParsedPrompt:
    """A parsed prompt; always shown to the user.

    Attributes:
        text: the prompt as typed.
        queries: what will be looked for, in the order of the prompt, without duplicates.
            Empty only if ``anything`` is set, until the classes of the system are filled in.
        anything: the prompt asks for any change.
        explanation: one line for the user, such as "looks for: roads, appeared".
        unused: ignored parts of the prompt, such as "near the river"; also in the explanation.
        suggestion: the prompt that was probably meant, if words are misspelt; else "".
        english: the prompt in English if it is in another language; else "".
        hints: for the system.
    """

    text: str
    queries: tuple[Query, ...]
    anything: bool = False
    explanation: str = ""
    unused: tuple[str, ...] = ()
    suggestion: str = ""
    english: str = ""
    hints: Hints = NO_HINTS

    @property
    def partners(self) -> tuple[tuple[str, ...], ...]:
        """Partners of each query, see :class:`Hints`; as many as there are queries."""
        return self.hints.partners or ((),) * len(self.queries)


@dataclass(frozen=True)
class Extent:
    """A rectangle, in ``crs`` (any text that GDAL understands) or, if None, that of BEFORE."""

    xmin: float
    ymin: float
    xmax: float
    ymax: float
    crs: Optional[str] = None


@dataclass(frozen=True)
class Area:
    """An area of interest: polygons as WKT in ``crs`` (None: that of BEFORE)."""

    wkt: str
    crs: Optional[str] = None


@dataclass(frozen=True)
class ChangeRequest:
    """Input of a detection.

    Attributes:
        before: path (or GDAL connection string) of the earlier raster.
        after: the later raster.
        prompt: what changed, in words.
        output: path of the GeoPackage; the rasters go beside it as ``OUT_mask.tif`` and
            ``OUT_score.tif`` unless ``mask`` and ``score`` name other places.
        system: name in the registry of :mod:`changescribe.engine.systems`.
        extent: rectangle to analyse; None is the overlap of both rasters.
        area: polygons to analyse; pixels outside become no data.
        bands_before: 1-based band numbers of red, green and blue; None: chosen automatically.
        bands_after: the same for ``after``.
        crs_before: CRS of ``before`` if that in the file is wrong or missing.
        crs_after: the same for ``after``.
        threshold: minimum score of change, in (0, 1).
        min_area: smallest region in m2; None: the larger of 20 m2 and 4 pixels. Unless it is 0,
            roads, paths and other lines shorter than 25 m are left out too.
        crs: CRS of the polygons; None is that of BEFORE.
        device: ``"auto"``, ``"cpu"`` or ``"cuda"``.
        overwrite: replace existing outputs.
        date_before: ISO date written to the attributes; None: from the raster's metadata or name.
        date_after: the same for ``after``.
        simplify: tolerance in pixels of the output grid; 0 keeps the pixel outline.
        pixel_size: pixel size of ``before`` in metres, if the raster has none; areas stay in
            pixels.
        hints: what helps only some systems.
        nodata: one of :data:`NODATA_MODES`.
        nodata_before: further values (lowest, highest) of ``before`` that are no data, as QGIS's
            additional no data values.
        nodata_after: the same for ``after``.
        mask_before: quality raster of ``before`` as ``FILE[:values]``, see
            :class:`.raster.comparison.quality.QualityMask`; where it hides the ground is no data.
        mask_after: the same for ``after``.
        clouds: ``"auto"`` leaves out clouds and their shadows in 16-bit rasters, see
            :mod:`.raster.comparison.clouds`; ``"off"`` does not.
        align: what to do about a shift between the rasters: ``"report"`` measures it, ``"auto"``
            also moves AFTER, ``"off"`` does neither.
        outlines: ``"auto"`` gives buildings right angles where pixels are 1 m or finer, see
            :mod:`.regions.regular`; ``"free"`` does not.
        resume: go on with the same run of the same output that was cancelled or killed.
        remember: keep what does not depend on the prompt, so that other prompts about the pair are
            answered sooner, and use what was kept, see :mod:`.memory`.
    """

    before: str
    after: str
    prompt: str
    output: str
    system: str = "bundled"
    extent: Optional[Extent] = None
    area: Optional[Area] = None
    bands_before: Optional[tuple[int, ...]] = None
    bands_after: Optional[tuple[int, ...]] = None
    crs_before: Optional[str] = None
    crs_after: Optional[str] = None
    threshold: float = 0.5
    min_area: Optional[float] = None
    crs: Optional[str] = None
    device: str = "auto"
    overwrite: bool = False
    date_before: Optional[str] = None
    date_after: Optional[str] = None
    mask: Optional[str] = None
    score: Optional[str] = None
    simplify: float = 0.7
    pixel_size: Optional[float] = None
    hints: Hints = NO_HINTS
    nodata: str = "auto"
    nodata_before: tuple[tuple[float, float], ...] = ()
    nodata_after: tuple[tuple[float, float], ...] = ()
    mask_before: Optional[str] = None
    mask_after: Optional[str] = None
    clouds: str = "auto"
    align: str = "report"
    outlines: str = "auto"
    resume: bool = False
    remember: bool = True


@dataclass(frozen=True)
class Alignment:
    """How far AFTER is shifted against BEFORE, in pixels of BEFORE, and what was done about it.

    Attributes:
        state: ``"aligned"``, ``"shifted"``, ``"moved"`` (shifted, and made up for) or
            ``"unknown"``.
        text: the same for the user.
        dx_px: to the right at the centre.
        dy_px: downwards at the centre.
        shift_px: root mean square length over the area.
        shift_m: the same in metres; None without georeference.
        rotation_deg: clockwise.
        spread_px: root mean square distance of the blocks that agree from the fit.
        blocks: blocks measured.
        usable: those of them whose images match.
        agreeing: those of them that agree with the fit.
    """

    state: str
    text: str = ""
    dx_px: float = 0.0
    dy_px: float = 0.0
    shift_px: float = 0.0
    shift_m: Optional[float] = None
    rotation_deg: float = 0.0
    spread_px: float = 0.0
    blocks: int = 0
    usable: int = 0
    agreeing: int = 0


@dataclass(frozen=True)
class Region:
    """One changed region, as in a row of the layer ``changes``.

    Attributes:
        change_id: number from 1, by descending area.
        object: noun phrase of the query that was found.
        direction: ``"appeared"``, ``"removed"`` or ``"changed"``.
        from_class: class on the earlier date, or None if the system reports none.
        to_class: class on the later date, or None.
        score: mean score in [0, 1].
        area_m2: geodesic area in square metres; None without georeference.
        area_px: area in pixels of the mask.
        length_m: length in metres along the region, for line-like objects; else None.
        position: place in the area analysed, a compass point ("north-east") or "centre".
        bounds: xmin, ymin, xmax, ymax in the CRS of the layer.
        caption: one sentence.
        along: the new line that a building appeared along ("roads"); else "".
    """

    change_id: int
    object: str
    direction: str
    from_class: Optional[str]
    to_class: Optional[str]
    score: float
    area_m2: Optional[float]
    area_px: int
    length_m: Optional[float]
    position: str
    bounds: tuple[float, float, float, float]
    caption: str = ""
    along: str = ""


@dataclass(frozen=True)
class QueryCount:
    """What a run found for one query.

    Attributes:
        count: number of regions.
        area_m2: their area in square metres; None without georeference.
    """

    object: str
    direction: str
    count: int
    area_m2: Optional[float] = None

    def __str__(self) -> str:
        return f"{self.object}|{self.direction}"


class Stage(Enum):
    """What a run is doing. The values are the keys of ``ChangeResult.timings_s``."""

    READING = "reading"
    LOADING = "loading"
    DETECTING = "detecting"
    #: Scores to the pixels of BEFORE.
    RESAMPLING = "resampling"
    OUTLINING = "outlining"
    WRITING = "writing"
    CAPTIONING = "captioning"
    DONE = "done"


@dataclass(frozen=True)
class Progress:
    """How far a run is.

    Attributes:
        fraction: of the whole run, in [0, 1].
        tile: number of the current tile (or caption), from 1; 0 outside the tile loop.
        tiles: number of tiles; 0 outside the tile loop.
        seconds_left: estimate, or None if there is none yet.
    """

    stage: Stage
    fraction: float
    tile: int = 0
    tiles: int = 0
    seconds_left: Optional[float] = None


@dataclass(frozen=True, repr=False)
class ChangeResult:
    """Output of a run, which may be partial.

    Attributes:
        run_id: unique text; also in every row of ``changes`` and in ``runs``.
        parse: the prompt, with "anything" resolved to the system's classes.
        regions: the largest regions (at most :data:`MAX_REGIONS_IN_RESULT`); all are in ``gpkg``.
        count: number of regions in ``gpkg``.
        counts: number and area of the regions of each query, including queries without any.
        caption: the scene in one or two sentences.
        area_analysed_m2: None without georeference.
        share_analysed: share of the requested area (or else of the overlap) that was analysed, in
            [0, 1]; None if it is unknown.
        revision: of the system's weights.
        device: the device used, and why ("CPU (2 threads): no CUDA provider").
        date_before: ISO date of the earlier raster, if known.
        date_after: the same for the later raster.
        timings_s: seconds per stage, and ``"total"``.
        warnings: sentences for the user.
        partial: the run was cancelled; the finished part is in the files.
        alignment: the shift between the rasters; None if it was not measured.
        remembered: the pair was remembered: no pixel of it was read.
        hidden: share of the area that is left out, in [0, 1], by what hides it: ``"mask_before"``,
            ``"clouds_before"``, ``"shadows_before"``, the same for ``after``. ``"dark_before"`` and
            ``"dark_after"`` are deep shadow, which is not left out.
    """

    run_id: str
    gpkg: str
    mask: str
    score: str
    parse: ParsedPrompt
    regions: tuple[Region, ...]
    count: int
    counts: tuple[QueryCount, ...]
    caption: str
    area_analysed_m2: Optional[float]
    system: str
    revision: str
    device: str
    date_before: Optional[str] = None
    date_after: Optional[str] = None
    share_analysed: Optional[float] = None
    timings_s: dict[str, float] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    partial: bool = False
    alignment: Optional[Alignment] = None
    hidden: dict[str, float] = field(default_factory=dict)
    remembered: bool = False

    @property
    def paths(self) -> dict[str, Path]:
        """The files by kind: ``"gpkg"``, ``"mask"``, ``"score"``."""
        return {"gpkg": Path(self.gpkg), "mask": Path(self.mask), "score": Path(self.score)}

    def __repr__(self) -> str:
        caption = " ".join(self.caption.split())
        return "\n".join((caption, *(f"  {kind}: {text}" for kind, text in self._summary())))

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><th>{escape(kind)}</th><td>{escape(text)}</td></tr>"
            for kind, text in self._summary()
        )
        return f"<p>{escape(self.caption)}</p><table>{rows}</table>"

    def _summary(self) -> list[tuple[str, str]]:
        """Return four rows about the run."""
        seconds = self.timings_s.get("total")
        facts = (
            f"{self.system} on {self.device}",
            "" if seconds is None else f"{seconds:.1f} s",
            "cancelled, partly finished" if self.partial else "",
            f"warnings: {len(self.warnings)}" if self.warnings else "",
        )
        return [
            ("changes", f"{self.gpkg} ({self.count})"),
            ("mask", self.mask),
            ("score", self.score),
            ("run", "; ".join(fact for fact in facts if fact)),
        ]

    def to_geodataframe(self) -> geopandas.GeoDataFrame:
        """Return the layer ``changes`` as a :class:`geopandas.GeoDataFrame`.

        Raises:
            DependencyError: geopandas is not installed.
        """
        try:
            import geopandas
        except ImportError as error:
            raise DependencyError(ErrorTexts.no_geopandas(), details=str(error)) from error
        return geopandas.read_file(self.gpkg, layer="changes")


MAX_REGIONS_IN_RESULT = 1000
#: Values of ``ChangeRequest.device``.
DEVICES = ("auto", "cpu", "cuda")
#: How invalid pixels are found: nodata values, mask and alpha band, unless its values are those of
#: an image, and black or white collars and gaps of files that mark nothing; the alpha band whatever
#: its values; without the alpha band; not at all.
NODATA_AUTO, NODATA_ALPHA, NODATA_MASK, NODATA_NONE = ("auto", "alpha", "mask", "none")
NODATA_MODES = (NODATA_AUTO, NODATA_ALPHA, NODATA_MASK, NODATA_NONE)
#: Values of ``ChangeRequest.clouds``.
CLOUD_MODES = ("auto", "off")
#: Values of ``ChangeRequest.align``.
ALIGN_MODES = ("report", "auto", "off")
#: Values of ``ChangeRequest.outlines``.
OUTLINE_MODES = ("auto", "free")

#: Called by the pipeline from its own thread, several times a second at most.
ProgressCallback = Callable[[Progress], None]
#: Asked between tiles; True stops the run after the tile in work.
CancelledCallback = Callable[[], bool]
