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
# # Attacks by the gradient: FGSM and PGD
#
# Take a triplet and a metric. The metric finds one of the two images closer to the reference. Change *that* image, so little that
# nobody would notice, until the metric finds the other one closer. This is the **rank flip** of
# [Ghildyal & Liu, 2023](cite:ghildyal2023attacking). Below it is done with the two best-known gradient attacks, looked at, counted, and counted again
# after the images were saved in 8 bits.

# %% tags=["parameters"]
data = "photos"  # "photos", "bapps", or a folder or CSV file of your own
n = 48  # number of triplets to attack
seed = 0  # seed of the draw of triplets
metric_name = "lpips-alex"  # the metric that is attacked in detail
fallback = "st-lpips-alex"  # stands in where those weights cannot be had
table_metrics = ["l2", "ssim", "lpips-alex", "lpips-squeeze", "lpips-vgg", "st-lpips-alex"]  # of the table
table_n = 24  # number of triplets for the table of metrics, n at most
eps = 0.015  # budget of PGD in [0, 1]; the paper's 0.03 in [-1, 1], 3.825 levels
step = 0.0005  # step of PGD in [0, 1]; the paper's 0.001 in [-1, 1]
steps = 30  # most steps of PGD
device = "auto"  # "auto", "cpu" or "cuda"

# %%
from simlib.book.chapter import Chapter
from simlib.report.display import say, show

chapter = Chapter(globals())
metric, problem = chapter.metric, chapter.problem
chapter

# %% [markdown]
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
# The fast gradient sign method ([Goodfellow et al., 2015](cite:goodfellow2015explaining)) takes the gradient once and moves every value by $\varepsilon$ in the
# direction that raises the margin fastest:
#
# $$
# x_\text{adv} = x + \varepsilon \, \operatorname{sign} \nabla_x m(x).
# $$
#
# Which $\varepsilon$ the paper used is not known to us. We try one level of 255, then two, up to ten, and keep the smallest that flips.

# %%
from simlib.attacks import FGSM
from simlib.kernels.images import LEVELS

fgsm = FGSM()(problem, progress=True)
step_sizes = (fgsm.linf * LEVELS).round()
by_size = [chapter.rate(fgsm.flipped & (step_sizes <= size)) for size in range(1, 11)]
say(
    f"A single level, the smallest change an 8-bit image can hold, already flips {by_size[0]};",
    f"with up to ten levels it is {chapter.rate(fgsm.flipped)}.",
)

# %% tags=["hide-input"]
from simlib.report.figures import curves_with_bands

show(
    curves_with_bands(
        range(1, 11),
        {metric.spec.title: by_size},
        x_title="size of the step, levels of 255",
        y_title="flipped",
    ),
    "Share of triplets flipped by one step of a given size, with its 95 % band.",
)

# %% [markdown]
# ## PGD: many small steps
#
# Projected gradient descent ([Madry et al., 2018](cite:madry2018towards)) takes the gradient anew at every step, and after each step returns to the budget and to the range
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
from simlib.attacks import PGD

pgd = PGD(eps=eps, step=step, steps=steps)
paper = pgd(problem, protocol="paper", progress=True)
strict = pgd(problem, protocol="strict", progress=True)

# %% tags=["hide-input"]
from simlib.report.tables import Table

saved = paper.flipped & paper.flipped_8bit
Table(
    ("protocol", "flipped", "n"),
    (
        ("paper: tested as floats", chapter.rate(paper.flipped), n),
        ("paper: the same images, saved in 8 bits", chapter.rate(saved), n),
        ("strict: found and tested in 8 bits", chapter.rate(strict.flipped), n),
    ),
)

# %% [markdown]
# ## A flip one can look at
#
# Drag the slider. The image before and the image after the attack look the same; the metric puts one before and the
# other behind the image in the second panel. The last panel shows the change, amplified until it can be seen. In a live
# notebook the dials run the attack again.

# %%
from simlib.report.explorer import FlipExplorer
from simlib.report.pictures import first_flips

