# SPDX-License-Identifier: GPL-3.0-or-later
"""Logs of a run: progress bar, CSV files and TensorBoard events."""

from __future__ import annotations

import csv
import time
from pathlib import Path
from typing import TextIO

from torch.utils.tensorboard import SummaryWriter
from tqdm import tqdm


class TrainingLog:
    """Writes the figures of steps and validations to files, and shows the progress.

    ``log.csv`` has a row per step, ``validation.csv`` one per validation. A resumed run truncates
    both and the events in ``tensorboard`` to its first step.
    """

    def __init__(self, out: Path, start: int, steps: int) -> None:
        self._steps = Table(out / "log.csv", start)
        self._validations = Table(out / "validation.csv", start)
        self._events = SummaryWriter(str(out / "tensorboard"), purge_step=start + 1)
        self._bar = tqdm(total=steps, initial=start, unit="step", dynamic_ncols=True)
        self._began = time.monotonic()
        self._mean: float | None = None

    def step(self, step: int, figures: dict[str, float], lr: float) -> None:
        """Write one step."""
        seconds = round(time.monotonic() - self._began, 1)
        self._steps.write(step, {"seconds": seconds, **figures})
        for name, value in {**figures, "lr": lr}.items():
            self._events.add_scalar(f"train/{name}", value, step)
        loss = figures["loss"]
        self._mean = loss if self._mean is None else 0.98 * self._mean + 0.02 * loss
        self._bar.set_postfix(loss=f"{self._mean:.3f}", refresh=False)
        self._bar.update()

    def validation(self, step: int, figures: dict[str, float], figure: str) -> None:
        """Write one validation; show F1, and the figure that chooses the best weights."""
        self._validations.write(step, figures)
        for name, value in figures.items():
            self._events.add_scalar(f"validation/{name}", value, step)
        shown = {"f1": figures["f1"], **({figure: figures[figure]} if figure in figures else {})}
        text = ", ".join(f"{name} {value:.3f}" for name, value in shown.items())
        self._bar.write(f"step {step}: {text} on the validation pairs")

    def close(self) -> None:
        """Close the files."""
        self._steps.close()
        self._validations.close()
        self._events.close()
        self._bar.close()


class Table:
    """A CSV file with a row per step."""

    def __init__(self, path: Path, start: int) -> None:
        rows: list[list[str]] = []
        if start and path.exists():
            with path.open(newline="", encoding="utf-8") as file:
                rows = [row for row in csv.reader(file) if row[0] == "step" or int(row[0]) <= start]
        self._path, self._rows = path, rows
        self._file: TextIO | None = None

    def write(self, step: int, figures: dict[str, float]) -> None:
        """Write one row; the keys of the first row are the header."""
        if self._file is None:
            self._file = self._path.open("w", newline="", encoding="utf-8")
            csv.writer(self._file).writerows(self._rows or [["step", *figures]])
        row = [step, *(f"{value:.6g}" for value in figures.values())]
        csv.writer(self._file).writerow(row)
        self._file.flush()

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()
