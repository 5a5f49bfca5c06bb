"""Figures of flows: arrows and colours of known flows, and a flicker that does no harm."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
import torch

from simlib.errors import InputError
from simlib.kernels.flow import warp
from simlib.report.flows import Moved, flicker, flow_colors, flow_slider
from simlib.report.pictures import Panel


def constant_flow(down: float, right: float, height: int = 64, width: int = 64) -> torch.Tensor:
    return torch.tensor([down, right], dtype=torch.float32).view(2, 1, 1).expand(2, height, width)


def moved(flow: torch.Tensor, seed: int = 0) -> Moved:
    original = torch.rand((3, *flow.shape[1:]), generator=torch.Generator().manual_seed(seed))
    return Moved(original, warp(original[None], flow[None])[0], flow, ("distance 0.1", "distance 0.2"))


def arrows_of(trace: Any) -> list[tuple[float, float, float, float]]:
    """Return tail and head of every arrow: x, y, x, y."""
    tails, heads, gaps = ([*zip(trace.x[k::3], trace.y[k::3], strict=True)] for k in range(3))
    assert set(gaps) == {(None, None)}
    return [(*tail, *head) for tail, head in zip(tails, heads, strict=True)]


@pytest.mark.parametrize(("down", "right"), [(0.5, 0.0), (0.0, -0.25), (-2.0, 1.0)])
def test_arrows_point_where_the_flow_says(down: float, right: float) -> None:
    figure: Any = flow_slider({"one": moved(constant_flow(down, right))}, alt="arrows")
    amplification = float(figure.layout.xaxis3.title.text.split()[1])
    assert 1 <= amplification * max(abs(down), abs(right)) <= 8
    arrows = arrows_of(figure.data[4])
    assert len(arrows) == 16 * 16
    for x, y, head_x, head_y in arrows:
        assert head_x - x == pytest.approx(right * amplification, abs=0.01)
        assert head_y - y == pytest.approx(down * amplification, abs=0.01)


def test_arrows_lie_over_their_picture_and_do_not_widen_it() -> None:
    figure: Any = flow_slider({"one": moved(constant_flow(0, 5, height=40, width=64))}, alt="arrows")
    assert (figure.data[4].xaxis, figure.data[4].yaxis) == (figure.data[2].xaxis, figure.data[2].yaxis)
    assert figure.layout.xaxis3.range == (-0.5, 63.5)
    assert figure.layout.yaxis3.range == (39.5, -0.5)


def test_every_stop_shows_its_own_flow_on_one_scale() -> None:
    choices = {"a": moved(constant_flow(1, 0)), "b": moved(constant_flow(0, 0.5), seed=1)}
    figure: Any = flow_slider(choices, alt="arrows")
    assert [frame.name for frame in figure.frames] == ["a", "b"]
    (x0, y0, x1, y1), *_ = arrows_of(figure.frames[0].data[4])
    (u0, v0, u1, v1), *_ = arrows_of(figure.frames[1].data[4])
    assert (y1 - y0, x1 - x0) == (2 * (u1 - u0), v1 - v0)
    assert figure.frames[1].layout.xaxis2.title.text == "distance 0.2"


def test_a_page_stays_small_and_says_what_it_shows() -> None:
    flow = torch.randn((2, 256, 256), generator=torch.Generator().manual_seed(0))
    black = torch.zeros(3, 256, 256)
    figure: Any = flow_slider({"one": Moved(black, black, flow)}, alt="a flow")
    assert figure.layout.meta["alt"] == "a flow"
    assert len(figure.data[4].to_plotly_json()["x"]) <= 3 * 16 * 16
    arrows = flow_slider({"one": moved(flow[:, :64, :64])}, alt="a flow")
    assert len(arrows.to_json() or "") < 200 * 1024


@pytest.mark.parametrize(
    ("down", "right", "color"),
    [
        (0, 1, (1, 0, 0)),  # right is red
        (0, -1, (0, 1, 1)),  # left is cyan
        (1, 0, (0.5, 1, 0)),  # down is yellow-green
        (-1, 0, (0.5, 0, 1)),  # up is violet
        (0, 0.5, (1, 0.5, 0.5)),  # half as far is half as deep
        (0, 9, (1, 0, 0)),  # farther than the scale
    ],
)
def test_colors_tell_direction_and_length(down: float, right: float, color: tuple[float, ...]) -> None:
    painted = flow_colors(constant_flow(down, right, 2, 3), longest=1)
    torch.testing.assert_close(painted[:, 1, 2], torch.tensor(color, dtype=torch.float32), atol=1e-5, rtol=0)


def test_flicker_alternates_at_a_rate_that_harms_nobody() -> None:
    before, after = (Panel(torch.full((3, 8, 8), level)) for level in (0.25, 0.75))
    figure: Any = flicker([before, before], [after, after], alt="two pictures")
    assert [frame.name for frame in figure.frames] == ["before", "after"]
    # At rest until the reader asks, it shows what was there before.
    assert figure.data[0].source == figure.frames[0].data[0].source
    play, pause = figure.layout.updatemenus[0].buttons
    names, animation = play.args
    changes_a_second = 1000 / animation["frame"]["duration"]
    assert changes_a_second <= 2
    assert len(names) / changes_a_second <= 30
    assert all(one != following for one, following in pairwise(names))
    assert list(pause.args[0]) == [None]
    assert [step.label for step in figure.layout.sliders[0].steps] == ["before", "after"]
    assert figure.layout.meta["alt"] == "two pictures"


def test_refused() -> None:
    panel = Panel(torch.zeros(3, 8, 8))
    with pytest.raises(InputError, match="at least one image"):
        flow_slider({}, alt="nothing")
    with pytest.raises(InputError, match="2 pictures cannot alternate with 1"):
        flicker([panel, panel], [panel], alt="uneven")
