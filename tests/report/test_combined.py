"""What judges make of images made on another metric, against counts by hand and what was published."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pandas as pd
import pytest
import torch

from simlib import metrics
from simlib.attacks import PGD, RankFlip
from simlib.benchmark.statistics import Rate
from simlib.report.combined import (
    beside_published,
    gains,
    gains_as_table,
    judged_as_table,
    made_as_table,
    most_flipped,
    pairs_as_table,
    stages,
    verdict,
)
from simlib.triplets import draw

N = 40
PLAIN, COMBINED = "PGD(20)", "stAdv+PGD(20)"


def rows(flipped: int, counted: int = N) -> pd.DataFrame:
    """Unlabelled triplets, one a photograph; the first are flipped, the last do not count."""
    return pd.DataFrame(
        {
            "triplet": [f"t{i}" for i in range(N)],
            "photograph": [f"p{i}" for i in range(N)],
            "judge": float("nan"),
            "distance0": 1.0,
            "distance1": 2.0,
            "agrees": [i < counted for i in range(N)],
            "flipped_8bit": [i < flipped for i in range(N)],
        }
    )


JUDGED = {
    "L2": {"stAdv": rows(30), PLAIN: rows(2), COMBINED: rows(10)},
    "GMSD": {"stAdv": rows(0, 20), PLAIN: rows(40, 20), COMBINED: rows(40, 20)},
}


def values(table: Any) -> list[tuple[object, ...]]:
    return [tuple(cell.value if isinstance(cell, Rate) else cell for cell in row) for row in table.rows]


def test_shares_are_of_the_triplets_that_count() -> None:
    assert values(judged_as_table(JUDGED)) == [
        ("n, counted", 40, 20),
        ("stAdv", 0.75, 0),
        (PLAIN, 0.05, 1),
        (COMBINED, 0.25, 1),
    ]


def test_pairs_are_counted_among_the_triplets_that_count() -> None:
    assert pairs_as_table(JUDGED, PLAIN, COMBINED).rows == (("L2", 40, 2, 0, 8), ("GMSD", 20, 20, 0, 0))


def test_published_shares_stand_beside_those_of_the_same_judge() -> None:
    table = beside_published(JUDGED)
    assert table.header == ("judge", "attack", "here", "published")
    assert table.notes == ("L2: n = 40 here, 2,099",)
    assert {row[0] for row in table.rows} == {"L2"}
    by_name = {str(row[1]): row[2:] for row in values(table)}
    assert by_name[COMBINED] == (0.25, 257 / 2_099)
    assert by_name["PGD(10)"][0] is None


def test_differences_have_the_sign_of_the_first_attack() -> None:
    found = gains(JUDGED, COMBINED, "stAdv")
    assert {title: gain.value for title, gain in found.items()} == {"L2": -0.5, "GMSD": 1}
    assert gains_as_table(JUDGED, COMBINED, ["stAdv", PLAIN]).rows == (
        ("stAdv+PGD(20) − stAdv", "L2", found["L2"], "+8.6"),
        ("stAdv+PGD(20) − stAdv", "GMSD", found["GMSD"], None),
        ("stAdv+PGD(20) − PGD(20)", "L2", gains(JUDGED, COMBINED, PLAIN)["L2"], "+4.0"),
        ("stAdv+PGD(20) − PGD(20)", "GMSD", gains(JUDGED, COMBINED, PLAIN)["GMSD"], None),
    )


def test_a_verdict_needs_an_interval_without_zero() -> None:
    assert verdict(JUDGED, COMBINED, "stAdv") == (
        "stAdv+PGD(20) against stAdv: more flips for GMSD; fewer flips for L2."
    )
    assert verdict(JUDGED, COMBINED, PLAIN) == (
        "stAdv+PGD(20) against PGD(20): more flips for L2; not decided, as the interval holds zero, for GMSD."
    )
    assert verdict({}, COMBINED, PLAIN).endswith("no judge counts a triplet.")


def test_the_triplet_to_show_has_contrast_and_flips() -> None:
    triplets = draw("photos", 4)
    fade = torch.tensor([0.1, 1, 0.1, 1]).view(4, 1, 1, 1)
    problem = RankFlip(metrics.load("l2"), replace(triplets, ref=triplets.ref[:1] * fade))
    some = rows(0)[:4].assign(flipped_8bit=[True, False, True, True])
    assert most_flipped(problem, {"L2": {"stAdv": some}}) == 3
    # One that does not count is not flipped, however the judge ranks it.
    assert most_flipped(problem, {"L2": {"stAdv": some.assign(agrees=[True, True, True, False])}}) == 1
    assert most_flipped(problem, {}) == 1


def test_stages_show_distances_relative_to_the_other_image() -> None:
    problem = RankFlip(metrics.load("l2"), draw("photos", 2))
    made = {"PGD(2)": PGD(steps=2, early_stop=False)(problem, protocol="paper")}
    figure: Any = stages(problem, made, [metrics.load("gmsd")], 1)
    assert [frame.name for frame in figure.frames] == ["no attack", "PGD(2)"]
    batch = problem[1].batch()
    closer, farther = batch.distances(batch.original)
    told = figure.frames[0].layout
    assert told.xaxis3.title.text == f"L2: {float(closer / farther):.2f}"
    assert told.xaxis4.title.text.startswith("GMSD: ")
    table = made_as_table(made, "L2", problem.triplets.photographs)
    # Two steps of 0.1275 levels round to no change at all.
    assert table.rows[0][1:] == (made_rate(0, 2), pytest.approx(2 * 0.1275, abs=1e-4), 0.0, 2)


def made_rate(successes: int, n: int) -> Any:
    class Like:
        def __eq__(self, other: object) -> bool:
            return isinstance(other, Rate) and (other.successes, other.n) == (successes, n)

    return Like()
