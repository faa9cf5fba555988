# SPDX-License-Identifier: GPL-3.0-or-later
"""Reasons for failed writes, derived from the reported errors."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

from changescribe.engine.errors import InputError, OutputError
from changescribe.engine.writing import could_not_write


@pytest.mark.parametrize(
    "problem",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        OSError("sqlite3_exec failed: database or disk is full"),
        "database or disk is full",
        "_tiffWriteProc:No space left on device",
        "Free disk space available is 10 bytes, whereas 20 are at least necessary",
    ],
)
def test_a_full_disk_is_recognised_from_the_report(tmp_path: Path, problem: object) -> None:
    error = could_not_write(tmp_path / "run.gpkg", problem)
    assert type(error) is OutputError
    assert "disk is full" in error.hint
    assert "run.gpkg" in error.message


def test_other_failures_do_not_blame_the_disk(tmp_path: Path) -> None:
    error = could_not_write(tmp_path / "run.gpkg", "sqlite3_exec failed: no such table: full")
    assert type(error) is OutputError
    assert "disk" not in error.message.replace(str(tmp_path), "") + error.hint
    assert "no such table" in error.details


def test_a_write_that_fails_without_reason_on_a_full_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=4096))
    assert "disk is full" in could_not_write(str(tmp_path / "a.tif"), "Write error").hint


def test_a_folder_that_is_missing_or_not_writable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    missing = could_not_write(str(tmp_path / "no" / "run.gpkg"), "")
    assert type(missing) is InputError
    assert "does not exist" in missing.message
    monkeypatch.setattr(os, "access", lambda *_: False)
    locked = could_not_write(tmp_path / "run.gpkg", "unable to open database file")
    assert type(locked) is InputError
    assert locked.exit_code == 2
    assert f'"{tmp_path}" cannot be written to' in locked.message


def test_windows_reports_a_file_in_use_and_a_locked_folder_with_the_same_errno(
    tmp_path: Path,
) -> None:
    part, final = tmp_path / "a.part", tmp_path / "a.gpkg"
    part.touch()
    final.touch()
    error = could_not_write(final, PermissionError(errno.EACCES, "no", str(part), None, str(final)))
    assert type(error) is OutputError
    assert error.message == f'"{final}" is in use.'
    assert "layer" in error.hint
    folder = tmp_path / ".changescribe-1"
    error = could_not_write(final, PermissionError(errno.EACCES, "no", str(folder)))
    assert type(error) is InputError
    assert "cannot be written to" in error.message
