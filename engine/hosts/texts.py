# SPDX-License-Identifier: GPL-3.0-or-later
"""Texts of the hosts for the user."""

from __future__ import annotations

from ..messages import Message

MEMORY_HINT = (
    "Close other programs, run it on the CPU instead of the graphics card, or choose a smaller "
    "system."
)
_OTHER_PYTHON = "Choose another Python program in the settings."


class HostsTexts:
    """Texts of :mod:`changescribe.engine.hosts`."""

    triton_loaded = Message(
        "PyTorch cannot be used in this process: something else has loaded triton into it.",
        "Run the system in a worker process, or restart QGIS without the other plugin.",
    )

    worker_ended = Message(
        "The worker process ended unexpectedly {when} ({how}).",
        f"There may be too little memory. {MEMORY_HINT}",
    )
    while_loading = Message("while loading the model")
    while_reading = Message("while reading the prompt")
    twice = Message("twice on the same tile")
    worker_restarted = Message(
        "The worker process ended unexpectedly ({how}) and was restarted; {repeated}."
    )
    tile_repeated = Message("the tile was repeated")
    tiles_repeated = Message("the tiles in progress were repeated")
    signal = Message("signal {number}")
    exit_code = Message("exit code {number}")
    no_exit = Message("it does not exit")

    not_started = Message("The worker process could not be started with {python}.", _OTHER_PYTHON)
    ended_at_start = Message(
        "The worker process ended as soon as it was started ({how}).",
        "Is {python} a Python program with PyTorch?",
    )
    other_version = Message(
        "The worker process belongs to another version of ChangeScribe.",
        "Restart QGIS, or install the plugin again.",
    )
    no_answer = Message(
        "The worker process did not answer for {time} and was stopped.",
        "Try again; if it happens again, choose another system or device.",
    )
    minutes = Message("{number:.0f} minutes")
    seconds = Message("{number:.0f} seconds")
    bad_answer = Message("The answer of the worker process was not understood.", _OTHER_PYTHON)
    no_numpy = Message(
        "The Python of the worker process has no numpy: {python}.",
        "Install PyTorch and numpy into it, or choose another one.",
    )

    python_not_found = Message(
        'The Python program "{program}" was not found.',
        "Correct it in the settings, or in the variable {variable}.",
    )
    no_python = Message(
        "No Python program was found for the worker process.",
        "Choose one under Advanced in the ChangeScribe panel or in the variable {variable}, or let "
        "this system run in the QGIS process.",
    )
    no_torch = Message(
        "This system needs PyTorch, and no Python that has it was found.",
        "In QGIS: choose the system in the ChangeScribe panel and click Install. Or choose the "
        "Python program of an environment with PyTorch, under Advanced in the panel or in the "
        "variable {variable}.",
    )
    no_python_nor_weights = Message("{no_python} {no_weights}", "{get_python}\n{get_weights}")

    no_memory_for_tiles = Message(
        "There is not enough memory for a batch of tiles ({megabytes:.0f} MB).", MEMORY_HINT
    )
    unexpected = Message(
        "ChangeScribe met an unexpected problem ({kind}).", "Include the details in a report."
    )

    none = Message("none ({reason})")
    no_reason = Message("no reason given")
    not_installed = Message("not installed")
    providers = Message("onnxruntime providers")
    worker_python = Message("Python of the worker process")
    torch_there = Message("PyTorch in the worker process")
    system = Message("system {name}")
    unusable = Message("cannot be used: {why}")
    runs_here = Message("runs in this process (onnxruntime); {weights}")
    runs_in_worker = Message("runs in a worker process (PyTorch); {weights}")
    complete = Message("has all its weights")
    lacks = Message("lacks {files}")
    absent = Message("{file} ({size})")
    damaged = Message("{file} ({size}, damaged)")
