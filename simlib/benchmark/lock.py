"""One process at a shard at a time."""

from __future__ import annotations

import contextlib
from pathlib import Path
from types import TracebackType

from filelock import FileLock, Timeout

from simlib.errors import OutputError


class Lock:
    """The right to compute a shard; the operating system takes it back when the process ends.

    Args:
        path: the file that serves as the lock; gone when it is released.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        # Engines may hand results to another thread than the one that claimed the shard.
        self._lock = FileLock(path, thread_local=False)

    def __enter__(self) -> Lock:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    def acquire(self, *, wait: bool) -> bool:
        """Take the lock; say whether it was free.

        Args:
            wait: until it is.

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
        """Let other processes at the shard."""
        if self._lock.is_locked:
            # Removed while it is held: filelock (3.25 and later) sees that what it waited for is gone.
            with contextlib.suppress(OSError):
                self._path.unlink()
            self._lock.release()
