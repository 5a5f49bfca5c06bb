"""A figure of accuracy against robustness, in which every point has its label."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, get_args

import plotly.graph_objects as go

from simlib import metrics
from simlib.benchmark.statistics import Rate
from simlib.benchmark.trade_off import TradeOff
from simlib.errors import InputError, UnknownNameError
from simlib.metrics.metric import Family
from simlib.report.benchmark import named
from simlib.report.figures import COLORS
from simlib.report.marks import LEGEND, SYMBOLS, Choices, in_lines, titles_of, whiskers, with_menus

_Box = tuple[float, float, float, float]
"""The left, lower, right and upper end of a box, in shares of the figure."""

_FRAME: _Box = (-0.05, -0.05, 1.4, 1.08)
"""What a figure shows: the interval of accuracies and of robustness, and room for labels around."""

_MOST_TICKS = 6
"""Numbers that an axis has room for on a narrow page."""

_NEAR = 0.015
"""Distance below which two points of a figure lie together, in shares of the figure."""


def trade_off_points(
    choices: Choices[Sequence[TradeOff]], *, x_title: str, y_title: str, alt: str
) -> go.Figure:
    """Draw metrics by accuracy and robustness, with both 95 % intervals, and menus over them.

    Metrics without one of the two are left out. Those of one family share colour and symbol.

    Args:
        choices: metrics by the label in a menu, or by pairs of labels for two menus, all of them; the first
            is shown at first.
        x_title: what accuracy is.
        y_title: what robustness is.
        alt: what a reader who does not see the figure should know.

    Raises:
        InputError: if there is no choice.
    """
    if not choices:
        raise InputError("There is nothing to draw. Give at least one list of metrics.")
    figure = go.Figure(
        layout={
            "xaxis": {"title": x_title, **_accuracies(choices)},
            "yaxis": {"title": y_title, "tickformat": ".0%", "range": [_FRAME[1], _FRAME[3]]},
            "legend": LEGEND,
            "height": 580,
            "meta": {"alt": alt},
        }
    )
    intervals = [f"error_{axis}.{end}" for axis in "xy" for end in ("array", "arrayminus")]
    return with_menus(
        figure,
        {key: _by_family(points) for key, points in choices.items()},
        ("x", "y", "text", "textposition", "customdata", *intervals),
    )


@dataclass(frozen=True)
class _Point:
    """A metric that has both an accuracy and a robustness."""

    metric: str
    accuracy: Rate
    robust: Rate


def _by_family(points: Sequence[TradeOff]) -> list[go.Scatter]:
    """Draw the metrics of each family that have both an accuracy and a robustness."""
    shown = [
        _Point(point.metric, point.accuracy, point.robust)
        for point in points
        if point.accuracy and point.robust
    ]
    labels, families = _labels(shown), get_args(Family)
    members = [[point for point in shown if _family_of(point.metric) == family] for family in families]
    return [
        _points(each, labels, *marks)
        for each, *marks in zip(members, families, COLORS, SYMBOLS, strict=False)
    ]


def _points(
    members: Sequence[_Point], labels: Mapping[str, _Label], family: str, color: str, symbol: str
) -> go.Scatter:
    return go.Scatter(
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
        customdata=[
            f"{named(point.metric).title}<br>accurate {in_lines(point.accuracy)}"
            f"<br>not flipped {in_lines(point.robust)}"
            for point in members
        ],
        hovertemplate="%{customdata}<extra></extra>",
    )


def _family_of(name: str) -> str:
    try:
        return metrics.spec_of(name).family
    except UnknownNameError:  # results of other people may hold metrics of theirs
        return "own"


def _accuracies(choices: Choices[Sequence[TradeOff]]) -> dict[str, Any]:
    """Describe an axis that holds all intervals of accuracy, and room for labels beyond 100 %."""
    rates = [point.accuracy for points in choices.values() for point in points if point.accuracy]
    low, high = (
        min((rate.low for rate in rates), default=0.0),
        max((rate.high for rate in rates), default=1.0),
    )
    step = next(each for each in (0.01, 0.02, 0.05, 0.1, 0.2) if (high - low) / each <= _MOST_TICKS)
    first, last = math.ceil(low / step), math.floor(high / step)
    return {
        "tickvals": [round(number * step, 2) for number in range(first, last + 1)],
        "tickformat": ".0%",
        "range": [low + _FRAME[0] * (high - low), low + _FRAME[2] * (high - low)],
    }


@dataclass(frozen=True)
class _Label:
    """What stands beside a point, and on which side."""

    text: str
    side: str


def _labels(points: Sequence[_Point]) -> dict[str, _Label]:
    """Choose labels for points: one for all that lie together, each where it is clearest of the others.

    Places are shares of the figure; a letter takes about an eightieth of its width, a line a thirtieth of its
    height: near enough to decide by.
    """
    low = min((point.accuracy.low for point in points), default=0.0)
    width = max((point.accuracy.high for point in points), default=1.0) - low or 1.0
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
        side = min(
            boxes,
            key=lambda each: _outside(boxes[each]) + sum(_overlap(boxes[each], other) for other in taken),
        )
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
