# SPDX-License-Identifier: GPL-3.0-or-later
"""What is measured in a process of its own: ``cases.py CASE ARGUMENTS-AS-JSON`` prints JSON."""

from __future__ import annotations

import contextlib
import json
import os
import resource
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Callable

import numpy as np

from changescribe.engine import systems
from changescribe.engine.detect import pipeline
from changescribe.engine.hosts.base import InProcessHost
from changescribe.engine.request import ChangeRequest, ChangeResult
from changescribe.engine.systems.base import OpenedSystem, TilePrediction

PROMPT, SECOND_PROMPT = "buildings built", "trees removed"
Seconds = dict[str, float]


def timed(call: Callable[[], object]) -> Seconds:
    """Return seconds of a call by the clock, and of this process's CPU in user mode."""
    user, start = resource.getrusage(resource.RUSAGE_SELF).ru_utime, time.perf_counter()
    call()
    wall = time.perf_counter() - start
    return {"wall_s": wall, "user_s": resource.getrusage(resource.RUSAGE_SELF).ru_utime - user}


class _Recording(OpenedSystem):
    """Keeps the tiles and arguments that a system is given."""

    def __init__(self, system: OpenedSystem, calls: list[tuple[Any, ...]]) -> None:
        self._system, self._calls = system, calls
        self.notes = system.notes  # type: ignore[method-assign]

    @property
    def info(self) -> Any:
        return self._system.info

    @property
    def device(self) -> str:
        return self._system.device

    def predict(self, *arguments: Any) -> TilePrediction:
        self._calls.append(arguments)
        return self._system.predict(*arguments)


class RecordingHost(InProcessHost):
    """A host that keeps what systems are given while ``calls`` is a list."""

    calls: list[tuple[Any, ...]] | None = None

    @contextlib.contextmanager
    def open(self, *arguments: Any, **named: Any) -> Iterator[OpenedSystem]:
        """Open a system; see the base class."""
        with super().open(*arguments, **named) as opened:
            yield opened if self.calls is None else _Recording(opened, self.calls)


def _request(given: dict[str, Any], folder: str, **more: Any) -> ChangeRequest:
    before, after = given["pair"]
    return ChangeRequest(
        before,
        after,
        PROMPT,
        os.path.join(folder, "out.gpkg"),
        given["system"],
        overwrite=True,
        **more,
    )


@contextlib.contextmanager
def _empty_cache(folder: str) -> Iterator[None]:
    """Let a run remember nothing of former ones."""
    with tempfile.TemporaryDirectory(dir=folder) as cache:
        os.environ["XDG_CACHE_HOME"] = cache
        yield


def pair(given: dict[str, Any], folder: str) -> dict[str, Any]:
    """Time runs on a pair and the model alone on the same tiles, by turns.

    ``given`` has ``pair`` (two paths), ``system``, ``repeats``, and ``bare``: whether the model
    alone and a second question are measured too.
    """
    host = RecordingHost()
    request = _request(given, folder)
    second = replace(request, prompt=SECOND_PROMPT)
    host.calls = calls = []
    with _empty_cache(folder):
        # A pair that is kept is encoded, not predicted.
        pipeline.detect(replace(request, remember=False), host)
    host.calls = None
    results: list[ChangeResult] = []
    found: dict[str, list[Seconds]] = {"run": [], "bare": [], "second": []}

    def bare() -> None:
        with host.open(given["system"]) as system:
            for arguments in calls:
                system.predict(*arguments)

    for _ in range(given["repeats"]):
        with _empty_cache(folder):
            found["run"].append(timed(lambda: results.append(pipeline.detect(request, host))))
            if given["bare"]:
                found["second"].append(timed(lambda: pipeline.detect(second, host)))
                found["bare"].append(timed(bare))
    return {
        **found,
        "stages": [result.timings_s for result in results],
        "regions": results[-1].count,
        "tiles": sum(len(arguments[0]) for arguments in calls),
        "tile_px": int(np.prod(calls[0][0].shape[1:3])),
        "device": results[-1].device,
    }


def threshold(given: dict[str, Any], folder: str) -> dict[str, Any]:
    """Time mask, polygons, captions and files from known scores, with other thresholds."""
    outline, found = pipeline.outline, []

    def again(run: Any, scores: Any) -> ChangeResult:
        for value in given["thresholds"]:
            other = replace(run, request=replace(run.request, threshold=value))
            found.append(timed(lambda other=other: outline(other, scores)))
            os.remove(run.outputs.work("changes.gpkg"))
        return outline(run, scores)

    pipeline.outline = again
    with _empty_cache(folder):
        pipeline.detect(_request(given, folder), InProcessHost())
    return {"again": found}


def memory(given: dict[str, Any], folder: str) -> dict[str, Any]:
    """Run once; return the peak memory of this process in MB."""
    with _empty_cache(folder):
        pipeline.detect(_request(given, folder), InProcessHost())
    return {"peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}


def main() -> None:
    """Measure one case."""
    systems.register("noop", "noop:NoopSystem")
    case, given = sys.argv[1], json.loads(sys.argv[2])
    with tempfile.TemporaryDirectory(dir=Path(given["pair"][0]).parent) as folder:
        print(
            json.dumps(
                {"pair": pair, "threshold": threshold, "memory": memory}[case](given, folder)
            )
        )


if __name__ == "__main__":
    main()
