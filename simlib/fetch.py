"""Files from the network: continued where they broke off, verified, and only then given their name."""

from __future__ import annotations

import contextlib
import errno
import functools
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import urljoin, urlsplit

import pooch
import requests
from urllib3.exceptions import HTTPError as TransportError

from simlib.errors import DownloadError, OutputError
from simlib.files import Lock, sha256_of
from simlib.output import error_stream
from simlib.progress import Bar

SILENCE_SECONDS = 20.0
"""How long a host may be silent before it is given up."""

PAUSES = (1.0, 2.0, 4.0, 8.0)
"""Seconds to wait before each further attempt after a connection broke off."""


def fetch(
    url: str, target: Path, *, title: str, sha256: str = "", size: int | None = None, progress: bool = True
) -> Path:
    """Download a file, verify it, and only then give it its name.

    After a broken connection the download continues where it stopped: a few times in this call, then in the
    next one. If several processes want the same file, one downloads it and the others wait.

    Nothing is downloaded if the target is there and is what was asked for.

    Args:
        url: where it is; http or https, and so is every redirect.
        target: where to put it; its folder is made.
        title: what it is, for the progress bar and for errors.
        sha256: its SHA-256 in hexadecimal, if it is known.
        size: its size in bytes; if it is None, the server has to say it.
        progress: show a progress bar.

    Raises:
        DownloadError: the file cannot be downloaded, or is another one.
        OutputError: it cannot be written here; what has arrived is kept.
    """
    bar = functools.partial(Bar, desc=title, unit="B", unit_scale=True, disable=not progress)
    try:
        if not url.lower().startswith(("http://", "https://")):
            raise DownloadError("its address must start with http:// or https://")
        if not target.is_file():
            with one_at_a_time(target.with_name(f".{target.name}.lock"), title, progress):
                _obtain(url, target, sha256, size, bar)
        elif sha256 and sha256_of(target) != sha256:
            raise DownloadError(f"another file of this name is there (not SHA-256 {sha256}). Delete it")
    except DownloadError as error:
        raise DownloadError(
            f"{title} could not be downloaded from {url}: {error}. Try again, or fetch the file by other "
            f"means and save it as {target}."
        ) from error
    except OutputError:
        raise
    except OSError as error:
        raise OutputError(
            f"{title} cannot be saved as {target}: {error}. Check that the folder may be written to and has "
            "room, then try again: the download continues where it stopped."
        ) from error
    return target


@contextlib.contextmanager
def one_at_a_time(path: Path, title: str, progress: bool) -> Iterator[None]:
    """Wait while another process, which holds the file ``path`` as a lock, fetches the same.

    A line says so, with the title, if progress is shown. An OutputError says that no lock can be there.
    """
    with Lock(path) as lock:
        if not lock.acquire(wait=False):
            if progress:
                Bar.write(f"{title}: another process is fetching it, waiting", file=error_stream())
            lock.acquire(wait=True)
        yield


def _obtain(url: str, target: Path, sha256: str, size: int | None, bar: Callable[..., Bar]) -> None:
    """Have pooch receive, verify and name an absent file; start anew once if its pieces do not fit."""
    pooch.get_logger().setLevel("WARNING")
    download = _Resuming(target.with_name(f".{target.name}.part"), size, bool(sha256), bar)
    for attempts_left in (1, 0):
        try:
            # pooch's type of downloaders names their parameters otherwise than its documentation.
            pooch.retrieve(url, sha256 or None, target.name, target.parent, downloader=download)  # pyright: ignore[reportArgumentType]
            return
        except ValueError as error:
            if not (attempts_left and download.first):
                raise DownloadError(f"what came is another file: {str(error).rstrip('.')}") from error


