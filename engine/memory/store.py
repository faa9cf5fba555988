# SPDX-License-Identifier: GPL-3.0-or-later
"""The folder of remembered pairs: find, keep, list, clear, and forget the least recently used."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sys
import time
import uuid
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional

import numpy as np

from ..paths import MEMORY_GB as DEFAULT_GB
from .tiles import BrokenEntryError, read_tile, write_tile

#: Environment variable: maximum size of the folder in GB (10^9 bytes); 0 keeps nothing.
VARIABLE = "CHANGESCRIBE_MEMORY_GB"
_FACTS = "pair.json"
#: Unfinished entries that nothing was written to for so many seconds belong to a dead process.
_ABANDONED_S = 24 * 3600.0
#: Free space in bytes that is left on the disk.
_SPARE_BYTES = 2_000_000_000
_limit_gb: Optional[float] = None


def use_limit(gigabytes: Optional[float]) -> None:
    """Set the maximum size of the folder for this process; None restores the default."""
    global _limit_gb  # noqa: PLW0603 - a setting of the process
    _limit_gb = gigabytes


def limit_bytes() -> float:
    """Return the maximum size of the folder in bytes.

    It is that of ``CHANGESCRIBE_MEMORY_GB``, else of :func:`use_limit`, else 5 GB.
    """
    gigabytes = DEFAULT_GB if _limit_gb is None else _limit_gb
    with contextlib.suppress(ValueError):
        gigabytes = float(os.environ.get(VARIABLE, "") or gigabytes)
    return gigabytes * 1e9


def default_folder() -> Path:
    """Return the folder of remembered pairs: a subfolder of the user's folder of caches."""
    home = Path.home()
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA", "") or home / "AppData" / "Local")
    elif sys.platform == "darwin":
        base = home / "Library" / "Caches"
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME", "") or home / ".cache")
    return base / "changescribe" / "pairs"


@dataclass(frozen=True)
class Entry:
    """A remembered pair.

    Attributes:
        key: see :func:`..identity.key_of`.
        folder: of the entry.
        size: in bytes.
        tiles: number of tiles, with those that have no data.
        full: numbers of the tiles that have data.
        facts: of the pair, as given to :meth:`Writing.finish`.
    """

    key: str
    folder: Path
    size: int
    tiles: int
    full: frozenset[int]
    facts: Mapping[str, Any]

    @property
    def used(self) -> float:
        """When it was last used, in seconds since 1970; 0 if it is gone."""
        try:
            return (self.folder / _FACTS).stat().st_mtime
        except OSError:
            return 0.0

    def read(self, number: int) -> Optional[dict[str, np.ndarray]]:
        """Return what is kept of a tile; None if it has no data.

        Raises:
            BrokenEntryError: it is damaged, or the entry is gone.
        """
        if number not in self.full:
            return None
        return read_tile(self.folder / f"{number}.tile", self.key)


class Writing:
    """An entry that is being written. Errors end it; they are no errors of the run."""

    def __init__(self, memory: PairMemory, key: str) -> None:
        self._memory, self._key = memory, key
        self._folder = memory.folder / f".{key[:8]}-{uuid.uuid4().hex}"
        self._full: list[int] = []
        self.size = 0
        self.open = True
        try:
            # Features show, roughly, what the rasters show: they are for this user alone.
            memory.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._folder.mkdir(mode=0o700)
        except OSError:
            self.open = False

    def add(self, number: int, arrays: Mapping[str, np.ndarray]) -> None:
        """Keep arrays of a tile; give up if there is no space."""
        if not self.open:
            return
        try:
            path = self._folder / f"{number}.tile"
            self.size += write_tile(path, arrays, self._key)
            self._full.append(number)
            free = shutil.disk_usage(self._folder).free
        except OSError:
            free = 0
        if self.size > limit_bytes() or free < _SPARE_BYTES:
            self.drop()

    def finish(self, tiles: int, facts: Mapping[str, Any]) -> None:
        """Complete the entry; make room for it."""
        if not self.open:
            return
        content = {"tiles": tiles, "full": self._full, "size": self.size, "facts": dict(facts)}
        text = json.dumps(content)
        try:
            path = self._folder / _FACTS
            checked = {"crc": zlib.crc32(text.encode()), "content": text, "key": self._key}
            path.write_text(json.dumps(checked), encoding="utf-8")
            self._memory.make_room(limit_bytes() - self.size)
            # It fails if another process was faster: its entry is as good.
            self._folder.rename(self._memory.folder / self._key)
            self.open = False
        except OSError:
            self.drop()

    def drop(self) -> None:
        """Delete what was written, unless it is complete."""
        if self.open:
            self.open = False
            shutil.rmtree(self._folder, ignore_errors=True)


