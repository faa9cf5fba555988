# SPDX-License-Identifier: GPL-3.0-or-later
"""Training scenes are from this generator, and their labels match their images."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("tqdm")

from changescribe.engine.errors import InputError
from changescribe.engine.synthesis.scenes import synthesise
from changescribe.engine.training.scenes import scene_cache

SEED = scene_cache.FIRST_SEED


@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.setattr(scene_cache, "SCENE_SIZE", 64)


def test_scenes_are_written_once_and_kept(tmp_path):
    scene_cache.write_scenes(tmp_path, 2)
    first = tmp_path / f"{SEED}.npz"
    written = first.stat().st_mtime_ns
    scene_cache.write_scenes(tmp_path, 3)
    assert first.stat().st_mtime_ns == written
    assert len(list(tmp_path.glob("*.npz"))) == 3
    assert not list(tmp_path.glob("*.part"))
    expected = synthesise(SEED, 64, registered=True)
    with np.load(first) as scene:
        assert np.array_equal(scene["after"], expected.after)
        assert np.array_equal(scene["label_after"], expected.labels_after)


def test_scenes_of_another_generator_are_refused(tmp_path, monkeypatch):
    scene_cache.write_scenes(tmp_path, 1)
    monkeypatch.setattr(scene_cache, "generator_digest", lambda: "another")
    with pytest.raises(InputError, match="another version"):
        scene_cache.write_scenes(tmp_path, 2)
    monkeypatch.undo()
    (tmp_path / scene_cache.MADE_BY).write_text("{")
    with pytest.raises(InputError, match="another version"):
        scene_cache.write_scenes(tmp_path, 2)
    (tmp_path / scene_cache.MADE_BY).unlink()
    with pytest.raises(InputError, match="another version"):
        scene_cache.write_scenes(tmp_path, 2)


def test_only_what_draws_scenes_counts_in_the_version_of_the_generator(tmp_path, monkeypatch):
    names = ("texts.py", "output.py", "facts.py", "demo.py", "render.py")
    for name in names:
        (tmp_path / name).write_text("first")
    monkeypatch.setattr(scene_cache.synthesis, "__file__", str(tmp_path / "__init__.py"))
    digest = scene_cache.generator_digest()
    for name in names[:-1]:
        (tmp_path / name).write_text("second")
    assert scene_cache.generator_digest() == digest
    (tmp_path / "render.py").write_text("second")
    assert scene_cache.generator_digest() != digest


def test_registered_scenes_differ_by_the_misregistration_alone():
    seed = next(
        seed
        for seed in range(20)
        if not np.array_equal(
            synthesise(seed, 64).after, synthesise(seed, 64, registered=True).after
        )
    )
    as_drawn, registered = synthesise(seed, 64), synthesise(seed, 64, registered=True)
    assert np.array_equal(as_drawn.before, registered.before)
    assert np.array_equal(as_drawn.labels_after, registered.labels_after)
