# SPDX-License-Identifier: GPL-3.0-or-later
"""Downloads one file whose SHA-256 is known: resumes, verifies, fails closed.

The bytes go to ``NAME.part`` beside the final name, with ``NAME.part.json`` that
says which version of the file they belong to. Only after size and SHA-256 are
right is the file renamed; if they are wrong, what has arrived is deleted.
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

#: A server that says nothing for so long is given up, in seconds.
TIMEOUT_S = 20.0
#: Attempts in a row that bring nothing new before the download is given up.
ATTEMPTS = 3
_PAUSE_S = 1.0
_POLL_S = 0.1
_BLOCK = 1 << 18
_BLOCKS_AHEAD = 16
_CANCELLED = "Cancelled; what has arrived is kept, and the next download goes on from there."
_BY_HAND = "download the file in a browser and import it"


@dataclass(frozen=True)
class Network:
    """How the network is reached; the default is what the environment says.

    Attributes:
        proxies: scheme (``"http"``, ``"https"``) -> URL of a proxy; None is the environment's.
        excluded: hosts that go without proxy, separated by commas.
        certificates: file of trusted certificates (PEM); None is the system's.
    """

    proxies: Optional[dict[str, str]] = None
    excluded: str = ""
    certificates: Optional[str] = None


@dataclass
class Download:
    """One file to fetch.

    Attributes:
        url: http or https.
        target: final path, in an existing folder.
        sha256: of the whole file.
        size: in bytes, or None where it is not known.
        network: how the network is reached.
        watch: who is told, and who may stop it.
    """

    url: str
    target: Path
    sha256: str
    size: Optional[int] = None
    network: Network = field(default_factory=Network)
    watch: files.Watch = field(default_factory=files.Watch)

    @property
    def part(self) -> Path:
        """Where the bytes go until they are verified."""
        return self.target.with_name(f"{self.target.name}.part")

    @property
    def note(self) -> Path:
        """What is known of :attr:`part`."""
        return self.target.with_name(f"{self.target.name}.part.json")

    @property
    def host(self) -> str:
        """For messages."""
        return urlsplit(self.url).hostname or self.url


def fetch(job: Download) -> None:
    """Download a file, or what is missing of it, and give it its final name once verified.

    Raises:
        WeightsError: the server cannot be reached or does not have the file, the connection
            breaks off again and again, or the file is not the one that is known.
        OutputError: the disk is full or the folder cannot be written.
        CancelledError: the user does not want to go on; what has arrived is kept.
    """
    try:
        _transfer_all(job)
        _verify(job)
    except CancelledError:
        raise CancelledError(_CANCELLED) from None
    try:
        os.replace(job.part, job.target)
    except OSError as error:
        raise could_not_write(job.target, error) from error
    job.note.unlink(missing_ok=True)


def _transfer_all(job: Download) -> None:
    """Try until all is there; an attempt that brings something new does not count."""
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
                raise _given_up(job, broken) from broken.reason
        end = time.monotonic() + _PAUSE_S
        while time.monotonic() < end:
            job.watch.step("trying again", _arrived(job), job.size)
            time.sleep(_POLL_S)


class _BrokenOffError(Exception):
    """The connection ended too early."""

    def __init__(self, reason: Exception, total: Optional[int]) -> None:
        super().__init__(str(reason))
        self.reason = reason
        self.total = total


def _given_up(job: Download, broken: _BrokenOffError) -> WeightsError:
    hint = f"Try again later: it goes on from there. Or {_BY_HAND}."
    details = f"{job.url}\n{broken.reason!r}"
    if isinstance(broken.reason, urllib.error.HTTPError):
        message = f"{job.host} cannot give the file at the moment (HTTP {broken.reason.code})."
        return WeightsError(message, hint, details)
    return WeightsError(
        f"The download from {job.host} broke off at {megabytes(_arrived(job))} of "
        f"{megabytes(broken.total)}.",
        hint,
        details,
    )


def _arrived(job: Download) -> int:
    return job.part.stat().st_size if job.part.exists() else 0


def _transfer(job: Download, opener: urllib.request.OpenerDirector) -> None:
    """Make one request and write what it brings."""
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
    """Return where the answer's bytes begin in the file, and the size of the whole file."""
    if response.status == http.HTTPStatus.PARTIAL_CONTENT:
        span, _, whole = response.headers.get("Content-Range", "").rpartition("/")
        if not span.startswith(f"bytes {start}-"):
            _forget(job)
            raise _BrokenOffError(OSError(f"unasked range {span!r}"), job.size)
        total = int(whole) if whole.isdigit() else None
    else:  # the whole file: the server ignores ranges, or has another version by now
        start = 0
        length = response.headers.get("Content-Length", "")
        total = int(length) if length.isdigit() else None
    if job.size is not None and total is not None and total != job.size:
        _forget(job)
        raise WeightsError(
            f"The file at {job.host} is not the one that is known: it has {total} bytes, "
            f"expected are {job.size}.",
            f"Update ChangeScribe, or get the file from elsewhere: {_BY_HAND}.",
        )
    total = total if total is not None else job.size
    files.check_room(job.target.parent, (total or 0) - start)
    return start, total


