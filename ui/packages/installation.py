# SPDX-License-Identifier: GPL-3.0-or-later
"""Installs a tier with the pip of QGIS's Python, as a child process.

Packages are downloaded, unpacked and imported for a test in a temporary folder beside the final
one, which is renamed at the end. A crash, an error or a cancel leaves nothing behind that looks
installed. QGIS's own packages are never changed.
"""

from __future__ import annotations

import glob
import importlib
import os
import re
import shutil
import tempfile
import time
from dataclasses import dataclass, field
from typing import Callable, Optional

from qgis.PyQt.QtCore import QProcess, QProcessEnvironment

from ...engine.errors import CancelledError, ChangeScribeError, DependencyError, OutputError
from ..translation import tr
from . import tiers
from .interpreter import Interpreter, Runtime, find, pip_command
from .tiers import COMPACT, Tier

#: Packages of QGIS; a second copy breaks GDAL's bindings and other plugins.
QGIS_OWN = ("numpy", "osgeo", "PyQt5", "PyQt6", "pyproj", "shapely", "fiona", "rasterio")

#: Variables that would lead pip or the trial import to another Python or folder.
UNSET = (
    "PYTHONHOME",
    "PYTHONPATH",
    "PYTHONSTARTUP",
    "PYTHONEXECUTABLE",
    "__PYVENV_LAUNCHER__",
    "PIP_TARGET",
    "PIP_PREFIX",
    "PIP_ROOT",
    "PIP_REQUIREMENT",
    "PIP_CONSTRAINT",
    "PIP_EDITABLE",
    "PIP_NO_BINARY",
    "PIP_PYTHON",
    "PIP_DRY_RUN",
)
SET = {
    "PYTHONUTF8": "1",
    "PYTHONUNBUFFERED": "1",
    "PIP_USER": "0",
    "PIP_REQUIRE_VIRTUALENV": "0",
    "PIP_ROOT_USER_ACTION": "ignore",
}

TRIAL = """
import sys
sys.path.append(sys.argv[1])
import numpy
for name in sys.argv[2:]:
    __import__(name)
if numpy.__file__.startswith(sys.argv[1]):
    sys.exit("numpy comes from the plugin's folder")
"""

_POLL_MS = 150
_STALE_SECONDS = 24 * 3600


@dataclass(frozen=True)
class InstallStep:
    """Progress of an installation: one line for the user, and the fraction done in [0, 1]."""

    text: str
    fraction: float


@dataclass(frozen=True)
class InstallPlan:
    """What to install and where.

    Attributes:
        tier: packages to install.
        wheels: folder of wheels for an offline installation; None for the package index.
        network: proxy and certificates as environment variables.
        python: executable that creates a virtual environment; empty for QGIS's own.
    """

    target: str
    tier: Tier = COMPACT
    wheels: Optional[str] = None
    network: dict[str, str] = field(default_factory=dict)
    python: str = ""
    runtime: Runtime = field(default_factory=Runtime.current)


StepCallback = Callable[[InstallStep], None]
CancelledCallback = Callable[[], bool]


