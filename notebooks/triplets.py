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
# # Triplets
#
# A perceptual similarity metric is judged by a question with two possible answers: here is a *reference* and
# here are two *distorted images* of it; which of the two is closer? The unit of this book is therefore a
# **triplet** $(x_\text{ref}, x_0, x_1)$. This chapter shows the triplets that are attacked in the others, where
# they come from, and what they cannot stand for. Its first dial says where they are drawn from; what is said of
# photographs and distortions below holds for `photos`, the embedded set. {doc}`datasheet` describes that set in full.

# %% tags=["parameters"]
data = "photos"  # "photos", "bapps", or a folder or CSV file of your own
n = 64  # number of triplets to draw
seed = 0  # seed of the draw: which patches, which distortions

# %%
from collections import Counter

import numpy as np
import torch
from myst_nb import glue

from simlib.kernels.images import LEVELS
from simlib.report.figures import Panel, picture_grid
from simlib.report.provenance import provenance
from simlib.report.tables import Table
from simlib.triplets import DISTORTIONS, draw
from simlib.triplets.distortions import apply

triplets = draw(data, n, seed=seed)
triplets

# %% [markdown]
# ## Where the photographs come from
#
# The book must run on a machine that has nothing but Python, so its photographs are those that ship inside
# scikit-image {cite}`vanderwalt2014skimage`. From each, patches of 64×64 pixels are cut at two scales: as they are, and from
# a square twice as large, averaged down. Patches that are nearly flat are left out, since there is nothing to
# distort in them. Every photograph is equally likely, whatever its size.

# %%
counts = Counter(triplets.photographs)
glue("photographs", len(counts), display=False)
first = {name: triplets.photographs.index(name) for name in sorted(counts)[:8]}
columns = min(4, len(first))
shown = list(first)[: len(first) // columns * columns]
grid = [shown[start : start + columns] for start in range(0, len(shown), columns)]

# %% mystnb={"figure": {"name": "fig-photographs", "caption": "A patch of 64×64 pixels from several of the photographs."}} tags=["hide-input"]
picture_grid(
    [[Panel(triplets.ref[first[name]], name) for name in row] for row in grid],
    alt=f"One patch from each of {len(shown)} photographs: {', '.join(shown)}.",
)

# %% [markdown]
# These triplets come from {glue:text}`photographs:d` photographs. From the embedded set that is few: whatever is measured on them holds for patches of these
# photographs. Patches of one photograph resemble each other, so the intervals in this book are over photographs, and wider than those of as many
# independent triplets. Numbers for natural images at large need BAPPS {cite}`zhang2018unreasonable` or photographs of your own:
# `photos(n, folder="...")` cuts patches from any folder, and {doc}`../book/how-to-run` tells how to bring triplets with votes.

# %% [markdown]
# ## Distortions
#
# The distorted images follow the *traditional* family of BAPPS {cite}`zhang2018unreasonable`: what happens to photographs
# in cameras, in editing and in compression. A strength between 0 and 1 says how much.

# %%
strengths = [0.15, 0.4, 0.7, 1.0]
patch = triplets.ref[first.get("coffee", 0)].permute(1, 2, 0).double().numpy()


def distorted(name: str, strength: float) -> torch.Tensor:
    changed = apply(patch, [(name, strength)], np.random.default_rng(seed))
    return torch.from_numpy(changed).permute(2, 0, 1).float()


# %% mystnb={"figure": {"name": "fig-distortions", "caption": "One patch under every distortion at four strengths. The draw (noise, direction of the warp, direction of the colour) is the same along a row."}} tags=["hide-input"]
picture_grid(
    [
        [Panel(distorted(name, s), f"{d.title.lower()}, {s:g}") for s in strengths]
        for name, d in DISTORTIONS.items()
    ],
    alt="A grid of one patch: a row for each distortion, four strengths from mild to heavy along it.",
)

# %% [markdown]
# ## Ladders and mixed pairs
#
# Half of the triplets are **ladders**: both images got the same distortion with the same draw, one of them
# clearly stronger. Which one is closer is then known by construction, and this label is called *constructed*,
# never human. The other half are **mixed**: two independent distortions. Nobody was asked which is closer, and
# the label is empty.

# %% mystnb={"figure": {"name": "fig-triplets", "caption": "Two ladders and two mixed triplets."}} tags=["hide-input"]
ladders = (~triplets.judge.isnan()).nonzero().flatten().tolist()
mixed = triplets.judge.isnan().nonzero().flatten().tolist()


def row(i: int) -> list[Panel]:
    one, two = (text.lower().replace(", then ", "<br>") for text in triplets.distortions[i])
    return [
        Panel(triplets.ref[i], title="reference"),
        Panel(triplets.p0[i], one, "first image"),
        Panel(triplets.p1[i], two, "second image"),
    ]


picture_grid(
    [row(i) for i in ladders[:2] + mixed[:2]],
    alt="Four triplets in rows: the reference and its two distorted images. Two rows are ladders, two are mixed.",
)

# %%
rmse = ((triplets.p0 - triplets.ref) * LEVELS).square().mean(dim=(1, 2, 3)).sqrt()
glue("ladders", len(ladders), display=False)
glue("mixed", len(mixed), display=False)
glue("rmse_low", float(rmse.quantile(0.05)), display=False)
glue("rmse_high", float(rmse.quantile(0.95)), display=False)

# %% [markdown]
# Of the {glue:text}`ladders:d` ladders and {glue:text}`mixed:d` mixed triplets drawn here, nine tenths of the first images differ from
# their reference by {glue:text}`rmse_low:.1f` to {glue:text}`rmse_high:.1f` levels of 255 (root of the mean squared difference). To compare:
# the paper's PGD may move no value by more than 3.825 levels.

# %% tags=["hide-input"]
Table(("photograph", "triplets"), tuple(sorted(counts.items())[:8]))

# %% [markdown]
# ## What a triplet is in code
#
# Images are float tensors $(N, 3, H, W)$ in $[0, 1]$, and all three images of every triplet are exactly
# representable in 8 bits, as if they had been read from PNG files. Sample $i$ depends on the seed and on $i$
# alone, so a smaller set is the beginning of a larger one.

# %%
print(triplets[:2])
print(triplets.names[:2])
torch.equal(draw(data, 4, seed=seed).p0, triplets.p0[:4])

# %% tags=["hide-input"]
provenance(device="cpu", data=data, n=n, seed=seed)
