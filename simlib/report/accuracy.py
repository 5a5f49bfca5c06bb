"""How well metrics agree with labels: dots, matrices and tables, and the triplets that most of them miss."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence

import plotly.graph_objects as go
import torch
from torch import Tensor

from simlib.benchmark.agreement import (
    accurate_split,
    human_ceiling,
    majority_accuracy,
    one_person_score,
    two_afc_score,
)
from simlib.benchmark.statistics import Mean
from simlib.metrics import MetricSpec
from simlib.report.matrices import matrices, matrix_of_rates
from simlib.report.pictures import Panel, picture_grid, triplet_panels
from simlib.report.style import COLORS, SYMBOLS, whiskers
from simlib.report.tables import Cell, Table
from simlib.triplets import DISTORTIONS, Triplets
from simlib.triplets.ladders import ladder_ratio

Measured = Mapping[MetricSpec, tuple[Tensor, Tensor]]
"""The distances (N,) of p0 and of p1 by each metric; see :func:`simlib.benchmark.agreement.distances`."""

Groups = Mapping[str, Sequence[bool]]
"""Which of N triplets belong to a group, by its name."""

_STRENGTH = re.compile(rf"^({'|'.join(each.title for each in DISTORTIONS.values())}) \d\.\d\d$")


def agreement_dots(scores: Mapping[MetricSpec, Mean], triplets: Triplets) -> go.Figure:
    """Show the score of each metric with its interval, best on top, and what people would score."""
    order = [spec.title for spec in _ranked(scores)]
    figure = go.Figure()
    for color, symbol, family in zip(
        COLORS, SYMBOLS, ("pixel", "structural", "learned", "custom"), strict=False
    ):
        members = {spec.title: score for spec, score in scores.items() if spec.family == family}
        figure.add_scatter(
            x=[score.value for score in members.values()],
            y=list(members),
            error_x=whiskers(list(members.values())),
            mode="markers",
            marker={"color": color, "symbol": symbol, "size": 9},
            name=family,
            customdata=list(map(str, members.values())),
            hovertemplate="%{y}<br>%{customdata}<extra></extra>",
            visible=bool(members),
        )
    for dash, (name, line) in zip(("dot", "dash"), _people(triplets, triplets.judge).items(), strict=False):
        figure.add_scatter(
            x=[line.value, line.value],
            y=[order[-1], order[0]],
            mode="lines",
            line={"color": COLORS[-1], "dash": dash},
            name=f"{name}, {line.value:.1%}",
            hovertemplate=f"{name}<br>{line}<extra></extra>",
        )
    told = "; ".join(f"{spec.title} {score}" for spec, score in _ranked(scores).items())
    return figure.update_layout(
        xaxis={"tickformat": ".0%", "title": _agreement(triplets)},
        yaxis={"categoryorder": "array", "categoryarray": order[::-1], "dtick": 1, "automargin": True},
        legend={"orientation": "h", "yanchor": "bottom", "y": 1.02},
        height=170 + 24 * len(order),
        meta={"alt": f"Dots with intervals, {_agreement(triplets)}: {told}"},
    )


def agreement_table(measured: Measured, triplets: Triplets) -> Table:
    """Show score and majority accuracy of each metric, best on top, and how many triplets it ranks right.

    Where nobody voted there is no majority to tell from the score, and one column less.
    """
    human = triplets.label_source == "human"
    rows: list[tuple[Cell, ...]] = []
    for spec, score in _ranked(_scores(measured, triplets, triplets.judge)).items():
        right, wrong = (int(each.sum()) for each in accurate_split(*measured[spec], triplets.judge))
        majority = majority_accuracy(*measured[spec], triplets.judge, triplets.photographs)
        rows.append((spec.title, score, *([majority] if human else []), right, wrong))
    votes = ("2AFC score", "majority accuracy", "accurate", "inaccurate")
    return Table(
        ("metric", *(votes if human else ("agreement, constructed", "as labelled", "otherwise"))), tuple(rows)
    )


def by_kind(triplets: Triplets) -> dict[str, list[bool]]:
    """Group triplets by every distortion that takes part in making the first image, or by their folder."""
    parts = [_kinds(first) for first, _ in triplets.distortions]
    known = [each.title for each in DISTORTIONS.values()]
    kinds = dict.fromkeys([*known, *(kind for each in parts for kind in each)])
    return {kind: [kind in each for each in parts] for kind in kinds}


def by_clarity(triplets: Triplets) -> dict[str, list[bool]]:
    """Group triplets by the size of their majority, or ladders by the ratio of their strengths."""
    ratios = [ladder_ratio(name) for name in triplets.names]
    if any(ratios):
        groups = {
            f"{each:g} times": [one == each for one in ratios] for each in sorted(filter(None, set(ratios)))
        }
        return {**groups, "2 times or more": [one is None for one in ratios]}
    majority = torch.maximum(triplets.judge, 1 - triplets.judge)
    bounds = {"up to 65 %": (0.5, 0.65), "65 to 85 %": (0.65, 0.85), "over 85 %": (0.85, 1.01)}
    return {name: ((majority >= low) & (majority < high)).tolist() for name, (low, high) in bounds.items()}


def agreement_matrix(measured: Measured, triplets: Triplets, groups: Groups, title: str) -> go.Figure:
    """Show the score of each metric on each group of triplets, in per cent, and what people would score.

    Groups without labels are left out, for there is nothing to agree with.

    Args:
        measured: distances of the triplets.
        triplets: as many as are in each group's mask.
        groups: the columns.
        title: what the groups differ in.
    """
    votes = {
        name: triplets.judge.where(torch.tensor(mask, device=triplets.judge.device), torch.nan)
        for name, mask in groups.items()
    }
    votes = {name: judge for name, judge in votes.items() if not judge.isnan().all()}
    people = [_people(triplets, judge) for judge in votes.values()]
    scores = [_scores(measured, triplets, judge) for judge in votes.values()]
    rows = {name: [each[name] for each in people] for name in reversed(people[0])}
    for spec in _ranked(_scores(measured, triplets, triplets.judge)):
        rows[spec.title] = [each[spec] for each in scores]
    matrix = matrix_of_rates(list(rows), list(votes), list(rows.values()), across=title)
    figure = matrices(
        {"": matrix}, alt=f"A matrix, {_agreement(triplets)} in per cent, by {title}. {matrix}."
    )
    return figure.update_traces(zmin=0.5, zmax=1)


def missed_table(missed: Tensor, specs: Sequence[MetricSpec], triplets: Triplets, most: int = 10) -> Table:
    """Show which distortions, or pairs of them, are ranked against their label most often.

    Args:
        missed: (metrics, N) of booleans, whether a metric ranks a triplet against its label.
        specs: of the metrics.
        triplets: N of them.
        most: rows of the table.
    """
    together: dict[str, list[int]] = defaultdict(list)
    for i in (~triplets.judge.isnan()).nonzero().flatten().tolist():
        first, second = sorted(", then ".join(_kinds(text)) for text in triplets.distortions[i])
        together[first if first == second else f"{first} against {second}"].append(i)
    rows: list[tuple[str, int, int, str, str]] = []
    for kind, places in together.items():
        counts = missed[:, places].sum(dim=1)
        number, worst = int(counts.sum()), int(counts.argmax())
        if number:
            share = f"{number:,} ({number / (len(specs) * len(places)):.1%})"
            misled = f"{specs[worst].title}, {int(counts[worst])} of {len(places)}"
            rows.append((kind, len(places), number, share, misled))
    rows.sort(key=lambda row: -row[2])
    header = ("distortions", "triplets", "rankings against the label", "most often by")
    return Table(header, tuple((kind, n, share, misled) for kind, n, _, share, misled in rows[:most]))


def labelled_grid(triplets: Triplets, positions: Sequence[int]) -> go.Figure:
    """Show some triplets in rows: the reference, the image that is closer by its label, and the other."""
    done = "; ".join(" and ".join(triplets.distortions[place]) for place in positions)
    alt = (
        f"{len(positions)} triplets in rows: the reference, the image closer by its label, the other. {done}"
    )
    return picture_grid([_labelled_panels(triplets, place) for place in positions], alt=alt)


def _labelled_panels(triplets: Triplets, position: int) -> list[Panel]:
    reference, *images = triplet_panels(triplets, position)
    word = "voted" if triplets.label_source == "human" else "labelled"
    closer_first = images[::-1] if triplets.judge[position] > 0.5 else images
    titles = (f"{word} closer", f"{word} farther")
    return [
        reference,
        *(Panel(each.image, each.caption, title) for each, title in zip(closer_first, titles, strict=True)),
    ]


def _agreement(triplets: Triplets) -> str:
    """Say what a score on these labels is."""
    human = triplets.label_source == "human"
    return "2AFC score: agreement with people" if human else "agreement with the construction"


def _people(triplets: Triplets, judge: Tensor) -> dict[str, Mean]:
    """Return what people would score on these votes; nothing where nobody voted."""
    if triplets.label_source != "human":
        return {}
    scores = {"one more person": one_person_score, "ceiling": human_ceiling}
    return {name: score(judge, triplets.photographs) for name, score in scores.items()}


def _scores(measured: Measured, triplets: Triplets, judge: Tensor) -> dict[MetricSpec, Mean]:
    return {spec: two_afc_score(*pair, judge, triplets.photographs) for spec, pair in measured.items()}


def _ranked(scores: Mapping[MetricSpec, Mean]) -> dict[MetricSpec, Mean]:
    """Return scores from the best to the worst."""
    return dict(sorted(scores.items(), key=lambda item: -item[1].value))


def _kinds(text: str) -> list[str]:
    """Return the distortions that a description names, without their strengths, or the description."""
    return [_STRENGTH.sub(r"\1", part) for part in text.split(", then ")]
