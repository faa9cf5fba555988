# SPDX-License-Identifier: GPL-3.0-or-later
"""A separate QGIS profile with the plugin, and the environment to start QGIS.

The user's own profile, settings and caches are not changed.
"""

from __future__ import annotations

import configparser
import os
import re
import shutil
import sys
import zipfile
from pathlib import Path
from typing import Optional

ROOT = Path(__file__).resolve().parent.parent
FOLDER = "changescribe"
#: Enables the plugin, disables the dialogs of a first start, and keeps QGIS off the network: QGIS
#: 3.40.6 may crash when it closes after a request (qgis/QGIS#62429).
SETTINGS: dict[str, dict[str, str]] = {
    "PythonPlugins": {FOLDER: "true", "processing": "true"},
    "app": {r"projections\defaultBehavior": "UseProjectCrs"},
    "core": {
        r"NewsFeed\httpsfeedqgisorg\disabled": "true",
        r"httpsfeedqgisorg\disabled": "true",  # newer QGIS
    },
    "fonts": {"downloadMissingFonts": "false"},
    "locale": {"overrideFlag": "true", "userLocale": "en_US"},
    "migration": {"fileVersion": "2", "settings": "true"},
    "qgis": {"checkVersion": "false", **{f"showTips{n}": "false" for n in range(322, 345, 2)}},
}


def write_settings(profile: Path) -> None:
    """Write :data:`SETTINGS` to a profile, keeping all other settings."""
    path = profile / "QGIS" / "QGIS3.ini"
    path.parent.mkdir(parents=True, exist_ok=True)
    parser = configparser.RawConfigParser(strict=False, delimiters=("=",))
    parser.optionxform = str  # type: ignore[method-assign,assignment] - keys keep their case
    parser.read(path, encoding="utf-8")
    for section, values in SETTINGS.items():
        if not parser.has_section(section):
            parser.add_section(section)
        for key, value in values.items():
            parser.set(section, key, value)
    with path.open("w", encoding="utf-8") as file:
        parser.write(file, space_around_delimiters=False)


def install_plugin(profile: Path, package: Optional[Path] = None) -> Path:
    """Install the plugin in a profile: a link to this checkout, or an unpacked zip.

    Args:
        profile: folder of the profile.
        package: a zip made by ``make package``; None links the checkout.

    Returns:
        The plugin's folder in the profile.
    """
    plugins = profile / "python" / "plugins"
    plugins.mkdir(parents=True, exist_ok=True)
    target = plugins / FOLDER
    if target.is_symlink():
        target.unlink()
    elif target.is_dir():
        shutil.rmtree(target)
    if package is None:
        target.symlink_to(ROOT, target_is_directory=True)
        return target
    with zipfile.ZipFile(package) as archive:
        for name in archive.namelist():
            place = (plugins / name).resolve()
            if plugins.resolve() not in place.parents:
                raise ValueError(f"{name} would be written outside the profile")
            archive.extract(name, plugins)
    return target


def link_packages(
    environment: Path, target: Path, names: tuple[str, ...] = ("onnxruntime",)
) -> Path:
    """Link packages of an environment into a folder for QGIS's path.

    The whole environment would shadow QGIS's numpy.
    """
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    folders = list(environment.glob("lib/python3.*/site-packages"))
    for name in names:
        for found in (path / name for path in folders):
            if found.is_dir():
                (target / name).symlink_to(found.resolve(), target_is_directory=True)
    return target


def prepare(profiles: Path, *, fresh: bool, package: Optional[Path] = None) -> Path:
    """Create the only profile in a folder; QGIS expects it below ``profiles``.

    With several profiles, QGIS shows their names in the window title.
    """
    profile = profiles / "profiles" / "default"
    if fresh:
        shutil.rmtree(profile, ignore_errors=True)
    write_settings(profile)
    install_plugin(profile, package)
    return profile


def environment(packages: Optional[Path]) -> dict[str, str]:
    """Return the environment for QGIS, without variables that interfere with it."""
    variables = dict(os.environ)
    for name in (
        "PYTHONHOME",
        "PYTHONPATH",
        "VIRTUAL_ENV",
        "QGIS_OPTS",
        "QGIS_PREFIX_PATH",
        "QGIS_CUSTOM_CONFIG_PATH",
        "QT_PLUGIN_PATH",
    ):
        variables.pop(name, None)
    if packages is not None:
        variables["PYTHONPATH"] = str(packages)
    full = ROOT / ".venv-full" / "bin" / "python"
    if full.is_file():
        variables.setdefault("CHANGESCRIBE_WORKER_PYTHON", str(full))
    variables["PYTHONDONTWRITEBYTECODE"] = "1"
    return variables


def demo_pair(
    folder: Path = ROOT / "resources" / "demo", target: Path = ROOT / "out" / "demo"
) -> tuple[Path, Path]:
    """Return copies of the demo's earlier and later raster.

    QGIS writes statistics (.aux.xml) and results beside them.

    Raises:
        FileNotFoundError: there is no such pair.
    """
    # The name of the reference raster has no date.
    dated = sorted(
        path for path in folder.glob("*.tif") if re.search(r"\d{4}-\d\d-\d\d", path.name)
    )
    if len(dated) != 2:
        raise FileNotFoundError(f"There are {len(dated)} dated demo rasters in {folder}, not 2")
    target.mkdir(parents=True, exist_ok=True)
    for path in dated:
        shutil.copy2(path, target / path.name)
    return target / dated[0].name, target / dated[1].name


def qgis_command(profiles: Path, code: Path) -> list[str]:
    """Return the command that starts QGIS with the profile and runs a script in it."""
    program = shutil.which("qgis")
    if program is None:
        sys.exit("QGIS is not installed; 'make setup' installs it.")
    return [
        program,
        "--nologo",
        "--noversioncheck",
        "--profiles-path",
        str(profiles),
        "--code",
        str(code),
    ]
