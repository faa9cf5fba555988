# SPDX-License-Identifier: GPL-3.0-or-later
"""The one error that the engine raises on purpose, and its few kinds.

A :class:`ChangeScribeError` carries a sentence for the user and a hint about what to do. The QGIS
plugin shows both in the message bar; the command line prints them and exits with
:attr:`ChangeScribeError.exit_code`.
"""

from __future__ import annotations

from .messages import Message


class ErrorTexts:
    """Texts of the errors that every package raises."""

    exists = Message(
        '"{path}" already exists.', "Choose another name, or allow files to be overwritten."
    )
    missing_package = Message(
        "{package} is not installed.",
        "In QGIS: choose the system in the ChangeScribe panel and click Install; PyTorch then runs "
        "in a separate process. In a source checkout: make setup-full.",
    )
    no_geopandas = Message(
        "geopandas is not installed.",
        "Install it with pip install geopandas, or open the GeoPackage with another program.",
    )
    memory = Message(
        "There is not enough memory for this run.",
        "Close other programs, or choose a smaller area to analyse.",
    )
    gpu_memory = Message(
        "There is not enough memory on the graphics card for this run.",
        "Close other programs that use it, or run on the CPU.",
    )
    cancelled = Message("Cancelled before any result was complete.")


class ChangeScribeError(Exception):
    """Something went wrong, and the user can read what.

    Args:
        message: one sentence in the user's words; see :mod:`.messages`.
        hint: what the user can do; the message's own hint if empty.
        details: technical details, shown on request.
    """

    exit_code = 1

    def __init__(self, message: str, hint: str = "", details: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint or getattr(message, "hint", "")
        self.details = details

    def __str__(self) -> str:
        return f"{self.message} {self.hint}".strip()


class InputError(ChangeScribeError):
    """The request cannot be carried out as given: bad path, prompt, extent, option."""

    exit_code = 2


class ExistsError(InputError):
    """An output already exists at ``path``, and overwriting is off."""

    def __init__(self, path: object) -> None:
        super().__init__(ErrorTexts.exists(path=path))


class DependencyError(ChangeScribeError):
    """A Python package that the chosen system needs is not installed."""

    exit_code = 2


def missing_package(message: str, error: object = "") -> DependencyError:
    """Return the error for a missing package of the PyTorch systems, with ways to install it.

    ``message`` names the package and what needs it; ``error`` is what its import raised.

    Raises:
        OutOfMemoryError: the package is there, but memory does not suffice to load it.
    """
    raise_out_of_memory(error)
    return DependencyError(message, ErrorTexts.missing_package.hint, str(error))


class WeightsError(ChangeScribeError):
    """Model weights are missing, or do not match their catalogue entry."""

    exit_code = 2


#: How PyTorch, onnxruntime, GDAL, C++ and the C library report that memory is used up.
_MEMORY_WORDS = (
    "out of memory", "allocate memory", "unable to allocate", "cannot allocate", "bad_alloc",
    "could not allocate", "bad allocation", "alloc_failed", "failed to map segment",
)  # fmt: skip


class OutOfMemoryError(ChangeScribeError):
    """The memory of the computer or of its graphics card is used up."""

    def __init__(self, message: str = "", hint: str = "", details: str = "") -> None:
        first = details.lower().partition("\n")[0]  # a traceback may follow
        card = any(word in first for word in ("cuda", "cublas", "cudnn"))
        text = ErrorTexts.gpu_memory if card else ErrorTexts.memory
        super().__init__(message or text(), hint, details)


def is_out_of_memory(error: object) -> bool:
    """Return whether an error, or the text of one, says that memory is used up."""
    if isinstance(error, (MemoryError, OutOfMemoryError)):
        return True
    words = str(error).lower()
    return not isinstance(error, ChangeScribeError) and any(w in words for w in _MEMORY_WORDS)


def raise_out_of_memory(error: object) -> None:
    """Raise OutOfMemoryError if an error, or the text of one, says that memory is used up.

    To be called before a failure is blamed on a file.
    """
    if is_out_of_memory(error):
        details = error.details if isinstance(error, OutOfMemoryError) else str(error)
        raise OutOfMemoryError(details=details)


class OutputError(ChangeScribeError):
    """A result could not be written: folder not writable, disk full."""


class CancelledError(ChangeScribeError):
    """The user cancelled before any result was complete."""

    exit_code = 130

    def __init__(self, message: str = "") -> None:
        super().__init__(message or ErrorTexts.cancelled())
