# SPDX-License-Identifier: GPL-3.0-or-later
"""How far the colours of each date are from their prediction by the other date.

Pixels that are too coarse to show the shape of an object still show that the ground has an unusual
colour. A difference of colours (CVA) does not: between two sensors, seasons or decades nearly all
ground differs. Here a regression over the tile, robust to large changes, predicts the colours of
one date from the colours and features of the other one. Its residual is what haze, season and film
do not explain. Nothing is trained; numpy alone.
"""

from __future__ import annotations

import numpy as np

#: Side of a cell in pixels; the features have one vector per cell.
CELL = 4
#: Minimum number of cells with data in a tile.
MIN_CELLS = 256
#: Weight of the ridge, as a share of the mean square of the predictors.
RIDGE = 0.01
#: Rounds of the regression. Each gives less weight to the cells that the last one did not explain:
#: a cell with HALF_VOTE times the median squared residual has half the weight.
ROUNDS, HALF_VOTE = 3, 3.0


def residual_cells(before: np.ndarray, after: np.ndarray, features: np.ndarray) -> np.ndarray:
    """Return the colour residual of the cells of a pair of tiles, (H/4, W/4) float32.

    It is at least 0, in standard deviations of the tile's colours: the sum of the norms of the
    residuals of both directions, so that exchanging the dates changes nothing. 0 without data, or
    with too little.

    Args:
        before: (H, W, 3) uint8, 0 in all bands of both dates where there is no data.
        after: the same for the later date.
        features: (2, C, H/4, W/4) of any encoder, the earlier date first.
    """
    seen, whole = _seen(before, after)
    if whole.sum() < MIN_CELLS:
        return np.zeros(whole.shape, np.float32)
    colours = [
        cell_means(_standardised(image, seen).transpose(2, 0, 1)).reshape(3, -1).T
        for image in (before, after)
    ]
    total = np.zeros(whole.size, np.float32)
    for source, target in ((0, 1), (1, 0)):
        known = features[source].reshape(features.shape[1], -1).T
        colour = colours[source]
        predictors = np.concatenate(
            [np.ones_like(colour[:, :1]), colour, colour**2, known / (known.std() + 1e-6)], 1
        )
        residual = _unexplained(predictors, colours[target], whole.ravel())
        total += np.linalg.norm(residual, axis=1)
    return _smoothed(total.reshape(whole.shape) * whole).astype(np.float32)


def colour_residual(before: np.ndarray, after: np.ndarray, features: np.ndarray) -> np.ndarray:
    """Return the colour residual of the pixels of a pair of tiles, (H, W) float32."""
    return enlarged(residual_cells(before, after, features))


def measurable(before: np.ndarray, after: np.ndarray) -> bool:
    """Tell whether a pair of tiles has enough data for :func:`residual_cells`."""
    return bool(_seen(before, after)[1].sum() >= MIN_CELLS)


def _seen(before: np.ndarray, after: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return pixels with data (H, W) and cells without nodata (H/4, W/4), both bool."""
    seen = (before | after).any(2)
    return seen, cell_means(seen.astype(np.float32)) == 1


def _standardised(image: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """Scale each band to mean 0 and standard deviation 1 over the pixels with data."""
    values = image.astype(np.float32)
    pixels = values[seen]
    return (values - pixels.mean(0)) / (pixels.std(0) + 1e-6)


def cell_means(planes: np.ndarray) -> np.ndarray:
    """Return the means (..., H/4, W/4) of the cells of planes (..., H, W)."""
    *many, height, width = planes.shape
    return planes.reshape(*many, height // CELL, CELL, width // CELL, CELL).mean((-3, -1))


def _unexplained(predictors: np.ndarray, target: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """Return residuals (N, q) of a robust ridge regression of (N, q) on (N, p)."""
    known, observed = predictors[whole], target[whole]
    votes = np.ones((len(known), 1), np.float32)
    weights = np.zeros((known.shape[1], observed.shape[1]), np.float32)
    for _ in range(ROUNDS):
        weighted = known * votes
        square = (weighted.T @ known).astype(np.float64)
        square[np.diag_indices(len(square))] += RIDGE * np.trace(square) / len(square)
        product = (weighted.T @ observed).astype(np.float64)
        weights = np.linalg.solve(square, product).astype(np.float32)
        missed = ((observed - known @ weights) ** 2).sum(1, keepdims=True)
        votes = 1 / (1 + missed / (HALF_VOTE * np.median(missed) + 1e-6))
    return target - predictors @ weights


def _smoothed(cells: np.ndarray) -> np.ndarray:
    """Blur with weights 1/4, 1/2, 1/4 along both axes, since changes are larger than a cell."""
    for axis in (0, 1):
        edges = [(1, 1) if axis == other else (0, 0) for other in (0, 1)]
        padded = np.pad(cells, edges, "edge")
        middle = np.arange(1, cells.shape[axis] + 1)
        low, high = padded.take(middle - 1, axis), padded.take(middle + 1, axis)
        cells = cells / 2 + (low + high) / 4
    return cells


def enlarged(cells: np.ndarray) -> np.ndarray:
    """Interpolate cells (h, w) to pixels (4h, 4w), bilinearly."""
    for axis in (0, 1):
        count = cells.shape[axis]
        place = np.clip((np.arange(count * CELL) + 0.5) / CELL - 0.5, 0, count - 1)
        low = np.minimum(place.astype(int), max(0, count - 2))
        high = np.minimum(low + 1, count - 1)
        share = (place - low).astype(np.float32).reshape((-1, 1) if axis == 0 else (1, -1))
        cells = cells.take(low, axis) * (1 - share) + cells.take(high, axis) * share
    return cells
