# SPDX-License-Identifier: GPL-3.0-or-later
"""PyTorch's environment: made by a Python that is none, with a pip that is none; no download."""

from __future__ import annotations

import json
import os
import re
import stat
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("qgis.core")

import fake_engine
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from qgis.core import QgsApplication, QgsProcessingContext, QgsProcessingFeedback
from qgis.PyQt.QtWidgets import QMessageBox
from waiting import wait_until
from wheels import make_wheel

from changescribe.engine.errors import CancelledError, DependencyError, OutputError
from changescribe.engine.hosts.worker_process import PYTHON_VARIABLE
from changescribe.ui.dock import system_panel
from changescribe.ui.packages import interpreter, panel, tiers
from changescribe.ui.packages.install import install, remove
from changescribe.ui.packages.installation import InstallPlan, InstallStep
from changescribe.ui.packages.interpreter import Runtime, find_base
from changescribe.ui.packages.tiers import FULL, MARKER, Tier
from changescribe.ui.settings import Settings

pytestmark = pytest.mark.skipif(os.name != "posix", reason="the stand-in is a script")

TIER = Tier("full", ("torch_like",), ("torch-like>=1,<2",), 1, 1, "PyTorch", True, ("built-one",))

#: Answers what the installer asks a Python; FAIL names the call that fails or hangs.
#: Its first lines are shell and Python at once: the path of a Python may have spaces.
FAKE = """#!/bin/sh
'''exec' "{python}" -I "$0" "$@"
' '''
import json, os, shutil, sys, time
here = os.path.abspath(sys.argv[0])
arguments = sys.argv[1:]
fail = {fail!r}
with open({log!r}, "a") as log:
    log.write(json.dumps([here, arguments, os.environ.get("SAM2_BUILD_CUDA"),
                          os.environ.get("PYTHONPATH")]) + "\\n")
def stop(name):
    if fail == name:
        sys.exit("it is broken: " + name)
    if fail == name + " hangs":
        open({log!r} + ".hangs", "w").close()
        time.sleep(60)
if "_bundled" in arguments[-1]:
    print(json.dumps({{"version": {version!r}, "bits": 64, "machine": "x", "pip": True,
                       "bundled": None}}))
elif arguments[:2] == ["-m", "venv"]:
    stop("venv")
    os.makedirs(os.path.join(arguments[2], "bin"))
    shutil.copy(here, os.path.join(arguments[2], "bin", "python"))
elif arguments[:2] == ["-m", "pip"]:
    stop("build" if "--no-build-isolation" in arguments else "pip")
    print("  Downloading https://x/torch_like-1.2-py3-none-any.whl (800.0 MB)")
    print("Installing collected packages: torch-like")
else:
    stop("trial")
"""


@pytest.fixture
def python(tmp_path: Path):
    """Return a function that writes the stand-in for Python."""

    def make(fail: str = "", version: tuple[int, int] = (3, 11)) -> str:
        path = tmp_path / "base" / "python3"
        path.parent.mkdir(exist_ok=True)
        path.write_text(
            FAKE.format(
                python=sys.executable, fail=fail, version=version, log=str(tmp_path / "log")
            )
        )
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
        return str(path)

    return make


@pytest.fixture
def target(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The final folder; nothing else here has PyTorch."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PYTHONPATH", "/elsewhere")
    monkeypatch.delenv(PYTHON_VARIABLE, raising=False)
    monkeypatch.setattr(tiers, "FULL", TIER)
    path = Path(tiers.folder(TIER))
    assert tmp_path in path.parents
    return path


def calls(tmp_path: Path) -> list[list]:
    """Return what the stand-in was called with, but for the question who it is."""
    rows = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]
    return [row for row in rows if row[1][0] != "-c" or "_bundled" not in row[1][1]]


def plan(target: Path, python: str, wheels: str | None = None) -> InstallPlan:
    return InstallPlan(str(target), TIER, wheels, python=python)


