"""A web server on this machine that serves one file, and misbehaves on request."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True)
class Reply:
    """How one request is answered; with a status other than 200, that is sent instead of the file."""

    status: int = 200
    location: str = ""  # where a redirect leads
    ranges: bool = True  # whether it honours a Range
    stop_at: int | None = None  # the byte of the file before which the connection ends
    reset: bool = False  # whether it then ends by a reset
    silent: bool = False  # whether it then stays open, and silent
    chunked: bool = False  # whether it sends chunks and announces no length
    before: Callable[[], object] = bool  # is called before the answer, and may take its time


@dataclass
class FileServer:
    """What is served, what was asked, and how the next requests are answered, until all answers are good."""

    url: str
    body: bytes
    headers: dict[str, str] = field(default_factory=lambda: {"ETag": '"1"'})
    replies: list[Reply] = field(default_factory=list)
    asked: list[dict[str, str]] = field(default_factory=list)  # the headers of all requests so far
    over: threading.Event = field(default_factory=threading.Event)  # set when the server ends

    def ranges(self) -> list[str | None]:
        """List the Range of every request so far."""
        return [headers.get("Range") for headers in self.asked]


@contextlib.contextmanager
def serving(body: bytes) -> Iterator[FileServer]:
    """Serve a file until the block ends."""
    with _Server(("127.0.0.1", 0), _Handler) as server:
        server.served = served = FileServer(f"http://127.0.0.1:{server.server_port}/file", body)
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        try:
            yield served
        finally:
            served.over.set()
            server.shutdown()


class _Server(ThreadingHTTPServer):
    served: FileServer


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        assert isinstance(self.server, _Server)
        served = self.server.served
        served.asked.append(dict(self.headers))
        reply = served.replies.pop(0) if served.replies else Reply()
        self.close_connection = True
        reply.before()
        with contextlib.suppress(ConnectionError):
            if reply.status != 200:
                self._send_headers(reply.status, {"Content-Length": "0", "Location": reply.location})
            else:
                self._send_file(served, reply)

    def _send_file(self, served: FileServer, reply: Reply) -> None:
        whole, start = len(served.body), self._start(served) if reply.ranges else 0
        if start >= whole > 0:
            return self._send_headers(416, {"Content-Length": "0"})
        headers = served.headers | {
            "Content-Range": f"bytes {start}-{whole - 1}/{whole}" if start else "",
            "Transfer-Encoding": "chunked" if reply.chunked else "",
            "Content-Length": "" if reply.chunked else str(whole - start),
        }
        self._send_headers(206 if start else 200, headers)
        body = served.body[start : reply.stop_at]
        for begin in range(0, len(body), 10_000):
            piece = body[begin : begin + 10_000]
            self.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece) if reply.chunked else piece)
        if reply.silent:
            served.over.wait()
        if reply.chunked:
            self.wfile.write(b"0\r\n\r\n")
        if reply.reset:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()

    def _send_headers(self, status: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            if value:
                self.send_header(name, value)
        self.end_headers()

    def _start(self, served: FileServer) -> int:
        if self.headers.get("If-Range") not in (None, *served.headers.values()):
            return 0
        return int(self.headers.get("Range", "bytes=0-").removeprefix("bytes=").removesuffix("-"))

    def log_message(self, format: str, *args: Any) -> None:
        """Stay silent."""
