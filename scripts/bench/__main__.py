# SPDX-License-Identifier: GPL-3.0-or-later
"""Measure speed and memory of the plugin on this machine: ``make bench``.

Prints a table of medians, and writes it with all figures to ``out/bench/bench.md`` and
``bench.json``. The rasters are generated, or mosaics of LEVIR where ``CHANGESCRIBE_DATA`` is set.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import platform
import subprocess  # noqa: S404  # nosec B404
import sys
import time
from pathlib import Path
from statistics import median
from typing import Any

import rasters

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
#: Pixels of a raster of "16 Mpx": 4096 x 4096.
MEGAPIXEL = 1 << 20
#: Limits of the measures that have one.
BARS = {"end_to_end": 1.20, "second": 0.3, "noop": 5.0, "threshold": 3.0, "dock": 250.0}


class Bench:
    """Runs cases in processes of their own, and collects rows of the table."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.rows: list[dict[str, Any]] = []
        self.figures: dict[str, Any] = {}
        data = os.environ.get("CHANGESCRIBE_DATA")
        self.data = Path(data) if data and (Path(data) / "levir").is_dir() else None

    def pair(self, megapixels: int) -> list[str]:
        """Return the paths of a pair of a size."""
        return rasters.make_pair(self.options.out, ROOT, self.data, megapixels)

    def case(self, name: str, **given: Any) -> dict[str, Any]:
        """Run a case of ``cases.py``."""
        print(f"  {name} {given.get('system', '')} ...", file=sys.stderr, flush=True)
        return _child(["cases.py", name, json.dumps(given)])

    def row(
        self,
        measure: str,
        value: float,
        unit: str,
        bar: str = "",
        user_s: float | None = None,
        note: str = "",
    ) -> None:
        """Add a row; ``user_s`` is the CPU time in user mode."""
        row = {"measure": measure, "value": round(value, 3), "unit": unit, "bar": bar, "note": note}
        self.rows.append({**row, "user_s": None if user_s is None else round(user_s, 2)})

    def end_to_end(self) -> None:
        """Measure the bundled model with everything around it, and a second question."""
        size = self.options.megapixels
        found = self.case(
            "pair", pair=self.pair(size), system="bundled", repeats=self.options.repeats, bare=True
        )
        self.figures["end_to_end"] = found
        run, bare, second = (found[key] for key in ("run", "bare", "second"))
        for name, values in (
            ("end to end", run),
            ("bare model, same tiles", bare),
            ("second question", second),
        ):
            self.row(f"{name}, {size} Mpx", _median(values), "s", user_s=_median(values, "user_s"))
        self.row("end to end / bare model", _ratio(run, bare), "x", f"<= {BARS['end_to_end']}")
        self.row("the same, user CPU", _ratio(run, bare, "user_s"), "x")
        self.row("second question / bare model", _ratio(second, bare), "x", f"<= {BARS['second']}")
        self.row("second question / first", _ratio(second, run), "x")
        self._stages("end to end", found["stages"])

    def noop(self) -> None:
        """Measure the pipeline around a system that computes nothing."""
        size = self.options.megapixels
        repeats = max(3, self.options.repeats)
        found = self.case("pair", pair=self.pair(size), system="noop", repeats=repeats, bare=False)
        self.figures["noop"] = found
        runs, pixels = found["run"], size * MEGAPIXEL / 1e6
        speed = median(pixels / run["wall_s"] for run in runs)
        note = f"{found['regions']} regions"
        self.row(
            f"pipeline, no-op system, {size} Mpx", speed, "Mpx/s", f">= {BARS['noop']}", note=note
        )
        self.row("the same", _median(runs), "s", user_s=_median(runs, "user_s"))
        self._stages("no-op", found["stages"])

    def threshold(self) -> None:
        """Measure mask, polygons, captions and files from known scores."""
        size = self.options.megapixels
        values = [0.45, 0.35, 0.55]
        found = self.case("threshold", pair=self.pair(size), system="noop", thresholds=values)
        self.figures["threshold"] = found
        again = found["again"]
        self.row(
            f"another threshold, {size} Mpx",
            _median(again),
            "s",
            f"< {BARS['threshold']}",
            _median(again, "user_s"),
        )

    def memory(self) -> None:
        """Measure the peak memory of runs."""
        sizes = [("noop", size) for size in self.options.memory] + [
            ("bundled", self.options.megapixels)
        ]
        for system, size in sizes:
            found = self.case("memory", pair=self.pair(size), system=system)
            self.figures[f"memory_{system}_{size}"] = found
            self.row(f"peak memory, {system}, {size} Mpx", found["peak_mb"], "MB")

    def dock(self) -> None:
        """Measure what the plugin adds to the start of QGIS."""
        found = [_child(["dock.py"]) for _ in range(max(5, self.options.repeats))][1:]
        self.figures["dock"] = found
        for key, name in (("import_ms", "import of the plugin"), ("dock_ms", "building the dock")):
            self.row(name, median(one[key] for one in found), "ms")
        heavy = ", ".join(found[0]["heavy"]) or "no onnxruntime, no PyTorch"
        note = f"{found[0]['modules']} modules, {found[0]['own_modules']} of the plugin; {heavy}"
        self.row(
            "both",
            median(one["total_ms"] for one in found),
            "ms",
            f"< {BARS['dock']:.0f}",
            note=note,
        )

    def _stages(self, name: str, stages: list[dict[str, float]]) -> None:
        for stage in stages[0]:
            if stage != "total":
                self.row(f"{name}: {stage}", median(one[stage] for one in stages), "s")


