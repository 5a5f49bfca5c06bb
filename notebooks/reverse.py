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
# # The other two images: reverse attacks, and attacks on the reference
#
# A triplet has three images, and so far only one of them was changed: the one that the metric finds closer, pushed away until
# it fell behind. The rank can be flipped from two other sides. The **reverse attack** changes the image that is *farther*,
# and draws it near until the metric prefers it. It is the more worrying of the two: whoever cheats has a bad image and wants it to
# pass for a good one. And one may change the **reference** itself, which moves both distances at once.

# %% tags=["parameters"]
data = "photos"  # "photos", "bapps", or a folder or CSV file of your own
n = 48  # number of triplets to attack
seed = 0  # seed of the draw of triplets
metric_name = "lpips-alex"  # the metric that is attacked in detail
fallback = "st-lpips-alex"  # stands in where those weights cannot be had
eps = 0.05  # budget in [0, 1]; the paper's 0.1 in [-1, 1] for its reverse attack, 12.75 levels
step = 0.0005  # step in [0, 1]; the paper's 0.001 in [-1, 1]
steps = 50  # most steps
table_n = 16  # number of triplets for the tables
table_metrics = ["l2", "ssim", "lpips-alex", "lpips-squeeze"]  # of the table of metrics
population = 40  # candidates of the one-pixel attack in each generation
generations = 10  # generations of the one-pixel attack
device = "auto"  # "auto", "cpu" or "cuda"

# %%
import torch
from myst_nb import glue

from simlib import metrics
from simlib.attacks import APGD, FGSM, PGD, OnePixel, RankFlip, StAdv
from simlib.attacks.objective import margin_and_gradient
from simlib.benchmark.statistics import rate
from simlib.kernels.device import exact_convolutions, pick_device
from simlib.kernels.images import LEVELS
from simlib.report.explorer import FlipExplorer
from simlib.report.figures import Panel, amplified_change, curves_with_bands, picture_slider, rate_bars
from simlib.report.provenance import provenance
from simlib.report.tables import Table
from simlib.triplets import draw

where = pick_device(device)
metric, note = metrics.load_first(metric_name, fallback, device=where)
triplets = draw(data, n, seed=seed).to(device=where)
photographs = triplets.photographs
targets = ("closer", "farther", "reference")
problems = {target: RankFlip(metric, triplets, target) for target in targets}

# %% tags=["hide-input"]
glue("reverse_metric", metric.spec.title, display=False)
glue("reverse_note", note or f"All weights of {metric.spec.title} are on this machine.", display=False)
glue("reverse_n", n, display=False)
glue("reverse_steps", steps, display=False)
glue("reverse_eps", f"{eps * LEVELS:.4g}", display=False)
glue("reverse_fgsm", f"{FGSM().grid[-1] * LEVELS:.4g}", display=False)
glue("reverse_pgd", f"{PGD().eps * LEVELS:.4g} levels in {PGD().steps} steps", display=False)
glue("reverse_apgd", f"{APGD().eps * LEVELS:.4g}", display=False)
glue("reverse_population", population, display=False)
glue("reverse_generations", generations, display=False)
short = "are too short to use it up" if steps * step < eps else "are long enough to use it up"
glue("reverse_binds", short, display=False)
glue("reverse_reach", f"{min(eps, steps * step) * LEVELS:.4g}", display=False)

