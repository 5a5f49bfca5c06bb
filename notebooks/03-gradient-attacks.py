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
# # Attacks by the gradient: FGSM and PGD
#
# Take a triplet and a metric. The metric finds one of the two images closer to the reference. Change *that* image, so little that
# nobody would notice, until the metric finds the other one closer. This is the **rank flip** of Ghildyal & Liu
# {cite}`ghildyal2023attacking`. Below it is done with the two best-known gradient attacks, looked at, counted, and counted again
# after the images were saved in 8 bits.

# %% tags=["parameters"]
data = "photos"  # "photos", "bapps", or a folder or CSV file of your own
n = 48  # number of triplets to attack
seed = 0  # seed of the draw of triplets
metric_name = "lpips-alex"  # the metric that is attacked in detail
fallback = "st-lpips-alex"  # stands in where those weights cannot be had
table_metrics = [
    "l2",
    "ssim",
    "lpips-alex",
    "lpips-squeeze",
    "lpips-vgg",
    "st-lpips-alex",
]  # of the table
table_n = 24  # number of triplets for the table of metrics
eps = 0.015  # budget of PGD in [0, 1]; the paper's 0.03 in [-1, 1], 3.825 levels
step = 0.0005  # step of PGD in [0, 1]; the paper's 0.001 in [-1, 1]
steps = 30  # most steps of PGD
device = "auto"  # "auto", "cpu" or "cuda"

# %%
import torch
from myst_nb import glue

from simlib import metrics
from simlib.attacks import FGSM, PGD, RankFlip
from simlib.benchmark.statistics import rate
from simlib.kernels.device import pick_device
from simlib.kernels.images import LEVELS
from simlib.kernels.projection import truncate_to_8bit
from simlib.report.explorer import FlipExplorer, result_panels
from simlib.report.figures import curves_with_bands, rate_bars
from simlib.report.provenance import provenance
from simlib.report.published import WHITE_BOX_PGD as PUBLISHED
from simlib.report.tables import Table
from simlib.report.teaser import teaser
from simlib.triplets import draw

where = pick_device(device)
metric, note = metrics.load_first(metric_name, fallback, device=where)
triplets = draw(data, n, seed=seed).to(device=where)
photographs = triplets.photographs
problem = RankFlip(metric, triplets)

# %% tags=["hide-input"]
glue("metric", metric.spec.title, display=False)
glue("note", note or f"All weights of {metric.spec.title} are on this machine.", display=False)
glue("n", n, display=False)

# %% [markdown]
# The metric attacked here is **{glue:text}`metric:s`**, on {glue:text}`n:d` triplets. {glue:text}`note:s`
#
# ## The problem
#
# Let $x_\text{adv}$ be the image under attack, the one the metric ranks closer, and $x_\text{other}$ the one it ranks farther. The
# **margin** is
#
# $$
# m(x) = d(x_\text{ref}, x) - d(x_\text{ref}, x_\text{other}).
# $$
#
# It is negative at the original image, and the rank is flipped exactly when it is positive. The change must stay within
# a **budget**: no value of the image moves by more than $\varepsilon$.

# %% [markdown]
# ## FGSM: one step
#
# The fast gradient sign method {cite}`goodfellow2015explaining` takes the gradient once and moves every value by $\varepsilon$ in the
# direction that raises the margin fastest:
#
# $$
# x_\text{adv} = x + \varepsilon \, \operatorname{sign} \nabla_x m(x).
# $$
#
# Which $\varepsilon$ the paper used is not known to us. We try one level of 255, then two, up to ten, and keep the smallest that flips.

# %%
fgsm = FGSM()(problem, progress=True)
fgsm_rate = rate(fgsm.flipped, photographs)
print(fgsm_rate)

# %%
grid = range(1, 11)
sizes = (fgsm.linf * LEVELS).round()
by_size = [rate(fgsm.flipped & (sizes <= size), photographs) for size in grid]

# %% tags=["hide-input"]
glue("fgsm_one", str(by_size[0]), display=False)
glue("fgsm_all", str(fgsm_rate), display=False)

# %% mystnb={"figure": {"name": "fig-fgsm", "caption": "Share of triplets flipped by one step of a given size, with its 95 % band."}} tags=["hide-input"]
curves_with_bands(
    list(grid),
    {metric.spec.title: by_size},
    x_title="size of the step, levels of 255",
    y_title="flipped",
    alt=f"A rising curve: one level flips {by_size[0]}, up to ten levels flip {by_size[-1]}.",
)

# %% [markdown]
# A single level, the smallest change an 8-bit image can hold, already flips {glue:text}`fgsm_one:s`;
# with up to ten levels it is {glue:text}`fgsm_all:s`.