def test_the_environment_is_made_with_the_named_python(target, python, tmp_path) -> None:
    assert tiers.missing(TIER) == ("torch_like",)
    steps: list[InstallStep] = []
    assert install(plan(target, python()), steps.append) == str(target)

    venv, wheels, built, trial = calls(tmp_path)
    assert venv[:2] == [str(tmp_path / "base" / "python3"), venv[1]]
    for program, _arguments, _cuda, path in (wheels, built, trial):
        assert program.endswith("environment/bin/python")
        assert path is None
    assert wheels[1][wheels[1].index("--only-binary") + 1 :][:2] == [":all:", "torch-like>=1,<2"]
    assert wheels[2] is None
    assert built[1][-3:] == ["--no-deps", "--no-build-isolation", "built-one"]
    assert built[2] == "0"
    assert "SAM2_BUILD_CUDA" not in os.environ
    assert trial[1][-1] == "torch_like"
    fractions = [step.fraction for step in steps]
    assert fractions == sorted(fractions)
    assert any("torch_like 1.2 (800.0 MB)" in step.text for step in steps)

    assert tiers.worker_python() == str(target / "bin" / "python")
    assert tiers.missing(TIER) == ()
    assert os.listdir(target.parent) == [target.name]
    assert str(target) not in sys.path


def test_a_folder_of_wheels_needs_no_index(target, python, tmp_path) -> None:
    (tmp_path / "torch_like-1.2-py3-none-any.whl").touch()
    install(plan(target, python(), str(tmp_path)))
    for _program, arguments, *_rest in calls(tmp_path)[1:3]:
        assert arguments[arguments.index("--find-links") + 1] == str(tmp_path)
        assert "--no-index" in arguments
    (tmp_path / "none").mkdir()
    with pytest.raises(DependencyError, match=r"pip wheel .*torch-like.*built-one"):
        install(plan(target, python(), str(tmp_path / "none")))


@pytest.mark.parametrize(
    ("fail", "words"),
    [
        ("venv", "cannot create"),
        ("pip", "Cannot install"),
        ("build", "Cannot install"),
        ("trial", "do not work"),
    ],
)
def test_what_fails_leaves_nothing(target, python, fail, words) -> None:
    with pytest.raises(DependencyError, match=words) as caught:
        install(plan(target, python(fail)))
    assert f"it is broken: {fail}" in caught.value.details
    assert caught.value.hint
    assert os.listdir(target.parent) == []
    assert tiers.worker_python() == ""


@pytest.mark.parametrize("step", ["pip", "build", "trial"])
def test_cancel_leaves_nothing(target, python, tmp_path, step) -> None:
    with pytest.raises(CancelledError):
        install(plan(target, python(f"{step} hangs")), None, (tmp_path / "log.hangs").exists)
    assert os.listdir(target.parent) == []


def test_an_interrupted_install_is_not_taken_for_whole(target, python, monkeypatch) -> None:
    """QGIS is killed, so that nothing cleans up; and one that lies there without its marker."""
    monkeypatch.setattr("shutil.rmtree", lambda *_args, **_kwargs: None)
    with pytest.raises(DependencyError):
        install(plan(target, python("trial")))
    (left,) = target.parent.iterdir()
    assert (left / "environment" / "bin" / "python").is_file()
    assert not (left / "environment" / MARKER).exists()
    assert tiers.worker_python() == ""

    (left / "environment").rename(target)
    assert tiers.worker_python() == ""
    assert tiers.missing(TIER)
    install(plan(target, python()))
    assert tiers.worker_python()
    monkeypatch.setattr(tiers, "FULL", Tier("full", (), ("torch-like>=2",), 1, 1))
    assert tiers.worker_python() == ""


def test_removal(target, python, monkeypatch) -> None:
    install(plan(target, python()))
    remove(plan(target, ""))
    assert os.listdir(target.parent) == []
    assert tiers.worker_python() == ""
    install(plan(target, python()))

    def refuse(*_paths: str) -> None:
        raise PermissionError("in use")

    monkeypatch.setattr("os.replace", refuse)
    with pytest.raises(OutputError, match="in use"):
        remove(plan(target, ""))
    assert tiers.worker_python()
    assert os.listdir(target.parent) == [target.name]


