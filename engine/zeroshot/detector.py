# SPDX-License-Identifier: GPL-3.0-or-later
"""The steps of the zero-shot system for one pair of tiles.

CLIP and SAM 2 encode each image once for all queries.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Optional

import torch
from torch import Tensor

from ..classes import CLASS_NAMES
from ..request import APPEARED, REMOVED, Query
from . import decide
from .dense_clip import DenseClip, mean_posterior
from .segment import Encoded, Segmenter, good_outlines
from .vocabulary import Question, land_cover_classes, question


class Found(NamedTuple):
    """Result for a pair of tiles.

    Attributes:
        scores: (Q, H, W) in [0, 1]; 0.5 is the threshold.
        classes_before: (H, W) index of the most probable land-cover class, -1 for another class.
        classes_after: the same for the later date.
    """

    scores: Tensor
    classes_before: Tensor
    classes_after: Tensor


class _Phrases:
    """Distinct phrases and their row numbers."""

    def __init__(self) -> None:
        self._rows: dict[str, int] = {}

    def rows(self, phrases: Sequence[str]) -> list[int]:
        return [self._rows.setdefault(phrase, len(self._rows)) for phrase in phrases]

    def groups(self, one: Question) -> list[list[int]]:
        return [self.rows(phrases) for phrases in (one.phrases, *one.against)]

    def all(self) -> list[str]:
        return list(self._rows)


class _Date:
    """An image of one date with CLIP's fit of the phrases; SAM 2 encodes it on first use."""

    def __init__(self, image: Tensor, maps: list[Tensor], segmenter: Segmenter) -> None:
        self._image = image
        self._maps = maps
        self._segmenter = segmenter
        self._encoded: Optional[Encoded] = None
        self._features: Optional[Tensor] = None

    def likelihood(self, groups: Sequence[Sequence[int]]) -> Tensor:
        return mean_posterior(self._maps, groups, self._image.shape[1:])

    @property
    def encoded(self) -> Encoded:
        if self._encoded is None:
            self._encoded = self._segmenter.encode(self._image)
        return self._encoded

    @property
    def features(self) -> Tensor:
        if self._features is None:
            self._features = decide.centred(self.encoded.features)
        return self._features

    def outlines(self, points: Tensor) -> Tensor:
        size = self._image.shape[1:]
        masks, quality = self._segmenter.outline(self.encoded, points, size)
        return good_outlines(masks, quality, size)


class Detector:
    """Finds appeared and removed objects for any noun.

    Args:
        least_angle: minimum angle of changed features, in degrees; None for Otsu's threshold of
            each pair of tiles.
    """

    def __init__(
        self, clip: DenseClip, segmenter: Segmenter, least_angle: Optional[float] = decide.MIN_ANGLE
    ) -> None:
        self._clip = clip
        self._segmenter = segmenter
        self._least_angle = least_angle

    @torch.no_grad()
    def find(
        self, before: Tensor, after: Tensor, queries: Sequence[Query], competing: Sequence[str] = ()
    ) -> Found:
        """Score a pair of tiles.

        Args:
            before: (3, H, W) float, 0 to 255.
            after: the same for the later date.
            queries: what to look for; at least one.
            competing: what else the ground may be; empty is the default list.
        """
        phrases = _Phrases()
        questions = {query.object: question(query.object, competing) for query in queries}
        groups = {noun: phrases.groups(one) for noun, one in questions.items()}
        covers = [phrases.rows(one) for one in land_cover_classes(competing)]
        texts = self._clip.encode_text(phrases.all())
        # One date at a time, so that the result of an image does not depend on its date.
        dates = [
            _Date(image, self._clip.fit(image, texts), self._segmenter) for image in (before, after)
        ]
        scores = {
            noun: self._decide(dates, groups[noun], is_stuff=one.is_stuff)
            for noun, one in questions.items()
        }
        planes = [_plane(scores[query.object], query.direction) for query in queries]
        return Found(torch.stack(planes), *(_likeliest(date, covers) for date in dates))

    def _decide(
        self, dates: Sequence[_Date], groups: Sequence[Sequence[int]], *, is_stuff: bool
    ) -> decide.Scores:
        """Return the scores (H, W) of an object in both directions."""
        likelihood = [date.likelihood(groups) for date in dates]
        if is_stuff:
            return decide.decide_stuff(likelihood[0][0], likelihood[1][0])
        nothing = torch.zeros_like(likelihood[0][0])
        points = decide.peaks(likelihood[0][0], likelihood[1][0])
        if not len(points):
            return decide.Scores(nothing, nothing)
        least_angle = self._least_angle
        if least_angle is None:
            least_angle = decide.otsu(decide.angle_between(dates[0].features, dates[1].features))
        appeared, removed = nothing, nothing
        for date in dates:
            masks = date.outlines(points)
            if not len(masks):
                continue
            before, after = (decide.margins(masks, plane) for plane in likelihood)
            angles = decide.change_angles(masks, dates[0].features, dates[1].features)
            scores = decide.decide_masks(before, after, angles, least_angle)
            appeared = torch.maximum(appeared, decide.paint(masks, scores.appeared))
            removed = torch.maximum(removed, decide.paint(masks, scores.removed))
        return decide.Scores(appeared, removed)


def _plane(scores: decide.Scores, direction: str) -> Tensor:
    if direction == APPEARED:
        return scores.appeared
    if direction == REMOVED:
        return scores.removed
    return torch.maximum(scores.appeared, scores.removed)


def _likeliest(date: _Date, groups: Sequence[Sequence[int]]) -> Tensor:
    best = date.likelihood(groups).argmax(0)
    return torch.where(best < len(CLASS_NAMES), best, -1)