# %% [markdown]
# ## PGD: many small steps
#
# Projected gradient descent {cite}`madry2018towards` takes the gradient anew at every step, and after each step returns to the budget and to the range
# of an image:
#
# $$
# x^{t+1} = \Pi_{[0,1]} \, \Pi_{\lVert x - x^0 \rVert_\infty \le \varepsilon} \left( x^t + \alpha \, \operatorname{sign} \nabla_x J(x^t) \right).
# $$
#
# The paper ascends $J = \left( \frac{d_\text{other}}{d_\text{other} + d_\text{adv}} - 1 \right)^2$ in images of $[-1, 1]$ with
# $\varepsilon = 0.03$, $\alpha = 0.001$ and 30 steps, and stops a triplet as soon as it flips. In $[0, 1]$ these are half as large:
# 3.825 and 0.1275 levels of 255.
#
# We run it under two **protocols**. `paper` is the released procedure, step by step, on images in $[0, 1]$ (which is another function
# for SSIM, whose value depends on the range, and the same for the other metrics). `strict` counts a flip only if it
# survives being saved: every candidate is rounded to 8 bits within the budget before the metric sees it, and the last image is
# tested like all others.

# %%
pgd = PGD(eps=eps, step=step, steps=steps)
paper = pgd(problem, protocol="paper", progress=True)
strict = pgd(problem, protocol="strict", progress=True)
paper_rate = rate(paper.flipped, photographs)
saved_rate = rate(paper.flipped & paper.flipped_8bit, photographs)
strict_rate = rate(strict.flipped, photographs)

# %% tags=["hide-input"]
glue("strict_rate", str(strict_rate), display=False)
Table(
    ("protocol", "flipped", "n"),
    (
        ("paper: tested as floats", paper_rate, n),
        ("paper: the same images, saved in 8 bits", saved_rate, n),
        ("strict: found and tested in 8 bits", strict_rate, n),
    ),
)

# %% [markdown]
# ## A flip one can look at
#
# Drag the slider. The image before and the image after the attack look the same; the metric puts one before and the
# other behind the image in the second panel. The last panel shows the change, amplified until it can be seen. In a live
# notebook the dials run the attack again.

# %% tags=["hide-input"]
# Without a single flip, which can happen on few triplets, the first triplets are shown as they are left.
shown = (strict.flipped if strict.flipped.any() else ~strict.flipped).nonzero().flatten().tolist()[:6]

# %% mystnb={"figure": {"name": "fig-flips", "caption": "PGD under the strict protocol; one stop of the slider for each triplet."}}
FlipExplorer(problem, shown, eps=eps, step=step, steps=steps)

# %% [markdown]
# ## How many steps it takes

# %%
taken = list(range(steps + 1))
by_step = {
    name: [rate(result.flipped & (result.steps <= t), photographs) for t in taken]
    for name, result in (("paper protocol", paper), ("strict protocol", strict))
}

# %% mystnb={"figure": {"name": "fig-steps", "caption": "Share of triplets flipped within a number of steps, with 95 % bands, and the published share for LPIPS (Alex) on BAPPS."}} tags=["hide-input"]
figure = curves_with_bands(
    taken,
    by_step,
    x_title="steps",
    y_title="flipped",
    alt=f"Two rising curves of the share flipped against steps. At the end: paper protocol {paper_rate}, strict {strict_rate}.",
)
figure.add_scatter(
    x=list(PUBLISHED.flipped_within),
    y=list(PUBLISHED.flipped_within.values()),
    mode="markers",
    name="published, LPIPS (Alex) on BAPPS",
    marker={"size": 9, "symbol": "diamond-open", "color": "#7F7F7F", "line": {"width": 2}},
    hovertemplate="published, %{x} steps: %{y:.1%} of " + f"{PUBLISHED.n:,}<extra></extra>",
)

# %% [markdown]
# Two details of the released procedure show in the figure. Thirty steps of $\alpha$ reach $\varepsilon$ exactly, so the budget never binds; and
# since a flip is tested before each step, the image after the last one is never tested, and at most 29 steps count.

# %% [markdown]
# ## What 8 bits erase
#
# One step is 0.1275 of a level. Up to three steps move no value by half a level, and rounding returns the original image:
# a flip that needs so few exists for the float image only. Rounding also gives: after four to seven steps a value has moved by
# 0.51 to 0.89 of a level, and rounding makes that a whole one, more than the attack asked for. After eight to eleven it has moved by
# more than a level, and rounding takes the rest away.

# %%
early = paper.flipped & (paper.steps <= 3)
erased = paper.flipped & ~paper.flipped_8bit

