# SPDX-License-Identifier: GPL-3.0-or-later
"""Pairs composed of other pairs: objects laid on other ground, and colours of other years."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from scipy import ndimage

from ...errors import InputError
from ..texts import TrainingTexts
from .labels import BUILDING, UNKNOWN, appeared
from .sample import APPEARED, REMOVED, PairSample
from .sources import SameImage, Source, read_rgb

#: An object of fewer pixels is not worth cutting out.
_MIN = 40
#: Pairs of the donor that are looked at for a changed object.
_TRIES = 4
#: Side of the window whose years are compared, in pixels of the series.
_WINDOW = 160
_QUANTILES = np.linspace(0.02, 0.98, 17)


class Pasted:
    """Objects cut out of one source, laid on the pairs of another (Ghiasi et al. 2021, copy-paste).

    An object that changed in the pair it comes from is laid on the later date, where it then
    appeared; one time in four on both dates, where nothing changed. With a rim, so that its shadow
    comes along.
    """

    def __init__(self, ground: Source, donor: Source) -> None:
        self.ground, self.donor = ground, donor

    def draw(self, rng: np.random.Generator) -> PairSample:
        """Return a pair of the ground, with objects where the donor's pairs have any.

        Of other classes than buildings, only what lies on ground of which it is known whether they
        were there: laid on both dates as well, they would else be taught as unchanged alone.
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
    """Lay objects of the donor's later date on a pair.

    Change labels follow from the labels of both dates. Only buildings count as new on unlabelled
    ground: LEVIR-CD labels a house that replaces another one as a change. A lawn on ground that may
    have been one stays unknown.
    """
    both = rng.random() < 0.25
    cut = ndimage.maximum_filter(objects, size=2 * int(rng.integers(1, 7)) + 1)
    # A hard edge would tell what is pasted from what is built.
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
    """Return a random part of the connected objects, one at least."""
    labels, count = ndimage.label(objects)
    kept = rng.random(count + 1) < rng.uniform(0.2, 1.0)
    kept[1 + int(rng.integers(count))] = True
    kept[0] = False
    return kept[labels]


def _recoloured(image: np.ndarray, ground: np.ndarray, strength: float) -> np.ndarray:
    """Bring an image's mean and contrast towards those of the ground, channel by channel."""
    pixels, like = image.astype(np.float32), ground.astype(np.float32)
    mean, spread = pixels.mean((0, 1)), pixels.std((0, 1)) + 1
    gain = ((like.std((0, 1)) + 1) / spread).clip(0.5, 2)
    matched = (pixels - mean) * gain + like.mean((0, 1))
    return pixels + strength * (matched - pixels)


def _laid(ground: np.ndarray, objects: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    return np.clip(ground + alpha * (objects - ground), 0, 255).astype(np.uint8)


class OtherYear:
    """The same image twice, one with the colours of another year: no query finds anything.

    How much the colours of a place differ from one year to another is taken from a random window
    of an unlabelled series: per channel, the grey levels of one year that stand where those of the
    other one stood among all of the window.

    Args:
        source: whose images are used.
        root: the data folder; its series is the folder ``naip``. (``landsat`` has no true colours.)

    Raises:
        InputError: there is no series of two years.
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
    """Return a table (256,) of grey levels that turns one year's histogram into the other's."""
    levels, wanted = ([0, *np.quantile(year, _QUANTILES), 255] for year in (first, second))
    return np.interp(np.arange(256), levels, wanted)
