"""What all figures share: colours, symbols, a legend, long names, intervals."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import Any

from simlib.benchmark.statistics import Share

COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#7F7F7F")
"""Okabe & Ito's palette, which readers with any colour vision can tell apart, on white and on black."""

SYMBOLS = ("circle", "diamond", "square", "triangle-up", "x", "cross", "star")
"""One for each colour: colour alone means nothing to some readers, and to none on paper."""

MOST_SERIES = len(COLORS)
"""Series of one figure that can be told apart."""

LEGEND: dict[str, Any] = {"yref": "container", "y": 0.01, "yanchor": "bottom", "traceorder": "normal"}
"""A legend under a figure, where no menu covers it."""


def folded(name: str) -> str:
    """Break a long name into lines, so that it leaves room for a figure on a narrow page."""
    loose = name.replace("+", "+ ").replace("_", " ")
    lines = (textwrap.wrap(part, 16, break_long_words=False) for part in loose.split("<br>"))
    return "<br>".join(line for part in lines for line in part).replace("+ ", "+")


def in_lines(rate: Share) -> str:
    """Say what hovering shows of a rate, in lines that a narrow page has room for."""
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