# %% [markdown]
# The metric is **{glue:text}`reverse_metric:s`**, on {glue:text}`reverse_n:d` triplets. {glue:text}`reverse_note:s`
#
# ## One gap, three ways to close it
#
# Let $x_c$ be the image that the metric finds closer and $x_f$ the one it finds farther. In all three attacks the margin is
#
# $$
# m = d(x_\text{ref}, x_c) - d(x_\text{ref}, x_f),
# $$
#
# negative at the start and positive when the rank has flipped. The gap is the same whichever image may move; what differs is how fast it closes.
#
# - **Closer**: $d(x_\text{ref}, x_c)$ must rise, and has a long way to go before it meets a bound.
# - **Farther**: $d(x_\text{ref}, x_f)$ must fall to that of the better image. Distances end at zero, where the
#   metric can no longer tell the image from the reference: the attack has to *repair* an image, or to make the metric believe that it did. A distortion of
#   many levels cannot be repaired with a few.
# - **Reference**: both distances move at once, and the attack follows the difference of two gradients.
#
# So one might expect the reverse attack to be the harder one, but the slope suggests the opposite. Take the mean squared error of an image
# whose values are off by $\delta$. A step of $\varepsilon$ for every value, in the direction that helps the attack, changes it by
#
# $$
# +2 \varepsilon \, \overline{|\delta_c|} + \varepsilon^2 \quad \text{at the closer image,} \qquad
# -2 \varepsilon \, \overline{|\delta_f|} + \varepsilon^2 \quad \text{at the farther one,}
# $$
#
# both as long as no value meets black or white, the second also as long as no $|\delta_f|$ is below $\varepsilon$. The farther image usually has the larger errors, and so the *steeper* slope; but
# what is gained by curvature on one side is lost on the other. Which of the two wins depends on the metric and on the
# budget, and has to be measured.

# %% [markdown]
# ## How steep the slopes are
#
# Near the start the margin grows by $\lVert \nabla m \rVert_1$ per unit of a step along the sign of the gradient. The gap divided by that is the
# step at which a straight line would flip the rank: what an attack with one step believes. It takes one gradient a triplet.


# %%
def levels_of_a_straight_line(problem: RankFlip) -> torch.Tensor:
    """Size of the step, in levels, that would flip each rank if the margin were linear."""
    levels = []
    for start in range(0, len(problem), 64):
        with exact_convolutions():
            batch = problem.batch(start, start + 64)
            margin, gradient = margin_and_gradient(batch, batch.original, "margin")
        levels.append(-margin / gradient.abs().sum(dim=(1, 2, 3)) * LEVELS)
    return torch.cat(levels)


needed = {target: levels_of_a_straight_line(problem) for target, problem in problems.items()}

# %% tags=["hide-input"]
sizes = [0.25, 0.5, 1, 1.5, 2, 3, 4, 6, 8, 10, 12, 16]
straight = {
    f"the {target} image" if target != "reference" else "the reference": [
        rate(levels <= size, photographs) for size in sizes
    ]
    for target, levels in needed.items()
}

# %% mystnb={"figure": {"name": "fig-slopes", "caption": "Share of triplets that a straight line flips with a step of a given size, by the image that is changed, with 95 % bands."}} tags=["hide-input"]
curves_with_bands(
    sizes,
    straight,
    x_title="size of the step, levels of 255",
    y_title="flipped, if the margin were linear",
    alt="Three rising curves, one for each image that may change. With steps of two levels: "
    + "; ".join(f"{name} {rates[sizes.index(2)]}" for name, rates in straight.items()),
)

# %% [markdown]
# ## The reverse attack as released
#
# The paper's settings for it are generous: $\varepsilon = 0.1$ in $[-1, 1]$, more than three times that of its first attack, and 50 steps
# of the same $0.001$. The objective is the same as before, the square of the closer image's share of the two distances; only the image that moves is
# another. The steps {glue:text}`reverse_binds:s`: of the {glue:text}`reverse_eps:s` levels that are allowed,
# {glue:text}`reverse_steps:d` steps reach {glue:text}`reverse_reach:s`, and under the paper's protocol the image after the last step is not tested.
#
# For comparison the other two images are attacked with the same settings under the strict protocol.

# %%
pgd = PGD(eps=eps, step=step, steps=steps)
results = {target: pgd(problem, progress=True) for target, problem in problems.items()}
paper = pgd(problems["farther"], protocol="paper", progress=True)

# %% tags=["hide-input"]
named = {
    "farther image, paper protocol": paper,
    "farther image, strict protocol": results["farther"],
    "closer image, strict protocol": results["closer"],
    "reference, strict protocol": results["reference"],
}


def median(values: torch.Tensor) -> float | None:
    return float(values.float().quantile(0.5)) if len(values) else None


