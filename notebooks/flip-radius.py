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
# # The flip radius
#
# "Flipped 80 % within four levels" is one point of a curve. Would two levels have done? What of the other 20 %: are they safe, or do they need
# five? A rate depends on a budget that somebody chose. This chapter asks each triplet instead: **how small is the smallest change
# that flips you?** The answer is its *flip radius*, and every rate at every budget can be read off it.

# %% tags=["parameters"]
data = "photos"  # "photos", "bapps", or a folder or CSV file of your own
n = 48  # number of triplets
seed = 0  # seed of the draw of triplets
metric_name = "lpips-alex"  # the metric that is looked at in detail
fallback = "st-lpips-alex"  # stands in where those weights cannot be had
table_metrics = ["l2", "ssim", "lpips-alex", "lpips-squeeze", "st-lpips-alex"]  # of the curves and the table
slow_metrics = ["ssim", "lpips-squeeze", "lpips-vgg", "st-lpips-alex", "st-lpips-vgg"]  # get fewer triplets
slow_n = 8  # number of triplets for those
steps = 30  # steps of FMN; APGD takes at most half as many for each budget
device = "auto"  # "auto", "cpu" or "cuda"

# %%
import dataclasses

import plotly.graph_objects as go
import torch
from myst_nb import glue

from simlib import metrics
from simlib.attacks import FlipRadius, RankFlip, radii
from simlib.benchmark.statistics import median, rate
from simlib.kernels.device import pick_device
from simlib.kernels.images import LEVELS
from simlib.report.explorer import result_panels
from simlib.report.figures import curves_with_bands, flip_rows, picture_slider
from simlib.report.provenance import provenance
from simlib.report.style import COLORS
from simlib.report.tables import Table
from simlib.triplets import draw

where = pick_device(device)
metric, note = metrics.load_first(metric_name, fallback, device=where)
triplets = draw(data, n, seed=seed).to(device=where)
photographs = triplets.photographs

# %% tags=["hide-input"]
values = triplets.ref[0].numel()
glue("radius_metric", metric.spec.title, display=False)
glue("radius_note", note or f"All weights of {metric.spec.title} are on this machine.", display=False)
glue("radius_n", n, display=False)
glue("radius_values", values, display=False)

# %% [markdown]
# ## What it is
#
# Let $m(x)$ be the margin of the rank, positive exactly when it is flipped. The flip radius of a triplet, in a norm, is
#
# $$
# r = \inf \left\{ \lVert x - x^0 \rVert : m(x) > 0, \; x \in [0, 1]^{3 \times H \times W} \right\}.
# $$
#
# In $\ell_\infty$ it is the largest change of one value, and we state it in levels of 255. In $\ell_2$ it is the Euclidean length of the
# change; divided by the root of the number of values, here {glue:text}`radius_values:,d`, it becomes the root mean square change (RMS)
# of a value, which is in levels as well and can be read beside the other.
#
# No attack can prove that nothing smaller flips. What follows is measured from above: the smallest change that was *found*.

# %% [markdown]
# ## How it is found
#
# Two methods work hand in hand.
#
# **FMN**, the fast minimum-norm attack {cite}`pintor2021fmn`, carries a budget along with the image. Each step climbs the margin and returns to
# the budget. While the rank is not flipped the budget grows; once it is, the budget shrinks, by less and less. It circles in on the border of the
# flip and keeps the smallest change that crossed it.
#
# Two details are our own: steps are measured in budgets and follow the steepest direction of the norm, and the budget changes three times as fast
# at first as in the original, so that tens of steps suffice.
#
# **APGD** {cite}`croce2020reliable` climbs the margin inside a *fixed* budget, and chooses its steps itself: they begin large (at twice the budget from scratch; at a
# fifth of it here, where it starts close to the border), and at checkpoints a sample that climbed too rarely halves its step and returns to the best image it has
# seen. It checks FMN: started from the smallest change known, it is asked for a flip within a smaller budget, in a **bisection** between the
# smallest budget that was enough and the largest that was not. A triplet leaves when the two are within one part in 256 (in 8 bits and $\ell_\infty$: when
# no whole level lies between them), or when its tries are spent.