def test_an_old_python_is_refused(target, python, tmp_path) -> None:
    with pytest.raises(DependencyError, match=r"Python 3\.10 or later; this is Python 3\.9"):
        install(plan(target, python(version=(3, 9))))
    with pytest.raises(DependencyError, match="does not start as a Python executable"):
        install(plan(target, str(tmp_path / "nothing")))
    old = Runtime("linux", "/usr/bin/python3.9", (), "/usr", "", (3, 9))
    with pytest.raises(DependencyError, match=r"this is Python 3\.9.*Advanced"):
        find_base(old, "", lambda *_call: None)


def test_a_python_tied_to_qgis_is_refused(monkeypatch) -> None:
    monkeypatch.setattr(interpreter, "candidates", lambda _runtime: ["/q/python"])
    runtime = Runtime("darwin", "", (), "/q", "", (3, 12))
    answer = json.dumps(
        {"version": [3, 12], "bits": 64, "machine": "", "pip": True, "bundled": None}
    )
    with pytest.raises(DependencyError, match="cannot create a virtual environment"):
        find_base(runtime, "", lambda _path, _args, extra: (0, answer) if extra else None)


def test_the_tier_asks_for_what_the_tests_run_with() -> None:
    text = (Path(__file__).parents[3] / "requirements/constraints.txt").read_text("utf-8")
    pins = re.findall(r"^([\w.-]+)==([^;\s]+)", text, re.MULTILINE)
    for wanted in map(Requirement, (*FULL.requirements, *FULL.built)):
        for name, version in pins:
            if canonicalize_name(name) == canonicalize_name(wanted.name):
                assert wanted.specifier.contains(version), name


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_real_environment_runs_where_it_was_moved_to(target, tmp_path) -> None:
    """A real Python and pip, with wheels written by hand."""
    base = f"/usr/bin/python{sys.version_info.major}.{sys.version_info.minor}"
    if (
        not os.path.exists(base)
        or subprocess.run(
            [base, "-I", "-c", "import ensurepip, venv"], check=False, capture_output=True
        ).returncode
    ):
        pytest.skip("there is no Python here that makes environments")
    make_wheel(tmp_path / "wheels", "torch-like", "1.2", {"torch_like.py": "import built_one"})
    make_wheel(tmp_path / "wheels", "built-one", "1.0", {"built_one.py": ""})
    make_wheel(tmp_path / "wheels", "numpy", "99.0", {"numpy.py": ""})
    install(plan(target, base, str(tmp_path / "wheels")))
    done = subprocess.run(
        [tiers.worker_python(), "-I", "-c", "import torch_like; print(torch_like.__file__)"],
        check=True,
        capture_output=True,
        text=True,
    )
    assert done.stdout.startswith(str(target))


# --- the dock and Processing -----------------------------------------------------------------