class Installation:
    """One installation, whose steps share a temporary folder and a log.

    ``cancelled`` is polled several times a second.
    """

    def __init__(
        self, plan: InstallPlan, progress: StepCallback, cancelled: CancelledCallback
    ) -> None:
        self.plan = plan
        self.report = progress
        self.cancelled = cancelled
        self.log: list[str] = []
        self.total_mb = float(plan.tier.download_mb)
        self.text = tr("Starting\N{HORIZONTAL ELLIPSIS}")
        self.fraction = 0.0

    def run(self) -> str:
        """Install and return the final folder; see :func:`install`."""
        self._step(tr("Looking for Python"), 0.01)
        _check_wheels(self.plan)
        interpreter = self.find_interpreter()
        temporary = self._make_temporary(os.path.dirname(self.plan.target))
        try:
            finished = self._make(interpreter, temporary)
            self._stop_if_cancelled()
            _publish(finished, self.plan.target)
            importlib.invalidate_caches()
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
        self._step(tr("Installed"), 1.0)
        return self.plan.target

    def find_interpreter(self) -> Interpreter:
        """Return the Python to install with.

        Raises:
            DependencyError: no Python fits QGIS.
        """
        return find(self.plan.runtime, self._probe)

    def _make(self, interpreter: Interpreter, temporary: str) -> str:
        """Build the folder of packages inside the temporary one and return its path."""
        packages = os.path.join(temporary, "packages")
        pip = [interpreter.path, *pip_command(interpreter, self.plan.wheels)]
        # The tier lists all dependencies; --no-deps keeps pip from installing a second numpy.
        self._step(tr("Looking for {names}").format(names=", ".join(self.plan.tier.modules)), 0.05)
        arguments = [
            "--target",
            packages,
            "--only-binary",
            ":all:",
            "--no-deps",
            *self.plan.tier.requirements,
        ]
        self._run_pip(pip, arguments, temporary, interpreter.environment)
        _remove_qgis_own(packages)
        self._try_import(interpreter, packages)
        return packages

    def _make_temporary(self, parent: str) -> str:
        try:
            os.makedirs(parent, exist_ok=True)
            _remove_stale(parent)
            free = shutil.disk_usage(parent).free
            temporary = tempfile.mkdtemp(".tmp", f"{self.plan.tier.name}.", parent)
        except OSError as error:
            raise OutputError(
                tr('Cannot write to the folder "{folder}".').format(folder=parent),
                tr("Check the permissions of the folder."),
                str(error),
            ) from error
        needed = (self.plan.tier.download_mb + self.plan.tier.disk_mb) * 1_000_000
        if free < needed:
            shutil.rmtree(temporary, ignore_errors=True)
            raise OutputError(
                tr('{needed} MB are needed in "{folder}", but only {free} MB are free.').format(
                    needed=needed // 1_000_000, folder=parent, free=free // 1_000_000
                ),
                tr("Free some disk space and try again."),
            )
        return temporary

    def _run_pip(
        self, pip: list[str], arguments: list[str], temporary: str, environment: dict[str, str]
    ) -> None:
        """Run ``pip install``; ``pip`` is the program with the arguments that run pip."""
        work = os.path.join(temporary, "work")
        os.makedirs(work, exist_ok=True)
        options = [
            "install",
            "--no-input",
            "--no-compile",
            "--no-cache-dir",
            "--progress-bar",
            "off",
            "--disable-pip-version-check",
            "--retries",
            "2",
        ]
        if self.plan.wheels:
            options += ["--isolated", "--no-index", "--find-links", self.plan.wheels]
        environment = {
            **environment,
            **self.plan.network,
            "TMPDIR": work,
            "TEMP": work,
            "TMP": work,
        }
        code = self._child(
            pip[0],
            [*pip[1:], *options, *arguments],
            environment,
            self._pip_line,
            lambda: self._download_fraction(work),
        )
        if code != 0:
            raise explain_failure(self.plan, "\n".join(self.log))

    def _try_import(self, interpreter: Interpreter, packages: str) -> None:
        self._step(tr("Checking the installed packages"), 0.94)
        arguments = ["-c", TRIAL, packages, *self.plan.tier.modules]
        if self._child(interpreter.path, arguments, interpreter.environment) != 0:
            raise DependencyError(
                tr("The installed packages do not work in this QGIS."),
                tr("Update QGIS, or try wheels of another version."),
                "\n".join(self.log),
            )

    def _probe(
        self, program: str, arguments: list[str], environment: dict[str, str]
    ) -> Optional[tuple[int, str]]:
        lines: list[str] = []
        code = self._child(program, arguments, environment, lines.append)
        return None if code is None else (code, "\n".join(lines))

    def _child(
        self,
        program: str,
        arguments: list[str],
        environment: dict[str, str],
        line: Optional[Callable[[str], None]] = None,
        tick: Optional[Callable[[], None]] = None,
    ) -> Optional[int]:
        """Run a program and return its exit code; None if it does not start. A cancel kills it."""
        process = QProcess()
        process.setProcessChannelMode(QProcess.ProcessChannelMode.MergedChannels)
        process.setProcessEnvironment(clean_environment(environment))
        process.start(program, arguments)
        if not process.waitForStarted(30_000):
            return None
        buffer = b""
        while True:
            ended = process.state() == QProcess.ProcessState.NotRunning
            if not ended:
                process.waitForReadyRead(_POLL_MS)
            buffer += process.readAllStandardOutput().data()
            *lines, buffer = buffer.split(b"\n")
            for raw in lines + ([buffer] if ended and buffer else []):
                text = raw.decode("utf-8", "replace").rstrip()
                self.log.append(text)
                if line is not None:
                    line(text)
            if ended:
                break
            if self.cancelled():
                process.kill()
                process.waitForFinished(10_000)
                self._stop_if_cancelled()
            if tick is not None:
                tick()
        crashed = process.exitStatus() != QProcess.ExitStatus.NormalExit
        return -1 if crashed else process.exitCode()

    def _stop_if_cancelled(self) -> None:
        if self.cancelled():
            raise CancelledError(tr("The installation was cancelled. Nothing was changed."))

    def _step(self, text: str, fraction: float) -> None:
        self.text, self.fraction = text, max(fraction, self.fraction)
        self.report(InstallStep(self.text, self.fraction))

    def _pip_line(self, line: str) -> None:
        found = re.search(r"Downloading (\S+?)-([\d.]+)\S*\.whl.*?\(([\d.]+) MB\)", line)
        if found:
            name, version, size = found.group(1).rsplit("/", 1)[-1], found.group(2), found.group(3)
            if len(self.plan.tier.requirements) == 1:
                self.total_mb = float(size)
            self._step(
                tr("Downloading {name} {version} ({size} MB)").format(
                    name=name, version=version, size=size
                ),
                0.1,
            )
        elif line.startswith("Installing collected packages"):
            self._step(tr("Unpacking"), 0.8)

    def _download_fraction(self, work: str) -> None:
        """Report the size downloaded so far, since pip reports no progress."""
        if not 0.1 <= self.fraction < 0.8:
            return
        size = sum(
            os.path.getsize(path)
            for path in glob.glob(os.path.join(glob.escape(work), "**", "*"), recursive=True)
            if os.path.isfile(path)
        )
        self._step(self.text, 0.1 + 0.69 * min(1.0, size / (self.total_mb * 1e6)))


