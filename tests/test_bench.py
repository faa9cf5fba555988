# SPDX-License-Identifier: GPL-3.0-or-later
"""``make bench`` measures what it says, on a small pair."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.mark.slow
def test_a_small_bench(tmp_path: Path) -> None:
    variables = {name: value for name, value in os.environ.items() if name != "CHANGESCRIBE_DATA"}
    command = [sys.executable, str(ROOT / "scripts" / "bench"), "noop", "threshold", "memory"]
    options = ["--megapixels", "1", "--memory", "1", "--repeats", "1", "--out", str(tmp_path)]
    done = subprocess.run([*command, *options], env=variables, check=True, stdout=subprocess.PIPE)
    found = json.loads((tmp_path / "bench.json").read_text())
    rows = {row["measure"]: row["value"] for row in found["rows"]}
    assert found["pair"] == "demo"
    assert rows["pipeline, no-op system, 1 Mpx"] > 0
    assert rows["peak memory, noop, 1 Mpx"] > 50
    assert found["figures"]["noop"]["regions"] > 100
    assert b"another threshold, 1 Mpx" in done.stdout
