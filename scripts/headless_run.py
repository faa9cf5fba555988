#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Drive the real QGIS desktop under Xvfb, from an empty project to an exported shapefile.

Usage: headless_run.py [--out out/run] [--package out/changescribe.zip] [--prompt TEXT] ...

Exits with 1 if a step fails: the plugin does not load, QGIS raises an error or crashes, a step
times out, or a result is missing or empty.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import signal
import subprocess  # noqa: S404  # nosec B404
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import qgis_profile

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = qgis_profile.ROOT
SCREEN = "1680x1050x24"
PROMPT = "buildings and roads built"
#: QGIS starts in seconds, on a busy machine in half a minute.
START_SECONDS = 90.0
#: Smaller screenshots of this screen are blank or nearly so.
MIN_SCREENSHOT_BYTES = 60_000


def say(text: str) -> None:
    """Print a line at once."""
    print(f"[run] {text}", flush=True)


@contextlib.contextmanager
def virtual_screen(log: Path) -> Iterator[str]:
    """Start Xvfb on a free display, and a window manager if there is one.

    Yields:
        The display's name, such as ":3".
    """
    with log.open("wb") as file:
        read_end, write_end = os.pipe()
        server = subprocess.Popen(  # noqa: S603, S607  # nosec B603 B607
            [
                "Xvfb",
                "-displayfd",
                str(write_end),
                "-screen",
                "0",
                SCREEN,
                "-dpi",
                "96",
                "-nolisten",
                "tcp",
                "-noreset",
            ],
            stdout=file,
            stderr=file,
            pass_fds=(write_end,),
        )
        os.close(write_end)
        manager = None
        try:
            with os.fdopen(read_end) as numbers:
                number = numbers.readline().strip()
            if not number:
                raise RuntimeError(f"Xvfb did not start; see {log}")
            display = f":{number}"
            if shutil.which("openbox"):
                manager = subprocess.Popen(  # noqa: S603, S607  # nosec B603 B607
                    ["openbox", "--sm-disable"],
                    stdout=file,
                    stderr=file,
                    env={**os.environ, "DISPLAY": display},
                )
            yield display
        finally:
            for process in (manager, server):
                if process is not None:
                    process.terminate()
                    process.wait(timeout=20)


def run_qgis(
    command: list[str], variables: dict[str, str], log: Path, seconds: float
) -> int | None:
    """Run QGIS until it ends.

    Returns:
        Its exit code, or None on a timeout.
    """
    with log.open("wb") as file:
        # A new session, so that a hanging QGIS is killed with its child processes.
        process = subprocess.Popen(  # noqa: S603  # nosec B603
            command, env=variables, stdout=file, stderr=file, start_new_session=True
        )
        started = log.with_name("drive.log")
        try:
            # If the plugin does not load, QGIS shows a dialog and never runs the driver.
            with contextlib.suppress(subprocess.TimeoutExpired):
                return process.wait(timeout=min(seconds, START_SECONDS))
            if not started.is_file():
                raise subprocess.TimeoutExpired(command, START_SECONDS)
            return process.wait(timeout=max(seconds - START_SECONDS, 0.1))
        except subprocess.TimeoutExpired:
            picture(variables, log.with_name("screenshot_timeout.png"))
            return None
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def picture(variables: dict[str, str], target: Path) -> None:
    """Take a screenshot of a hanging QGIS, if ImageMagick is installed."""
    if shutil.which("import"):
        command = ["import", "-window", "root", str(target)]
        subprocess.run(command, env=variables, check=False)  # noqa: S603  # nosec B603


def problems_of(out: Path, code: int | None, report: dict) -> list[str]:
    """Return the problems, one line each."""
    found = []
    if not report:
        found.append("QGIS ended before the driver could report.")
    elif not report.get("ok"):
        found.append(str(report.get("error", "")).strip())
    if code is None:
        found.append("QGIS did not end in time and was stopped.")
    elif code:
        signal_name = f" (signal {-code})" if code < 0 else ""
        found.append(f"QGIS ended with exit code {code}{signal_name}.")
    if found:
        return found
    screenshot = out / "screenshot.png"
    if not screenshot.is_file() or screenshot.stat().st_size < MIN_SCREENSHOT_BYTES:
        found.append(f"{screenshot} is missing or shows nothing.")
    for suffix in (".shp", ".shx", ".dbf", ".prj", ".cpg"):
        if not (out / f"run{suffix}").is_file():
            found.append(f"The exported run{suffix} is missing.")
    for key in ("gpkg", "mask"):
        if not Path(report[key]).is_file():
            found.append(f"The result {report[key]} is missing.")
    return found or compare_layers(out, report)


