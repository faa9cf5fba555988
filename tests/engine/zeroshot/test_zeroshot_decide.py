# SPDX-License-Identifier: GPL-3.0-or-later
"""The zero-shot system's decisions, on hand-made arrays."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from changescribe.engine.zeroshot import decide, segment

pytestmark = pytest.mark.torch


def boxes(size: int, *corners: tuple[int, int, int, int]) -> torch.Tensor:
    masks = torch.zeros(len(corners), size, size, dtype=torch.bool)
    for mask, (x0, y0, x1, y1) in zip(masks, corners):
        mask[y0:y1, x0:x1] = True
    return masks


def test_scores_are_a_half_at_the_threshold() -> None:
    values = torch.tensor([-0.5, 0.0, 0.05, 0.1, 0.55, 1.0, 2.0])
    expected = [0.0, 0.0, 0.25, 0.5, 0.75, 1.0, 1.0]
    assert decide.calibrate(values, 0.1).tolist() == pytest.approx(expected)


def test_peaks_are_where_the_likelihood_changed_most() -> None:
    before, after = torch.zeros(2, 60, 60)
    after[10, 20] = 0.5
    after[12, 22] = 0.4  # too near
    before[40, 50] = 0.9  # gone counts as well
    after[55, 5] = 0.05  # too low
    found = decide.peaks(before, after)
    assert found.tolist() == [[50, 40], [20, 10]]
    assert torch.equal(found, decide.peaks(after, before))
    assert len(decide.peaks(after, after)) == 0


def test_a_plateau_has_a_point_in_each_cell(monkeypatch: pytest.MonkeyPatch) -> None:
    before, after = torch.zeros(2, 70, 70)
    after[:48, :48] = 0.8
    found = decide.peaks(before, after)
    assert sorted(found.tolist()) == [[x, y] for x in (7, 23, 39) for y in (7, 23, 39)]
    monkeypatch.setattr(decide, "MAX_PEAKS", 4)
    after[32:48, 32:48] += 0.1
    found = decide.peaks(before, after).tolist()
    assert found[0] == [39, 39]
    assert len(found) == 4


def test_margin_is_over_the_best_competing_class_of_the_mean() -> None:
    masks = boxes(4, (0, 0, 2, 4), (2, 0, 4, 4))
    likelihood = torch.zeros(3, 4, 4)
    likelihood[0, :, :2], likelihood[1, :, :2] = 0.7, 0.3
    likelihood[0, :, 2:] = 0.4
    likelihood[1, :2, 2:] = likelihood[2, 2:, 2:] = 0.6  # two classes share the second mask
    assert decide.margins(masks, likelihood).tolist() == pytest.approx([0.4, 0.1])


def test_angles_of_centred_features() -> None:
    one = torch.zeros(4, 2, 2)
    one[0] = 1.0
    other = one + 5  # a shift of all channels alike is no change
    other[:, :, 1] = torch.tensor([0.0, 1.0, 0.0, 0.0])[:, None]
    masks = boxes(8, (0, 0, 4, 8), (4, 0, 8, 8))
    same, changed = decide.change_angles(masks, decide.centred(one), decide.centred(other))
    assert same.item() == pytest.approx(0.0, abs=0.1)
    # Two of four channels that are each one above nothing: cosine -1/3.
    assert changed.item() == pytest.approx(109.5, abs=0.1)


def test_otsu_parts_two_groups_in_the_gap() -> None:
    values = torch.cat([torch.linspace(0, 10, 50), torch.linspace(60, 80, 20)])
    assert 15 < decide.otsu(values) < 55
    assert decide.otsu(torch.full((5,), 7.0)) == 7.0


@pytest.mark.parametrize(
    ("before", "after", "angle", "expected"),
    [
        (-0.5, 0.5, 90.0, (True, False)),  # only after
        (0.5, -0.5, 90.0, (False, True)),  # only before
        (0.5, 0.5, 90.0, (False, False)),  # on both dates
        (-0.5, -0.5, 90.0, (False, False)),  # on none
        (0.05, 0.5, 90.0, (True, False)),  # not clearly there before
        (-0.5, 0.05, 90.0, (False, False)),  # not clearly there after
        (-0.5, 0.5, 20.0, (False, False)),  # the object is unchanged
    ],
)
def test_an_object_on_one_date_only_appeared_or_was_removed(before, after, angle, expected) -> None:
    numbers = (torch.tensor([float(value)]) for value in (before, after, angle))
    scores = decide.decide_masks(*numbers)
    assert (scores.appeared.item() >= 0.5, scores.removed.item() >= 0.5) == expected


def test_exchanging_the_dates_exchanges_the_directions() -> None:
    torch.manual_seed(0)
    before, after = 2 * torch.rand(2, 50) - 1
    angle = 180 * torch.rand(50)
    there, back = (
        decide.decide_masks(before, after, angle),
        decide.decide_masks(after, before, angle),
    )
    assert torch.equal(there.appeared, back.removed)
    assert torch.equal(there.removed, back.appeared)
    first, second = torch.rand(2, 40, 40)
    there, back = decide.decide_stuff(first, second), decide.decide_stuff(second, first)
    assert torch.equal(there.appeared, back.removed)
    assert torch.equal(there.removed, back.appeared)


def test_the_best_mask_paints_a_pixel() -> None:
    masks = boxes(4, (0, 0, 3, 4), (2, 0, 4, 4))
    plane = decide.paint(masks, torch.tensor([0.9, 0.6]))
    assert plane[0].tolist() == pytest.approx([0.9, 0.9, 0.9, 0.6])


def test_stuff_by_the_signed_difference() -> None:
    before, after = torch.full((2, 40, 40), 0.1)
    after[5:20, 5:20] = 0.9  # appeared
    before[25:38, 25:38] = 0.8  # removed
    after[30, 2:20] = 0.9  # a line one pixel wide
    scores = decide.decide_stuff(before, after)
    came = torch.zeros(40, 40, dtype=torch.bool)
    came[5:20, 5:20] = True
    assert torch.equal(scores.appeared >= 0.5, came)
    assert (scores.removed >= 0.5).sum() == 13 * 13
    assert decide.decide_stuff(before, before).appeared.max() == 0


def test_slivers_along_what_stayed_are_misregistration() -> None:
    before, after = torch.full((2, 80, 80), 0.1)
    before[20:50, 10:40] = 0.9
    after[20:50, 15:45] = 0.9  # the same wood, five pixels off
    after[55:60, 5:75] = 0.9  # a band of the same width, away from it
    after[22:30, 45:70] = 0.9  # a wood that grew much more
    scores = decide.decide_stuff(before, after)
    came = scores.appeared >= 0.5
    assert not came[32:50, 40:45].any()
    assert came[57, 30]
    assert came[25, 60]
    assert not (scores.removed >= 0.5).any()


def test_outlines_are_chosen_by_quality_and_stability() -> None:
    sharp = torch.where(boxes(16, (2, 2, 10, 10)), 9.0, -9.0)
    twice = torch.where(boxes(16, (2, 2, 10, 9)), 9.0, -9.0)
    vague = torch.where(boxes(16, (12, 12, 15, 15)), 0.1, -0.1)
    poor = torch.where(boxes(16, (11, 0, 15, 4)), 9.0, -9.0)
    everything = torch.full((1, 16, 16), 9.0)
    nothing = torch.full((1, 16, 16), -9.0)
    masks = torch.cat([twice, sharp, vague, poor, everything, nothing])
    quality = torch.tensor([0.8, 0.9, 0.9, 0.3, 0.9, 0.9])
    assert segment.stability(masks).tolist() == [1, 1, 0, 1, 1, 0]
    found = segment.good_outlines(masks, quality, (32, 32))
    assert found.shape == (1, 32, 32)
    assert found[0, 4:20, 4:20].all()
    assert found.sum() == 16 * 16
    assert segment.good_outlines(masks[3:], quality[3:], (32, 32)).shape == (0, 32, 32)
