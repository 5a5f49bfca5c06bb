"""Figures of the one-pixel attack: its pixel close up, the search for it, all pixels with their colours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import plotly.graph_objects as go
import torch
from plotly.subplots import make_subplots
from torch import Tensor

from simlib.attacks import AttackResult, OnePixel, RankFlip
from simlib.attacks.sparse import painted, pixel_bounds, pixels_of
from simlib.errors import InputError
from simlib.kernels.evolution import DifferentialEvolution
from simlib.kernels.images import LEVELS
from simlib.kernels.noise import Draws
from simlib.kernels.projection import round_to_8bit
from simlib.report.explorer import result_panels
from simlib.report.pictures import Panel, picture_slider, png_source, slider
from simlib.report.style import COLORS

_NEAR = 5
"""Pixels that a close-up shows on each side of the changed one."""

_RING = 3
"""Distance of the frame around a pixel that one is to look at."""

_FRAME = (0.84, 0.37, 0.0)
"""The colour of that frame: orange, which reads well on a faded image."""

_AXES = 56
"""Pixels of the page between a plot and the slider below it, for the labels of its axis."""


@dataclass(frozen=True)
class Pixels:
    """The pixels that a one-pixel attack painted, one for each of M samples.

    Attributes:
        rows: (M,) whole numbers, 0 at the top.
        columns: (M,) whole numbers, 0 at the left.
        before: (M, 3) colours in levels of 255, as they were.
        after: (M, 3) colours in levels of 255, as they are painted.
    """

    rows: Tensor
    columns: Tensor
    before: Tensor
    after: Tensor

    @classmethod
    def of(cls, result: AttackResult, positions: Sequence[int]) -> Pixels:
        """Return the pixels of some samples of a result; their images must have been of 8 bits."""
        pixels = result.details["pixels"][list(positions), 0].cpu()
        rows, columns = pixels[:, :2].long().unbind(dim=1)
        before = result.original.cpu()[list(positions), :, rows, columns]
        return cls(rows, columns, _levels(before), _levels(pixels[:, 2:]))


def pixel_slider(problem: RankFlip, result: AttackResult, positions: Sequence[int]) -> go.Figure:
    """Show results of a one-pixel attack, one stop of a slider for each.

    Above are the images that are compared and where to look, below the attack and a close-up of its pixel.
    """
    alt = (
        f"A slider over {len(positions)} triplets. Each shows the reference, the other image, the image "
        "under attack before and after one pixel was changed, with distances, a faded copy with a frame "
        "around that pixel, and a close-up of it."
    )
    rows = {str(i + 1): _with_close_up(problem, result, each) for i, each in enumerate(positions)}
    return picture_slider(rows, alt=alt)


def where_to_look(image: Tensor, row: int, column: int) -> Tensor:
    """Fade an image (3, H, W), and draw a frame around one pixel."""
    height, width = image.shape[-2:]
    rows = (torch.arange(height, device=image.device) - row).abs().view(-1, 1)
    columns = (torch.arange(width, device=image.device) - column).abs().view(1, -1)
    frame = torch.maximum(rows, columns) == _RING
    return torch.where(frame, image.new_tensor(_FRAME).view(3, 1, 1), (image * 0.35 + 0.6).clamp(0, 1))


def close_up(image: Tensor, row: int, column: int) -> Tensor:
    """Enlarge what surrounds one pixel to the size of the image (3, H, W)."""
    height, width = image.shape[-2:]
    rows, columns = _nearby(height, row), _nearby(width, column)
    return image[:, rows.to(image.device)][:, :, columns.to(image.device)]


@dataclass(frozen=True)
class Generation:
    """What a search for one pixel has tried in a generation, and the best that it knows by then.

    Attributes:
        pixels: (P, 5) the candidates: whole row, whole column, red, green and blue in [0, 1].
        margins: (P,) the margins of their images.
        best: (5,) the best pixel so far.
        best_margin: its margin; positive once the rank is flipped.
    """

    pixels: Tensor
    margins: Tensor
    best: Tensor
    best_margin: float


@torch.no_grad()
def replay(attack: OnePixel, problem: RankFlip, *, seed: int) -> list[Generation]:
    """Repeat the search of an attack under the strict protocol, with the same random numbers.

    It goes on after a flip, through all generations.

    Args:
        attack: whose search it is.
        problem: a single triplet.
        seed: of the attack.

    Returns:
        The start, then every generation.

    Raises:
        InputError: if the problem has more than one triplet.
    """
    if len(problem) != 1:
        raise InputError(f"The problem has {len(problem)} triplets. Give one, such as problem[0].")
    batch = problem.batch()
    original = round_to_8bit(batch.original)
    draws = Draws(batch.names, seed, original.device)
    search = DifferentialEvolution(*pixel_bounds(original, 1), draws, population=attack.population)
    crowd = batch.narrow(torch.zeros(attack.population, dtype=torch.long, device=original.device))
    copies = original.expand(attack.population, -1, -1, -1)
    history = []
    for _ in range(attack.generations + 1):
        candidates = search.ask()[0]
        margins = crowd.margin(painted(copies, candidates, whole_levels=True))
        search.tell(-margins.unsqueeze(0))
        pixels, best = (
            pixels_of(each, original, whole_levels=True)[:, 0].cpu() for each in (candidates, search.best)
        )
        history.append(Generation(pixels, margins.cpu(), best[0], -float(search.best_value)))
    return history


def evolution(image: Tensor, history: Sequence[Generation]) -> go.Figure:
    """Show a search on the image (3, H, W) that it attacks, one stop of a slider for each generation."""
    height, width = image.shape[-2:]
    moments = [_moment(history[: generation + 1]) for generation in range(len(history))]
    figure = make_subplots(rows=1, cols=2, horizontal_spacing=0.04)
    figure.add_trace(go.Image(source=png_source(image * 0.6 + 0.3), hoverinfo="skip"), row=1, col=1)
    figure.add_traces(moments[0], rows=[1] * 4, cols=[1, 1, 2, 2])
    names = list(map(str, range(len(history))))
    figure.frames = [
        go.Frame(name=name, data=each, traces=[1, 2, 3, 4]) for name, each in zip(names, moments, strict=True)
    ]
    margins = torch.cat([*(each.margins for each in history), torch.zeros(1)])
    room = 0.05 * float(margins.max() - margins.min())
    axes: dict[str, Any] = {
        "xaxis": {"visible": False, "range": [-0.5, width - 0.5], "constrain": "domain"},
        "yaxis": {"visible": False, "range": [height - 0.5, -0.5]},
        "xaxis2": {"title": "generation", "range": [-0.5, len(history) - 0.5]},
        # on a narrow page, what is written at the left of the right plot would cover the left one
        "yaxis2": {"title": "margin", "side": "right"},
    }
    axes["yaxis2"]["range"] = [float(margins.min()) - room, float(margins.max()) + room]
    line = {"type": "line", "xref": "x2 domain", "x0": 0, "x1": 1, "yref": "y2", "y0": 0, "y1": 0}
    first, last = history[0].best_margin, history[-1].best_margin
    alt = (
        f"A slider over {len(history)} generations. Dots on an image are the candidates, a ring marks the "
        f"best so far; beside it are their margins, the best of which is {first:+.4f} at the start and "
        f"{last:+.4f} at the end."
    )
    return figure.update_layout(
        **axes,
        shapes=[{**line, "line": {"dash": "dot", "color": COLORS[-1]}}],
        sliders=[slider(names, below=_AXES, prefix="generation ")],
        showlegend=False,
        height=480,
        margin={"l": 8, "r": 12, "t": 16, "b": 140},
        meta={"alt": alt},
    )


def places(pixels: Pixels, height: int, width: int) -> go.Figure:
    """Show pixels at their places in images of a size, the colour after within the colour before."""
    colors = zip(pixels.before.tolist(), pixels.after.tolist(), strict=True)
    dots = go.Scatter(
        x=pixels.columns.tolist(),
        y=pixels.rows.tolist(),
        mode="markers",
        marker={"size": 20, "color": _css(pixels.after), "line": {"color": _css(pixels.before), "width": 5}},
        customdata=[f"{before} → {after}" for before, after in colors],
        hovertemplate="row %{y}, column %{x}<br>%{customdata}<extra></extra>",
    )
    alt = f"{len(pixels.rows)} dots over the area of an image, in the old and the new colours of the pixels."
    return go.Figure(dots).update_layout(
        xaxis={"title": "column", "range": [-1, width], "constrain": "domain"},
        yaxis={"title": "row", "range": [height, -1], "scaleanchor": "x", "constrain": "domain"},
        height=520,
        meta={"alt": alt},
    )


def _with_close_up(problem: RankFlip, result: AttackResult, position: int) -> list[list[Panel]]:
    reference, other, before, after, _ = result_panels(problem, result, position, gain=1)
    pixel = Pixels.of(result, [position])
    row, column = int(pixel.rows), int(pixel.columns)
    look = Panel(where_to_look(after.image, row, column), f"row {row}, column {column}", "where to look")
    near = Panel(close_up(after.image, row, column), f"new colour<br>{pixel.after[0].tolist()}", "close-up")
    return [[reference, other, look], [before, after, near]]


def _nearby(length: int, centre: int) -> Tensor:
    """Return which row or column each of an enlarged picture shows; at a border it moves inwards."""
    span = min(2 * _NEAR + 1, length)
    first = min(max(centre - _NEAR, 0), length - span)
    return first + torch.arange(length) * span // length


def _moment(history: Sequence[Generation]) -> list[go.Scatter]:
    """Draw the candidates of the last generation and the best so far on the image, then all margins."""
    now = history[-1]
    generations = [t for t, each in enumerate(history) for _ in each.margins]
    margins = torch.cat([each.margins for each in history])
    dots = {"size": 10, "color": _css(_levels(now.pixels[:, 2:])), "line": {"color": "white", "width": 1.5}}
    ring = {"size": 22, "symbol": "circle-open", "color": COLORS[1], "line": {"width": 3}}
    small = {"size": 5, "color": COLORS[0], "opacity": 0.45}
    best = go.Scatter(
        x=list(range(len(history))),
        y=[each.best_margin for each in history],
        mode="lines",
        line={"color": COLORS[1], "width": 2.5, "shape": "hv"},
        hovertemplate="best until generation %{x}: %{y:.4f}<extra></extra>",
    )
    return [
        _marks(now.pixels[:, 1], now.pixels[:, 0], dots, "candidate at column %{x}, row %{y}"),
        _marks(now.best[1:2], now.best[:1], ring, "the best so far"),
        _marks(torch.tensor(generations), margins, small, "generation %{x}: margin %{y:.4f}"),
        best,
    ]


def _marks(x: Tensor, y: Tensor, marker: Mapping[str, object], hover: str) -> go.Scatter:
    hover += "<extra></extra>"
    return go.Scatter(x=x.tolist(), y=y.tolist(), mode="markers", marker=marker, hovertemplate=hover)


def _levels(colors: Tensor) -> Tensor:
    """Return colours in [0, 1] in levels of 255, as whole numbers."""
    return (colors * LEVELS).round().int()


def _css(levels: Tensor) -> list[str]:
    return [f"rgb({red},{green},{blue})" for red, green, blue in levels.tolist()]
