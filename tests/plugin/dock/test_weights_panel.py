# SPDX-License-Identifier: GPL-3.0-or-later
"""A system that lacks weights: what the dock says, download, cancel, import, and the folder."""

from __future__ import annotations

import time

import pytest

pytest.importorskip("qgis.core")
import fake_engine
from qgis.core import QgsNetworkAccessManager
from qgis.PyQt.QtNetwork import QNetworkProxy
from waiting import wait_until
from weights_server import CONTENT, make_entry, running

from changescribe.engine.weights import catalogue
from changescribe.engine.weights import fetch as fetching
from changescribe.engine.weights.store import WeightsStore, default_folder, use_folder
from changescribe.ui.dock.weights_panel import qgis_network


@pytest.fixture
def server(tmp_path, monkeypatch):
    monkeypatch.setattr(fetching, "_PAUSE_S", 0.0)
    monkeypatch.setenv("CHANGESCRIBE_WEIGHTS", str(tmp_path / "store"))
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with running() as server:
        yield server
    use_folder(None)


@pytest.fixture
def needy(server, monkeypatch, desk, system):
    """A dock whose one system needs two files; only the first can be downloaded."""
    rows = (
        make_entry(server, licence="MIT", terms="Be kind."),
        make_entry(server, id="head", file="head.pt", sha256=None, size=None, url=None),
    )
    monkeypatch.setattr(catalogue, "entries", lambda: {entry.id: entry for entry in rows})
    use(desk, monkeypatch, "small-clip", "head")
    return desk


def use(desk, monkeypatch, *weights):
    from changescribe.ui.dock import system_panel

    info = fake_engine.info(weights=weights)
    monkeypatch.setattr(system_panel, "installed_systems", lambda: (info,))
    desk.dock.system.reload()
    desk.dock.refresh()


def test_it_says_what_is_missing_and_how_large(needy, monkeypatch):
    panel = needy.dock.system.weights
    assert not panel.isHidden()
    assert panel.text.text().splitlines() == [
        "Missing weights:",
        "weights.pt, 288 kB, MIT",
        "head.pt, size not known, no licence stated, import only",
    ]
    assert panel.download_button.text() == "Download (288 kB)"
    assert "Be kind." in panel.download_button.toolTip()
    assert not needy.dock.run.detect_button.isEnabled()
    assert needy.dock.reason() == "This system needs weights: download or import them above"
    use(needy, monkeypatch, "small-clip")
    assert (
        needy.dock.reason() == "This system needs 288 kB of weights: download or import them above"
    )
    use(needy, monkeypatch, "head")
    assert not panel.download_button.isEnabled()
    use(needy, monkeypatch)
    assert panel.isHidden()
    assert needy.dock.reason() == ""


def test_download_then_import_then_a_run_can_start(needy, tmp_path):
    panel = needy.dock.system.weights
    panel.download_button.click()
    assert panel.is_busy
    assert needy.dock.reason() == "Wait until all weights of this system are complete"
    wait_until(lambda: not panel.is_busy)
    assert panel.text.text().splitlines()[1:] == [
        "head.pt, size not known, no licence stated, import only"
    ]
    (tmp_path / "head.pt").write_bytes(CONTENT)
    panel.import_from(str(tmp_path))
    wait_until(lambda: not panel.is_busy)
    assert panel.isHidden()
    wait_until(needy.dock.run.detect_button.isEnabled)
    assert WeightsStore().path("head").read_bytes() == CONTENT


def test_cancel_keeps_what_arrived_and_says_nothing_bad(needy, server, monkeypatch):
    row = make_entry(server, "slow")
    monkeypatch.setattr(catalogue, "entries", lambda: {row.id: row})
    use(needy, monkeypatch, "small-clip")
    panel = needy.dock.system.weights
    panel.download_button.click()
    wait_until(lambda: panel.text.text().startswith("downloading weights.pt ("))
    panel.jobs.cancel_button.click()
    wait_until(lambda: not panel.is_busy)
    assert panel.text.text().startswith("Missing weights:")
    assert panel.details_button.isHidden()
    assert (WeightsStore().folder / "small-clip" / "weights.pt.part").exists()


def test_a_failure_is_told_with_details_and_can_be_tried_again(needy, server, monkeypatch):
    row = make_entry(server, "error/404")
    monkeypatch.setattr(catalogue, "entries", lambda: {row.id: row})
    use(needy, monkeypatch, "small-clip")
    panel = needy.dock.system.weights
    panel.download_button.click()
    wait_until(lambda: not panel.is_busy)
    assert "no longer has the file (HTTP 404)" in panel.text.text()
    assert not panel.details_button.isHidden()
    panel.show_details().close()
    row = make_entry(server)
    panel.download_button.click()
    wait_until(lambda: not panel.is_busy)
    assert panel.isHidden()


def test_a_download_does_not_outlive_the_dock(needy, server, monkeypatch):
    row = make_entry(server, "silent")
    monkeypatch.setattr(catalogue, "entries", lambda: {row.id: row})
    use(needy, monkeypatch, "small-clip")
    panel = needy.dock.system.weights
    panel.download_button.click()
    wait_until(lambda: "waiting for" in panel.text.text())
    begin = time.monotonic()
    panel.shut_down()
    assert time.monotonic() - begin < fetching.TIMEOUT_S / 2
    assert not panel.is_busy


def test_another_folder(needy, tmp_path):
    panel = needy.dock.system.weights
    other = tmp_path / "other"
    (other / "small-clip").mkdir(parents=True)
    (other / "small-clip" / "weights.pt").write_bytes(CONTENT)
    needy.dock.advanced.weights.setFilePath(str(other))
    assert default_folder() == other
    assert needy.settings.weights_folder == str(other)
    assert "weights.pt" not in panel.text.text()
    needy.dock.advanced.weights.setFilePath("")
    assert default_folder() == tmp_path / "store"


def test_the_proxy_of_qgis(qgis_app, tmp_path, monkeypatch):
    manager = QgsNetworkAccessManager.instance()
    proxy = QNetworkProxy(QNetworkProxy.ProxyType.HttpProxy, "proxy.example", 8080)
    monkeypatch.setattr(manager, "fallbackProxy", lambda: proxy, raising=False)
    monkeypatch.setattr(manager, "excludeList", lambda: ["intranet.example"], raising=False)
    network = qgis_network(str(tmp_path))
    assert network.proxies == {
        "http": "http://proxy.example:8080",
        "https": "http://proxy.example:8080",
    }
    assert network.excluded == "intranet.example"
