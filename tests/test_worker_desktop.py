# SPDX-License-Identifier: GPL-3.0-or-later
"""PyTorch in the real QGIS desktop under Xvfb: QGIS survives an import that would crash it."""

from __future__ import annotations

import json
import shutil
import sys
import sysconfig
from pathlib import Path
from typing import Any, Callable

import pytest

pytestmark = [
    pytest.mark.torch,
    pytest.mark.skipif(
        not (shutil.which("qgis") and shutil.which("Xvfb")), reason="needs QGIS and Xvfb"
    ),
]

TESTS = Path(__file__).resolve().parent
ROOT = TESTS.parent
SYSTEMS = TESTS / "support"


def store_textscd(folder: Path, before: Any, after: Any) -> None:
    """Store a tiny TextSCD of random weights, whose last layer distinguishes this pair's dates.

    It classifies the block as low vegetation on the earlier date and as buildings on the later
    one, and reports change everywhere.
    """
    import torch

    from changescribe.engine.modules.textscd.config import SECOND_CLASSES, TextSCDConfig
    from changescribe.engine.modules.textscd.network import TextSCD
    from changescribe.engine.weights import loading
    from changescribe.engine.weights.store import WeightsStore

    settings = {"tiny": True, "text": False}
    torch.manual_seed(0)
    model = TextSCD(TextSCDConfig.from_settings(settings)).eval()
    found: list[Any] = []
    semantic, change = model.head.semantic.classify, model.head.change.classify
    semantic.register_forward_pre_hook(lambda _module, given: found.append(given[0]))
    images = [torch.from_numpy(i[None, :, :192, :288].astype("float32")) for i in (before, after)]
    with torch.no_grad():
        model(*images, torch.zeros(1, 1, 128), torch.ones(1, 1))
        was, is_now = (maps[0, :, 52:68, 102:138].mean((1, 2)) for maps in found)
        apart = 8 * (is_now - was) / (is_now - was).square().sum()
        for layer, bias in ((semantic, -50.0), (change, 4.0)):
            layer.weight.zero_()
            layer.bias.fill_(bias)
        for name, sign in (("low vegetation", -1), ("buildings", 1)):
            index = SECOND_CLASSES.index(name)
            semantic.weight[index, :, 1, 1] = sign * apart
            semantic.bias[index] = -sign * (apart @ (was + is_now)) / 2
    weights = folder / "textscd.safetensors"
    metadata = {"config": settings, "recipe": {"name": "tiny", "crop": 256}, "step": 1}
    loading.save_head(model.state_dict(), weights, metadata)
    WeightsStore(folder / "weights").import_from(weights, ["textscd-head"])


@pytest.fixture
def drive(
    tmp_path: Path, make_raster: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., tuple[int | None, dict[str, Any]]]:
    """Return a function that drives QGIS and returns its exit code and the report."""
    headless_run = pytest.importorskip("headless_run")
    np = pytest.importorskip("numpy")
    if not (ROOT / ".venv").is_dir():
        pytest.skip("needs .venv, whose onnxruntime the dock wants: make setup")
    before = np.full((3, 200, 300), 60, np.uint8)
    after = before.copy()
    after[:, 50:70, 100:140] = 250
    store_textscd(tmp_path, before, after)
    monkeypatch.setenv("CHANGESCRIBE_WEIGHTS", str(tmp_path / "weights"))
    pair = [make_raster("town_2016.tif", before), make_raster("town_2023.tif", after)]
    # A program that finds the systems of the tests, as an environment with them installed would.
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\nPYTHONPATH="{SYSTEMS}" exec "{sys.executable}" "$@"\n')
    python.chmod(0o755)

    # PyTorch as a user would install it into QGIS's Python, which keeps its own numpy.
    packages = tmp_path / "packages"
    packages.mkdir()
    for path in Path(sysconfig.get_path("purelib")).iterdir():
        if not path.name.startswith("numpy"):
            (packages / path.name).symlink_to(path)

    def run(*, plain_import: bool = False) -> tuple[int | None, dict[str, Any]]:
        wanted = {
            "scripts": str(ROOT / "scripts"),
            "systems": str(SYSTEMS),
            "packages": str(packages),
            "python": str(python),
            "plain_import": plain_import,
        }
        monkeypatch.setenv("CHANGESCRIBE_TEST_WORKER", json.dumps(wanted))
        monkeypatch.setenv("CHANGESCRIBE_TEST_MARK", str(tmp_path / "mark"))
        options = headless_run.parse_arguments(
            [
                "--before",
                pair[0],
                "--after",
                pair[1],
                "--prompt",
                "buildings built",
                "--out",
                str(tmp_path / "run"),
                "--profiles",
                str(tmp_path / "profile"),
                "--timeout",
                "600",  # a busy machine takes minutes to import PyTorch twice
            ]
        )
        return headless_run.drive(options, TESTS / "drive_worker.py")

    return run


def test_pytorch_runs_in_a_worker_and_in_qgis_and_qgis_survives(drive: Callable) -> None:
    code, report = drive()
    assert report.get("ok"), report.get("error", f"QGIS ended with {code} before a report")
    assert code == 0
    assert len(report["devices"]) == 2
    assert "low vegetation \N{RIGHTWARDS ARROW} building" in report["labels"]
    assert any("was restarted" in text for text in report["results"])


@pytest.mark.slow
def test_the_plain_import_is_what_kills_qgis(drive: Callable) -> None:
    """Shows the reason for the worker: Mesa's libLLVM collides with triton's."""
    code, report = drive(plain_import=True)
    if report.get("ok"):
        pytest.skip("this QGIS survives the plain import of torchvision")
    assert code != 0
    assert not report
