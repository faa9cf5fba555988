# SPDX-License-Identifier: GPL-3.0-or-later
"""Download one file of known SHA-256: resume, verify, and keep nothing that is wrong.

The bytes go to ``NAME.part`` beside the final name, and ``NAME.part.json`` records the version of
the file that they belong to. The file is renamed once its size and SHA-256 are verified; if they
are wrong it is deleted.
"""

from __future__ import annotations

import http.client
import json
import os
import queue
import ssl
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Optional
from urllib.parse import urlsplit

from ..errors import CancelledError, WeightsError
from ..writing import could_not_write
from . import files
from .catalogue import megabytes
from .texts import WeightsTexts

#: Seconds without an answer after which a connection is closed.
TIMEOUT_S = 20.0
#: Consecutive attempts without any new bytes before the download fails.
ATTEMPTS = 3
_PAUSE_S = 1.0
_POLL_S = 0.1
_BLOCK = 1 << 18
_BLOCKS_AHEAD = 16


@dataclass(frozen=True)
class Network:
    """Network settings; by default those of the environment.

    Attributes:
        proxies: URLs of proxies by scheme (``"http"``, ``"https"``); None for the environment's.
        excluded: hosts reached without a proxy, separated by commas.
        certificates: file of trusted certificates (PEM); None for the system's.
    """

    proxies: Optional[dict[str, str]] = None
    excluded: str = ""
    certificates: Optional[str] = None


@dataclass
class Download:
    """One file to download."""

    url: str
    target: Path
    sha256: str
    size: Optional[int] = None
    network: Network = field(default_factory=Network)
    watch: files.Watch = field(default_factory=files.Watch)

    @property
    def part(self) -> Path:
        """File of the bytes that are not verified yet."""
        return self.target.with_name(f"{self.target.name}.part")

    @property
    def note(self) -> Path:
        """File that records the version of :attr:`part`."""
        return self.target.with_name(f"{self.target.name}.part.json")

    @property
    def host(self) -> str:
        """Host name, for messages."""
        return urlsplit(self.url).hostname or self.url


def fetch(job: Download) -> None:
    """Download a file or the rest of it, verify it and give it its final name.

    Raises:
        WeightsError: the server cannot be reached or does not have the file, the connection
            breaks off repeatedly, or size or SHA-256 are wrong.
        OutputError: the disk is full or the folder is not writable.
        CancelledError: the user cancelled; what has arrived is kept.
    """
    try:
        _transfer_all(job)
        _verify(job)
    except CancelledError:
        raise CancelledError(WeightsTexts.download_cancelled()) from None
    try:
        os.replace(job.part, job.target)
    except OSError as error:
        raise could_not_write(job.target, error) from error
    job.note.unlink(missing_ok=True)


def _transfer_all(job: Download) -> None:
    """Download in as many attempts as it takes; only attempts without new bytes are counted."""
    opener = _opener(job)
    failures = 0
    while True:
        before = _arrived(job)
        try:
            _transfer(job, opener)
            return
        except _BrokenOffError as broken:
            failures = 0 if _arrived(job) > before else failures + 1
            if failures >= ATTEMPTS:
                raise _failure(job, broken) from broken.reason
        end = time.monotonic() + _PAUSE_S
        while time.monotonic() < end:
            job.watch.step(WeightsTexts.retrying(), _arrived(job), job.size)
            time.sleep(_POLL_S)


class _BrokenOffError(Exception):
    """The connection ended before the file did."""

    def __init__(self, reason: Exception, total: Optional[int]) -> None:
        super().__init__(str(reason))
        self.reason = reason
        self.total = total


def _failure(job: Download, broken: _BrokenOffError) -> WeightsError:
    if isinstance(broken.reason, urllib.error.HTTPError):
        message = WeightsTexts.server_busy(host=job.host, code=broken.reason.code)
    else:
        done, total = megabytes(_arrived(job)), megabytes(broken.total)
        message = WeightsTexts.broke_off(host=job.host, done=done, total=total)
    return WeightsError(message, details=f"{job.url}\n{broken.reason!r}")


def _arrived(job: Download) -> int:
    return job.part.stat().st_size if job.part.exists() else 0


def _transfer(job: Download, opener: urllib.request.OpenerDirector) -> None:
    """Send one request and write the answer."""
    validator = _validator(job)
    start = _arrived(job) if validator is not None else 0
    if job.size is not None and start == job.size:
        return
    headers = {"Accept-Encoding": "identity", "User-Agent": "ChangeScribe"}
    if start:
        headers["Range"] = f"bytes={start}-"
        if validator:
            headers["If-Range"] = validator
    request = urllib.request.Request(job.url, headers=headers)  # noqa: S310 - see _opener
    source = _Source(opener, request)
    try:
        response = source.open(job)
        start, total = _check(job, response, start)
        _write_note(job, response)
        _write(job, source, start, total)
    finally:
        source.close()


