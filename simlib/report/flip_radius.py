"""What the chapter on the flip radius shows: radii in levels, as curves, as tables, and at the edge."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import plotly.graph_objects as go
from torch import Tensor

from simlib.attacks import AttackResult, Norm, RankFlip, radii
from simlib.benchmark.statistics import median, rate
from simlib.kernels.images import LEVELS
from simlib.report.attacks import COLUMNS
from simlib.report.explorer import result_slider
from simlib.report.figures import curves_with_bands, described
from simlib.report.style import COLORS, SYMBOLS
from simlib.report.tables import Table

SIZES: Mapping[Norm, str] = {"linf": "largest change", "l2": "RMS change"}
"""What the radius in a norm is the size of, when it is told in levels."""

_BUDGETS = [quarter / 4 for quarter in range(65)]
"""Budgets that curves are drawn over, in levels."""

_TOLD = (2.0, 4.0)
"""Budgets at which the alternative text of a curve tells its values."""

_WITHIN = 4
"""The largest change, in levels, that a table tells a rate for."""

_STOPS, _GAIN = 7, 40
"""Triplets at the edge that are shown, equally many ranks apart, and how much their change is amplified."""

_SLACK = 5e-4
"""Levels by which a radius may exceed a budget and count as within: a change of 4 levels is of 4.0000001."""

_EQUAL = {"color": "#7F7F7F", "dash": "dot"}
_DOUBLINGS: dict[str, Any] = {
    "type": "log",
    "tickvals": [2.0**power for power in range(-5, 8)],
    "tickformat": "~g",
}


def in_levels(sizes: Tensor, norm: Norm, values: int) -> Tensor:
    """Return sizes of changes, in the units of [0, 1], in levels of 255.

    Args:
        sizes: (N,) largest changes of a value (linf), or Euclidean lengths (l2), which become the root mean
            square of the change of a value.
        norm: which of the two.
        values: how many values an image has.
    """
    return sizes * (LEVELS if norm == "linf" else LEVELS / values**0.5)


def radii_in_levels(result: AttackResult, norm: Norm) -> Tensor:
    """Return the radius (N,) that a result has found for each triplet, in levels; infinite without a flip."""
    return in_levels(radii(result, norm), norm, result.original[0].numel())


def against_closed_form(known: Mapping[Norm, Tensor], found: Mapping[Norm, Tensor]) -> go.Figure:
    """Draw radii that a search has found against those of a formula, in levels, (M,) for each norm."""
    figure, ends = go.Figure(), [1.0]
    told = []
    for color, symbol, (norm, expected) in zip(COLORS, SYMBOLS, known.items(), strict=False):
        x, y = expected.tolist(), found[norm].tolist()
        ends += [*x, *y]
        if x:
            told.append(f"{SIZES[norm]}: at most {(found[norm] / expected - 1).abs().max():.2%} off the line")
        figure.add_scatter(
            x=x,
            y=y,
            mode="markers",
            name=SIZES[norm],
            marker={"size": 8, "color": color, "symbol": symbol},
            hovertemplate="closed form %{x:.3f}<br>found %{y:.3f}<extra></extra>",
        )
    ends = [min(ends), max(ends)]
    figure.add_scatter(x=ends, y=ends, mode="lines", line=_EQUAL, name="equal", hoverinfo="skip")
    return figure.update_layout(
        xaxis={"title": "closed form, levels", **_DOUBLINGS},
        yaxis={"title": "found, levels", **_DOUBLINGS},
        height=460,
        meta={"alt": f"The radius found against the closed form, both axes logarithmic. {'; '.join(told)}."},
    )


def survival_curves(radius: Mapping[str, Tensor], photographs: Sequence[str], norm: Norm) -> go.Figure:
    """Draw the share of triplets not flipped within each budget, with 95 % bands over photographs.

    Args:
        radius: by the name of the curve, (M,) in levels, of the first M triplets.
        photographs: of the triplets.
        norm: in which the radii are measured.
    """
    curves = {
        name: [rate(each > budget + _SLACK, photographs[: len(each)]) for budget in _BUDGETS]
        for name, each in radius.items()
    }
    at = {f"{budget:g} levels": _BUDGETS.index(budget) for budget in _TOLD}
    told = described(
        list(at), {name: [rates[place] for place in at.values()] for name, rates in curves.items()}
    )
    return curves_with_bands(
        _BUDGETS,
        curves,
        x_title=f"{SIZES[norm]} of a value, levels of 255",
        y_title="not flipped",
        alt=f"Falling curves of the share not flipped, within {' and '.join(at)}. {told}.",
    )


def radii_as_table(measured: Mapping[str, Mapping[Norm, AttackResult]], photographs: Sequence[str]) -> Table:
    """Show what the search has found for metrics.

    Args:
        measured: by the title of the metric, its result in each norm, for the first of the triplets.
        photographs: of the triplets.
    """
    rows = []
    for title, results in measured.items():
        largest, own = results["linf"], photographs[: len(results["linf"])]
        medians = (_median(radii_in_levels(results[norm], norm), own) for norm in SIZES)
        flipped = rate(radii_in_levels(largest, "linf") <= _WITHIN + _SLACK, own)
        rows.append((title, len(largest), *medians, flipped, COLUMNS["forwards"](largest, own)))
    notes = (
        f"{' and '.join(SIZES.values())}: median radius, in levels of 255, with its interval.",
        f"within {_WITHIN} levels: flipped by a largest change of no more.",
        f"forwards: evaluations of the metric a triplet, in the search for the {SIZES['linf']}.",
    )
    header = ("metric", "n", *SIZES.values(), f"within {_WITHIN} levels", "forwards")
    return Table(header, tuple(rows), notes)


def bits_as_table(
    floats: Mapping[Norm, AttackResult], strict: Mapping[Norm, AttackResult], photographs: Sequence[str]
) -> Table:
    """Show the radii of float images, what saving leaves of their flips, and the radii in 8 bits.

    Args:
        floats: results under the paper's protocol, by norm.
        strict: results for the same triplets under the strict protocol.
        photographs: of the triplets.
    """
    rows = []
    for norm, size in SIZES.items():
        flips = floats[norm].flipped
        kept = rate(floats[norm].flipped_8bit, photographs, flips) if flips.any() else None
        before, after = (_median(radii_in_levels(each[norm], norm), photographs) for each in (floats, strict))
        flipped = rate(strict[norm].flipped, photographs)
        rows.append((size, len(flips), before, kept, after, flipped))
    notes = (
        "in floats and in 8 bits: median radius, in levels of 255, with its interval.",
        "kept: of the flips in floats, those that are still flips when saved in 8 bits.",
    )
    header = ("radius", "n", "in floats", "kept", "in 8 bits", "flipped in 8 bits")
    return Table(header, tuple(rows), notes)


def edge_slider(problem: RankFlip, result: AttackResult) -> go.Figure:
    """Show triplets at their Euclidean flip radius, from the smallest to the largest.

    Args:
        problem: its target is the closer or the farther image.
        result: of the search in l2.
    """
    radius = radii_in_levels(result, "l2")
    order, last = radius.argsort().tolist(), len(radius) - 1
    shown = dict.fromkeys(order[round(stop * last / (_STOPS - 1))] for stop in range(_STOPS))
    stops = {f"{place}: {radius[i]:.2f}": i for place, i in enumerate(shown, start=1)}
    told = f"By rising flip radius: {', '.join(stops)} levels RMS."
    return result_slider(problem, result, stops, gain=_GAIN, told=told)


def _median(radius: Tensor, photographs: Sequence[str]) -> str:
    """Tell a median and its interval, which few radii do not allow."""
    found = median(radius, photographs)
    interval = f"{found.low:.2f} to {found.high:.2f}" if found.low > 0 else "too few"
    return f"{found.value:.2f} ({interval})"
