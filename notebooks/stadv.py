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
# # Moving pixels: stAdv
#
# The attacks so far recolour: those by the gradient change every value a little, the one-pixel attack changes one place a lot. A budget says how
# much, or how many, and a metric could be made tolerant of exactly that: of noise, and of dots. But an image can be changed without either. Let every pixel slide by a
# fraction of its width, neighbours nearly together, and nothing is painted on; edges are merely elsewhere. Done gently, it is hardly seen. The *spatially
# transformed* attack, **stAdv** {cite}`xiao2018spatially`, looks for a gentle slide that fools a network, and
# Ghildyal & Liu {cite}`ghildyal2023attacking` turn it on perceptual metrics.

# %% tags=["parameters"]
data = "photos"  # "photos", "bapps", or a folder or CSV file of your own
n = 48  # number of triplets to attack
seed = 0  # seed of the draw of triplets
metric_name = "lpips-alex"  # the metric that is attacked in detail
fallback = "st-lpips-alex"  # stands in where those weights cannot be had
weight_rank = 50.0  # weight of the rank in the objective, as in the paper
weight_flow = 0.05  # weight of the smoothness of the flow, as in the paper
iterations = 50  # most iterations of L-BFGS, as in the paper
table_n = 16  # number of triplets for the second form and the table of metrics
table_metrics = ["l2", "ssim", "lpips-alex", "lpips-squeeze", "st-lpips-alex"]  # of the table
device = "auto"  # "auto", "cpu" or "cuda"

# %%
from dataclasses import replace
from itertools import pairwise

import plotly.graph_objects as go
import torch
from myst_nb import glue

from simlib import metrics
from simlib.attacks import RankFlip, StAdv
from simlib.benchmark.statistics import rate
from simlib.kernels.device import exact_convolutions, pick_device
from simlib.kernels.flow import warp
from simlib.kernels.images import LEVELS
from simlib.report.figures import Panel, curves_with_bands, picture_grid, rate_bars
from simlib.report.flows import Moved, flicker, flow_colors, flow_slider
from simlib.report.provenance import provenance
from simlib.report.style import COLORS
from simlib.report.tables import Table
from simlib.triplets import draw

where = pick_device(device)
metric, note = metrics.load_first(metric_name, fallback, device=where)
triplets = draw(data, n, seed=seed).to(device=where)
photographs = triplets.photographs
problem = RankFlip(metric, triplets)
some = triplets[: min(table_n, n)]
available, absent = metrics.load_available(table_metrics, device=where)

# %% tags=["hide-input"]
left_out = f"Left out for want of weights: {' and '.join(absent)}." if absent else "No metric was left out."
for key, value in {
    "stadv_metric": metric.spec.title,
    "stadv_note": note or f"All weights of {metric.spec.title} are on this machine.",
    "stadv_n": n,
    "stadv_table_n": len(some),
    "stadv_rank": f"{weight_rank:g}",
    "stadv_flow": f"{weight_flow:g}",
    "stadv_iterations": iterations,
    "stadv_left_out": left_out,
}.items():
    glue(key, value, display=False)

# %% [markdown]
# The metric attacked here is **{glue:text}`stadv_metric:s`**, on {glue:text}`stadv_n:d` triplets. {glue:text}`stadv_note:s`
#
# ## First, no attack at all: a shift
#
# Before anything is optimised, slide the whole of the closer image to the right, all pixels by the same way. The picture is the same but for its rim and, where
# the shift is no whole number of pixels, a slight blur from the interpolation. A metric that compares pixel with pixel sees every edge in a wrong place; one built to tolerate shifts {cite}`ghildyal2022shift`
# should see little. For how many triplets is the other image now the closer one?

# %%
shifts = [0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0]
shifted = {}
for each in available:
    with exact_convolutions():
        batch = RankFlip(each, some).batch()
    rates = []
    for shift in shifts:
        flow = batch.original.new_tensor([0.0, -shift]).view(1, 2, 1, 1)
        moved = warp(batch.original, flow.expand(len(some), 2, *some.ref.shape[-2:])).clamp(0, 1)
        with torch.no_grad(), exact_convolutions():
            rates.append(rate(batch.margin(moved) > 0, some.photographs))
    shifted[each.spec.title] = rates

