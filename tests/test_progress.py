"""Bars: they are there while the first step goes on, and where nothing can be written they stop nothing."""

from __future__ import annotations

import io
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from simlib import progress
from simlib.output import Output
from simlib.progress import Bar


def wait_until(happened: Callable[[], bool]) -> None:
    until = time.monotonic() + 60
    while not happened():
        assert time.monotonic() < until
        time.sleep(0.01)


def test_a_bar_appears_while_the_first_step_goes_on_and_goes_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "_TICK_ELSEWHERE", 0.01)
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    with Bar(total=1, desc="slow", delay=0.01, leave=False):
        wait_until(lambda: stream.getvalue().count("slow:   0%") > 1)
    assert stream.getvalue().rpartition("\r")[0].rpartition("\r")[2].strip() == ""


def test_work_that_is_quick_shows_no_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    with Bar(total=1, delay=1000.0, leave=False) as bar:
        bar.update()
    assert sys.stderr.getvalue() == ""  # pyright: ignore[reportAttributeAccessIssue]


def test_without_a_standard_error_a_bar_stops_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", None)
    assert list(Bar(range(3), disable=None)) == [0, 1, 2]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no device that is full")
def test_on_a_full_disk_a_bar_stops_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    with Path("/dev/full").open("w") as full:
        monkeypatch.setattr(sys, "stderr", full)
        assert list(Bar(range(3))) == [0, 1, 2]


def test_all_bars_of_a_stream_give_way_to_a_line() -> None:
    stream = io.StringIO()
    assert Output(stream) == Output(stream) == stream
    assert Output(stream) != Output(io.StringIO())
    with Bar(total=1, desc="slow", file=Output(stream)):
        before = len(stream.getvalue())
        Bar.write("a line", file=Output(stream))
    assert "a line\n\rslow" in stream.getvalue()[before:]
