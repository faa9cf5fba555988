# SPDX-License-Identifier: GPL-3.0-or-later
"""The catalogue of weight files: facts about each, with their sources.

The file is JSON, since the compact tier may have no YAML reader. Unknown values are ``null``, and
every known value cites its source. Nothing is downloaded that cannot be verified: an entry
without a full SHA-256 can only be imported from a file that the user chooses.
"""

from __future__ import annotations

import functools
import json
import re
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Optional
from urllib.parse import urlsplit

from ..errors import InputError, WeightsError
from .texts import WeightsTexts

CATALOGUE = Path(__file__).with_name("catalogue.json")
#: Formats, each read by a function of :mod:`.loading`.
SAM2_CHECKPOINT = "sam2_checkpoint"
SAM_CHECKPOINT = "sam_checkpoint"
OPEN_CLIP = "open_clip"
TORCHVISION = "torchvision"
TRANSFORMERS_FOLDER = "transformers_folder"
CHANGESCRIBE = "changescribe_safetensors"
FORMATS = (
    SAM2_CHECKPOINT,
    SAM_CHECKPOINT,
    OPEN_CLIP,
    TORCHVISION,
    TRANSFORMERS_FOLDER,
    CHANGESCRIBE,
)
#: Values that need a source.
SOURCED = ("url", "revision", "size", "sha256", "sha256_prefix", "licence", "terms")
_IDENTIFIER = re.compile(r"[a-z0-9][a-z0-9.\-]*")
_FILE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._\-]*")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_PREFIX = re.compile(r"[0-9a-f]{8,63}")


@dataclass(frozen=True)
class Entry:
    """A weight file, or a folder of them, that a system may need.

    Attributes:
        id: name on the command line and in ``SystemInfo.weights``.
        title: name for the user.
        file: name of the file, or of the folder for ``transformers_folder``.
        format: one of :data:`FORMATS`.
        architecture: what :mod:`.loading` builds before it loads the weights.
        url: address of the file, with a pinned revision if ``sha256`` is known; for a folder or
            an import-only file the page to get it from by hand.
        revision: of the published file.
        size: in bytes.
        sha256: of the whole file, lower-case hexadecimal.
        sha256_prefix: its first digits, if only those are known.
        licence: SPDX identifier.
        terms: terms of use in one sentence, for the user.
        source: source of each value, by its name.
    """

    id: str
    title: str
    file: str
    format: str
    architecture: str
    url: Optional[str] = None
    revision: Optional[str] = None
    size: Optional[int] = None
    sha256: Optional[str] = None
    sha256_prefix: Optional[str] = None
    licence: Optional[str] = None
    terms: Optional[str] = None
    source: dict[str, str] = field(default_factory=dict, hash=False)

    @property
    def can_be_fetched(self) -> bool:
        """Whether it can be downloaded and verified."""
        return self.url is not None and self.sha256 is not None

    @property
    def is_folder(self) -> bool:
        """Whether it is a folder of several files."""
        return self.format == TRANSFORMERS_FOLDER

    @property
    def size_text(self) -> str:
        """Formatted size, such as "156 MB"."""
        return megabytes(self.size)


def megabytes(size: Optional[int]) -> str:
    """Format a size in bytes with decimal units, such as "156 MB"."""
    if size is None:
        return WeightsTexts.size_unknown()
    if size >= 1e9:
        return f"{size / 1e9:.2f} GB"
    return f"{size / 1e6:.0f} MB" if size >= 1e6 else f"{size / 1e3:.0f} kB"


def problems(entry: Entry) -> list[str]:
    """Check an entry and return its problems, one line each."""
    found = []
    if not _IDENTIFIER.fullmatch(entry.id):
        found.append("the id is not lower-case letters, digits, dots and hyphens")
    if not _FILE_NAME.fullmatch(entry.file):
        found.append("the file name has characters that some system does not allow")
    if entry.format not in FORMATS:
        found.append(f"the format {entry.format!r} is not known")
    found += [
        f"{name} has no source"
        for name in SOURCED
        if getattr(entry, name) is not None and not entry.source.get(name, "").strip()
    ]
    found += [
        f"there is a source for {name}, but no value"
        for name in entry.source
        if name not in SOURCED or getattr(entry, name) is None
    ]
    return found + _value_problems(entry)


def _value_problems(entry: Entry) -> list[str]:
    found = []
    if entry.sha256 is not None and not _SHA256.fullmatch(entry.sha256):
        found.append("sha256 is not 64 hexadecimal digits")
    if entry.sha256_prefix is not None:
        if not _PREFIX.fullmatch(entry.sha256_prefix):
            found.append("sha256_prefix is not at least 8 hexadecimal digits")
        elif entry.sha256 is not None and not entry.sha256.startswith(entry.sha256_prefix):
            found.append("sha256 does not begin with sha256_prefix")
    if entry.size is not None and entry.size <= 0:
        found.append("size is not positive")
    if entry.url is not None:
        parts = urlsplit(entry.url)
        if parts.scheme != "https":
            found.append("the url is not https")
        if entry.can_be_fetched and not parts.path.endswith(f"/{entry.file}"):
            found.append("the url does not end with the file's name")
        if entry.can_be_fetched and entry.revision is None:
            found.append("what can be fetched has a pinned revision")
    if entry.is_folder and entry.sha256 is not None:
        found.append("a folder has no single SHA-256")
    return found


def parse(text: str) -> dict[str, Entry]:
    """Parse a catalogue; return entries by id, in the order of the file.

    Raises:
        WeightsError: it is not a catalogue, or :func:`problems` finds one in an entry.
    """
    names = {part.name for part in fields(Entry)}
    entries: dict[str, Entry] = {}
    try:
        rows: list[dict[str, Any]] = json.loads(text)["entries"]
        for row in rows:
            unknown = set(row) - names
            entry = Entry(**{name: value for name, value in row.items() if name in names})
            found = problems(entry) + [f"{name} is no value of an entry" for name in unknown]
            if entry.id in entries:
                found.append("the id is there twice")
            if found:
                message = WeightsTexts.bad_entry(id=entry.id, problem=found[0])
                raise WeightsError(message, details="\n".join(found))
            entries[entry.id] = entry
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise WeightsError(WeightsTexts.catalogue_unreadable(), details=repr(error)) from error
    return entries


@functools.lru_cache(maxsize=1)
def entries() -> dict[str, Entry]:
    """Return the entries of the shipped catalogue, by id.

    Raises:
        WeightsError: the file is missing or damaged.
    """
    try:
        text = CATALOGUE.read_text(encoding="utf-8")
    except OSError as error:
        raise WeightsError(WeightsTexts.catalogue_missing(), details=str(error)) from error
    return parse(text)


def entry(identifier: str, among: Optional[dict[str, Entry]] = None) -> Entry:
    """Return an entry of the catalogue.

    Raises:
        InputError: there is no such entry.
    """
    known = entries() if among is None else among
    if identifier not in known:
        raise InputError(WeightsTexts.no_such_entry(id=identifier, known=", ".join(known)))
    return known[identifier]
