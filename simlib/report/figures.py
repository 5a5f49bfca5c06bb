"""Figures of the book, as plotly objects that carry their own alternative text.

In all of them, ``alt`` is what a reader who does not see the figure should know.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import plotly.graph_objects as go
from PIL import Image
from plotly.subplots import make_subplots
from torch import Tensor

from simlib.benchmark.statistics import Rate, Share
from simlib.errors import InputError
from simlib.kernels.images import to_8bit
from simlib.report.style import COLORS, whiskers

_WIDTH = 720
"""Width of a text column in pixels, for readers of a figure that do not know their own."""

_TITLE, _CAPTION, _SLIDER = 26, 18, 110
"""Pixels for the line over a picture, for each line under it, and for a slider."""


@dataclass(frozen=True)
class Panel:
    """One picture of a figure: an image (3, H, W) in [0, 1], the line over it and the line under it."""

    image: Tensor
    caption: str = ""
    title: str = ""


def png_source(image: Tensor) -> str:
    """Return an image (3, H, W) in [0, 1] as a data URI that holds a PNG of 8 bits."""
    stream = io.BytesIO()
    pixels = to_8bit(image.unsqueeze(0).cpu())[0].permute(1, 2, 0).numpy()
    Image.fromarray(pixels).save(stream, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(stream.getvalue()).decode()


def amplified_change(images: Tensor, original: Tensor, gain: float) -> Tensor:
    """Show a change around middle grey, multiplied by ``gain`` and clipped; same shape as the images."""
    return ((images - original) * gain + 0.5).clamp(0, 1)


def picture_grid(rows: Sequence[Sequence[Panel]], *, alt: str, below: int = 0) -> go.Figure:
    """Lay out pictures in rows and columns, every pixel enlarged and none interpolated.

    Args:
        rows: panels, all images of one size; short rows are left blank at their end.
        alt: as in all figures.
        below: pixels to leave free under the pictures.

    Raises:
        InputError: if there is no panel.
    """
    columns = max(map(len, rows), default=0)
    if not columns:
        raise InputError("A figure of pictures needs at least one panel.")
    aspect = rows[0][0].image.shape[-2] / rows[0][0].image.shape[-1]
    # Lines of text keep their height while pictures grow with the page, so room for both is told apart.
    lines = max(_lines(row) for row in rows if row)
    text = len(rows) * (_TITLE + lines * _CAPTION)
    total = _WIDTH / columns * aspect * len(rows) + text
    figure = make_subplots(
        rows=len(rows),
        cols=columns,
        subplot_titles=[panel.title for row in rows for panel in [*row, *[_BLANK] * (columns - len(row))]],
        horizontal_spacing=0.02,
        vertical_spacing=text / len(rows) / total if len(rows) > 1 else 0,
    )
    for r, row in enumerate(rows, start=1):
        for c, panel in enumerate(row, start=1):
            figure.add_trace(_picture(panel.image), row=r, col=c)
            figure.update_xaxes(title_text=panel.caption, row=r, col=c)
    for axis in (*figure.select_xaxes(), *figure.select_yaxes()):
        axis.update(visible=True, showticklabels=False, showgrid=False, zeroline=False, constrain="domain")
    figure.update_xaxes(title={"standoff": 4, "font": {"size": 12}})
    figure.update_annotations(font_size=13)
    fixed = {"height_fixed": text + below, "row_gap": text / len(rows)}
    return figure.update_layout(
        height=round(total + below),
        margin={"l": 4, "r": 4, "t": _TITLE, "b": lines * _CAPTION + below},
        meta={"alt": alt, "height_per_width": aspect * len(rows) / columns, **fixed},
    )


def picture_slider(choices: Mapping[str, Sequence[Sequence[Panel]]], *, alt: str) -> go.Figure:
    """Show rows of pictures, and a slider over labels that exchanges them for others of the same layout."""
    shown = {label: [panel for row in rows for panel in row] for label, rows in choices.items()}
    figure = picture_grid(next(iter(choices.values())), alt=alt, below=_SLIDER)
    axes = [axis_of(trace) for trace in figure.data]
    frames = []
    for label, panels in shown.items():
        captions = {axis: {"title": {"text": each.caption}} for axis, each in zip(axes, panels, strict=True)}
        pictures = [_picture(panel.image) for panel in panels]
        frames.append(go.Frame(name=label, data=pictures, layout=captions))
    figure.frames = frames
    below = _CAPTION * max(map(_lines, shown.values()))
    return figure.update_layout(sliders=[_slider(list(shown), below)])


def axis_of(trace: Any) -> str:
    """Return the key of a figure's layout that holds the horizontal axis of a trace."""
    return trace.xaxis.replace("x", "xaxis", 1)


def flip_panels(
    *,
    reference: Tensor,
    other: Tensor,
    original: Tensor,
    attacked: Tensor,
    distances: Sequence[float],
    gain: float,
) -> list[Panel]:
    """Return the five panels that tell one flip.

    Args:
        reference: image (3, H, W) in [0, 1], as are all.
        other: the image that is not attacked.
        original: the attacked image before the attack.
        attacked: the same after it.
        distances: of the other, the original and the attacked image to the reference.
        gain: how much the change is amplified in the last panel.
    """
    captions = ["", *(f"distance {distance:.4f}" for distance in distances), f"{gain:g} times amplified"]
    images = [reference, other, original, attacked, amplified_change(attacked, original, gain)]
    return [Panel(*parts) for parts in zip(images, captions, FLIP_TITLES, strict=True)]


