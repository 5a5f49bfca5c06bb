"""Progress bars that tell of slow work also while its first step goes on."""

from __future__ import annotations

import threading
import weakref
from typing import Any

from tqdm import tqdm

from simlib.output import error_stream

PATIENCE = 2.0
"""Seconds that work may take before it shows a bar."""

_TICK = 1.0
"""Seconds after which the time on a terminal is brought up to date."""

_TICK_ELSEWHERE = 30.0
"""Seconds likewise in a file or a notebook, where each state of a bar stays."""


class Bar(tqdm):
    """A bar of tqdm that appears, and goes on counting seconds, without waiting for the end of a step.

    It is written to the standard error, and where that cannot be written it is not shown.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        self._ended, self._ticked = threading.Event(), False
        super().__init__(*args, **{"file": error_stream(), **options})
        if not self.disable:
            work = (weakref.ref(self), self._ended, self.delay or _TICK)
            threading.Thread(target=_keep_alive, args=work, daemon=True).start()

    def close(self) -> None:
        """Take the bar away, or leave its last state."""
        self._ended.set()
        if self._ticked:
            # tqdm would not clear what it did not show itself.
            self.last_print_t = max(self.last_print_t, self.start_t + self.delay)
        super().close()

    def tick(self) -> float:
        """Show the time that has passed; return the seconds until that is due again."""
        with self.get_lock():
            if not self._ended.is_set():
                self.refresh(nolock=True)
                self._ticked = True
        return _TICK if self.fp.isatty() else _TICK_ELSEWHERE


def _keep_alive(bar: weakref.ref[Bar], ended: threading.Event, wait: float) -> None:
    while not ended.wait(wait):
        # Not held while this waits: a bar that nobody closes goes with its last reader.
        if (shown := bar()) is None or shown.disable:
            return
        wait = shown.tick()
        del shown