def _write(job: Download, source: _Source, start: int, total: Optional[int]) -> None:
    done = start
    name = job.target.name
    try:
        with job.part.open("r+b" if start else "wb") as stream:
            stream.seek(start)
            stream.truncate()
            for block in source.blocks(job):
                stream.write(block)
                done += len(block)
                job.watch.step(f"downloading {name}", done, total)
    except OSError as error:
        raise could_not_write(job.target, error) from error
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
        f"The file from {job.host} is not the one that is known; it was deleted.",
        f"Try again later, or get it from elsewhere: {_BY_HAND}.",
        f"{job.url}\nSHA-256 {found}, expected {job.sha256}\n{size} bytes, expected {job.size}",
    )


def _forget(job: Download) -> None:
    job.part.unlink(missing_ok=True)
    job.note.unlink(missing_ok=True)


def _validator(job: Download) -> Optional[str]:
    """Return what says that a server's file is still the one of the part; "" if none did.

    None where the part belongs to something else. Without a validator it may still be gone on
    with, since the SHA-256 of the whole file decides in the end.
    """
    try:
        known = json.loads(job.note.read_text(encoding="utf-8"))
        same = known["url"] == job.url and known["sha256"] == job.sha256
        return str(known["validator"]) if same else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _write_note(job: Download, response: http.client.HTTPResponse) -> None:
    etag = response.headers.get("ETag", "")
    # A weak tag does not promise the same bytes.
    validator = response.headers.get("Last-Modified", "") if etag.startswith("W/") else etag
    content = {"url": job.url, "sha256": job.sha256, "validator": validator}
    try:
        job.note.write_text(json.dumps(content), encoding="utf-8")
    except OSError as error:
        raise could_not_write(job.target, error) from error


class _Source:
    """Reads an answer in a thread of its own, so that a stalled server cannot delay a cancel."""

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
        """Return the answer's head."""
        answer = self._next(job, 0)
        if isinstance(answer, Exception):
            raise _explained(job, answer)
        return answer

    def blocks(self, job: Download) -> Iterator[bytes]:
        """Yield the answer's bytes; where they end too early, :attr:`error` says why."""
        while block := self._next(job, _arrived(job)):
            if isinstance(block, Exception):
                self.error = block
                return
            yield block

    def close(self) -> None:
        """Let the thread end, which it does at the latest when the server is given up."""
        self._closed.set()

    def _next(self, job: Download, done: int) -> Any:
        while True:
            try:
                return self._queue.get(timeout=_POLL_S)
            except queue.Empty:
                job.watch.step(f"waiting for {job.host}", done, job.size)

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
        except Exception as error:  # noqa: BLE001 - handed to the thread that waits for it
            self._put(error)


