"""Tables of a benchmark: white-box, transfer, comparisons, and the published numbers beside ours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from simlib import metrics
from simlib.benchmark.comparison import Comparison, by_margin
from simlib.benchmark.rates import TransferCell, WhiteBoxRow, rate_in
from simlib.benchmark.selection import flags, is_white_box, numbers, pick, texts
from simlib.errors import SimlibError, unknown_name
from simlib.report.published import TRANSFER, TRANSFER_ATTACKS, TRANSFER_N, WHITE_BOX_PGD
from simlib.report.tables import Cell, Count, Name, Table

if TYPE_CHECKING:
    import pandas as pd

_PAPER = "Ghildyal & Liu (TMLR 2023)"

_WHITE_BOX: Mapping[str, tuple[Mapping[str, str], tuple[str, ...]]] = {
    "n": ({"n": "n"}, ()),
    "rates": (
        {"protocol": "protocol", "flipped": "flipped", "in 8 bits": "flipped_8bit", "steps": "steps"},
        (
            "flipped: as the protocol counts, with 95 % intervals; in 8 bits: still flipped after the image "
            "was rounded to 8 bits; steps: median over the flipped.",
        ),
    ),
    "labels": (
        {"accurate": "accurate", "other": "other", "no label": "unlabelled"},
        (
            "accurate, other, no label: share flipped, as the protocol counts, among the triplets that the "
            "metric ranks as labelled, those it ranks otherwise, and those without a label; with 95 % "
            "intervals.",
        ),
    ),
    "effort": (
        {
            **{"RMSE": "rmse", "largest change": "linf"},
            **{name: name for name in ("forwards", "backwards", "seconds")},
        },
        (
            "RMSE, largest change: in levels of 255, medians over the flipped. forwards, backwards, seconds: "
            "means for a triplet.",
        ),
    ),
}
"""What is told of a metric under an attack: titles of columns with the attributes they show, and notes."""

_COUNTED = (
    "counted: triplets that both metrics rank as labelled before the attack; where there is no label, those "
    "that both rank alike."
)

_COMPARISON_NOTES = (
    "n: triplets that count for both; both, only first, only second: how many of them are flipped.",
    "difference: rate of the first less that of the second, in points, with a 95 % interval; over "
    "photographs where triplets share them.",
    "p: McNemar's exact test, whole photographs exchanged where triplets share them; corrected by Holm's "
    "method for all comparisons of the table.",
)

_WEIGHTS = (
    "weights: here those that the metrics' authors publish; that the published results were made with the "
    "same is likely and was not checked."
)


def named(metric: str) -> Name:
    """Return the cell for a metric: its title for people, its name for programs."""
    try:
        return Name(metric, metrics.spec_of(metric).title)
    except SimlibError:  # results of other people may hold metrics of theirs
        return Name(metric, metric)


def titles_of(names: Sequence[str]) -> list[str]:
    """Return how metrics are written, by their names."""
    return [named(name).title for name in names]


def white_box_as_table(rows: Sequence[WhiteBoxRow], about: Sequence[str] = tuple(_WHITE_BOX)) -> Table:
    """Show what every attack does to every metric.

    Args:
        rows: as of :func:`simlib.benchmark.rates.white_box_table`. Groups of triplets that no row has are
            left out.
        about: ``"n"``, ``"rates"``, ``"labels"`` for the rates by label, ``"effort"`` for changes and
            costs; all by default, which is wide.
    """
    shown = {title: name for part in about for title, name in _WHITE_BOX[part][0].items()}
    empty = (
        {title for title in _WHITE_BOX["labels"][0] if not any(getattr(row, shown[title]) for row in rows)}
        if "labels" in about
        else set[str]()
    )
    columns: dict[str, Sequence[Cell]] = {
        "metric": [named(row.metric) for row in rows],
        "attack": [row.attack for row in rows],
        **{
            title: [getattr(row, name) for row in rows] for title, name in shown.items() if title not in empty
        },
    }
    if "n" in columns:
        columns["n"] = [Count(row.n, row.flipped.photographs) for row in rows]
    lines = tuple(zip(*columns.values(), strict=True))
    notes = tuple(note for part in about for note in _WHITE_BOX[part][1])
    return Table(tuple(columns), lines, notes=notes, with_n="labels" in about)


def transfer_as_table(cells: Sequence[TransferCell], source: str) -> Table:
    """Show how often images made on one metric flip the others: targets down, attacks across.

    Args:
        cells: as of :func:`simlib.benchmark.rates.transfer_matrix`.
        source: name of the metric that the images were made on.

    Raises:
        UnknownNameError: if no cell is of this source.
    """
    own = {(cell.target, cell.attack): cell for cell in cells if cell.source == source}
    if not own:
        raise unknown_name("source of transfer", source, {cell.source for cell in cells})
    attacks = list(dict.fromkeys(attack for _, attack in own))
    rows: list[tuple[Cell, ...]] = []
    for target in dict.fromkeys(target for target, _ in own):
        row = [own.get((target, attack)) for attack in attacks]
        rows.append((named(target), _count(row), *(cell and cell.flipped for cell in row)))
    made = f"Images made on {named(source).title}, rounded to 8 bits: share that flips the judge, with 95 % "
    uneven = any(count is None for _, count, *_ in rows)
    notes = (f"{made}intervals.", _COUNTED)
    return Table(("judged by", "counted", *attacks), tuple(rows), notes=notes, with_n=uneven)


def comparisons_as_table(comparisons: Sequence[Comparison]) -> Table:
    """Show metrics compared two by two, as :mod:`simlib.benchmark.comparison` does."""
    header = ("first", "second", "n", "both", "only first", "only second", "difference", "p", "p corrected")
    rows = []
    for each in comparisons:
        n = Count(each.n, each.difference.photographs if each.difference else None)
        counts = (n, each.both, each.only_first, each.only_second)
        tested = (each.difference, each.p_value, each.corrected)
        rows.append((named(each.first), named(each.second), *counts, *tested))
    return Table(header, tuple(rows), notes=_COMPARISON_NOTES)


def published_transfer_beside(cells: Sequence[TransferCell], *, source: str = "lpips-alex") -> Table:
    """Show the published transfer from LPIPS (Alex) beside ours.

    Args:
        cells: as of :func:`simlib.benchmark.rates.transfer_matrix`; with ``chosen_by`` stAdv, as published.
        source: name of the metric that our images were made on.
    """
    own = {(cell.target, cell.attack): cell for cell in cells if cell.source == source}
    rows = tuple(
        (
            named(each.metric),
            attack,
            cell.flipped if (cell := own.get((each.metric, attack))) else None,
            each.rate(attack),
        )
        for each in TRANSFER
        for attack in TRANSFER_ATTACKS
    )
    shown = sorted({cell.n for cell in own.values()})
    ours = "none" if not shown else f"{shown[0]:,}" if len(shown) == 1 else f"{shown[0]:,} to {shown[-1]:,}"
    return Table(
        ("judged by", "attack", "here", "published"),
        rows,
        notes=(
            f"published: {_PAPER}, counted in the files they released; images made on LPIPS (Alex).",
            f"Data and choice differ: the published n are of {TRANSFER_N:,} triplets of BAPPS that LPIPS "
            "(Alex) ranks as people do, that stAdv flips, and that the authors kept after looking at them "
            f"one by one. Ours are of {ours} triplets of this run; nobody looked.",
            "SSIM is that of images in [-1, 1] there, in [0, 1] here. Flips are counted here on images of "
            "8 bits. A dash: not in this run.",
            _WEIGHTS,
        ),
        with_n=True,
    )


def published_white_box_beside(rows: pd.DataFrame, *, attack: str = "PGD") -> Table:
    """Show the published white-box attack, PGD on LPIPS (Alex), beside ours.

    Args:
        rows: of one plan, with the columns of ``rows.SCHEMA``.
        attack: title of our attack that comes nearest to the published one.
    """
    own, absent = _published_attack(rows, attack)
    protocols = sorted(set(texts(own, "protocol")) - {"paper"})
    return Table(
        (f"{attack} on {named(WHITE_BOX_PGD.metric).title}", "here", "published"),
        _white_box_beside(own),
        notes=(
            *absent,
            f"published: {_PAPER}, counted in the files they released: the {WHITE_BOX_PGD.n:,} triplets of "
            "BAPPS on which all judges agree, protocol paper. Steps and RMSE, in levels of 255, are of the "
            "flipped.",
            "The data differ"
            + "".join(f", and the protocol is {each} here" for each in protocols)
            + ". Images are brought to 8 bits by rounding here, by truncation there.",
            _WEIGHTS,
        ),
        with_n=True,
    )


def published_ratios_beside(rows: pd.DataFrame, *, attack: str = "PGD") -> Table:
    """Show the published attack beside ours, by the ratio of the smaller distance to the larger before it.

    Args and columns of rows are as of :func:`published_white_box_beside`.
    """
    own, absent = _published_attack(rows, attack)
    published = WHITE_BOX_PGD.rate_by_ratio
    here = by_margin(own, tuple(published)) if len(own) else []
    return Table(
        ("smaller distance / larger distance", "flipped here", "flipped as published"),
        tuple(
            (each.label, each.rate, f"{share:.1%}")
            for each, share in zip(here, published.values(), strict=bool(here))
        ),
        notes=absent,
        with_n=True,
    )


def _published_attack(rows: pd.DataFrame, attack: str) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """Return our rows of the attack that was published, and a note if there are none."""
    metric = WHITE_BOX_PGD.metric
    own = pick(rows, is_white_box(rows))
    own = pick(own, (texts(own, "source") == metric) & (texts(own, "attack") == attack))
    return own, () if len(own) else (f"This run has no attack {attack} on {named(metric).title}.",)


def _white_box_beside(own: pd.DataFrame) -> tuple[tuple[Cell, ...], ...]:
    """Return lines of what, here, and published."""
    published, flipped = WHITE_BOX_PGD, flags(own, "flipped")
    steps, rmse = numbers(own, "steps")[flipped], numbers(own, "rmse")[flipped]
    some, all_flips = len(steps) > 0, rate_in(own, flipped)
    early = rate_in(own, flipped & (numbers(own, "steps") <= 3), flipped)
    return (
        ("triplets", all_flips and Count(all_flips.n, all_flips.photographs), published.n),
        ("flipped", all_flips, published.rate),
        ("within 3 steps", early, published.early),
        ("steps, mean", float(steps.mean()) if some else None, published.steps[0]),
        ("steps, median", float(np.median(steps)) if some else None, published.steps[1]),
        ("RMSE, mean", float(rmse.mean()) if some else None, published.rmse[0]),
    )


def _count(row: Sequence[TransferCell | None]) -> Count | None:
    """Return how many triplets count; None if that depends on the attack."""
    first, *others = (each for each in row if each)
    if any(each.counted != first.counted for each in others):
        return None
    return Count(first.counted, first.flipped.photographs if first.flipped else None)
