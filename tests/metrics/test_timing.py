"""The time that a metric takes: what is measured, and on what; and what is foreseen."""

from __future__ import annotations

import itertools
from typing import Any, cast

import pytest
import torch

from simlib.attacks.ranking import Ranking
from simlib.benchmark.agreement import distances
from simlib.errors import InputError
from simlib.metrics import timing
from simlib.metrics.timing import measure_time, seconds_a_megapixel
from tests.support import Watched, any_weights, random_triplets


def test_times_are_positive_and_come_with_the_side_of_the_images() -> None:
    timing = measure_time(any_weights("lpips-alex"))
    assert timing.side == 64 and timing.forward > 0
    assert timing.both is not None and timing.both > 0


def clock(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    """Let as much time pass between any two looks at the clock."""
    ticks = itertools.count()
    monkeypatch.setattr(timing.time, "perf_counter", lambda: seconds * next(ticks))


def test_the_time_of_a_large_pair_is_that_of_a_smaller_one_times_the_area(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock(monkeypatch, 0.5)
    watched = Watched()
    assert seconds_a_megapixel(watched) == pytest.approx(0.5 * 10**6 / 256**2)
    assert [tuple(images.shape) for images in watched.seen] == [(1, 3, 256, 256)] * 2


@pytest.mark.parametrize(
    ("seconds", "told"), [(0.5, "24 seconds"), (25.0, "20 minutes"), (500.0, "7 hours"), (0.1, "")]
)
def test_long_work_on_large_images_is_announced_once_before_it(
    seconds: float, told: str, monkeypatch: pytest.MonkeyPatch, recwarn: pytest.WarningsRecorder
) -> None:
    clock(monkeypatch, seconds)
    metric, triplets = Watched(), random_triplets(3, side=256)
    large = type(triplets)(
        *(torch.cat([images] * 2, dim=-1) for images in (triplets.ref, triplets.p0, triplets.p1)),
        judge=triplets.judge,
        names=triplets.names,
        photographs=triplets.photographs,
        distortions=triplets.distortions,
        label_source="constructed",
    )
    Ranking.look(metric, large)
    warned = [str(each.message) for each in recwarn]
    # A small pair, of 128 x 128, stands for each of six of 256 x 512.
    assert len(warned) == bool(told)
    assert all(f"L2 will take about {told} for 6 pairs of 512 x 256 pixels" in each for each in warned)
    assert [tuple(images.shape) for images in metric.seen[:2]] == [(1, 3, 128, 128)] * 2
    Ranking.look(metric, large)
    assert sum(len(images) == 1 for images in metric.seen) == 2, "the small pair is measured once"


def test_small_images_are_not_looked_at_before(monkeypatch: pytest.MonkeyPatch) -> None:
    clock(monkeypatch, 1000.0)
    metric = Watched()
    distances(metric, random_triplets(2, side=64))
    assert metric.sizes == [2, 2, 2]


def test_a_time_needs_a_metric_and_a_device() -> None:
    with pytest.raises(InputError, match=r"^metric is a MSELoss, .*from_callable"):
        measure_time(cast(Any, torch.nn.MSELoss()))
    with pytest.raises(InputError, match=r"^There is no device 'meta' here"):
        measure_time(any_weights("l2"), "meta")
