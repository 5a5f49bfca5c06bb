"""What ``make bench`` has measured: its tables, a figure, and whether the code is still the same."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import plotly.graph_objects as go

from simlib.checkout import repository
from simlib.errors import InputError
from simlib.given import given_path, read_text
from simlib.provenance import code_hash
from simlib.report.style import COLORS
from simlib.report.tables import Table

Figures = Mapping[str, Any]
"""Figures by name, as ``tests/benchmarks`` writes them into bench.json: of all, or of one measurement."""

_ONE_AT_A_TIME = {"PGD": "pgd", "stAdv": "stadv", "One-pixel": "one_pixel"}
"""The attacks that were measured against one triplet at a time, and the names of their figures."""

_RATIOS = "ms: milliseconds for a triplet; threads: of the side that attacks one triplet at a time."


def read_bench(measured: str) -> dict[str, Any]:
    """Return the figures of a file, whose path is seen from the folder of the notebooks.

    Raises:
        InputError: the file is not what ``make bench`` writes.
    """
    path = repository() / "notebooks" / given_path(measured)
    try:
        return json.loads(read_text(path))
    except json.JSONDecodeError as error:
        raise InputError(f"{path} is not JSON: {error}. Write it by `make bench`.") from error


def older_code(bench: Figures, *names: str) -> str:
    """Say in a sentence whether figures were measured with other code than that of now; empty if not.

    Args:
        bench: all figures.
        names: which of them; those that do not tell their code were measured with that of the whole file.
    """
    now = code_hash()[:16]
    codes = {bench[name].get("code", bench["code"]) for name in names if name in bench} - {now}
    if not codes:
        return ""
    return (
        f"**These figures were measured with older code**: {', '.join(sorted(codes))}, where this page has "
        f"{now}. Every change of simlib counts, also one that makes nothing faster or slower. "
        "`make bench` measures them anew."
    )


def ratios_as_table(bench: Figures) -> Table:
    """Show what each attack takes for a triplet, alone and in a batch, and the ratio with its spread."""
    rows = []
    for attack, name in _ONE_AT_A_TIME.items():
        figures = bench[name]
        batched, ratio, ratios = (figures[key] for key in ("milliseconds_per_triplet", "ratio", "ratios"))
        spread = f"{min(ratios):.1f} to {max(ratios):.1f}"
        rows.append((attack, round(batched * ratio), batched, ratio, spread, figures["threads_one_by_one"]))
    header = ("attack", "one at a time, ms", "batched, ms", "times faster", "least to most", "threads")
    return Table(header, tuple(rows), notes=(_RATIOS,))


def growth_figure(scaling: Figures) -> go.Figure:
    """Draw the time for a triplet against the number of triplets."""
    times = {int(n): time for n, time in scaling["milliseconds_per_triplet"].items()}
    told = "; ".join(f"{n:,} triplets {time:.2f}" for n, time in times.items())
    line = go.Scatter(
        x=list(times),
        y=list(times.values()),
        mode="lines+markers",
        marker={"size": 9, "color": COLORS[0]},
        hovertemplate="%{x:,} triplets<br>%{y:.2f} ms each<extra></extra>",
    )
    return go.Figure(line).update_layout(
        xaxis={"title": "triplets", "type": "log", "tickvals": list(times)},
        yaxis={"title": "milliseconds a triplet", "rangemode": "tozero"},
        height=340,
        meta={"alt": f"Milliseconds a triplet: {told}."},
    )


def losses_as_table(benchmark: Figures) -> Table:
    """Show what a run of the benchmark loses: to growth, to store and scheduling, to a second worker.

    Args:
        benchmark: the figures of that name; empty where it was not measured.
    """
    header = ("what", "measured by make bench")
    if not benchmark:
        return Table(header, (("nothing yet", ""),))
    few, many = sorted(int(name.rpartition("_")[2]) for name in benchmark if name.startswith("overhead_"))
    workers = benchmark.get("two_workers_against_one")
    return Table(
        header,
        (
            (
                f"time for a triplet, of {many:,} triplets against that of {few:,}",
                f"{benchmark['growth']:.2f} times",
            ),
            (
                f"share of the time for store and scheduling, {many:,} triplets",
                f"{benchmark[f'overhead_{many}']:.1%}",
            ),
            (
                "throughput of two Ray workers against one",
                f"{workers:.2f} times" if workers else "not measured",
            ),
        ),
    )