Table(
    ("PGD", "flipped", "flipped in 8 bits", "steps, median", "RMSE, levels, median", "n"),
    tuple(
        (
            name,
            rate(result.flipped, photographs),
            rate(result.flipped & result.flipped_8bit, photographs),
            median(result.steps[result.flipped]),
            median(result.rmse[result.flipped]),
            n,
        )
        for name, result in named.items()
    ),
)

# %% [markdown]
# Steps and sizes are those of the flipped. Step by step:

# %% tags=["hide-input"]
taken = list(range(steps + 1))
by_step = {
    name: [rate(result.flipped & (result.steps <= t), photographs) for t in taken]
    for name, result in named.items()
}

# %% mystnb={"figure": {"name": "fig-reverse-steps", "caption": "Share of triplets flipped within a number of steps of PGD, by the image that is changed, with 95 % bands."}} tags=["hide-input"]
curves_with_bands(
    taken,
    by_step,
    x_title="steps",
    y_title="flipped",
    alt="Four rising curves of the share flipped against steps. At the end: "
    + "; ".join(f"{name} {rates[-1]}" for name, rates in by_step.items()),
)

# %% [markdown]
# ## What it looks like
#
# The farther image before and after. Whether it looks any better is for the reader to judge; the metric finds it nearer to the reference
# than the other image wherever the distance under *after the attack* is below that under *other image*.

# %% tags=["hide-input"]
# Without a single flip, which can happen on few triplets, the first triplets are shown as they are left.
flipped = results["farther"].flipped
shown = (flipped if flipped.any() else ~flipped).nonzero().flatten().tolist()[:5]

# %% mystnb={"figure": {"name": "fig-reverse", "caption": "The reverse attack: PGD on the farther image under the strict protocol; one stop of the slider for each triplet."}}
FlipExplorer(problems["farther"], shown, eps=eps, step=step, steps=steps)

# %% [markdown]
# ## What is repaired, and what is make-believe
#
# If the attack repaired the image, other distances should fall too, not only the one it was made on. The mean squared error between the farther image
# and the reference knows nothing of the metric. Does it fall?

# %%
before = (results["farther"].original - triplets.ref).square().mean(dim=(1, 2, 3))
after = (results["farther"].images - triplets.ref).square().mean(dim=(1, 2, 3))
nearer = after < before

# %% tags=["hide-input"]
repaired = rate(nearer, photographs, flipped) if flipped.any() else "none of none"
glue("reverse_repaired", str(repaired), display=False)
change = (after / before.clamp_min(1e-12) - 1)[flipped]
glue(
    "reverse_change",
    f"{float(change.quantile(0.5)):+.1%}".replace("-", "−") if len(change) else "not measured",
    display=False,
)

# %% [markdown]
# Among the flipped, the share of images whose mean squared error to the reference fell is {glue:text}`reverse_repaired:s`. The median of
# its relative change is {glue:text}`reverse_change:s`. An improvement that the metric sees and
# the squared error does not may be make-believe: the attack listened to this metric alone.

# %% [markdown]
# ## Attacks on the reference
#
# Here both distorted images stay as they are, and the picture they are compared with moves, as a search engine would be attacked by
# the picture one searches with. Later work on robust metrics (R-CLIP, arXiv:2502.11725) attacks this way. Each stop of the slider shows the reference before
# and after, and under it both images with their distances to the one and to the other.


# %% tags=["hide-input"]
def reference_rows(position: int, gain: float = 20) -> list[list[Panel]]:
    result, triplet = results["reference"], triplets[position]
    before, after = result.original[position], result.images[position]
    with torch.no_grad():
        closer_first = bool(metric(triplet.ref, triplet.p0) <= metric(triplet.ref, triplet.p1))
        pair = (triplet.p0, triplet.p1) if closer_first else (triplet.p1, triplet.p0)
        distances = [[float(metric(ref[None], image)) for ref in (before, after)] for image in pair]
    captions = [f"distance {first:.4f},<br>then {then:.4f}" for first, then in distances]
    return [
        [
            Panel(before, title="reference, before"),
            Panel(after, title="reference, after"),
            Panel(amplified_change(after, before, gain), f"{gain:g} times amplified", "what changed"),
        ],
        [
            Panel(pair[0][0], captions[0], "closer before"),
            Panel(pair[1][0], captions[1], "farther before"),
        ],
    ]


