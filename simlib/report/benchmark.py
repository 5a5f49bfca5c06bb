"""Tables of a benchmark: white-box, transfer, comparisons, and the published numbers beside ours."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from simlib import metrics
from simlib.benchmark.comparison import Comparison
from simlib.benchmark.counting import flags, is_white_box, numbers, photographs, pick, texts
from simlib.benchmark.matrix import TransferCell
from simlib.benchmark.published import TRANSFER, TRANSFER_ATTACKS, TRANSFER_N, WHITE_BOX_PGD
from simlib.benchmark.statistics import rate_over, wilson
from simlib.benchmark.white_box import WhiteBoxRow
from simlib.errors import UnknownNameError, unknown_name
from simlib.report.tables import Cell, Count, Name, Table

if TYPE_CHECKING:
    import pandas as pd

_PAPER = "Ghildyal & Liu (TMLR 2023)"

_WHITE_BOX_NOTES = (
    "flipped: as the protocol counts; accurate, other, no label: the same among the triplets that the metric "
    "ranks as labelled, those it ranks otherwise, and those without a label; with 95 % intervals.",
    "in 8 bits: still flipped after the image was rounded to 8 bits.",
    "RMSE, largest change: in levels of 255; these and steps are medians over the flipped. forwards, "
    "backwards, seconds: means for a triplet.",
)

_COUNTED = (
    "counted: triplets that both metrics rank as labelled before the attack; where there is no label, those "
    "that both rank alike."
)

_COMPARISON_NOTES = (
    "n: triplets that count for both; both, only first, only second: how many of them are flipped.",
    "difference: rate of the first less that of the second, in points, with a 95 % interval from a paired "
    "bootstrap; over photographs where triplets share them.",
    "p: McNemar's exact test, whole photographs exchanged where triplets share them; corrected by Holm's "
    "method for all comparisons of the table.",
)

_WEIGHTS = (
    "weights: here those that the metrics' authors publish; that the published results were made with the "
    "same is likely and was not checked."
)

_SCALES = {"ssim": ", scale of SSIM"}
"""What differs between a published transfer and ours besides data and choice, by the judge."""


def named(metric: str) -> Name:
    """Return the cell for a metric: its title for people, its name for programs."""
    try:
        return Name(metric, metrics.spec_of(metric).title)
    except UnknownNameError:  # results of other people may hold metrics of theirs
        return Name(metric, metric)


def white_box_as_table(rows: Sequence[WhiteBoxRow], *, complete: bool = False) -> Table:
    """Show what every attack does to every metric.

    Args:
        rows: as of :func:`simlib.benchmark.white_box.white_box_table`.
        complete: also show the flips after rounding to 8 bits for each group of triplets. Groups that no row
            has triplets in are left out in any case.
    """
    groups = {
        "accurate": [(row.accurate, row.accurate_8bit) for row in rows],
        "other": [(row.other, row.other_8bit) for row in rows],
        "no label": [(row.unlabelled, row.unlabelled_8bit) for row in rows],
    }
    columns: dict[str, Sequence[Cell]] = {
        "metric": [named(row.metric) for row in rows],
        "attack": [row.attack for row in rows],
        "protocol": [row.protocol for row in rows],
        "n": [Count(row.n, row.flipped.photographs) for row in rows],
        "flipped": [row.flipped for row in rows],
        "in 8 bits": [row.flipped_8bit for row in rows],
    }
    for title, pairs in groups.items():
        if any(rate for rate, _ in pairs):
            columns[title] = [rate for rate, _ in pairs]
            if complete:
                columns[f"{title}, in 8 bits"] = [rate for _, rate in pairs]
    columns |= {
        "RMSE": [row.rmse for row in rows],
        "largest change": [row.linf for row in rows],
        "steps": [row.steps for row in rows],
        "forwards": [row.forwards for row in rows],
        "backwards": [row.backwards for row in rows],
        "seconds": [row.seconds for row in rows],
    }
    return Table(
        tuple(columns),
        tuple(zip(*columns.values(), strict=True)),
        notes=_WHITE_BOX_NOTES,
        with_n=True,
    )


def transfer_as_table(cells: Sequence[TransferCell], source: str) -> Table:
    """Show how often images made on one metric flip the others: targets down, attacks across.

    Args:
        cells: as of :func:`simlib.benchmark.matrix.transfer_matrix`.
        source: name of the metric that the images were made on.

    Raises:
        UnknownNameError: if no cell is of this source.
    """
    own = {(cell.target, cell.attack): cell for cell in cells if cell.source == source}
    if not own:
        raise unknown_name("source of transfer", source, {cell.source for cell in cells})
    attacks = list(dict.fromkeys(attack for _, attack in own))
    targets = list(dict.fromkeys(target for target, _ in own))
    rows = {target: [own.get((target, attack)) for attack in attacks] for target in targets}
    numbers_of = {target: {cell.counted for cell in row if cell} for target, row in rows.items()}
    uneven = any(len(each) > 1 for each in numbers_of.values())
    return Table(
        ("judged by", "counted", *attacks),
        tuple(
            (
                named(target),
                None if len(numbers_of[target]) > 1 else _count(row),
                *(cell and cell.flipped for cell in row),
            )
            for target, row in rows.items()
        ),
        notes=(
            f"Images made on {named(source).title}, rounded to 8 bits: share that flips the judge, with 95 % "
            "intervals.",
            _COUNTED,
        ),
        with_n=uneven,
    )


def comparisons_as_table(comparisons: Sequence[Comparison]) -> Table:
    """Show metrics compared two by two.

    Args:
        comparisons: as of :func:`simlib.benchmark.comparison.compare_targets` or ``compare_metrics``.
    """
    return Table(
        ("first", "second", "n", "both", "only first", "only second", "difference", "p", "p corrected"),
        tuple(
            (
                named(each.first),
                named(each.second),
                Count(each.n, each.difference.photographs if each.difference else None),
                each.both,
                each.only_first,
                each.only_second,
                each.difference,
                each.p_value,
                each.corrected,
            )
            for each in comparisons
        ),
        notes=_COMPARISON_NOTES,
    )


def published_transfer_beside(cells: Sequence[TransferCell], *, source: str = "lpips-alex") -> Table:
    """Show the published transfer from LPIPS (Alex) beside ours.

    Args:
        cells: as of :func:`simlib.benchmark.matrix.transfer_matrix`, best with ``chosen_by`` stAdv, as
            published.
        source: name of the metric that our images were made on.
    """
    own = {(cell.target, cell.attack): cell for cell in cells if cell.source == source}
    rows = tuple(
        (
            named(each.metric),
            attack,
            cell.flipped if (cell := own.get((each.metric, attack))) else None,
            wilson(each.flipped[attack], each.accurate),
            "data, choice" + _SCALES.get(each.metric, "") if cell else "not in this run",
        )
        for each in TRANSFER
        for attack in TRANSFER_ATTACKS
    )
    shown = sorted({cell.n for cell in own.values()})
    ours = "none" if not shown else f"{shown[0]:,}" if len(shown) == 1 else f"{shown[0]:,} to {shown[-1]:,}"
    return Table(
        ("judged by", "attack", "here", "published", "what differs"),
        rows,
        notes=(
            f"published: {_PAPER}, counted in the files they released; images made on LPIPS (Alex).",
            f"data, choice: the published n are of {TRANSFER_N:,} triplets of BAPPS that LPIPS (Alex) ranks "
            "as people do, that stAdv flips, and that the authors kept after looking at them one by one. "
            f"Ours are of {ours} triplets of this run; nobody looked.",
            "scale of SSIM: there of images in [-1, 1], here in [0, 1]. Flips are counted here on images of "
            "8 bits.",
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
    title = named(WHITE_BOX_PGD.metric).title
    own = pick(rows, is_white_box(rows))
    own = pick(own, (texts(own, "source") == WHITE_BOX_PGD.metric) & (texts(own, "attack") == attack))
    absent = () if len(own) else (f"This run has no attack {attack} on {title}.",)
    return Table(
        (f"{attack} on {title}", "here", "published", "what differs"),
        _white_box_beside(own),
        notes=(
            *absent,
            f"published: {_PAPER}, counted in the files they released: the {WHITE_BOX_PGD.n:,} triplets of "
            "BAPPS on which all judges agree, protocol paper. Steps and RMSE, in levels of 255, are of the "
            "flipped.",
            _WEIGHTS,
        ),
        with_n=True,
    )


def _white_box_beside(own: pd.DataFrame) -> tuple[tuple[Cell, ...], ...]:
    """Return lines of what, here, published, and what differs."""
    published, flipped, shared = WHITE_BOX_PGD, flags(own, "flipped"), photographs(own)
    steps, rmse = numbers(own, "steps")[flipped], numbers(own, "rmse")[flipped]
    all_flips = rate_over(flipped, shared) if len(own) else None
    early = rate_over(steps <= 3, shared[flipped]) if flipped.any() else None
    protocols = set(texts(own, "protocol")) - {"paper"}
    data = "data" + "".join(f", protocol: {each} here" for each in protocols)
    return (
        ("triplets", all_flips and Count(all_flips.n, all_flips.photographs), published.n, "data"),
        ("flipped", all_flips, wilson(published.flipped, published.n), data),
        ("within 3 steps", early, wilson(published.flipped_within_three, published.flipped), data),
        ("steps, mean", float(steps.mean()) if len(steps) else None, published.steps[0], data),
        ("steps, median", float(np.median(steps)) if len(steps) else None, published.steps[1], data),
        (
            "RMSE, mean",
            float(rmse.mean()) if len(rmse) else None,
            published.rmse[0],
            f"{data}; 8 bits by rounding here, by truncation there",
        ),
    )


def _count(row: Sequence[TransferCell | None]) -> Count:
    """Return how many triplets count, by cells that agree on it."""
    cell = next(each for each in row if each)
    return Count(cell.counted, cell.flipped.photographs if cell.flipped else None)
