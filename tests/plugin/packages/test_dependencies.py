# SPDX-License-Identifier: GPL-3.0-or-later
"""Installing what is missing: interpreter per platform, pip as a child, nothing of QGIS touched."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

pytest.importorskip("qgis.core")

from qgis.PyQt.QtCore import QEventLoop, QTimer
from qgis.PyQt.QtNetwork import QNetworkProxy
from wheels import make_wheel

from changescribe.engine.errors import CancelledError, DependencyError, OutputError
from changescribe.engine.hosts.texts import HostsTexts
from changescribe.engine.messages import Message
from changescribe.ui.packages import interpreter, tiers
from changescribe.ui.packages.install import install, require
from changescribe.ui.packages.installation import (
    InstallPlan,
    InstallStep,
    _publish,
    clean_environment,
    explain_failure,
)
from changescribe.ui.packages.network import network_environment, proxy_environment
from changescribe.ui.packages.panel import DependencyPanel
from changescribe.ui.packages.tiers import COMPACT, Tier

REPOSITORY = Path(__file__).resolve().parents[3]
TIER = Tier("small", ("cs_small_runtime",), ("cs-small-runtime>=1,<2",), 1, 1)


@pytest.fixture
def wheels(tmp_path: Path) -> Path:
    """A folder with the tier's wheel, and a numpy that must not get in."""
    folder = tmp_path / "wheels"
    make_wheel(
        folder,
        "cs-small-runtime",
        "1.2",
        {"cs_small_runtime/__init__.py": "import numpy\nVALUE = numpy.arange(3).sum()\n"},
    )
    make_wheel(folder, "numpy", "99.0", {"numpy/__init__.py": "raise ImportError('foreign')\n"})
    return folder


