# SPDX-License-Identifier: GPL-3.0-or-later
"""Finds the Python interpreter of the running QGIS, and its pip.

On Windows and macOS ``sys.executable`` is QGIS itself: starting it with
``-m pip`` would open a second QGIS window. Each candidate is therefore chosen
by where the platform's installers put it, and asked for its version before it
is used: wheels for another Python or another processor would not load.
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

#: The oldest Python that PyTorch and its packages still support.
ENVIRONMENT_VERSION = (3, 10)

#: Printed as the last line by the interpreter asked; it may print anything before.
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

#: Runs a program with arguments and additions to the environment; returns its exit code and
#: standard output, or None where it could not be started.
Runner = Callable[[str, "list[str]", "dict[str, str]"], "Optional[tuple[int, str]]"]


@dataclass(frozen=True)
class Runtime:
    """Facts about the Python inside QGIS that say where its interpreter may be.

    Attributes:
        system: ``sys.platform``.
        executable: ``sys.executable``; QGIS itself on Windows and macOS.
        prefixes: ``sys.exec_prefix``, ``sys.prefix`` and the base ones, without duplicates.
        home: folder that a child needs as PYTHONHOME if it does not find its library by itself.
        application: folder of QGIS's own program.
        version: major and minor version of Python.
        bits: 64 or 32.
        machine: processor, as ``platform.machine()`` has it.
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
    """An interpreter that fits the running QGIS.

    Attributes:
        path: the program.
        environment: what it needs in its environment to start (PYTHONHOME, or nothing).
        has_pip: ``-m pip`` works.
        bundled_pip: a wheel of pip that came with Python (ensurepip), or None.
    """

    path: str
    environment: dict[str, str]
    has_pip: bool
    bundled_pip: Optional[str]


def candidates(runtime: Runtime) -> list[str]:
    """Return existing programs that may be the interpreter, the likeliest first."""
    if runtime.system == "win32":
        found = _windows(runtime)
    elif runtime.system == "darwin":
        found = _macos(runtime)
    else:
        found = _linux(runtime)
    return [path for path in dict.fromkeys(found) if os.path.isfile(path)]


def _windows(runtime: Runtime) -> list[str]:
    """Python lies in ``apps/Python39`` beside QGIS's ``bin`` in both Windows installers.

    The ``python-qgis.bat`` in ``bin`` is left alone: it only sets variables that a child of
    QGIS inherits anyway, and ending it would not end the Python that it started.
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
    """Python lies in ``Contents/MacOS/bin`` up to QGIS 3.38, elsewhere in the bundle later."""
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
    """Return ``QGIS.app/Contents``, or "" where QGIS does not come as an application bundle."""
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
    """Return ``sys.executable`` where it is a Python and not QGIS."""
    name = runtime.executable.replace("\\", "/").rsplit("/", 1)[-1].lower()
    return [runtime.executable] if name.startswith("python") else []


def find(runtime: Runtime, run: Runner) -> Interpreter:
    """Return the first candidate that starts and is the same Python as QGIS's.

    Each is tried as it is, then with PYTHONHOME: the programs inside a macOS bundle and of some
    Windows installations do not find their standard library otherwise.

    Raises:
        DependencyError: none fits.
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
        tr("QGIS's Python program was not found, so that nothing can be installed."),
        tr("Install onnxruntime into QGIS's Python yourself, then restart QGIS."),
        "\n".join(tried) or "\n".join(runtime.prefixes),
    )


def find_base(runtime: Runtime, named: str, run: Runner) -> Interpreter:
    """Return the interpreter that makes the virtual environment.

    Args:
        runtime: facts about QGIS's Python.
        named: a program that the user has chosen, or empty: QGIS's own.
        run: starts a program.

    Raises:
        DependencyError: it is too old, does not start, or is tied to QGIS.
    """
    if not named:
        check_version(runtime.version)
        try:
            found = find(runtime, run)
        except DependencyError as error:
            raise DependencyError(error.message, _name_another(), error.details) from error
        if found.environment:
            raise DependencyError(
                tr("QGIS's Python cannot make a virtual environment."), _name_another(), found.path
            )
        return found
    answer = _ask(named, {}, run)
    if answer is None:
        raise DependencyError(
            tr('"{program}" is no Python program that starts.').format(program=named),
            _name_another(),
        )
    check_version(tuple(answer["version"]))
    return Interpreter(named, {}, bool(answer["pip"]), answer["bundled"])


def check_version(version: tuple[int, ...]) -> None:
    """Refuse a Python that is too old for PyTorch.

    Raises:
        DependencyError: it is.
    """
    if version < ENVIRONMENT_VERSION:
        raise DependencyError(
            tr("PyTorch needs Python {needed} or later; this is Python {found}.").format(
                needed=".".join(map(str, ENVIRONMENT_VERSION)), found=".".join(map(str, version))
            ),
            _name_another(),
        )


def _name_another() -> str:
    return tr('Name another Python under Advanced, "Install PyTorch with".')


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

    pip is taken from Python itself, else from a wheel of pip in the folder of wheels, else from
    the wheel that Python carries for new environments; a wheel of pip runs without unpacking.

    Raises:
        DependencyError: there is no pip anywhere; the hint names the package to install.
    """
    if interpreter.has_pip:
        return ["-m", "pip"]
    found = sorted(glob.glob(os.path.join(glob.escape(wheels), "pip-*.whl"))) if wheels else []
    wheel = found[-1] if found else interpreter.bundled_pip
    if wheel:
        return [os.path.join(wheel, "pip")]
    raise DependencyError(
        tr("QGIS's Python comes without pip, the program that installs packages."),
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
    return tr("Put a wheel of pip (pip-*.whl) into a folder of wheels and install from there.")
