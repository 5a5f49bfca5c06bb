"""Standard output and error of the command, which stop nothing."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from typing import TextIO, cast

from simlib.output import Output


@contextlib.contextmanager
def tolerant() -> Iterator[Output]:
    """Replace standard output and error by an :class:`Output` each; yield the first."""
    _open_handles()
    with contextlib.ExitStack() as stack:
        # Python has no stream for what was closed before it started.
        out, err = (
            Output(stream or stack.enter_context(open(os.devnull, "w", encoding="utf-8")))
            for stream in (sys.stdout, sys.stderr)
        )
        stack.callback(err.flush)
        stack.enter_context(contextlib.redirect_stdout(cast(TextIO, out)))
        stack.enter_context(contextlib.redirect_stderr(cast(TextIO, err)))
        try:
            yield out
        finally:
            out.flush()


def _open_handles() -> None:
    """Open what was closed before the start, or the next file would be taken for the standard output."""
    for handle in range(3):
        try:
            os.fstat(handle)
        except OSError:
            # The lowest that is free is the one that was closed.
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