# %% [markdown]
# ## A metric whose radius is known
#
# For the mean squared error the answer can be written down, so the search can be checked. In $\ell_2$ the shortest way out is the
# straight ray away from the reference, and it ends where the attacked image is as far away as the other:
#
# $$
# r_2 = \lVert x_\text{other} - x_\text{ref} \rVert - \lVert x^0 - x_\text{ref} \rVert.
# $$
#
# In $\ell_\infty$ every value moves away from the reference by the same amount. With $d = x^0 - x_\text{ref}$ over $D$ values, the
# radius solves a quadratic:
#
# $$
# \sum_i (|d_i| + r_\infty)^2 = \lVert x_\text{other} - x_\text{ref} \rVert^2
# \quad\Longrightarrow\quad
# r_\infty = \frac{-\lVert d \rVert_1 + \sqrt{\lVert d \rVert_1^2 - D \left( \lVert d \rVert^2 - \lVert x_\text{other} - x_\text{ref} \rVert^2 \right)}}{D}.
# $$
#
# Both hold as long as no value meets black or white on its way. To keep them away from there, the images are paled for this one
# check: their contrast is reduced to a fifth, around middle grey.


# %%
def both_radii(problem):
    """Search the flip radius in both norms, on float images."""
    return {
        norm: FlipRadius(norm=norm, steps=steps)(problem, protocol="paper", progress=True)
        for norm in ("linf", "l2")
    }


square_error = metrics.load("l2", device=where)
ref, p0, p1 = (0.4 + 0.2 * image for image in (triplets.ref, triplets.p0, triplets.p1))
pale = dataclasses.replace(triplets, ref=ref, p0=p0, p1=p1)
found = {norm: radii(result, norm) for norm, result in both_radii(RankFlip(square_error, pale)).items()}

# %%
original = RankFlip(square_error, pale).batch().original
d = (original - ref).flatten(1)
lengths = torch.stack([(image - ref).flatten(1).norm(dim=1) for image in (p0, p1)])
near, far = lengths.amin(dim=0), lengths.amax(dim=0)
total = d.abs().sum(dim=1)
known = {
    "l2": far - near,
    "linf": (-total + (total.square() + values * (far.square() - near.square())).sqrt()) / values,
}

# %% tags=["hide-input"]
moves = {"l2": d * (far / near - 1).unsqueeze(1), "linf": d.sign() * known["linf"].unsqueeze(1)}
judged = {norm: (original.flatten(1) + move - 0.5).abs().amax(dim=1) <= 0.5 for norm, move in moves.items()}
in_levels = {"linf": float(LEVELS), "l2": LEVELS / values**0.5}
title = {"linf": "largest change, levels", "l2": "RMS change, levels"}
errors = {norm: (found[norm] / known[norm] - 1).abs()[judged[norm]] for norm in found}
for norm, error in errors.items():
    text = (
        f"at most {error.max():.2%} off, on {len(error)} of {n}" if len(error) else f"judged on none of {n}"
    )
    glue(f"radius_{norm}_error", text, display=False)

# %% mystnb={"figure": {"name": "fig-closed-form", "caption": "Flip radius of the mean squared error: found by the search, against the closed form. One dot for each triplet; on the line they agree."}} tags=["hide-input"]
figure = go.Figure()
ends = [1.0, 1.0]
for color, norm in zip(COLORS, found):
    x, y = ((radius * in_levels[norm])[judged[norm]].tolist() for radius in (known[norm], found[norm]))
    ends = [min([ends[0], *x]), max([ends[1], *x])]
    figure.add_scatter(
        x=x,
        y=y,
        mode="markers",
        name=title[norm].removesuffix(", levels"),
        marker={"size": 8, "color": color},
        hovertemplate="closed form %{x:.3f}<br>found %{y:.3f}<extra></extra>",
    )
ticks = {"type": "log", "tickvals": [2.0**power for power in range(-5, 8)], "tickformat": "~g"}
dotted = {"color": "#7F7F7F", "dash": "dot"}
figure.add_scatter(x=ends, y=ends, mode="lines", line=dotted, name="equal", hoverinfo="skip")
figure.update_layout(
    xaxis={"title": "closed form, levels", **ticks},
    yaxis={"title": "found, levels", **ticks},
    height=460,
    meta={
        "alt": "Scatter of the radius found against the closed form, both axes logarithmic. "
        + " ".join(
            f"In the {title[norm].removesuffix(', levels')}, at most {error.max():.2%} off the line."
            for norm, error in errors.items()
            if len(error)
        )
    },
)

