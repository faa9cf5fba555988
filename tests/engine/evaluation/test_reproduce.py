# SPDX-License-Identifier: GPL-3.0-or-later
"""Tables of the papers: printed by hand, two rows end to end, a killed run."""

from __future__ import annotations

import json

import numpy as np
import pytest

torch = pytest.importorskip("torch")
from PIL import Image

from changescribe.engine.cli import app
from changescribe.engine.errors import InputError
from changescribe.engine.evaluation.reproduce import printing, rows, tables
from changescribe.engine.training import loop
from changescribe.engine.training.pairs import open_pairs
from changescribe.engine.training.recipe import DataSpec, load_recipe

pytestmark = pytest.mark.torch

TABLE = """
source: "Test (2026)"
kind: mask
columns: {F1: f1, OA: accuracy}
parts: {encoder: sam2.1-hiera-large}
recipes:
  full:
    recipe: lgcd
    values: ["model={tiny: true, encoder: tiny, text: shipped}", steps=2, batch_size=2, crop=64,
             validation=null, precision=fp32, checkpoint_every=1]
sets:
  LEVIR-CD:
    full:
      values: ["data=[{layout: levir_cd, folder: LEVIR-CD, split: train}]"]
      test: {layout: levir_cd, folder: LEVIR-CD, split: test}
  WHU-CD:
    full:
      values: ["data=[{layout: whu_cd, folder: WHU-CD, split: train}]"]
      test: {layout: whu_cd, folder: WHU-CD, split: test}
tables:
  I:
    title: Two rows
    rows:
      - {method: Others, published: {LEVIR-CD: [80.0, 98.0]}}
      - {method: No text, values: [model.tfam=false, model.vsfd=false],
         published: {LEVIR-CD: [81.5, 98.25]}}
      - {method: Ours, values: [], published: {LEVIR-CD: [90.35, null], WHU-CD: [91.83, 99.51]}}
      - {method: Other part, values: [], needs: a part}
"""


