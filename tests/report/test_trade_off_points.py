"""Accuracy against robustness: every metric at its place, with both intervals, and a label one can read."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from simlib.benchmark.rates import TradeOff
from simlib.benchmark.statistics import wilson
from simlib.errors import InputError
from simlib.report.trade_off_points import trade_off_points

NAMES = ["l2", "ssim", "gmsd", "haarpsi", "mdsi", "lpips-alex"]


def drawn(points: list[TradeOff]) -> Any:
    return trade_off_points({"PGD": points}, y_title="robust")


def labels(figure: Any) -> dict[str, str]:
    pairs = (pair for trace in figure.data for pair in zip(trace.customdata, trace.text, strict=True))
    return {hover.split("<br>")[0]: text for hover, text in pairs}


def test_points_have_both_intervals_and_the_symbol_of_their_family() -> None:
    accuracy, robust = wilson(8, 10), wilson(3, 8)
    figure = drawn([TradeOff("l2", accuracy, robust), TradeOff("lpips-alex", wilson(9, 10), wilson(1, 9))])
    pixel = next(trace for trace in figure.data if trace.name == "pixel")
    assert (pixel.x[0], pixel.y[0]) == (0.8, 0.375)
    for value, bars, rate in ((pixel.x[0], pixel.error_x, accuracy), (pixel.y[0], pixel.error_y, robust)):
        assert value + bars.array[0] == pytest.approx(rate.high)
        assert value - bars.arrayminus[0] == pytest.approx(rate.low)
    learned = next(trace for trace in figure.data if trace.name == "learned")
    assert learned.customdata[0].startswith("LPIPS (Alex)")
    assert learned.marker.symbol != pixel.marker.symbol
    alt = figure.layout.meta["alt"]
    assert "L2 accurate 80%, not flipped 38%; LPIPS (Alex) accurate 90%, not flipped 11%." in alt


def test_the_menu_exchanges_places_labels_and_intervals() -> None:
    points = [TradeOff(name, wilson(k, 9), wilson(9 - k, 9)) for k, name in enumerate(NAMES, start=1)]
    choices = {"all": points, "some": points[:1] + points[-1:]}
    figure: Any = trade_off_points(choices, y_title="")
    (menu,) = figure.layout.updatemenus
    held, _ = menu.buttons[1].args
    for place, trace in enumerate(figure.data):
        for name, values in held.items():
            trace[name] = values[place]
    alone = drawn(choices["some"])
    for trace, expected in zip(figure.data, alone.data, strict=True):
        for name in held:
            assert list(trace[name] or ()) == list(expected[name] or ())
    assert labels(figure) == {"L2": "L2", "LPIPS (Alex)": "LPIPS (Alex)"}


def test_metrics_at_one_place_share_a_label_and_those_that_lack_a_rate_have_none() -> None:
    points = [TradeOff(name, wilson(10, 10), wilson(5, 10)) for name in NAMES[:3]]
    rate = wilson(5, 10)
    lacking = [TradeOff("haarpsi", None, rate), TradeOff("lpips-alex", rate, None)]
    found = labels(drawn([*points, *lacking, TradeOff("mdsi", rate, wilson(1, 5))]))
    assert found == {"L2": "L2<br>SSIM<br>GMSD", "SSIM": "", "GMSD": "", "MDSI": "MDSI"}


def test_labels_of_near_points_do_not_all_stand_on_one_side() -> None:
    # On a row, and nearer to each other than their names are long.
    names = ["lpips-alex", "lpips-squeeze", "lpips-vgg", "st-lpips-alex"]
    points = [TradeOff(name, wilson(190 + k, 200), wilson(50, 100)) for k, name in enumerate(names)]
    figure = drawn(points)
    sides = sorted(pair for trace in figure.data for pair in zip(trace.x, trace.textposition, strict=True))
    assert all(one != other for (_, one), (_, other) in itertools.pairwise(sides))


def test_accuracies_above_everything_are_not_on_the_axis_and_nothing_is_refused() -> None:
    axis = drawn([TradeOff("l2", wilson(20, 20), wilson(1, 2))]).layout.xaxis
    assert max(axis.tickvals) <= 1
    assert axis.range[0] < wilson(20, 20).low
    assert axis.range[1] > 1
    with pytest.raises(InputError, match="nothing to draw"):
        trade_off_points({}, y_title="")
