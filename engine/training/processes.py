# SPDX-License-Identifier: GPL-3.0-or-later
"""Several processes that share the steps of a run and average their gradients.

On a CPU, single-threaded processes are faster on a shared machine than one process whose threads
wait for each other at every layer. Of several GPUs, each gets a process. The processes are started
here, or by ``torchrun``, also on several machines that share the folders of data and run::

    torchrun --nproc-per-node 4 -m changescribe.engine.cli train lgcd --data FOLDER --out OUT
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch

from ..device import choose
from ..errors import ChangeScribeError
from .recipe import Recipe

#: The other processes wait while the first one validates, which may take hours.
_PATIENCE = timedelta(days=2)


def by_torchrun() -> bool:
    """Whether ``torchrun`` has started this process."""
    return torch.distributed.is_torchelastic_launched()


def is_first() -> bool:
    """Whether this process writes the files of a run."""
    return not by_torchrun() or os.environ["RANK"] == "0"


def count(recipe: Recipe, device: str) -> int:
    """Return the number of processes: the recipe's, at most one per GPU; or torchrun's."""
    if by_torchrun():
        return int(os.environ["WORLD_SIZE"])
    if choose(device).name == "cuda":
        return max(1, min(recipe.processes, torch.cuda.device_count()))
    return recipe.processes


def run(work: Callable[[int, Any], None], job: Any, processes: int, device: str, out: Path) -> None:
    """Call ``work(rank, job)`` in every process; re-raise the error of any of them.

    Args:
        work: importable function.
        job: its argument, picklable for several processes.
        processes: see :func:`count`.
        device: ``"auto"``, ``"cpu"`` or ``"cuda"``.
        out: existing folder for the file through which the processes find each other.
    """
    if by_torchrun():
        _join(int(os.environ["RANK"]), int(os.environ["LOCAL_RANK"]), processes, device, "env://")
        try:
            work(int(os.environ["RANK"]), job)
        finally:
            torch.distributed.destroy_process_group()
    elif processes == 1:
        work(0, job)
    else:
        _start(work, job, processes, device, out / f"meeting_{os.getpid()}")


def _start(
    work: Callable[[int, Any], None], job: Any, processes: int, device: str, meeting: Path
) -> None:
    meeting.unlink(missing_ok=True)
    errors = torch.multiprocessing.get_context("spawn").SimpleQueue()
    try:
        torch.multiprocessing.spawn(
            _member, (work, job, processes, device, f"file://{meeting}", errors), nprocs=processes
        )
    except torch.multiprocessing.ProcessExitedException:
        if errors.empty():
            raise
        raise errors.get() from None
    finally:
        meeting.unlink(missing_ok=True)


def _member(
    rank: int,
    work: Callable[[int, Any], None],
    job: Any,
    processes: int,
    device: str,
    meeting: str,
    errors: Any,
) -> None:
    _join(rank, rank, processes, device, meeting)
    try:
        work(rank, job)
    except ChangeScribeError as error:
        errors.put(error)
        sys.exit(error.exit_code)
    torch.distributed.destroy_process_group()


def _join(rank: int, local_rank: int, processes: int, device: str, meeting: str) -> None:
    """Join the process group: NCCL on GPUs, one each, gloo on CPUs."""
    cuda = choose(device).name == "cuda"
    if cuda:
        torch.cuda.set_device(local_rank)
    torch.distributed.init_process_group(
        "nccl" if cuda else "gloo",
        init_method=meeting,
        rank=rank,
        world_size=processes,
        timeout=_PATIENCE,
    )