@pytest.fixture(autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(name="table")
def fixture_table(tmp_path):
    path = tmp_path / "tiny.yaml"
    path.write_text(TABLE, encoding="utf-8")
    return tables.read_tables(path)["I"]


@pytest.fixture(name="data", scope="module")
def fixture_data(tmp_path_factory):
    """A LEVIR-CD of bright squares that appear."""
    root = tmp_path_factory.mktemp("data")
    rng = np.random.default_rng(0)
    for split in ("train", "test"):
        for number in range(2):
            before = rng.integers(0, 90, (64, 64, 3)).astype(np.uint8)
            after, mask = before.copy(), np.zeros((64, 64), np.uint8)
            after[8:40, 8:40] += 150
            mask[8:40, 8:40] = 255
            for part, array in (("A", before), ("B", after), ("label", mask)):
                folder = root / "LEVIR-CD" / split / part
                folder.mkdir(parents=True, exist_ok=True)
                Image.fromarray(array).save(folder / f"{number}.png")
    return root


def test_two_rows_end_to_end_and_nothing_twice(table, data, tmp_path, monkeypatch):
    found = rows.reproduce(table, data, tmp_path / "runs", device="cpu")
    assert [(o.row.method, o.dataset) for o in found] == [
        (row.method, name) for name in ("LEVIR-CD", "WHU-CD") for row in table.rows
    ]
    measured = [o for o in found if o.figures is not None]
    assert [(o.row.method, o.dataset) for o in measured] == [
        ("No text", "LEVIR-CD"),
        ("Ours", "LEVIR-CD"),
    ]
    assert measured[0].run != measured[1].run
    for outcome in measured:
        assert 0 <= outcome.figures["f1"] <= 1
        assert outcome.state == "2 steps"
        assert outcome.differs == ["encoder: tiny in place of SAM 2.1 Hiera large"]
    states = {(o.row.method, o.dataset): o.state for o in found}
    assert states["Others", "WHU-CD"] == "published only"
    assert states["Other part", "LEVIR-CD"] == "needs a part"
    assert states["Ours", "WHU-CD"].startswith("needs ")
    assert "WHU-CD" in states["Ours", "WHU-CD"]

    def not_again(*_, **__):
        raise AssertionError("trained or measured again")

    monkeypatch.setattr(rows, "train", not_again)
    monkeypatch.setattr(rows, "load_run", not_again)
    assert rows.reproduce(table, data, tmp_path / "runs", device="cpu") == found
    # Another value is another run.
    with pytest.raises(AssertionError, match="again"):
        rows.reproduce(table, data, tmp_path / "runs", device="cpu", values=["seed=1"])


def test_a_killed_run_goes_on(table, data, tmp_path, monkeypatch):
    steps = []
    real = loop.Trainer.step

    def killed(self, step, parts):
        if step == 1 and len(steps) == 1:
            raise KeyboardInterrupt
        steps.append(step)
        return real(self, step, parts)

    monkeypatch.setattr(loop.Trainer, "step", killed)
    with pytest.raises(KeyboardInterrupt):
        rows.reproduce(table, data, tmp_path / "runs", device="cpu")
    steps.append("killed")
    found = rows.reproduce(table, data, tmp_path / "runs", device="cpu")
    # The first row goes on at its second step; the second row has both.
    assert steps == [0, "killed", 1, 0, 1]
    whole = rows.reproduce(table, data, tmp_path / "others", device="cpu")
    assert [o.figures for o in found] == [o.figures for o in whole]


def test_a_wrong_value_is_an_error(table, data, tmp_path):
    with pytest.raises(InputError, match="stepz"):
        rows.reproduce(table, data, tmp_path, values=["stepz=1"])


def test_the_table_by_hand(table):
    others, no_text, ours, other_part = table.rows
    same = "encoder: A in place of B"
    found = [
        rows.Outcome(others, "LEVIR-CD", state="published only"),
        rows.Outcome(
            no_text, "LEVIR-CD", {"f1": 0.5, "accuracy": 0.98765}, "2 steps", [same, "text: C"]
        ),
        rows.Outcome(ours, "LEVIR-CD", {"f1": 0.75, "accuracy": None}, "2 steps", [same]),
        rows.Outcome(other_part, "LEVIR-CD", state="needs a part"),
        rows.Outcome(ours, "WHU-CD", state="needs a folder|file", differs=[same]),
    ]
    assert printing.as_markdown(table, found).splitlines() == [
        "Test (2026), table I: Two rows",
        "",
        "**LEVIR-CD**",
        "",
        "| Method | F1 | ours | OA | ours | Row |",
        "|---|---|---|---|---|---|",
        "| Others | 80.00 | - | 98.00 | - | published only |",
        "| No text | 81.50 | 50.00 | 98.25 | 98.77 | 2 steps; text: C |",
        "| Ours | 90.35 | 75.00 | - | - | 2 steps |",
        "| Other part | - | - | - | - | needs a part |",
        "",
        "encoder: A in place of B.",
        "",
        "**WHU-CD**",
        "",
        "| Method | F1 | ours | OA | ours | Row |",
        "|---|---|---|---|---|---|",
        "| Ours | 91.83 | - | 99.51 | - | needs a folder\\|file; encoder: A in place of B |",
    ]
    row = printing.as_json(table, found, "full")["rows"][1]
    assert row["published"] == {"F1": 81.5, "OA": 98.25}
    assert row["ours"] == {"F1": 50.0, "OA": pytest.approx(98.765)}


@pytest.mark.parametrize("paper", tables.papers())
def test_every_row_of_the_papers_is_a_recipe(paper):
    for table in tables.load_tables(paper).values():
        for row in table.rows:
            assert set(row.published) == set(table.sets)
            assert all(len(f) == len(table.columns) for f in row.published.values())
        for preset, base in table.recipes.items():
            for presets in table.sets.values():
                for row in table.rows:
                    if row.values is not None and preset in presets:
                        recipe = rows._recipe(row, base, presets[preset], ())
                        assert recipe.data
                        DataSpec(**presets[preset]["test"])


def test_rows_of_equal_settings_share_a_run():
    noisy = tables.find_table("mmchange", "4").rows
    base = {"recipe": "mmchange"}
    names = [rows.run_name(rows._recipe(row, base, {}, ())) for row in noisy]
    assert len(set(names[:4])) == len(set(names[4:])) == 1
    assert names[0] != names[-1]
    assert rows.run_name(load_recipe("mmchange", ["workers=3"])) == names[-1]


def test_disturbed_images(data):
    pairs = open_pairs(DataSpec("levir_cd", "LEVIR-CD", "test"), data)
    plain = pairs.read(0)
    light = rows.PerturbedPairs(pairs, ["light"]).read(0)
    assert (light.before == plain.before).all()
    assert (light.after == np.rint(plain.after * 0.7)).all()
    noisy = rows.PerturbedPairs(pairs, ["noise"])
    first, second = noisy.read(0), noisy.read(0)
    assert (first.before == second.before).all()
    moved = first.after[8:40, 8:40].astype(float) - plain.after[8:40, 8:40]
    assert 8 < moved.std() < 12
    assert (first.change == plain.change).all()


def test_the_command(capsys, data, tmp_path):
    assert app.main(["reproduce", "--list"]) == 0
    assert "lg-cd III" in capsys.readouterr().out
    assert app.main(["reproduce", "lg-cd"]) == 2
    assert app.main(["reproduce", "lg-cd", "IX", "--data", str(data)]) == 2
    assert "II, III" in capsys.readouterr().err
    words = ["reproduce", "textscd", "1", "--data", str(data), "--out", str(tmp_path)]
    assert app.main([*words, "steps=1"]) == 0
    printed = capsys.readouterr().out
    assert (tmp_path / "textscd-1-full.md").read_text(encoding="utf-8") == printed
    assert "| +TGI (TextSCD) | 61.90 | - | 72.38 | - | 87.67 | - | 21.66 | - | needs " in printed
    content = json.loads((tmp_path / "textscd-1-full.json").read_text(encoding="utf-8"))
    assert [row["method"] for row in content["rows"]][-2:] == ["Baseline", "+TGI (TextSCD)"]