def _explained(job: Download, error: Exception) -> Exception:
    """Turn what went wrong before the first byte into words."""
    if isinstance(error, urllib.error.HTTPError):
        return _explained_status(job, error)
    reason = getattr(error, "reason", error)
    details = f"{job.url}\n{error!r}"
    if isinstance(reason, ssl.SSLCertVerificationError):
        return WeightsError(
            f"The certificate of {job.host} is not trusted here.",
            "Add your organisation's certificate in QGIS (Settings, Options, Authentication), "
            f"or {_BY_HAND}.",
            details,
        )
    if isinstance(error, WeightsError):
        return error
    return WeightsError(
        f"{job.host} cannot be reached.",
        f"Check the network and the proxy settings; or on another machine, {_BY_HAND}.",
        details,
    )


def _explained_status(job: Download, error: urllib.error.HTTPError) -> Exception:
    code = error.code
    if code == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
        _forget(job)  # the part is no beginning of the server's file: from the start
        return _BrokenOffError(error, job.size)
    if code >= http.HTTPStatus.INTERNAL_SERVER_ERROR or code in (
        http.HTTPStatus.REQUEST_TIMEOUT,
        http.HTTPStatus.TOO_MANY_REQUESTS,
    ):
        return _BrokenOffError(error, job.size)
    details = f"{job.url}\nHTTP {code} {error.reason}"
    if code == http.HTTPStatus.PROXY_AUTHENTICATION_REQUIRED:
        return WeightsError(
            "The proxy asks for a user name and a password.", "Give them to QGIS.", details
        )
    if code in (http.HTTPStatus.UNAUTHORIZED, http.HTTPStatus.FORBIDDEN):
        return WeightsError(
            f"{job.host} does not give the file to everyone (HTTP {code}).",
            f"Accept its terms there if it asks for that, {_BY_HAND}.",
            details,
        )
    return WeightsError(
        f"{job.host} no longer has the file (HTTP {code}).",
        f"Update ChangeScribe, or get it from elsewhere: {_BY_HAND}.",
        details,
    )


class _Proxy(urllib.request.ProxyHandler):
    """A proxy with a list of hosts that go without it."""

    def __init__(self, network: Network) -> None:
        self._excluded = network.excluded
        super().__init__(network.proxies)

    def proxy_open(self, req: urllib.request.Request, proxy: str, type: str) -> Any:  # noqa: A002
        """Use the proxy, or None for a host that goes without."""
        bypass = urllib.request.proxy_bypass_environment
        if self._excluded and bypass(req.host, {"no": self._excluded}):
            return None
        if proxy.lower().startswith("socks"):
            raise WeightsError(
                "Downloads cannot use a SOCKS proxy.", f"Set an HTTP proxy, or {_BY_HAND}."
            )
        return super().proxy_open(req, proxy, type)


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows redirections, but never from https to http."""

    def redirect_request(
        self, req: urllib.request.Request, fp: Any, code: int, msg: str, headers: Any, newurl: str
    ) -> Optional[urllib.request.Request]:
        """Return the next request.

        Raises:
            WeightsError: it would go on without encryption, or to something that is not http.
        """
        schemes = ("https",) if urlsplit(req.full_url).scheme == "https" else ("http", "https")
        if urlsplit(newurl).scheme not in schemes:
            raise WeightsError(
                f"{req.host} leads to an address that is not safe.", "", f"{code} {newurl}"
            )
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _opener(job: Download) -> urllib.request.OpenerDirector:
    """Return what opens URLs of this job; only http and https."""
    if urlsplit(job.url).scheme not in ("http", "https"):
        raise WeightsError(f'"{job.url}" is not an address on the web.')
    try:
        context = ssl.create_default_context(cafile=job.network.certificates)
    except (OSError, ssl.SSLError) as error:
        raise WeightsError(
            "The file of trusted certificates cannot be read.", "", str(error)
        ) from error
    return urllib.request.build_opener(
        _Proxy(job.network), _Redirects(), urllib.request.HTTPSHandler(context=context)
    )
