# SPDX-License-Identifier: GPL-3.0-or-later
"""The worker process: predicts on batches of tiles for its parent, nothing else.

``python -m changescribe.engine.hosts.worker`` needs numpy and what its systems import,
but neither GDAL nor QGIS. It reads requests from standard input and writes answers to
a private copy of standard output, since libraries print; tiles and scores are in
shared memory (:mod:`.worker_link`). Models stay loaded. The process exits as soon as
standard input is closed, by its parent or by the parent's death.
"""

from __future__ import annotations

import json
import os
import platform
import queue
import sys
import threading
from typing import IO, TYPE_CHECKING, Any, Callable, Optional

from .. import systems
from ..errors import DependencyError
from .texts import HostsTexts
from .worker_link import PROTOCOL, Block, Shape, error_to_message, queries_from_message

if TYPE_CHECKING:
    import numpy as np

    from ..systems.base import ChangeSystem, TilePrediction


class Worker:
    """Answers requests one by one, both as lines of JSON."""

    def __init__(self, requests: IO[str], answers: IO[str]) -> None:
        self._requests = requests
        self._answers = answers
        self._queue: queue.Queue[str] = queue.Queue()
        self._systems: dict[str, ChangeSystem] = {}
        self._block: Optional[Block] = None
        self._calls: dict[str, Callable[..., dict[str, Any]]] = {
            "attach": self._attach,
            "load": self._load,
            "notes": self._notes,
            "predict": self._predict,
        }

    def run(self) -> None:
        """Introduce the process, then work until the parent is gone. Never returns."""
        self._answer(_introduce, {})
        threading.Thread(target=self._read, name="requests", daemon=True).start()
        while True:
            request = json.loads(self._queue.get())
            self._answer(self._calls[request["call"]], request["arguments"])

    def _read(self) -> None:
        for line in self._requests:
            self._queue.put(line)
        # Nobody waits for the current computation, and there is nothing to save.
        os._exit(0)

    def _answer(self, call: Callable[..., dict[str, Any]], arguments: dict[str, Any]) -> None:
        try:
            answer = {"result": call(**arguments)}
        except BaseException as error:  # noqa: BLE001 - libraries may raise SystemExit
            answer = {"error": error_to_message(error)}
        self._answers.write(json.dumps(answer) + "\n")
        self._answers.flush()

    def _attach(self, path: str, size: int) -> dict[str, Any]:
        if self._block is not None:
            self._block.close()
        self._block = Block.attach(path, size)
        return {}

    def _load(self, system: str, device: str, entry: str) -> dict[str, Any]:
        if entry:
            systems.register(system, entry)
        if system not in self._systems:
            self._systems[system] = systems.create(system)
        self._systems[system].load(device)
        return {"device": self._systems[system].device}

    def _notes(self, system: str, message: dict[str, Any]) -> dict[str, Any]:
        return {"notes": self._systems[system].notes(*queries_from_message(message))}

    def _predict(
        self, system: str, message: dict[str, Any], shape: list[int], describe: bool
    ) -> dict[str, Any]:
        """Read the tiles from the block, write the answer into it and return the rest."""
        scores, before, after, regions, classes = self._views(shape)
        queries, hints = queries_from_message(message)
        loaded = self._systems[system]
        if describe:
            answer = loaded.describe(before, after, queries, regions, hints)
        else:
            answer = loaded.predict(before, after, queries, hints)
        return _answered(system, answer, scores, classes)

    def _views(self, shape: list[int]) -> tuple[np.ndarray, ...]:
        if self._block is None:
            raise RuntimeError("predict before attach")
        scores, *inputs, classes = self._block.views(Shape(*shape))
        # Copies: a system may keep its input, and the next batch overwrites the block.
        return (scores, *(part.copy() for part in inputs), classes)


def _answered(
    system: str, answer: TilePrediction, scores: np.ndarray, classes: np.ndarray
) -> dict[str, Any]:
    """Write the arrays of an answer into the block; return the rest."""
    if answer.scores.shape != scores.shape:
        raise ValueError(f"{system} answered {answer.scores.shape}, not {scores.shape}")
    scores[:] = answer.scores
    known = []
    for target, dates in zip(classes, (answer.classes_before, answer.classes_after)):
        known.append(dates is not None)
        if dates is not None:
            target[:] = dates
    return {"known": known, "notes": answer.notes, "captions": answer.captions}


def _introduce() -> dict[str, Any]:
    """Return the first message, which the parent checks."""
    try:
        import numpy as np
    except ImportError as error:
        raise DependencyError(
            HostsTexts.no_numpy(python=sys.executable), details=str(error)
        ) from error
    return {"protocol": PROTOCOL, "python": platform.python_version(), "numpy": np.__version__}


def _private_streams() -> tuple[IO[str], IO[str]]:
    """Reserve standard input and output for the protocol; prints go to standard error.

    Programs started by a library do not inherit the private copies.
    """
    requests = os.fdopen(os.dup(0), "r", encoding="ascii")
    answers = os.fdopen(os.dup(1), "w", encoding="ascii", newline="\n")
    os.dup2(2, 1)
    sys.stdout = sys.stderr
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    return requests, answers


def main() -> None:
    """Run the worker process. Never returns."""
    Worker(*_private_streams()).run()


if __name__ == "__main__":
    main()
