# SPDX-License-Identifier: GPL-3.0-or-later
"""How commands report errors."""

from __future__ import annotations

import sys

import pytest

from changescribe.engine import cli
from changescribe.engine.console import exit_code_of
from changescribe.engine.errors import CancelledError, ExistsError, InputError, OutputError


def _raising(error: BaseException):
    def command():
        raise error

    return command


@pytest.mark.parametrize(
    ("error", "code", "printed"),
    [
        (InputError("No such place.", "Try another."), 2, "Error: No such place.\nTry another.\n"),
        (OutputError("The disk is full."), 1, "Error: The disk is full.\n"),
        (CancelledError("Cancelled early."), 130, "Cancelled early.\n"),
        (KeyboardInterrupt(), 130, "Cancelled.\n"),
    ],
)
def test_an_error_is_a_sentence_and_an_exit_code(error, code, printed, capsys):
    assert exit_code_of(_raising(error)) == code
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", printed)


def test_verbose_prints_details_and_an_existing_file_suggests_overwrite(capsys):
    assert exit_code_of(_raising(InputError("No.", "", "errno 5")), verbose=True) == 2
    assert "errno 5" in capsys.readouterr().err
    assert exit_code_of(_raising(ExistsError("a.gpkg"))) == 2
    assert "--overwrite" in capsys.readouterr().err


def test_an_unexpected_error_is_printed_with_its_traceback(capsys):
    assert exit_code_of(_raising(ZeroDivisionError())) == 1
    assert "ZeroDivisionError" in capsys.readouterr().err


def test_a_command_that_returns_none_exits_with_0():
    assert exit_code_of(lambda: None) == 0
    assert exit_code_of(lambda: 130) == 130


def test_a_missing_file_is_named(tmp_path, capsys):
    missing = tmp_path / "answers.json"
    assert exit_code_of(lambda: missing.read_text() and None) == 2
    printed = capsys.readouterr().err
    assert printed == f"Error: Cannot use {missing}: no such file or directory.\n"
    assert exit_code_of(lambda: tmp_path.read_text() and None, verbose=True) == 2
    printed = capsys.readouterr().err
    assert f"Error: Cannot use {tmp_path}: is a directory." in printed
    assert "Traceback" in printed
    # Without a file name it is a bug.
    assert exit_code_of(_raising(FileNotFoundError("gone"))) == 1


def test_an_interrupt_while_the_commands_are_imported(monkeypatch, capsys):
    class Interrupted:
        @property
        def main(self):
            raise KeyboardInterrupt

    monkeypatch.setitem(sys.modules, "changescribe.engine.cli.app", Interrupted())
    assert cli.main([]) == 130
    assert capsys.readouterr().err == "Cancelled.\n"
