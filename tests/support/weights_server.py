# SPDX-License-Identifier: GPL-3.0-or-later
"""A local HTTP server that misbehaves on demand."""

from __future__ import annotations

import contextlib
import hashlib
import http.server
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Optional
from urllib.parse import urlsplit

from changescribe.engine.weights.catalogue import OPEN_CLIP, Entry

CONTENT = b"".join(hashlib.sha256(bytes([n % 256, n // 256])).digest() for n in range(9000))
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class Server(http.server.ThreadingHTTPServer):
    """Serves CONTENT; the first part of the URL's path selects the behaviour."""

    daemon_threads = True

    def __init__(self, certificate: Optional[Path] = None) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.scheme = "http"
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            self.socket = context.wrap_socket(self.socket, server_side=True)
            self.scheme = "https"
        self.requests: list[tuple[str, dict[str, str]]] = []
        #: For each coming request to /file, the number of bytes before the connection ends.
        self.breaks: list[int] = []
        self.etag = '"one"'
        self.release = threading.Event()

    def url(self, path: str) -> str:
        return f"{self.scheme}://127.0.0.1:{self.server_address[1]}/{path}"

    @property
    def ranges(self) -> list[str]:
        return [headers.get("Range", "") for _, headers in self.requests]

    def handle_error(self, request: object, client_address: object) -> None:
        """Stay silent: the tests disconnect on purpose."""


class _Handler(http.server.BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        # Clients of a proxy send the whole URL.
        where = urlsplit(self.path).path.strip("/").split("/")[0]
        self.server.requests.append((where, dict(self.headers)))
        # A file name may follow, as in the catalogue's URLs.
        getattr(self, f"_{where.replace('-', '_')}")()

    def _file(self) -> None:
        start = self._start()
        if start >= len(CONTENT):
            self.send_error(416)
            return
        stop = self.server.breaks.pop(0) if self.server.breaks else len(CONTENT)
        self._head(start)
        self.wfile.write(CONTENT[start : start + stop])

    def _start(self) -> int:
        wanted = self.headers.get("Range")
        if not wanted or self.headers.get("If-Range", self.server.etag) != self.server.etag:
            return 0
        return int(wanted.removeprefix("bytes=").rstrip("-"))

    def _head(self, start: int, etag: bool = True) -> None:
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(CONTENT) - 1}/{len(CONTENT)}")
        self.send_header("Content-Length", str(len(CONTENT) - start))
        if etag:
            self.send_header("ETag", self.server.etag)
        self.end_headers()

    def _ignores_range(self) -> None:
        self._head(0)
        stop = self.server.breaks.pop(0) if self.server.breaks else len(CONTENT)
        self.wfile.write(CONTENT[:stop])

    def _unasked_range(self) -> None:
        self.send_response(206)
        self.send_header("Content-Range", f"bytes 5-{len(CONTENT) - 1}/{len(CONTENT)}")
        self.end_headers()
        self.wfile.write(CONTENT[5:])

    def _wrong(self) -> None:
        self._head(0)
        self.wfile.write(CONTENT[:-1] + b"x")

    def _short(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "10")
        self.end_headers()
        self.wfile.write(CONTENT[:10])

    def _no_length(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(CONTENT)

    def _endless(self) -> None:
        self.send_response(200)
        self.end_headers()
        with contextlib.suppress(OSError):
            while not self.server.release.is_set():
                self.wfile.write(CONTENT)

    def _redirect(self) -> None:
        self.send_response(302)
        self.send_header("Location", self.server.url("file/weights.pt"))
        self.end_headers()

    def _off_the_web(self) -> None:
        self.send_response(302)
        self.send_header("Location", "ftp://127.0.0.1/weights.pt")
        self.end_headers()

    def _error(self) -> None:
        self.send_error(int(self.path.strip("/").split("/")[1]))

    def _slow(self) -> None:
        self._head(0)
        for start in range(0, len(CONTENT), 1000):
            self.wfile.write(CONTENT[start : start + 1000])
            self.wfile.flush()
            if self.server.release.wait(0.05):
                return

    def _silent(self) -> None:
        self.server.release.wait(30)

    def log_message(self, *_: object) -> None:
        """Stay silent."""


@contextlib.contextmanager
def running(certificate: Optional[Path] = None) -> Iterator[Server]:
    """Run a server for a block; with a file of certificate and key, over https."""
    server = Server(certificate)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        server.release.set()
        server.shutdown()
        thread.join()
        server.server_close()


def make_entry(server: Server, where: str = "file", **changes: object) -> Entry:
    """Return a catalogue entry for the server's file, over http for tests only."""
    values: dict = {
        "id": "small-clip",
        "title": "Small CLIP",
        "file": "weights.pt",
        "format": OPEN_CLIP,
        "architecture": "ViT-B-32",
        "url": server.url(f"{where}/weights.pt"),
        "revision": "1",
        "size": len(CONTENT),
        "sha256": SHA256,
        "terms": "For tests.",
    }
    return Entry(**{**values, **changes})
