# SPDX-License-Identifier: GPL-3.0-or-later
"""A system without weights and a pair of images."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pytest

from changescribe.engine import systems
from changescribe.engine.hosts.base import InProcessHost
from changescribe.engine.request import APPEARED, NO_HINTS, Hints, Query
from changescribe.engine.systems.base import CLASS_UNKNOWN, ChangeSystem, SystemInfo, TilePrediction


class BrightnessSystem(ChangeSystem):
    """Bright pixels are buildings, dark ones grass; the score is the change in brightness."""

    info = SystemInfo(
        name="brightness",
        title="Brightness",
        description="For tests.",
        pixel_sizes=(0.5, 1.0),
        classes=("building", "grass"),
        tile_size=64,
        overlap=16,
        batch_size=3,
        revision="1",
        terms="none",
    )

    def __init__(self) -> None:
        self.loads = 0
        self.calls = 0

    def load(self, device: str = "auto") -> None:
        self.loads += 1

    @property
    def device(self) -> str:
        return "CPU (test)"

    def predict(
        self,
        before: np.ndarray,
        after: np.ndarray,
        queries: Sequence[Query],
        hints: Hints = NO_HINTS,
    ) -> TilePrediction:
        self.calls += 1
        brightness = [tiles.mean(axis=3) / 255.0 for tiles in (before, after)]
        rise = np.clip(brightness[1] - brightness[0], 0, 1)
        fall = np.clip(brightness[0] - brightness[1], 0, 1)
        planes = [rise if query.direction == APPEARED else fall for query in queries]
        classes = [
            np.where(b > 0.5, 0, np.where(b > 0.02, 1, CLASS_UNKNOWN)).astype(np.uint8)
            for b in brightness
        ]
        return TilePrediction(np.stack(planes, 1).astype(np.float32), *classes)


@pytest.fixture
def brightness(monkeypatch: pytest.MonkeyPatch) -> Iterator[InProcessHost]:
    """A host with the system "brightness", which needs no weights."""
    create = systems.create

    def create_with_test_system(name: str) -> ChangeSystem:
        return BrightnessSystem() if name == "brightness" else create(name)

    monkeypatch.setattr(systems, "create", create_with_test_system)
    host = InProcessHost()
    yield host
    host.close()


@pytest.fixture(scope="session")
def new_houses() -> tuple[np.ndarray, np.ndarray]:
    """A field, and the same field with four light houses and their shadows."""
    rng = np.random.default_rng(3)
    field = np.array([96, 112, 72]) + rng.normal(0, 9, (256, 256, 1))
    before = np.clip(field, 0, 255).astype(np.uint8)
    after = before.copy()
    for top, left in ((40, 40), (40, 150), (150, 40), (150, 150)):
        after[top + 4 : top + 48, left + 4 : left + 48] = (40, 44, 40)
        after[top : top + 40, left : left + 40] = (206, 198, 190)
        after[top : top + 20, left : left + 40] = (184, 172, 160)
    return before[None], after[None]
