# SPDX-License-Identifier: GPL-3.0-or-later
"""The bundled captioner in the plugin: pooled features, decoding, files. No torch."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("onnxruntime")

from changescribe.engine.errors import WeightsError
from changescribe.engine.paths import MODELS
from changescribe.engine.request import Query
from changescribe.engine.systems.bundled import BundledSystem
from changescribe.engine.systems.bundled.captioner import (
    END,
    MANIFEST,
    START,
    BundledCaptioner,
    CaptionerFacts,
    decode,
    read_facts,
    sentence_of,
)
from changescribe.engine.systems.bundled.features import GRID, QUERIES, features, pooled, window_of

_A, _B, _C = 4, 5, 6


def _region(height: int, width: int, y0: int, y1: int, x0: int, x1: int) -> np.ndarray:
    region = np.zeros((height, width), np.uint8)
    region[y0:y1, x0:x1] = 1
    return region


def test_the_window_is_the_region_with_ground_around_it() -> None:
    assert window_of(_region(512, 512, 0, 320, 0, 320)) == (0, 320, 0, 320)
    assert window_of(_region(512, 512, 10, 500, 0, 400)) == (10, 500, 0, 400)
    assert window_of(_region(512, 512, 250, 260, 100, 140)) == (95, 415, 0, 320)
    assert window_of(_region(512, 512, 500, 512, 500, 512)) == (192, 512, 192, 512)
    assert window_of(_region(64, 96, 3, 5, 90, 96)) == (0, 64, 0, 96)


def test_pooling_averages_cells_and_shares_elements_on_their_borders() -> None:
    ramp = np.repeat(np.arange(16, dtype=np.float32)[:, None], 16, 1)[None]
    whole = pooled(ramp, (0, 256, 0, 256), 16)
    assert whole.shape == (1, GRID, GRID)
    assert whole[0, :, 3] == pytest.approx([0.5 + 2 * n for n in range(GRID)])
    # Cells of one row and a half: each shares a row with its neighbour.
    part = pooled(ramp, (0, 192, 0, 256), 16)
    assert part[0, :2, 0] == pytest.approx([(0 + 0.5 * 1) / 1.5, (0.5 * 1 + 2) / 1.5])


def _parts(rng: np.random.Generator) -> dict[str, np.ndarray]:
    return {
        "stride16": rng.normal(size=(2, 5, 16, 16)).astype(np.float32),
        "stride32": rng.normal(size=(2, 5, 8, 8)).astype(np.float32),
        "classes": rng.normal(size=(2, 6, 64, 64)).astype(np.float32),
    }


def test_features_tell_what_changed_where_and_how_often() -> None:
    rng = np.random.default_rng(0)
    scores = np.zeros((len(QUERIES), 256, 256), np.float32)
    houses = QUERIES.index(Query("buildings", "appeared"))
    scores[houses, 0:20, 0:20] = 0.9
    scores[houses, 0:20, 40:60] = 0.9
    scores[houses, 250, 250] = 1.0  # a speck is no building
    grid, summary = features(_parts(rng), scores, np.ones((256, 256), np.uint8))
    assert grid.shape == (2 * (5 + 5 + 6) + 24, GRID, GRID)
    assert summary.shape == (60,)
    assert summary[houses] == pytest.approx(scores[houses].mean(), rel=1e-4)
    assert summary[12 + houses] == pytest.approx((scores[houses] >= 0.5).mean(), rel=1e-4)
    assert np.expm1(summary[36 + houses]) == pytest.approx(2)
    shares = grid[-12 + houses]
    assert shares[0, 0] == pytest.approx(20 * 20 / 32**2, rel=1e-3)
    assert shares[4, 4] == 0


def test_change_outside_of_the_region_is_not_seen() -> None:
    rng = np.random.default_rng(0)
    scores = np.zeros((len(QUERIES), 256, 256), np.float32)
    scores[:, 0:50, 0:50] = 1
    parts = _parts(rng)
    _, outside = features(parts, scores, _region(256, 256, 100, 200, 100, 200))
    _, inside = features(parts, scores, _region(256, 256, 0, 60, 0, 60))
    assert not outside[:48].any()
    assert inside[:48].all()


def _chain(table: dict[tuple[int, ...], dict[int, float]]):
    """Return a model whose next words are in a table, by the words so far; else the end."""

    def go_on(tokens: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        likely = np.full((len(tokens), 8), 1e-9)
        for row, words in enumerate(tokens.tolist()):
            for word, chance in table.get(tuple(words[1:]), {END: 1.0}).items():
                likely[row, word] = chance
        return np.log(likely), np.array([0.9], np.float32)

    return go_on


def test_the_beam_finds_what_greed_misses() -> None:
    go_on = _chain(
        {
            (): {_A: 0.6, _B: 0.4},
            (_A,): {7: 0.35, _B: 0.33, _C: 0.32},
            (_B,): {_C: 1.0},
        }
    )
    assert decode(go_on, 10, beams=1)[0] == [_A, 7]
    words, changed = decode(go_on, 10, beams=3)
    assert words == [_B, _C]
    assert changed == pytest.approx(0.9)


def _always(*chances: float):
    def go_on(tokens: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return np.log(np.tile(chances, (len(tokens), 1))), np.ones(1)

    return go_on


def test_decoding_stops_and_never_writes_what_is_no_word() -> None:
    words, _ = decode(_always(0.2, 0.2, 1e-6, 0.2, 0.3, 0.1), 9, beams=3)
    assert len(words) == 7
    assert set(words) <= {4, 5}
    assert all(one != other for one, other in zip(words, words[1:]))
    # A sentence has a word, however likely its end is.
    assert decode(_always(1e-9, 1e-9, 1.0, 1e-9, 0.3, 0.1), 9, beams=2)[0] == [4]
    assert START not in words


def test_a_sentence_has_a_capital_and_a_full_stop() -> None:
    assert sentence_of(["a", "road", "appears"]) == "A road appears."
    assert sentence_of([]) == ""


def test_files_are_verified(tmp_path: Path) -> None:
    assert read_facts(tmp_path) is None
    (tmp_path / "captioner.onnx").write_bytes(b"no model")
    digest = hashlib.sha256(b"another").hexdigest()
    facts = CaptionerFacts({"captioner.onnx": digest}, {}, "r", 26, 0.5, "no change has occurred")
    with pytest.raises(WeightsError, match="damaged"):
        BundledCaptioner(tmp_path, facts, lambda path: None)
    (tmp_path / MANIFEST).write_text("{", encoding="utf-8")
    with pytest.raises(WeightsError, match="damaged"):
        read_facts(tmp_path)


@pytest.fixture(scope="module")
def system() -> BundledSystem:
    loaded = BundledSystem()
    loaded.load("cpu")
    return loaded


def test_the_shipped_captioner_belongs_to_the_shipped_model() -> None:
    facts = json.loads((MODELS / MANIFEST).read_text(encoding="utf-8"))
    shipped = json.loads((MODELS / "manifest.json").read_text(encoding="utf-8"))["sha256"]
    assert facts["belongs_to"] == {
        name: shipped[name] for name in ("encoder.onnx", "head.onnx", "text.onnx")
    }, "run changescribe build captioner"
    for name, digest in facts["files"].items():
        path = MODELS / name
        assert hashlib.sha256(path.read_bytes()).hexdigest() == digest
        assert path.stat().st_size < 5_000_000
    assert BundledSystem().info.writes


def test_the_bundled_system_writes_a_sentence_about_a_pair(
    system: BundledSystem, new_houses: tuple[np.ndarray, np.ndarray]
) -> None:
    before, after = new_houses
    whole = np.ones((1, 256, 256), np.uint8)
    query = Query("buildings", "appeared")
    answer = system.describe(before, after, [query], whole)
    (sentence,) = answer.captions
    assert sentence[0].isupper()
    assert sentence.endswith(".")
    assert len(sentence.split()) > 2
    expected = system.predict(before, after, [query]).scores
    assert np.abs(answer.scores - expected).max() < 1e-4
    assert system.describe(before, after, [], 0 * whole).captions == ("",)
    nothing = system.describe(before, before, [], whole).captions[0]
    facts = json.loads((MODELS / MANIFEST).read_text(encoding="utf-8"))
    assert nothing == sentence_of(facts["no_change"].split())


def test_without_a_captioner_that_fits_there_are_no_sentences(tmp_path: Path) -> None:
    for name in ("manifest.json", MANIFEST):
        (tmp_path / name).write_bytes((MODELS / name).read_bytes())
    assert BundledSystem(tmp_path).info.writes
    facts = json.loads((tmp_path / MANIFEST).read_text(encoding="utf-8"))
    facts["belongs_to"]["head.onnx"] = "0" * 64
    (tmp_path / MANIFEST).write_text(json.dumps(facts), encoding="utf-8")
    assert not BundledSystem(tmp_path).info.writes
    (tmp_path / MANIFEST).unlink()
    assert not BundledSystem(tmp_path).info.writes