@pytest.fixture
def target(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The final folder, as :func:`dependencies.folder` gives it."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(sys, "path", list(sys.path))
    path = Path(tiers.folder(TIER))
    assert tmp_path in path.parents
    yield path
    sys.modules.pop("cs_small_runtime", None)
    importlib.invalidate_caches()


# --- environment -----------------------------------------------------------------------------


def test_child_does_not_inherit_another_python(monkeypatch) -> None:
    for name in ("PYTHONHOME", "PYTHONPATH", "PIP_TARGET", "PIP_CONSTRAINT"):
        monkeypatch.setenv(name, "/elsewhere")
    environment = clean_environment({"TMPDIR": "work"})
    for name in ("PYTHONHOME", "PYTHONPATH", "PIP_TARGET", "PIP_CONSTRAINT"):
        assert not environment.contains(name)
    assert environment.value("TMPDIR") == "work"
    assert environment.value("PIP_USER") == "0"
    assert clean_environment({"PYTHONHOME": "/qgis"}).value("PYTHONHOME") == "/qgis"


def test_proxy_becomes_variables() -> None:
    proxy = QNetworkProxy(QNetworkProxy.ProxyType.HttpProxy, "proxy.example", 8080, "me", "p@ss:")
    variables = proxy_environment(proxy, ["https://intranet.example/x", "local.example"])
    expected = "http://me:p%40ss%3A@proxy.example:8080"  # pragma: allowlist secret
    assert variables["HTTPS_PROXY"] == expected
    assert variables["NO_PROXY"] == "intranet.example,local.example"
    socks = QNetworkProxy(QNetworkProxy.ProxyType.Socks5Proxy, "proxy.example", 1080)
    assert proxy_environment(socks, [])["https_proxy"] == "socks5h://proxy.example:1080"
    assert proxy_environment(QNetworkProxy(), []) == {}


def test_without_settings_in_qgis_nothing_is_set(qgis_app, tmp_path) -> None:
    assert network_environment(str(tmp_path)) == {}


# --- installing ------------------------------------------------------------------------------


def plan(target: Path, wheels: Path, tier: Tier = TIER) -> InstallPlan:
    return InstallPlan(str(target), tier, str(wheels))


def test_install_from_wheels_leaves_qgis_numpy(target, wheels, monkeypatch) -> None:
    import numpy as np
    from osgeo import gdal_array

    # No network at all: whatever would go out meets a closed port.
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    assert tiers.missing(TIER) == ("cs_small_runtime",)
    steps: list[InstallStep] = []
    assert install(plan(target, wheels), steps.append) == str(target)

    assert tiers.missing(TIER) == ()
    assert sys.path[-1] == str(target)
    module = importlib.import_module("cs_small_runtime")
    assert module.VALUE == 3
    assert Path(module.__file__).is_relative_to(target)
    assert sorted(os.listdir(target)) == ["cs_small_runtime", "cs_small_runtime-1.2.dist-info"]
    assert os.listdir(target.parent) == [target.name]
    assert not Path(np.__file__).is_relative_to(target)
    assert gdal_array.NumericTypeCodeToGDALTypeCode(np.uint8) == 1
    fractions = [step.fraction for step in steps]
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1.0
    tiers.deactivate(TIER)
    assert str(target) not in sys.path


def test_numpy_that_comes_along_is_removed(target, tmp_path) -> None:
    folder = tmp_path / "bad"
    make_wheel(
        folder,
        "cs-small-runtime",
        "1.3",
        {
            "cs_small_runtime/__init__.py": "import numpy\n",
            "numpy/__init__.py": "1 / 0\n",
            "numpy.libs/x.txt": "",
            "bin/tool": "",
        },
    )
    install(plan(target, folder))
    assert sorted(os.listdir(target)) == ["cs_small_runtime", "cs_small_runtime-1.3.dist-info"]


def test_what_does_not_run_is_not_installed(target, tmp_path) -> None:
    folder = tmp_path / "broken"
    make_wheel(
        folder,
        "cs-small-runtime",
        "1.4",
        {"cs_small_runtime/__init__.py": "raise ImportError('numpy.core.multiarray')\n"},
    )
    with pytest.raises(DependencyError) as caught:
        install(plan(target, folder))
    assert "multiarray" in caught.value.details
    assert not target.exists()
    assert os.listdir(target.parent) == []


@pytest.mark.parametrize("after", [0, 3])
def test_cancel_leaves_nothing(target, wheels, after) -> None:
    asked = []

    def cancelled() -> bool:
        asked.append(True)
        return len(asked) > after

    with pytest.raises(CancelledError):
        install(plan(target, wheels), None, cancelled)
    assert not target.exists()
    assert not target.parent.exists() or os.listdir(target.parent) == []


def test_cancel_kills_a_child_that_hangs(target, wheels, monkeypatch) -> None:
    monkeypatch.setattr(interpreter, "PROBE", "import time; time.sleep(60)")
    begin = time.monotonic()
    with pytest.raises(CancelledError):
        install(plan(target, wheels), None, lambda: time.monotonic() - begin > 0.5)
    assert time.monotonic() - begin < 5


def test_a_folder_without_fitting_wheels_says_so(target, tmp_path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(DependencyError, match=r"no wheels .*pip download"):
        install(plan(target, empty))
    make_wheel(
        empty,
        "cs-small-runtime",
        "1.2",
        {"cs_small_runtime/__init__.py": ""},
        tag="cp27-cp27m-win32",
    )
    with pytest.raises(DependencyError, match="no wheels of cs_small_runtime") as caught:
        install(plan(target, empty))
    assert "No matching distribution" in caught.value.details
    assert os.listdir(target.parent) == []


def test_unwritable_cache_is_an_output_error(tmp_path, wheels) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    with pytest.raises(OutputError, match="Cannot write to"):
        install(plan(blocked / "py" / "small", wheels))


def test_full_disk_is_said_before_the_download(target, wheels, monkeypatch) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda _path: type("U", (), {"free": 1_000_000})())
    with pytest.raises(OutputError, match="1 MB are free"):
        install(plan(target, wheels))
    assert os.listdir(target.parent) == []


def touch(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("")


def test_publishing_replaces_an_older_folder(tmp_path) -> None:
    new, old = tmp_path / "new", tmp_path / "compact"
    touch(new / "a.py", old / "b.py")
    _publish(str(new), str(old))
    assert os.listdir(old) == ["a.py"]
    assert os.listdir(tmp_path) == ["compact"]


@pytest.mark.parametrize(
    ("log", "words", "kind"),
    [
        (
            "NewConnectionError: Temporary failure in name resolution\nNo matching distribution",
            "Cannot reach",
            DependencyError,
        ),
        ("ProxyError('Cannot connect to proxy.')", "Cannot reach", DependencyError),
        ("SSLError(CERTIFICATE_VERIFY_FAILED)", "certificate", DependencyError),
        ("Missing dependencies for SOCKS support.", "SOCKS", DependencyError),
        ("ERROR: No matching distribution found for x", "has no", DependencyError),
        ("OSError: [Errno 28] No space left on device", "disk is full", OutputError),
        ("Traceback", "Cannot install", DependencyError),
    ],
)
def test_pip_failures_are_explained(log, words, kind) -> None:
    error = explain_failure(InstallPlan("/x"), log)
    assert type(error) is kind
    assert words in error.message
    assert error.hint
    assert error.details == log


def test_facts_name_what_runs_here(qgis_app, monkeypatch) -> None:
    monkeypatch.setattr(HostsTexts, "providers", Message("a translated label"))
    rows = dict(tiers.facts())
    import numpy as np

    assert np.__version__ in rows["numpy"]
    assert "numpy bindings work" in rows["GDAL"]
    if tiers.is_available():
        assert "CPUExecutionProvider" in rows["onnxruntime providers"]
        assert "onnxruntime" in rows["onnxruntime"]
    assert sys.prefix in rows["Python"]
    assert rows["system bundled"].endswith("has all its weights")
    assert "lacks" in rows["system mmchange"]


def test_a_graphics_card_needs_the_provider_beside_onnxruntime(tmp_path, monkeypatch) -> None:
    origin = tmp_path / "on[nx]" / "__init__.py"
    spec = SimpleNamespace(origin=str(origin))
    monkeypatch.setattr(tiers.importlib.util, "find_spec", lambda _name: spec)
    touch(origin, origin.parent / "capi" / "libonnxruntime_providers_shared.so")
    assert not tiers.has_cuda()
    for name in ("libonnxruntime_providers_cuda.so", "onnxruntime_providers_cuda.dll"):
        touch(origin.parent / "capi" / name)
        assert tiers.has_cuda()
        (origin.parent / "capi" / name).unlink()
    monkeypatch.setattr(tiers.importlib.util, "find_spec", lambda _name: None)
    assert not tiers.has_cuda()


def test_missing_package_is_a_dependency_error(target) -> None:
    with pytest.raises(DependencyError, match="cs_small_runtime"):
        require(TIER)


@pytest.mark.skipif(os.name != "posix", reason="the other Python is a shell script")
def test_the_hint_names_the_python_that_fits_qgis(target, tmp_path, monkeypatch) -> None:
    other = tmp_path / "python3"
    answer = json.dumps({"version": [3, 1], "bits": 64, "machine": "x86_64"})
    other.write_text(f"#!/bin/sh\necho '{answer}'\n")
    other.chmod(0o755)

    def hint(*found: str) -> str:
        monkeypatch.setattr(interpreter, "candidates", lambda _runtime: list(found))
        with pytest.raises(DependencyError) as caught:
            require(TIER)
        return caught.value.hint

    assert f'"{sys.executable}" ' in hint(str(other), sys.executable)
    assert hint(str(other)) == "Open the ChangeScribe panel and click Install."


# --- the panel -------------------------------------------------------------------------------


@pytest.fixture
def panel(qgis_app, target):
    """The panel with a tier that is missing."""
    widget = DependencyPanel(tier=TIER)
    yield widget
    widget.shut_down()
    widget.deleteLater()


def wait_for_end(panel: DependencyPanel) -> None:
    """Run Qt's event loop until the installation has ended."""
    loop = QEventLoop()
    panel.busy_changed.connect(lambda busy: busy or loop.quit())
    QTimer.singleShot(60_000, loop.quit)
    loop.exec()
    assert not panel.is_busy


def test_panel_installs_and_hides(panel, wheels) -> None:
    signals = []
    panel.installed.connect(lambda: signals.append("installed"))
    assert not panel.isHidden()
    assert "cs_small_runtime" in panel._text.text()
    panel.install_from_wheels(str(wheels))
    assert panel.is_busy
    wait_for_end(panel)
    assert signals == ["installed"]
    assert panel.isHidden()
    assert importlib.import_module("cs_small_runtime").VALUE == 3


def test_panel_shows_the_error_and_offers_to_try_again(panel, tmp_path) -> None:
    panel.install_from_wheels(str(tmp_path))
    wait_for_end(panel)
    assert not panel.isHidden()
    assert "no wheels" in panel._text.text()
    assert not panel._details.isHidden()


def test_panel_cancels_and_shuts_down(panel, target, wheels) -> None:
    panel.install_from_wheels(str(wheels))
    panel.jobs.cancel()
    wait_for_end(panel)
    assert not target.exists()
    assert "cs_small_runtime" in panel._text.text()
    panel.install_from_wheels(str(wheels))
    panel.shut_down()
    assert not panel.is_busy
    assert not target.exists()


# --- the real package, in QGIS's own Python --------------------------------------------------

REAL = """
import json, os, sys
from qgis.core import QgsApplication
app = QgsApplication([], True, sys.argv[2])
app.initQgis()
from qgis.PyQt.QtCore import QEventLoop, QTimer
from changescribe.ui.packages import tiers
from changescribe.ui.packages.panel import DependencyPanel
import numpy
before = (numpy.__version__, numpy.__file__)
missing = tiers.missing()
panel = DependencyPanel()
loop = QEventLoop()
panel.installed.connect(loop.quit)
panel.busy_changed.connect(lambda busy: busy or loop.quit())
QTimer.singleShot(240000, loop.quit)
panel.install_from_wheels(sys.argv[1])
loop.exec() if hasattr(loop, "exec") else loop.exec_()
import onnxruntime
from osgeo import gdal, gdal_array
dataset = gdal.GetDriverByName("MEM").Create("", 3, 2, 1, gdal.GDT_Byte)
dataset.GetRasterBand(1).WriteArray(numpy.full((2, 3), 7, numpy.uint8))
import changescribe
print(json.dumps({
    "missing": missing, "shown": panel._text.text(), "onnxruntime": onnxruntime.__file__,
    "providers": onnxruntime.get_available_providers(), "folder": tiers.folder(),
    "numpy_before": before, "numpy_after": (numpy.__version__, numpy.__file__),
    "sum": int(dataset.ReadAsArray().sum()), "in_folder": sorted(os.listdir(tiers.folder())),
}))
sys.stdout.flush()
os._exit(0)
"""


def qgis_python() -> str:
    """Return the Python that QGIS itself runs on here, without onnxruntime, or skip."""
    python = f"/usr/bin/python{sys.version_info.major}.{sys.version_info.minor}"
    check = (
        "import sys, importlib.util, qgis.core;"
        "sys.exit(importlib.util.find_spec('onnxruntime') is not None)"
    )
    if not os.path.exists(python):
        pytest.skip("QGIS's own Python is not where Linux distributions have it")
    clean = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
    done = subprocess.run([python, "-c", check], check=False, env=clean, capture_output=True)
    if done.returncode:
        pytest.skip("QGIS's own Python has onnxruntime already, or no QGIS")
    return python


@pytest.mark.slow
def test_real_onnxruntime_into_qgis_from_wheels_without_network(tmp_path) -> None:
    python = qgis_python()
    wheels = tmp_path / "wheels"
    download = subprocess.run(
        [
            python,
            "-m",
            "pip",
            "download",
            "--quiet",
            "--no-deps",
            "--only-binary",
            ":all:",
            "--disable-pip-version-check",
            "--retries",
            "1",
            "-d",
            str(wheels),
            *COMPACT.requirements,
        ],
        check=False,
        capture_output=True,
        text=True,
        timeout=240,
    )
    if download.returncode:
        pytest.skip(f"onnxruntime cannot be downloaded here: {download.stderr[-200:]}")
    (tmp_path / "path").mkdir()
    (tmp_path / "path" / "changescribe").symlink_to(REPOSITORY, target_is_directory=True)
    environment = {
        **{k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "PIP_"))},
        "PYTHONPATH": str(tmp_path / "path"),
        "XDG_CACHE_HOME": str(tmp_path / "cache"),
        "QT_QPA_PLATFORM": "offscreen",
        "HTTPS_PROXY": "http://127.0.0.1:9",
        "HTTP_PROXY": "http://127.0.0.1:9",
        "PIP_INDEX_URL": "http://127.0.0.1:9/simple",
    }
    done = subprocess.run(
        [python, "-c", REAL, str(wheels), str(tmp_path / "profile")],
        check=False,
        capture_output=True,
        text=True,
        timeout=280,
        env=environment,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    facts = json.loads(done.stdout.strip().splitlines()[-1])
    assert facts["missing"] == ["onnxruntime"]
    assert facts["onnxruntime"].startswith(facts["folder"]), facts
    assert "CPUExecutionProvider" in facts["providers"]
    assert facts["numpy_before"] == facts["numpy_after"]
    assert facts["sum"] == 42
    assert [name for name in facts["in_folder"] if not name.startswith("onnxruntime")] == []
