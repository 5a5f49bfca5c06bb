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
# # The other two images: reverse attacks, and attacks on the reference
#
# A triplet has three images, and so far only one of them was changed: the one that the metric finds closer. It was pushed away until
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
table_n = 16  # number of triplets for the tables, n at most
table_metrics = ["l2", "ssim", "lpips-alex", "lpips-squeeze"]  # of the table of metrics
population = 40  # candidates of the one-pixel attack in each generation
generations = 10  # generations of the one-pixel attack
device = "auto"  # "auto", "cpu" or "cuda"

# %%
from simlib.book.chapter import Chapter
from simlib.report.display import say, show

chapter = Chapter(globals())
metric, triplets = chapter.metric, chapter.triplets
chapter

# %% [markdown]
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

# %%
from simlib.attacks import RankFlip

targets = {"closer": "closer image", "farther": "farther image", "reference": "reference"}
problems = {target: RankFlip(metric, triplets, target) for target in targets}

# %% [markdown]
# From this one might expect the reverse attack to be the harder one, but the slope suggests the opposite. Take the mean squared error of an image
# whose values are off by $\delta$. A step of $\varepsilon$ for every value, in the direction that helps the attack, changes it by
#
# $$
# +2 \varepsilon \, \overline{|\delta_c|} + \varepsilon^2 \quad \text{at the closer image,} \qquad
# -2 \varepsilon \, \overline{|\delta_f|} + \varepsilon^2 \quad \text{at the farther one,}
# $$
#
# both as long as no value meets black or white, the second also as long as no $|\delta_f|$ is below $\varepsilon$. The farther image usually has the larger errors, and so the *steeper* slope. But the
# curvature, $\varepsilon^2$, helps the attack at the closer image and hinders it at the farther one. Which of the two wins depends on the metric and on the
# budget, and has to be measured.
#
# ## How steep the slopes are
#
# Near the start the margin grows by $\lVert \nabla m \rVert_1$ per unit of a step along the sign of the gradient. The gap divided by that is the
# step at which a straight line would flip the rank: what an attack with one step believes. It takes one gradient a triplet.

# %%
from simlib.report.reverse import levels_of_a_straight_line

needed = {target: levels_of_a_straight_line(problem) for target, problem in problems.items()}
at_two = "; ".join(f"{chapter.rate(needed[target] <= 2)} at the {name}" for target, name in targets.items())
say(f"With a step of two levels a straight line flips {at_two}.")

# %% tags=["hide-input"]
from simlib.report.figures import curves_with_bands

step_sizes = [0.25, 0.5, 1, 1.5, 2, 3, 4, 6, 8, 10, 12, 16]
straight = {
    targets[target]: [chapter.rate(levels <= size) for size in step_sizes]
    for target, levels in needed.items()
}
show(
    curves_with_bands(
        step_sizes,
        straight,
        x_title="size of the step, levels of 255",
        y_title="flipped, if the margin were linear",
        alt=f"Three rising curves, one for each image that may change. With a step of two levels: {at_two}.",
    ),
    "Share of triplets that a straight line flips with a step of a given size, "
    "by the image that is changed, with 95 % bands.",
)

# %% [markdown]
# ## The reverse attack as released
#
# The paper's settings for it are generous: $\varepsilon = 0.1$ in $[-1, 1]$, more than three times that of its first attack, and 50 steps
# of the same $0.001$. The objective is the same as before, the square of the closer image's share of the two distances; only the image that moves is
# another. Under the paper's protocol the image after the last step is not tested.
#
# For comparison all three images are attacked with the same settings under the strict protocol.

# %%
from simlib.attacks import PGD
from simlib.kernels.images import LEVELS

pgd = PGD(eps=eps, step=step, steps=steps)
paper = pgd(problems["farther"], protocol="paper", progress=True)
results = {target: pgd(problem, progress=True) for target, problem in problems.items()}
reach = min(eps, steps * step) * LEVELS
say(
    f"Of the {eps * LEVELS:.4g} levels that are allowed, {steps} steps reach {reach:.4g}",
    "and cannot use up the budget." if steps * step < eps else "and use up the budget.",
)

# %%
from simlib.report.attacks import results_as_table

named = {f"{targets[target]}, strict protocol": result for target, result in results.items()}
named["farther image, paper protocol"] = paper
say("Steps and sizes (RMSE, in levels of 255) are medians of the flipped.")
columns = ("flipped", "flipped, and in 8 bits", "steps", "RMSE", "n")
results_as_table(named, columns, triplets.photographs, first="PGD")

# %% tags=["hide-input"]
taken = range(steps + 1)
by_step = {
    name: [chapter.rate(result.flipped & (result.steps <= t)) for t in taken]
    for name, result in named.items()
}
show(
    curves_with_bands(taken, by_step, x_title="steps", y_title="flipped"),
    "Share of triplets flipped within a number of steps of PGD, by the image that is changed, with 95 % bands.",
)

# %% [markdown]
# Does the attack find what the slope at the start promised?

# %%
promised = {target: chapter.rate(levels <= reach) for target, levels in needed.items()}
kept = {target: chapter.rate(result.flipped) for target, result in results.items()}
easiest = min(targets, key=lambda target: needed[target].quantile(0.5))
hardest = min(targets, key=lambda target: kept[target].value)
say(
    f"By its median, the straight line takes the {targets[easiest]} for the easiest to attack.",
    f"PGD flips the fewest ranks at the {targets[hardest]}. Within the {reach:.4g} levels that PGD may go,",
    f"the line promises {promised['farther']} at the farther image, and PGD flips {kept['farther']}.",
    f"At the closer image they are {promised['closer']} and {kept['closer']}.",
)