shown = first_flips(strict.flipped, 6)
show(
    FlipExplorer(problem, shown, eps=eps, step=step, steps=steps),
    "PGD under the strict protocol; one stop of the slider for each triplet.",
)

# %% [markdown]
# ## How many steps it takes

# %% tags=["hide-input"]
from simlib.report.figures import add_published
from simlib.report.published import WHITE_BOX_PGD as PUBLISHED

taken = range(steps + 1)
by_step = {
    f"{result.protocol} protocol": [chapter.rate(result.flipped & (result.steps <= t)) for t in taken]
    for result in (paper, strict)
}
figure = curves_with_bands(taken, by_step, x_title="steps", y_title="flipped")
within = PUBLISHED.flipped_within
show(
    add_published(figure, list(within), list(within.values()), of=", LPIPS (Alex) on BAPPS"),
    "Share of triplets flipped within a number of steps, with 95 % bands, "
    "and the published share for LPIPS (Alex) on BAPPS.",
)

# %% [markdown]
# Two details of the released procedure show in the figure. Thirty steps of $\alpha$ reach $\varepsilon$ exactly, so the budget never binds; and
# since a flip is tested before each step, the image after the last one is never tested, and at most 29 steps count.

# %% [markdown]
# ## What 8 bits erase
#
# One step is 0.1275 of a level. Up to three steps move no value by half a level, and rounding returns the original image:
# a flip that needs so few exists for the float image only. Rounding also gives: after four to seven steps a value has moved by
# 0.51 to 0.89 of a level, and rounding makes that a whole one, more than the attack asked for. After eight to eleven steps a value has moved by
# 1.02 to 1.40 levels, and rounding makes that one level, less than the attack asked for.

# %%
early = chapter.rate(paper.flipped & (paper.steps <= 3), among=paper.flipped)
erased = chapter.rate(paper.flipped & ~paper.flipped_8bit, among=paper.flipped)
say(
    f"Of the flips, {early} need at most three steps; in the published results it is {PUBLISHED.early}.",
    f"In all, rounding erases {erased}.",
)

# %% tags=["hide-input"]
from simlib.report.figures import rate_bars

bins = [(0, 3), (4, 7), (8, 11), (12, 19), (20, steps)]
groups = {f"{a} to {b}": paper.flipped & (paper.steps >= a) & (paper.steps <= b) for a, b in bins}
survives = {name: chapter.rate(paper.flipped_8bit, among=group) for name, group in groups.items()}
survives = {name: rate for name, rate in survives.items() if rate}
show(
    rate_bars(
        list(survives), {"still flipped": list(survives.values())}, y_title="still flipped in 8 bits"
    ).update_layout(xaxis_title="steps to the flip"),
    "Of the flips found under the paper protocol at a number of steps, the share that is still flipped after "
    "rounding to 8 bits.",
)

# %% [markdown]
# The strict protocol loses no flip, because it looks for them among images of 8 bits. With steps this small such an image changes mostly
# at steps 4, 12 and 20, when another half level is passed, which is why its curve above rises in stairs.
#
# The released code measures the size of a change after converting both images to 8 bits by truncation. On the way to
# $[-1, 1]$ and back, float noise puts some values just below their level, and truncation takes a level from them even
# if nothing changed:

# %%
import torch

from simlib.kernels.projection import truncate_to_8bit

untouched = torch.arange(256) / LEVELS
lost = int((truncate_to_8bit(untouched) * LEVELS).round().ne(torch.arange(256)).sum())
say(f"{lost} of the 256 values of an untouched image lose a level.")

# %% [markdown]
# ## Beside the published numbers

# %%
unlabelled = int(chapter.triplets.judge.isnan().sum())
say(
    f"The data differ: the paper attacks the {PUBLISHED.n:,} triplets of BAPPS on which all five judges agree,",
    f"this page {n} triplets from {len(set(chapter.photographs))} photographs, of which {unlabelled} have no label.",
    "The table is there to see whether the order of magnitude holds, not to confirm the digits.",
)

