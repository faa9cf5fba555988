# SPDX-License-Identifier: GPL-3.0-or-later
"""The folder of remembered pairs: what is kept comes back, and nothing else does."""

from __future__ import annotations

import os

import numpy as np
import pytest

from changescribe.engine.memory import BrokenEntryError, PairMemory, key_of, places_of, use_limit
from changescribe.engine.memory.store import default_folder

KEY, OTHER = key_of({"pair": 1}), key_of({"pair": 2})


@pytest.fixture
def memory(tmp_path, monkeypatch):
    monkeypatch.setattr("changescribe.engine.memory.store._SPARE_BYTES", 0)
    monkeypatch.delenv("CHANGESCRIBE_MEMORY_GB")
    use_limit(1.0)
    yield PairMemory(tmp_path / "pairs")
    use_limit(None)


def _arrays(seed: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {
        "half": rng.normal(size=(4, 3, 5)).astype(np.float16),
        "bits": rng.integers(0, 255, 7).astype(np.uint8),
        "none": np.zeros((0, 3), np.float32),
    }


def _keep(memory: PairMemory, key: str, facts: dict | None = None) -> None:
    writing = memory.write(key)
    writing.add(0, _arrays(0))
    writing.add(2, _arrays(2))
    writing.finish(3, facts or {})


def test_what_is_kept_comes_back(memory):
    _keep(memory, KEY, {"warnings": ["clouds"]})
    entry = memory.find(KEY)
    assert entry.tiles == 3
    assert entry.facts == {"warnings": ["clouds"]}
    assert entry.read(1) is None
    for number in (0, 2):
        for name, array in _arrays(number).items():
            found = entry.read(number)[name]
            assert found.dtype == array.dtype
            assert np.array_equal(found, array)
    assert memory.find(OTHER) is None


def test_an_entry_is_not_found_before_it_is_complete(memory):
    writing = memory.write(KEY)
    writing.add(0, _arrays(0))
    assert memory.find(KEY) is None
    writing.drop()
    assert list(memory.folder.iterdir()) == []


def test_of_two_processes_that_keep_a_pair_one_entry_stays(memory):
    first, second = memory.write(KEY), memory.write(KEY)
    for writing in (first, second):
        writing.add(0, _arrays(0))
        writing.finish(1, {})
    assert np.array_equal(memory.find(KEY).read(0)["bits"], _arrays(0)["bits"])
    assert [path.name for path in memory.folder.iterdir()] == [KEY]


@pytest.mark.parametrize("place", [0, 25, 60, -64])
def test_a_damaged_tile_is_not_read(memory, place):
    _keep(memory, KEY)
    path = memory.folder / KEY / "0.tile"
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)
    entry = memory.find(KEY)
    with pytest.raises(BrokenEntryError):
        entry.read(0)
    assert entry.read(2) is not None


@pytest.mark.parametrize("bytes_left", [0, 10, 200])
def test_a_short_or_missing_tile_is_not_read(memory, bytes_left):
    _keep(memory, KEY)
    path = memory.folder / KEY / "2.tile"
    path.write_bytes(path.read_bytes()[:bytes_left])
    with pytest.raises(BrokenEntryError):
        memory.find(KEY).read(2)
    path.unlink()
    with pytest.raises(BrokenEntryError):
        memory.find(KEY).read(2)


def test_a_foreign_tile_or_entry_is_not_read(memory):
    _keep(memory, KEY)
    _keep(memory, OTHER)
    (memory.folder / OTHER / "0.tile").replace(memory.folder / KEY / "0.tile")
    with pytest.raises(BrokenEntryError):
        memory.find(KEY).read(0)
    memory.remove(KEY)
    (memory.folder / OTHER).rename(memory.folder / KEY)
    assert memory.find(KEY) is None
    assert memory.entries() == []


def test_damaged_facts_are_no_entry_and_are_deleted(memory):
    _keep(memory, KEY)
    path = memory.folder / KEY / "pair.json"
    path.write_text(path.read_text().replace('\\"tiles\\": 3', '\\"tiles\\": 4'))
    assert memory.find(KEY) is None
    assert not path.exists()


def test_the_least_recently_used_goes_first(memory):
    keys = [key_of({"pair": number}) for number in range(3)]
    for number, key in enumerate(keys):
        _keep(memory, key)
        os.utime(memory.folder / key / "pair.json", (number, number))
    size = memory.entries()[0].size
    memory.find(keys[0])  # used now
    memory.make_room(2 * size)
    assert {entry.key for entry in memory.entries()} == {keys[0], keys[2]}
    use_limit(2 * size / 1e9)
    _keep(memory, OTHER)
    assert {entry.key for entry in memory.entries()} == {keys[0], OTHER}


def test_a_pair_larger_than_the_limit_is_not_kept(memory):
    use_limit(100 / 1e9)
    _keep(memory, KEY)
    assert list(memory.folder.iterdir()) == []


def test_clear_deletes_what_dead_processes_left_too(memory):
    _keep(memory, KEY)
    left = memory.folder / ".abandoned"
    left.mkdir()
    os.utime(left, (0, 0))
    working = memory.write(OTHER)
    assert memory.clear() == 1
    assert not left.exists()
    working.add(0, _arrays(0))
    working.finish(1, {})
    assert memory.find(OTHER) is not None


def test_the_folder_obeys_the_environment(tmp_path, monkeypatch):
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert default_folder() == tmp_path / "changescribe" / "pairs"


def test_files_are_known_by_content_not_by_name(tmp_path):
    path, link = tmp_path / "a.tif", tmp_path / "b.tif"
    path.write_bytes(b"1")
    link.symlink_to(path)
    known = places_of([str(path)])
    assert places_of([str(link)]) == known
    path.write_bytes(b"12")
    assert places_of([str(path)]) != known
    assert places_of([]) is None
    assert places_of([str(path), "PG:dbname=x"]) is None
    assert places_of(["/vsimem/x.tif"]) is None