@pytest.fixture
def dock(desk, tmp_path, monkeypatch):
    """The dock of ``desk`` with a compact and a PyTorch system; only onnxruntime is there."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv(PYTHON_VARIABLE, raising=False)
    monkeypatch.setattr(tiers, "FULL", TIER)
    monkeypatch.setattr(
        tiers,
        "missing",
        lambda tier=None: TIER.modules if tier is TIER and not tiers.worker_python() else (),
    )
    both = (fake_engine.info(), fake_engine.info(name="big", title="Big", tier="full"))
    monkeypatch.setattr(system_panel, "installed_systems", lambda: both)
    desk.dock.system.reload()
    desk.dock.refresh()
    return desk.dock


def choose(dock, name: str) -> None:
    dock.system.combo.setCurrentIndex(dock.system.combo.findData(name))
    dock.refresh()


def test_the_dock_installs_and_removes_pytorch(dock, python, monkeypatch) -> None:
    assert dock.packages.isHidden()
    assert dock.run.detect_button.isEnabled()
    choose(dock, "big")
    assert not dock.packages.isHidden()
    assert "PyTorch and its packages" in dock.packages._text.text()
    assert not dock.run.detect_button.isEnabled()
    assert "PyTorch is not installed" in dock.run.reason_label.text()
    assert dock.advanced.remove_button.isHidden()

    dock.advanced.base.setFilePath(python("pip"))
    dock.packages.install_from_index()
    wait_until(lambda: not dock.packages.is_busy)
    assert "Cannot install" in dock.packages._text.text()
    choose(dock, "bundled")
    assert dock.packages.isHidden()
    choose(dock, "big")
    assert "Cannot install" in dock.packages._text.text()

    dock.advanced.base.setFilePath(python())
    dock.packages.install_from_index()
    wait_until(lambda: not dock.packages.is_busy)
    assert dock.packages.isHidden(), dock.packages._text.text()
    assert dock.run.detect_button.isEnabled()

    assert not dock.advanced.remove_button.isHidden()
    answers = [QMessageBox.StandardButton.No, QMessageBox.StandardButton.Yes]
    monkeypatch.setattr(QMessageBox, "question", lambda *_args: answers.pop(0))
    dock.advanced.remove_button.click()
    assert not dock.packages.is_busy
    dock.advanced.remove_button.click()
    wait_until(lambda: not dock.packages.is_busy)
    assert not tiers.worker_python()
    assert not dock.packages.isHidden()
    assert dock.advanced.remove_button.isHidden()


def test_another_system_can_run_while_pytorch_is_installed(dock, python, tmp_path) -> None:
    choose(dock, "big")
    dock.advanced.base.setFilePath(python("pip hangs"))
    dock.packages.install_from_index()
    wait_until((tmp_path / "log.hangs").exists)
    choose(dock, "bundled")
    assert not dock.packages.isHidden()
    assert dock.run.detect_button.isEnabled()
    dock.packages.jobs.cancel()
    wait_until(lambda: not dock.packages.is_busy)
    assert dock.packages.isHidden()


def test_without_onnxruntime_pytorch_systems_run(dock, monkeypatch) -> None:
    monkeypatch.setattr(
        tiers, "missing", lambda tier=None: () if tier is TIER else ("onnxruntime",)
    )
    choose(dock, "big")
    assert dock.packages.isHidden()
    assert dock.run.detect_button.isEnabled()
    choose(dock, "bundled")
    assert not dock.run.detect_button.isEnabled()
    assert "onnxruntime is not installed" in dock.run.reason_label.text()


def test_the_panel_says_that_qgis_python_is_too_old(dock, monkeypatch) -> None:
    monkeypatch.setattr(
        panel.Runtime, "current", classmethod(lambda cls: cls("linux", "", (), "", "", (3, 9)))
    )
    choose(dock, "big")
    assert "this is Python 3.9" in dock.packages._text.text()
    dock.advanced.base.setFilePath("/opt/python3.12/bin/python3")
    dock.refresh()
    assert "3.9" not in dock.packages._text.text()
    assert Settings().environment_python == "/opt/python3.12/bin/python3"


@pytest.mark.parametrize(
    ("lacking", "refused"), [("compact", "bundled"), ("full", "zero-shot"), ("", "")]
)
def test_processing_asks_for_what_the_system_needs(qgis_app, monkeypatch, lacking, refused) -> None:
    from changescribe.ui.processing.provider import ChangeScribeProvider

    monkeypatch.setattr(
        tiers, "missing", lambda tier=tiers.COMPACT: ("x",) if tier.name == lacking else ()
    )
    provider = ChangeScribeProvider()
    QgsApplication.processingRegistry().addProvider(provider)
    try:
        for name in ("detectchanges", "captionchanges"):
            algorithm = provider.algorithm(name).create()
            assert algorithm.canExecute()[0] is True
            for system in ("bundled", "zero-shot"):
                able, words = algorithm.checkParameterValues({"SYSTEM": system}, _context())
                assert able is False
                assert ("click Install" in words) is (system == refused), words
                feedback = QgsProcessingFeedback(False)
                assert not algorithm.create().prepare({"SYSTEM": system}, _context(), feedback)
                told = "click Install" in feedback.textLog()
                assert told is (system == refused), feedback.textLog()
    finally:
        QgsApplication.processingRegistry().removeProvider(provider)


def _context() -> QgsProcessingContext:
    return QgsProcessingContext()
