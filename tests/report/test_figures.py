"""Figures of rates: what a reader would see is what was measured."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from simlib.benchmark.statistics import wilson
from simlib.report import figures


def test_rates_are_drawn_with_their_intervals() -> None:
    rates = [wilson(k, 10) for k in (1, 5, 9)]
    curves: Any = figures.curves_with_bands([1, 2, 3], {"a": rates}, x_title="x", y_title="y", alt="rising")
    band, line = curves.data
    assert list(line.y) == [0.1, 0.5, 0.9]
    assert list(band.y) == [*(r.high for r in rates), *(r.low for r in reversed(rates))]
    bars: Any = figures.rate_bars(["p", "q", "r"], {"a": rates}, y_title="y").data[0]
    assert np.add(bars.y, bars.error_y.array) == pytest.approx([rate.high for rate in rates])
    assert np.subtract(bars.y, bars.error_y.arrayminus) == pytest.approx([rate.low for rate in rates])
    assert list(bars.customdata) == [str(rate) for rate in rates]


def test_matrix_shows_n_and_interval_and_leaves_blanks() -> None:
    rate = wilson(1, 4)
    matrix: Any = figures.rate_matrix(["a", "b"], [[None, rate], [rate, None]], alt="matrix").data[0]
    assert matrix.z[0][0] is None
    assert matrix.customdata[0][1] == str(rate)
    assert matrix.texttemplate
    names = [str(i) for i in range(30)]
    large: Any = figures.rate_matrix(names, [[rate] * 30] * 30, alt="matrix")
    assert not large.data[0].texttemplate, "so many numbers are left to hovering"
    assert large.layout.height < 1000


def test_a_figure_without_a_description_tells_its_values() -> None:
    rates = {"PGD": [wilson(1, 4), wilson(3, 4)], "FGSM": [wilson(0, 4), wilson(1, 4)]}
    bars: Any = figures.rate_bars(["L2", "SSIM"], rates, y_title="flipped")
    assert (
        bars.layout.meta["alt"] == "Bars of the share flipped. PGD: L2 25%, SSIM 75%; FGSM: L2 0%, SSIM 25%."
    )
    curves: Any = figures.curves_with_bands([1, 8], rates, x_title="steps", y_title="flipped")
    assert curves.layout.meta["alt"].endswith("against steps, from 1 to 8: PGD 25% to 75%; FGSM 0% to 25%.")


def test_published_shares_stand_as_marks_beside_ours() -> None:
    figure: Any = figures.rate_bars(["a"], {"here": [wilson(1, 4)]}, y_title="flipped")
    marks: Any = figures.add_published(figure, ["a"], [0.5], of=", BAPPS").data[-1]
    assert (marks.name, marks.mode, list(marks.y)) == ("published, BAPPS", "markers", [0.5])
