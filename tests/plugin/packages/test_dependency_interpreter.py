# SPDX-License-Identifier: GPL-3.0-or-later
"""QGIS's Python interpreter on three platforms, and its pip; fake trees stand for installations."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("qgis.core")

from changescribe.engine.errors import DependencyError
from changescribe.ui.packages.interpreter import Interpreter, Runtime, candidates, find, pip_command


def touch(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("")


def runtime(**values: object) -> Runtime:
    known = {"executable": "", "prefixes": (), "home": "", "application": "", "version": (3, 9)}
    return Runtime(**{**known, **values})


@pytest.mark.parametrize("prefix_known", [True, False])
def test_windows_takes_python_beside_qgis_never_qgis_itself(tmp_path, prefix_known) -> None:
    root = tmp_path / "QGIS 3.22.16"
    python = root / "apps" / "Python39" / "python.exe"
    qgis = root / "bin" / "qgis-ltr-bin.exe"
    touch(python, qgis, root / "bin" / "python-qgis-ltr.bat")
    facts = runtime(
        system="win32",
        executable=str(qgis),
        application=str(root / "bin"),
        prefixes=(str(python.parent),) if prefix_known else (),
    )
    assert candidates(facts) == [str(python)]


@pytest.mark.parametrize(
    "place", ["MacOS/bin/python3", "MacOS/python3.12", "Frameworks/bin/python3.12"]
)
def test_macos_takes_python_inside_the_bundle(tmp_path, place) -> None:
    contents = tmp_path / "QGIS-LTR.app" / "Contents"
    qgis = contents / "MacOS" / "QGIS"
    touch(qgis, contents / place)
    facts = runtime(
        system="darwin",
        executable=str(qgis),
        application=str(qgis.parent),
        version=(3, 12),
        prefixes=(str(contents / "Frameworks"),),
    )
    assert candidates(facts) == [str(contents / place)]


def test_linux_takes_the_prefix_when_qgis_embeds_python(tmp_path) -> None:
    python = tmp_path / "usr" / "bin" / "python3.11"
    qgis = tmp_path / "usr" / "bin" / "qgis"
    touch(python, python.with_name("python3"), qgis)
    facts = runtime(
        system="linux", executable=str(qgis), prefixes=(str(tmp_path / "usr"),), version=(3, 11)
    )
    assert candidates(facts) == [str(python), str(python.with_name("python3"))]


def test_linux_prefers_its_own_executable(tmp_path) -> None:
    own, other = tmp_path / "venv" / "bin" / "python", tmp_path / "usr" / "bin" / "python3.11"
    touch(own, other)
    facts = runtime(
        system="linux", executable=str(own), prefixes=(str(tmp_path / "usr"),), version=(3, 11)
    )
    assert candidates(facts)[0] == str(own)


def answer(version=(3, 9), bits=64, machine="arm64", pip=True, bundled=None) -> str:
    return "a library talks\n" + json.dumps(
        {"version": list(version), "bits": bits, "machine": machine, "pip": pip, "bundled": bundled}
    )


def test_other_pythons_are_refused_and_home_is_set_only_where_needed(tmp_path) -> None:
    contents = tmp_path / "QGIS.app" / "Contents" / "MacOS"
    touch(contents / "bin" / "python3.9", contents / "bin" / "python3", contents / "python3")
    facts = runtime(
        system="darwin",
        executable=str(contents / "QGIS"),
        application=str(contents),
        home="/home-of-python",
        machine="arm64",
    )

    def run(program, arguments, environment):
        if program.endswith("bin/python3.9"):
            return 0, answer(machine="x86_64")
        if program.endswith("bin/python3"):
            return 0, answer(version=(3, 8))
        if "PYTHONHOME" not in environment:
            return 1, "ModuleNotFoundError: No module named 'encodings'"
        return 0, answer()

    found = find(facts, run)
    assert found.path == str(contents / "python3")
    assert found.environment == {"PYTHONHOME": "/home-of-python"}
    with pytest.raises(DependencyError) as caught:
        find(facts, lambda *_: None)
    assert "bin/python3.9" in caught.value.details


def test_the_running_python_is_found() -> None:
    def run(program, arguments, environment):
        done = subprocess.run([program, *arguments], capture_output=True, text=True, check=False)
        return done.returncode, done.stdout

    found = find(Runtime.current(), run)
    assert found.environment == {}
    assert os.path.samefile(found.path, sys.executable)


def test_pip_comes_from_python_from_the_wheels_or_from_ensurepip(tmp_path) -> None:
    wheel = tmp_path / "pip-24.0-py3-none-any.whl"
    assert pip_command(Interpreter("python", {}, has_pip=True, bundled_pip="b")) == ["-m", "pip"]
    bare = Interpreter("python", {}, has_pip=False, bundled_pip=None)
    with pytest.raises(DependencyError) as caught:
        pip_command(bare, str(tmp_path))
    assert "pip" in caught.value.message
    assert caught.value.hint
    touch(wheel)
    assert pip_command(bare, str(tmp_path)) == [os.path.join(str(wheel), "pip")]
    with_ensurepip = Interpreter("python", {}, has_pip=False, bundled_pip="/x/pip-23.whl")
    assert pip_command(with_ensurepip) == [os.path.join("/x/pip-23.whl", "pip")]


def test_debian_without_pip_names_the_package(monkeypatch) -> None:
    monkeypatch.setattr(
        "shutil.which", lambda name: "/usr/bin/apt-get" if name == "apt-get" else None
    )
    with pytest.raises(DependencyError, match="sudo apt install python3-pip"):
        pip_command(Interpreter("python", {}, has_pip=False, bundled_pip=None))
