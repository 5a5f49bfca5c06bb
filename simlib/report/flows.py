"""Figures of attacks that move pixels: flows as arrows and colours, and a flicker of before and after."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import plotly.graph_objects as go
import torch
from torch import Tensor

from simlib.errors import InputError
from simlib.report.pictures import Panel, picture_slider

_ARROWS = 16
"""Most arrows along a side of an image; more run together on a narrow page."""

LONG = 0.99
"""Share of the pixels that move no farther than the scale of a figure reaches; few move much farther."""

_HEAD = 7
"""Size of an arrow's head, in pixels of the page."""

_PALE = 0.45
"""Contrast that an image keeps under arrows, so that they stand out on any of it."""

_FLICKER_MILLISECONDS = 500
"""How long a picture stays: two changes a second, well below the three flashes that can harm (WCAG 2.3.1)."""

_FLICKERS = 20
"""Times the two pictures alternate before the animation comes to rest by itself."""


@dataclass(frozen=True)
class Moved:
    """What a spatial attack did to one image (3, H, W) in [0, 1], with the lines under before and after.

    ``flow`` is (2, H, W) in pixels, rows and columns: where each pixel of the attacked image looks in the
    original, relative to its own place.
    """

    original: Tensor
    attacked: Tensor
    flow: Tensor
    captions: tuple[str, str] = ("", "")


def flow_slider(choices: Mapping[str, Moved], *, alt: str = "") -> go.Figure:
    """Show images before and after, and the flow between them as arrows and as colours; one stop a choice.

    An arrow stands on a pixel of the attacked image and points to the place in the original that the pixel
    takes its value from. All arrows of the figure are amplified alike, and all colours share one scale.
    Images must be of one size.

    Raises:
        InputError: if there is no choice.
    """
    if not choices:
        raise InputError("A figure of flows needs at least one image that was moved.")
    flows = [moved.flow.cpu() for moved in choices.values()]
    long = max(float(flow.norm(dim=0).quantile(LONG)) for flow in flows)
    height, width = flows[0].shape[-2:]
    amplification = _fitting_amplification(long, _spacing(flows[0]))
    rows = {label: _rows(moved, amplification, long) for label, moved in choices.items()}
    alt = alt or (
        f"A slider over {len(choices)} images. Each is shown before and after the attack, with the flow as "
        "arrows over the paled image and as colours, whose hue tells direction and whose depth tells length."
    )
    figure = picture_slider(rows, alt=alt)
    place: Any = figure.data[2]
    # Arrows that leave the picture must not widen its axes.
    figure.layout[place.xaxis.replace("x", "xaxis")].range = [-0.5, width - 0.5]
    figure.layout[place.yaxis.replace("y", "yaxis")].range = [height - 0.5, -0.5]
    figure.add_trace(_arrows(flows[0], amplification).update(xaxis=place.xaxis, yaxis=place.yaxis))
    for frame, flow in zip(figure.frames, flows, strict=True):
        frame.data = (*frame.data, _arrows(flow, amplification))
    return figure


def flow_colors(flow: Tensor, longest: float) -> Tensor:
    """Paint a flow (2, H, W): the hue tells the direction, the depth of the colour the length.

    Red looks to the right, yellow-green down, cyan to the left, violet up; white does not move. Colour is
    full at the longest length, in pixels as is the flow. Returns an image (3, H, W) in [0, 1].
    """
    down, right = flow
    turn = torch.atan2(down, right) / (2 * math.pi)
    depth = (flow.norm(dim=0) / max(longest, torch.finfo(flow.dtype).tiny)).clamp(0, 1)
    # The three channels are one wave around the circle, a third of a turn apart.
    phase = turn - torch.tensor([0, 1 / 3, 2 / 3], dtype=flow.dtype, device=flow.device).view(3, 1, 1)
    hue = (2 - 6 * (phase - phase.round()).abs()).clamp(0, 1)
    return 1 - depth * (1 - hue)


