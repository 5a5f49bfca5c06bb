"""Figures, the teaser and the explorer: what a reader would see is what was measured."""

from __future__ import annotations

import base64
import io
import json
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from simlib.attacks import RankFlip, pgd
from simlib.benchmark.statistics import wilson
from simlib.errors import InputError
from simlib.report import explorer, figures
from simlib.report.explorer import FlipExplorer, result_panels
from simlib.report.figures import Panel
from simlib.report.teaser import teaser
from tests.support import any_weights, random_triplets


def picture(seed: int = 0, side: int = 8) -> torch.Tensor:
    levels = torch.randint(0, 256, (3, side, side), generator=torch.Generator().manual_seed(seed))
    return levels / 255


def shown(source: str) -> torch.Tensor:
    pixels = Image.open(io.BytesIO(base64.b64decode(source.split(",", 1)[1])))
    return torch.from_numpy(np.asarray(pixels)).permute(2, 0, 1) / 255


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


def test_grid_without_panels() -> None:
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
    for value, up, down, rate in zip(bars.y, bars.error_y.array, bars.error_y.arrayminus, rates, strict=True):
        assert value + up == pytest.approx(rate.high)
        assert value - down == pytest.approx(rate.low)
    assert list(bars.customdata) == [str(rate) for rate in rates]


def test_matrix_tells_n_and_interval_and_leaves_blanks() -> None:
    rate = wilson(1, 4)
    matrix: Any = figures.rate_matrix(["a", "b"], [[None, rate], [rate, None]], alt="matrix").data[0]
    assert matrix.z[0][0] is None
    assert matrix.customdata[0][1] == str(rate)
    assert matrix.texttemplate


def test_a_large_matrix_leaves_its_numbers_to_hovering() -> None:
    names = [str(i) for i in range(30)]
    figure: Any = figures.rate_matrix(names, [[wilson(1, 4)] * 30] * 30, alt="matrix")
    assert not figure.data[0].texttemplate
    assert figure.data[0].customdata[0][0] == str(wilson(1, 4))
    assert figure.layout.height < 1000


@pytest.fixture
def problem() -> RankFlip:
    return RankFlip(any_weights("l2"), random_triplets(3))


def test_panels_tell_the_distances_that_the_metric_gives(problem: RankFlip) -> None:
    result = pgd(problem, eps=0.1, step=0.01)
    assert result.flipped.all()
    for i in range(3):
        panels = result_panels(problem, result, i, gain=10)
        other, before, after = (float(panel.caption.split()[-1]) for panel in panels[1:4])
        assert before < other < after
        assert torch.equal(panels[3].image, result.images[i])


def test_teaser_is_a_png(problem: RankFlip) -> None:
    drawn = teaser(result_panels(problem, pgd(problem), 0, gain=10), claim="claim", detail="detail")
    assert isinstance(drawn.data, bytes)
    assert Image.open(io.BytesIO(drawn.data)).size[0] == 1600


def test_explorer_is_a_figure_on_a_page(problem: RankFlip) -> None:
    bundle = FlipExplorer(problem, [2, 0])._repr_mimebundle_()
    figure = bundle["application/vnd.plotly.v1+json"]
    assert len(figure["frames"]) == 2
    assert "L2" in figure["layout"]["meta"]["alt"]
    json.dumps(figure)


def test_explorer_is_an_instrument_in_a_live_notebook(
    problem: RankFlip, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(explorer, "_is_live", lambda: True)
    live = FlipExplorer(problem, [0, 1, 2])
    assert "application/vnd.jupyter.widget-view+json" in live._repr_mimebundle_()
    parts: Any = live.widget.children
    dials, figure = parts
    triplet, budget, steps = dials.children
    before = figure.data[3].source
    budget.value, steps.value = 12.0, 100
    after = figure.data[3].source
    assert after != before
    triplet.value = 1
    assert torch.equal(shown(figure.data[0].source), problem.triplets.ref[1])


def test_explorer_without_triplets(problem: RankFlip) -> None:
    with pytest.raises(InputError, match="at least one triplet"):
        FlipExplorer(problem, [])
