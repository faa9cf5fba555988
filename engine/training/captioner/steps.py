# SPDX-License-Identifier: GPL-3.0-or-later
"""The three training steps of the bundled captioner; see :mod:`.run`.

1. The writer learns from groups of sentences about one scene. The concepts are the group's own
   words, blurred with those of similar groups, since images are ambiguous too.
2. The eye learns from the crops which words occur in sentences about them. For the third step,
   eyes that were not trained on a fold of the tiles predict the concepts of that fold.
3. The writer learns from both, rewarded for similarity to human sentences (CIDEr-D,
   self-critical with several samples: Rennie et al. 2017).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ...classes import CLASSES
from ...modules.bundled.captioner import PAD, Captioner, CaptionerConfig, Eye, Writer
from ..scenes.consensus import Consensus
from .features import Crops
from .language import Group, Language, mirrored

#: Number of the most similar groups, some of which blur the concepts of a group.
_SIMILAR = 40
#: Flips of a crop: none, left to right, top to bottom, both.
_MIRRORS = ((), (0,), (1,), (0, 1))


@dataclass(frozen=True)
class Schedule:
    """Lengths and learning rates of the three steps.

    Attributes:
        epochs: of the first step, over the groups of sentences.
        rate: learning rate of the first step (AdamW).
        eye_steps: steps of 64 crops for the eye.
        eye_rate: learning rate of the eye.
        folds: number of folds of the tiles.
        reward_steps: of the third step.
        reward_rate: learning rate of the third step.
        groups: groups of sentences per batch of the third step.
        crops: crops per batch of the third step.
        samples: sentences drawn for each of them.
        batch: sentences per batch of the first step.
        temperature: of the softmax over CIDEr-D that weighs the sentences of a group.
        seed: of everything.
    """

    epochs: int = 3
    rate: float = 1e-3
    eye_steps: int = 450
    eye_rate: float = 1e-3
    folds: int = 2
    reward_steps: int = 110
    reward_rate: float = 6e-4
    groups: int = 6
    crops: int = 12
    samples: int = 4
    batch: int = 96
    temperature: float = 0.7
    seed: int = 12


class TextGroups:
    """Groups of sentences without images, and their blurred concepts."""

    def __init__(self, groups: Sequence[Group], language: Language) -> None:
        self.groups = list(groups)
        self.shares = torch.from_numpy(np.stack([language.shares(group) for group in groups]))
        unit = F.normalize(self.shares - self.shares.mean(0))
        count = min(_SIMILAR, len(groups))
        parts = [
            (unit[at : at + 512] @ unit.t()).topk(count).indices
            for at in range(0, len(groups), 512)
        ]
        self.similar = torch.cat(parts)

    def concepts(self, numbers: Tensor, generator: torch.Generator) -> Tensor:
        """Return (B, K) concepts of groups, blended with those of some similar groups."""
        rows = len(numbers)
        similar = self.similar[numbers]
        reach = 1 + torch.randint(similar.shape[1], (rows, 1), generator=generator)
        drawn = (torch.rand(rows, 6, generator=generator) * reach).long()
        others = self.shares[similar.gather(1, drawn)].mean(1)
        own = torch.rand(rows, 1, generator=generator) ** 2
        vague = own * self.shares[numbers] + (1 - own) * others
        flat = 0.3 * torch.rand(rows, 1, generator=generator)
        return (1 - flat) * vague + flat * self.shares.mean(0)


class CropSamples:
    """Training crops in several views and flips."""

    def __init__(self, crops: Crops, language: Language, groups: Sequence[Group]) -> None:
        self.crops = crops
        self.grid = torch.from_numpy(crops.grid)
        self.summary = torch.from_numpy(crops.summary)
        self.changed = torch.from_numpy(crops.changed)
        self.groups = [mirror_group(g, m) for m in _MIRRORS for g in groups]
        # (mirrors, N, K)
        self.shares = torch.from_numpy(
            np.stack([language.shares(group) for group in self.groups])
        ).view(len(_MIRRORS), len(groups), -1)
        self.order_grid, self.order_summary = exchange_order(crops.grid.shape[2])

    def number(self, mirror: int, crop: Tensor | int) -> Tensor | int:
        """Return the index in :attr:`groups` of a flipped crop."""
        return mirror * self.crops.grid.shape[1] + crop

    def draw(self, which: Tensor, mirror: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Return grid (B, C, 8, 8) and summary (B, S) of crops, each in a random view."""
        view = torch.randint(len(self.grid), which.shape, generator=generator)
        return self.mirror(self.grid[view, which].float(), mirror), self.summary[view, which]

    @staticmethod
    def mirror(grid: Tensor, mirror: int) -> Tensor:
        """Flip a grid as listed in :data:`_MIRRORS`."""
        return grid.flip([3 - axis for axis in _MIRRORS[mirror]]) if mirror else grid