# %% [markdown]
# The search is {glue:text}`radius_l2_error:s` triplets in $\ell_2$, and {glue:text}`radius_linf_error:s` in $\ell_\infty$. Tests
# hold it to one per cent. (A triplet whose way out meets black or white all the same is not judged.)

# %% [markdown]
# ## Every metric
#
# Now for metrics without a formula. The images are floats here; what 8 bits do to them comes below.

# %%
available, absent = metrics.load_available(table_metrics, device=where)
measured = {}
for each in available:
    count = min(slow_n, n) if each.spec.name in slow_metrics else n
    measured[each.spec.title] = both_radii(RankFlip(each, triplets[:count]))

# %%
in_title = {
    name: {norm: radii(result, norm) * in_levels[norm] for norm, result in results.items()}
    for name, results in measured.items()
}


def survival(norm, budgets):
    """Share of the triplets that are not flipped within each budget, for every metric."""
    return {
        name: [rate(radius[norm] > budget, photographs[: len(radius[norm])]) for budget in budgets]
        for name, radius in in_title.items()
    }


# %% tags=["hide-input"]
left_out = f"Left out for want of weights: {' and '.join(absent)}." if absent else "No metric was left out."
glue("radius_left_out", left_out, display=False)
budgets = [step / 4 for step in range(65)]
curves = {norm: survival(norm, budgets) for norm in ("linf", "l2")}


def described(norm, budget):
    place = budgets.index(budget)
    return "; ".join(f"{name} {rates[place].value:.0%}" for name, rates in curves[norm].items())


# %% mystnb={"figure": {"name": "fig-survival-linf", "caption": "Share of triplets that no change of any value by more than the budget was found to flip, with 95 % bands."}} tags=["hide-input"]
curves_with_bands(
    budgets,
    curves["linf"],
    x_title="largest change of a value, levels of 255",
    y_title="not flipped",
    alt=f"Falling curves, one for each metric. Not flipped within four levels: {described('linf', 4.0)}.",
)

# %% mystnb={"figure": {"name": "fig-survival-l2", "caption": "The same in the Euclidean norm: share of triplets not flipped, against the root mean square of the change."}} tags=["hide-input"]
curves_with_bands(
    budgets,
    curves["l2"],
    x_title="RMS change of a value, levels of 255",
    y_title="not flipped",
    alt=f"Falling curves, one for each metric. Not flipped within an RMS of two levels: {described('l2', 2.0)}.",
)

# %% [markdown]
# A rate at one budget is one vertical cut through {numref}`fig-survival-linf`. Where two curves cross, the cut decides which metric looks the more
# robust. The curve has no such choice in it, and its shape tells more than its height: a steep fall says that all triplets are
# about equally hard, a long tail that a few are very hard.
#
# One number that does not depend on a budget is the median: half of the triplets flip within it.


# %% tags=["hide-input"]
def told(found) -> str:
    """Write a median with its interval, which few radii do not allow."""
    interval = f"{found.low:.2f} to {found.high:.2f}" if found.low > 0 else "too few"
    return f"{found.value:.2f} ({interval})"


rows = []
for name, radius in in_title.items():
    count = len(radius["linf"])
    own = photographs[:count]
    medians = [median(radius[norm], own) for norm in ("linf", "l2")]
    looks = float(measured[name]["linf"].forwards.float().mean())
    rows.append((name, count, *map(told, medians), rate(radius["linf"] <= 4, own), round(looks)))
Table(
    (
        "metric",
        "n",
        "median largest change, levels",
        "median RMS change, levels",
        "flipped within 4 levels",
        "forwards a triplet",
    ),
    tuple(rows),
)

# %% [markdown]
# Medians and rates with their 95 % intervals over photographs. That of a rate is Wilson's {cite}`wilson1927probable` for the effective number of triplets {cite}`kish1965survey,korn1998confidence`; in simulations
# it covers at least 90 times in 100, less often for rare events among thousands of triplets from few photographs. That of a median lies between two of the sorted radii and assumes nothing about how radii are
# distributed {cite}`woodruff1952confidence`; fewer than six triplets allow none, and few photographs may allow none either. *Forwards* are evaluations of the metric, here in the $\ell_\infty$ search. {glue:text}`radius_left_out:s` Metrics with fewer triplets are those that take longer.
#
# The two norms need not agree on an order: a bound on the largest change lets every value move at once; a bound on the RMS lets a
# few move far if the others keep still.