def _check(
    job: Download, response: http.client.HTTPResponse, start: int
) -> tuple[int, Optional[int]]:
    """Return the offset of the answer in the file, and the size of the whole file if known."""
    if response.status == http.HTTPStatus.PARTIAL_CONTENT:
        span, _, whole = response.headers.get("Content-Range", "").rpartition("/")
        if not span.startswith(f"bytes {start}-"):
            _forget(job)
            raise _BrokenOffError(OSError(f"unexpected range {span!r}"), job.size)
        total = int(whole) if whole.isdigit() else None
    else:  # the whole file: the server ignores ranges, or has a new version
        start = 0
        length = response.headers.get("Content-Length", "")
        total = int(length) if length.isdigit() else None
    if job.size is not None and total is not None and total != job.size:
        _forget(job)
        message = WeightsTexts.other_size(host=job.host, found=total, expected=job.size)
        raise WeightsError(message)
    total = total if total is not None else job.size
    files.check_room(job.target.parent, (total or 0) - start)
    return start, total


def _write(job: Download, source: _Source, start: int, total: Optional[int]) -> None:
    done = start
    text = WeightsTexts.downloading(file=job.target.name)
    try:
        with job.part.open("r+b" if start else "wb") as stream:
            stream.seek(start)
            stream.truncate()
            for block in source.blocks(job):
                done += len(block)
                if total is not None and done > total:
                    break
                stream.write(block)
                job.watch.step(text, done, total)
    except OSError as error:
        raise could_not_write(job.target, error) from error
    if total is not None and done > total:
        _forget(job)
        raise WeightsError(WeightsTexts.too_long(host=job.host, expected=total))
    if source.error is not None or (total is not None and done < total):
        reason = source.error or EOFError("the connection ended early")
        raise _BrokenOffError(reason, total)


def _verify(job: Download) -> None:
    size = _arrived(job)
    found = files.sha256_of(job.part, job.watch)
    if found == job.sha256 and job.size in (None, size):
        return
    _forget(job)
    raise WeightsError(
        WeightsTexts.other_hash(host=job.host),
        details=f"{job.url}\nSHA-256 {found}, expected {job.sha256}\n"
        f"{size} bytes, expected {job.size}",
    )


def _forget(job: Download) -> None:
    job.part.unlink(missing_ok=True)
    job.note.unlink(missing_ok=True)


def _validator(job: Download) -> Optional[str]:
    """Return the HTTP validator (ETag or date) recorded for the part.

    Returns:
        "" if the server gave none: the part is resumed all the same, since the SHA-256 of the
        whole file is checked in the end. None if the part belongs to another file.
    """
    try:
        known = json.loads(job.note.read_text(encoding="utf-8"))
        same = known["url"] == job.url and known["sha256"] == job.sha256
        return str(known["validator"]) if same else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _write_note(job: Download, response: http.client.HTTPResponse) -> None:
    etag = response.headers.get("ETag", "")
    # A weak ETag does not guarantee identical bytes.
    validator = response.headers.get("Last-Modified", "") if etag.startswith("W/") else etag
    content = {"url": job.url, "sha256": job.sha256, "validator": validator}
    try:
        job.note.write_text(json.dumps(content), encoding="utf-8")
    except OSError as error:
        raise could_not_write(job.target, error) from error


class _Source:
    """Reads an answer in a thread, so that the user can cancel while a server stalls."""

    def __init__(
        self, opener: urllib.request.OpenerDirector, request: urllib.request.Request
    ) -> None:
        self.error: Optional[Exception] = None
        self._opener, self._request = opener, request
        self._queue: queue.Queue[Any] = queue.Queue(_BLOCKS_AHEAD)
        self._closed = threading.Event()
        thread = threading.Thread(target=self._run, name="changescribe-download", daemon=True)
        thread.start()

    def open(self, job: Download) -> http.client.HTTPResponse:
        """Return the response once its headers have arrived."""
        answer = self._next(job, 0)
        if isinstance(answer, Exception):
            raise _explained(job, answer)
        return answer

    def blocks(self, job: Download) -> Iterator[bytes]:
        """Yield the body in blocks; :attr:`error` is set if it ends too early."""
        while block := self._next(job, _arrived(job)):
            if isinstance(block, Exception):
                self.error = block
                return
            yield block

    def close(self) -> None:
        """Let the thread end, after :data:`TIMEOUT_S` at the latest."""
        self._closed.set()

    def _next(self, job: Download, done: int) -> Any:
        while True:
            try:
                return self._queue.get(timeout=_POLL_S)
            except queue.Empty:
                job.watch.step(WeightsTexts.waiting(host=job.host), done, job.size)

    def _put(self, item: Any) -> bool:
        while not self._closed.is_set():
            try:
                self._queue.put(item, timeout=_POLL_S)
            except queue.Full:
                continue
            return True
        return False

    def _run(self) -> None:
        try:
            with self._opener.open(self._request, timeout=TIMEOUT_S) as response:
                more = self._put(response)
                while more:
                    block = response.read1(_BLOCK)
                    more = self._put(block) and bool(block)
        except Exception as error:  # noqa: BLE001 - passed to the waiting thread
            self._put(error)