def mirror_group(group: Group, axes: Sequence[int]) -> Group:
    """Return the sentences for the flipped image."""
    for axis in axes:
        group = tuple(mirrored(sentence, axis) for sentence in group)
    return group


def exchange_order(cells: int) -> tuple[Tensor, Tensor]:
    """Return the order of the channels of grid and summary for swapped dates."""
    classes = len(CLASSES)
    ways = 2 * classes
    date = (cells - 2 * ways) // 2

    def swapped(start: int, half: int) -> list[int]:
        return [*range(start + half, start + 2 * half), *range(start, start + half)]

    grid = swapped(0, date) + swapped(2 * date, classes) + swapped(2 * date + ways, classes)
    summary = [n for at in range(5) for n in swapped(at * ways, classes)]
    return torch.tensor(grid), torch.tensor(summary)


def train_writer(
    writer: Writer,
    text: TextGroups,
    language: Language,
    schedule: Schedule,
    log: Callable[[str], None] = lambda _: None,
) -> list[float]:
    """First step: reconstruct sentences from the words of their group; return the batch losses."""
    generator = torch.Generator().manual_seed(schedule.seed)
    reward = Consensus(text.groups)
    rows, weights = [], []
    for number, group in enumerate(text.groups):
        worth = torch.tensor(reward.siblings(number, group))
        weights.append(0.3 + 0.7 * len(group) * (worth / schedule.temperature).softmax(0))
        rows += [(number, sentence) for sentence in group]
    weight = torch.cat(weights)
    tokens = torch.from_numpy(
        language.encode([sentence for _, sentence in rows], writer.config.longest)
    )
    numbers = torch.tensor([number for number, _ in rows])
    length = (tokens != PAD).sum(1)
    batches = schedule.epochs * -(-len(rows) // schedule.batch)
    optimiser, rates = _optimiser(writer, schedule.rate, batches)
    losses: list[float] = []
    writer.train()
    for epoch in range(schedule.epochs):
        for chosen in _by_length(length, schedule.batch, generator):
            cut = tokens[chosen, : int(length[chosen].max())]
            concepts = text.concepts(numbers[chosen], generator)
            logits = writer(cut[:, :-1], concepts, writer.memory(None, len(chosen)))
            loss = _sentence_loss(logits, cut[:, 1:], weight[chosen])
            _step(loss, writer, optimiser, rates)
            losses.append(float(loss.detach()))
        log(f"writer, epoch {epoch + 1}: loss {np.mean(losses[-50:]):.3f}")
    return losses


def train_eye(
    config: CaptionerConfig,
    samples: CropSamples,
    which: np.ndarray,
    scales: Captioner,
    schedule: Schedule,
) -> Eye:
    """Second step: train an eye on crops."""
    generator = torch.Generator().manual_seed(schedule.seed)
    torch.manual_seed(schedule.seed)
    eye = Eye(config)
    pool = torch.from_numpy(which)
    base = samples.shares[0][pool][samples.changed[pool]].mean(0).clamp(1e-3, 1 - 1e-3)
    with torch.no_grad():
        eye.read[-1].bias[1:] = base.logit()
    optimiser, rates = _optimiser(eye, schedule.eye_rate, schedule.eye_steps, decay=0.05)
    eye.train()
    for _ in range(schedule.eye_steps):
        chosen = pool[torch.randint(len(pool), (64,), generator=generator)]
        mirror = int(torch.randint(len(_MIRRORS), (1,), generator=generator))
        grid, summary = samples.draw(chosen, mirror, generator)
        # Swapped dates have no sentences, but the same change flag.
        exchanged = torch.rand(1, generator=generator) < 0.2
        if exchanged:
            grid, summary = grid[:, samples.order_grid], summary[:, samples.order_summary]
        concepts, flag = eye(*scales.standardise(grid, summary))
        changed = samples.changed[chosen]
        loss = F.binary_cross_entropy_with_logits(flag, changed.float())
        if not exchanged and changed.any():
            target = samples.shares[mirror][chosen][changed]
            loss = loss + 10 * F.binary_cross_entropy_with_logits(concepts[changed], target)
        _step(loss, eye, optimiser, rates)
    return eye.eval()


@torch.no_grad()
def read_all(eye: Eye, samples: CropSamples, scales: Captioner) -> tuple[Tensor, Tensor]:
    """Return concepts (views, mirrors, N, K) and probability of change (views, N) of all crops."""
    eye.eval()
    concepts, flags = [], []
    for grid, summary in zip(samples.grid.float(), samples.summary, strict=True):
        seen = [
            eye(*scales.standardise(samples.mirror(grid, mirror), summary))
            for mirror in range(len(_MIRRORS))
        ]
        concepts.append(torch.stack([row.sigmoid() for row, _ in seen]))
        flags.append(seen[0][1].sigmoid())
    return torch.stack(concepts), torch.stack(flags)


def train_on_reward(
    model: Captioner,
    samples: CropSamples,
    which: np.ndarray,
    concepts: Tensor,
    text: TextGroups,
    language: Language,
    schedule: Schedule,
    log: Callable[[str], None] = lambda _: None,
) -> list[float]:
    """Third step: reward the writer for similarity to human sentences.

    Args:
        model: its writer is trained.
        samples: the crops.
        which: indices of the changed crops to use.
        concepts: (views, mirrors, N, K) from eyes that were not trained on the crop.
        text: groups without images.
        language: vocabulary and concepts.
        schedule: lengths and rates.
        log: called with a line of progress.

    Returns:
        The mean reward by batch, CIDEr-D from 0 to 10.
    """
    generator = torch.Generator().manual_seed(schedule.seed + 1)
    crop_groups = [samples.groups[samples.number(m, int(n))] for m in range(4) for n in which]
    reward = Consensus([*text.groups, *crop_groups])
    writer = model.writer
    optimiser, rates = _optimiser(writer, schedule.reward_rate, schedule.reward_steps)
    pool = torch.from_numpy(which)
    rewards: list[float] = []
    writer.eval()  # as at inference, without dropout
    for step in range(schedule.reward_steps):
        mirror = int(torch.randint(len(_MIRRORS), (1,), generator=generator))
        place = torch.randint(len(pool), (schedule.crops,), generator=generator)
        view = torch.randint(len(samples.grid), place.shape, generator=generator)
        chosen = pool[place]
        grid = samples.mirror(samples.grid[view, chosen].float(), mirror)
        grid, _ = model.standardise(grid, samples.summary[view, chosen])
        numbers = torch.randint(len(text.groups), (schedule.groups,), generator=generator)
        crop_numbers = len(text.groups) + mirror * len(pool) + place
        parts = [
            (concepts[view, mirror, chosen], grid, crop_numbers),
            (text.concepts(numbers, generator), None, numbers),
        ]
        loss = torch.zeros(())
        got = []
        for given, cells, groups in parts:
            value, part = _reward_loss(writer, given, cells, groups, reward, language, schedule)
            loss = loss + part
            got.append(value)
        _step(loss, writer, optimiser, rates)
        rewards.append(float(np.mean(got)))
        if (step + 1) % 25 == 0:
            log(f"reward, step {step + 1}: {np.mean(rewards[-25:]):.3f}")
    return rewards


def _reward_loss(
    writer: Writer,
    concepts: Tensor,
    grid: Tensor | None,
    groups: Tensor,
    reward: Consensus,
    language: Language,
    schedule: Schedule,
) -> tuple[float, Tensor]:
    """Return the mean reward of sampled sentences and the self-critical loss."""
    count = schedule.samples
    concepts = concepts.repeat_interleave(count, 0)
    groups = groups.repeat_interleave(count)
    grid = None if grid is None else grid.repeat_interleave(count, 0)
    tokens = writer.sample(concepts, writer.memory(grid, len(groups)))
    scores = torch.tensor(
        [
            reward.score(language.decode(row), int(group))
            for row, group in zip(tokens.tolist(), groups, strict=True)
        ]
    ).view(-1, count)
    # The baseline of a sample is the mean of the others of its scene.
    others = (scores.sum(1, keepdim=True) - scores) / (count - 1)
    advantage = (scores - others).flatten()
    logits = writer(tokens[:, :-1], concepts, writer.memory(grid, len(groups)))
    target = tokens[:, 1:]
    chosen = logits.log_softmax(2).gather(2, target[..., None])[..., 0]
    known = (target != PAD).float()
    return float(scores.mean()), -(advantage[:, None] * chosen * known).sum() / known.sum()


def _sentence_loss(logits: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """Return the weighted cross-entropy of sentences; label smoothing 0.1."""
    losses = F.cross_entropy(
        logits.transpose(1, 2), target, ignore_index=PAD, label_smoothing=0.1, reduction="none"
    )
    return (losses * weight[:, None]).sum() / ((target != PAD) * weight[:, None]).sum()


def _by_length(length: Tensor, batch: int, generator: torch.Generator) -> Iterator[Tensor]:
    """Yield batches of rows of similar length, in random order."""
    order = (length + 2 * torch.rand(len(length), generator=generator)).argsort()
    parts = order.split(batch)
    for number in torch.randperm(len(parts), generator=generator):
        yield parts[number]


def _optimiser(
    module: torch.nn.Module, rate: float, steps: int, decay: float = 0.01
) -> tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.LRScheduler]:
    optimiser = torch.optim.AdamW(module.parameters(), rate, weight_decay=decay)
    return optimiser, torch.optim.lr_scheduler.OneCycleLR(
        optimiser, rate, total_steps=max(2, steps), pct_start=0.1
    )


def _step(
    loss: Tensor,
    module: torch.nn.Module,
    optimiser: torch.optim.Optimizer,
    rates: torch.optim.lr_scheduler.LRScheduler,
) -> None:
    optimiser.zero_grad()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(module.parameters(), 1.0)
    optimiser.step()
    rates.step()
