"""Images made on one metric and judged by others: counted, compared with what was published, and shown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import plotly.graph_objects as go
import torch
from numpy.typing import NDArray
from torch import Tensor

from simlib import metrics
from simlib.attacks import AttackResult, RankFlip
from simlib.benchmark.paired import Difference, difference
from simlib.benchmark.rates import transfer_rate
from simlib.benchmark.selection import Flags, flags, is_counted, texts
from simlib.benchmark.statistics import rate
from simlib.kernels.images import LEVELS
from simlib.kernels.projection import round_to_8bit
from simlib.metrics import Metric
from simlib.report.attacks import median
from simlib.report.pictures import Panel, amplified_change, picture_slider
from simlib.report.published import TRANSFER, TRANSFER_ATTACKS, PublishedTransfer
from simlib.report.tables import Cell, Table

if TYPE_CHECKING:
    import pandas as pd

Judged = Mapping[str, Mapping[str, "pd.DataFrame"]]
"""Rows of :func:`simlib.benchmark.transfer.transfer`, by the titles of judges and the names of attacks."""

_GAIN = 20
"""How much a change is amplified in pictures."""


def made_as_table(made: Mapping[str, AttackResult], title: str, photographs: Sequence[str]) -> Table:
    """Show how far images are from their originals, and whether they flip the metric they were made on.

    Args:
        made: by the name of the attack, all of the same triplets.
        title: of the metric.
        photographs: of the triplets.
    """
    rows = (
        (
            name,
            rate(result.flipped_8bit, photographs),
            median(result.linf * LEVELS),
            median(result.rmse),
            len(result),
        )
        for name, result in made.items()
    )
    return Table(("attack", f"flips {title}, in 8 bits", "largest change", "RMSE", "n"), tuple(rows))


def judged_as_table(judged: Judged) -> Table:
    """Show which share of the triplets that count is flipped for each judge, a row an attack."""
    attacks = next(iter(judged.values()), {})
    counted = map(_number, judged.values())
    rates = ((name, *(transfer_rate(rows[name]) for rows in judged.values())) for name in attacks)
    return Table(("attack", *judged), (("n, counted", *counted), *rates))


def pairs_as_table(judged: Judged, first: str, second: str) -> Table:
    """Show on how many of the triplets that count two attacks flip each judge: both, and one alone."""

    def row(title: str) -> tuple[Cell, ...]:
        a, b, _ = _on_the_same(judged[title], first, second)
        return title, len(a), *(int(which.sum()) for which in (a & b, a & ~b, b & ~a))

    return Table(("judge", "n", "both", f"only {first}", f"only {second}"), tuple(map(row, judged)))


def beside_published(judged: Judged) -> Table:
    """Compare shares of flips with the published ones, for the judges and the attacks that were published."""
    known = {title: published for title, published in _published().items() if title in judged}
    here = {title: {name: transfer_rate(rows) for name, rows in judged[title].items()} for title in known}
    rows = (
        (title, name, here[title].get(name), each.rate(name))
        for title, each in known.items()
        for name in TRANSFER_ATTACKS
    )
    counted = (f"{title}: n = {_number(judged[title])} here, {known[title].accurate:,}" for title in known)
    return Table(("judge", "attack", "here", "published"), tuple(rows), notes=("; ".join(counted),))


def gains(judged: Judged, attack: str, than: str) -> dict[str, Difference]:
    """Return, for each judge, how much more often an attack flips it than another, on the same triplets."""
    return {title: difference(*_on_the_same(rows, attack, than)) for title, rows in judged.items()}


def gains_as_table(judged: Judged, attack: str, others: Sequence[str]) -> Table:
    """Compare how much more often an attack flips each judge than others do, with what was published.

    Args:
        judged: what the judges found.
        attack: the one that should flip more.
        others: the attacks it is compared with.

    Returns:
        Differences in points, and beside them those of the published shares, without an interval: what both
        attacks flip is not published.
    """
    known = _published()

    def published(title: str, than: str) -> str | None:
        each = known.get(title)
        return f"{each.gain(attack, than):+.1f}" if each and {attack, than} <= each.flipped.keys() else None

    rows = (
        (f"{attack} − {than}", title, gain, published(title, than))
        for than in others
        for title, gain in gains(judged, attack, than).items()
    )
    return Table(("difference", "judge", "here", "published"), tuple(rows))


def verdict(judged: Judged, attack: str, than: str) -> str:
    """Say for which judges an attack flips more often than another, less often, or neither for certain."""
    words = ("more flips for", "fewer flips for", "not decided, as the interval holds zero, for")
    kinds = {each: list[str]() for each in words}
    for title, gain in gains(judged, attack, than).items():
        kinds[words[0 if gain.low > 0 else 1 if gain.high < 0 else 2]].append(title)
    told = "; ".join(f"{each} {', '.join(titles)}" for each, titles in kinds.items() if titles)
    return f"{attack} against {than}: {told or 'no judge counts a triplet'}."


def most_flipped(problem: RankFlip, judged: Judged) -> int:
    """Return the position of the triplet with the most flips over all judges and attacks.

    Half of the triplets are not considered, those whose references have the least contrast, for there would
    be little to see.
    """
    flips = np.zeros(len(problem), int)
    for rows in (rows for by_attack in judged.values() for rows in by_attack.values()):
        flips += flags(rows, "flipped_8bit") & is_counted(rows)
    contrast = problem.triplets.ref.std(dim=(1, 2, 3)).cpu().numpy()
    return int(np.where(contrast >= np.median(contrast), flips, -1).argmax())


def stages(
    problem: RankFlip, made: Mapping[str, AttackResult], judges: Sequence[Metric], position: int
) -> go.Figure:
    """Show one triplet before any attack and under each, on a slider, with its distances by all metrics.

    A distance is given relative to that of the other image.

    Args:
        problem: what was attacked; its target is the closer image.
        made: by the name of the attack, of the triplets of the problem.
        judges: the metrics that judge; that of the problem stands before them.
        position: of the triplet.
    """
    one = problem.triplets[position]
    original = next(iter(made.values())).original[position : position + 1]
    other = one.p0 if bool((original == one.p1).all()) else one.p1
    images = {name: round_to_8bit(result.images[position : position + 1]) for name, result in made.items()}

    def rows(image: Tensor) -> list[list[Panel]]:
        told = _relative_distances((problem.metric, *judges), one.ref, image, other)
        half = (len(told) + 1) // 2
        change = amplified_change(image, original, _GAIN)[0]
        return [
            [Panel(one.ref[0], title="reference"), Panel(other[0], title="other image")],
            [
                Panel(image[0], "<br>".join(told[:half]), "attacked image"),
                Panel(change, "<br>".join(told[half:]), f"what changed, {_GAIN} times"),
            ],
        ]

    alt = (
        f"A slider over {len(made) + 1} stages: no attack, {', '.join(made)}. Each shows the reference, the "
        "other image, the attacked image with its relative distances by all metrics, and the change "
        f"amplified {_GAIN} times."
    )
    return picture_slider(
        {name: rows(image) for name, image in {"no attack": original, **images}.items()}, alt=alt
    )


@torch.no_grad()
def _relative_distances(
    judges: Sequence[Metric], reference: Tensor, image: Tensor, other: Tensor
) -> list[str]:
    values = [float(each(reference, image) / each(reference, other)) for each in judges]
    return [f"{each.spec.title}: {value:.2f}" for each, value in zip(judges, values, strict=True)]


def _published() -> dict[str, PublishedTransfer]:
    return {metrics.spec_of(each.metric).title: each for each in TRANSFER}


def _number(by_attack: Mapping[str, pd.DataFrame]) -> int:
    """Return how many triplets count for a judge; which do is decided before any attack."""
    return int(is_counted(next(iter(by_attack.values()))).sum())


def _on_the_same(
    by_attack: Mapping[str, pd.DataFrame], first: str, second: str
) -> tuple[Flags, Flags, NDArray[np.object_]]:
    """Return which of the triplets that count two attacks flip, and the photographs of these triplets."""
    counted = is_counted(by_attack[first])
    one, other = (flags(by_attack[name], "flipped_8bit")[counted] for name in (first, second))
    return one, other, texts(by_attack[first], "photograph")[counted]
