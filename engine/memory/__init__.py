# SPDX-License-Identifier: GPL-3.0-or-later
"""Memory of pairs: what does not depend on the question, kept on disk.

    FOLDER/KEY/pair.json    facts of the pair, checked by a checksum; the time it was last used
    FOLDER/KEY/N.tile       features of tile N, each array with a checksum; none if it has no data
    FOLDER/.NAME            an entry that is being written or deleted

An entry gets its name when it is complete, by a rename, and loses it by a rename before it is
deleted, so that processes need no locks. A key stands for the content of files, see
:mod:`.identity`: other content has another key, and nothing is ever updated.
"""

from __future__ import annotations

from .identity import key_of, places_of
from .store import Entry, PairMemory, default_folder, limit_bytes, use_limit
from .tiles import BrokenEntryError

__all__ = [
    "BrokenEntryError",
    "Entry",
    "PairMemory",
    "default_folder",
    "key_of",
    "limit_bytes",
    "places_of",
    "use_limit",
]