class _Resuming:
    """A downloader for pooch that asks only for the missing end of a file.

    What the server calls this version of the file is noted beside what has arrived. The last answer began
    with the byte ``first`` of the file.
    """

    def __init__(self, part: Path, size: int | None, verifiable: bool, bar: Callable[..., Bar]) -> None:
        self._part, self._note = part, part.with_suffix(".version")
        self._size, self._verifiable, self._bar = size, verifiable, bar

    def __call__(self, url: str, output_file: str, pooch: object) -> None:
        for pause in (*PAUSES, None):
            try:
                self._ask(url)
                break
            except requests.HTTPError as error:
                raise DownloadError(str(error)) from error
            except (requests.RequestException, ValueError) as error:
                # A host that has never sent any of the file is not asked again.
                if pause is None or not self._part.is_file():
                    raise DownloadError(_cause(error)) from error
            time.sleep(pause)
        self._part.replace(output_file)
        self._forget()

    def _ask(self, url: str) -> None:
        version = self._note.read_text("latin-1") if self._note.is_file() else ""
        usable = self._part.is_file() and (version or self._verifiable)
        # The last byte is asked for again: servers refuse to send nothing.
        self.first = max(self._part.stat().st_size - 1, 0) if usable else 0
        with _answer(url, self.first, version) as answer:
            # A part that is longer than the file is no error of the server.
            if not (self.first and answer.status_code == 416):
                answer.raise_for_status()
            first, length, new_version = _described(answer, self._size)
            if first and not self.first:
                raise DownloadError("the answer is not the whole file")
            if first and (first != self.first or new_version not in ("", version)):
                self._part.write_bytes(b"")
                raise requests.ConnectionError("the server's file has changed meanwhile")
            missing, room = length - first, shutil.disk_usage(self._part.parent).free
            if room < missing:
                raise OSError(errno.ENOSPC, f"{missing} bytes are missing, there is room for {room}")
            self.first = first
            with self._part.open("r+b" if first else "wb") as stream:
                if not first:
                    self._note.write_text(new_version, "latin-1")
                arrived = _append(answer, stream, first, length, self._bar)
        if arrived > length:
            self._forget()
            raise DownloadError(f"more than the expected {length} bytes came ({arrived} so far)")
        if arrived < length:
            raise requests.ConnectionError(f"the connection broke off after {arrived} of {length} bytes")

    def _forget(self) -> None:
        for path in (self._part, self._note):
            path.unlink(missing_ok=True)


def _answer(url: str, first: int, version: str) -> requests.Response:
    """Ask for a file from a byte on, or for all of it if it is no longer this version."""
    headers = {"User-Agent": "simlib", "Accept-Encoding": "identity"}
    headers |= {"Range": f"bytes={first}-"} if first else {}
    headers |= {"If-Range": version} if first and version else {}
    hooks = {"response": _validate_redirect}
    return requests.get(url, headers=headers, hooks=hooks, timeout=SILENCE_SECONDS, stream=True)


def _validate_redirect(answer: requests.Response, **_: Any) -> None:
    there = urljoin(answer.url, answer.headers.get("Location", ""))
    if answer.is_redirect and urlsplit(there).scheme not in ("https", urlsplit(answer.url).scheme):
        answer.close()
        raise DownloadError(f"a redirect to {there} is refused")


def _described(answer: requests.Response, size: int | None) -> tuple[int, int, str]:
    """Return which byte comes first (-1 if unknown), how long the file is, and what marks its version."""
    tag = answer.headers.get("ETag", "")
    # A weak ETag does not promise that every byte is the same.
    version = tag if tag.startswith('"') else answer.headers.get("Last-Modified", "")
    if answer.status_code == 200:
        first, length = 0, answer.headers.get("Content-Length", size)
    else:
        said = re.fullmatch(r"bytes (\d+)-\d+/(\d+)", answer.headers.get("Content-Range", ""))
        first, length = (int(said[1]), said[2]) if said else (-1, size or 0)
    if length is None:
        raise DownloadError("the server does not say how long it is")
    if size not in (None, int(length)):
        raise DownloadError(f"the server's file has {length} bytes, expected are {size}")
    return first, int(length), version


def _append(
    answer: requests.Response, stream: BinaryIO, first: int, length: int, bar: Callable[..., Bar]
) -> int:
    """Write what comes, and return how many bytes of the file are here."""
    arrived = stream.seek(first)
    with contextlib.suppress(TransportError), bar(total=length, initial=first) as shown:
        # Not decoded: the file is wanted as it is stored.
        for piece in answer.raw.stream(1 << 16, decode_content=False):
            arrived += stream.write(piece)
            shown.update(len(piece))
            if arrived > length:
                break
    stream.flush()
    os.fsync(stream.fileno())
    return arrived


def _cause(error: BaseException) -> str:
    """Say what happened, without the layers in which libraries wrap it."""
    inner = error.__cause__ or next((each for each in error.args if isinstance(each, BaseException)), None)
    return _cause(inner) if inner else str(error)
