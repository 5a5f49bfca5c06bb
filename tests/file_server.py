"""A web server on this machine that serves one file, and misbehaves on request."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True)
class Reply:
    """How one request is answered; well, unless told else.

    Attributes:
        status: the status instead of the file.
        location: where a redirect leads.
        ranges: whether it honours a Range.
        stop_at: the byte of the file before which the connection ends.
        reset: whether it then ends by a reset.
        silent: whether it then stays open, and silent.
        chunked: whether it sends chunks and announces no length.
        wait: seconds before the answer.
    """

    status: int = 200
    location: str = ""
    ranges: bool = True
    stop_at: int | None = None
    reset: bool = False
    silent: bool = False
    chunked: bool = False
    wait: float = 0.0


@dataclass
class FileServer:
    """What is served, what was asked, and how the next requests are answered.

    Attributes:
        body: the file.
        headers: what is told of it, such as its ETag.
        replies: used up in turn; afterwards every answer is good.
        asked: the headers of all requests so far.
    """

    url: str
    body: bytes
    headers: dict[str, str] = field(default_factory=lambda: {"ETag": '"1"'})
    replies: list[Reply] = field(default_factory=list)
    asked: list[dict[str, str]] = field(default_factory=list)
    over: threading.Event = field(default_factory=threading.Event)

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
        served.over.wait(reply.wait)
        with contextlib.suppress(ConnectionError):
            if reply.status == 200:
                self._send_file(served, reply)
            else:
                self.send_response(reply.status)
                self.send_header("Content-Length", "0")
                if reply.location:
                    self.send_header("Location", reply.location)
                self.end_headers()

    def _send_file(self, served: FileServer, reply: Reply) -> None:
        whole = len(served.body)
        start = self._start(served) if reply.ranges else 0
        if start >= whole > 0:
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{whole}")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        self.send_response(206 if start else 200)
        for name, value in served.headers.items():
            self.send_header(name, value)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{whole - 1}/{whole}")
        if reply.chunked:
            self.send_header("Transfer-Encoding", "chunked")
        else:
            self.send_header("Content-Length", str(whole - start))
        self.end_headers()
        body = served.body[start : reply.stop_at]
        self.wfile.write(b"%x\r\n%b\r\n" % (len(body), body) if reply.chunked else body)
        self.wfile.flush()
        if reply.silent:
            served.over.wait()
        if reply.chunked:
            self.wfile.write(b"0\r\n\r\n")
        if reply.reset:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()

    def _start(self, served: FileServer) -> int:
        expected = self.headers.get("If-Range")
        if expected not in (None, *served.headers.values()):
            return 0
        return int(self.headers.get("Range", "bytes=0-").removeprefix("bytes=").removesuffix("-"))

    def log_message(self, format: str, *args: Any) -> None:
        """Stay silent."""
