"""What triplets are made of: grids of pictures, tables of photographs and distortions, a histogram."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go
import torch
from torch import Tensor

from simlib.kernels.images import LEVELS
from simlib.report.pictures import Panel, picture_grid, triplet_panels
from simlib.report.style import COLORS
from simlib.report.tables import Table
from simlib.triplets import DISTORTIONS, EMBEDDED, Triplets
from simlib.triplets.distortions import apply

_COLUMNS = 4


def first_patches(triplets: Triplets) -> dict[str, Tensor]:
    """Return the first reference (3, H, W) from each photograph, by the photograph's name, in their order."""
    return {
        name: triplets.ref[triplets.photographs.index(name)] for name in sorted(set(triplets.photographs))
    }


def patch_grid(triplets: Triplets, most: int = 8) -> go.Figure:
    """Show the first patch of each photograph, of so many photographs."""
    patches = dict(list(first_patches(triplets).items())[:most])
    panels = [Panel(patch, name.replace("_", " ")) for name, patch in patches.items()]
    rows = [panels[start : start + _COLUMNS] for start in range(0, len(panels), _COLUMNS)]
    return picture_grid(rows, alt=f"One patch of each of these photographs: {', '.join(patches)}.")


def triplet_grid(triplets: Triplets, positions: Sequence[int]) -> go.Figure:
    """Show some triplets in rows: the reference and the two distorted images, with what was done to these."""
    done = [" and ".join(triplets.distortions[place]) for place in positions]
    alt = f"{len(done)} triplets in rows, each a reference and two distorted images of it: {'; '.join(done)}."
    return picture_grid([triplet_panels(triplets, place) for place in positions], alt=alt)


def distortion_grid(patch: Tensor, strengths: Sequence[float], seed: int = 0) -> go.Figure:
    """Show a patch under every distortion, a row each, at some strengths; along a row the draw is the same.

    Args:
        patch: image (3, H, W) in [0, 1].
        strengths: in (0, 1], from left to right.
        seed: of the draw.

    Raises:
        InputError: a strength out of its range.
    """
    pixels = patch.permute(1, 2, 0).double().cpu().numpy()

    def row(name: str, title: str) -> list[Panel]:
        steps = [[(name, strength)] for strength in strengths]
        images = [apply(pixels, each, np.random.default_rng(seed)) for each in steps]
        tensors = [torch.from_numpy(image).permute(2, 0, 1).float() for image in images]
        # the name once, for a narrow page has no room for it under every picture
        titles = [title, *[""] * (len(strengths) - 1)]
        return [
            Panel(image, f"{strength:g}", each)
            for image, strength, each in zip(tensors, strengths, titles, strict=True)
        ]

    alt = (
        f"A grid of one patch: a row for each distortion, at the strengths {', '.join(map(str, strengths))}."
    )
    figure = picture_grid([row(name, each.title) for name, each in DISTORTIONS.items()], alt=alt)
    # from the edge: a narrow page has pictures narrower than a name
    return figure.update_annotations(x=0, xanchor="left")


def photographs_as_table(triplets: Triplets) -> Table:
    """Show the photographs of the embedded set, and how many of these triplets were cut from each."""
    counts = Counter(triplets.photographs)
    rows = ((name, each.terms, counts[name], each.shows, each.source) for name, each in EMBEDDED.items())
    header = ("photograph", "terms", f"of {len(triplets):,} triplets", "shows", "source")
    return Table(header, tuple(rows))


def distortions_as_table(triplets: Triplets) -> Table:
    """Show the distortions, and how many of the distorted images of these triplets underwent each."""
    images = [text for pair in triplets.distortions for text in pair]
    rows = (
        (
            each.title,
            each.description,
            "always" if each.monotone else "mostly",
            sum(each.title in image for image in images),
        )
        for each in DISTORTIONS.values()
    )
    return Table(
        ("distortion", "what it does", "grows with strength", f"of {len(images):,} images"),
        tuple(rows),
        notes=("grows with strength: whether the L2 distance from the patch does, for one draw",),
    )


def rmse(triplets: Triplets) -> Tensor:
    """Return how far the distorted images are from their references, (2, N): of p0 and of p1.

    That is the root of the mean squared difference, in levels of 255.
    """
    images = torch.stack([triplets.p0, triplets.p1])
    return ((images - triplets.ref) * LEVELS).square().mean(dim=(2, 3, 4)).sqrt()


def rmse_histogram(triplets: Triplets) -> go.Figure:
    """Show how :func:`rmse` is distributed over all distorted images."""
    errors = rmse(triplets).flatten()
    low, middle, high = errors.quantile(errors.new_tensor([0.05, 0.5, 0.95])).tolist()
    figure = go.Figure(go.Histogram(x=errors.tolist(), nbinsx=40, marker_color=COLORS[0]))
    alt = (
        f"A histogram; half of the images lie below {middle:.1f} levels, "
        f"nine tenths between {low:.1f} and {high:.1f}."
    )
    return figure.update_layout(
        xaxis_title="RMSE, levels of 255", yaxis_title="images", height=320, meta={"alt": alt}
    )