def compare_layers(out: Path, report: dict) -> list[str]:
    """Check that the GeoPackage and the shapefile have the same number of regions, at least one."""
    from osgeo import ogr

    counts = {}
    for path, layer in ((report["gpkg"], "changes"), (str(out / "run.shp"), None)):
        source = ogr.Open(path)
        found = (
            None if source is None else (source.GetLayer(layer) if layer else source.GetLayer(0))
        )
        if found is None:
            return [f"OGR cannot read {path}"]
        if found.GetSpatialRef() is None:
            return [f"{path} has no CRS"]
        counts[path] = found.GetFeatureCount()
    if len(set(counts.values())) != 1 or not min(counts.values()):
        return [f"The files do not hold the same number of regions, or none: {counts}"]
    return []


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--out", type=Path, default=ROOT / "out" / "run")
    parser.add_argument("--profiles", type=Path, default=ROOT / "out" / "profile" / "headless")
    parser.add_argument("--package", type=Path, help="a zip to install instead of this checkout")
    parser.add_argument("--before", type=Path, help="default: the demo pair")
    parser.add_argument("--after", type=Path)
    parser.add_argument("--prompt", default=PROMPT)
    parser.add_argument("--timeout", type=float, default=300.0, help="seconds for the whole run")
    return parser.parse_args(arguments)


def prepare(
    options: argparse.Namespace, home: Path, code: Path
) -> tuple[list[str], dict[str, str]]:
    """Create a profile; return QGIS's command and environment without the display."""
    qgis_profile.prepare(options.profiles, fresh=True, package=options.package)
    packages = qgis_profile.link_packages(ROOT / ".venv", home / "packages")
    before, after = (options.before, options.after) if options.before else qgis_profile.demo_pair()
    variables = qgis_profile.environment(packages)
    variables.pop("WAYLAND_DISPLAY", None)
    variables.update(
        CHANGESCRIBE_DRIVE=json.dumps(
            {
                "before": str(before.resolve()),
                "after": str(after.resolve()),
                "prompt": options.prompt,
                "out": str(options.out.resolve()),
                "timeout": options.timeout * 0.7,
            }
        ),
        QT_QPA_PLATFORM="xcb",
        LIBGL_ALWAYS_SOFTWARE="1",
        LANG="C.UTF-8",
        LC_ALL="C.UTF-8",
        XDG_CACHE_HOME=str(home / "cache"),
        XDG_CONFIG_HOME=str(home / "config"),
        XDG_DATA_HOME=str(home / "data"),
        XDG_RUNTIME_DIR=str(home / "runtime"),
    )
    (home / "runtime").mkdir(mode=0o700)
    return qgis_profile.qgis_command(options.profiles.resolve(), code), variables


def drive(
    options: argparse.Namespace, code: Path = ROOT / "scripts" / "drive_qgis.py"
) -> tuple[int | None, dict]:
    """Run a script in QGIS with an empty profile.

    Args:
        options: options of the command line.
        code: the script.

    Returns:
        QGIS's exit code (None on a timeout), and the report of the driver.
    """
    shutil.rmtree(options.out, ignore_errors=True)
    options.out.mkdir(parents=True)
    with tempfile.TemporaryDirectory(prefix="changescribe-") as folder:
        command, variables = prepare(options, Path(folder), code)
        with virtual_screen(options.out / "xvfb.log") as display:
            say(f"Driving QGIS on display {display}; what happens is in {options.out}/drive.log")
            variables["DISPLAY"] = display
            ended = run_qgis(command, variables, options.out / "qgis.log", options.timeout)
    steps = options.out / "steps.json"
    return ended, json.loads(steps.read_text(encoding="utf-8")) if steps.is_file() else {}


def main() -> int:
    """Run, check, report; return the exit code."""
    options = parse_arguments()
    started = time.monotonic()
    code, report = drive(options)
    for step in report.get("steps", []):
        say(f"{step['at_s']:6.1f} s  {step['step']}")
    found = problems_of(options.out, code, report)
    for line in found:
        say(f"FAILED: {line}")
    if found:
        say(f"See {options.out}/qgis.log and drive.log.")
        return 1
    say(f"{report['parse']}; {report['caption']}")
    say(f"{report['features']} regions in {report['seconds']} s on {report['device']}")
    say(f"All steps passed in {time.monotonic() - started:.0f} s. Results: {options.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
