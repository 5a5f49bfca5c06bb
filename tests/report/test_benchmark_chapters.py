"""What the chapters on the benchmark show: every mark and cell is what plain loops over the rows count."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest

from simlib.benchmark.comparison import Comparison, by_distortion, by_margin
from simlib.benchmark.paired import Difference
from simlib.benchmark.rates import TradeOff, white_box_table
from simlib.benchmark.statistics import wilson
from simlib.report.benchmark_chapters import (
    apart,
    pair_matrices,
    photograph_dots,
    power,
    starred,
    transfer_strata,
    transfer_verdict,
    white_box_dots,
    white_box_strata,
    worst_cases,
)
from simlib.report.tables import Name
from tests.benchmark.benchmark_rows import counts, each_of, joined, random_rows, rows_of


def test_every_attack_on_every_metric_is_a_mark() -> None:
    table = white_box_table(random_rows(1, 30, metrics=("l2", "ssim")))
    figure: Any = white_box_dots(table)
    assert [trace.name for trace in figure.data] == ["PGD, strict", "stAdv, strict"]
    for trace, attack in zip(figure.data, ("PGD", "stAdv"), strict=True):
        assert list(trace.x) == [row.flipped_8bit.value for row in table if row.attack == attack]
    assert list(figure.layout.yaxis.ticktext) == ["L2", "SSIM"]
    assert f"SSIM {table[-1].flipped_8bit.value:.0%}" in figure.layout.meta["alt"]


def test_photographs_are_counted_one_by_one_where_triplets_share_them() -> None:
    flips = [True, False, True, True]
    rows = rows_of("l2", "PGD", photograph=["x", "x", "y", "y"], flipped_8bit=flips)
    rows = joined(rows, rows_of("ssim", "PGD", photograph=["x", "x", "y", "y"]))
    figure: Any = photograph_dots(rows, "l2")
    assert list(figure.data[0].x) == [0.5, 1.0]
    assert list(figure.layout.yaxis.ticktext) == ["x", "y"]
    alone: Any = photograph_dots(rows_of("l2", "PGD", flipped_8bit=flips), "l2")
    assert (list(alone.data[0].x), list(alone.layout.yaxis.ticktext)) == ([0.75], ["all triplets"])


def test_white_box_strata_have_a_matrix_for_each_attack() -> None:
    first = {"distance1": [0.05, 0.05, 0.45, 0.05], "flipped": [True, False, True, True]}
    rows = joined(
        rows_of("l2", "PGD", **first),
        rows_of("ssim", "PGD", distance1=0.45),
        rows_of("l2", "stAdv", flipped=True),
        rows_of("ssim", "stAdv"),
    )
    figure: Any = white_box_strata(rows, by_margin, "ratio")
    assert [button.label for button in figure.layout.updatemenus[0].buttons] == ["PGD", "stAdv"]
    (shown,) = figure.data
    assert list(shown.y) == ["L2", "SSIM"]
    cells = {
        (row, column): shown.z[i][j] for i, row in enumerate(shown.y) for j, column in enumerate(shown.x)
    }
    assert cells["L2", "0 to 0.2"] == pytest.approx(2 / 3)
    assert (cells["L2", "0.8 to 1"], cells["SSIM", "0.8 to 1"], cells["SSIM", "0 to 0.2"]) == (1, 0, None)
    # what only one metric's triplets have is blank for the other
    kinds = joined(rows_of("l2", "PGD", distortion0="Warp 0.40"), rows_of("ssim", "PGD"))
    matrix: Any = white_box_strata(kinds, by_distortion, "distortion").data[0]
    assert list(matrix.x) == ["JPEG", "Warp", "Gaussian blur"]
    assert [list(line) for line in matrix.z] == [[0, 0, None], [0, None, 0]]


def test_transfer_strata_count_by_the_ratio_of_the_source_and_open_on_the_last_attack() -> None:
    rows = random_rows(3, 60, metrics=("l2", "ssim", "gmsd"))
    figure: Any = transfer_strata(rows, "ssim")
    assert [button.label for button in figure.layout.updatemenus[0].buttons] == ["stAdv", "PGD"]
    assert list(figure.data[0].y) == ["L2", "GMSD"]
    made = [row for row in each_of(rows) if (row.source, row.attack) == ("ssim", "stAdv")]
    far = {row.triplet for row in made if row.target == "ssim" and 0 in (row.distance0, row.distance1)}
    far -= {row.triplet for row in made if row.target == "ssim" and row.distance0 == row.distance1}
    flips = [row.flipped_8bit for row in made if row.target == "l2" and row.triplet in far and counts(row)]
    assert flips and figure.data[0].z[0][0] == pytest.approx(sum(flips) / len(flips))


def compared(first: str, second: str, difference: Difference | None, corrected: float | None) -> Comparison:
    return Comparison(first, second, 50, 5, 12, 2, difference, corrected, corrected)


def test_pairs_that_differ_are_counted_and_told() -> None:
    pairs = [
        compared("l2", "ssim", Difference(0.2, 50, 0.1, 0.3), 0.03),
        compared("l2", "gmsd", Difference(-0.2, 50, -0.3, -0.1), 0.06),
        compared("ssim", "gmsd", Difference(0.1, 50, -0.1, 0.3), 0.9),
        compared("ssim", "mdsi", None, None),
    ]
    assert apart(pairs) == pairs[:2]
    assert starred(pairs) == pairs[:1]
    alt = pair_matrices({"PGD": pairs, "stAdv": []}).layout.meta["alt"]  # pyright: ignore[reportAttributeAccessIssue]
    assert "L2 +20 points against SSIM, L2 -20 points against GMSD." in alt
    assert "PGD; stAdv" in alt


def test_few_photographs_bound_every_p_value() -> None:
    assert power(None, 3) == "The triplets are taken as independent."
    told = power(8, 10)
    assert "can be below 0.0078" in told and "then at least 0.078." in told and "no star can stand" in told
    assert "no star" not in power(16, 10)


def transferred(*attacks: str) -> pd.DataFrame:
    """Make images on LPIPS (Alex), of which the last attack's flip L2 half as often as the first's."""
    parts = [rows_of("lpips-alex", attack, flipped=True) for attack in attacks]
    for attack, flips in zip(attacks, ([True] * 4, [True, True, False, False]), strict=False):
        parts.append(rows_of("lpips-alex", attack, "l2", flipped_8bit=flips))
    return joined(*parts)


def test_the_claim_of_the_paper_is_held_beside_this_run() -> None:
    told = transfer_verdict(transferred("stAdv", "stAdv+PGD(20)"), chosen_by="stAdv")
    published = 100 * (257 - 77) / 2099
    assert f"- L2: published {published:+.1f} points, here -50.0 points" in told
    assert "SSIM" not in told
    assert "has no stAdv with PGD" in transfer_verdict(transferred("stAdv", "PGD(10)"))
    assert "has no stAdv with PGD" in transfer_verdict(rows_of("ssim", "stAdv"))


def test_the_worst_case_of_each_metric() -> None:
    accuracy, low, high = wilson(9, 10), wilson(2, 10), wilson(8, 10)
    own = {
        "PGD": [TradeOff("l2", accuracy, high), TradeOff("ssim", accuracy, None)],
        "FGSM": [TradeOff("l2", accuracy, low)],
    }
    others = {
        ("SSIM", "PGD"): [TradeOff("l2", accuracy, low), TradeOff("gmsd", None, high)],
        ("SSIM", "FGSM"): [TradeOff("l2", accuracy, high)],
    }
    table = worst_cases(own, others)
    assert table.rows == (
        (Name("l2", "L2"), accuracy, low, "FGSM", low, "SSIM, PGD"),
        (Name("gmsd", "GMSD"), None, None, None, high, "SSIM, PGD"),
    )
