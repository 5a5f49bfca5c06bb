"""Files that are written whole or not at all, their hashes, and locks between processes."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import re
import uuid
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

from filelock import FileLock, Timeout

from simlib.errors import InputError, OutputError
from simlib.given import is_litter

_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS}


def why_not_written(told: str) -> str:
    """Return what another program in Python has told of a disk that takes no more; empty if nothing."""
    found = (match for match in re.finditer(r"\[Errno (\d+)\] [^:\n)]+", told))
    return next((match[0] for match in found if int(match[1]) in _NO_ROOM), "")


@contextlib.contextmanager
def written_whole(target: Path) -> Iterator[Path]:
    """Yield a temporary name to write to; only a finished file gets its own name, replacing a former one.

    Raises:
        OutputError: the file cannot be written; nothing is left of it.
    """
    temporary = target.with_name(f".{target.name}.{uuid.uuid4().hex}.part")
    try:
        yield temporary
        # A name must not survive a power cut that its content did not.
        _flush(temporary, os.O_RDWR)
        temporary.replace(target)
        # Not every system lets one ask for the names in a folder.
        with contextlib.suppress(OSError):
            _flush(target.parent, os.O_RDONLY)
    except OSError as error:
        raise OutputError(
            f"Cannot write {target}: {error}. Check that the folder exists, may be written to and has room."
        ) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file in hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


class Lock:
    """Work that only one process does at a time; the operating system frees the lock of a process that ends.

    The file that serves as the lock is gone when it is released; its folder is made.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        # The thread that releases the lock need not be the one that acquired it.
        self._lock = FileLock(path, thread_local=False)

    def __enter__(self) -> Lock:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    def acquire(self, *, wait: bool) -> bool:
        """Take the lock, or wait until it is free; say whether it was taken.

        Raises:
            OutputError: there can be no lock at this place.
        """
        try:
            self._lock.acquire(timeout=-1 if wait else 0)
        except Timeout:
            return False
        except (OSError, NotImplementedError) as error:
            raise OutputError(
                f"Cannot lock {self._path}: {error}. Give a place that may be written to and has room."
            ) from error
        return True

    def release(self) -> None:
        """Let other processes take it."""
        if self._lock.is_locked:
            # Removed while it is held: filelock (3.25 and later) sees that what it waited for is gone.
            with contextlib.suppress(OSError):
                self._path.unlink()
            self._lock.release()


def _flush(path: Path, flags: int) -> None:
    handle = os.open(path, flags)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def listed(folder: Path, prefix: str = "", suffix: str = "") -> list[Path]:
    """List the files of a folder whose names begin and end so, in order; none if there is no such folder.

    What systems and editors leave there is passed over, see :func:`simlib.given.is_litter`.

    Raises:
        InputError: the folder cannot be read.
    """
    # Path.glob takes a folder that may not be read for an empty one.
    try:
        names = os.listdir(folder)
    except FileNotFoundError:
        return []
    except OSError as error:
        raise InputError(f"The folder {folder} cannot be read: {error}. Correct that first.") from error
    ours = sorted(name for name in names if not is_litter(name))
    return [folder / name for name in ours if name.startswith(prefix) and name.endswith(suffix)]


def make_folder(path: Path) -> Path:
    """Make a folder, unless it is there; an OutputError says that it cannot be made."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"Cannot make the folder {path}: {error}. Give a place that may be written to and has room."
        ) from error
    return path