def flip_rows(panels: Sequence[Panel]) -> list[list[Panel]]:
    """Lay out the five panels of a flip: what is compared above, the attack below."""
    return [list(panels[:2]), list(panels[2:])]


FLIP_TITLES = ("reference", "other image", "before the attack", "after the attack", "what changed")
"""Titles over the panels of :func:`flip_panels`."""


def curves_with_bands(
    x: Sequence[float], series: Mapping[str, Sequence[Rate]], *, x_title: str, y_title: str, alt: str
) -> go.Figure:
    """Draw rates against a variable, each curve with its 95 % band; hovering shows n and the interval."""
    figure = go.Figure()
    for color, (name, rates) in zip(COLORS, series.items(), strict=False):
        red, green, blue = (int(color[start : start + 2], 16) for start in (1, 3, 5))
        figure.add_scatter(
            x=[*x, *reversed(x)],
            y=[*(rate.high for rate in rates), *(rate.low for rate in reversed(rates))],
            mode="lines",
            fill="toself",
            fillcolor=f"rgba({red},{green},{blue},0.18)",
            line={"width": 0},
            hoverinfo="skip",
            showlegend=False,
        )
        figure.add_scatter(
            x=list(x),
            y=[rate.value for rate in rates],
            name=name,
            mode="lines",
            line={"color": color, "width": 2.5},
            customdata=list(map(str, rates)),
            hovertemplate=f"{name}, {x_title} %{{x}}<br>%{{customdata}}<extra></extra>",
        )
    y_axis = {"title": y_title, "tickformat": ".0%", "range": [0, 1]}
    return figure.update_layout(xaxis_title=x_title, yaxis=y_axis, height=420, meta={"alt": alt})


def rate_bars(
    names: Sequence[str], series: Mapping[str, Sequence[Rate]], *, y_title: str, alt: str
) -> go.Figure:
    """Draw a bar with its 95 % interval for each name and series; hovering shows n and the interval."""
    figure = go.Figure()
    for color, (label, rates) in zip(COLORS, series.items(), strict=False):
        figure.add_bar(
            x=list(names),
            y=[rate.value for rate in rates],
            name=label,
            marker_color=color,
            error_y=whiskers(rates),
            customdata=list(map(str, rates)),
            hovertemplate="%{x}, " + label + "<br>%{customdata}<extra></extra>",
        )
    y_axis = {"title": y_title, "tickformat": ".0%", "rangemode": "tozero"}
    return figure.update_layout(yaxis=y_axis, barmode="group", height=420, meta={"alt": alt})


def rate_matrix(names: Sequence[str], rates: Sequence[Sequence[Share | None]], *, alt: str) -> go.Figure:
    """Draw a matrix of rates between pairs of names; None is left blank.

    The cells of a large matrix hold no text, for want of room; hovering shows n and the interval.
    """
    roomy = len(names) <= 12
    figure = go.Figure(
        go.Heatmap(
            x=list(names),
            y=list(names),
            z=[[None if rate is None else rate.value for rate in row] for row in rates],
            text=[["" if rate is None else f"{rate.value:.0%}" for rate in row] for row in rates],
            customdata=[["" if rate is None else str(rate) for rate in row] for row in rates],
            texttemplate="%{text}" if roomy else "",
            hovertemplate="%{y} and %{x}<br>%{customdata}<extra></extra>",
            hoverongaps=False,
            colorscale="Cividis",
            zmin=0,
            colorbar={"tickformat": ".0%", "thickness": 12},
        )
    )
    axis = {"dtick": 1, "automargin": True}
    height = 150 + (52 if roomy else 24) * len(names)
    down = {**axis, "autorange": "reversed"}
    return figure.update_layout(xaxis=axis, yaxis=down, height=height, meta={"alt": alt})


_BLANK = Panel(Tensor())


def _lines(panels: Sequence[Panel]) -> int:
    """Return the number of lines of the longest caption."""
    return 1 + max(panel.caption.count("<br>") for panel in panels)


def _picture(image: Tensor) -> go.Image:
    height, width = image.shape[-2:]
    hover = f"%{{x}}, %{{y}} of {width}x{height}<extra></extra>"
    return go.Image(source=png_source(image), hovertemplate=hover)


def _slider(labels: Sequence[str], below: int) -> dict[str, object]:
    """Describe a slider under the captions of pictures, which take this many pixels."""
    animation = {"mode": "immediate", "frame": {"duration": 0, "redraw": True}, "transition": {"duration": 0}}
    steps = [{"label": label, "method": "animate", "args": [[label], animation]} for label in labels]
    padding = {"t": _TITLE + below, "l": 12, "r": 12}
    return {"steps": steps, "y": 0, "pad": padding, "currentvalue": {"prefix": ""}}
