# SPDX-License-Identifier: GPL-3.0-or-later
"""Captions that a system writes itself: about boxes, as they are ready, here and in a worker."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

sys.path.append(str(Path(__file__).resolve().parent))

import worker_systems

from changescribe.engine import captioning
from changescribe.engine.captioning import BoxCaption
from changescribe.engine.errors import InputError
from changescribe.engine.host import InProcessHost
from changescribe.engine.request import APPEARED, Query
from changescribe.engine.worker_host import WorkerHost

MakeRaster = Callable[..., str]


@pytest.fixture
def host() -> Iterator[InProcessHost]:
    worker_systems.register_all()
    made = InProcessHost()
    yield made
    made.close()


@pytest.fixture
def pair(make_raster: MakeRaster) -> tuple[str, str]:
    """128 x 192 pixels: 200 became brighter on the left, 600 in the middle."""
    before = np.full((3, 128, 192), 60, np.uint8)
    after = before.copy()
    after[:, 10:20, 10:30] = 250
    after[:, 10:40, 70:90] = 250
    return make_raster("before.tif", before), make_raster("after.tif", after)


def test_boxes_are_captioned_in_the_systems_words(host: InProcessHost, pair) -> None:
    told: list[BoxCaption] = []
    boxes = [(0, 0, 64, 64), (64, 0, 128, 64), (0, 64, 64, 128), (15, 5, 60, 64)]
    answers = captioning.caption(*pair, boxes=boxes, system="writes", host=host, told=told.append)
    assert [answer.caption for answer in answers] == [
        "200 pixels are brighter.",
        "600 pixels are brighter.",
        "nothing",
        "150 pixels are brighter.",  # the tile is larger than the box
    ]
    assert [answer.box for answer in answers] == boxes
    assert told == answers


def test_a_large_area_is_told_by_what_changed_most(host: InProcessHost, pair) -> None:
    (answer,) = captioning.caption(*pair, system="writes", host=host)
    assert answer.caption == "600 pixels are brighter. 200 pixels are brighter."
    unchanged = captioning.caption(pair[0], pair[0], system="writes", host=host)
    assert unchanged[0].caption == "nothing"


def test_cancelling_keeps_the_captions_that_are_there(host: InProcessHost, pair) -> None:
    told: list[BoxCaption] = []
    boxes = [(0, 0, 64, 64), (64, 0, 128, 64), (0, 64, 64, 128)]
    answers = captioning.caption(
        *pair,
        boxes=boxes,
        system="writes",
        host=host,
        told=told.append,
        cancelled=lambda: len(told) == 2,
    )
    assert len(answers) == 2
    assert told == answers


def test_progress_goes_from_nothing_to_done_for_each_box(host: InProcessHost, pair) -> None:
    seen = []
    boxes = [(0, 0, 128, 128), (64, 0, 128, 64)]
    captioning.caption(*pair, boxes=boxes, system="writes", host=host, progress=seen.append)
    assert [p.fraction for p in seen] == [0, 0.25, 0.5, 0.75, 1, 0, 1]


def test_a_system_without_words_says_so(host: InProcessHost) -> None:
    tiles = np.zeros((1, 64, 64, 3), np.uint8)
    with pytest.raises(InputError, match="writes no sentences"):
        host.describe("plain", tiles, tiles, [], tiles[..., 0])


def test_a_worker_describes_as_this_process_does(
    host: InProcessHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", worker_systems.FOLDER)
    rng = np.random.default_rng(1)
    tiles = rng.integers(0, 255, (2, 2, 64, 64, 3), dtype=np.uint8)
    regions = (rng.random((2, 64, 64)) < 0.3).astype(np.uint8)
    worker = WorkerHost(sys.executable)
    try:
        queries = [Query("buildings", APPEARED)]
        there = worker.describe("writes", *tiles, queries, regions)
        here = host.describe("writes", *tiles, queries, regions)
        assert there.captions == here.captions
        assert "pixels are brighter" in there.captions[1]
        assert np.array_equal(there.scores, here.scores)
        assert worker.predict("writes", *tiles, queries).captions == ()
    finally:
        worker.close()
