#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Start QGIS for a person: plugin enabled, demo pair loaded, dock open."""

from __future__ import annotations

import json
import subprocess  # noqa: S404  # nosec B404
import sys

import qgis_profile

PROFILES = qgis_profile.ROOT / "out" / "profile" / "demo"


def main() -> int:
    """Prepare the profile, start QGIS, return its exit code."""
    qgis_profile.prepare(PROFILES, fresh=False)
    packages = qgis_profile.link_packages(
        qgis_profile.ROOT / ".venv", qgis_profile.ROOT / "out" / "packages"
    )
    before, after = qgis_profile.demo_pair()
    variables = qgis_profile.environment(packages)
    variables["CHANGESCRIBE_OPEN"] = json.dumps({"before": str(before), "after": str(after)})
    command = qgis_profile.qgis_command(PROFILES, qgis_profile.ROOT / "scripts" / "open_demo.py")
    return subprocess.run(command, env=variables, check=False).returncode  # noqa: S603  # nosec B603


if __name__ == "__main__":
    sys.exit(main())
