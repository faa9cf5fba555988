# SPDX-License-Identifier: GPL-3.0-or-later
"""Data sets in their published layouts: generated folders of each, and every error."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")
from PIL import Image

from changescribe.engine.errors import InputError
from changescribe.engine.training.pairs import crops, layouts, open_pairs
from changescribe.engine.training.pairs.base import Window
from changescribe.engine.training.pairs.pair import UNKNOWN, LabelledPair
from changescribe.engine.training.pairs.second import CLASSES, UNCHANGED
from changescribe.engine.training.recipe import AugmentSpec, DataSpec, Recipe
from changescribe.engine.training.tasks import create
from changescribe.engine.training.tasks.base import change_of

pytestmark = pytest.mark.torch

SIZE = 32


def _save(path, array) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path)


def _image(seed: int, size: int = SIZE) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 255, (size, size, 3)).astype(np.uint8)


def _mask(size: int = SIZE) -> np.ndarray:
    """A changed square of 8 x 8 pixels."""
    mask = np.zeros((size, size), np.uint8)
    mask[4:12, 8:16] = 255
    return mask


def _binary_set(folder, parts=("A", "B", "label"), names=("a", "b"), suffix="png") -> None:
    for number, name in enumerate(names):
        for part, array in zip(parts, (_image(number), _image(number + 50), _mask()), strict=True):
            _save(folder / part / f"{name}.{suffix}", array)


def test_levir_cd(tmp_path):
    _binary_set(tmp_path / "train")
    pairs = open_pairs(DataSpec("levir_cd", split="train"), tmp_path)
    assert pairs.names == ["a", "b"]
    assert pairs.size(1) == (SIZE, SIZE)
    pair = pairs.read(0)
    assert np.array_equal(pair.before, _image(0))
    assert np.array_equal(pair.after, _image(50))
    assert pair.change.sum() == 64
    assert pair.change.max() == 1
    assert np.array_equal(pair.directions["buildings", "appeared"], pair.change)
    assert not pair.directions["buildings", "removed"].any()
    assert pair.images[1].endswith("a.png")
    window = pairs.read(0, Window(4, 8, 8, 4))
    assert window.change.shape == (8, 4)
    assert window.change.all()
    assert np.array_equal(window.before, pair.before[4:12, 8:12])


def test_cut_copies_with_lists_and_folds(tmp_path):
    _binary_set(tmp_path, names=("a", "b", "c", "d", "e"))
    (tmp_path / "list").mkdir()
    (tmp_path / "list" / "val.txt").write_text("b.png\nd.png\n")
    for layout in ("levir_cd", "whu_cd"):
        assert open_pairs(DataSpec(layout, split="val"), tmp_path).names == ["b", "d"]
    folds = [open_pairs(DataSpec("levir_cd", folds=2, fold=[f]), tmp_path).names for f in (0, 1)]
    assert folds == [["a", "c", "e"], ["b", "d"]]
    (tmp_path / "list" / "val.txt").write_text("b.png\nz.png\n")
    with pytest.raises(InputError, match="not in the folder: z"):
        open_pairs(DataSpec("levir_cd", split="val"), tmp_path)


def test_sysu_cd_knows_no_direction(tmp_path):
    _binary_set(tmp_path / "test", ("time1", "time2", "label"))
    pair = open_pairs(DataSpec("sysu_cd", split="test"), tmp_path).read(1)
    assert pair.change.sum() == 64
    assert not pair.directions


def test_whu_cd_as_released(tmp_path):
    for year, seed in ((2012, 0), (2016, 1)):
        path = tmp_path / f"{year}/whole_image/train/image/{year}_train.tif"
        _save(path, _image(seed, 40))
    _save(tmp_path / "change_label/train/change_label.tif", _mask(40))
    pairs = open_pairs(DataSpec("whu_cd", split="train"), tmp_path)
    assert pairs.size(0) == (40, 40)
    pair = pairs.read(0, Window(4, 8, 8, 16))
    assert np.array_equal(pair.before, _image(0, 40)[4:12, 8:24])
    assert pair.change[:, :8].all()
    assert not pair.change[:, 8:].any()
    _save(tmp_path / "change_label/train/change_label.tif", _mask(48))
    with pytest.raises(InputError, match="differ in size"):
        open_pairs(DataSpec("whu_cd", split="train"), tmp_path)


def _second(folder) -> None:
    """A building becomes low vegetation, and another building; the rest is unchanged."""
    labels = [np.full((SIZE, SIZE, 3), UNCHANGED, np.uint8) for _ in range(2)]
    labels[0][4:8, 4:8] = CLASSES["buildings"]
    labels[1][4:8, 4:8] = CLASSES["low vegetation"]
    labels[0][20:22, 20:22] = labels[1][20:22, 20:22] = CLASSES["buildings"]
    arrays = (_image(0), _image(1), *labels)
    for part, array in zip(("im1", "im2", "label1", "label2"), arrays, strict=True):
        _save(folder / part / "0001.png", array)


def test_second(tmp_path):
    _second(tmp_path / "train")
    pairs = open_pairs(DataSpec("second", split="train"), tmp_path)
    assert pairs.classes == (
        "water",
        "bare ground",
        "low vegetation",
        "trees",
        "buildings",
        "playgrounds",
    )
    pair = pairs.read(0)
    assert pair.change.sum() == 16 + 4
    assert set(np.unique(pair.semantic_before)) == {4, UNKNOWN}
    assert pair.semantic_after[5, 5] == 2
    assert pair.directions["buildings", "removed"].sum() == 16  # not the building replaced
    assert not pair.directions["buildings", "appeared"].any()
    assert pair.directions["low vegetation", "appeared"].sum() == 16
    assert not pair.directions["water", "appeared"].any()


def test_second_refuses_other_colours(tmp_path):
    _second(tmp_path)
    label = np.asarray(Image.open(tmp_path / "label1" / "0001.png")).copy()
    label[0, 0] = (1, 2, 3)
    _save(tmp_path / "label1" / "0001.png", label)
    with pytest.raises(InputError, match="colour unknown to SECOND: 1, 2, 3"):
        open_pairs(DataSpec("second"), tmp_path).read(0)


def test_levir_mci(tmp_path):
    label = np.zeros((SIZE, SIZE), np.uint8)
    label[:2], label[10:13] = 128, 255
    base = tmp_path / "images" / "train"
    for part, array in (("A", _image(0)), ("B", _image(1)), ("label", np.dstack([label] * 3))):
        _save(base / part / "train_000001.png", array)
    rows = [{"filename": "train_000001.png", "sentences": [{"raw": " a road is built "}]}]
    captions = tmp_path / "LevirCCcaptions.json"
    captions.write_text(json.dumps({"images": rows}))
    spec = DataSpec("levir_mci", split="train")
    pair = open_pairs(spec, tmp_path).read(0)
    assert pair.captions == ("a road is built",)
    assert pair.change.sum() == 5 * SIZE
    assert pair.directions["roads", "appeared"].sum() == 2 * SIZE
    assert pair.directions["buildings", "appeared"].sum() == 3 * SIZE
    for name in ("kcfi", "semantic_cc", "mmchange"):
        task = create(name)
        assert task.truth(pair).sum() == (3 if name == "mmchange" else 5) * SIZE
        task._object = "buildings"
        assert np.array_equal(task.truth(pair), pair.directions["buildings", "appeared"])
    assert change_of(pair, "trees") is None
    tiles = crops.Tiles(open_pairs(spec, tmp_path), SIZE, lambda _: {}, task.truth)
    assert tiles[0][1]["change"].sum() == 3 * SIZE
    label[0, 0] = 7
    _save(base / "label" / "train_000001.png", label)
    with pytest.raises(InputError, match="unknown to LEVIR-MCI: 7"):
        open_pairs(spec, tmp_path).read(0)
    captions.write_text("[]")
    with pytest.raises(InputError, match="differs from the published layout"):
        open_pairs(spec, tmp_path)


def test_project_tiles_and_captioned_crops(tmp_path):
    _binary_set(tmp_path, ("before", "after", "label"), ("test_2", "test_30", "test_31"), "tif")
    names = {
        s: open_pairs(DataSpec("levir_tiles", split=s), tmp_path).names
        for s in ("train", "val", "")
    }
    assert names == {
        "train": ["test_2", "test_30"],
        "val": ["test_31"],
        "": ["test_2", "test_30", "test_31"],
    }
    rows = [
        {"tile": t, "box": [8, 4, 24, 12], "captions": [f"said of {t}"]}
        for t in ("test_2", "test_31")
    ]
    (tmp_path / "captions.json").write_text(json.dumps(rows))
    pairs = open_pairs(DataSpec("levir_crops", split="val"), tmp_path)
    assert (pairs.names, pairs.size(0)) == (["test_31_8_4"], (8, 16))
    pair = pairs.read(0)
    assert pair.captions == ("said of test_31",)
    assert np.array_equal(pair.before, _image(2)[4:12, 8:24])
    assert pairs.read(0, Window(0, 0, 8, 8)).change.all()
    with pytest.raises(InputError, match="no split"):
        open_pairs(DataSpec("levir_tiles", split="test"), tmp_path)


@pytest.mark.parametrize("layout", [name for name in layouts() if name != "geotiff"])
def test_missing_folders_are_errors(tmp_path, layout):
    with pytest.raises(InputError, match="does not exist"):
        open_pairs(DataSpec(layout, folder="nowhere"), tmp_path)
    with pytest.raises(InputError, match="is missing") as error:
        open_pairs(DataSpec(layout, split="train"), tmp_path)
    assert error.value.hint


def test_files_that_do_not_match_are_errors(tmp_path):
    _binary_set(tmp_path)
    spec = DataSpec("levir_cd")
    _save(tmp_path / "label" / "a.png", _mask(16))
    with pytest.raises(InputError, match="16 x 16 instead of 32 x 32"):
        open_pairs(spec, tmp_path).read(0)
    (tmp_path / "label" / "a.png").unlink()
    with pytest.raises(InputError, match='"a" is in only one'):
        open_pairs(spec, tmp_path)
    (tmp_path / "label" / "a.png").write_text("no image")
    with pytest.raises(InputError, match="cannot be read"):
        open_pairs(spec, tmp_path).read(0)
    with pytest.raises(InputError, match="no option layer"):
        open_pairs(DataSpec("levir_cd", options={"layer": "x"}), tmp_path)
    with pytest.raises(InputError, match="no data set layout"):
        open_pairs(DataSpec("nothing"), tmp_path)


@pytest.mark.real_data
def test_the_real_tiles_are_laid_out_so():
    data = os.environ.get("CHANGESCRIBE_DATA", "")
    if not (Path(data) / "levir").is_dir():
        pytest.skip("needs the folder of imagery named by CHANGESCRIBE_DATA")
    counts = {
        s: len(open_pairs(DataSpec("levir_tiles", "levir", s), Path(data)))
        for s in ("train", "val")
    }
    assert counts == {"train": 30, "val": 6}
    crops_ = open_pairs(DataSpec("levir_crops", "levir", "val"), Path(data))
    pair = crops_.read(0)
    assert pair.before.shape == (256, 256, 3)
    assert len(pair.captions) == 5
    assert set(np.unique(pair.change)) <= {0, 1}


def _pair() -> LabelledPair:
    mask = (_mask() > 0).astype(np.uint8)
    image = np.dstack([_mask()] * 3)
    return LabelledPair(
        np.zeros_like(image),
        image,
        mask,
        mask * 3,
        mask * 5,
        ("built",),
        {("roads", "appeared"): mask, ("roads", "removed"): mask * 0},
        ("one", "two"),
    )


def test_exchanged_dates_exchange_all_that_depends_on_them():
    pair = crops.exchanged(_pair())
    assert pair.before.any()
    assert not pair.after.any()
    assert not pair.directions["roads", "appeared"].any()
    assert pair.directions["roads", "removed"].any()
    assert (pair.semantic_before.max(), pair.semantic_after.max()) == (5, 3)
    assert pair.images == ("two", "one")
    assert pair.captions == ()
    assert np.array_equal(crops.exchanged(pair).after, _pair().after)


def test_augmentation_keeps_labels_on_their_pixels():
    seen = set()
    for seed in range(30):
        pair = crops.augmented(_pair(), AugmentSpec(exchange=0), np.random.default_rng(seed))
        assert np.array_equal(pair.after[..., 0] > 0, pair.change == 1)
        assert np.array_equal(pair.semantic_after == 5, pair.change == 1)
        assert np.array_equal(pair.directions["roads", "appeared"], pair.change)
        seen.add(pair.change.tobytes())
    assert len(seen) == 8
    still = AugmentSpec(flip=False, rotate=False, exchange=0)
    assert np.array_equal(
        crops.augmented(_pair(), still, np.random.default_rng(0)).after, _pair().after
    )


def test_crops_depend_on_seed_and_index_and_contain_change_if_required(tmp_path):
    _binary_set(tmp_path)
    recipe = Recipe(
        "t", task="t", steps=1, crop=8, seed=3, data=[DataSpec("levir_cd", changed=1.0)]
    )

    def sample(pair, rng):
        return {"after": pair.after, "change": pair.change, "n": np.array(rng.random())}

    data, again = (crops.TrainingCrops(recipe, tmp_path, sample) for _ in range(2))
    items = [data[i] for i in range(12)]
    assert all(np.array_equal(items[5][k], again[5][k]) for k in items[5])
    assert np.mean([item["change"].any() for item in items]) > 0.7
    assert crops.collate(items)["after"].shape == (12, 8, 8, 3)
    recipe.crop = 64
    error = crops.collate([data[0], data[1]])
    assert isinstance(error, InputError)
    assert "Set crop to 32" in error.hint


def test_tiles_cover_every_pixel_once(tmp_path):
    _binary_set(tmp_path, names=("a",))
    pairs = open_pairs(DataSpec("levir_cd"), tmp_path)
    tiles = crops.Tiles(pairs, 24, lambda pair: {"before": pair.before})
    assert len(tiles) == 4
    questions, labels = zip(*(tiles[i] for i in range(4)), strict=True)
    assert {q["before"].shape for q in questions} == {(24, 24, 3)}
    changes = np.stack([label["change"] for label in labels])
    assert (changes != UNKNOWN).sum() == SIZE * SIZE
    assert (changes == 1).sum() == 64
