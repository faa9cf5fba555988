# SPDX-License-Identifier: GPL-3.0-or-later
"""Captions written by a system: for boxes, streamed, in process and in a worker."""

from __future__ import annotations

import contextlib
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import pytest
import worker_systems

from changescribe.engine.describe.pair import caption, tile_boxes
from changescribe.engine.describe.request import BoxCaption, CaptionRequest
from changescribe.engine.describe.texts import DescribeTexts
from changescribe.engine.describe.writer import CaptionWriter
from changescribe.engine.errors import InputError
from changescribe.engine.hosts.base import InProcessHost
from changescribe.engine.hosts.worker_host import WorkerHost
from changescribe.engine.raster.area import place_of
from changescribe.engine.raster.reader import RasterSource
from changescribe.engine.request import APPEARED, NO_HINTS, Hints, Query, Stage

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


#: Replaces the bundled model: "plain" finds brighter pixels as buildings.
SYSTEMS = {"system": "writes", "checked_by": "plain"}


def test_boxes_are_captioned_in_the_systems_words_and_by_the_facts(host, pair) -> None:
    written: list[BoxCaption] = []
    warned: list[str] = []
    boxes = ((0, 0, 64, 64), (64, 0, 128, 64), (0, 64, 64, 128), (15, 5, 60, 64))
    request = CaptionRequest(*pair, boxes, **SYSTEMS)
    answers = caption(request, host, captioned=written.append, warned=warned.append)
    assert [(answer.caption, answer.source) for answer in answers] == [
        ("A building of 200 pixels is built. 1 building appeared (50 m²).", "writes"),
        ("A building of 600 pixels is built. 1 building appeared (150 m²).", "writes"),
        ("The scene is the same as before.", "writes"),
        # 150 pixels, written to be removed.
        ("1 building appeared (40 m²).", "facts"),
    ]
    assert [answer.box for answer in answers] == list(boxes)
    assert written == answers
    assert warned == [
        "1 of 4 written captions was replaced by the facts of the detection.",
        "What was wrong: what appeared and what was removed (1).",
    ]


def test_no_boxes_are_no_captions(host, pair) -> None:
    assert caption(CaptionRequest(*pair, (), **SYSTEMS), host) == []


def test_a_box_that_was_cancelled_halfway_has_no_caption(host, pair) -> None:
    written: list[BoxCaption] = []
    tiles: list[int] = []

    def cancelled() -> bool:
        return len(written) == 1 and tiles[-1] > 4  # more than a row of them

    answers = caption(
        CaptionRequest(*pair, ((0, 0, 64, 64), (0, 0, 192, 128)), system="plain"),
        host,
        captioned=written.append,
        progress=lambda progress: tiles.append(progress.tile),
        cancelled=cancelled,
    )
    assert answers == written
    assert len(answers) == 1
    assert answers[0].box == (0, 0, 64, 64)


def test_without_a_detection_the_form_alone_is_checked(host, pair) -> None:
    warned: list[str] = []
    request = CaptionRequest(*pair, ((15, 5, 60, 64),), system="writes", checked_by="refuses")
    answers = caption(request, host, warned=warned.append)
    assert answers[0].caption == "A building of 150 pixels is removed."
    assert warned == [DescribeTexts.not_checked()]


def test_a_large_area_is_described_by_what_changed_most(
    host: InProcessHost, pair, tmp_path
) -> None:
    (answer,) = caption(CaptionRequest(*pair, **SYSTEMS), host)
    assert answer.caption == (
        "A building of 600 pixels is built. A building of 200 pixels is built. "
        "2 buildings appeared (200 m²)."
    )
    copy = shutil.copy(pair[0], tmp_path / "copy.tif")
    unchanged = caption(CaptionRequest(pair[0], str(copy), **SYSTEMS), host)
    assert unchanged[0].caption == "The scene is the same as before."


def test_a_note_of_a_writer_comes_once(host: InProcessHost, pair, monkeypatch) -> None:
    describe = worker_systems.Writes.describe

    def slowly(*given):
        return replace(describe(*given), notes=("A sentence takes long here.",))

    monkeypatch.setattr(worker_systems.Writes, "describe", slowly)
    warned: list[str] = []
    caption(CaptionRequest(*pair, **SYSTEMS), host, warned=warned.append)
    assert warned == ["A sentence takes long here."]


@pytest.mark.parametrize("system", ["writes", "plain"])
def test_a_warning_of_the_detection_comes_once(host, make_raster, system) -> None:
    pixels = np.full((3, 128, 192), 60, np.uint8)
    coarse = (500000.0, 30.0, 0.0, 5000000.0, 0.0, -30.0)
    pair = [make_raster(f"{name}.tif", pixels, coarse) for name in ("before", "after")]
    warned: list[str] = []
    boxes = ((0, 0, 64, 64), (64, 64, 128, 128))
    request = CaptionRequest(*pair, boxes, system=system, checked_by="plain")
    caption(request, host, warned=warned.append)
    assert len(warned) == 1
    assert "much larger than" in warned[0]


@pytest.mark.parametrize("system", ["writes", "plain"])
def test_pairs_without_georeference_are_described_as_sharp_ones(
    host, make_raster, monkeypatch, system
) -> None:
    """With unknown pixel size, ground of another colour would outweigh the objects."""
    pixels = np.full((3, 128, 192), 60, np.uint8)
    pair = [make_raster(f"{name}.tif", pixels, None) for name in ("before", "after")]
    given: list[Hints] = []
    predict = worker_systems.Plain.predict

    def watched(system, before, after, queries, hints=NO_HINTS):
        given.append(hints)
        return predict(system, before, after, queries, hints)

    monkeypatch.setattr(worker_systems.Plain, "predict", watched)
    caption(CaptionRequest(*pair, system=system, checked_by="plain"), host)
    assert given
    assert not any(hints.coarse for hints in given)


