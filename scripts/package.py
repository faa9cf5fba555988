#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Build the plugin's zip for QGIS's "Install from ZIP" and check it by the publication rules.

Usage: package.py [--out out/changescribe.zip] [--check-only]

The zip contains the tracked files under the shipped names, in one folder named as the package. The
same sources give the same bytes.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import subprocess  # noqa: S404  # nosec B404
import sys
import zipfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from package_rules import FOLDER, problems_of

ROOT = Path(__file__).resolve().parent.parent
DEFAULT_OUT = ROOT / "out" / f"{FOLDER}.zip"
#: Shipped files and folders of the root.
SHIPPED_FILES = (
    "metadata.txt",
    "__init__.py",
    "plugin.py",
    "LICENSE",
    "README.md",
    "CHANGELOG.md",
    "SECURITY.md",
)
SHIPPED_FOLDERS = ("engine/", "ui/", "resources/")
#: Not shipped: they make models and are not needed to run them.
LEFT_OUT = ("engine/evaluation/", "engine/synthesis/", "engine/training/")
#: The zip format's earliest date: the same sources give the same bytes.
EPOCH = (1980, 1, 1, 0, 0, 0)


def shipped(root: Path = ROOT) -> list[str]:
    """Return the tracked files for the zip, relative to the root, sorted.

    Raises:
        RuntimeError: the root is not a git checkout.
    """
    done = subprocess.run(  # noqa: S603, S607  # nosec B603 B607
        # The checkout may belong to another user, as in a container.
        ["git", "-c", f"safe.directory={root}", "ls-files", "-z", "--cached"],
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(
            f"The zip is made of what git tracks, and git says: {done.stderr.strip()}"
        )
    paths = {path for path in done.stdout.split("\0") if path and (root / path).is_file()}
    return sorted(
        path
        for path in paths
        if path in SHIPPED_FILES
        or (path.startswith(SHIPPED_FOLDERS) and not path.startswith(LEFT_OUT))
    )


def build(target: Path, root: Path = ROOT) -> list[str]:
    """Write the zip beside its name and rename it when complete.

    Args:
        target: path of the zip.
        root: root of the checkout.

    Returns:
        The paths inside the zip.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    half = target.with_suffix(".zip.part")
    names = []
    with zipfile.ZipFile(half, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for path in shipped(root):
            entry = zipfile.ZipInfo(f"{FOLDER}/{path}", date_time=EPOCH)
            entry.external_attr = 0o644 << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, (root / path).read_bytes())
            names.append(entry.filename)
    os.replace(half, target)
    return names


def main(arguments: list[str] | None = None) -> int:
    """Build, check, report; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--out", type=Path, default=DEFAULT_OUT)
    parser.add_argument("--check-only", action="store_true", help="check an existing zip")
    options = parser.parse_args(arguments)
    if not options.check_only:
        build(options.out)
    found = problems_of(options.out)
    size = options.out.stat().st_size
    digest = hashlib.sha256(options.out.read_bytes()).hexdigest()
    print(f"{options.out}: {size / 1e6:.2f} MB, SHA-256 {digest}")
    for line in found:
        print(f"  {line}")
    errors = [line for line in found if line.startswith("error")]
    print(f"Publication rules: {len(errors)} errors, {len(found) - len(errors)} warnings.")
    return 1 if errors else 0


if __name__ == "__main__":
    sys.exit(main())
