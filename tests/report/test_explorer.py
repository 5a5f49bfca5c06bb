"""The explorer and the teaser: what they show is what the metric measures."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
import torch
from PIL import Image

from simlib.attacks import PGD, RankFlip
from simlib.errors import InputError
from simlib.report.explorer import FlipExplorer, result_panels
from simlib.report.teaser import teaser
from tests.report.test_pictures import shown
from tests.support import any_weights, random_triplets


@pytest.fixture
def problem() -> RankFlip:
    return RankFlip(any_weights("l2"), random_triplets(3))


def test_panels_show_the_distances_that_the_metric_gives(problem: RankFlip) -> None:
    result = PGD(eps=0.1, step=0.01)(problem)
    assert result.flipped.all()
    for i in range(3):
        panels = result_panels(problem, result, i, gain=10)
        other, before, after = (float(panel.caption.split()[-1]) for panel in panels[1:4])
        assert before < other < after
        assert torch.equal(panels[3].image, result.images[i])


def test_teaser_is_a_png(problem: RankFlip) -> None:
    drawn = teaser(result_panels(problem, PGD()(problem), 0, gain=10), claim="claim", detail="detail")
    assert isinstance(drawn.data, bytes)
    assert Image.open(io.BytesIO(drawn.data)).size[0] == 1600


def test_explorer_is_a_figure_on_a_page(problem: RankFlip) -> None:
    bundle = FlipExplorer(problem, [2, 0])._repr_mimebundle_()
    figure = bundle["application/vnd.plotly.v1+json"]
    assert len(figure["frames"]) == 2
    assert "L2" in figure["layout"]["meta"]["alt"]
    json.dumps(figure)


def test_explorer_has_an_instrument_whose_dials_attack_again(problem: RankFlip) -> None:
    live = FlipExplorer(problem, [0, 1, 2])
    parts: Any = live.instrument.children
    dials, figure = parts
    triplet, budget, steps = dials.children
    before = figure.data[3].source
    budget.value, steps.value = 12.0, 100
    after = figure.data[3].source
    assert after != before
    triplet.value = 1
    assert torch.equal(shown(figure.data[0].source), problem.triplets.ref[1])
    with pytest.raises(InputError, match="at least one triplet"):
        FlipExplorer(problem, [])
