# SPDX-License-Identifier: GPL-3.0-or-later
"""Small systems for host tests; a worker process imports them from this file.

Misbehaving systems do so only in the first process, which creates the file named by
CHANGESCRIBE_TEST_MARK.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Optional

import numpy as np

from changescribe.engine import systems
from changescribe.engine.errors import WeightsError
from changescribe.engine.hosts.base import Host
from changescribe.engine.request import APPEARED, NO_HINTS, CancelledCallback, Hints, Query
from changescribe.engine.systems.base import ChangeSystem, SystemInfo, TilePrediction

FOLDER = str(Path(__file__).resolve().parent)


def first_time() -> bool:
    """Return whether this is the first call since the mark was removed."""
    mark = Path(os.environ["CHANGESCRIBE_TEST_MARK"])
    if mark.exists():
        return False
    mark.touch()
    return True


class Plain(ChangeSystem):
    """Scores the rise or fall in brightness."""

    name = "plain"
    tier = "full"
    writes = False
    classes = ("building", "grass")

    def __init__(self) -> None:
        self.loads = 0

    @property
    def info(self) -> SystemInfo:
        return SystemInfo(
            name=self.name,
            title="For tests",
            description="",
            pixel_sizes=(0.5,),
            classes=self.classes,
            writes=self.writes,
            tile_size=64,
            overlap=16,
            batch_size=2,
            revision="1",
            terms="",
            tier=self.tier,
        )

    def load(self, device: str = "auto") -> None:
        self.loads += 1

    @property
    def device(self) -> str:
        return f"CPU (process {os.getpid()}, load {self.loads})"

    def notes(self, queries: Sequence[Query], hints: Hints = NO_HINTS) -> tuple[str, ...]:
        if queries[0].object == "modules":
            return tuple(sorted({"osgeo", "qgis", "torch", "numpy"} & set(sys.modules)))
        return tuple(f"no {query.object}" for query in queries if query.object == "élan")

    def predict(
        self,
        before: np.ndarray,
        after: np.ndarray,
        queries: Sequence[Query],
        hints: Hints = NO_HINTS,
    ) -> TilePrediction:
        rise = (after.astype(np.float32) - before).mean(-1) / 255
        planes = [rise if query.direction == APPEARED else -rise for query in queries]
        bright = [(tiles.mean(-1) < 128).astype(np.uint8) for tiles in (before, after)]
        return TilePrediction(np.clip(np.stack(planes, 1), 0, 1), *bright)


class Writes(Plain):
    """Writes "buildings" about brighter pixels, sometimes falsely: see ``describe``."""

    name = "writes"
    writes = True
    classes = ("building",)

    def describe(self, before, after, queries, regions, hints=NO_HINTS):
        answer = self.predict(before, after, [Query(q.object, APPEARED) for q in queries])
        brighter = (after.mean(3) > before.mean(3)) & (regions == 1)
        return replace(answer, captions=tuple(map(self.sentence, brighter.sum((1, 2)))))

    @staticmethod
    def sentence(pixels):
        """Return a sentence; small changes are wrongly reported as removed."""
        if not pixels:
            return "the scene is the same as before"
        verb = "removed" if pixels < 160 else "built"
        return f"a building of {pixels} pixels is {verb} in the top left corner"


class SlowWrites(Writes):
    """Writes two sentences a second apart, then waits for the file CHANGESCRIBE_TEST_GATE."""

    name = "slow_writes"
    said = 0

    def describe(self, before, after, queries, regions, hints=NO_HINTS):
        gate = Path(os.environ["CHANGESCRIBE_TEST_GATE"])
        end = time.monotonic() + 600
        while self.said >= 2 and not gate.exists() and time.monotonic() < end:
            time.sleep(0.05)
        time.sleep(0 if gate.exists() else 1.1)
        self.said += 1
        return super().describe(before, after, queries, regions, hints)


class SlowCompact(SlowWrites):
    name = "slow_compact"
    tier = "compact"


class Compact(Plain):
    name = "compact"
    tier = "compact"


class Echoes(Plain):
    """Returns its inputs as notes."""

    name = "echoes"

    def notes(self, queries, hints=NO_HINTS):
        return (repr((tuple(queries), hints)),)

    def predict(self, before, after, queries, hints=NO_HINTS):
        answer = super().predict(before, after, queries, hints)
        return replace(answer, notes=self.notes(queries, hints))

    def describe(self, before, after, queries, regions, hints=NO_HINTS):
        return self.predict(before, after, queries, hints)


class Printing(Plain):
    """Prints as libraries do, through Python and bypassing it."""

    name = "printing"

    def predict(self, before, after, queries, hints=NO_HINTS):
        sys.stdout.write("one line\n")
        print("more", file=sys.__stdout__, flush=True)
        os.write(1, b'{"result": {"known": [false, false], "notes": ["wrong"]}}\n')
        os.system("echo from a child")  # noqa: S605
        return super().predict(before, after, queries, hints)


class DiesOnce(Plain):
    name = "dies_once"

    def predict(self, before, after, queries, hints=NO_HINTS):
        if first_time():
            os.kill(os.getpid(), signal.SIGKILL)
        return super().predict(before, after, queries, hints)


class Dies(Plain):
    name = "dies"

    def predict(self, before, after, queries, hints=NO_HINTS):
        sys.stdout.write("the last words\n")
        os._exit(3)


class DiesLoading(Plain):
    name = "dies_loading"

    def load(self, device="auto"):
        os.kill(os.getpid(), signal.SIGKILL)


class Hangs(Plain):
    """Takes a minute for the first batch, after creating the mark."""

    name = "hangs"

    def predict(self, before, after, queries, hints=NO_HINTS):
        if first_time():
            time.sleep(60)
        return super().predict(before, after, queries, hints)


class Refuses(Plain):
    name = "refuses"

    def load(self, device="auto"):
        raise WeightsError("The weights are missing.", "Fetch them (5 MB).", "sum.bin")


class Breaks(Plain):
    name = "breaks"

    def predict(self, before, after, queries, hints=NO_HINTS):
        if queries[0].object == "memory":
            raise RuntimeError("CUDA out of memory. Tried to allocate 2 GiB")
        if queries[0].object == "shape":
            return TilePrediction(np.zeros((1, 1, 2, 2), np.float32))
        raise ZeroDivisionError("in the middle")


class WithTorch(Plain):
    """The same scores by PyTorch; imports torchvision for its side effects."""

    name = "with_torch"

    def load(self, device="auto"):
        import torch
        import torchvision

        self._torch = torch
        self._versions = f"torch {torch.__version__}, torchvision {torchvision.__version__}"

    @property
    def device(self):
        return f"CPU (process {os.getpid()}, {self._versions})"

    def predict(self, before, after, queries, hints=NO_HINTS):
        answer = super().predict(before, after, queries, hints)
        scores = self._torch.from_numpy(answer.scores)
        scores = self._torch.nn.functional.avg_pool2d(scores, 3, 1, 1, count_include_pad=False)
        return TilePrediction(scores.numpy(), answer.classes_before, answer.classes_after)


SYSTEMS = (
    Plain,
    Writes,
    SlowWrites,
    SlowCompact,
    Compact,
    Echoes,
    Printing,
    DiesOnce,
    Dies,
    DiesLoading,
    Hangs,
    Refuses,
    Breaks,
    WithTorch,
)


def register_all() -> None:
    """Register them in this process; a host passes them to its worker."""
    for system in SYSTEMS:
        systems.register(system.name, f"{__name__}:{system.__name__}")


def load(host: Host, system: str, device: str = "auto") -> str:
    """Open a system and close it; return the device."""
    with host.open(system, device) as opened:
        return opened.device


def predict(
    host: Host,
    system: str,
    before: np.ndarray,
    after: np.ndarray,
    queries: Sequence[Query],
    cancelled: Optional[CancelledCallback] = None,
) -> TilePrediction:
    """Open a system for one batch."""
    with host.open(system, cancelled=cancelled) as opened:
        return opened.predict(before, after, queries)
