# SPDX-License-Identifier: GPL-3.0-or-later
"""Dynamic weight averaging: a task whose loss falls more slowly gets more weight.

Liu, Johns and Davison, End-to-end multi-task learning with attention, 2019; eq. 10 of KCFI.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch

#: Value of KCFI's paper. Liu et al. and KCFI's released code use 2.0.
TEMPERATURE = 0.2
#: Lower bound of a mean loss, which avoids a division by zero.
_MIN_LOSS = 1e-12


def weights_of(
    last: Sequence[float], before_last: Sequence[float], temperature: float
) -> tuple[float, ...]:
    """Return lambda_k (eq. 10): K exp(w_k / T) / sum_i exp(w_i / T), w_k = L_k(t-1) / L_k(t-2).

    Returns:
        K weights that sum to K.
    """
    pairs = zip(last, before_last, strict=True)
    speeds = [one / max(two, _MIN_LOSS) / temperature for one, two in pairs]
    most = max(speeds)
    parts = [math.exp(speed - most) for speed in speeds]
    return tuple(len(parts) * part / sum(parts) for part in parts)


class DynamicWeights:
    """Weighs tasks by the mean losses of the last two epochs.

    Args:
        tasks: K.
        epoch: steps that count as one t, since the losses of single batches are too noisy.
        temperature: T.
    """

    def __init__(self, tasks: int, epoch: int, temperature: float = TEMPERATURE) -> None:
        self._tasks = tasks
        self._epoch = max(1, epoch)
        self._temperature = temperature
        self._number = 0
        self._sums = [0.0] * tasks
        self._counts = [0] * tasks
        self._means: list[list[float]] = []

    def at(self, step: int) -> tuple[float, ...]:
        """Return the weights at a step; 1 each in the first two epochs."""
        if step // self._epoch != self._number:
            self._number = step // self._epoch
            self._close()
        if len(self._means) < 2:
            return (1.0,) * self._tasks
        return weights_of(self._means[-1], self._means[-2], self._temperature)

    def add(self, losses: Sequence[float | None]) -> None:
        """Count the losses of a batch; None for a task without labels in it."""
        for task, loss in enumerate(losses):
            if loss is not None:
                self._sums[task] += loss
                self._counts[task] += 1

    def _close(self) -> None:
        """Store the means of the finished epoch, over all training processes."""
        totals = torch.tensor([self._sums, self._counts], dtype=torch.float64)
        if torch.distributed.is_initialized():
            torch.distributed.all_reduce(totals)
        sums, counts = totals.tolist()
        if all(counts):
            means = [part / count for part, count in zip(sums, counts, strict=True)]
            self._means = [*self._means[-1:], means]
        self._sums, self._counts = [0.0] * self._tasks, [0] * self._tasks

    def state_dict(self) -> dict[str, Any]:
        """Return the state for a resumed run."""
        return {
            "number": self._number,
            "sums": self._sums,
            "counts": self._counts,
            "means": self._means,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what :meth:`state_dict` returned."""
        self._number = int(state["number"])
        self._sums, self._counts = list(state["sums"]), list(state["counts"])
        self._means = [list(means) for means in state["means"]]
