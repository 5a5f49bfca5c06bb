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
# # Moving pixels: stAdv
#
# The attacks so far recolour: those by the gradient change every value a little, the one-pixel attack changes one place a lot. A budget says by how
# much values may change, or how many pixels may, and a metric could be made tolerant of exactly that: of noise, and of dots. But an image can be changed without either. Let every pixel slide by a
# fraction of its width, neighbours nearly together, and nothing is painted on; edges are merely elsewhere. Done gently, it is hardly seen. The *spatially
# transformed* attack, **stAdv** ([Xiao et al., 2018](cite:xiao2018spatially)), looks for a gentle slide that fools a network, and
# [Ghildyal & Liu, 2023](cite:ghildyal2023attacking) turn it on perceptual metrics.

# %% tags=["parameters"]
data = "photos"  # "photos", "bapps", or a folder or CSV file of your own
n = 48  # number of triplets to attack
seed = 0  # seed of the draw of triplets
metric_name = "lpips-alex"  # the metric that is attacked in detail
fallback = "st-lpips-alex"  # stands in where those weights cannot be had
weight_rank = 50.0  # weight of the rank in the objective, as in the paper
weight_flow = 0.05  # weight of the smoothness of the flow, as in the paper
iterations = 50  # most iterations of L-BFGS, as in the paper
table_n = 16  # number of triplets for shifts, the second form and the table of metrics, n at most
table_metrics = ["l2", "ssim", "lpips-alex", "lpips-squeeze", "st-lpips-alex"]  # of the table
device = "auto"  # "auto", "cpu" or "cuda"

# %%
from simlib.book.chapter import Chapter
from simlib.report.display import say, show

chapter = Chapter(globals())
metric, problem, some = chapter.metric, chapter.problem, chapter.part(table_n)
chapter

# %% [markdown]
# ## First, no attack at all: a shift
#
# Before anything is optimised, slide the whole of the closer image to the right, all pixels by the same length. The picture is the same but for its rim and, where
# the shift is no whole number of pixels, a slight blur from the interpolation. A metric that compares pixel with pixel sees every edge in a wrong place; one built to tolerate shifts ([Ghildyal & Liu, 2022](cite:ghildyal2022shift))
# should see little. For how many triplets is the other image now the closer one?

# %%
import torch

from simlib.attacks import RankFlip
from simlib.kernels.flow import warp

shifts = [0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0]
shifted = {each.spec.title: [] for each in chapter.metrics}
for each in chapter.metrics:
    batch = RankFlip(each, some).batch()
    for shift in shifts:
        flow = torch.zeros_like(batch.original[:, :2])
        flow[:, 1] = -shift
        flipped = batch.flips(warp(batch.original, flow).clamp(0, 1))
        shifted[each.spec.title].append(chapter.rate(flipped))

# %% tags=["hide-input"]
from simlib.report.figures import curves_with_bands

show(
    curves_with_bands(shifts, shifted, x_title="shift, pixels", y_title="flipped"),
    "Share of triplets whose rank flips when the closer image slides to the right, with 95 % bands. "
    "No gradient and no search: a plain shift.",
)

