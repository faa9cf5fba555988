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
    """
    return DependencyError(message, ErrorTexts.missing_package.hint, str(error))


class WeightsError(ChangeScribeError):
    """Model weights are missing, or do not match their catalogue entry."""

    exit_code = 2


class OutputError(ChangeScribeError):
    """A result could not be written: folder not writable, disk full."""


class CancelledError(ChangeScribeError):
    """The user cancelled before any result was complete."""

    exit_code = 130

    def __init__(self, message: str = "") -> None:
        super().__init__(message or ErrorTexts.cancelled())
