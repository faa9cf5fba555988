# SPDX-License-Identifier: GPL-3.0-or-later
"""Training, export and baselines of the bundled captioner."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.torch

from changescribe.engine.modules.bundled.captioner import SPECIAL, Captioner, CaptionerConfig
from changescribe.engine.systems.bundled.captioner import START, BundledCaptioner, read_facts
from changescribe.engine.training.captioner.features import Crops
from changescribe.engine.training.captioner.language import Language, mirrored, read_groups
from changescribe.engine.training.captioner.run import best_threshold, export, train
from changescribe.engine.training.captioner.steps import (
    CropSamples,
    Schedule,
    TextGroups,
    exchange_order,
    mirror_group,
)
from changescribe.engine.training.scenes.consensus import Consensus
from changescribe.engine.wording.reading import NO_CHANGE

_QUICK = Schedule(
    epochs=6,
    eye_steps=60,
    folds=2,
    reward_steps=4,
    groups=3,
    crops=3,
    samples=3,
    batch=20,
    rate=3e-3,
    eye_rate=3e-3,
)
_ROAD = (
    "a road appears on the left",
    "a road is built",
    "a new road appears",
    "a road appears",
    "the road is built on the left",
)
_HOUSES = (
    "many houses are built",
    "many houses appear",
    "houses are built on bareland",
    "many new houses are built",
    "many houses are built here",
)
#: Channels of a cell beside the scores.
_DATE = 4


def _groups(count: int) -> list[tuple[tuple[str, ...], ...]]:
    kinds = [tuple(tuple(text.split()) for text in group) for group in (_ROAD, _HOUSES)]
    return [kinds[n % 2] for n in range(count)]


def _crops() -> Crops:
    """Crops of 36 tiles with nothing, a road or houses, encoded in two channels."""
    rng = np.random.default_rng(2)
    kinds = np.arange(72) % 3
    grid = rng.normal(0, 0.1, (2, 72, 2 * _DATE + 24, 8, 8)).astype(np.float16)
    summary = rng.normal(0, 0.1, (2, 72, 60)).astype(np.float32)
    for kind in (1, 2):
        grid[:, kinds == kind, 2 * _DATE + kind] += 1
        summary[:, kinds == kind, kind] += 1
    return Crops(
        tiles=np.arange(72) // 2 + 1,
        boxes=np.tile([0, 0, 256, 256], (72, 1)),
        captions=tuple((NO_CHANGE, _ROAD, _HOUSES)[kind] for kind in kinds),
        changed=kinds > 0,
        grid=grid,
        summary=summary,
    )


@pytest.fixture(scope="module")
def trained():
    torch.set_num_threads(1)
    return train(_crops(), _groups(60), _QUICK, width=32)


def test_words_become_numbers_and_words_again() -> None:
    language = Language.of(_groups(20))
    assert language.vocabulary[: len(SPECIAL)] == SPECIAL
    sentence = ("a", "road", "appears")
    tokens = language.encode([sentence, ("an", "elephant")], 26)
    assert tokens.shape == (2, 5)
    assert language.decode(tokens[0]) == sentence
    assert language.decode(tokens[1]) == ("<unknown>", "<unknown>")
    assert language.decode(language.encode([sentence], 3)[0]) == ("a", "road")
    shares = dict(zip(language.concepts, language.shares(_groups(1)[0]), strict=True))
    assert shares["road"] == pytest.approx(1)
    assert shares["left"] == pytest.approx(0.4)
    assert shares["houses"] == 0


def test_a_mirrored_image_has_mirrored_sentences() -> None:
    sentence = ("houses", "in", "the", "upper-left", "corner")
    assert mirrored(sentence, 0) == ("houses", "in", "the", "upper-right", "corner")
    assert mirrored(sentence, 1) == ("houses", "in", "the", "lower-left", "corner")
    assert mirror_group((sentence,), (0, 1))[0][3] == "lower-right"
    grid = torch.arange(64.0).view(1, 1, 8, 8)
    assert CropSamples.mirror(grid, 1)[0, 0, 0, 0] == 7
    assert CropSamples.mirror(grid, 2)[0, 0, 0, 0] == 56


def test_exchanged_dates_exchange_the_channels() -> None:
    grid, summary = exchange_order(2 * _DATE + 24)
    assert grid[:5].tolist() == [4, 5, 6, 7, 0]
    assert grid[8:21].tolist() == [14, 15, 16, 17, 18, 19, 8, 9, 10, 11, 12, 13, 26]
    assert sorted(grid.tolist()) == list(range(32))
    assert summary[:7].tolist() == [6, 7, 8, 9, 10, 11, 0]
    assert summary[48:].tolist() == [54, 55, 56, 57, 58, 59, 48, 49, 50, 51, 52, 53]


def test_groups_of_five_are_read_without_the_unchanged_ones(tmp_path: Path) -> None:
    path = tmp_path / "sentences.txt"
    path.write_text("\n".join([*NO_CHANGE, *_ROAD]) + "\n", encoding="utf-8")
    (group,) = read_groups(path)
    assert group[1] == ("a", "road", "is", "built")
    path.write_text("\n".join([*NO_CHANGE[:3], *_ROAD, *NO_CHANGE[3:]]), encoding="utf-8")
    with pytest.raises(Exception, match="groups of 5"):
        read_groups(path)


def test_vague_concepts_are_shares() -> None:
    groups = _groups(30)
    text = TextGroups(groups, Language.of(groups))
    concepts = text.concepts(torch.arange(30), torch.Generator().manual_seed(0))
    assert concepts.shape == text.shares.shape
    assert 0 <= float(concepts.min()) <= float(concepts.max()) <= 1


def test_the_reward_is_cider_d() -> None:
    """Without the end token, both are the same measure."""
    scorer = pytest.importorskip("pycocoevalcap.cider.cider").Cider()
    groups = [_ROAD, _HOUSES, NO_CHANGE, ("trees are removed", "a wood is cut down")]
    answers = ("a road appears here", "houses appear", "nothing has changed", "the wood is cut")
    given = (
        {n: list(group) for n, group in enumerate(groups)},
        {n: [answer] for n, answer in enumerate(answers)},
    )
    from changescribe.engine.training.scenes import consensus

    marked = consensus._END
    judge = Consensus([[text.split() for text in group] for group in groups])
    with_end = [
        {n: [f"{text} {marked}" for text in texts] for n, texts in part.items()} for part in given
    ]
    expected = scorer.compute_score(*with_end)[1]
    for number, answer in enumerate(answers):
        assert judge.score(answer.split(), number) == pytest.approx(expected[number], abs=1e-6)


def test_what_is_most_like_the_others_is_worth_most() -> None:
    groups = [[text.split() for text in group] for group in (_ROAD, _HOUSES, NO_CHANGE)]
    judge = Consensus(groups)
    assert int(np.argmax(judge.siblings(1, groups[1]))) in (0, 3, 4)
    # The sentence itself does not count: without the others, the similarity is 0.
    alone = Consensus([[("a", "b"), ("c", "d")], [("e",), ("f",)]])
    assert alone.siblings(0, [("a", "b"), ("c", "d")])[0] < alone.score(("a", "b"), 0)


def test_the_threshold_that_is_right_most_often() -> None:
    probability = np.array([0.1, 0.32, 0.62, 0.9])
    threshold, share = best_threshold(probability, np.array([False, False, True, True]))
    assert 0.32 < threshold <= 0.62
    assert share == 1
    assert best_threshold(probability, np.array([False, True, False, True]))[1] == 0.75


def test_training_brings_the_loss_down() -> None:
    from changescribe.engine.training.captioner.steps import train_writer

    groups = _groups(40)
    language = Language.of(groups)
    config = CaptionerConfig(len(language.vocabulary), len(language.concepts), 32, 60, width=32)
    torch.manual_seed(0)
    model = Captioner(config)
    losses = train_writer(model.writer, TextGroups(groups, language), language, _QUICK)
    assert np.mean(losses[-5:]) < 0.7 * np.mean(losses[:5])


def test_it_distinguishes_a_road_from_houses_and_no_change(trained, tmp_path: Path) -> None:
    import onnxruntime

    export(trained, tmp_path, {"encoder.onnx": "0" * 64}, "test")
    facts = read_facts(tmp_path)
    captioner = BundledCaptioner(
        tmp_path, facts, lambda path: onnxruntime.InferenceSession(str(path))
    )
    crops = _crops()
    written = [
        captioner.write(crops.grid[0, crop].astype(np.float32), crops.summary[0, crop])
        for crop in (66, 67, 68)
    ]
    assert written[0].lower().rstrip(".") in NO_CHANGE
    assert "road" in written[1]
    assert "houses" in written[2]
    assert trained.accuracy > 0.9


def test_the_exported_network_answers_as_the_trained_one(trained, tmp_path: Path) -> None:
    import onnxruntime

    export(trained, tmp_path, {}, "test")
    session = onnxruntime.InferenceSession(str(tmp_path / "captioner.onnx"))
    crops = _crops()
    for rows, length in ((1, 1), (3, 7), (2, 25)):
        tokens = torch.randint(4, 10, (rows, length))
        tokens[:, 0] = START
        given = crops.grid[0, :1].astype(np.float32), crops.summary[0, :1]
        with torch.no_grad():
            expected = trained.model(*(torch.from_numpy(part) for part in given), tokens)
        names = ("grid", "summary", "tokens")
        found = session.run(None, dict(zip(names, (*given, tokens.numpy()), strict=True)))
        for one, other in zip(found, expected, strict=True):
            assert np.abs(one - other.numpy()).max() < 2e-2  # the weights are stored in 16 bits


def test_one_word_after_another_is_the_same_as_all_at_once(trained) -> None:
    writer = trained.model.writer.eval()
    concepts = torch.rand(2, writer.config.concepts)
    memory = writer.memory(torch.randn(2, writer.config.cells, 8, 8), 2)
    with torch.no_grad():
        tokens = writer.sample(concepts, memory, greedy=True)
        again = writer(tokens[:, :-1], concepts, memory)
    again[:, :, [0, 1, 3]] = float("-inf")
    likely, known = again.argmax(2), tokens[:, 1:] != 0
    assert (likely == tokens[:, 1:])[known].all()
