# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Datasheet of the embedded set
#
# `photos(n, seed=...)` makes triplets on any machine, from photographs that come with scikit-image
# ([van der Walt et al., 2014](cite:vanderwalt2014skimage)). This page is its datasheet ([Gebru et al., 2021](cite:gebru2021datasheets)): what it is made of, how it is drawn, what every distortion
# looks like, and what it cannot stand for.

# %% tags=["parameters"]
n = 512  # number of triplets to describe
seed = 0  # seed of the draw of triplets
strengths = [0.15, 0.3, 0.45, 0.7, 1.0]  # of the examples of every distortion
example = "chelsea"  # photograph of the examples

# %%
from simlib.book.chapter import Chapter
from simlib.report.display import say, show
from simlib.triplets import photos

chapter = Chapter(globals(), triplets=lambda: photos(n, seed=seed))
triplets = chapter.triplets
chapter

# %% [markdown]
# ## Photographs
#
# The triplets of one photograph are not independent of each other, so the number of photographs matters as much as the
# number of triplets. The two views of the motorcycle count as one.

# %%
from simlib.report.triplets import photographs_as_table

photographs_as_table(triplets)

# %% [markdown]
# ## How a patch is drawn
#
# For triplet $i$ a photograph is drawn, all equally likely, then a square of 64×64 pixels at full size or of 128×128 pixels
# averaged down to half. Patches that are nearly flat are drawn anew. Everything about triplet $i$ follows from the seed and from $i$:
# a smaller set is the beginning of a larger one. All images are 8-bit levels.

# %%
from simlib.report.triplets import patch_grid

show(patch_grid(triplets), "The first patch of every photograph.")

# %% [markdown]
# ## How distortions are drawn
#
# One or two of the distortions below follow each other, each with a strength. Even triplets are **ladders**: both images get the same distortions from the same
# draw of chance, the weaker at strengths from 0.15 to 0.45, the stronger at least twice that. The label follows from it and is
# called constructed. Odd triplets are **mixed**: two independent draws, strengths from 0.15 to 1, and no label.

# %%
from simlib.report.triplets import distortions_as_table

distortions_as_table(triplets)

# %% [markdown]
# ## Every distortion at every strength
#
# Along a row only the strength differs.

# %%
from simlib.report.triplets import distortion_grid, first_patches

patch = first_patches(triplets).get(example, triplets.ref[0])
show(
    distortion_grid(patch, strengths, seed),
    "One patch under every distortion; the strength grows from left to right and stands under each picture.",
)

# %% [markdown]
# ## How large the distortions are

# %%
from simlib.report.triplets import rmse, rmse_histogram

show(
    rmse_histogram(triplets),
    "Root of the mean squared difference (RMSE) from the reference, over all distorted images.",
)
errors = rmse(triplets)
low, middle, high = (float(errors.quantile(q)) for q in (0.05, 0.5, 0.95))
say(f"Nine tenths lie between {low:.1f} and {high:.1f} levels, the median is {middle:.1f}.")

# %%
ladders = ~triplets.judge.isnan()
second = int((triplets.judge[ladders] > 0.5).sum())
say(
    f"Of the {int(ladders.sum())} ladders, {second} have the milder image second.",
    "Any two images of a triplet differ by an RMSE of at least one level, or the triplet is drawn anew.",
)

# %% [markdown]
# ## What it cannot stand for
#
# - **Natural images at large.** The photographs are few, as the first table shows, and among them are a microscope's, a telescope's and a fundus camera's. A rate on them is a rate on
#   patches of these.
# - **People.** Nobody was asked about any triplet. A constructed label says which image was distorted less, not which one looks closer.
# - **Distortions of networks.** There are no outputs of super-resolution, deblurring, compression or generation by networks, which make up
#   most of BAPPS ([Zhang et al., 2018](cite:zhang2018unreasonable)).
# - **Large images.** A patch shows texture and edges, hardly objects or composition.
# - **Strengths of practice.** They were set by eye, so that a patch can still be recognised at the heaviest.
#
# It is meant for seeing attacks work, for tests, and for comparing metrics on equal terms where BAPPS is not at hand.

# %% tags=["hide-input"]
chapter.provenance()