def _explained(job: Download, error: Exception) -> Exception:
    """Return the error to raise for a failure before the first byte."""
    if isinstance(error, urllib.error.HTTPError):
        return _explained_status(job, error)
    reason = getattr(error, "reason", error)
    details = f"{job.url}\n{error!r}"
    if isinstance(reason, ssl.SSLCertVerificationError):
        return WeightsError(WeightsTexts.untrusted(host=job.host), details=details)
    if isinstance(error, WeightsError):
        return error
    return WeightsError(WeightsTexts.unreachable(host=job.host), details=details)


def _explained_status(job: Download, error: urllib.error.HTTPError) -> Exception:
    code = error.code
    if code == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
        _forget(job)  # the part is longer than the server's file
        return _BrokenOffError(error, job.size)
    if code >= http.HTTPStatus.INTERNAL_SERVER_ERROR or code in (
        http.HTTPStatus.REQUEST_TIMEOUT,
        http.HTTPStatus.TOO_MANY_REQUESTS,
    ):
        return _BrokenOffError(error, job.size)
    details = f"{job.url}\nHTTP {code} {error.reason}"
    if code == http.HTTPStatus.PROXY_AUTHENTICATION_REQUIRED:
        message = WeightsTexts.proxy_login()
    elif code in (http.HTTPStatus.UNAUTHORIZED, http.HTTPStatus.FORBIDDEN):
        message = WeightsTexts.forbidden(host=job.host, code=code)
    else:
        message = WeightsTexts.gone(host=job.host, code=code)
    return WeightsError(message, details=details)


class _Proxy(urllib.request.ProxyHandler):
    """A proxy, with hosts that are reached without it."""

    def __init__(self, network: Network) -> None:
        names = (name.strip().lstrip(".").lower() for name in network.excluded.split(","))
        self._excluded = [name for name in names if name]
        super().__init__(network.proxies)

    def proxy_open(self, req: urllib.request.Request, proxy: str, type: str) -> Any:  # noqa: A002
        """Send a request through the proxy; return None for an excluded host."""
        if self._excludes(req.host):
            return None
        if proxy.lower().startswith("socks"):
            raise WeightsError(WeightsTexts.socks())
        return super().proxy_open(req, proxy, type)

    def _excludes(self, host: str) -> bool:
        """Return whether a host, with or without port, or a parent domain of it is excluded."""
        names = (host.lower(), host.lower().rpartition(":")[0])
        return "*" in self._excluded or any(
            name == excluded or name.endswith(f".{excluded}")
            for name in names
            for excluded in self._excluded
        )


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows redirects, but never from https to http."""

    def redirect_request(
        self, req: urllib.request.Request, fp: Any, code: int, msg: str, headers: Any, newurl: str
    ) -> Optional[urllib.request.Request]:
        """Return the next request."""
        schemes = ("https",) if urlsplit(req.full_url).scheme == "https" else ("http", "https")
        if urlsplit(newurl).scheme not in schemes:
            message = WeightsTexts.unsafe_redirect(host=req.host)
            raise WeightsError(message, details=f"{code} {newurl}")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _opener(job: Download) -> urllib.request.OpenerDirector:
    """Return an opener for http and https with the job's network settings."""
    if urlsplit(job.url).scheme not in ("http", "https"):
        raise WeightsError(WeightsTexts.not_http(url=job.url))
    try:
        context = ssl.create_default_context(cafile=job.network.certificates)
    except (OSError, ssl.SSLError) as error:
        raise WeightsError(WeightsTexts.bad_certificates(), details=str(error)) from error
    return urllib.request.build_opener(
        _Proxy(job.network), _Redirects(), urllib.request.HTTPSHandler(context=context)
    )
