# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Datasheet of the embedded set
#
# `photos(n, seed=...)` makes triplets on any machine, from photographs that come with scikit-image
# {cite}`vanderwalt2014skimage`. This page is its datasheet {cite}`gebru2021datasheets`: what it is made of, how it is drawn, what every distortion
# looks like, and what it cannot stand for.

# %% tags=["parameters"]
n = 512  # number of triplets to describe
seed = 0  # seed of the draw of triplets
strengths = [0.15, 0.3, 0.45, 0.7, 1.0]  # of the examples of every distortion
example = "chelsea"  # photograph of the examples

# %%
from collections import Counter

import numpy as np
import plotly.graph_objects as go
import torch
from myst_nb import glue

from simlib.kernels.images import LEVELS
from simlib.report.figures import Panel, picture_grid
from simlib.report.provenance import provenance
from simlib.report.style import COLORS
from simlib.report.tables import Table
from simlib.triplets import DISTORTIONS, EMBEDDED, photos
from simlib.triplets.distortions import apply

triplets = photos(n, seed=seed)
triplets

# %% [markdown]
# ## Photographs
#
# The triplets of one photograph are not independent of each other, so the number of photographs matters as much as the
# number of triplets. The two views of the motorcycle count as one.

# %% tags=["hide-input"]
counts = Counter(triplets.photographs)
glue("photographs", len(EMBEDDED), display=False)
Table(
    ("photograph", "shows", "source", "terms", f"of {n} triplets"),
    tuple((name, each.shows, each.source, each.terms, counts[name]) for name, each in EMBEDDED.items()),
)

# %% [markdown]
# ## How a patch is drawn
#
# For triplet $i$ a photograph is drawn, all equally likely, then a square of 64×64 pixels at full size or of 128×128 pixels
# averaged down to half. Patches that are nearly flat are drawn anew. Everything about triplet $i$ follows from the seed and from $i$:
# a smaller set is the beginning of a larger one. All images are 8-bit levels.

# %%
first = {name: triplets.photographs.index(name) for name in EMBEDDED if name in counts}

# %% mystnb={"figure": {"name": "fig-sheet-patches", "caption": "The first patch of every photograph."}} tags=["hide-input"]
panels = [Panel(triplets.ref[i], name.replace("_", " ")) for name, i in first.items()]
rows = [panels[start : start + 4] for start in range(0, len(panels) - len(panels) % 4, 4)] or [panels]
picture_grid(rows, alt=f"One patch of each of {', '.join(first)}.")

# %% [markdown]
# ## How distortions are drawn
#
# One or two of the distortions below follow each other, each with a strength. Even triplets are **ladders**: both images get the same distortions from the same
# draw of chance, the weaker at strengths from 0.15 to 0.45, the stronger at least twice that. The label follows from it and is
# called constructed. Odd triplets are **mixed**: two independent draws, strengths from 0.15 to 1, and no label.

# %% tags=["hide-input"]
used = Counter(
    name
    for pair in triplets.distortions
    for text in pair
    for name, each in DISTORTIONS.items()
    if each.title in text
)
Table(
    ("distortion", "what it does", "grows with strength", f"of {2 * n} images"),
    tuple(
        (d.title, d.description, "always" if d.monotone else "mostly", used[name])
        for name, d in DISTORTIONS.items()
    ),
)

# %% [markdown]
# ## Every distortion at every strength
#
# Along a row only the strength differs.

# %%
patch = triplets.ref[first.get(example, 0)].permute(1, 2, 0).double().numpy()


def distorted(name: str, strength: float) -> torch.Tensor:
    changed = apply(patch, [(name, strength)], np.random.default_rng(seed))
    return torch.from_numpy(changed).permute(2, 0, 1).float()


# %% mystnb={"figure": {"name": "fig-sheet-distortions", "caption": "One patch under every distortion; the first column has the least strength, the number under a picture is its own."}} tags=["hide-input"]
picture_grid(
    [
        [Panel(distorted(name, s), d.title.lower() if s == strengths[0] else f"{s:g}") for s in strengths]
        for name, d in DISTORTIONS.items()
    ],
    alt="A grid of one patch: a row for each distortion, strengths from mild to heavy along it.",
)

# %% [markdown]
# ## How large the distortions are

# %%
errors = [
    ((image - triplets.ref) * LEVELS).square().mean(dim=(1, 2, 3)).sqrt()
    for image in (triplets.p0, triplets.p1)
]
both = torch.cat(errors)
low, middle, high = (float(both.quantile(q)) for q in (0.05, 0.5, 0.95))

# %% tags=["hide-input"]
for name, value in (("sheet_low", low), ("sheet_middle", middle), ("sheet_high", high)):
    glue(name, value, display=False)
ladder = ~triplets.judge.isnan()
glue("sheet_ladders", int(ladder.sum()), display=False)
glue("sheet_second", int((triplets.judge[ladder] > 0.5).sum()), display=False)

# %% mystnb={"figure": {"name": "fig-sheet-errors", "caption": "Root of the mean squared difference from the reference, over all distorted images."}} tags=["hide-input"]
figure = go.Figure(go.Histogram(x=both.tolist(), nbinsx=40, marker_color=COLORS[0]))
figure.update_layout(
    xaxis_title="levels of 255",
    yaxis_title="images",
    height=320,
    meta={
        "alt": f"A histogram; half of the images lie below {middle:.1f} levels, nine tenths between {low:.1f} and {high:.1f}."
    },
)
figure

# %% [markdown]
# Nine tenths lie between {glue:text}`sheet_low:.1f` and {glue:text}`sheet_high:.1f` levels, the median is {glue:text}`sheet_middle:.1f`. Of the {glue:text}`sheet_ladders:d` ladders the second
# image is the milder one in {glue:text}`sheet_second:d`. Two images of a triplet differ by at least one level, or the triplet is drawn anew.

# %% [markdown]
# ## What it cannot stand for
#
# - **Natural images at large.** There are {glue:text}`photographs:d` photographs, among them a microscope's, a telescope's and a fundus camera's. A rate on them is a rate on
#   patches of these.
# - **People.** Nobody was asked about any triplet. A constructed label says which image was distorted less, not which one looks closer.
# - **Distortions of networks.** There are no outputs of super-resolution, deblurring, compression or generation by networks, which make up
#   most of BAPPS {cite}`zhang2018unreasonable`.
# - **Large images.** A patch shows texture and edges, hardly objects or composition.
# - **Strengths of practice.** They were set by eye, so that a patch can still be recognised at the heaviest.
#
# It is meant for seeing attacks work, for tests, and for comparing metrics on equal terms where BAPPS is not at hand.

# %% tags=["hide-input"]
provenance(device="cpu", n=n, seed=seed)