# %% tags=["hide-input"]
for name, mask in (("early", early), ("erased", erased)):
    part = rate(mask, photographs, paper.flipped) if paper.flipped.any() else "none of none"
    glue(name, str(part), display=False)
glue("published_early", str(PUBLISHED.early), display=False)

# %% mystnb={"figure": {"name": "fig-erased", "caption": "Of the flips found under the paper protocol at a number of steps, the share that is still flipped after rounding to 8 bits."}} tags=["hide-input"]
bins = [(0, 3), (4, 7), (8, 11), (12, 19), (20, steps)]
groups = {
    f"{low} to {high}": paper.flipped & (paper.steps >= low) & (paper.steps <= high) for low, high in bins
}
groups = {name: group for name, group in groups.items() if group.any()}
survives = [rate(paper.flipped_8bit, photographs, group) for group in groups.values()]
rate_bars(
    list(groups),
    {"still flipped": survives},
    y_title="still flipped in 8 bits",
    alt="Bars by the steps a flip took: "
    + "; ".join(f"{name} steps {rate}" for name, rate in zip(groups, survives)),
).update_layout(xaxis_title="steps to the flip")

# %% [markdown]
# Here {glue:text}`early:s` of the flips need at most three steps, in the published results
# {glue:text}`published_early:s`. In all, rounding erases {glue:text}`erased:s` of the flips found here. The strict protocol loses none, because it looks for its flips among images of 8 bits. With steps this small such an image changes mostly
# at steps 4, 12 and 20, when another half level is passed, which is why its curve in {numref}`fig-steps` rises in stairs.
#
# The released code measures the size of a change after converting both images to 8 bits by truncation. On the way to
# $[-1, 1]$ and back, float noise puts some values just below their level, and truncation takes a level from them even
# if nothing changed:

# %%
untouched = torch.arange(256) / LEVELS
lost = int((truncate_to_8bit(untouched) * LEVELS).round().ne(torch.arange(256)).sum())
print(lost, "of the 256 values of an untouched image lose a level")

# %% [markdown]
# ## Beside the published numbers
#
# The data differ: the paper attacks the {glue:text}`published_n:,d` triplets of BAPPS on which all five judges agree, this page {glue:text}`n:d` triplets
# from {glue:text}`photographs:d` photographs, of which {glue:text}`unlabelled:d` have no label. The table is there to see whether the order of magnitude holds, not to confirm the digits.

# %% tags=["hide-input"]
glue("published_n", PUBLISHED.n, display=False)
glue("photographs", len(set(photographs)), display=False)
glue("unlabelled", int(triplets.judge.isnan().sum()), display=False)


def mean_and_deviation(values: torch.Tensor) -> str:
    return f"{values.mean():.3f} ± {values.std():.3f}" if len(values) > 1 else "–"


done = paper.flipped
change = (truncate_to_8bit(paper.images) - truncate_to_8bit(paper.original)) * LEVELS
truncated = change.square().mean(dim=(1, 2, 3)).sqrt()[done]
flips = paper.steps[done].float()
Table(
    ("PGD, paper protocol", f"here, {metric.spec.title}", "published, LPIPS (Alex)"),
    (
        ("data", data, "BAPPS, clear winners"),
        ("n", n, PUBLISHED.n),
        ("flipped", paper_rate, PUBLISHED.rate),
        ("steps of the flipped, mean", float(flips.mean()) if len(flips) else None, PUBLISHED.steps[0]),
        (
            "steps of the flipped, median",
            float(flips.quantile(0.5)) if len(flips) else None,
            PUBLISHED.steps[1],
        ),
        (
            "RMSE of the flipped, truncated, in levels",
            mean_and_deviation(truncated),
            f"{PUBLISHED.rmse[0]:.3f} ± {PUBLISHED.rmse[1]:.3f}",
        ),
        ("RMSE of the flipped, rounded, in levels", mean_and_deviation(paper.rmse[done]), None),
    ),
)

# %% [markdown]
# How close the two images were before the attack decides most of it. Sorted by the ratio of the smaller distance to the larger:

# %%
batch = problem.batch()
with torch.no_grad():
    closer, farther = batch.distances(batch.original)
ratio = (closer / farther).nan_to_num(1.0)
by_ratio = {
    f"{upper - 0.2:.1f} to {upper:.1f}": (
        (ratio >= upper - 0.2) & ((ratio < upper) | (upper == 1.0)),
        PUBLISHED.rate_by_ratio[upper],
    )
    for upper in PUBLISHED.rate_by_ratio
}
by_ratio = {name: entry for name, entry in by_ratio.items() if entry[0].any()}
here = [rate(paper.flipped, photographs, inside) for inside, published in by_ratio.values()]