def clean_environment(additions: dict[str, str]) -> QProcessEnvironment:
    """Return QGIS's environment without variables that mislead a child process."""
    environment = QProcessEnvironment.systemEnvironment()
    for name in UNSET:
        environment.remove(name)
    for name, value in {**SET, **additions}.items():
        environment.insert(name, value)
    return environment


def explain_failure(plan: InstallPlan, log: str) -> ChangeScribeError:
    """Return an error with a hint for the output of a failed pip."""
    low = log.lower()
    names = ", ".join(plan.tier.modules)
    if "no space left" in low or "errno 28" in low:
        return OutputError(tr("The disk is full."), tr("Free some disk space and try again."), log)
    if "socks support" in low:
        return DependencyError(
            tr("pip cannot use a SOCKS proxy."),
            tr("Set an HTTP proxy in QGIS's network settings, or install from a folder of wheels."),
            log,
        )
    if "certificate_verify_failed" in low or "certificate verify failed" in low:
        return DependencyError(
            tr("The certificate of the package index is not trusted."),
            tr(
                "Add your organisation's certificate in Settings > Options > Authentication, "
                "or install from a folder of wheels."
            ),
            log,
        )
    unreachable = (
        "newconnectionerror",
        "name resolution",
        "failed to establish",
        "proxyerror",
        "connecttimeout",
        "connection timed out",
        "read timed out",
        "unreachable",
        "proxy authentication",
        "connection reset",
        "connection refused",
    )
    if not plan.wheels and any(word in low for word in unreachable):
        return DependencyError(
            tr("Cannot reach the package index."),
            tr("Check the network and QGIS's proxy settings, or install from a folder of wheels."),
            log,
        )
    if "no matching distribution" in low or "could not find a version" in low:
        if plan.wheels:
            return DependencyError(
                tr("The folder has no wheels of {names} for {abi}.").format(
                    names=names, abi=tiers.abi_tag()
                ),
                _offline_hint(plan),
                log,
            )
        return DependencyError(
            tr("The package index has no {names} for {abi}.").format(
                names=names, abi=tiers.abi_tag()
            ),
            tr("Update QGIS, or install from a folder of wheels."),
            log,
        )
    return DependencyError(
        tr("Cannot install {names}.").format(names=names), tr("See the details."), log
    )


def _check_wheels(plan: InstallPlan) -> None:
    """Reject a folder without wheels."""
    if plan.wheels and not glob.glob(os.path.join(glob.escape(plan.wheels), "*.whl")):
        raise DependencyError(
            tr('The folder "{folder}" contains no wheels (*.whl).').format(folder=plan.wheels),
            _offline_hint(plan),
        )


def _offline_hint(plan: InstallPlan) -> str:
    major, minor = plan.runtime.version
    if plan.tier.environment:
        names = " ".join(f'"{name}"' for name in (*plan.tier.requirements, *plan.tier.built))
        command = f"python -m pip wheel -w wheels {names}"
    else:
        command = (
            "python -m pip download --no-deps --only-binary :all: "
            f'--python-version {major}.{minor} -d wheels "{plan.tier.requirements[0]}"'
        )
    return tr("On an online computer of the same type, run: {command}").format(command=command)


def _remove_qgis_own(packages: str) -> None:
    """Delete programs, and copies of QGIS's packages that pip may have installed."""
    own = [p for name in QGIS_OWN for p in (name, f"{name}.libs", f"{name}-*.dist-info")]
    for pattern in (*own, "bin", "Scripts"):
        for path in glob.glob(os.path.join(glob.escape(packages), pattern)):
            shutil.rmtree(path, ignore_errors=True)


def _remove_stale(parent: str) -> None:
    """Delete temporary folders older than a day; newer ones may belong to another QGIS."""
    for path in glob.glob(os.path.join(glob.escape(parent), "*.tmp")):
        if time.time() - os.path.getmtime(path) > _STALE_SECONDS:
            shutil.rmtree(path, ignore_errors=True)


def _publish(packages: str, target: str) -> None:
    """Rename the finished folder to its final name, replacing an older one."""
    set_aside(target, packages)


def set_aside(target: str, successor: Optional[str] = None) -> None:
    """Move a folder away, put its successor in its place, and delete it."""
    old = None
    try:
        if os.path.isdir(target):
            old = tempfile.mkdtemp(prefix="old.", suffix=".tmp", dir=os.path.dirname(target))
            os.replace(target, os.path.join(old, "packages"))
        if successor is not None:
            os.replace(successor, target)
    except OSError as error:
        raise OutputError(
            tr('The folder "{folder}" is in use.').format(folder=target),
            tr("Restart QGIS and try again."),
            str(error),
        ) from error
    finally:
        if old is not None:
            shutil.rmtree(old, ignore_errors=True)