def flicker(before: Sequence[Panel], after: Sequence[Panel], *, alt: str) -> go.Figure:
    """Show pictures side by side that alternate in place with others, so that the eye finds what changed.

    All pictures are of one size. Nothing moves until the reader asks. The animation changes twice a second,
    rests by itself after some seconds, and can be stopped or stepped by hand.

    Raises:
        InputError: if there is no picture, or not as many after as before.
    """
    if len(before) != len(after):
        raise InputError(f"{len(before)} pictures cannot alternate with {len(after)}. Give as many of both.")
    figure = picture_slider({"before": [before], "after": [after]}, alt=alt)
    return figure.update_layout(sliders=[{"x": 0.4, "len": 0.6}], updatemenus=[_play_and_pause()])


def _rows(moved: Moved, amplification: float, long: float) -> list[list[Panel]]:
    before, after = moved.captions
    pale = moved.original * _PALE + (1 - _PALE)
    arrows = f"arrows {amplification:g} times<br>their true length"
    colors = f"full colour: {long:.2g} pixels<br>→red ↓green ←cyan ↑violet"
    first = Panel(moved.original, before, "before the attack")
    last = Panel(moved.attacked, after, "after the attack")
    painted = Panel(flow_colors(moved.flow, long), colors, "the same as colours")
    return [[first, last], [Panel(pale, arrows, "where pixels come from"), painted]]


def _spacing(flow: Tensor) -> int:
    return math.ceil(max(flow.shape[-2:]) / _ARROWS)


def _fitting_amplification(long: float, spacing: int) -> float:
    """Return the largest of 1, 2, 5, 10, 20, ... that lets no long arrow reach beyond the second next one."""
    if long <= 0:
        return 1
    room = 2 * spacing / long
    power = 10.0 ** math.floor(math.log10(room))
    return next(digit * power for digit in (5, 2, 1) if digit * power <= room)


def _arrows(flow: Tensor, amplification: float) -> go.Scatter:
    """Draw a flow (2, H, W) as arrows on a grid, one line of three points each: tail, head, gap."""
    height, width = flow.shape[-2:]
    spacing = _spacing(flow)
    rows, columns = (torch.arange(spacing // 2, side, spacing) for side in (height, width))
    down, right = flow.detach().cpu()[:, rows][:, :, columns].double() * amplification
    x, y, sizes = [], [], []
    tails = torch.cartesian_prod(rows, columns).tolist()
    for (row, column), dy, dx in zip(tails, down.flatten().tolist(), right.flatten().tolist(), strict=True):
        x += [column, round(column + dx, 2), None]
        y += [row, round(row + dy, 2), None]
        sizes += [0, round(min(_HEAD, 2 * math.hypot(dx, dy)), 1), 0]
    return go.Scatter(
        x=x,
        y=y,
        mode="lines+markers",
        line={"color": "#1A1A1A", "width": 1.2},
        marker={"symbol": "arrow", "angleref": "previous", "size": sizes, "color": "#1A1A1A"},
        hoverinfo="skip",
        showlegend=False,
    )


def _play_and_pause() -> dict[str, object]:
    still: dict[str, object] = {"mode": "immediate", "frame": {"duration": 0, "redraw": True}}
    frame = {"duration": _FLICKER_MILLISECONDS, "redraw": True}
    playing = still | {"frame": frame, "transition": {"duration": 0}}
    alternating = ["after", "before"] * _FLICKERS
    corner = {"x": 0, "xanchor": "left", "y": 0, "yanchor": "top", "pad": {"t": 46, "l": 4}}
    return {
        "type": "buttons",
        "direction": "left",
        "showactive": False,
        **corner,
        "buttons": [
            {"label": "play", "method": "animate", "args": [alternating, playing]},
            {"label": "pause", "method": "animate", "args": [[None], still]},
        ],
    }
