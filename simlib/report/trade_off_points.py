"""A figure of accuracy against robustness, in which every point has its label."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple, get_args

import plotly.graph_objects as go

from simlib import metrics
from simlib.benchmark.rates import TradeOff
from simlib.benchmark.statistics import Rate
from simlib.errors import InputError, SimlibError
from simlib.metrics.metric import Family
from simlib.report.benchmark import named, titles_of
from simlib.report.menus import Choices, options, with_menus
from simlib.report.style import COLORS, LEGEND, SYMBOLS, in_lines, whiskers

_Box = tuple[float, float, float, float]
"""The left, lower, right and upper end of a box, in shares of the figure."""

_FRAME: _Box = (-0.05, -0.05, 1.4, 1.08)
"""What a figure shows: the interval of accuracies and of robustness, and room for labels around."""

_NEAR = 0.015
"""Distance below which two points of a figure lie together, in shares of the figure."""


def trade_off_points(choices: Choices[Sequence[TradeOff]], *, y_title: str) -> go.Figure:
    """Draw metrics by accuracy and robustness, with both 95 % intervals, and menus over them.

    Metrics without one of the two are left out. Those of one family share colour and symbol.

    Args:
        choices: metrics by the label in a menu, or by all pairs of labels for two; the first is shown first.
        y_title: what robustness is.

    Raises:
        InputError: if there is no choice.
    """
    if not choices:
        raise InputError("There is nothing to draw. Give at least one list of metrics.")
    across = {"title": "accurate before the attack", **_accuracies(choices)}
    along = {"title": y_title, "tickformat": ".0%", "range": [_FRAME[1], _FRAME[3]]}
    layout = {
        "xaxis": across,
        "yaxis": along,
        "legend": LEGEND,
        "height": 580,
        "meta": {"alt": _alt(choices)},
    }
    figure = go.Figure(layout=layout)
    intervals = [f"error_{axis}.{end}" for axis in "xy" for end in ("array", "arrayminus")]
    traces = {key: _by_family(points) for key, points in choices.items()}
    return with_menus(figure, traces, ("x", "y", "text", "textposition", "customdata", *intervals))


def _alt(choices: Choices[Sequence[TradeOff]]) -> str:
    """Tell the points that are shown first."""
    told = (
        f"{named(point.metric).title} accurate {point.accuracy.value:.0%}, "
        f"not flipped {point.robust.value:.0%}"
        for point in next(iter(choices.values()))
        if point.accuracy and point.robust
    )
    menus = options(choices)
    return f"Points with intervals both ways, and menus with {menus}. Under the first: {'; '.join(told)}."


class _Point(NamedTuple):
    """A metric that has both an accuracy and a robustness."""

    metric: str
    accuracy: Rate
    robust: Rate

    def __str__(self) -> str:
        accurate, robust = in_lines(self.accuracy), in_lines(self.robust)
        return f"{named(self.metric).title}<br>accurate {accurate}<br>not flipped {robust}"


def _by_family(points: Sequence[TradeOff]) -> list[go.Scatter]:
    """Draw the metrics of each family that have both an accuracy and a robustness."""
    pairs = ((each.metric, each.accuracy, each.robust) for each in points)
    shown = [_Point(name, accuracy, robust) for name, accuracy, robust in pairs if accuracy and robust]
    labels, traces = _labels(shown), []
    for family, color, symbol in zip(get_args(Family), COLORS, SYMBOLS, strict=False):
        members = [point for point in shown if _family_of(point.metric) == family]
        trace = go.Scatter(
            x=[point.accuracy.value for point in members],
            y=[point.robust.value for point in members],
            name=family,
            mode="markers+text",
            text=[labels[point.metric].text for point in members],
            textposition=[labels[point.metric].side for point in members],
            textfont={"size": 11},
            marker={"color": color, "symbol": symbol, "size": 9},
            error_x={**whiskers([point.accuracy for point in members]), "color": color},
            error_y={**whiskers([point.robust for point in members]), "color": color},
            customdata=list(map(str, members)),
            hovertemplate="%{customdata}<extra></extra>",
        )
        traces.append(trace)
    return traces


def _family_of(name: str) -> str:
    try:
        return metrics.spec_of(name).family
    except SimlibError:  # results of other people may hold metrics of theirs
        return "custom"


def _accuracies(choices: Choices[Sequence[TradeOff]]) -> dict[str, Any]:
    """Describe an axis that holds all intervals of accuracy, and room for labels beyond 100 %."""
    rates = [point.accuracy for points in choices.values() for point in points if point.accuracy]
    low, high = _span(rates)
    # A narrow page has room for six numbers.
    step = next(each for each in (0.01, 0.02, 0.05, 0.1, 0.2) if (high - low) / each <= 6)
    first, last = math.ceil(low / step), math.floor(high / step)
    return {
        "tickvals": [round(number * step, 2) for number in range(first, last + 1)],
        "tickformat": ".0%",
        "range": [low + _FRAME[0] * (high - low), low + _FRAME[2] * (high - low)],
    }


def _span(rates: Sequence[Rate]) -> tuple[float, float]:
    """Return where the lowest interval begins and the highest ends."""
    return min((rate.low for rate in rates), default=0.0), max((rate.high for rate in rates), default=1.0)


class _Label(NamedTuple):
    """What stands beside a point, and on which side."""

    text: str
    side: str


def _labels(points: Sequence[_Point]) -> dict[str, _Label]:
    """Choose labels for points: one for all that lie together, each where it is clearest of the others.

    Places are shares of the figure; a letter takes about an eightieth of its width, a line a thirtieth of its
    height: near enough to decide by.
    """
    low, high = _span([point.accuracy for point in points])
    width = high - low or 1.0
    places = {point.metric: ((point.accuracy.value - low) / width, point.robust.value) for point in points}
    together: dict[str, list[str]] = {}
    for name, (x, y) in places.items():
        near = [each for each in together if max(abs(x - places[each][0]), abs(y - places[each][1])) < _NEAR]
        together.setdefault(near[0] if near else name, []).append(name)
    taken = [(x - _NEAR, y - _NEAR, x + _NEAR, y + _NEAR) for x, y in places.values()]
    found = {name: _Label("", "top center") for name in places}
    for name, members in together.items():
        titles = titles_of(members)
        boxes = _boxes(*places[name], max(map(len, titles)) / 80, len(titles) / 30)
        covered = {
            side: _outside(box) + sum(_overlap(box, other) for other in taken) for side, box in boxes.items()
        }
        side = min(boxes, key=covered.__getitem__)
        taken.append(boxes[side])
        found[name] = _Label("<br>".join(titles), side)
    return found


def _boxes(x: float, y: float, width: float, height: float) -> dict[str, _Box]:
    """Return the box of a label of this size on each side of a point, the best ones to read first."""
    across = {"right": (x + _NEAR, x + _NEAR + width), "left": (x - _NEAR - width, x - _NEAR)}
    along = {"top": (y + _NEAR, y + _NEAR + height), "bottom": (y - _NEAR - height, y - _NEAR)}
    across["center"], along["middle"] = (x - width / 2, x + width / 2), (y - height / 2, y + height / 2)
    sides = ["middle right", "middle left", "top center", "bottom center"]
    sides += ["top right", "bottom right", "top left", "bottom left"]
    pairs = {side: (along[side.split()[0]], across[side.split()[1]]) for side in sides}
    return {side: (left, low, right, high) for side, ((low, high), (left, right)) in pairs.items()}


def _outside(box: _Box) -> float:
    """Return the area of a box that the figure has no room for."""
    left, low, right, high = box
    return (right - left) * (high - low) - _overlap(box, _FRAME)


def _overlap(one: _Box, other: _Box) -> float:
    """Return the area that two boxes share."""
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    return max(width, 0) * max(height, 0)
