# SPDX-License-Identifier: GPL-3.0-or-later
"""Finds the Python interpreter of the running QGIS and its pip.

On Windows and macOS ``sys.executable`` is QGIS itself, and starting it with ``-m pip`` would open a
second QGIS window. Candidates are therefore the paths used by the installers of each platform. Each
must report the same version and processor as QGIS's Python, or wheels would not load.
"""

from __future__ import annotations

import glob
import json
import os
import platform
import shutil
import sys
from dataclasses import dataclass
from typing import Callable, Optional

from ...engine.errors import DependencyError
from ..translation import tr

#: Minimum Python version of PyTorch and its packages.
ENVIRONMENT_VERSION = (3, 10)

#: Prints its answer as the last line; the interpreter may print other lines before.
PROBE = """
import glob, importlib.util, json, os, platform, sys
ensure = importlib.util.find_spec("ensurepip")
bundled = []
if ensure is not None and ensure.origin:
    folder = os.path.join(os.path.dirname(ensure.origin), "_bundled")
    bundled = sorted(glob.glob(os.path.join(folder, "pip-*.whl")))
print(json.dumps({
    "version": list(sys.version_info[:2]),
    "bits": 64 if sys.maxsize > 2**32 else 32,
    "machine": platform.machine(),
    "pip": importlib.util.find_spec("pip") is not None,
    "bundled": bundled[-1] if bundled else None,
}))
"""

#: Runs a program with arguments and environment variables; returns its exit code and standard
#: output, or None if it does not start.
Runner = Callable[[str, "list[str]", "dict[str, str]"], "Optional[tuple[int, str]]"]


@dataclass(frozen=True)
class Runtime:
    """Facts about the Python inside QGIS, used to find its interpreter.

    Attributes:
        executable: ``sys.executable``; QGIS itself on Windows and macOS.
        prefixes: ``sys.exec_prefix``, ``sys.prefix`` and the base ones, without duplicates.
        home: PYTHONHOME for an interpreter that does not find its library.
        application: folder of the QGIS executable.
        version: major and minor version of Python.
    """

    system: str
    executable: str
    prefixes: tuple[str, ...]
    home: str
    application: str
    version: tuple[int, int]
    bits: int = 64
    machine: str = ""

    @classmethod
    def current(cls) -> Runtime:
        """Return the facts of this process."""
        from qgis.PyQt.QtCore import QCoreApplication

        library = os.path.dirname(os.__file__)
        levels = 1 if sys.platform == "win32" else 2
        home = library
        for _ in range(levels):
            home = os.path.dirname(home)
        running = QCoreApplication.instance() is not None
        prefixes = (sys.exec_prefix, sys.prefix, sys.base_exec_prefix, sys.base_prefix, home)
        return cls(
            system=sys.platform,
            executable=sys.executable or "",
            prefixes=tuple(dict.fromkeys(prefixes)),
            home=home,
            application=QCoreApplication.applicationDirPath() if running else "",
            version=(sys.version_info.major, sys.version_info.minor),
            bits=64 if sys.maxsize > 2**32 else 32,
            machine=platform.machine(),
        )


@dataclass(frozen=True)
class Interpreter:
    """An interpreter that matches the running QGIS.

    Attributes:
        path: the executable.
        environment: variables that it needs to start (PYTHONHOME, or none).
        has_pip: whether ``-m pip`` works.
        bundled_pip: the pip wheel that comes with Python (ensurepip), or None.
    """

    path: str
    environment: dict[str, str]
    has_pip: bool
    bundled_pip: Optional[str]


def candidates(runtime: Runtime) -> list[str]:
    """Return existing programs that may be the interpreter, most likely first."""
    if runtime.system == "win32":
        found = _windows(runtime)
    elif runtime.system == "darwin":
        found = _macos(runtime)
    else:
        found = _linux(runtime)
    return [path for path in dict.fromkeys(found) if os.path.isfile(path)]


def _windows(runtime: Runtime) -> list[str]:
    """Both Windows installers put Python into ``apps/Python39`` beside QGIS's ``bin``.

    ``python-qgis.bat`` in ``bin`` is not used: it only sets variables that children of QGIS
    inherit, and killing it would not kill the Python that it started.
    """
    major, minor = runtime.version
    paths = [os.path.join(prefix, "python.exe") for prefix in runtime.prefixes]
    for folder in dict.fromkeys((runtime.application, os.path.dirname(runtime.executable))):
        root = os.path.dirname(folder)
        paths += [
            os.path.join(root, "apps", f"Python{major}{minor}", "python.exe"),
            os.path.join(root, "..", "apps", f"Python{major}{minor}", "python.exe"),
            os.path.join(folder, "python3.exe"),
            os.path.join(folder, "python.exe"),
        ]
    return [os.path.normpath(path) for path in paths] + _own_executable(runtime)


def _macos(runtime: Runtime) -> list[str]:
    """Python is in ``Contents/MacOS/bin`` up to QGIS 3.38, elsewhere in the bundle later."""
    contents = _bundle_contents(runtime)
    names = _names(runtime)
    folders = []
    if contents:
        parts = ("MacOS/bin", "MacOS", "Frameworks/bin", "Resources/python/bin")
        folders += [os.path.join(contents, *part.split("/")) for part in parts]
    folders += [os.path.join(prefix, "bin") for prefix in runtime.prefixes]
    return [os.path.join(place, name) for place in folders for name in names] + _own_executable(
        runtime
    )


