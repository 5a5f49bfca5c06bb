"""Matrices with a menu: every choice shows its own numbers, and comparisons turn their sign with the row."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest

from simlib.benchmark.comparison import Comparison, compare_targets
from simlib.benchmark.paired import Difference
from simlib.benchmark.rates import transfer_matrix
from simlib.benchmark.statistics import wilson
from simlib.errors import InputError
from simlib.report.matrices import Matrix, comparison_matrix, matrices, matrix_of_rates, transfer_matrices
from tests.benchmark.benchmark_rows import random_rows


def test_cells_show_n_and_interval_and_stay_blank_where_nothing_counts() -> None:
    rate = wilson(1, 8)
    matrix = matrix_of_rates(["L2"], ["PGD", "stAdv"], [[rate, None]], down="judged by", across="made by")
    assert matrix.values == ((0.125, None),)
    assert matrix.texts == (("12", ""),)
    low, high = 100 * rate.low, 100 * rate.high
    text = f"L2, PGD<br>12.5%<br>95 % interval {low:.1f}% to {high:.1f}%<br>n = 8"
    assert matrix.hover == ((text, "L2, stAdv<br>nothing counts"),)
    assert str(matrix) == "L2: PGD 12, stAdv none"


def one_cell(label: str, number: int) -> Matrix:
    rates = [[wilson(number, 100)]]
    return matrix_of_rates([label], ["x"], rates, down=f"down {label}", across=f"across {label}")


def test_the_menu_exchanges_all_that_differs() -> None:
    figure: Any = matrices({label: one_cell(label, k) for k, label in enumerate("abc")}, alt="three")
    (trace,) = figure.data
    (menu,) = figure.layout.updatemenus
    assert [button.label for button in menu.buttons] == ["a", "b", "c"]
    for k, (label, button) in enumerate(zip("abc", menu.buttons, strict=True)):
        held, layout = button.args
        trace.update({name: value for name, (value,) in held.items()})
        assert (trace.y, trace.z, trace.text) == ((label,), ([k / 100],), ([str(k)],))
        assert trace.customdata[0][0].startswith(f"{label}, x")
        assert layout == {"xaxis.title.text": f"across {label}", "yaxis.title.text": f"down {label}"}
    json.loads(figure.to_json())


def test_of_two_menus_each_keeps_what_was_chosen_in_the_other() -> None:
    pairs = list(itertools.product("ab", "pqr"))
    choices = {pair: one_cell("".join(pair), k) for k, pair in enumerate(pairs)}
    figure: Any = matrices(choices, alt="six")
    lower, upper = figure.layout.updatemenus
    for first, second in (pairs[5], pairs[1], pairs[3]):
        for menu, label in ((lower, second), (upper, first)):
            (button,) = [each for each in menu.buttons if each.label == label]
            for place, trace in enumerate(figure.data):
                trace.update({name: values[place] for name, values in button.args[0].items()})
        assert [trace.y for trace in figure.data if trace.visible] == [(first + second,)]
    assert figure.layout.margin.t > upper.pad.b > lower.pad.b
    # A menu with one label only would choose nothing.
    one: Any = matrices({("a", label): one_cell(label, 1) for label in "pq"}, alt="two")
    assert [button.label for button in one.layout.updatemenus[0].buttons] == ["p", "q"]
    assert len(one.layout.updatemenus) == 1


def test_colours_mean_the_same_in_every_choice() -> None:
    choices = {str(k): matrix_of_rates(["r"], ["c"], [[wilson(k, 10)]]) for k in (1, 4)}
    shares: Any = matrices(choices, alt="shares")
    assert (shares.data[0].zmin, shares.data[0].zmax) == (0, 0.4)
    differences: Any = matrices(choices, differences=True, alt="differences")
    assert (differences.data[0].zmin, differences.data[0].zmax) == (-0.4, 0.4)
    assert not {"zmin", "zmax"} & shares.layout.updatemenus[0].buttons[1].args[0].keys()
    faint: Any = matrices({"0": matrix_of_rates(["r"], ["c"], [[wilson(0, 10)]])}, alt="zero")
    assert faint.data[0].zmax == pytest.approx(0.1)


def test_a_menu_of_one_label_is_left_out_and_no_matrix_is_refused() -> None:
    figure: Any = matrices({("a", label): one_cell(label, 1) for label in "pq"}, alt="two")
    (menu,) = figure.layout.updatemenus
    assert [button.label for button in menu.buttons] == ["p", "q"]
    assert [trace.visible for trace in figure.data] == [True]
    alone: Any = matrices({"only": one_cell("only", 1)}, alt="one")
    assert not alone.layout.updatemenus
    with pytest.raises(InputError, match="no matrix"):
        matrices({}, alt="none")


def test_transfer_is_arranged_by_source_and_by_attack() -> None:
    cells = transfer_matrix(random_rows(0, n=60))
    found = transfer_matrices(cells)
    assert list(found) == ["on a", "on b", "on c", "by PGD", "by stAdv"]
    seen = 0
    for cell in cells:
        by_source, by_attack = found[f"on {cell.source}"], found[f"by {cell.attack}"]
        assert cell.source not in by_source.rows
        row, column = by_source.rows.index(cell.target), by_source.columns.index(cell.attack)
        other_row, other_column = by_attack.rows.index(cell.target), by_attack.columns.index(cell.source)
        value = cell.flipped and cell.flipped.value
        assert by_source.values[row][column] == by_attack.values[other_row][other_column] == value
        seen += value is not None
    assert seen == sum(cell.flipped is not None for cell in cells) > 0
    square = found["by PGD"]
    assert all(square.values[square.rows.index(name)][square.columns.index(name)] is None for name in "abc")
    assert list(transfer_matrices([cell for cell in cells if cell.source == "b"])) == ["on b"]


def test_a_comparison_turns_its_sign_with_the_row() -> None:
    pairs = compare_targets(random_rows(2, n=60), "a", "PGD", targets=["b", "c"])
    (pair,) = pairs
    matrix = comparison_matrix(pairs)
    assert pair.difference
    assert matrix.rows == matrix.columns == ("b", "c")
    assert matrix.values[0][1] == pair.difference.value == -(matrix.values[1][0] or 0)
    assert matrix.values[0][0] is None
    assert f"only b {pair.only_first}, only c {pair.only_second}" in matrix.hover[0][1]
    assert f"only c {pair.only_second}, only b {pair.only_first}" in matrix.hover[1][0]
    low, high = 100 * pair.difference.low, 100 * pair.difference.high
    assert f"interval {low:+.1f} to {high:+.1f}" in matrix.hover[0][1]
    assert f"interval {-high:+.1f} to {-low:+.1f}" in matrix.hover[1][0]


def test_stars_mark_what_stays_below_the_corrected_level() -> None:
    difference = Difference(0.2, 50, 0.1, 0.3)
    pairs = [
        Comparison("a", "b", 50, 5, 12, 2, difference, 0.01, 0.03),
        Comparison("a", "c", 50, 5, 12, 2, difference, 0.04, 0.08),
        Comparison("b", "c", 0, 0, 0, 0, None, None, None),
        Comparison("a", "d", 900, 5, 1, 2, Difference(-0.001, 900, -0.01, 0.01), 1.0, 1.0),
    ]
    matrix = comparison_matrix(pairs)
    assert matrix.texts[0] == ("", "+20*", "+20", "0")
    assert matrix.texts[1] == ("-20*", "", "", "")
    assert "no triplet counts for both" in matrix.hover[1][2]
