"""Figures: what a reader would see is what was measured."""

from __future__ import annotations

import base64
import io
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from simlib.benchmark.statistics import wilson
from simlib.errors import InputError
from simlib.report import figures
from simlib.report.pictures import Panel


def picture(seed: int = 0, side: int = 8) -> torch.Tensor:
    levels = torch.randint(0, 256, (3, side, side), generator=torch.Generator().manual_seed(seed))
    return levels / 255


def shown(source: str) -> torch.Tensor:
    pixels = Image.open(io.BytesIO(base64.b64decode(source.split(",", 1)[1])))
    return torch.from_numpy(np.array(pixels)).permute(2, 0, 1) / 255


def test_a_picture_is_shown_to_the_last_bit() -> None:
    assert torch.equal(shown(figures.png_source(picture())), picture())


def test_grid_places_every_panel_and_leaves_the_end_of_short_rows_blank() -> None:
    rows = [[Panel(picture(0), "one", "a")], [Panel(picture(1), "two", "b"), Panel(picture(2), "three", "c")]]
    figure: Any = figures.picture_grid(rows, alt="three pictures")
    assert [trace.xaxis for trace in figure.data] == ["x", "x3", "x4"]
    captions = [figure.layout[figures.axis_of(trace)].title.text for trace in figure.data]
    assert captions == ["one", "two", "three"]
    assert [note.text for note in figure.layout.annotations] == ["a", "b", "c"]
    assert figure.layout.meta["alt"] == "three pictures"
    with pytest.raises(InputError, match="at least one panel"):
        figures.picture_grid([[]], alt="nothing")


def test_slider_exchanges_pictures_and_captions() -> None:
    choices = {label: [[Panel(picture(seed), label, "t")]] for seed, label in enumerate(("first", "second"))}
    figure: Any = figures.picture_slider(choices, alt="two pictures")
    assert [step.label for step in figure.layout.sliders[0].steps] == ["first", "second"]
    for seed, frame in enumerate(figure.frames):
        assert torch.equal(shown(frame.data[0].source), picture(seed))
        assert frame.layout.xaxis.title.text == frame.name


def test_amplified_change_is_grey_where_nothing_changed() -> None:
    original = picture()
    changed = original.clone()
    changed[0, 0, 0] += 1 / 255
    amplified = figures.amplified_change(changed, original, gain=20)
    assert float(amplified[0, 0, 0]) == pytest.approx(0.5 + 20 / 255, abs=1e-5)
    assert (amplified.flatten()[1:] == 0.5).all()


def test_rates_are_drawn_with_their_intervals() -> None:
    rates = [wilson(k, 10) for k in (1, 5, 9)]
    curves: Any = figures.curves_with_bands([1, 2, 3], {"a": rates}, x_title="x", y_title="y", alt="rising")
    band, line = curves.data
    assert list(line.y) == [0.1, 0.5, 0.9]
    assert list(band.y) == [*(r.high for r in rates), *(r.low for r in reversed(rates))]
    bars: Any = figures.rate_bars(["p", "q", "r"], {"a": rates}, y_title="y", alt="bars").data[0]
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
