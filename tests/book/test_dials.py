"""Dials of chapters that only read: what is not there is refused in a line."""

from __future__ import annotations

import pytest

from simlib.book.benchmark_chapter import BenchmarkChapter
from simlib.book.dials import DialError, checked


def test_measured_times_are_a_file_seen_from_the_notebooks() -> None:
    assert checked({"measured": "bench.json"}) == {"measured": "bench.json"}
    with pytest.raises(DialError, match=r"^measured is 'nowhere\.json', and there is no such file"):
        checked({"measured": "nowhere.json"})


def test_a_chapter_that_only_reads_computes_nothing() -> None:
    with pytest.raises(DialError, match=r"^store is empty"):
        BenchmarkChapter({"store": "", "plan": "smoke"})
    chapter = BenchmarkChapter({"store": "reference", "plan": "photos"})
    assert not chapter.results.computed
