"""The time that a metric takes: what is measured, and on what."""

from __future__ import annotations

from simlib.metrics.timing import measure_time
from tests.support import any_weights


def test_times_are_positive_and_come_with_the_side_of_the_images() -> None:
    timing = measure_time(any_weights("lpips-alex"))
    assert timing.side == 64 and timing.forward > 0
    assert timing.both is not None and timing.both > 0
