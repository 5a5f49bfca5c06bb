"""One process fetches, the others wait for what it brings."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout
from tqdm import tqdm


@contextlib.contextmanager
def one_at_a_time(path: Path, title: str, progress: bool) -> Iterator[None]:
    """Wait while another process does the same; nothing is left of the lock afterwards.

    Args:
        path: the file that serves as the lock.
        title: what is fetched, for the line that says why nothing happens.
        progress: say that line.
    """
    lock = FileLock(path)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        if progress:
            tqdm.write(f"{title}: another process is fetching it, waiting", file=sys.stderr)
        lock.acquire()
    try:
        yield
    finally:
        # Removed while it is held: filelock (3.25 and later) sees that a lock which it waited for is gone.
        with contextlib.suppress(OSError):
            path.unlink()
        lock.release()
