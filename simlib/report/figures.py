"""Figures of rates, as plotly objects that carry their own alternative text.

In all of them, ``alt`` is what a reader who does not see the figure should know; without one, the figure
tells its own values.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import plotly.graph_objects as go

from simlib.benchmark.statistics import Rate, Share
from simlib.report.style import COLORS, folded, whiskers


def curves_with_bands(
    x: Sequence[float], series: Mapping[str, Sequence[Rate]], *, x_title: str, y_title: str, alt: str = ""
) -> go.Figure:
    """Draw rates against a variable, each curve with its 95 % band; hovering shows n and the interval."""
    figure = go.Figure()
    for color, (name, rates) in zip(COLORS, series.items(), strict=False):
        red, green, blue = (int(color[start : start + 2], 16) for start in (1, 3, 5))
        figure.add_scatter(
            x=[*x, *reversed(x)],
            y=[*(rate.high for rate in rates), *(rate.low for rate in reversed(rates))],
            mode="lines",
            fill="toself",
            fillcolor=f"rgba({red},{green},{blue},0.18)",
            line={"width": 0},
            hoverinfo="skip",
            showlegend=False,
        )
        figure.add_scatter(
            x=list(x),
            y=[rate.value for rate in rates],
            name=name,
            mode="lines",
            line={"color": color, "width": 2.5},
            customdata=list(map(str, rates)),
            hovertemplate=f"{name}, {x_title} %{{x}}<br>%{{customdata}}<extra></extra>",
        )
    y_axis = {"title": y_title, "tickformat": ".0%", "range": [0, 1]}
    ends = "; ".join(
        f"{name} {rates[0].value:.0%} to {rates[-1].value:.0%}" for name, rates in series.items()
    )
    alt = alt or f"Curves of the share {y_title} against {x_title}, from {x[0]:g} to {x[-1]:g}: {ends}."
    return figure.update_layout(xaxis_title=x_title, yaxis=y_axis, height=420, meta={"alt": alt})


def rate_bars(names: Sequence[str], series: Mapping[str, Sequence[Rate]], *, y_title: str) -> go.Figure:
    """Draw a bar with its 95 % interval for each name and series; hovering shows n and the interval."""
    figure = go.Figure()
    for color, (label, rates) in zip(COLORS, series.items(), strict=False):
        figure.add_bar(
            x=[folded(name) for name in names],
            y=[rate.value for rate in rates],
            name=label,
            marker_color=color,
            error_y=whiskers(rates),
            customdata=list(map(str, rates)),
            hovertemplate="%{x}, " + label + "<br>%{customdata}<extra></extra>",
        )
    y_axis = {"title": y_title, "tickformat": ".0%", "rangemode": "tozero"}
    alt = f"Bars of the share {y_title}. {described(names, series)}."
    return figure.update_layout(yaxis=y_axis, barmode="group", height=420, meta={"alt": alt})


def described(names: Sequence[str], series: Mapping[str, Sequence[Share | None]]) -> str:
    """Tell the values of a figure in words, series by series, for its alternative text."""
    told = (
        f"{label}: "
        + ", ".join(f"{name} {each.value:.0%}" for name, each in zip(names, row, strict=True) if each)
        for label, row in series.items()
    )
    return "; ".join(told)


def add_published(figure: go.Figure, x: Sequence[object], y: Sequence[float], *, of: str = "") -> go.Figure:
    """Add published shares to a figure of rates, as open marks; ``of`` says of what, such as ", BAPPS"."""
    return figure.add_scatter(
        x=list(x),
        y=list(y),
        mode="markers",
        name=f"published{of}",
        marker={"size": 10, "symbol": "diamond-open", "color": "#7F7F7F", "line": {"width": 2}},
        hovertemplate="published, %{x}: %{y:.1%}<extra></extra>",
    )


def rate_matrix(names: Sequence[str], rates: Sequence[Sequence[Share | None]], *, alt: str) -> go.Figure:
    """Draw a matrix of rates between pairs of names; None is left blank.

    The cells of a large matrix hold no text, for want of room; hovering shows n and the interval.
    """
    roomy = len(names) <= 12
    figure = go.Figure(
        go.Heatmap(
            x=list(names),
            y=list(names),
            z=[[None if rate is None else rate.value for rate in row] for row in rates],
            text=[["" if rate is None else f"{rate.value:.0%}" for rate in row] for row in rates],
            customdata=[["" if rate is None else str(rate) for rate in row] for row in rates],
            texttemplate="%{text}" if roomy else "",
            hovertemplate="%{y} and %{x}<br>%{customdata}<extra></extra>",
            hoverongaps=False,
            colorscale="Cividis",
            zmin=0,
            colorbar={"tickformat": ".0%", "thickness": 12},
        )
    )
    axis = {"dtick": 1, "automargin": True}
    height = 150 + (52 if roomy else 24) * len(names)
    down = {**axis, "autorange": "reversed"}
    return figure.update_layout(xaxis=axis, yaxis=down, height=height, meta={"alt": alt})
