"""Tables of a benchmark: every number where it belongs, and readable in a terminal."""

from __future__ import annotations

import json
import statistics
from typing import Any

import pytest

from simlib import metrics
from simlib.benchmark.comparison import compare_metrics
from simlib.benchmark.rates import TransferCell, transfer_matrix, white_box_table
from simlib.benchmark.statistics import Rate, wilson
from simlib.errors import UnknownNameError
from simlib.report.benchmark import (
    comparisons_as_table,
    named,
    published_ratios_beside,
    published_transfer_beside,
    published_white_box_beside,
    transfer_as_table,
    white_box_as_table,
)
from simlib.report.published import TRANSFER, TRANSFER_ATTACKS
from simlib.report.tables import Count, Name, Table
from tests.benchmark.benchmark_rows import NAN, each_of, joined, random_rows, rows_of


def cell(table: Table, row: int, title: str) -> object:
    return table.rows[row][table.header.index(title)]


def test_every_number_of_the_white_box_table_stands_under_its_title() -> None:
    rows = white_box_table(random_rows(5, 40, metrics=("l2", "ssim", "mine"), photographs=8))
    table = white_box_as_table(rows)
    names = [Name("l2", "L2"), Name("ssim", "SSIM"), Name("mine", "mine")]
    assert [row[0] for row in table.rows[::2]] == names
    titles = {"flipped": "flipped", "in 8 bits": "flipped_8bit", "accurate": "accurate", "other": "other"}
    titles |= {"no label": "unlabelled", "RMSE": "rmse", "largest change": "linf", "attack": "attack"}
    titles |= {name: name for name in ("protocol", "steps", "forwards", "backwards", "seconds")}
    for number, row in enumerate(rows):
        assert cell(table, number, "n") == Count(40, row.flipped.photographs)
        for title, attribute in titles.items():
            assert cell(table, number, title) == getattr(row, attribute)


def test_groups_without_triplets_have_no_column() -> None:
    accurate = white_box_as_table(white_box_table(rows_of("l2", "PGD")))
    assert "accurate" in accurate.header and not {"other", "no label"} & set(accurate.header)
    unlabelled = white_box_as_table(white_box_table(rows_of("l2", "PGD", judge=NAN)))
    assert "no label" in unlabelled.header and "accurate" not in unlabelled.header
    assert white_box_as_table([]).rows == ()


def test_a_part_of_the_white_box_table_has_its_own_columns_and_notes() -> None:
    rows = white_box_table(random_rows(5, 40, metrics=("l2", "ssim"), photographs=8))
    whole, headers = white_box_as_table(rows), list[str]()
    for about in ("n", "rates", "labels", "effort"):
        part = white_box_as_table(rows, [about])
        assert part.header[:2] == ("metric", "attack")
        assert set(part.notes) <= set(whole.notes)
        headers += part.header[2:]
        for title in part.header:
            for number in range(len(rows)):
                assert cell(part, number, title) == cell(whole, number, title)
    assert whole.header[2:] == tuple(headers)


def test_tables_fit_a_terminal() -> None:
    rows = random_rows(3, 40, metrics=("lpips-alex", "ssim", "st-lpips-alex"))
    for table in (
        white_box_as_table(white_box_table(rows)),
        transfer_as_table(transfer_matrix(rows), "lpips-alex"),
        comparisons_as_table(compare_metrics(rows, "PGD")),
    ):
        assert max(map(len, table.render("text", 100).split("\n"))) <= 100


def test_targets_stand_down_and_attacks_across() -> None:
    cells = transfer_matrix(random_rows(1, 40, metrics=("l2", "ssim", "dists")))
    table = transfer_as_table(cells, "ssim")
    assert table.header == ("judged by", "counted", "PGD", "stAdv")
    assert [row[0] for row in table.rows] == [named("l2"), named("dists")]
    known = {(each.source, each.target, each.attack): each for each in cells}
    for number, target in enumerate(("l2", "dists")):
        first, second = (known["ssim", target, attack] for attack in ("PGD", "stAdv"))
        count = Count(first.counted, first.flipped.photographs if first.flipped else None)
        assert table.rows[number][1:] == (count, first.flipped, second.flipped)
    assert not table.with_n
    assert metrics.spec_of("ssim").title in table.notes[0]


def test_targets_of_which_none_counts_and_attacks_that_are_missing() -> None:
    cells = [
        TransferCell("l2", "PGD", "ssim", 4, 0, None),
        TransferCell("l2", "PGD", "dists", 4, 2, wilson(1, 2)),
        TransferCell("l2", "stAdv", "dists", 3, 1, wilson(1, 1)),
    ]
    table = transfer_as_table(cells, "l2")
    second = (named("dists"), None, wilson(1, 2), wilson(1, 1))
    assert table.rows == ((named("ssim"), Count(0), None, None), second)
    # where the number that counts depends on the attack, each rate shows its own
    assert table.with_n
    assert "50.0% [9.5%, 90.5%] of 2" in str(table)


def test_a_source_that_was_not_attacked() -> None:
    cells = [TransferCell("lpips-alex", "PGD", "ssim", 4, 0, None)]
    with pytest.raises(UnknownNameError, match="Did you mean lpips-alex"):
        transfer_as_table(cells, "lpips")