# %% [markdown]
# ## A flow, and the image it makes
#
# A **flow** gives every pixel $(r, c)$ of the new image two numbers, $u$ rows down and $v$ columns to the right. They say where in the
# original the pixel takes its value:
#
# $$
# x'_{r,c} = x\left(r + u_{r,c},\; c + v_{r,c}\right).
# $$
#
# Between four pixels the value is interpolated, bilinearly, and what lies beyond the edge counts as the edge. So every value of the new image is a weighted mean of
# four neighbouring values of the old one, never brighter than the brightest of them nor darker than the darkest. And since the
# interpolation has a slope, the flow has a gradient.
#
# ## What is minimised
#
# The attack weighs two wishes, that the rank should flip and that neighbours should move together:
#
# $$
# \min_{u, v} \quad \lambda_\text{rank} \, \frac{d_\text{other}}{d_\text{adv} + d_\text{other}} \; + \; \lambda_\text{flow} \, S(u, v).
# $$
#
# The paper takes $\lambda_\text{rank} = 50$ and $\lambda_\text{flow} = 0.05$; here they are the dials `weight_rank` and
# `weight_flow`. Nothing bounds the flow but its own roughness $S$, and that exists in two forms. The code released with the paper sums, over
# all pixels and their four *diagonal* neighbours, the squared differences,
#
# $$
# S_\text{squared} = \sum_{p} \sum_{q \in D(p)} \left( \Delta u^2 + \Delta v^2 + 10^{-8} \right),
# $$
#
# while the stAdv paper takes the root of each term, a total variation:
#
# $$
# S_\text{root} = \sum_{p} \sum_{q \in D(p)} \sqrt{ \Delta u^2 + \Delta v^2 + 10^{-8} },
# $$
#
# In both, neighbours beyond the edge count as standing still. The root is more than a detail. Squares
# make one large jump between neighbours dearer than many small ones, so the movement spreads. With the root a
# jump costs the same whether taken at once or in parts, so the flow may break; and small movements cost far more.
#
# Taking diagonal neighbours alone has a curious effect. A pixel and the one above it never meet in the sum: the image falls into two interlaced grids, the white and the
# black fields of a chessboard, and inside the image the sum does not tie the flow of the one to that of the other.
#
# ## How it is minimised
#
# With L-BFGS ([Liu & Nocedal, 1989](cite:liu1989limited)), which remembers a few of its last steps and guesses from them how the slope bends. Starting from no
# flow it takes at most as many iterations as the dial `iterations` says, 50 in the paper. Usually such a solver sees one long vector. A batch of triplets made into one vector would share one
# step length and one memory between images that have nothing to do with each other, and could stop only when the last of them is done. So the solver itself is
# batched: every triplet has its own memory, its own line search and its own end, and leaves the batch the moment its rank flips. The network, where
# most of the time goes, sees them together.

# %%
from simlib.attacks import StAdv

stadv = StAdv(weight_rank=weight_rank, weight_flow=weight_flow, iterations=iterations)
paper = stadv(problem, protocol="paper", progress=True)
strict = stadv(problem, protocol="strict", progress=True)

# %%
from simlib.report.attacks import results_as_table

by_protocol = {"paper": paper, "strict": strict}
rates = ["n", "flipped", "flipped, and in 8 bits", "steps"]
results_as_table(by_protocol, rates, chapter.photographs, first="protocol")

# %%
columns = ["mean way", "longest way", "largest change", "RMSE"]
results_as_table(by_protocol, columns, chapter.photographs, first="protocol")

# %% [markdown]
# Steps are iterations of L-BFGS. The way of a pixel is the length of its flow. The mean and the longest way of an image's pixels are in pixels, the
# largest change of a value and the RMSE in levels of 255; all of them, and the
# steps, are medians over the flipped triplets. The protocols are those of [the chapter on gradient attacks](gradient-attacks.ipynb): `paper` tests
# the image as floats, `strict` after rounding to 8 bits. The columns in levels are to be compared with the 3.825 levels that the paper allows PGD. Nothing
# of that kind binds here: a bright pixel beside a dark edge changes by many levels when the edge moves by a quarter of a pixel. Levels alone do not say
# how visible a change is.
#
# ## The flow
#
# One stop of the slider for each triplet. Arrows point from a pixel to the place its value is taken from, so the picture
# content moves against them.

# %%
from simlib.report.flows import flow_slider
from simlib.report.pictures import first_flips
from simlib.report.stadv import moves, taking_turns

moved = moves(problem, strict, first_flips(strict.flipped, 5))
show(
    flow_slider(moved),
    "Images before and after stAdv under the strict protocol, and the flow between them; distances are those to "
    "the reference, of these images and of the other one.",
)

# %% [markdown]
# Look along the edges. Roughness is only one of two wishes in a sum, so nothing forbids a flow that tears an edge. That a change is hardly seen
# is the hope behind smoothness, not something that the attack checks.

# %% [markdown]
# ## Where is the difference?
#
# Side by side it takes a while to find what moved. The eye is far better at what changes in one place. Press play and the two
# images take turns, twice a second, for half a minute at most; or step by hand.

# %%
show(
    taking_turns(dict(list(moved.items())[:3])),
    "Before and after stAdv in turns, under the strict protocol. Nothing moves until play is pressed.",
)

