"""What figures of a benchmark share: a menu over them, a legend under them, intervals, marks."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import plotly.graph_objects as go

from simlib.benchmark.statistics import Share
from simlib.report.benchmark import named
from simlib.report.figures import COLORS

SYMBOLS = ("circle", "diamond", "square", "triangle-up", "x", "cross", "star")
"""One for each colour: colour alone tells nothing to some readers, and to none on paper."""

MOST_SERIES = len(COLORS)
"""Series of one figure that can be told apart."""

LEGEND: dict[str, Any] = {"yref": "container", "y": 0.01, "yanchor": "bottom", "traceorder": "normal"}
"""A legend under a figure, where no menu covers it."""

_LETTERS = 16
"""Length of the lines of a long name."""

_MENU, _GAP = 38, 10
"""Pixels for a menu over a figure, and between a menu and what is under it."""

_Shown = TypeVar("_Shown")

Choices = Mapping[str, _Shown] | Mapping[tuple[str, str], _Shown]
"""What a menu chooses among, by its labels; or two menus, by all pairs of theirs."""


def with_menus(
    figure: go.Figure,
    traces: Mapping[Any, Sequence[Any]],
    changing: Sequence[str],
    layouts: Mapping[Any, Mapping[str, Any]] | None = None,
) -> go.Figure:
    """Add traces to a figure, and menus that exchange them for others, which need no server.

    With pairs of labels there are two menus, each of which keeps what was chosen in the other. A menu with
    one label only is left out.

    Args:
        figure: without traces.
        traces: as many for each choice, by label or pair of labels, of which there must be all; those of the
            first are shown at first.
        changing: the attributes in which the traces of one choice differ from those of another.
        layouts: how the layout changes with a choice, by single labels only.
    """
    by_pair = {("", key) if isinstance(key, str) else key: each for key, each in traces.items()}
    uppers, lowers = (list(dict.fromkeys(key[place] for key in by_pair)) for place in (0, 1))
    # The upper menu chooses among traces that are all there, the lower one changes what all of them hold.
    for upper in uppers:
        for trace in by_pair[upper, lowers[0]]:
            figure.add_trace(trace)
            figure.update_traces({"visible": upper == uppers[0]}, selector=-1)
    sizes = {upper: len(by_pair[upper, lowers[0]]) for upper in uppers}
    shown = {
        upper: {"visible": [upper == other for other in uppers for _ in range(sizes[other])]}
        for upper in uppers
    }
    held = {
        lower: {
            name: [_value(trace, name) for upper in uppers for trace in by_pair[upper, lower]]
            for name in changing
        }
        for lower in lowers
    }
    menus = [
        [
            {"label": label, "method": "update", "args": [change, dict((layouts or {}).get(label, {}))]}
            for label, change in each.items()
        ]
        for each in (held, shown)
        if len(each) > 1
    ]
    return figure.update_layout(
        updatemenus=[_menu(buttons, place) for place, buttons in enumerate(menus)],
        margin={"t": _GAP + len(menus) * _MENU} if menus else None,
    )


def _menu(buttons: list[dict[str, Any]], place: int) -> dict[str, Any]:
    """Describe a menu over a figure, the lowest of them at place 0.

    It ends where the figure does: a long one reaches over the names at the side, and not out of the page.
    """
    corner = {"x": 1, "xanchor": "right", "y": 1, "yanchor": "bottom", "pad": {"b": _GAP + place * _MENU}}
    return {"buttons": buttons, "font": {"size": 11}, **corner}


def _value(trace: Any, name: str) -> list[Any]:
    """Return what a trace holds in an attribute that is a list."""
    value = trace[name]
    return [] if value is None else list(value)


def folded(name: str) -> str:
    """Break a long name into lines, so that it leaves room for a figure on a narrow page."""
    return "<br>".join(textwrap.wrap(name, _LETTERS))


def in_lines(rate: Share) -> str:
    """Say what hovering tells of a rate, in lines that a narrow page has room for."""
    return str(rate).replace(" (", "<br>").replace(", n", "<br>n").removesuffix(")")


def whiskers(rates: Sequence[Share]) -> dict[str, Any]:
    """Describe the intervals of rates as the error bars of a trace."""
    return {
        "type": "data",
        "array": [rate.high - rate.value for rate in rates],
        "arrayminus": [rate.value - rate.low for rate in rates],
        "thickness": 1.2,
        "width": 3,
    }


def titles_of(names: Sequence[str]) -> list[str]:
    """Return how metrics are written, by their names."""
    return [named(name).title for name in names]