def test_comparisons() -> None:
    differing = {"l2": {"flipped": True}, "ssim": {}, "dists": {"judge": 0.0}}
    six: dict[str, Any] = {"n": 6, "photograph": list("xxyyzz")}
    rows = joined(*(rows_of(name, "PGD", **six, **more) for name, more in differing.items()))
    found = compare_metrics(rows, "PGD")
    table = comparisons_as_table(found)
    first = (named("l2"), named("ssim"), Count(6, 3), 0, 6, 0, found[0].difference, found[0].p_value)
    assert table.rows[0] == (*first, found[0].corrected)
    assert table.rows[1] == (named("l2"), named("dists"), Count(0), 0, 0, 0, None, None, None)
    assert "+100.0 [" in str(table) and "6 from 3 photographs" in str(table)
    assert json.loads(table.render("json"))[0]["difference"]["photographs"] == 3


def test_the_published_transfer_stands_beside_ours() -> None:
    cells = [
        TransferCell("lpips-alex", "stAdv", "ssim", 30, 20, wilson(7, 20)),
        TransferCell("lpips-alex", "PGD(10)", "l2", 30, 0, None),
        TransferCell("ssim", "PGD(20)", "l2", 30, 20, wilson(9, 20)),
    ]
    table = published_transfer_beside(cells)
    assert len(table.rows) == len(TRANSFER) * len(TRANSFER_ATTACKS)
    by_names = {(row[0].name, row[1]): row[2:] for row in table.rows if isinstance(row[0], Name)}
    assert by_names["ssim", "stAdv"] == (wilson(7, 20), wilson(78, 2093))
    assert by_names["l2", "PGD(10)"] == (None, wilson(101, 2099))
    # made on another metric than the published one
    assert by_names["l2", "PGD(20)"] == (None, wilson(174, 2099))
    assert by_names["st-lpips-alex", "stAdv+PGD(20)"][1] == wilson(310, 2470)
    assert "Ours are of 30 triplets" in table.notes[1]
    assert "3.7% [3.0%, 4.6%] of 2,093" in str(table)
    assert all(row[2] is None for row in published_transfer_beside([]).rows)


def test_the_published_white_box_attack_stands_beside_ours() -> None:
    rows = joined(random_rows(9, 25, metrics=("lpips-alex", "ssim"), attacks=("PGD", "stAdv"), photographs=4))
    table = published_white_box_beside(rows)
    own = [row for row in each_of(rows) if row.source == row.target == "lpips-alex" and row.attack == "PGD"]
    flips = [row for row in own if row.flipped]
    here, published = ({row[0]: row[column] for row in table.rows} for column in (1, 2))
    assert here["triplets"] == Count(25, 4)
    every, early = (here[name] for name in ("flipped", "within 3 steps"))
    assert isinstance(every, Rate) and isinstance(early, Rate)
    assert (every.successes, every.n) == (len(flips), 25)
    assert (early.successes, early.n) == (sum(row.steps <= 3 for row in flips), len(flips))
    steps = [row.steps for row in flips]
    assert here["steps, mean"] == pytest.approx(sum(steps) / len(steps))
    assert here["steps, median"] == statistics.median(steps)
    assert here["RMSE, mean"] == pytest.approx(sum(row.rmse for row in flips) / len(flips))
    assert published["flipped"] == wilson(9724, 12227)
    assert published["within 3 steps"] == wilson(1970, 9724)
    assert (published["steps, median"], published["RMSE, mean"]) == (10.0, 1.244)
    assert table.notes[1].startswith("The data differ, and the protocol is strict here.")


def test_the_same_protocol_is_not_named() -> None:
    table = published_white_box_beside(rows_of("lpips-alex", "PGD", protocol="paper"))
    assert table.notes[1].startswith("The data differ. ")
    # nothing flipped: no steps, and no share of the flips
    assert [row[1] for row in table.rows] == [Count(4), wilson(0, 4), None, None, None, None]


def test_a_run_without_the_published_attack_says_so() -> None:
    table = published_white_box_beside(rows_of("ssim", "PGD"))
    assert [row[1] for row in table.rows] == [None] * 6
    assert table.notes[0] == "This run has no attack PGD on LPIPS (Alex)."
    assert str(table)
    ratios = published_ratios_beside(rows_of("ssim", "PGD"))
    assert (ratios.rows, ratios.notes) == ((), table.notes[:1])


def test_the_published_course_over_the_ratio_stands_beside_ours() -> None:
    distances: dict[str, Any] = {"distance0": [1.0, 1.0, 1.0, 1.0], "distance1": [0.1, 0.1, 0.5, 1.0]}
    rows = rows_of("lpips-alex", "PGD", flipped=[True, False, False, True], **distances)
    found = {row[0]: row[1:] for row in published_ratios_beside(rows).rows}
    assert found["0 to 0.2"] == (wilson(1, 2), "53.6%")
    assert found["0.2 to 0.4"] == (None, "79.2%")
    assert found["0.4 to 0.6"] == (wilson(0, 1), "93.2%")
    assert found["0.8 to 1"] == (wilson(1, 1), "100.0%")