# %% [markdown]
# ## How far pixels move, and the other form of smoothness
#
# The same attack with the root, on the first `table_n` triplets. To compare like with like, the figure also shows the triplets alone that both forms flip.

# %%
from dataclasses import replace

root = replace(stadv, form="root")(RankFlip(metric, some), progress=True)
of_squared, of_root = strict.details["flow"], root.details["flow"]
same = strict.flipped[: len(some)]
both = same & root.flipped
say(
    f"With the same weights, the form with the root flips {chapter.rate(root.flipped)},",
    f"the squared form, of the same triplets, {chapter.rate(same)}.",
)

# %%
from simlib.report.stadv import length_bars

flows = {
    "squared, all flips": of_squared[strict.flipped],
    "squared, where both flip": of_squared[: len(some)][both],
    "root, where both flip": of_root[both],
}
show(
    length_bars(flows),
    "How far the pixels of flipped images move: share of all their pixels by the length of the flow, for both "
    "forms of smoothness. The last bar holds everything beyond.",
)

# %%
ways = of_squared[strict.flipped].norm(dim=1)
if len(ways):
    share = float((ways > 0.5).float().mean())
    say(
        f"Over the {len(ways)} images that the squared form flips, {share:.1%} of the pixels take their value",
        "from more than half a pixel away.",
    )

# %% [markdown]
# The paper's weight of the flow belongs to the squared form; the two are
# not on one scale, and a fair comparison of what they *can* do would tune the weight of each. What their flows look like can be compared. Where a fine
# chequered pattern shows, the two interlaced grids go their own ways:

# %%
from simlib.report.stadv import flows_side_by_side

show(
    flows_side_by_side({"squared": strict, "with the root": root}, first_flips(both, 3)),
    "Flows found for the same triplets under the two forms of smoothness; hue is the direction, depth the "
    "distance, on one scale in each row.",
)

# %% [markdown]
# ## Every metric
#
# White-box, under the strict protocol, on the first `table_n` triplets; the columns are those above. Do metrics that were built to tolerate shifts resist an attack that does
# nothing but move pixels?

# %%
results = {each.spec.title: stadv(RankFlip(each, some), progress=True) for each in chapter.metrics}
found = ["n", "flipped", "steps", "mean way", "longest way"]
results_as_table(results, found, chapter.photographs, first="metric")

# %%
results_as_table(results, ["largest change", "RMSE"], chapter.photographs, first="metric")

# %% tags=["hide-input"]
from simlib.report.figures import rate_bars

flipped_by = {
    "stAdv": [chapter.rate(result.flipped) for result in results.values()],
    "shift by one pixel": [shifted[title][shifts.index(1.0)] for title in results],
}
show(
    rate_bars(list(results), flipped_by, y_title="flipped"),
    f"Share of the first {len(some)} triplets flipped by stAdv, and by a plain shift of one pixel, with 95 % "
    "intervals.",
)

# %% tags=["hide-input"]
from simlib.benchmark.paired import difference

tolerant, plain = "ST-LPIPS (Alex)", "LPIPS (Alex)"
if {tolerant, plain} <= set(results):
    gain = difference(results[plain].flipped, results[tolerant].flipped, some.photographs)
    helps = "helps" if gain.low > 0 else "is not seen to help"
    say(
        f"{tolerant} was built to tolerate shifts. stAdv flips it on {chapter.rate(results[tolerant].flipped)},",
        f"and {plain}, which was not, on {chapter.rate(results[plain].flipped)}. The difference is {gain}:",
        f"on these triplets, tolerance of shifts {helps} against stAdv.",
    )
say(chapter.left_out)

# %% [markdown]
# Rates are given with their 95 % intervals over photographs. The objective is a ratio of distances and so the same for every
# metric, whatever its scale; but how a distance answers to movement differs, and one weight of smoothness may suit one metric better than
# another. The paper uses its two weights on LPIPS (Alex); for other metrics these weights are our choice.

# %% tags=["hide-input"]
chapter.provenance(
    weights=f"rank {weight_rank:g}, flow {weight_flow:g}",
    table=f"{len(some)} triplets, {', '.join(results)}",
)