# %% mystnb={"figure": {"name": "fig-shift", "caption": "Share of triplets whose rank flips when the closer image slides to the right, with 95 % bands. No gradient and no search: a plain shift."}} tags=["hide-input"]
curves_with_bands(
    shifts,
    shifted,
    x_title="shift, pixels",
    y_title="flipped",
    alt="A curve for each metric of the share flipped against the shift. After one pixel: "
    + "; ".join(f"{title} {rates[shifts.index(1.0)]}" for title, rates in shifted.items()),
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
# The paper takes $\lambda_\text{rank} = 50$ and $\lambda_\text{flow} = 0.05$; here they are {glue:text}`stadv_rank:s` and
# {glue:text}`stadv_flow:s`. Nothing bounds the flow but its own roughness $S$, and that exists in two forms. The code released with the paper sums, over
# all pixels and their four *diagonal* neighbours, the squared differences,
#
# $$
# S_\text{squared} = \sum_{p} \sum_{q \in D(p)} \left( \Delta u^2 + \Delta v^2 + 10^{-8} \right),
# $$
#
# $$
# S_\text{root} = \sum_{p} \sum_{q \in D(p)} \sqrt{ \Delta u^2 + \Delta v^2 + 10^{-8} },
# $$
#
# where neighbours beyond the edge count as standing still. The stAdv paper has the square root, a total variation. It is more than a detail. Squares
# make one large jump between neighbours dearer than many small ones, so the movement spreads. With the root a
# jump costs the same whether taken at once or in parts, so the flow may break; and small movements cost far more.
#
# Taking diagonal neighbours alone has a curious effect. A pixel and the one above it never meet in the sum: the image falls into two interlaced grids, the white and the
# black fields of a chessboard, and inside the image the sum does not tie the flow of the one to that of the other.
#
# ## How it is minimised
#
# With L-BFGS {cite}`liu1989limited`, which remembers a few of its last steps and guesses from them how the slope bends. Starting from no
# flow it takes at most {glue:text}`stadv_iterations:d` iterations. Usually such a solver sees one long vector. A batch of triplets made into one vector would share one
# step length and one memory between images that have nothing to do with each other, and could stop only when the last of them is done. So the solver itself is
# batched: every triplet has its own memory, its own line search and its own end, and leaves the batch the moment its rank flips. The network, where
# most of the time goes, sees them together.

# %%
stadv = StAdv(weight_rank=weight_rank, weight_flow=weight_flow, iterations=iterations)
paper = stadv(problem, protocol="paper", progress=True)
strict = stadv(problem, protocol="strict", progress=True)


# %% tags=["hide-input"]
def median(values: torch.Tensor) -> float | None:
    return float(values.float().quantile(0.5)) if len(values) else None


def row(name: str, result) -> tuple:
    done, own = result.flipped, photographs[: len(result)]
    way = result.details["flow"].norm(dim=1).flatten(1)[done]
    return (
        name,
        len(result),
        rate(done, own),
        rate(done & result.flipped_8bit, own),
        median(result.steps[done]),
        median(way.mean(dim=1)) if len(way) else None,
        median(way.amax(dim=1)) if len(way) else None,
        median(result.linf[done] * LEVELS),
        median(result.rmse[done]),
    )


HEADER = (
    "stAdv",
    "n",
    "flipped",
    "in 8 bits",
    "iterations",
    "mean way",
    "longest",
    "change",
    "RMSE",
)
Table(HEADER, (row("paper protocol", paper), row("strict protocol", strict)))

# %% [markdown]
# The mean and the longest way of an image's pixels are in pixels, the largest change of a value and the RMSE in levels of 255; all of them, and the
# iterations, are medians over the flipped triplets. The protocols are those of the chapter on gradient attacks: `paper` tests
# the image as floats, `strict` after rounding to 8 bits. The columns in levels are to be compared with the 3.825 levels that the paper allows PGD. Nothing
# of that kind binds here: a bright pixel beside a dark edge changes by many levels when the edge moves by a quarter of a pixel. How visible a change is, levels
# alone do not say.
#
# ## The flow
#
# One stop of the slider for each triplet. Arrows point from a pixel to the place its value is taken from, so the picture
# content moves against them.

# %% tags=["hide-input"]
# Without a single flip, which can happen on few triplets, the first triplets are shown as they are left.
shown = (strict.flipped if strict.flipped.any() else ~strict.flipped).nonzero().flatten().tolist()[:5]
with torch.no_grad(), exact_convolutions():
    batch = problem[shown].batch()
    before, other = batch.distances(strict.original[shown])
    after, _ = batch.distances(strict.images[shown])
moves = {
    str(number): Moved(
        strict.original[position],
        strict.images[position],
        strict.details["flow"][position],
        (
            f"distance {before[number - 1]:.4f}",
            f"now {after[number - 1]:.4f}, other {other[number - 1]:.4f}",
        ),
    )
    for number, position in enumerate(shown, start=1)
}

# %% mystnb={"figure": {"name": "fig-flow", "caption": "Images before and after stAdv under the strict protocol, and the flow between them; distances are those to the reference, of these images and of the other one."}} tags=["hide-input"]
flow_slider(
    moves,
    alt=f"A slider over {len(moves)} triplets. Each shows the image before and after the attack, and the flow as arrows over the "
    "paled image and as colours, whose hue is the direction and whose depth is the distance.",
)

# %% [markdown]
# ## Where is the difference?
#
# Side by side it takes a while to find what moved. The eye is far better at what changes in one place. Press play and the two
# images take turns, twice a second, for half a minute at most; or step by hand.

# %% mystnb={"figure": {"name": "fig-flicker", "caption": "Before and after stAdv in turns, under the strict protocol. Nothing moves until play is pressed."}} tags=["hide-input"]
first = list(moves.items())[:3]
flicker(
    [Panel(each.original, each.captions[0], f"triplet {k}") for k, each in first],
    [Panel(each.attacked, each.captions[1].split(",")[0], f"triplet {k}") for k, each in first],
    alt=f"{len(first)} images before the attack, which take turns with the attacked ones when play is pressed. "
    "What changes is mostly where edges lie.",
)

# %% [markdown]
# ## How far pixels move, and the other form of smoothness
#
# The same attack with the root, on the first {glue:text}`stadv_table_n:d` triplets.

# %%
root = replace(stadv, form="root")(RankFlip(metric, some), progress=True)
flows = {"squared": strict.details["flow"][strict.flipped], "root": root.details["flow"][root.flipped]}

# %% tags=["hide-input"]
moved_far = strict.details["flow"][strict.flipped].norm(dim=1)
share = float((moved_far > 0.5).float().mean()) if len(moved_far) else None
looks = (
    f"{share:.1%} of the pixels of {len(moved_far)} images look farther than half a pixel away"
    if share is not None
    else ""
)
glue("stadv_half", looks or "no share can be given, for want of flips", display=False)
part = len(some)
glue("stadv_root", str(rate(root.flipped, some.photographs)), display=False)
glue("stadv_same", str(rate(strict.flipped[:part], some.photographs)), display=False)

# %% mystnb={"figure": {"name": "fig-ways", "caption": "How far the pixels of flipped images move: share of all their pixels by the length of the flow, for both forms of smoothness. The last bar holds everything beyond."}} tags=["hide-input"]
edges = [0, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1, 1.5, 2, 3]
labels = [f"{low:g} to {high:g}" for low, high in pairwise(edges)] + [f"over {edges[-1]:g}"]
figure = go.Figure()
for color, (form, flow) in zip(COLORS, flows.items()):
    if len(flow):
        place = torch.bucketize(flow.norm(dim=1).flatten().cpu(), torch.tensor(edges[1:]))
        counts = torch.bincount(place, minlength=len(labels)).double()
        figure.add_bar(
            x=labels,
            y=[round(value, 5) for value in (counts / counts.sum()).tolist()],
            name=f"{form}, {len(flow)} images",
            marker_color=color,
            hovertemplate="%{x} pixels: %{y:.1%}<extra>" + form + "</extra>",
        )
figure.update_layout(
    xaxis_title="length of the flow, pixels",
    yaxis={"title": "share of pixels", "tickformat": ".0%"},
    height=420,
    meta={
        "alt": "Bars of the share of pixels by how far they move, for the squared form and the form with the root. "
        "Medians: "
        + "; ".join(
            f"{form} {float(flow.norm(dim=1).quantile(0.5)):.2g} pixels" if len(flow) else f"{form} no image"
            for form, flow in flows.items()
        )
    },
)

# %% [markdown]
# With the squared form, over the images that flipped: {glue:text}`stadv_half:s`. With the same weights the form with the
# root flips {glue:text}`stadv_root:s`, the squared one of the same triplets {glue:text}`stadv_same:s`. The paper's weight of the flow belongs to the squared form; the two are
# not on one scale, and a fair comparison of what they *can* do would tune the weight of each. What their flows look like can be compared. Where a fine chequered pattern shows, the
# two interlaced grids go their own ways:

# %% tags=["hide-input"]
both = (strict.flipped[:part] & root.flipped).nonzero().flatten().tolist()[:3] or [0]
panels = []
for position in both:
    pair = [result.details["flow"][position] for result in (strict, root)]
    ways = [flow.norm(dim=0) for flow in pair]
    long = max(float(way.quantile(0.99)) for way in ways)
    panels.append(
        [
            Panel(strict.original[position], title="before the attack"),
            *(
                Panel(
                    flow_colors(flow, long),
                    f"longest way {float(way.max()):.2g} pixels,<br>"
                    + ("flipped" if result.flipped[position] else "not flipped"),
                    title,
                )
                for result, flow, way, title in zip(
                    (strict, root), pair, ways, ("flow, squared", "flow, with the root")
                )
            ),
        ]
    )

# %% mystnb={"figure": {"name": "fig-forms", "caption": "Flows found for the same triplets under the two forms of smoothness; hue is the direction, depth the distance, on one scale in each row."}} tags=["hide-input"]
picture_grid(
    panels,
    alt=f"{len(panels)} rows of an image and two flows painted as colours, one under the squared form of smoothness, one under the form with the root.",
)

# %% [markdown]
# ## Every metric
#
# White-box, strict protocol, on {glue:text}`stadv_table_n:d` triplets; columns as above. One question is whether metrics that were built to tolerate shifts resist an attack that does nothing but shift.

# %%
results = {each.spec.title: stadv(RankFlip(each, some), progress=True) for each in available}

# %% tags=["hide-input"]
Table(
    ("metric", *HEADER[1:3], *HEADER[4:]),
    tuple((*cells[:3], *cells[4:]) for cells in (row(t, r) for t, r in results.items())),
)

# %% mystnb={"figure": {"name": "fig-stadv-metrics", "caption": "Share of triplets flipped by stAdv, and by a plain shift of one pixel, with 95 % intervals."}} tags=["hide-input"]
rate_by = {
    "stAdv": [rate(result.flipped, some.photographs) for result in results.values()],
    "shift by one pixel": [shifted[title][shifts.index(1.0)] for title in results],
}
rate_bars(
    list(results),
    rate_by,
    y_title="flipped",
    alt="; ".join(
        f"{name}: " + ", ".join(f"{title} {rate.value:.0%}" for title, rate in zip(results, rates))
        for name, rates in rate_by.items()
    ),
)

# %% [markdown]
# Rates with their 95 % intervals over photographs. {glue:text}`stadv_left_out:s` The objective is a ratio of distances and so the same for every
# metric, whatever its scale; but how a distance answers to movement differs, and one weight of smoothness may suit one metric better than
# another. The paper uses them on LPIPS (Alex); for other metrics they are our choice.

# %% tags=["hide-input"]
provenance(
    device=where,
    data=data,
    n=n,
    seed=seed,
    metric=metric.spec.title,
    weights=f"rank {weight_rank:g}, flow {weight_flow:g}",
    table=f"{part} triplets, {', '.join(results)}",
)
