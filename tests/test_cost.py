"""What a metric costs: that it is measured, and on what."""

from __future__ import annotations

from simlib.metrics.cost import measure_cost
from tests.support import any_weights


def test_cost_of_a_metric_is_positive_and_told_with_its_side() -> None:
    cost = measure_cost(any_weights("lpips-alex"))
    assert cost.side == 64
    assert cost.forward > 0
    assert cost.both is not None
    assert cost.both > 0