# %% [markdown]
# A straight line knows the slope at the start and nothing of the curvature. For the squared error the formula above says in which direction
# it errs: the line promises too little at the closer image, whose distance rises ever faster, and too much at the farther one, whose distance
# falls ever more slowly. Other metrics bend in their own ways, and the numbers tell how.
#
# ## What it looks like
#
# The farther image before and after. Whether it looks any better is for the reader to judge; the metric finds it nearer to the reference
# than the other image wherever the distance under *after the attack* is below that under *other image*.

# %%
from simlib.report.explorer import FlipExplorer
from simlib.report.pictures import first_flips

reverse = results["farther"]
shown = first_flips(reverse.flipped, 5)
show(
    FlipExplorer(problems["farther"], shown, eps=eps, step=step, steps=steps),
    "The reverse attack: PGD on the farther image under the strict protocol; "
    "one stop of the slider for each triplet.",
)

# %% [markdown]
# ## What is repaired, and what is make-believe
#
# If the attack repaired the image, other distances should fall too, not only the one it was made on. The mean squared error between the farther image
# and the reference knows nothing of the metric. Does it fall?

# %%
before, after = (
    (images - triplets.ref).square().mean(dim=(1, 2, 3)) for images in (reverse.original, reverse.images)
)
fell = chapter.rate(after < before, among=reverse.flipped)
change = (after / before.clamp_min(1e-12) - 1)[reverse.flipped]
say(
    f"Among the flipped, the mean squared error to the reference fell for {fell}. "
    f"The median of its relative change is {change.quantile(0.5):+.1%}."
    if fell
    else "No rank was flipped, so there is no image to look at."
)

# %% [markdown]
# An improvement that the metric sees and the squared error does not may be make-believe: the attack listened to this metric alone.
#
# ## Attacks on the reference
#
# Here both distorted images stay as they are, and the picture they are compared with moves, as a search engine would be attacked by
# the picture one searches with. Later work on robust metrics (R-CLIP, arXiv:2502.11725) attacks this way. Each stop of the slider shows the reference before
# and after, and under it both images with their distances to the one and to the other.

# %%
from simlib.report.reverse import reference_slider

moved = results["reference"]
show(
    reference_slider(problems["reference"], moved, first_flips(moved.flipped, 5)),
    "PGD on the reference under the strict protocol; one stop of the slider for each triplet.",
)

# %% [markdown]
# ## Every attack, every target
#
# An attack sees an image and a margin, and need not know which image it is. So each of them can be turned on all three. APGD is a PGD that chooses
# its own steps; [the next chapter](flip-radius.ipynb) explains it. stAdv has no bound on its flow, and the one pixel may take any colour.

# %%
from simlib.attacks import APGD, FGSM, OnePixel, StAdv

attacks = {
    "FGSM": FGSM(),
    "PGD": PGD(),
    "PGD, reverse settings": pgd,
    "APGD": APGD(),
    "stAdv": StAdv(),
    "one pixel": OnePixel(population=population, generations=generations),
}
say(
    f"Budgets: FGSM up to {FGSM().grid[-1] * LEVELS:.4g} levels;",
    f"PGD {PGD().eps * LEVELS:.4g} levels in {PGD().steps} steps,",
    "and once more with the settings of this chapter;",
    f"APGD {APGD().eps * LEVELS:.4g} levels;",
    f"one pixel: {population} candidates at the start and in each of {generations} generations.",
)

# %%
some = chapter.part(table_n)


def on_each_target(attack, metric):
    """Attack each of the three images under the strict protocol, and count the flips."""
    found = (attack(RankFlip(metric, some, target), progress=True) for target in targets)
    return [chapter.rate(result.flipped) for result in found]


by_attack = {name: on_each_target(attack, metric) for name, attack in attacks.items()}

# %%
from simlib.report.tables import Table

say("Share flipped under the strict protocol, by the image that is changed, and its 95 % interval.")
Table(
    ("attack", *targets.values(), "n"),
    tuple((name, *rates, len(some)) for name, rates in by_attack.items()),
)

# %% tags=["hide-input"]
from simlib.report.figures import rate_bars

show(
    rate_bars(list(by_attack), dict(zip(targets.values(), zip(*by_attack.values()))), y_title="flipped"),
    "Share of triplets flipped, by attack and by the image that is changed, with 95 % intervals.",
)

# %% [markdown]
# A single pixel makes plain where an asymmetry comes from: one wrong pixel is a new error in an image that had few, but how much of a distortion
# that covers the whole image can one right pixel take away?
#
# ## Other metrics
#
# PGD with the settings of this chapter, white-box, on every metric. Intervals are over photographs, as everywhere on this page.

# %%
by_metric = {each.spec.title: on_each_target(pgd, each) for each in chapter.metrics}
say("Again the share flipped under the strict protocol.", chapter.left_out)
Table(
    ("metric", *targets.values(), "n"),
    tuple((title, *rates, len(some)) for title, rates in by_metric.items()),
)

# %% [markdown]
# A metric that is safe on one side only is not safe: whoever can choose the image to change chooses the weakest of the three.

# %% tags=["hide-input"]
chapter.provenance(table=f"{len(some)} triplets, {', '.join(by_metric)}")
