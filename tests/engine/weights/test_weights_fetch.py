# SPDX-License-Identifier: GPL-3.0-or-later
"""Downloads against a server that breaks off, lies, redirects, ignores, stalls."""

from __future__ import annotations

import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from weights_server import CONTENT, SHA256, Server, running

from changescribe.engine.errors import CancelledError, OutputError, WeightsError
from changescribe.engine.weights import fetch as fetching
from changescribe.engine.weights.fetch import Download, Network, fetch
from changescribe.engine.weights.files import Step, Watch


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setattr(fetching, "_PAUSE_S", 0.0)
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with running() as server:
        yield server


@pytest.fixture
def job(server: Server, tmp_path: Path) -> Download:
    return Download(server.url("file"), tmp_path / "weights.pt", SHA256, len(CONTENT))


def names(job: Download) -> list[str]:
    return sorted(path.name for path in job.target.parent.iterdir())


def test_a_file_arrives_with_progress(job: Download) -> None:
    steps: list[Step] = []
    job.watch = Watch(steps.append)
    fetch(job)
    assert job.target.read_bytes() == CONTENT
    assert names(job) == ["weights.pt"]
    downloading = [step.done for step in steps if step.text == "downloading weights.pt"]
    assert downloading == sorted(downloading)
    assert downloading[-1] == len(CONTENT)
    assert {step.total for step in steps} == {len(CONTENT)}
    assert any(step.text == "checking weights.pt" for step in steps)


@pytest.mark.parametrize("size", [len(CONTENT), None])
def test_an_interrupted_download_resumes(job: Download, server: Server, size: int) -> None:
    job.size = size
    server.breaks = [100_000, 50_000]
    fetch(job)
    assert server.ranges == ["", "bytes=100000-", "bytes=150000-"]
    assert server.requests[1][1]["If-Range"] == '"one"'
    assert job.target.read_bytes() == CONTENT


def test_a_stalled_download_is_given_up_and_resumed_later(job: Download, server: Server) -> None:
    server.breaks = [200_000, 0, 0, 0]
    with pytest.raises(WeightsError, match=r"broke off at 200 kB of 288 kB"):
        fetch(job)
    assert names(job) == ["weights.pt.part", "weights.pt.part.json"]
    fetch(job)
    assert server.ranges[-1] == "bytes=200000-"
    assert job.target.read_bytes() == CONTENT


def test_another_version_on_the_server_is_fetched_from_its_beginning(
    job: Download, server: Server
) -> None:
    server.breaks = [100_000]
    server.etag = '"old"'
    steps: list[Step] = []

    def change(step: Step) -> None:
        steps.append(step)
        server.etag = '"new"'

    job.watch = Watch(change)
    fetch(job)
    assert server.ranges == ["", "bytes=100000-"]
    assert job.target.read_bytes() == CONTENT


def test_the_part_of_another_file_is_not_resumed(job: Download, server: Server) -> None:
    job.part.write_bytes(b"x" * 1000)
    job.note.write_text('{"url": "elsewhere", "sha256": "0", "validator": ""}')
    fetch(job)
    assert server.ranges == [""]
    assert job.target.read_bytes() == CONTENT


def test_a_server_that_ignores_ranges(job: Download, server: Server) -> None:
    job.url = server.url("ignores-range")
    server.breaks = [100_000]
    fetch(job)
    assert job.target.read_bytes() == CONTENT


def test_a_part_longer_than_the_file_is_dropped(job: Download, server: Server) -> None:
    server.breaks = [100_000, 0, 0, 0]
    with pytest.raises(WeightsError):
        fetch(job)
    with job.part.open("ab") as stream:
        stream.write(b"x" * len(CONTENT))
    fetch(job)
    assert job.target.read_bytes() == CONTENT


def test_an_unrequested_range_is_not_taken_for_the_file(job: Download, server: Server) -> None:
    job.url = server.url("unasked-range")
    with pytest.raises(WeightsError, match="broke off"):
        fetch(job)
    assert not job.target.exists()


def test_a_file_without_an_end_stops_at_the_known_size(job: Download, server: Server) -> None:
    job.url = server.url("endless")
    job.size = len(CONTENT)
    steps: list[Step] = []
    job.watch = Watch(steps.append)
    with pytest.raises(WeightsError, match=f"does not end after {len(CONTENT)} bytes"):
        fetch(job)
    assert names(job) == []
    assert max(step.done for step in steps) <= len(CONTENT)


def test_wrong_bytes_fail_closed(job: Download, server: Server) -> None:
    job.url = server.url("wrong")
    with pytest.raises(WeightsError, match="not the expected one; it was deleted") as caught:
        fetch(job)
    assert SHA256 in caught.value.details
    assert names(job) == []


def test_a_wrong_size_is_refused_before_the_download(job: Download, server: Server) -> None:
    job.url = server.url("short")
    with pytest.raises(WeightsError, match="it has 10 bytes"):
        fetch(job)
    assert names(job) == []


