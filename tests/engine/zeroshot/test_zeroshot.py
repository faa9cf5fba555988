# SPDX-License-Identifier: GPL-3.0-or-later
"""The whole zero-shot system: words, synthetic objects, small random models, weights."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
from zeroshot_models import CPU, PlantedClip, PlantedSegmenter, tiny_clip, tiny_sam2

from changescribe.engine.errors import WeightsError
from changescribe.engine.request import APPEARED, CHANGED, REMOVED, Hints, Query
from changescribe.engine.systems import create, zeroshot
from changescribe.engine.systems.base import CLASS_UNKNOWN
from changescribe.engine.systems.zeroshot import ZeroShotRemoteClipSystem, ZeroShotSystem
from changescribe.engine.weights.store import WeightsStore
from changescribe.engine.zeroshot import decide
from changescribe.engine.zeroshot.dense_clip import DenseClip
from changescribe.engine.zeroshot.detector import Detector
from changescribe.engine.zeroshot.segment import Segmenter

pytestmark = pytest.mark.torch

GRASS, BUILDING, WATER = (0, 0, 0), (250, 0, 0), (0, 0, 250)
#: Boxes of the constructed scene: x0, y0, x1, y1.
CAME, GONE, STAYED = (8, 8, 24, 24), (40, 8, 56, 24), (8, 40, 24, 56)
POND = (36, 36, 60, 60)
COMPETING = ("grass", "water")
HINTS = Hints(competing=COMPETING)


def scene(*boxes: tuple[int, int, int, int], pond: bool = False) -> np.ndarray:
    tile = np.zeros((1, 64, 64, 3), np.uint8)
    for x0, y0, x1, y1 in boxes:
        tile[0, y0:y1, x0:x1] = BUILDING
    if pond:
        x0, y0, x1, y1 = POND
        tile[0, y0:y1, x0:x1] = WATER
    return tile


def planted() -> ZeroShotSystem:
    system = ZeroShotSystem()
    system._detector = Detector(PlantedClip(), PlantedSegmenter(CAME, GONE, STAYED, POND))
    system._requested_device = "cpu"
    return system


def ask(system: ZeroShotSystem, before: np.ndarray, after: np.ndarray, *queries: Query):
    system.load("cpu")
    return system.predict(before, after, queries, HINTS)


def found(plane: np.ndarray) -> set[str]:
    """Return which boxes are found, and "else" where anything is three pixels outside them."""
    left = plane >= 0.5
    names = set()
    for name, (x0, y0, x1, y1) in (
        ("came", CAME),
        ("gone", GONE),
        ("stayed", STAYED),
        ("pond", POND),
    ):
        if left[y0:y1, x0:x1].mean() > 0.9:
            names.add(name)
        left[y0 - 3 : y1 + 3, x0 - 3 : x1 + 3] = False
    return names | ({"else"} if left.any() else set())


def both(noun: str) -> tuple[Query, ...]:
    return tuple(Query(noun, way) for way in (APPEARED, REMOVED, CHANGED))


def test_planted_objects_are_found_with_their_direction() -> None:
    before, after = scene(GONE, STAYED), scene(CAME, STAYED, pond=True)
    answer = ask(planted(), before, after, *both("buildings"), *both("water"))
    planes = [found(plane) for plane in answer.scores[0]]
    assert planes == [{"came"}, {"gone"}, {"came", "gone"}, {"pond"}, set(), {"pond"}]
    # building is class 0, grass 3, water 4
    assert answer.classes_before[0, 16, 16] == 3
    assert answer.classes_after[0, 16, 16] == 0
    assert answer.classes_after[0, 48, 48] == 4


def test_nothing_is_found_where_nothing_has_changed_or_nothing_is() -> None:
    same = scene(CAME, STAYED)
    assert not (ask(planted(), same, same, *both("buildings")).scores >= 0.5).any()
    # A change to another class does not count for the object.
    assert not (ask(planted(), scene(), scene(pond=True), *both("buildings")).scores >= 0.5).any()
    assert not ask(planted(), scene(), scene(CAME), *both("elephants")).scores.any()


def test_exchanging_the_dates_exchanges_the_directions_exactly() -> None:
    before, after = scene(GONE, STAYED), scene(CAME, STAYED, pond=True)
    queries = (*both("buildings"), *both("water"))
    there = ask(planted(), before, after, *queries)
    back = ask(planted(), after, before, *queries)
    assert np.array_equal(there.scores, back.scores[:, [1, 0, 2, 4, 3, 5]])
    assert np.array_equal(there.classes_before, back.classes_after)


def test_an_image_is_encoded_once_for_all_queries() -> None:
    system = planted()
    queries = (*both("buildings"), *both("building"))
    ask(system, scene(), scene(CAME), *queries)
    assert system._detector._segmenter.encodings == 2


def test_otsu_in_place_of_the_angle() -> None:
    system = planted()
    system._detector._least_angle = None
    answer = ask(system, scene(GONE, STAYED), scene(CAME, STAYED), *both("buildings"))
    assert [found(plane) for plane in answer.scores[0]] == [{"came"}, {"gone"}, {"came", "gone"}]


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_random_models_go_through_all_steps_and_are_symmetric(
    precision: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import open_clip

    monkeypatch.setattr(decide, "MAX_PEAKS", 6)
    system, device = ZeroShotSystem(), replace(CPU, precision=precision)
    clip = DenseClip(tiny_clip(), open_clip.get_tokenizer("ViT-B-32"), ["a {}."], device)
    system._detector = Detector(clip, Segmenter(tiny_sam2(), device))
    system._requested_device = "cpu"
    tiles = np.random.default_rng(0).integers(0, 255, (2, 2, 64, 64, 3), dtype=np.uint8)
    queries = (*both("swimming pools"), *both("trees"))
    there = ask(system, *tiles, *queries)
    assert there.scores.shape == (2, 6, 64, 64)
    assert there.scores.dtype == np.float32
    assert 0 <= there.scores.min() <= there.scores.max() <= 1
    assert set(np.unique(there.classes_after)) <= {*range(6), CLASS_UNKNOWN}
    back = ask(system, *tiles[::-1], *queries)
    assert np.array_equal(there.scores, back.scores[:, [1, 0, 2, 4, 3, 5]])
    assert ask(system, *tiles).scores.shape == (2, 0, 64, 64)


@pytest.mark.slow
@torch.no_grad()
def test_outlines_are_those_of_sam2s_own_predictor() -> None:
    from sam2.sam2_image_predictor import SAM2ImagePredictor

    model = tiny_sam2(1024)  # the only size that the predictor takes
    image = np.random.default_rng(1).integers(0, 255, (120, 160, 3), dtype=np.uint8)
    points = np.array([[30.0, 20.0], [100.0, 90.0]])
    predictor = SAM2ImagePredictor(model)
    predictor.set_image(image)
    _, quality, masks = predictor.predict(points[:, None], np.ones((2, 1)))
    segmenter = Segmenter(model, CPU)
    encoded = segmenter.encode(torch.from_numpy(image).permute(2, 0, 1).float())
    ours = segmenter.outline(encoded, torch.from_numpy(points), (120, 160))
    assert torch.allclose(ours[0].clamp(-32, 32), torch.from_numpy(masks).flatten(0, 1), atol=1e-3)
    assert torch.allclose(ours[1], torch.from_numpy(quality).flatten(), atol=1e-4)


def test_missing_weights_are_named_with_their_size_and_how_to_get_them(tmp_path: Path) -> None:
    with pytest.raises(WeightsError) as caught:
        create("zero-shot").__class__(WeightsStore(tmp_path)).load()
    assert "sam2.1_hiera_base_plus.pt, 324 MB" in caught.value.message
    assert "ViT-B-16.pt" in caught.value.message
    assert "models fetch sam2.1-hiera-base-plus" in caught.value.hint
    assert "Import from folder" in caught.value.hint
    remote = create("zero-shot-remoteclip").info
    assert remote.weights == ("sam2.1-hiera-base-plus", "remoteclip-vit-b-32")
    assert remote.tier == "full"
    json.dumps(remote.competing)


@pytest.mark.slow
def test_files_of_the_true_architectures_are_loaded(tmp_path: Path, monkeypatch) -> None:
    import open_clip
    from sam2.build_sam import build_sam2

    from changescribe.engine.weights import catalogue
    from changescribe.engine.zeroshot import dense_clip

    monkeypatch.setattr(zeroshot, "_SAM2", "sam2.1-hiera-tiny")
    monkeypatch.setattr(dense_clip, "SCALES", (1.0,))
    models = {
        "sam2.1-hiera-tiny": lambda: {
            "model": build_sam2("configs/sam2.1/sam2.1_hiera_t.yaml", device="cpu").state_dict()
        },
        "remoteclip-vit-b-32": lambda: open_clip.create_model("ViT-B-32").state_dict(),
    }
    # Random weights have no known SHA-256.
    known = {name: replace(catalogue.entry(name), sha256=None, size=None) for name in models}
    store = WeightsStore(tmp_path / "store", known)
    for name, make in models.items():
        torch.save(make(), tmp_path / "file.pt")
        store.import_from(tmp_path / "file.pt", [name])
    system = ZeroShotRemoteClipSystem(store)
    system.load("cpu")
    assert system.device.startswith("CPU")
    tiles = np.random.default_rng(0).integers(0, 255, (2, 1, 96, 96, 3), dtype=np.uint8)
    answer = system.predict(*tiles, both("ships"), HINTS)
    assert answer.scores.shape == (1, 3, 96, 96)
    system.unload()
    assert system.device == "not loaded"


def test_a_list_that_names_only_the_object_is_reported() -> None:
    (note,) = ZeroShotSystem().notes([Query("houses", APPEARED)], Hints(competing=("building",)))
    assert 'name only "houses"' in note
    assert not ZeroShotSystem().notes([Query("houses", APPEARED)], HINTS)