hit = results["reference"].flipped
chosen = (hit if hit.any() else ~hit).nonzero().flatten().tolist()[:5]

# %% mystnb={"figure": {"name": "fig-reference", "caption": "PGD on the reference under the strict protocol; one stop of the slider for each triplet."}} tags=["hide-input"]
picture_slider(
    {str(number): reference_rows(position) for number, position in enumerate(chosen, start=1)},
    alt=f"A slider over {len(chosen)} triplets. Each shows the reference before and after the attack and the change "
    "amplified 20 times, and under them the two other images with their distances to both references.",
)

# %% [markdown]
# ## Every attack, every target
#
# An attack sees an image and a margin, and need not know which image it is. So each of them can be turned on all three. Their budgets: FGSM up to {glue:text}`reverse_fgsm:s`
# levels; PGD {glue:text}`reverse_pgd:s`, and once more with the settings of this chapter; APGD, a PGD that chooses its own steps and is explained in
# {doc}`the next chapter <flip-radius>`, {glue:text}`reverse_apgd:s` levels; stAdv without a bound on its flow; and one pixel of any colour,
# {glue:text}`reverse_population:d` candidates at the start and in each of {glue:text}`reverse_generations:d` generations.

# %%
some = triplets[: min(table_n, n)]
attacks = {
    "FGSM": FGSM(),
    "PGD": PGD(),
    "PGD, reverse settings": pgd,
    "APGD": APGD(),
    "stAdv": StAdv(),
    "one pixel": OnePixel(population=population, generations=generations),
}
grid = {
    name: [
        rate(attack(RankFlip(metric, some, target), progress=True).flipped, some.photographs)
        for target in targets
    ]
    for name, attack in attacks.items()
}

# %% tags=["hide-input"]
Table(
    ("attack, strict protocol", *(f"on the {target}" for target in targets), "n"),
    tuple((name, *rates, len(some)) for name, rates in grid.items()),
)

# %% mystnb={"figure": {"name": "fig-targets", "caption": "Share of triplets flipped, by attack and by the image that is changed, with 95 % intervals."}} tags=["hide-input"]
by_target = {
    f"on the {target}": [rates[index] for rates in grid.values()] for index, target in enumerate(targets)
}
rate_bars(
    list(grid),
    by_target,
    y_title="flipped",
    alt="; ".join(
        f"{target}: " + ", ".join(f"{name} {rate.value:.0%}" for name, rate in zip(grid, rates))
        for target, rates in by_target.items()
    ),
)

# %% [markdown]
# A single pixel makes plain where an asymmetry comes from: one wrong pixel is a new error in an image that had few, but how much of a distortion
# that covers the whole image can one right pixel take away?
#
# ## Other metrics
#
# PGD with the settings of this chapter, white-box, on every metric.

# %%
available, absent = metrics.load_available(table_metrics, device=where)
by_metric = {
    each.spec.title: [
        rate(pgd(RankFlip(each, some, target), progress=True).flipped, some.photographs) for target in targets
    ]
    for each in available
}

# %% tags=["hide-input"]
Table(
    ("metric", *(f"on the {target}" for target in targets), "n"),
    tuple((title, *rates, len(some)) for title, rates in by_metric.items()),
)

# %% tags=["hide-input"]
left_out = f"Left out for want of weights: {' and '.join(absent)}." if absent else "No metric was left out."
glue("reverse_left_out", left_out, display=False)

# %% [markdown]
# Rates with their 95 % intervals over photographs, strict protocol. {glue:text}`reverse_left_out:s` A metric that is safe on one side only is
# not safe: whoever can choose the image to change chooses the weakest of the three.

# %% tags=["hide-input"]
provenance(
    device=where,
    data=data,
    n=n,
    seed=seed,
    metric=metric.spec.title,
    table=f"{len(some)} triplets, {', '.join(by_metric)}",
)