@pytest.mark.parametrize("system", ["writes", "plain"])
def test_the_pixel_size_of_the_user_reaches_writer_and_detection(
    host, make_raster, monkeypatch, system
) -> None:
    before = np.full((3, 128, 192), 60, np.uint8)
    after = before.copy()
    after[:, 10:40, 70:90] = 250
    pair = [make_raster(f"{n}.tif", a, None, "") for n, a in (("before", before), ("after", after))]
    seen: list[float] = []
    predict = worker_systems.Plain.predict

    def watched(system, before, after, queries, hints=NO_HINTS):
        seen.append(float((after[0] > 200).all(-1).sum()))
        return predict(system, before, after, queries, hints)

    monkeypatch.setattr(worker_systems.Plain, "predict", watched)
    request = CaptionRequest(*pair, system=system, checked_by="plain")
    (plain,) = caption(request, host)
    most = max(seen)
    seen.clear()
    (magnified,) = caption(replace(request, pixel_size=1.0), host)
    # The systems know pixels of 0.5 m: four for one, of which a tile holds most.
    assert max(seen) > 2.5 * most
    if system == "writes":
        assert "building of 600 pixels" in plain.caption
        assert "building of 600 pixels" not in magnified.caption


def test_tiles_have_the_size_that_a_system_looks_at_in_one_piece(host, make_raster) -> None:
    with RasterSource.open(
        make_raster("plain.tif", np.zeros((3, 128, 192), np.uint8), None, "")
    ) as source:
        grid = source.grid
    info = host.info("writes")
    assert tile_boxes(grid, info)[0] == (0, 0, 64, 64)
    assert tile_boxes(grid, info, 1.0)[0] == (0, 0, 32, 32)


def test_a_sentence_about_a_tile_must_be_true_of_the_whole_area(
    host: InProcessHost, make_raster
) -> None:
    before = np.full((3, 128, 192), 60, np.uint8)
    after = before.copy()
    for x in (10, 74, 138):
        for y in (10, 74):
            after[:, y : y + 12, x : x + 20] = 250
    pair = make_raster("few.tif", before), make_raster("six.tif", after)
    request = CaptionRequest(*pair, ((0, 0, 64, 64), (0, 0, 192, 128)), **SYSTEMS)
    answers = caption(request, host)
    assert answers[0].caption.startswith("A building of 240 pixels is built. 1 building")
    # "A building" is false for six of them.
    assert answers[1].caption.startswith("6 buildings appeared")


def test_cancelling_keeps_the_captions_that_are_there(host: InProcessHost, pair) -> None:
    written: list[BoxCaption] = []
    boxes = ((0, 0, 64, 64), (64, 0, 128, 64), (0, 64, 64, 128))
    answers = caption(
        CaptionRequest(*pair, boxes, **SYSTEMS),
        host,
        captioned=written.append,
        cancelled=lambda: len(written) == 2,
    )
    assert len(answers) == 2
    assert written == answers


def test_progress_goes_from_nothing_to_done_for_each_box(host: InProcessHost, pair) -> None:
    seen = []
    request = CaptionRequest(*pair, ((0, 0, 128, 128), (64, 0, 128, 64)), **SYSTEMS)
    caption(request, host, progress=seen.append)
    of_boxes = [p.fraction for p in seen if p.stage in (Stage.CAPTIONING, Stage.DONE)]
    while of_boxes[1] == 0:  # the detection before
        del of_boxes[0]
    assert of_boxes == [0, 0.25, 0.5, 0.75, 1, 0, 1]
    assert {p.fraction for p in seen if p.stage is Stage.DETECTING} == {0}


def test_a_region_lies_in_the_middle_of_what_is_shown(host, pair) -> None:
    with contextlib.ExitStack() as stack:
        before, after = (stack.enter_context(RasterSource.open(path)) for path in pair)
        system = stack.enter_context(host.open("writes"))
        writer = CaptionWriter(before, after, system)
        for box, corner in (
            ((70, 50, 90, 70), (48, 28)),
            ((0, 100, 10, 128), (0, 64)),
            ((180, 3, 192, 9), (128, 0)),
        ):
            x0, y0, x1, y1 = box
            (view,) = writer.views(place_of(before.grid, x0, y0, x1 - x0, y1 - y0))
            assert view.window == before.grid.window(*corner, 64, 64)
            assert view.inside.sum() == (x1 - x0) * (y1 - y0)
        with pytest.raises(InputError, match="lies outside"):
            list(writer.views(place_of(before.grid, 500, 500, 10, 10)))


def test_a_system_without_sentences_is_an_error(host: InProcessHost) -> None:
    tiles = np.zeros((1, 64, 64, 3), np.uint8)
    with host.open("plain") as system, pytest.raises(InputError, match="writes no sentences"):
        system.describe(tiles, tiles, [], tiles[..., 0])


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
        with worker.open("writes") as system:
            there = system.describe(*tiles, queries, regions)
            assert system.predict(*tiles, queries).captions == ()
        with host.open("writes") as system:
            here = system.describe(*tiles, queries, regions)
        assert there.captions == here.captions
        assert "a building of" in there.captions[1]
        assert np.array_equal(there.scores, here.scores)
    finally:
        worker.close()
