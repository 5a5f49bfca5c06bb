"""What only the chapters on the benchmark show: figures, tables and sentences made of its rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import plotly.graph_objects as go

from simlib.benchmark.comparison import Comparison, Stratum, by_margin, compare_attacks
from simlib.benchmark.rates import TradeOff, WhiteBoxRow
from simlib.benchmark.selection import flags, groups, having, pick, texts
from simlib.benchmark.statistics import rate
from simlib.report.benchmark import named, titles_of
from simlib.report.benchmark_figures import rate_dots
from simlib.report.matrices import SIGNIFICANT, Matrix, comparison_matrix, matrices, matrix_of_rates
from simlib.report.menus import Choices, options
from simlib.report.published import TRANSFER, TRANSFER_ATTACKS
from simlib.report.style import MOST_SERIES
from simlib.report.tables import Table

if TYPE_CHECKING:
    import pandas as pd

_MOST_PHOTOGRAPHS = 16
"""Photographs of one figure."""


def white_box_dots(table: Sequence[WhiteBoxRow]) -> go.Figure:
    """Draw the share that attacks flip in 8 bits, metrics down the side; of the first attacks, if many."""
    rates = {(row.attack, row.metric): row.flipped_8bit for row in table}
    protocols = {row.attack: row.protocol for row in table}
    names = list(dict.fromkeys(row.metric for row in table))
    series = {
        f"{attack}, {protocol}": [rates.get((attack, name)) for name in names]
        for attack, protocol in list(protocols.items())[:MOST_SERIES]
    }
    return rate_dots(titles_of(names), series, x_title="flipped, in 8 bits")


def photograph_dots(rows: pd.DataFrame, metric: str) -> go.Figure:
    """Draw the share that attacks flip in 8 bits of the triplets of each photograph, the first 16 of them.

    Args:
        rows: white-box, with the columns of ``rows.SCHEMA``.
        metric: name of the metric attacked.
    """
    own = having(rows, "source", metric)
    names = sorted(set(texts(own, "photograph")))
    # where each triplet has its own, a photograph alone would say nothing
    shared = len(names) < len(set(texts(own, "triplet")))
    shown = names[:_MOST_PHOTOGRAPHS] if shared else ["all triplets"]
    series = {}
    for made in groups(own, ("attack",))[:MOST_SERIES]:
        parts = [having(made, "photograph", name) for name in shown] if shared else [made]
        series[texts(made, "attack")[0]] = [rate(flags(part, "flipped_8bit"), None) for part in parts]
    return rate_dots(shown, series, x_title=f"flipped in 8 bits, {named(metric).title}")


def white_box_strata(
    rows: pd.DataFrame, divide: Callable[[pd.DataFrame], Sequence[Stratum]], across: str
) -> go.Figure:
    """Draw rates by kind of triplet, metrics down the side; a menu chooses the attack.

    Args:
        rows: white-box, with the columns of ``rows.SCHEMA``.
        divide: how the rows of one attack on one metric are parted, see :mod:`simlib.benchmark.comparison`.
        across: what the kinds are.
    """
    found = {}
    for attack in dict.fromkeys(texts(rows, "attack")):
        made = having(rows, "attack", attack)
        parts = {name: divide(having(made, "source", name)) for name in dict.fromkeys(texts(made, "source"))}
        found[attack] = _strata(parts, "metric", across)
    return matrices(found)


def transfer_strata(rows: pd.DataFrame, source: str) -> go.Figure:
    """Draw rates of transfer by how clear the rank is for the source, judges down the side.

    A menu chooses the attack; the last one, as a rule the strongest, is shown at first.

    Args:
        rows: of transfer, with the columns of ``rows.SCHEMA``.
        source: name of the metric that images are made on.
    """
    own = having(rows, "source", source)
    across = f"smaller distance / larger distance, by {named(source).title}"
    found = {}
    for attack in reversed(dict.fromkeys(texts(own, "attack"))):
        made = having(own, "attack", attack)
        targets = texts(made, "target")
        parts = {
            judge: by_margin(pick(made, (targets == source) | (targets == judge)))
            for judge in dict.fromkeys(targets)
            if judge != source
        }
        found[attack] = _strata(parts, "judged by", across)
    return matrices(found)


def apart(pairs: Sequence[Comparison]) -> list[Comparison]:
    """Return the pairs of metrics whose interval of the difference excludes zero."""
    return [
        each for each in pairs if each.difference and not each.difference.low <= 0 <= each.difference.high
    ]


def starred(pairs: Sequence[Comparison]) -> list[Comparison]:
    """Return the pairs of metrics whose corrected p-value is small enough for a star."""
    return [each for each in pairs if each.corrected is not None and each.corrected < SIGNIFICANT]


def pair_matrices(compared: Choices[Sequence[Comparison]]) -> go.Figure:
    """Draw by how much more often one metric is flipped than another; menus choose by what.

    Args:
        compared: every two metrics, by the label in a menu, or by all pairs of labels for two.

    Raises:
        InputError: if there is nothing to choose.
    """
    first = next(iter(compared.values()), [])
    differences = [
        f"{named(each.first).title} {100 * each.difference.value:+.0f} points against "
        f"{named(each.second).title}"
        for each in apart(first)
        if each.difference
    ]
    found: dict[Any, Matrix] = {key: comparison_matrix(pairs) for key, pairs in compared.items()}
    told = (
        f"A matrix, and menus with {options(compared)}. In the first, pairs whose interval excludes zero: "
        f"{', '.join(differences) or 'none'}."
    )
    return matrices(found, differences=True, alt=told)


def power(photographs: int | None, pairs: int) -> str:
    """Say how small a p-value of so many pairs can be: whole photographs are exchanged, and few are there.

    Args:
        photographs: from how many the triplets come; None where each has its own.
        pairs: how many are compared, and corrected for.
    """
    if photographs is None:
        return "The triplets are taken as independent."
    # All photographs exchanged one way or the other: the least that the test can give.
    least = 2.0 ** (1 - photographs)
    smallest = min(pairs * least, 1)
    return (
        f"With {photographs} photographs, no p-value can be below {least:.2g}, however large a difference "
        f"is; the smallest of {pairs}, corrected, is then at least {smallest:.2g}."
        + " Look at the intervals: no star can stand here."
        * (smallest >= SIGNIFICANT)
    )


def transfer_verdict(rows: pd.DataFrame, *, source: str = "lpips-alex", chosen_by: str = "") -> str:
    """Say whether PGD after stAdv flips other metrics more often than stAdv alone, as was published.

    Args:
        rows: of transfer, with the columns of ``rows.SCHEMA``.
        source: name of the metric that our images were made on.
        chosen_by: as by :func:`simlib.benchmark.rates.transfer_matrix`.
    """
    own = pick(rows, texts(rows, "source") == source)
    here = set(texts(own, "attack"))
    attacks = [attack for attack in TRANSFER_ATTACKS if attack.startswith("stAdv") and attack in here]
    if len(attacks) < 2 or attacks[0] != "stAdv":
        return f"This run has no stAdv with PGD after it on {named(source).title} to hold beside the paper."
    alone, both = attacks[0], attacks[-1]
    told = []
    for each in TRANSFER:
        if each.metric not in set(texts(own, "target")):
            continue
        found = compare_attacks(own, source, each.metric, (both, alone), chosen_by=chosen_by)
        published = f"{each.gain(both, alone):+.1f} points"
        told.append(f"- {named(each.metric).title}: published {published}, here {found or 'none counts'}")
    return "\n".join(
        [
            f"The paper's claim is that PGD after stAdv transfers better than stAdv alone. {both} less "
            f"{alone}, on the same triplets:\n",
            *told,
            "\nWhere the interval reaches over zero, this run decides nothing about the claim. Where it is "
            "all below zero, the claim does not hold on these data.",
        ]
    )


def worst_cases(own: Choices[Sequence[TradeOff]], others: Choices[Sequence[TradeOff]]) -> Table:
    """Show how much of their right answers metrics keep under what they stand worst.

    Args:
        own: metrics attacked themselves, by attack.
        others: metrics shown images made on another, by what these were made on and by.
    """
    attacked, shown = _least(own), _least(others)
    rows = []
    for name in dict.fromkeys([*attacked, *shown]):
        (by, point), (made, judged) = (found.get(name, (None, None)) for found in (attacked, shown))
        known = point or judged
        accurate = known and known.accuracy
        rows.append((named(name), accurate, point and point.robust, by, judged and judged.robust, made))
    header = ("metric", "accurate", "attacked itself", "by", "shown images", "made on, by")
    return Table(header, tuple(rows), notes=("Of attacks that leave equally little, the first is named.",))


def _least(choices: Choices[Sequence[TradeOff]]) -> Mapping[str, tuple[str, TradeOff]]:
    """Find for each metric the choice under which it is the least robust."""
    found: dict[str, tuple[str, TradeOff]] = {}
    for key, points in choices.items():
        for point in points:
            former = found[point.metric][1].robust if point.metric in found else None
            if point.robust and (former is None or point.robust.value < former.value):
                found[point.metric] = (key if isinstance(key, str) else ", ".join(key), point)
    return found


def _strata(parts: Mapping[str, Sequence[Stratum]], down: str, across: str) -> Matrix:
    """Arrange rates by stratum, metrics down the side; a metric may lack some strata."""
    rates = {name: {each.label: each.rate for each in strata} for name, strata in parts.items()}
    labels = list(dict.fromkeys(label for each in rates.values() for label in each))
    cells = [[each.get(label) for label in labels] for each in rates.values()]
    return matrix_of_rates(titles_of(list(parts)), labels, cells, down=down, across=across)