def _bundle_contents(runtime: Runtime) -> str:
    """Return ``QGIS.app/Contents``, or "" if QGIS is not an application bundle."""
    for path in (runtime.application, runtime.executable, *runtime.prefixes):
        head, separator, _ = path.replace("\\", "/").partition(".app/Contents")
        if separator:
            return head + separator
    return ""


def _linux(runtime: Runtime) -> list[str]:
    names = _names(runtime)
    paths = _own_executable(runtime)
    return paths + [os.path.join(p, "bin", name) for p in runtime.prefixes for name in names]


def _names(runtime: Runtime) -> tuple[str, ...]:
    major, minor = runtime.version
    return (f"python{major}.{minor}", f"python{major}", "python")


def _own_executable(runtime: Runtime) -> list[str]:
    """Return ``sys.executable`` if it is Python and not QGIS."""
    name = runtime.executable.replace("\\", "/").rsplit("/", 1)[-1].lower()
    return [runtime.executable] if name.startswith("python") else []


def find(runtime: Runtime, run: Runner) -> Interpreter:
    """Return the first candidate that starts and is the same Python as QGIS's.

    Each is also tried with PYTHONHOME, without which the executables in a macOS bundle and some
    Windows installations do not find their standard library.

    Raises:
        DependencyError: no candidate matches.
    """
    tried = []
    for path in candidates(runtime):
        for environment in ({}, {"PYTHONHOME": runtime.home}):
            answer = _ask(path, environment, run)
            if answer is None:
                tried.append(f"{path} {environment or ''}: does not start")
            elif not _fits(answer, runtime):
                tried.append(f"{path}: {answer}")
                break
            else:
                return Interpreter(path, environment, bool(answer["pip"]), answer["bundled"])
    raise DependencyError(
        tr("The Python executable of QGIS was not found, so nothing can be installed."),
        tr("Install onnxruntime in QGIS's Python manually, then restart QGIS."),
        "\n".join(tried) or "\n".join(runtime.prefixes),
    )


def find_base(runtime: Runtime, user_python: str, run: Runner) -> Interpreter:
    """Return the interpreter that creates the virtual environment: the user's, or QGIS's own.

    Raises:
        DependencyError: it is too old, does not start, or only works inside QGIS.
    """
    if not user_python:
        check_version(runtime.version)
        try:
            found = find(runtime, run)
        except DependencyError as error:
            raise DependencyError(error.message, another_python_hint(), error.details) from error
        if found.environment:
            raise DependencyError(
                tr("{python} cannot create a virtual environment.").format(python=found.path),
                another_python_hint(),
            )
        return found
    answer = _ask(user_python, {}, run)
    if answer is None:
        raise DependencyError(
            tr('"{program}" does not start as a Python executable.').format(program=user_python),
            another_python_hint(),
        )
    check_version(tuple(answer["version"]))
    return Interpreter(user_python, {}, bool(answer["pip"]), answer["bundled"])


def check_version(version: tuple[int, ...]) -> None:
    """Raise a DependencyError if a Python is too old for PyTorch."""
    if version < ENVIRONMENT_VERSION:
        raise DependencyError(
            tr("PyTorch needs Python {needed} or later; this is Python {found}.").format(
                needed=".".join(map(str, ENVIRONMENT_VERSION)), found=".".join(map(str, version))
            ),
            another_python_hint(),
        )


def another_python_hint() -> str:
    """Return the hint to choose another Python for the virtual environment."""
    return tr("Choose another Python under Advanced > Install PyTorch with.")


def _ask(path: str, environment: dict[str, str], run: Runner) -> Optional[dict]:
    answer = run(path, ["-c", PROBE], environment)
    if answer is None or answer[0] != 0:
        return None
    lines = answer[1].strip().splitlines()
    try:
        return json.loads(lines[-1]) if lines else None
    except ValueError:
        return None


def _fits(answer: dict, runtime: Runtime) -> bool:
    same_machine = not runtime.machine or answer["machine"] == runtime.machine
    return (
        tuple(answer["version"]) == runtime.version
        and answer["bits"] == runtime.bits
        and same_machine
    )


def pip_command(interpreter: Interpreter, wheels: Optional[str] = None) -> list[str]:
    """Return the arguments that run pip.

    pip comes from Python itself, else from a pip wheel in the folder of wheels, else from the wheel
    that Python has for new environments. A pip wheel runs without unpacking.

    Raises:
        DependencyError: there is no pip; the hint names the package to install.
    """
    if interpreter.has_pip:
        return ["-m", "pip"]
    found = sorted(glob.glob(os.path.join(glob.escape(wheels), "pip-*.whl"))) if wheels else []
    wheel = found[-1] if found else interpreter.bundled_pip
    if wheel:
        return [os.path.join(wheel, "pip")]
    raise DependencyError(
        tr("QGIS's Python has no pip, which installs packages."),
        _pip_hint(),
        interpreter.path,
    )


def _pip_hint() -> str:
    for program, command in (
        ("apt-get", "sudo apt install python3-pip"),
        ("dnf", "sudo dnf install python3-pip"),
        ("zypper", "sudo zypper install python3-pip"),
        ("pacman", "sudo pacman -S python-pip"),
    ):
        if shutil.which(program):
            return tr("Install the package {package} ({command}), then try again.").format(
                package=command.rsplit(" ", 1)[-1], command=command
            )
    return tr("Put a pip wheel (pip-*.whl) into a folder of wheels and install from there.")