# %% [markdown]
# ## Look at the edge
#
# Each stop of the slider is one triplet of {glue:text}`radius_metric:s` at its radius, from the one that flips most easily to the one that holds out longest.
# {glue:text}`radius_note:s` After the attack, the distance is all but that of the other image: the image stands on the border of the flip, a hair beyond
# it. What changed is amplified forty times, the same for all.

# %%
problem = RankFlip(metric, triplets)
edge = measured.get(metric.spec.title)
if edge is None or len(edge["l2"]) < n:
    edge = both_radii(problem)
radius = radii(edge["l2"], "l2") * in_levels["l2"]
order = radius.argsort().tolist()
shown = [order[round(part * (n - 1) / 6)] for part in range(7)]

# %% mystnb={"figure": {"name": "fig-edge", "caption": "Triplets at their flip radius in the Euclidean norm, from the smallest to the largest; the slider says the RMS of the change in levels."}} tags=["hide-input"]
choices = {
    f"{place}: {radius[i]:.2f}": flip_rows(result_panels(problem, edge["l2"], i, gain=40))
    for place, i in enumerate(dict.fromkeys(shown), start=1)
}
picture_slider(
    choices,
    alt=f"A slider over {len(choices)} triplets, by rising flip radius: {', '.join(choices)} levels RMS. Each shows the reference, the other "
    "image, the attacked image before and after, with distances, and the change amplified forty times.",
)

# %% [markdown]
# ## What 8 bits leave of it
#
# An image on the border is easily pushed back over it. Saving it as a file rounds every value to a whole level, by up to half of one, which may be more than
# the whole attack. The strict search looks for its images among those of 8 bits from the start: in $\ell_\infty$ its radius
# is then a whole number of levels.

# %%
strict = {norm: FlipRadius(norm=norm, steps=steps)(problem, progress=True) for norm in ("linf", "l2")}

# %% tags=["hide-input"]
rows = []
for norm in ("linf", "l2"):
    flips = edge[norm].flipped
    kept = rate(edge[norm].flipped_8bit, photographs, flips) if flips.any() else None
    here, there = (
        median(radii(each, norm) * in_levels[norm], photographs) for each in (edge[norm], strict[norm])
    )
    rows.append(
        (
            title[norm],
            n,
            told(here),
            kept,
            told(there),
            rate(strict[norm].flipped, photographs),
        )
    )
    glue(f"radius_kept_{norm}", str(kept or "none of none"), display=False)
Table(
    (
        "radius",
        "n",
        "median, floats",
        "of these flips, kept when saved",
        "median, found in 8 bits",
        "flipped in 8 bits",
    ),
    tuple(rows),
)

# %% [markdown]
# For {glue:text}`radius_metric:s` on {glue:text}`radius_n:d` triplets, rounding keeps {glue:text}`radius_kept_linf:s` of the flips at their $\ell_\infty$ radius,
# and {glue:text}`radius_kept_l2:s` at their $\ell_2$ radius. The strict search finds others in their place, among images that a file can hold; the table says
# how far out. A radius without the word *float* or *8 bits* beside it is therefore not yet a number.

# %% mystnb={"figure": {"name": "fig-radius-8bit", "caption": "The same metric: share not flipped against the budget, for float images, for the same images after saving (each at the budget it was found with), and for images found in 8 bits."}} tags=["hide-input"]
float_radius, strict_radius = (radii(result["linf"], "linf") * LEVELS for result in (edge, strict))
# Half a thousandth of a level keeps a radius of exactly k levels from falling behind the budget k by float noise.
slack = 5e-4
lines = {
    "floats": float_radius,
    "the same, saved": torch.where(edge["linf"].flipped_8bit, float_radius, torch.inf),
    "found in 8 bits": strict_radius,
}
lines = {
    name: [rate(radius > budget + slack, photographs) for budget in budgets] for name, radius in lines.items()
}
curves_with_bands(
    budgets,
    lines,
    x_title="largest change of a value, levels of 255",
    y_title="not flipped",
    alt="Three falling curves. Not flipped within four levels: "
    + "; ".join(f"{name} {rates[16].value:.0%}" for name, rates in lines.items())
    + ".",
)

# %% tags=["hide-input"]
provenance(
    device=where,
    data=data,
    n=n,
    seed=seed,
    metric=metric.spec.title,
    table=", ".join(f"{name} ({len(results['linf'])})" for name, results in measured.items()),
)
