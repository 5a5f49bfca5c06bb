"""One question to a web server, and its answer."""

from __future__ import annotations

import contextlib
import http.client
import re
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO
from urllib.parse import urlsplit

SILENCE_SECONDS = 20.0
_PIECE = 1 << 18


class TransientError(Exception):
    """Not everything came; asking again may help."""


class UnreachableError(TransientError):
    """There was no answer at all."""


class RefusedError(Exception):
    """The server refuses; asking again does not help."""


@dataclass(frozen=True)
class Answer:
    """What a server says of a file, and the connection over which it sends it.

    Attributes:
        start: the byte of the file that comes first; None if the server does not say it.
        total: the length of the file in bytes; None if the server does not say it.
        version: what the server calls this version of the file; empty if it says nothing.
        response: what is read from; None if nothing is left to read.
    """

    start: int | None
    total: int | None
    version: str
    response: http.client.HTTPResponse | None

    def read(self) -> bytes:
        """Return the next bytes, none at the end.

        Raises:
            TransientError: if the connection broke off, or was silent for too long.
        """
        try:
            return self.response.read1(_PIECE) if self.response else b""
        except (OSError, http.client.HTTPException) as error:
            raise TransientError(f"the connection broke off: {error}") from error


@contextlib.contextmanager
def ask(url: str, start: int, version: str) -> Iterator[Answer]:
    """Ask for a file from a byte on, or for all of it if it is no longer this version.

    Args:
        url: where it is; http or https, and so is every redirect.
        start: the first byte that is wanted.
        version: what the server called the version that is wanted; empty for any.

    Yields:
        The answer, which need not be what was asked for.

    Raises:
        UnreachableError: if there is no answer.
        RefusedError: if the answer is an error, or a redirect that is not followed.
    """
    headers = {"User-Agent": "simlib"}
    if start:
        headers["Range"] = f"bytes={start}-"
    if start and version:
        headers["If-Range"] = version
    with _open(urllib.request.Request(url, headers=headers)) as response:
        first, total = _span(response)
        tag = response.headers.get("ETag", "")
        # A weak ETag does not speak for every byte.
        version = tag if tag.startswith('"') else response.headers.get("Last-Modified", "")
        body = response if isinstance(response, http.client.HTTPResponse) else None
        yield Answer(first, total, version, body)


def _open(request: urllib.request.Request) -> http.client.HTTPResponse | urllib.error.HTTPError:
    try:
        return urllib.request.build_opener(_WebOnly()).open(request, timeout=SILENCE_SECONDS)
    except urllib.error.HTTPError as error:
        if error.code == http.client.REQUESTED_RANGE_NOT_SATISFIABLE:
            return error
        with error:
            raise RefusedError(str(error)) from error
    except (OSError, http.client.HTTPException) as error:
        raise UnreachableError(str(getattr(error, "reason", error))) from error


def _span(response: http.client.HTTPResponse | urllib.error.HTTPError) -> tuple[int | None, int | None]:
    """Return which byte of the file comes first, and the length of the file."""
    if isinstance(response, http.client.HTTPResponse) and response.status == http.client.OK:
        return 0, response.length
    said = re.fullmatch(r"bytes (?:(\d+)-\d+|\*)/(\d+)", response.headers.get("Content-Range", ""))
    if not said:
        return None, None
    # An answer without bytes stands at the end of the file.
    return int(said[1] or said[2]), int(said[2])


class _WebOnly(urllib.request.HTTPRedirectHandler):
    """Follows redirects to web servers only, and from an encrypted connection to encrypted ones only."""

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: http.client.HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request | None:
        if urlsplit(newurl).scheme not in ("https", req.type):
            raise urllib.error.HTTPError(newurl, code, f"a redirect to {newurl} is refused", headers, fp)
        return super().redirect_request(req, fp, code, msg, headers, newurl)
