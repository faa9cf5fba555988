# SPDX-License-Identifier: GPL-3.0-or-later
"""Outlines of regions on pixel edges, and their simplification.

Coordinates are (column, row), corners of pixels, so whole numbers until an outline
is simplified. Exteriors run down their left side, along the bottom and up, which is
counter-clockwise on a map with north up; holes run the other way.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

import numpy as np
from osgeo import ogr

from .raster.support import checked
from .runs import Runs, label_runs

#: A polygon: its exterior, then its holes; each (N, 2), not closed.
Polygon = list[np.ndarray]

#: Parts of the tolerance that are tried until no corner of the outline is too far off.
_ATTEMPTS = (1.0, 0.7, 0.5, 0.3)


def trace(runs: Runs, label: np.ndarray, count: int) -> list[list[Polygon]]:
    """Trace the outlines of components.

    Args:
        runs: sorted by row, then by column; whole components only.
        label: (N,) component of each run, from 0.
        count: number of components.

    Returns:
        For each component its polygons; parts that touch only at corners are polygons of
        their own, so that each is valid.
    """
    part, parts = label_runs(runs, diagonal=False)
    owner = np.zeros(parts, dtype=np.int64)
    owner[part] = label
    exteriors: list[list[np.ndarray]] = [[] for _ in range(parts)]
    holes: list[list[np.ndarray]] = [[] for _ in range(parts)]
    for index, ring in _rings(runs, part):
        (exteriors if _signed_area(ring) < 0 else holes)[index].append(ring)
    found: list[list[Polygon]] = [[] for _ in range(count)]
    for index in range(parts):
        found[owner[index]].append(exteriors[index] + holes[index])
    return found


def _rings(runs: Runs, part: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    """Yield (part, ring) for all rings, in corners only, none of which touches itself."""
    x, y_out, following = _links(runs, part)
    turns = x != x[following]
    # Skip vertical stretches: after k rounds a pointer has jumped over 2^k straight edges.
    jump = np.where(turns, np.arange(len(x)), following)
    while True:
        further = jump[jump]
        if np.array_equal(further, jump):
            break
        jump = further
    nodes = np.flatnonzero(turns)
    number = np.zeros(len(x), dtype=np.int64)
    number[nodes] = np.arange(len(nodes))
    order, starts = _cycles(number[jump[following[nodes]]].tolist())
    edges = nodes[order]
    corners = np.empty((len(edges), 2, 2), dtype=np.int64)
    corners[:, 0, 0], corners[:, 1, 0] = x[edges], x[following[edges]]
    corners[:, :, 1] = y_out[edges][:, None]
    for begin, end in zip(starts, [*starts[1:], len(edges)]):
        ring = corners[begin:end].reshape(-1, 2)
        for simple in _untangle(ring):
            yield int(part[edges[begin] // 2]), simple


def _links(runs: Runs, part: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Chain the vertical sides of runs to cycles around their part.

    Side 2r is the left one of run r, passed downwards, side 2r + 1 the right one, passed
    upwards. On each line between two rows, the ends of a part's sides, sorted by x, pair
    up: between the first and the second lies a piece of outline, between the third and
    the fourth the next. Where two ends coincide diagonally, the right side comes first,
    which keeps the outline on the pixel that it comes from.

    Returns:
        x of each side, row where it is left, index of the side that follows.
    """
    n = len(runs)
    x = np.column_stack([runs.x0, runs.x1]).ravel()
    top = np.repeat(runs.row, 2)
    is_right = np.arange(2 * n) % 2
    side = np.concatenate([np.arange(2 * n)] * 2)
    row = np.concatenate([top, top + 1])
    leaves = np.concatenate([is_right == 1, is_right == 0])
    order = np.lexsort((1 - is_right[side], x[side], row, part[side // 2]))
    first, second = order[0::2], order[1::2]
    out = np.where(leaves[first], first, second)
    into = np.where(leaves[first], second, first)
    following = np.empty(2 * n, dtype=np.int64)
    following[side[out]] = side[into]
    return x, np.where(is_right == 1, top, top + 1), following


def _cycles(following: list[int]) -> tuple[np.ndarray, list[int]]:
    """Walk a permutation: its elements cycle by cycle, and where each cycle starts."""
    seen = bytearray(len(following))
    order: list[int] = []
    starts: list[int] = []
    for first in range(len(following)):
        if seen[first]:
            continue
        starts.append(len(order))
        node = first
        while not seen[node]:
            seen[node] = 1
            order.append(node)
            node = following[node]
    return np.array(order, dtype=np.int64), starts


def _untangle(ring: np.ndarray) -> list[np.ndarray]:
    """Split a ring where it touches itself, so that every piece is simple."""
    width = int(ring[:, 0].max()) + 1
    keys = ring[:, 1] * width + ring[:, 0]
    if len(np.unique(keys)) == len(keys):
        return [ring]
    pieces: list[np.ndarray] = []
    stack: list[int] = []
    place: dict[int, int] = {}
    for index, key in enumerate(keys.tolist()):
        if key in place:
            since = place[key]
            pieces.append(ring[stack[since:]])
            for dropped in stack[since:]:
                del place[int(keys[dropped])]
            del stack[since:]
        place[key] = len(stack)
        stack.append(index)
    return [*pieces, ring[stack]]


def _signed_area(ring: np.ndarray) -> float:
    """Twice the area, negative for an exterior (rows grow downwards)."""
    x, y = ring[:, 0], ring[:, 1]
    return float((x * np.roll(y, -1) - np.roll(x, -1) * y).sum())


def simplify(polygons: list[Polygon], tolerance: float) -> list[Polygon]:
    """Smooth the steps of an outline and leave out what is nearly straight.

    Steps of one pixel are replaced by their middles, so that a slanting edge becomes
    straight, then vertices are left out while topology stays (GEOS). Each corner of the
    outline is then measured against the edge that replaced it: none is moved by more
    than the tolerance. Corners between longer edges stay where they are.

    Args:
        polygons: of one component, as :func:`trace` returns them.
        tolerance: in pixels; 0 returns ``polygons``.

    Returns:
        Valid polygons; the outline itself where nothing simpler is valid.
    """
    if tolerance <= 0:
        return polygons
    paths = [[_Path(ring, smooth=tolerance >= 0.5) for ring in polygon] for polygon in polygons]
    for smoothed in ([[path.kept for path in polygon] for polygon in paths], polygons):
        geometry = ogr.CreateGeometryFromWkb(to_wkb(smoothed))
        if not geometry.IsValid():
            continue
        for part in _ATTEMPTS:
            simple, _ = checked(lambda t=part * tolerance: geometry.SimplifyPreserveTopology(t))
            if simple is None or simple.IsEmpty() or not simple.IsValid():
                continue
            rings = from_wkb(bytes(simple.ExportToWkb(ogr.wkbNDR)))
            if _near(paths, rings, tolerance + 1e-6):
                return rings
        if smoothed is not polygons:
            return smoothed
    return polygons


class _Path:
    """An outline ring with the points that may stay: corners, and middles of steps."""

    def __init__(self, ring: np.ndarray, *, smooth: bool) -> None:
        step = np.roll(ring, -1, axis=0) - ring
        back = np.roll(step, 1, axis=0)
        turn = np.sign(back[:, 0] * step[:, 1] - back[:, 1] * step[:, 0])
        # A step: one pixel long, left at one end and right at the other.
        is_step = (np.abs(step).sum(axis=1) == 1) & (turn * np.roll(turn, -1) < 0) & smooth
        corner = ~(is_step | np.roll(is_step, 1))
        points = np.empty((2 * len(ring), 2))
        points[0::2], points[1::2] = ring, ring + step / 2
        real = np.ones(2 * len(ring), dtype=bool)
        real[1::2] = is_step
        kept = np.zeros(2 * len(ring), dtype=bool)
        kept[0::2], kept[1::2] = corner, is_step
        points, kept = points[real], kept[real]
        # Start at a corner of the hull, which stays whatever is left out.
        candidates = np.flatnonzero(kept)
        begin = candidates[np.argmin(points[candidates].sum(axis=1))]
        self.points = np.roll(points, -begin, axis=0)
        self.kept = self.points[np.roll(kept, -begin)]

    def farthest(self, ring: np.ndarray) -> float:
        """Return the largest distance of a point of the outline from the edge over it."""
        place = {tuple(point): index for index, point in enumerate(self.points.tolist())}
        stops = [place.get(tuple(point), -1) for point in ring.tolist()]
        if min(stops) < 0:
            return float("inf")
        first = stops.index(min(stops))
        stops = stops[first:] + stops[:first]
        if any(b <= a for a, b in zip(stops, stops[1:])):
            return float("inf")
        span = np.searchsorted(stops, np.arange(len(self.points)), side="right") - 1
        begin = self.points[np.array(stops)[span]]
        end = self.points[np.array(stops)[(span + 1) % len(stops)]]
        along = end - begin
        offset = self.points - begin
        squared = np.maximum((along**2).sum(axis=1), 1e-12)
        t = np.clip((offset * along).sum(axis=1) / squared, 0, 1)
        return float(np.sqrt(((offset - t[:, None] * along) ** 2).sum(axis=1)).max())


def _near(paths: list[list[_Path]], polygons: list[Polygon], tolerance: float) -> bool:
    """Whether every ring stays within the tolerance of its outline."""
    if [len(polygon) for polygon in paths] != [len(polygon) for polygon in polygons]:
        return False
    return all(
        len(ring) >= 3 and path.farthest(ring) <= tolerance
        for path_rings, rings in zip(paths, polygons)
        for path, ring in zip(path_rings, rings)
    )


def perimeter(polygons: list[Polygon], across: float, down: float) -> float:
    """Return the length of all rings, for pixels of ``across`` x ``down``."""
    total = 0.0
    for polygon in polygons:
        for ring in polygon:
            step = np.roll(ring, -1, axis=0) - ring
            total += float(np.hypot(step[:, 0] * across, step[:, 1] * down).sum())
    return total


def to_wkb(polygons: list[Polygon]) -> bytes:
    """Return polygons as WKB of a MultiPolygon; closes the rings."""
    pieces = [struct.pack("<BII", 1, 6, len(polygons))]
    for polygon in polygons:
        pieces.append(struct.pack("<BII", 1, 3, len(polygon)))
        for ring in polygon:
            closed = np.concatenate([ring, ring[:1]]).astype("<f8")
            pieces += [struct.pack("<I", len(closed)), closed.tobytes()]
    return b"".join(pieces)


def from_wkb(wkb: bytes) -> list[Polygon]:
    """Read little-endian WKB of a 2D Polygon or MultiPolygon; opens the rings."""
    kind = struct.unpack_from("<I", wkb, 1)[0]
    if kind == 3:
        return [_polygon(wkb, 0)[0]]
    polygons: list[Polygon] = []
    offset = 9
    for _ in range(struct.unpack_from("<I", wkb, 5)[0]):
        polygon, offset = _polygon(wkb, offset)
        polygons.append(polygon)
    return polygons


def _polygon(wkb: bytes, offset: int) -> tuple[Polygon, int]:
    rings: Polygon = []
    count = struct.unpack_from("<I", wkb, offset + 5)[0]
    offset += 9
    for _ in range(count):
        points = struct.unpack_from("<I", wkb, offset)[0]
        ring = np.frombuffer(wkb, dtype="<f8", count=2 * points, offset=offset + 4).reshape(-1, 2)
        rings.append(ring[:-1])
        offset += 4 + 16 * points
    return rings, offset