# %% tags=["hide-input"]
from simlib.report.beside_published import pgd_beside_published

pgd_beside_published(paper, chapter.photographs, metric.spec.title)

# %% [markdown]
# How close the two images were before the attack decides most of it. Sorted by the ratio of the smaller distance to the larger:

# %% tags=["hide-input"]
from simlib.report.beside_published import by_published_ratio

here, published = by_published_ratio(problem, paper.flipped)
figure = rate_bars(list(here), {"here": list(here.values())}, y_title="flipped")
show(
    add_published(figure, list(here), published).update_layout(xaxis_title="smaller over larger distance"),
    "Share flipped by the ratio of the two distances before the attack, here with 95 % intervals, and as "
    "published for LPIPS (Alex).",
)

# %% [markdown]
# ## Every metric
#
# The same attacks on each metric that can be run here, white-box: the attack knows the metric and its gradient.

# %%
from simlib.attacks import RankFlip

some = chapter.part(table_n)
tried = {"FGSM, strict": (FGSM(), "strict"), "PGD, paper": (pgd, "paper"), "PGD, strict": (pgd, "strict")}
done = {"FGSM, strict": fgsm, "PGD, paper": paper, "PGD, strict": strict}
results = {}
for each in chapter.metrics:
    is_done = each.spec.name == metric.spec.name and len(some) == n
    results[each.spec.title] = (
        done
        if is_done
        else {
            name: attack(RankFlip(each, some), protocol=protocol, progress=True)
            for name, (attack, protocol) in tried.items()
        }
    )

# %% tags=["hide-input"]
rates = {name: [chapter.rate(each[name].flipped) for each in results.values()] for name in tried}
in_floats = [each["PGD, paper"] for each in results.values()]
saved = [chapter.rate(each.flipped & each.flipped_8bit) for each in in_floats]
published = {"LPIPS (Alex)": PUBLISHED.rate}
Table(
    ("metric", *tried, "PGD, paper, after 8 bits", "published, PGD"),
    tuple((title, *cells, published.get(title)) for title, *cells in zip(results, *rates.values(), saved)),
)

# %%
from simlib.report.attacks import results_as_table

changed = {title: each["PGD, strict"] for title, each in results.items()}
results_as_table(changed, ["n", "steps", "largest change", "RMSE"], chapter.photographs, first="PGD, strict")

# %% tags=["hide-input"]
show(
    rate_bars(list(results), rates, y_title="flipped"),
    "Share of triplets flipped, by metric and attack, with 95 % intervals.",
)

# %% tags=["hide-input"]
say(
    "Rates with their 95 % intervals over photographs;",
    "[the white-box benchmark](white-box.ipynb) says how they are made.",
    f"FGSM may go up to ten levels, PGD up to {min(eps, step * steps) * LEVELS:.4g}.",
    "Steps and sizes, in levels, are medians of the flipped.",
    chapter.left_out,
    "The published rate is for BAPPS.",
)

# %% [markdown]
# A metric that is flipped more often here is not simply the worse one. Budgets are stated in pixel values, and a metric that ranks two images nearly alike
# is flipped by less.
#
# ## The picture of this chapter

# %% mystnb={"image": {"alt": "A reference, another image, and one image before and after an attack, with distances; the rank is flipped by a change of a few levels."}} tags=["hide-input", "teaser"]
from simlib.report.explorer import result_panels
from simlib.report.teaser import teaser

claim = "A change within a few levels, and the metric changes its mind"
teaser(
    result_panels(problem, strict, shown[0], gain=20),
    claim=claim if strict.flipped[shown[0]] else "No change within this budget changes the metric's mind",
    detail=f"{metric.spec.title}; PGD within {eps * LEVELS:.4g} levels of 255, saved in 8 bits, "
    f"flips {chapter.rate(strict.flipped)}",
)

# %% tags=["hide-input"]
chapter.provenance(table=f"{len(some)} triplets, {', '.join(results)}")
