# SPDX-License-Identifier: GPL-3.0-or-later
"""Pairs made from other pairs: objects pasted on other ground, colours of other years."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from scipy import ndimage

from ...errors import InputError
from ..texts import TrainingTexts
from .labels import BUILDING, UNKNOWN, appeared
from .sample import APPEARED, REMOVED, PairSample
from .sources import SameImage, Source, read_rgb

#: Minimum pixels of an object to paste.
_MIN = 40
#: Maximum number of donor pairs to search for a changed object.
_TRIES = 4
#: Side of the window for comparing years, in pixels of the series.
_WINDOW = 160
_QUANTILES = np.linspace(0.02, 0.98, 17)


class Pasted:
    """Objects of one source pasted on the pairs of another (copy-paste, Ghiasi et al. 2021).

    A changed object of the donor is pasted on the later date, so that it appears there; one time
    in four on both dates, so that nothing changes. A rim around it includes its shadow.
    """

    def __init__(self, ground: Source, donor: Source) -> None:
        self.ground, self.donor = ground, donor

    def draw(self, rng: np.random.Generator) -> PairSample:
        """Return a pair of the ground, with objects if the donor has any.

        Classes other than buildings are pasted only where the ground is labelled for them.
        Elsewhere the pasted class would only ever be labelled as unchanged.
        """
        pair = self.ground.draw(rng)
        known = pair.state_before != UNKNOWN
        known[..., BUILDING] = True
        for _ in range(_TRIES):
            donor = self.donor.draw(rng)
            ways = [donor, donor.swapped()]
            if rng.random() < 0.5:
                ways.reverse()
            for way in ways:
                changed = (way.changes[..., APPEARED] == 1) & known
                classes = np.flatnonzero(changed.sum((0, 1)) >= _MIN)
                if len(classes):
                    index = int(rng.choice(classes))
                    return paste(pair, way, index, _some(changed[..., index], rng), rng)
        return pair


def paste(
    pair: PairSample, donor: PairSample, index: int, objects: np.ndarray, rng: np.random.Generator
) -> PairSample:
    """Paste objects of the donor's later date on a pair.

    Change labels follow from the labels of both dates. Only buildings count as new on unlabelled
    ground, since LEVIR-CD labels a house that replaces another one as a change. A lawn on ground
    that may have been lawn stays unknown.
    """
    both = rng.random() < 0.25
    cut = ndimage.maximum_filter(objects, size=2 * int(rng.integers(1, 7)) + 1)
    # A hard edge would reveal pasted objects.
    alpha = ndimage.gaussian_filter(cut.astype(np.float32), 0.7)[..., None]
    colours = float(rng.random())
    after = _laid(pair.after, _recoloured(donor.after, pair.after, colours), alpha)
    is_now = np.where(cut[..., None], donor.state_after, pair.state_after)
    if both:
        before = _laid(pair.before, _recoloured(donor.after, pair.before, colours), alpha)
        was = np.where(cut[..., None], donor.state_after, pair.state_before)
        changes = pair.changes.copy()
        changes[cut] = 0
        return PairSample(before, after, was, is_now, changes)
    was, changes = pair.state_before, pair.changes.copy()
    changes[cut, :, APPEARED] = appeared(was[cut], is_now[cut])
    changes[cut, :, REMOVED] = appeared(is_now[cut], was[cut])
    if index == BUILDING:
        changes[objects, index, APPEARED] = np.where(was[objects, index] == 1, UNKNOWN, 1)
    return PairSample(pair.before, after, was, is_now, changes)


def _some(objects: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return a random subset of the connected objects, at least one."""
    labels, count = ndimage.label(objects)
    kept = rng.random(count + 1) < rng.uniform(0.2, 1.0)
    kept[1 + int(rng.integers(count))] = True
    kept[0] = False
    return kept[labels]


def _recoloured(image: np.ndarray, ground: np.ndarray, strength: float) -> np.ndarray:
    """Shift an image's mean and contrast towards the ground's, per channel."""
    pixels, like = image.astype(np.float32), ground.astype(np.float32)
    mean, spread = pixels.mean((0, 1)), pixels.std((0, 1)) + 1
    gain = ((like.std((0, 1)) + 1) / spread).clip(0.5, 2)
    matched = (pixels - mean) * gain + like.mean((0, 1))
    return pixels + strength * (matched - pixels)


def _laid(ground: np.ndarray, objects: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    return np.clip(ground + alpha * (objects - ground), 0, 255).astype(np.uint8)


class OtherYear:
    """The same image twice, once in the colours of another year: every answer is empty.

    The difference in colour comes from a random window of an unlabelled series: per channel, the
    histogram of one year is matched to that of the other.

    Args:
        source: source of the images.
        root: the data folder, with the series ``naip``. (``landsat`` has no true colours.)

    Raises:
        InputError: there is no series of at least two years.
    """

    def __init__(self, source: Source, root: Path) -> None:
        self.same = SameImage(source)
        self.years = [read_rgb(path) for path in sorted((root / "naip").glob("[12]*.tif"))]
        if len(self.years) < 2:
            raise InputError(TrainingTexts.no_series())

    def draw(self, rng: np.random.Generator) -> PairSample:
        """Return an image and itself in the colours of another year."""
        pair = self.same.draw(rng)
        first, second = (self.years[i] for i in rng.choice(len(self.years), 2, replace=False))
        height, width = np.minimum(first.shape, second.shape)[:2]
        top, left = (int(rng.integers(max(1, side - _WINDOW))) for side in (height, width))
        window = np.s_[top : top + _WINDOW, left : left + _WINDOW]
        strength = rng.uniform(0.3, 1.0)
        pair.after = pair.after.copy()
        for channel in range(3):
            table = _years_apart(first[window][..., channel], second[window][..., channel])
            table = np.arange(256) + strength * (table - np.arange(256))
            pair.after[..., channel] = table.round().astype(np.uint8)[pair.after[..., channel]]
        return pair


def _years_apart(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return a lookup table (256,) that maps one year's histogram to the other's."""
    levels, wanted = ([0, *np.quantile(year, _QUANTILES), 255] for year in (first, second))
    return np.interp(np.arange(256), levels, wanted)