class PairMemory:
    """The remembered pairs in a folder.

    Args:
        folder: default is :func:`default_folder`.
    """

    def __init__(self, folder: Optional[Path] = None) -> None:
        self.folder = folder or default_folder()

    def find(self, key: str) -> Optional[Entry]:
        """Return an entry and mark it as used; None if there is none, or it is damaged."""
        try:
            entry = _read(self.folder / key)
            os.utime(entry.folder / _FACTS)
        except FileNotFoundError:
            return None
        except BrokenEntryError:
            self.remove(key)
            return None
        except OSError:
            return None
        return entry

    def has(self, key: str) -> bool:
        """Tell whether there is an entry, without checking or using it."""
        return (self.folder / key / _FACTS).is_file()

    def write(self, key: str) -> Writing:
        """Begin an entry."""
        return Writing(self, key)

    def entries(self) -> list[Entry]:
        """Return the entries that are whole, the last used first."""
        found = []
        for path in self._folders():
            with contextlib.suppress(BrokenEntryError, OSError):
                found.append(_read(path))
        return sorted(found, key=lambda entry: -entry.used)

    def _folders(self) -> list[Path]:
        try:
            return [p for p in self.folder.iterdir() if not p.name.startswith(".") and p.is_dir()]
        except OSError:
            return []

    def remove(self, key: str) -> bool:
        """Delete an entry; return whether it is gone. Another process may still read from it."""
        path = self.folder / key
        gone = self.folder / f".gone-{uuid.uuid4().hex}"
        try:
            path.rename(gone)
        except OSError:
            return not path.exists()
        shutil.rmtree(gone, ignore_errors=True)
        return True

    def clear(self) -> int:
        """Delete all entries, also damaged and abandoned ones; return the number of entries."""
        removed = sum(self.remove(path.name) for path in self._folders())
        self._sweep()
        return removed

    def make_room(self, available: float) -> None:
        """Delete the least recently used entries until the rest takes at most so many bytes."""
        self._sweep()
        kept = {entry.key for entry in self.entries()}
        for path in self._folders():
            if path.name not in kept:
                self.remove(path.name)
        total = 0
        for entry in self.entries():
            total += entry.size
            if total > available and self.remove(entry.key):
                total -= entry.size

    def _sweep(self) -> None:
        """Delete what dead processes have left."""
        with contextlib.suppress(OSError):
            for path in self.folder.glob(".*"):
                gone = path.name.startswith(".gone-")
                if gone or time.time() - path.stat().st_mtime > _ABANDONED_S:
                    shutil.rmtree(path, ignore_errors=True)


def _read(folder: Path) -> Entry:
    """Read an entry.

    Raises:
        FileNotFoundError: there is none.
        BrokenEntryError: it is damaged.
    """
    if not folder.is_dir():
        raise FileNotFoundError(folder)
    try:
        checked = json.loads((folder / _FACTS).read_text(encoding="utf-8"))
        text = checked["content"]
        if zlib.crc32(text.encode()) != checked["crc"] or checked["key"] != folder.name:
            raise ValueError("checksum")
        content = json.loads(text)
        return Entry(
            folder.name,
            folder,
            int(content["size"]),
            int(content["tiles"]),
            frozenset(map(int, content["full"])),
            dict(content["facts"]),
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise BrokenEntryError(f"{folder}: {error}") from error
