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
# # Triplets
#
# A perceptual similarity metric is judged by a question with two possible answers: here is a *reference* and
# here are two *distorted images* of it; which of the two is closer? The unit of this book is therefore a
# **triplet** $(x_\text{ref}, x_0, x_1)$. This chapter shows the triplets that are attacked in the others, where
# they come from, and what they cannot stand for. Its first dial says where they are drawn from; what is said of
# photographs and distortions below holds for `photos`, the embedded set. [The datasheet](datasheet.ipynb) describes that set in full.

# %% tags=["parameters"]
data = "photos"  # "photos", "bapps", or a folder or CSV file of your own
n = 64  # number of triplets to draw
seed = 0  # seed of the draw: which patches, which distortions
strengths = [0.15, 0.4, 0.7, 1.0]  # of the examples of every distortion

# %%
from simlib.book.chapter import Chapter
from simlib.report.display import say, show

chapter = Chapter(globals())
triplets = chapter.triplets
chapter

# %% [markdown]
# ## Where the photographs come from
#
# The book must run on a machine that has nothing but Python, so its photographs are those that ship inside
# scikit-image ([van der Walt et al., 2014](cite:vanderwalt2014skimage)). From each, patches of 64×64 pixels are cut at two scales: as they are, and from
# a square twice as large, averaged down. Patches that are nearly flat are left out, since there is nothing to
# distort in them. Every photograph is equally likely, whatever its size.

# %%
from simlib.report.triplets import patch_grid

show(patch_grid(triplets), "The first patch of each of several photographs.")

# %%
from collections import Counter

from simlib.report.tables import Table

counts = Counter(triplets.photographs)
say("Eight of the photographs are in the table." * (len(counts) > 8))
Table(("photograph", "triplets"), tuple(sorted(counts.items())[:8]))

# %% [markdown]
# The embedded set has few photographs: whatever is measured on it holds for patches of these
# photographs. Patches of one photograph resemble each other, so the intervals in this book are over photographs, and wider than those of as many
# independent triplets. Numbers for natural images at large need BAPPS ([Zhang et al., 2018](cite:zhang2018unreasonable)) or photographs of your own:
# `photos(n, folder="...")` cuts patches from any folder, and [How to run this book](../book/how-to-run.md) tells how to bring triplets with votes.

# %% [markdown]
# ## Distortions
#
# The distorted images follow the *traditional* family of BAPPS ([Zhang et al., 2018](cite:zhang2018unreasonable)): what happens to photographs
# in cameras, in editing and in compression. A strength between 0 and 1 says how much.

# %%
from simlib.report.triplets import distortion_grid, first_patches

patches = first_patches(triplets)
patch = patches.get("coffee", triplets.ref[0])
show(
    distortion_grid(patch, strengths, seed),
    "One patch under every distortion, at several strengths. "
    "The draw (noise, direction of the warp, direction of the colour) is the same along a row.",
)

# %% [markdown]
# ## Ladders and mixed pairs
#
# Half of the triplets are **ladders**: both images got the same one or two distortions with the same draw, clearly stronger
# in one of them. Which one is closer is then known by construction, and this label is called *constructed*,
# never human. The other half are **mixed**: two independent draws of one or two distortions. Nobody was asked which is closer, and
# the label is empty.

# %%
from simlib.report.triplets import triplet_grid

labelled = (~triplets.judge.isnan()).nonzero().flatten().tolist()
unlabelled = triplets.judge.isnan().nonzero().flatten().tolist()
show(
    triplet_grid(triplets, labelled[:2] + unlabelled[:2]),
    "Two triplets with a label, which are ladders in the embedded set, and two without, which are mixed.",
)

# %%
from simlib.report.triplets import rmse

first, _ = rmse(triplets)
low, high = float(first.quantile(0.05)), float(first.quantile(0.95))
say(
    f"Of the triplets drawn here, {len(labelled)} have a label and {len(unlabelled)} have none.",
    f"Nine tenths of the first images differ from their reference by {low:.1f} to {high:.1f} levels of 255",
    "(root of the mean squared difference).",
    "To compare: the paper's PGD may move no value by more than 3.825 levels.",
)

# %% [markdown]
# ## What a triplet is in code
#
# Images are float tensors $(N, 3, H, W)$ in $[0, 1]$, and all three images of every triplet are exactly
# representable in 8 bits, as if they had been read from PNG files. Sample $i$ depends on the seed and on $i$
# alone, so a smaller set is the beginning of a larger one.

# %%
import torch

from simlib.triplets import draw

few = chapter.part(4)
print(few)
print(few.names)
torch.equal(draw(data, len(few), seed=seed).p0, few.p0)

# %% tags=["hide-input"]
chapter.provenance()
