"""The picture that stands for the book: one flip, drawn as a PNG for its first page and its README."""

from __future__ import annotations

import io
from collections.abc import Sequence

from IPython.display import Image

from simlib.report.pictures import FLIP_TITLES, Panel


def teaser(panels: Sequence[Panel], *, claim: str, detail: str) -> Image:
    """Draw the panels of one flip side by side, as a PNG on white, 1,600 pixels wide.

    Args:
        panels: as :func:`simlib.report.figures.flip_panels` returns them.
        claim: the sentence over the pictures.
        detail: the smaller line under them: metric, rate, n and interval.
    """
    # Imported here because drawing libraries are an extra that the rest of the package does without.
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 3.1), dpi=160, facecolor="white")
    axes = figure.subplots(1, len(panels))
    for axis, panel, title in zip(axes, panels, FLIP_TITLES, strict=True):
        axis.imshow(panel.image.cpu().permute(1, 2, 0).numpy(), interpolation="nearest", vmin=0, vmax=1)
        axis.set_title(title, fontsize=11)
        axis.set_xlabel(panel.caption, fontsize=10)
        axis.set(xticks=[], yticks=[])
        axis.spines[:].set_visible(False)
    figure.suptitle(claim, fontsize=14, fontweight="bold", y=0.985)
    figure.text(0.5, 0.02, detail, ha="center", fontsize=10, color="#444444")
    figure.subplots_adjust(left=0.01, right=0.99, top=0.8, bottom=0.14, wspace=0.06)
    stream = io.BytesIO()
    figure.savefig(stream, format="png")
    return Image(data=stream.getvalue(), format="png")
