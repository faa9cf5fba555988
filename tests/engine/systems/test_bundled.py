# SPDX-License-Identifier: GPL-3.0-or-later
"""The shipped model: files, answers, errors. No torch."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("onnxruntime")

from changescribe.engine.classes import CLASS_NAMES
from changescribe.engine.errors import WeightsError
from changescribe.engine.paths import MODELS
from changescribe.engine.request import Hints, Query
from changescribe.engine.systems.base import CLASS_UNKNOWN
from changescribe.engine.systems.bundled import BundledSystem
from changescribe.engine.systems.texts import SystemsTexts

SHIPPED = ("encoder.onnx", "head.onnx", "text.onnx", "vocab.txt")
MEGABYTE = 1_000_000


@pytest.fixture(scope="module")
def system() -> BundledSystem:
    loaded = BundledSystem()
    loaded.load("cpu")
    return loaded


def test_files_are_small_and_are_the_ones_of_the_manifest():
    manifest = json.loads((MODELS / "manifest.json").read_text(encoding="utf-8"))
    assert set(manifest["sha256"]) == set(SHIPPED)
    for name, digest in manifest["sha256"].items():
        assert hashlib.sha256((MODELS / name).read_bytes()).hexdigest() == digest
    assert sum((MODELS / name).stat().st_size for name in SHIPPED) < 20 * MEGABYTE


def test_info_describes_the_system():
    info = BundledSystem().info
    assert info.classes == CLASS_NAMES
    assert info.tile_size % 32 == 0
    assert info.pixel_sizes == tuple(sorted(info.pixel_sizes))
    assert info.terms
    assert info.revision


def test_prediction_has_the_promised_shapes(system, new_houses):
    queries = [Query("buildings", "appeared"), Query("trees", "removed"), Query("roads", "changed")]
    answer = system.predict(*new_houses, queries)
    assert answer.scores.shape == (1, 3, 256, 256)
    assert answer.scores.dtype == np.float32
    assert answer.scores.min() >= 0
    assert answer.scores.max() <= 1
    for classes in (answer.classes_before, answer.classes_after):
        assert classes.shape == (1, 256, 256)
        assert set(np.unique(classes)) <= {*range(len(CLASS_NAMES)), CLASS_UNKNOWN}


def test_exchanged_dates_exchange_appeared_and_removed_exactly(system, new_houses):
    queries = [Query("houses", "appeared"), Query("houses", "removed")]
    forward = system.predict(*new_houses, queries)
    backward = system.predict(*new_houses[::-1], queries)
    # The two dates share a batch in the encoder, whose order may change the last digit.
    assert np.allclose(forward.scores, backward.scores[:, ::-1], atol=1e-4)
    assert np.array_equal(forward.classes_before, backward.classes_after)


def test_changed_is_the_larger_of_both_directions(system, new_houses):
    queries = [Query("roads", d) for d in ("appeared", "removed", "changed")]
    scores = system.predict(*new_houses, queries).scores[0]
    assert np.allclose(scores[2], np.maximum(scores[0], scores[1]), atol=1e-5)


def test_the_same_image_twice_has_no_change(system, new_houses):
    queries = [Query(name, "appeared") for name in ("buildings", "roads", "trees", "water")]
    scores = system.predict(new_houses[1], new_houses[1], queries).scores
    assert (scores >= 0.5).mean() < 0.001


def test_a_tile_gets_the_same_answer_alone_and_in_a_batch(system, new_houses):
    query = [Query("buildings", "appeared")]
    before = np.concatenate([new_houses[0], new_houses[1]])
    after = np.concatenate([new_houses[1], new_houses[0]])
    batch = system.predict(before, after, query).scores
    assert np.allclose(batch[:1], system.predict(*new_houses, query).scores, atol=1e-5)
    assert np.allclose(batch[1:], system.predict(*new_houses[::-1], query).scores, atol=1e-5)


def test_notes_warn_of_things_it_was_not_trained_on(system):
    assert system.notes([Query("houses", "appeared"), Query("tree cover", "removed")]) == ()
    notes = system.notes([Query("elephants", "appeared")])
    assert len(notes) == 1
    assert "elephants" in notes[0]


@pytest.fixture(scope="module")
def coarse_pair() -> tuple[np.ndarray, np.ndarray]:
    """Fields in coarse pixels; later, in different light, with a new estate."""
    rng = np.random.default_rng(5)
    fields = rng.integers(70, 130, (16, 16, 3)).repeat(16, 0).repeat(16, 1)
    before = np.clip(fields + rng.normal(0, 5, (256, 256, 3)), 0, 255).astype(np.uint8)
    after = np.clip(before * 0.8 + 30, 0, 255).astype(np.uint8)
    after[96:144, 96:144] = rng.choice([110, 235], (48, 48, 1))
    return before[None], after[None]


ANYTHING = [Query(name, way) for name in CLASS_NAMES for way in ("appeared", "removed")]
COARSE = Hints(coarse=True)


def test_in_coarse_pixels_a_residual_is_found_and_belongs_to_one_query(system, coarse_pair):
    answer = system.predict(*coarse_pair, ANYTHING, COARSE)
    found = answer.scores[0] >= 0.5
    assert found[:, 104:136, 104:136].any(0).mean() > 0.9
    added = found & (system.predict(*coarse_pair, ANYTHING).scores[0] < 0.5)
    assert added.sum(0).max() == 1
    found[:, 84:156, 84:156] = False
    assert found.mean() < 0.005
    assert answer.notes == (SystemsTexts.coarse(),)


def test_too_few_coarse_pixels_give_a_note(system, coarse_pair):
    before, after = (date.copy() for date in coarse_pair)
    before[:, 60:] = after[:, 60:] = 0
    before[:, :, 60:] = after[:, :, 60:] = 0
    notes = system.predict(before, after, ANYTHING, COARSE).notes
    assert notes == (SystemsTexts.coarse(), SystemsTexts.too_little_data())
    assert system.predict(before, after, ANYTHING).notes == ()


def test_pixels_that_are_not_coarse_are_answered_by_the_network_alone(
    system, coarse_pair, monkeypatch
):
    queries = [*ANYTHING, Query("elephants", "appeared")]
    answer = system.predict(*coarse_pair, queries)
    assert answer.notes == ()
    by_colour = system.predict(*coarse_pair, queries, COARSE).scores
    assert (by_colour > answer.scores + 0.3).any()
    # An object without a class gets none of the change.
    assert np.allclose(by_colour[:, -1], answer.scores[:, -1], atol=1e-5)
    assert by_colour[0, -1].max() < 0.5
    monkeypatch.setattr(system, "residual_map", None)
    assert np.array_equal(system.predict(*coarse_pair, queries, COARSE).scores, answer.scores)


def test_water_is_left_to_the_network_without_a_note(system, coarse_pair):
    queries = [Query("water", way) for way in ("appeared", "removed")]
    answer = system.predict(*coarse_pair, queries, COARSE)
    assert answer.notes == ()
    alone = system.predict(*coarse_pair, queries)
    assert np.array_equal(answer.scores, alone.scores)
    assert system.predict(*coarse_pair, [*queries, ANYTHING[0]], COARSE).notes == (
        SystemsTexts.coarse(),
    )


def test_exchanged_dates_exchange_the_answers_in_coarse_pixels_too(system, coarse_pair):
    forward = system.predict(*coarse_pair, ANYTHING, COARSE).scores[0]
    backward = system.predict(*coarse_pair[::-1], ANYTHING, COARSE).scores[0]
    exchanged = backward.reshape(-1, 2, 256, 256)[:, ::-1].reshape(forward.shape)
    assert ((forward >= 0.5) != (exchanged >= 0.5)).mean() < 0.001


@pytest.mark.parametrize(
    ("name", "way", "fits"),
    [
        ("buildings", "appeared", True),
        ("buildings", "changed", True),
        ("buildings", "removed", False),  # the other direction scores higher
        ("roads", "appeared", False),
        ("roads", "removed", False),  # nothing was built on the earlier date
        ("trees", "removed", True),
        ("trees", "appeared", False),  # there are no plants on the later date
        ("water", "appeared", False),
        ("elephants", "appeared", False),
    ],
)
def test_a_coarse_change_fits_a_query_of_its_direction_and_kind(monkeypatch, name, way, fits):
    raw = {("buildings", "appeared"): 1, ("roads", "removed"): 1, ("trees", "removed"): 1}
    classes = np.full((2, 6, 8, 8), -5.0, np.float32)
    classes[0, CLASS_NAMES.index("tree")] = classes[1, CLASS_NAMES.index("building")] = 5
    if name == "water":
        classes[1, CLASS_NAMES.index("water")] = 9
    system = BundledSystem()
    monkeypatch.setattr(
        system,
        "_raw",
        lambda _, queries: np.stack(
            [np.full((32, 32), raw.get((q.object, q.direction), 0), np.float32) for q in queries]
        ),
    )
    found = system._best_fitting([], [Query(name, way)], classes)
    assert found.shape == (1, 32, 32)
    assert found.all() if fits else not found.any()


def test_device_describes_what_runs_and_why(system):
    assert system.device.startswith("CPU (")


def _copy(tmp_path: Path) -> Path:
    for name in (*SHIPPED, "manifest.json"):
        shutil.copyfile(MODELS / name, tmp_path / name)
    return tmp_path


def test_a_damaged_file_is_an_error(tmp_path):
    folder = _copy(tmp_path)
    content = bytearray((folder / "head.onnx").read_bytes())
    content[1000] ^= 1
    (folder / "head.onnx").write_bytes(content)
    with pytest.raises(WeightsError, match=r"damaged: head\.onnx"):
        BundledSystem(folder).load("cpu")


def test_a_missing_file_or_manifest_is_an_error(tmp_path):
    folder = _copy(tmp_path)
    (folder / "encoder.onnx").unlink()
    with pytest.raises(WeightsError, match=r"missing: encoder\.onnx"):
        BundledSystem(folder).load("cpu")
    with pytest.raises(WeightsError, match="missing or damaged"):
        BundledSystem(tmp_path / "nowhere")


def test_unload_and_load_again(new_houses):
    system = BundledSystem()
    system.load("cpu")
    system.unload()
    assert system.device == "not loaded"
    assert system.predict(*new_houses, [Query("roads", "appeared")]).scores.shape[1] == 1


def test_the_card_is_about_the_model_that_ships():
    revision = json.loads((MODELS / "manifest.json").read_text(encoding="utf-8"))["revision"]
    for text in (MODELS / "README.md", MODELS.parents[1] / "README.md"):
        assert f"`{revision}`" in text.read_text(encoding="utf-8")


SPOILED = {
    "a list": [],
    "no digest of the head": ("sha256", {"encoder.onnx": "0" * 64}),
    "a file elsewhere": ("sha256", {"../encoder.onnx": "0" * 64}),
    "a digest that is none": ("sha256", {"encoder.onnx": 1, "head.onnx": 2}),
    "digests as a list": ("sha256", ["encoder.onnx", "head.onnx"]),
    "no pixel size": ("pixel_sizes", []),
    "a negative pixel size": ("pixel_sizes", [-1.0]),
    "a pixel size that is none": ("pixel_sizes", ["small"]),
    "a number as calibration": ("calibration", 1),
    "no calibration of other phrases": ("calibration", {"road": {"scale": 1, "bias": 0}}),
    "an endless scale": ("calibration", {"other": {"scale": float("inf"), "bias": 0}}),
    "no phrases": ("phrases", []),
    "phrases that are none": ("phrases", [1]),
    "a revision that is none": ("revision", None),
    "a residual that is none": ("colour_residual", [1, 2]),
}


@pytest.mark.parametrize("spoiled", SPOILED.values(), ids=SPOILED)
def test_a_manifest_of_another_shape_is_damaged(spoiled, tmp_path):
    content = json.loads((MODELS / "manifest.json").read_text(encoding="utf-8"))
    if isinstance(spoiled, tuple):
        content[spoiled[0]] = spoiled[1]
    else:
        content = spoiled
    (tmp_path / "manifest.json").write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(WeightsError, match="bundled model is missing or damaged"):
        BundledSystem(tmp_path)


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"[" * 100_000, b"null", b"1", b'"x"'])
def test_a_manifest_that_is_none_is_damaged(content, tmp_path):
    (tmp_path / "manifest.json").write_bytes(content)
    with pytest.raises(WeightsError, match="bundled model is missing or damaged"):
        BundledSystem(tmp_path)
    shutil.copy(MODELS / "manifest.json", tmp_path)
    (tmp_path / "captioner.json").write_bytes(content)
    with pytest.raises(WeightsError, match="captioner is damaged"):
        BundledSystem(tmp_path)
