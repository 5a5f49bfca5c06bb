"""Processes that this one starts: they import nothing from the caller's folder, and end with this one."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence

import psutil

_GRACE = 5.0
"""Seconds that a process has to end when it is asked to; then it is killed."""


def python(*arguments: str) -> list[str]:
    """Return a command for this very Python, where a ``random.py`` in the caller's folder is no module."""
    return [sys.executable, "-P", *arguments]


def bound(code: str, *arguments: str) -> list[str]:
    """Return a command that runs some code in this very Python, and ends with the process that starts it."""
    return python("-c", f"from {__name__} import end_with_parent; end_with_parent(); {code}", *arguments)


def end_with_parent() -> None:
    """Let this process end when its standard input does: whoever started it is gone, however that came."""

    def wait() -> None:
        while os.read(0, 1024):
            pass
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


class Children:
    """Processes with all that they have started; when the block ends, none of them runs any more."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: list[subprocess.Popen[str]] = []
        self.ended = False

    def __enter__(self) -> Children:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    @contextlib.contextmanager
    def started(
        self, command: Sequence[str], environment: Mapping[str, str], *, in_terminal: bool = False
    ) -> Iterator[subprocess.Popen[str]]:
        """Start a process, and wait for its end.

        Args:
            command: see :func:`python`.
            environment: all its environment variables.
            in_terminal: it speaks with a person, who may interrupt it. Else its standard input stays open and
                silent, and what it says is in the ``stdout`` of what is yielded.
        """
        pipe = None if in_terminal else subprocess.PIPE
        with self._lock:
            if self.ended:
                raise RuntimeError("all have ended, and no other is started")
            process = subprocess.Popen(
                command,
                env=environment,
                stdin=pipe,
                stdout=pipe,
                stderr=None if in_terminal else subprocess.STDOUT,
                text=True,
                errors="replace",
                # What a terminal sends reaches this process alone, which ends the others in order.
                start_new_session=not in_terminal,
            )
            self._running.append(process)
        with process:
            try:
                yield process
                process.wait()
            except BaseException:
                self.end()
                raise
        with self._lock:
            self._running.remove(process)

    def end(self) -> None:
        """End all that still run, with what they have started, and start no others."""
        with self._lock:
            self.ended = True
            running = list(self._running)
        below = [each for process in running for each in _below(process.pid)]
        for each in (*running, *below):
            with contextlib.suppress(psutil.Error, OSError):
                each.terminate()
        _, alive = psutil.wait_procs(below, timeout=_GRACE)
        for process in running:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(_GRACE)
        for each in (*running, *alive):
            with contextlib.suppress(psutil.Error, OSError):
                each.kill()


def _below(number: int) -> list[psutil.Process]:
    """Return what a process has started, and what that has: a kernel of Jupyter is in a group of its own."""
    try:
        return psutil.Process(number).children(recursive=True)
    except psutil.Error:
        return []
