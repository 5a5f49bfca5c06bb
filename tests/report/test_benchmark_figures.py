"""Figures of rates and costs: what a reader would see is what was counted."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from simlib.benchmark.statistics import Rate, wilson
from simlib.errors import InputError
from simlib.report.benchmark_figures import cost_bars, rate_dots
from simlib.report.scale import Cost
from simlib.report.style import MOST_SERIES


def test_every_rate_is_a_mark_with_its_interval() -> None:
    rates = {"PGD": [wilson(1, 10), wilson(5, 10)], "stAdv": [None, Rate(9, 10, 0.3, 0.95, 4)]}
    figure: Any = rate_dots(["L2", "SSIM"], rates, x_title="flipped")
    first, second = figure.data
    assert list(first.x) == [0.1, 0.5]
    assert list(second.x) == [0.9]
    for trace, row in zip(figure.data, rates.values(), strict=True):
        there = [rate for rate in row if rate]
        assert np.add(trace.x, trace.error_x.array) == pytest.approx([rate.high for rate in there])
        assert np.subtract(trace.x, trace.error_x.arrayminus) == pytest.approx([rate.low for rate in there])
    assert "n = 10 from 4 photographs" in second.customdata[0]
    assert second.customdata[0].startswith("SSIM, stAdv")
    assert "PGD: L2 10%, SSIM 50%; stAdv: SSIM 90%" in figure.layout.meta["alt"]


def test_series_differ_by_more_than_colour_and_too_many_are_refused() -> None:
    series = {str(number): [wilson(1, 2)] for number in range(MOST_SERIES)}
    figure: Any = rate_dots(["x"], series, x_title="")
    assert len({trace.marker.symbol for trace in figure.data}) == MOST_SERIES
    with pytest.raises(InputError, match="too many"):
        rate_dots(["x"], series | {"one more": [wilson(1, 2)]}, x_title="")


def test_costs_are_drawn_in_core_seconds() -> None:
    costs = [Cost("white-box", "l2", "PGD", 0.25), Cost("white-box", "ssim", "PGD", 0.5)]
    judging = Cost("", "", "", 9.0)
    figure: Any = cost_bars([*costs, Cost("transfer", "l2", "stAdv", 1.0), judging], threads=4)
    drawn = {(trace.name, name): x for trace in figure.data for name, x in zip(trace.y, trace.x, strict=True)}
    assert drawn == {("white-box", "L2"): 1.0, ("white-box", "SSIM"): 2.0, ("transfer", "L2"): 4.0}
    assert figure.layout.barmode == "stack"
    assert list(figure.layout.yaxis.categoryarray) == ["SSIM", "L2"]
    assert "The longest is stAdv on L2, 4; all attacks together take 7." in figure.layout.meta["alt"]