def _median(values: list[dict[str, float]], key: str = "wall_s") -> float:
    return median(value[key] for value in values)


def _ratio(
    first: list[dict[str, float]], second: list[dict[str, float]], key: str = "wall_s"
) -> float:
    """Return the median ratio of what was measured by turns."""
    return median(a[key] / b[key] for a, b in zip(first, second))


def _child(arguments: list[str]) -> dict[str, Any]:
    variables = {**os.environ, "QT_QPA_PLATFORM": "offscreen"}
    command = [sys.executable, str(HERE / arguments[0]), *arguments[1:]]
    done = subprocess.run(command, env=variables, check=False, stdout=subprocess.PIPE, text=True)  # noqa: S603  # nosec B603
    lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
    if not lines:
        raise SystemExit(f"{' '.join(arguments)} failed with exit code {done.returncode}")
    return json.loads(lines[-1])


def machine() -> dict[str, str]:
    """Describe what the figures depend on."""
    processor = platform.processor()
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        processor = next(
            line.split(":")[1].strip() for line in lines if line.startswith("model name")
        )
    except (OSError, StopIteration):
        pass
    from osgeo import gdal

    try:
        from qgis.core import Qgis

        qgis = Qgis.QGIS_VERSION
    except ImportError:
        qgis = "none"
    return {
        "processor": processor,
        "cores": str(os.cpu_count()),
        "load": f"{os.getloadavg()[0]:.1f}",
        "system": platform.platform(),
        "python": platform.python_version(),
        "qgis": qgis,
        "gdal": gdal.__version__,
        "onnxruntime": importlib.metadata.version("onnxruntime"),
        "numpy": importlib.metadata.version("numpy"),
    }


def table(rows: list[dict[str, Any]], about: dict[str, str]) -> str:
    """Return the rows as a Markdown table below the machine."""
    lines = ["; ".join(f"{key} {value}" for key, value in about.items()), ""]
    lines += ["| measure | median | unit | bar | user CPU s | |", "| - | -: | - | - | -: | - |"]
    for row in rows:
        user = "" if row["user_s"] is None else f"{row['user_s']:.2f}"
        cells = (row["measure"], f"{row['value']:.2f}", row["unit"], row["bar"], user, row["note"])
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(prog="bench", description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument(
        "parts",
        nargs="*",
        metavar="PART",
        help="end_to_end, noop, threshold, memory, dock; all by default",
    )
    parser.add_argument(
        "--megapixels", type=int, default=16, help="of the pair, in 2**20 pixels: a square number"
    )
    parser.add_argument(
        "--memory", type=int, nargs="+", default=[4, 16, 64], help="sizes for peak memory"
    )
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--out", type=Path, default=ROOT / "out" / "bench")
    options = parser.parse_args()
    parts = options.parts or ["dock", "noop", "threshold", "memory", "end_to_end"]
    options.out.mkdir(parents=True, exist_ok=True)
    bench, about = Bench(options), machine()
    for part in parts:
        started = time.monotonic()
        getattr(bench, part)()
        print(f"{part}: {time.monotonic() - started:.0f} s", file=sys.stderr, flush=True)
    shown = table(bench.rows, about)
    print(shown)
    (options.out / "bench.md").write_text(shown + "\n", encoding="utf-8")
    content = {
        "machine": about,
        "pair": "levir" if bench.data else "demo",
        "rows": bench.rows,
        "figures": bench.figures,
    }
    (options.out / "bench.json").write_text(json.dumps(content, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