def test_a_server_that_does_not_say_the_size(job: Download, server: Server) -> None:
    job.url, job.size = server.url("no-length"), None
    fetch(job)
    assert job.target.read_bytes() == CONTENT


def test_redirections_are_followed_but_only_on_the_web(job: Download, server: Server) -> None:
    job.url = server.url("redirect")
    fetch(job)
    assert [where for where, _ in server.requests] == ["redirect", "file"]
    job.url = server.url("off-the-web")
    job.target.unlink()
    with pytest.raises(WeightsError, match="insecure"):
        fetch(job)
    job.url = "file:///etc/hostname"
    with pytest.raises(WeightsError, match="not a web address"):
        fetch(job)


def test_https_does_not_lead_to_http(job: Download) -> None:
    handler = fetching._Redirects()
    request = SimpleNamespace(full_url="https://example.org/a", host="example.org")
    with pytest.raises(WeightsError, match="insecure"):
        handler.redirect_request(request, None, 302, "Found", {}, "http://example.org/a")


@pytest.mark.parametrize(
    ("code", "words", "requests"),
    [
        (404, "no longer has the file", 1),
        (403, "restricts access to the file", 1),
        (407, "proxy requires a user name", 1),
        (503, r"at the moment \(HTTP 503\)", fetching.ATTEMPTS),
    ],
)
def test_errors_of_the_server(
    job: Download, server: Server, code: int, words: str, requests: int
) -> None:
    job.url = server.url(f"error/{code}")
    with pytest.raises(WeightsError, match=words) as caught:
        fetch(job)
    assert "import it" in caught.value.hint or code == 407
    assert len(server.requests) == requests


def test_no_server(job: Download) -> None:
    job.url = "http://127.0.0.1:9/file"
    with pytest.raises(WeightsError, match=r"127\.0\.0\.1 cannot be reached") as caught:
        fetch(job)
    assert "proxy" in caught.value.hint


@pytest.mark.parametrize("where", ["slow", "silent"])
def test_a_cancel_is_answered_at_once(job: Download, server: Server, where: str) -> None:
    job.url = server.url(where)
    cancelled = threading.Event()
    timer = threading.Timer(0.5, cancelled.set)
    timer.start()
    job.watch = Watch(None, cancelled.is_set)
    begin = time.monotonic()
    with pytest.raises(CancelledError, match="What has arrived is kept"):
        fetch(job)
    assert time.monotonic() - begin < 5
    assert not job.target.exists()
    if where == "slow":
        assert 0 < job.part.stat().st_size < len(CONTENT)


def test_a_full_disk_is_an_error_before_the_download(
    job: Download, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = SimpleNamespace(free=1_000_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage)
    with pytest.raises(OutputError, match="1 MB are free"):
        fetch(job)
    assert "weights.pt.part" not in names(job)


def test_the_proxy_is_used_except_for_excluded_hosts(job: Download, server: Server) -> None:
    proxy = {"http": server.url("").rstrip("/")}
    job.url = "http://models.invalid/file"
    job.network = Network(proxy)
    fetch(job)  # a proxy gets the whole URL; this one reads only its path
    assert server.requests[0][1]["Host"] == "models.invalid"
    job.target.unlink()
    for excluded in ("other.example, MODELS.invalid", ".invalid", "models.invalid:80", "*"):
        job.url = "http://models.invalid:80/file"
        job.network = Network(proxy, excluded)
        with pytest.raises(WeightsError, match="cannot be reached"):
            fetch(job)
    job.network = Network(proxy, "els.invalid,,other.models.invalid")
    fetch(job)
    job.network = Network({"http": "socks5h://127.0.0.1:1080"})
    with pytest.raises(WeightsError, match="SOCKS"):
        fetch(job)


def test_a_missing_file_of_certificates(job: Download, tmp_path: Path) -> None:
    job.network = Network(certificates=str(tmp_path / "none.pem"))
    with pytest.raises(WeightsError, match="certificates"):
        fetch(job)


def test_https_with_a_certificate_of_ones_own(job: Download, tmp_path: Path) -> None:
    program = shutil.which("openssl")
    if program is None:
        pytest.skip("no openssl to make a certificate with")
    folder = tmp_path / "tls"
    folder.mkdir()
    key, certificate = folder / "key.pem", folder / "certificate.pem"
    subprocess.run(
        [
            program,
            "req",
            "-x509",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-days",
            "2",
            "-subj",
            "/CN=127.0.0.1",
            "-addext",
            "subjectAltName=IP:127.0.0.1",
            "-keyout",
            key,
            "-out",
            certificate,
        ],
        check=True,
        capture_output=True,
    )
    both = folder / "both.pem"
    both.write_text(key.read_text() + certificate.read_text())
    with running(both) as server:
        job.url = server.url("file")
        with pytest.raises(WeightsError, match=r"certificate of 127\.0\.0\.1 is not trusted"):
            fetch(job)
        job.network = Network(certificates=str(certificate))
        fetch(job)
    assert job.target.read_bytes() == CONTENT