# %% mystnb={"figure": {"name": "fig-ratio", "caption": "Share flipped by the ratio of the two distances before the attack, here with 95 % intervals, and as published for LPIPS (Alex)."}} tags=["hide-input"]
figure = rate_bars(
    list(by_ratio),
    {"here": here},
    y_title="flipped",
    alt="Bars by ratio of distances: " + "; ".join(f"{name}: {rate}" for name, rate in zip(by_ratio, here)),
).update_layout(xaxis_title="smaller distance over larger, before the attack")
figure.add_scatter(
    x=list(by_ratio),
    y=[published for _, published in by_ratio.values()],
    mode="markers",
    name="published",
    marker={"size": 10, "symbol": "diamond-open", "color": "#7F7F7F", "line": {"width": 2}},
)

# %% [markdown]
# ## Every metric
#
# The same attacks on each metric that can be run here, white-box: the attack knows the metric and its gradient.

# %%
available, absent = metrics.load_available(table_metrics, device=where)
some = triplets[:table_n] if table_n <= n else draw(data, table_n, seed=seed).to(device=where)
results = {}
for each in available:
    if each.spec.name == metric.spec.name and len(some) == n:
        results[each.spec.title] = {"fgsm": fgsm, "paper": paper, "strict": strict}
        continue
    attacked = RankFlip(each, some)
    results[each.spec.title] = {
        "fgsm": FGSM()(attacked, progress=True),
        "paper": pgd(attacked, protocol="paper", progress=True),
        "strict": pgd(attacked, protocol="strict", progress=True),
    }

# %% tags=["hide-input"]
rates = {
    name: [rate(result[attack].flipped, some.photographs) for result in results.values()]
    for name, attack in (("FGSM, strict", "fgsm"), ("PGD, paper", "paper"), ("PGD, strict", "strict"))
}
saved = [rate(r["paper"].flipped & r["paper"].flipped_8bit, some.photographs) for r in results.values()]
published = {metrics.spec_of(PUBLISHED.metric).title: PUBLISHED.rate}
Table(
    (
        "metric",
        "n",
        "FGSM, strict",
        "PGD, paper",
        "after 8 bits",
        "PGD, strict",
        "RMSE, levels",
        "steps",
        "published, PGD",
    ),
    tuple(
        (
            title,
            len(some),
            *cells,
            float(result["strict"].rmse[result["strict"].flipped].mean())
            if result["strict"].flipped.any()
            else None,
            float(result["strict"].steps[result["strict"].flipped].float().quantile(0.5))
            if result["strict"].flipped.any()
            else None,
            published.get(title),
        )
        for (title, result), *cells in zip(
            results.items(), rates["FGSM, strict"], rates["PGD, paper"], saved, rates["PGD, strict"]
        )
    ),
)

# %% tags=["hide-input"]
left_out = f"Left out for want of weights: {' and '.join(absent)}." if absent else "No metric was left out."
glue("left_out", left_out, display=False)

# %% [markdown]
# Rates with their 95 % intervals over photographs ({doc}`11-white-box-benchmark` says how they are made); RMSE and the median of steps are those of flips by PGD under the strict
# protocol. FGSM may go up to ten levels, PGD up to 3.825. {glue:text}`left_out:s` The published rate is for BAPPS.

# %% mystnb={"figure": {"name": "fig-table", "caption": "Share of triplets flipped, by metric and attack, with 95 % intervals."}} tags=["hide-input"]
rate_bars(
    list(results),
    rates,
    y_title="flipped",
    alt="; ".join(
        f"{name}: " + ", ".join(f"{title} {rate.value:.0%}" for title, rate in zip(results, row))
        for name, row in rates.items()
    ),
)

# %% [markdown]
# A metric that is flipped more often here is not simply the worse one. Budgets are stated in pixel values, and a metric that ranks two images nearly alike
# is flipped by less.
#
# ## The picture of this chapter

# %% tags=["hide-input", "teaser"] mystnb={"image": {"alt": "A reference, another image, and one image before and after an attack, with distances; the change is invisible and the rank is flipped."}}
teaser(
    result_panels(problem, strict, shown[0], gain=20),
    claim="A change nobody sees, and the metric changes its mind"
    if strict.flipped[shown[0]]
    else "No change within this budget changes the metric's mind",
    detail=f"{metric.spec.title}; PGD within {eps * LEVELS:.3g} levels of 255, saved in 8 bits, flips {strict_rate}",
)

# %% tags=["hide-input"]
provenance(
    device=where,
    data=data,
    n=n,
    seed=seed,
    metric=metric.spec.title,
    table=f"{len(some)} triplets, {', '.join(results)}",
)
