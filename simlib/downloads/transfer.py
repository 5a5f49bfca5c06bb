"""Downloading a file until it is whole, once, however many ask for it."""

from __future__ import annotations

import errno
import os
import shutil
import time
from pathlib import Path
from urllib.parse import urlsplit

from tqdm import tqdm

from simlib.downloads.lock import one_at_a_time
from simlib.downloads.order import Order
from simlib.downloads.server import Answer, RefusedError, TransientError, UnreachableError, ask
from simlib.errors import DownloadError, OutputError

_PAUSES = (1.0, 2.0, 4.0, 8.0)
"""Seconds to wait before each further attempt after a dropped connection."""


def download(
    url: str,
    target: Path,
    *,
    title: str,
    sha256: str = "",
    size: int | None = None,
    progress: bool = True,
) -> Path:
    """Download a file, verify it, and only then give it its name.

    A dropped connection is taken up again a few times, and by the next call; a host that is silent for
    20 seconds is given up. Of several processes that want the same file one downloads it, the others wait.

    Args:
        url: where it is; http or https, and so is every redirect.
        target: where to put it; its folder is made.
        title: what it is, for the progress bar and for errors.
        sha256: its SHA-256 in hexadecimal, or the head of it; empty if none is known.
        size: its size in bytes; None if it is not known, then the server has to say it.
        progress: show a progress bar.

    Returns:
        The target; nothing is downloaded if it is there and is what was asked for.

    Raises:
        DownloadError: if the file cannot be had, or is another one.
        OutputError: if it cannot be written here; what has arrived is kept.
    """
    order = Order(url, target, title, sha256, size)
    if urlsplit(url).scheme not in ("http", "https"):
        raise order.refusal("its address must start with http:// or https://")
    try:
        if not target.is_file():
            target.parent.mkdir(parents=True, exist_ok=True)
            with one_at_a_time(order.beside("lock"), order.title, progress):
                if not target.is_file():
                    _obtain(order, progress)
                    return target
        difference = order.difference(target)
    except OSError as error:
        raise OutputError(
            f"{title} cannot be saved as {target}: {error}. Check that the folder may be written to and has "
            "room, then try again: the download goes on where it stopped."
        ) from error
    if difference:
        raise DownloadError(f"{target} is there, but is not {title}: {difference}. Delete it and try again.")
    return target


def _obtain(order: Order, progress: bool) -> None:
    """Receive the file, verify it and name it; start anew once if it was pieced together and is wrong."""
    in_pieces = _receive_all(order, progress)
    difference = order.difference(order.part)
    if difference and in_pieces:
        order.begin()
        _receive_all(order, progress)
        difference = order.difference(order.part)
    if difference:
        order.begin()
        raise order.refusal(f"what came is another file, {difference}")
    os.replace(order.part, order.target)
    order.begin()


def _receive_all(order: Order, progress: bool) -> bool:
    """Ask until everything has arrived; say whether it came in several pieces."""
    in_pieces = order.arrived() > 0
    for pause in (*_PAUSES, None):
        try:
            _receive(order, progress)
            break
        except RefusedError as error:
            raise order.refusal(str(error)) from error
        except TransientError as error:
            hopeless = isinstance(error, UnreachableError) and not in_pieces
            if pause is None or hopeless:
                raise order.refusal(str(error)) from error
        in_pieces = True
        time.sleep(pause)
    return in_pieces


def _receive(order: Order, progress: bool) -> None:
    """Ask once for what is still missing, and append what comes."""
    arrived = order.arrived()
    with ask(order.url, arrived, order.version) as answer:
        if answer.start == 0:
            order.begin(answer.version)
        elif not arrived:
            raise RefusedError("the answer is not the whole file")
        elif answer.start != arrived or answer.version not in ("", order.version):
            order.begin()
            raise TransientError("the server's file has changed meanwhile")
        expected = order.size if answer.total is None else answer.total
        if expected is None:
            raise RefusedError("the server does not say how long it is")
        if order.size not in (None, expected):
            order.begin()
            raise RefusedError(f"the server's file has {expected} bytes, expected are {order.size}")
        _append(order, answer, expected, progress)


def _append(order: Order, answer: Answer, expected: int, progress: bool) -> None:
    """Append what the server sends to what has arrived; stop at once beyond what is expected."""
    arrived = answer.start or 0
    room = shutil.disk_usage(order.target.parent).free
    if room < expected - arrived:
        raise OSError(errno.ENOSPC, f"{expected - arrived} bytes are missing, there is room for {room}")
    bar = tqdm(
        desc=order.title,
        total=expected,
        initial=arrived,
        unit="B",
        unit_scale=True,
        disable=not progress,
    )
    with order.part.open("ab") as stream, bar:
        while arrived <= expected and (piece := answer.read()):
            stream.write(piece)
            arrived += len(piece)
            bar.update(len(piece))
        stream.flush()
        os.fsync(stream.fileno())
    if arrived > expected:
        order.begin()
        raise RefusedError(f"more than the expected {expected} bytes came")
    if arrived < expected:
        raise TransientError(f"the connection broke off after {arrived} of {expected} bytes")
