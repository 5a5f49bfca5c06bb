"""Pictures side by side, as plotly figures: grids, sliders, and the five panels that tell one flip.

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

from simlib.errors import InputError
from simlib.kernels.images import to_8bit
from simlib.triplets import Triplets

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
    return figure.update_layout(sliders=[slider(list(shown), below=_TITLE + below)])


def slider(labels: Sequence[str], *, below: int, prefix: str = "") -> dict[str, object]:
    """Describe a slider over the frames of a figure, so many pixels below what is drawn.

    Args:
        labels: names of the frames.
        below: pixels of the page, for what stands between the drawing and the slider.
        prefix: words before the label of the present stop.
    """
    animation = {"mode": "immediate", "frame": {"duration": 0, "redraw": True}, "transition": {"duration": 0}}
    steps = [{"label": label, "method": "animate", "args": [[label], animation]} for label in labels]
    # Labels are centred on the ends of the slider; a long one needs room beyond them.
    left, right = (max(12, round(3.5 * len(label))) for label in (labels[0], labels[-1]))
    padding = {"t": below, "l": left, "r": right}
    return {"steps": steps, "y": 0, "pad": padding, "currentvalue": {"prefix": prefix}}


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


def triplet_panels(triplets: Triplets, position: int) -> list[Panel]:
    """Return the reference and the two distorted images of a triplet, with what was done to these."""
    images = (triplets.ref, triplets.p0, triplets.p1)
    captions = ("", *(text.lower().replace(", then ", "<br>") for text in triplets.distortions[position]))
    titles = ("reference", "first image", "second image")
    return [Panel(image[position], *rest) for image, *rest in zip(images, captions, titles, strict=True)]


def first_flips(flipped: Tensor, most: int) -> list[int]:
    """Return the positions of the first flipped samples; if none is, those of the first samples.

    So a figure has something to show on few triplets, too.
    """
    return (flipped if flipped.any() else ~flipped).nonzero().flatten().tolist()[:most]


FLIP_TITLES = ("reference", "other image", "before the attack", "after the attack", "what changed")
"""Titles over the panels of :func:`flip_panels`."""


_BLANK = Panel(Tensor())


def _lines(panels: Sequence[Panel]) -> int:
    """Return the number of lines of the longest caption."""
    return 1 + max(panel.caption.count("<br>") for panel in panels)


def _picture(image: Tensor) -> go.Image:
    height, width = image.shape[-2:]
    hover = f"%{{x}}, %{{y}} of {width}x{height}<extra></extra>"
    return go.Image(source=png_source(image), hovertemplate=hover)
