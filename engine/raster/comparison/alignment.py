# SPDX-License-Identifier: GPL-3.0-or-later
"""How far AFTER is shifted against BEFORE, and the grid that makes up for it.

The shift of each block is the peak of the correlation of image gradients in the frequency domain
(Kuglin and Hines, "The phase correlation image alignment method", 1975), with gradients of about
unit length, so that brightness and contrast do not matter (Fitch et al., "Orientation correlation",
2002). The peak is refined by an upsampled Fourier transform around it (Guizar-Sicairos et al.,
"Efficient subpixel image registration algorithms", 2008); Foroosh et al. (2002) show why the peak
holds subpixel shifts. Many blocks and a robust fit, as in COSI-Corr (Leprince et al., 2007), keep
changes, relief and clouds from moving the result.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Optional

import numpy as np

from ...request import Alignment
from ..grid import Grid
from ..support import same_crs
from ..texts import RasterTexts

if TYPE_CHECKING:
    from ..reader import RasterSource

#: Sides of the blocks in pixels: the largest of which :data:`SIDE_IN_BLOCKS` fit, or else the last.
BLOCK_SIZES = (256, 128, 64)
SIDE_IN_BLOCKS = 2
#: Largest number of blocks along one side of the area.
MAX_BLOCKS = 8
#: Smallest share of a block's pixels that is valid on both dates.
MIN_VALID = 0.5
#: Smallest height of a correlation peak, in standard deviations of the correlation around it. On
#: LEVIR-CD, blocks below 6 have shifts at random, blocks above 7 hardly ever.
MIN_PEAK = 6.0
#: Smallest number of blocks with such a peak, and smallest share of them that agree.
MIN_BLOCKS, MIN_AGREEING = 4, 0.4
#: Blocks agree with a fit if they differ from it by at most this many pixels; relief seen from
#: two sides shifts blocks of flat towns by one or two.
TOLERANCE = 2.5
#: Shifts below this many pixels are left as they are, without a warning.
MIN_SHIFT = 1.0
#: An affine fit must be better than a translation by this F statistic, and differ from it by this
#: many pixels on average.
MIN_F, MIN_DEVIATION = 4.0, 0.5
_UPSAMPLING = 20
#: Standard deviation of the low-pass filter, in cycles per pixel.
_LOW_PASS = 0.15


@dataclass(frozen=True)
class Move:
    """An affine map from places on BEFORE to where AFTER shows them.

    Attributes:
        grid: the map is in its pixels.
        matrix: (2, 3): offset, and its change from the centre of the grid to the right and the
            lower edge.
    """

    grid: Grid
    matrix: np.ndarray

    def offsets(self, pixels: np.ndarray) -> np.ndarray:
        """Return the offsets at (N, 2) pixel coordinates, (N, 2) pixels."""
        half = np.array([self.grid.width, self.grid.height]) / 2
        return _design(pixels / half - 1, affine=True) @ self.matrix.T

    def moved(self, grid: Grid) -> Grid:
        """Return the grid on which AFTER shows what BEFORE shows on ``grid``, of the same CRS."""
        corners = ((0, 0), (grid.width, 0), (0, grid.height))
        pixels = np.array([self.grid.map_to_pixel(*grid.pixel_to_map(*xy)) for xy in corners])
        pixels += self.offsets(pixels)
        origin, right, down = (np.array(self.grid.pixel_to_map(*xy)) for xy in pixels.tolist())
        (g1, g4), (g2, g5) = (right - origin) / grid.width, (down - origin) / grid.height
        values = (origin[0], g1, g2, origin[1], g4, g5)
        g0, g1, g2, g3, g4, g5 = (float(value) for value in values)
        return Grid(grid.width, grid.height, (g0, g1, g2, g3, g4, g5), grid.crs_wkt)


def align(
    before: RasterSource, after: RasterSource, output: Grid, working: Grid, *, auto: bool
) -> tuple[Alignment, Optional[Move]]:
    """Measure the shift between two rasters on blocks spread over an area.

    Args:
        before: the earlier raster.
        after: the later raster.
        output: grid of the results, which has the pixels of BEFORE.
        working: grid on which the tiles are read.
        auto: find a move for AFTER if it is shifted.

    Returns:
        What was measured, in pixels of ``output``, and how to move grids of the CRS of
        ``working`` before AFTER is read on them; None to leave it as it is.
    """
    grid, pixel = _measuring_grid(output, working, after.grid)
    size = next((s for s in BLOCK_SIZES if min(grid.width, grid.height) >= SIDE_IN_BLOCKS * s), 0)
    if not size:
        return Alignment("unknown", text=RasterTexts.too_small_to_align()), None
    centres, shifts, count = _block_shifts(before, after, grid, size)
    if len(shifts) < MIN_BLOCKS:
        text = RasterTexts.cannot_be_aligned(blocks=count, usable=len(shifts))
        return Alignment("unknown", blocks=count, usable=len(shifts), text=text), None
    move, agreeing = fit(grid, centres, shifts)
    spread = _rms(shifts[agreeing] - move.offsets(centres[agreeing])) if agreeing.any() else 0.0
    ends = move.offsets(np.array([[0, 0], [grid.width, 0], [0, grid.height]]))
    (xx, yx), (xy, yy) = (ends[1] - ends[0]) / grid.width, (ends[2] - ends[0]) / grid.height
    dx, dy = move.matrix[:, 0]
    # Root mean square over the area: a rotation about its centre is a shift too.
    shift = float(np.sqrt((move.matrix[:, 0] ** 2).sum() + (move.matrix[:, 1:] ** 2).sum() / 3))
    metres = None if grid.pixel_size is None else shift * grid.pixel_size
    if agreeing.sum() < max(MIN_BLOCKS, MIN_AGREEING * len(shifts)):
        state, message = "unknown", RasterTexts.blocks_disagree
    elif shift * pixel < MIN_SHIFT:
        state, message = "aligned", RasterTexts.aligned
    elif auto:
        state, message = "moved", RasterTexts.moved
    else:
        state, message = "shifted", RasterTexts.shifted
    length = RasterTexts.pixels(pixels=shift * pixel)
    if metres is not None:
        length = RasterTexts.pixels_and_metres(pixels=shift * pixel, metres=metres)
    found = Alignment(
        state,
        message(shift=length, agreeing=int(agreeing.sum()), usable=len(shifts)),
        dx_px=round(float(dx) * pixel, 2),
        dy_px=round(float(dy) * pixel, 2),
        shift_px=round(shift * pixel, 2),
        shift_m=None if metres is None else round(metres, 2),
        rotation_deg=round(float(np.degrees(np.arctan2(yx - xy, 2 + xx + yy))), 4),
        spread_px=round(spread * pixel, 2),
        blocks=count,
        usable=len(shifts),
        agreeing=int(agreeing.sum()),
    )
    return found, move if state == "moved" else None


def _measuring_grid(output: Grid, working: Grid, after: Grid) -> tuple[Grid, float]:
    """Return a grid in the CRS of ``working``, and its pixels in pixels of ``output``.

    Its pixels are those of BEFORE, or of AFTER where those are larger: finer ones hold no detail.
    """
    across = working.width / output.width
    if not same_crs(working.crs_wkt, output.crs_wkt):
        across = (output.pixel_size or 1.0) / (working.pixel_size or 1.0)
    coarser = 1.0
    if after.pixel_size and output.pixel_size:
        coarser = max(1.0, after.pixel_size / output.pixel_size)
    if abs(across * coarser - 1) < 0.01:
        return working, coarser
    return working.scaled(across * coarser, across * coarser), coarser


def _block_shifts(
    before: RasterSource, after: RasterSource, grid: Grid, size: int
) -> tuple[np.ndarray, np.ndarray, int]:
    """Return centres and shifts, (N, 2) pixels, of blocks with a clear peak; the count of all."""
    centres, shifts, count = [], [], 0
    for y in _starts(grid.height, size):
        for x in _starts(grid.width, size):
            window = grid.window(x, y, size, size)
            images = [source.read(window) for source in (before, after)]
            if min(valid.mean() for _, valid in images) < MIN_VALID:
                continue
            count += 1
            dx, dy, peak = block_shift(*(gradients(*image) for image in images))
            if peak >= MIN_PEAK:
                centres.append((x + size / 2, y + size / 2))
                shifts.append((dx, dy))
    return np.array(centres).reshape(-1, 2), np.array(shifts).reshape(-1, 2), count


def _starts(length: int, size: int) -> list[int]:
    """Return the first pixels of blocks along one side, half a block apart or more."""
    count = min(MAX_BLOCKS, 2 * (length - size) // size + 1)
    return np.linspace(0, length - size, max(count, 1)).round().astype(int).tolist()


def gradients(image: np.ndarray, valid: np.ndarray) -> np.ndarray:
    """Return gradients of about unit length as complex numbers, 0 at the edge of valid pixels.

    Args:
        image: (H, W, 3).
        valid: (H, W) bool.
    """
    grey = image.astype(np.float32).mean(axis=2)
    inner = (slice(1, -1), slice(1, -1))
    result = np.zeros(grey.shape, dtype=np.complex64)
    result[inner] = grey[1:-1, 2:] - grey[1:-1, :-2] + 1j * (grey[2:, 1:-1] - grey[:-2, 1:-1])
    whole = valid[1:-1, 2:] & valid[1:-1, :-2] & valid[2:, 1:-1] & valid[:-2, 1:-1]
    result[inner] *= whole
    length = np.abs(result)
    typical = float(np.median(length[inner][whole])) if whole.any() else 0.0
    return result / (length + max(typical, 1e-6 * float(length.max()), 1e-30))


def block_shift(before: np.ndarray, after: np.ndarray) -> tuple[float, float, float]:
    """Correlate the gradients of two blocks.

    Args:
        before: (N, N) complex.
        after: the same.

    Returns:
        How far to the right and down, in pixels, AFTER shows what BEFORE shows, and the height of
        the peak in standard deviations.
    """
    size = len(before)
    window = np.hanning(size)[:, None] * np.hanning(size)
    frequencies = np.fft.fftfreq(size)
    low_pass = np.exp(-(frequencies**2) / (2 * _LOW_PASS**2))
    cross = np.conj(np.fft.fft2(before * window)) * np.fft.fft2(after * window)
    cross *= low_pass[:, None] * low_pass
    # Beyond a quarter of the block, too little of it overlaps.
    reach = size // 4
    correlation = np.fft.fftshift(np.fft.ifft2(cross).real)
    near = slice(size // 2 - reach, size // 2 + reach + 1)
    correlation = correlation[near, near]
    y, x = np.unravel_index(int(correlation.argmax()), correlation.shape)
    spread = float(correlation.std())
    peak = float(correlation.max() - correlation.mean()) / spread if spread > 0 else 0.0
    steps = np.arange(-1.5 * _UPSAMPLING, 1.5 * _UPSAMPLING + 1) / _UPSAMPLING
    rows, columns = y - reach + steps, x - reach + steps
    partial = np.exp(2j * np.pi * np.outer(rows, frequencies)) @ cross
    fine = (partial @ np.exp(2j * np.pi * np.outer(frequencies, columns))).real
    row, column = np.unravel_index(int(fine.argmax()), fine.shape)
    return float(columns[column]), float(rows[row]), peak


def fit(grid: Grid, centres: np.ndarray, shifts: np.ndarray) -> tuple[Move, np.ndarray]:
    """Fit a translation to the shifts of blocks, or an affine map where it is clearly better.

    Args:
        grid: of the pixels.
        centres: (N, 2) pixel coordinates.
        shifts: (N, 2) pixels.

    Returns:
        The fit, and which blocks agree with it, (N,) bool.
    """
    places = centres / (np.array([grid.width, grid.height]) / 2) - 1
    still = _robust(_design(places, affine=False), shifts)
    chosen = np.column_stack([still.T, np.zeros((2, 2))])
    wide = np.ptp(places, axis=0).min() >= 1 and len(shifts) >= 2 * MIN_BLOCKS
    affine = _robust(_design(places, affine=True), shifts).T if wide else chosen
    losses = [_loss(_design(places, affine=True) @ m.T - shifts) for m in (chosen, affine)]
    gain = (losses[0] - losses[1]) / 4 * (2 * len(shifts) - 6)
    if gain > MIN_F * losses[1] and _deviation(affine, chosen) >= MIN_DEVIATION:
        chosen = affine
    move = Move(grid, chosen)
    distances = np.linalg.norm(move.offsets(centres) - shifts, axis=1)
    return move, distances <= TOLERANCE


def _design(places: np.ndarray, *, affine: bool) -> np.ndarray:
    """Return the design matrix of places in [-1, 1]: (N, 3), or (N, 1) for a translation."""
    ones = np.ones((len(places), 1))
    return np.column_stack([ones, places]) if affine else ones


def _robust(design: np.ndarray, shifts: np.ndarray) -> np.ndarray:
    """Fit by random sample consensus, then by least squares with Tukey's weights."""
    count, parameters = design.shape
    drawn = np.arange(count)[:, None]
    if parameters > 1:
        drawn = np.random.default_rng(0).random((300, count)).argsort(axis=1)[:, :parameters]
        drawn = drawn[np.abs(np.linalg.det(design[drawn])) >= 0.1]
    best = np.zeros((parameters, 2))
    if len(drawn):
        samples = np.linalg.solve(design[drawn], shifts[drawn])
        best = samples[int(np.argmin([_loss(design @ sample - shifts) for sample in samples]))]
    for _ in range(20):
        distances = np.linalg.norm(design @ best - shifts, axis=1)
        root = np.clip(1 - (distances / (1.5 * TOLERANCE)) ** 2, 0, None)[:, None]
        if (root > 0).sum() > parameters:
            best = np.linalg.lstsq(design * root, shifts * root, rcond=None)[0]
    return best


def _loss(residuals: np.ndarray) -> float:
    """Sum of squares of (N, 2) residuals, each block's at most the square of the tolerance."""
    return float(np.minimum((residuals**2).sum(axis=1), TOLERANCE**2).sum()) + 1e-6


def _deviation(affine: np.ndarray, still: np.ndarray) -> float:
    """Root mean square distance in pixels over the area between two fits."""
    difference = (affine - still) ** 2
    return float(np.sqrt(difference[:, 0].sum() + difference[:, 1:].sum() / 3))


def _rms(residuals: np.ndarray) -> float:
    return float(np.sqrt((residuals**2).sum(axis=1).mean()))
