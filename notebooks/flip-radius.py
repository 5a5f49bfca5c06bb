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
slow_n = 8  # number of triplets for those, n at most
steps = 30  # steps of FMN; APGD takes at most half as many for each budget
device = "auto"  # "auto", "cpu" or "cuda"

# %%
from simlib.book.chapter import Chapter
from simlib.report.display import say, show

chapter = Chapter(globals())
metric, triplets, problem = chapter.metric, chapter.triplets, chapter.problem
chapter

# %% [markdown]
# ## What it is
#
# Let $m(x)$ be the margin of the rank, positive exactly when it is flipped, and $x^0$ the image under attack as it is before. The flip radius of a triplet, in a norm, is
#
# $$
# r = \inf \left\{ \lVert x - x^0 \rVert : m(x) > 0, \; x \in [0, 1]^{3 \times H \times W} \right\}.
# $$
#
# In $\ell_\infty$ it is the largest change of one value, and we state it in levels of 255. In $\ell_2$ it is the Euclidean length of the
# change; divided by the root of the number of values it becomes the root mean square change (RMS)
# of a value, which is in levels as well and can be read beside the other.
#
# No attack can prove that nothing smaller flips. What follows is measured from above: the smallest change that was *found*.

# %%
values = triplets.ref[0].numel()
say(f"An image here has {values:,} values.")

# %% [markdown]
# ## How it is found
#
# Two methods work hand in hand.
#
# **FMN**, the fast minimum-norm attack ([Pintor et al., 2021](cite:pintor2021fmn)), carries a budget along with the image. Each step climbs the margin and returns to
# the budget. While the rank is not flipped the budget grows; once it is, the budget shrinks, by less and less. It circles in on the border of the
# flip and keeps the smallest change that crossed it.
#
# Two details are our own: steps are measured in budgets and follow the steepest direction of the norm, and the budget changes three times as fast
# at first as in the original, so that tens of steps suffice.
#
# **APGD** ([Croce & Hein, 2020](cite:croce2020reliable)) climbs the margin inside a *fixed* budget, and chooses its steps itself. They begin large: at twice the budget from scratch, at a
# fifth of it here, where it starts close to the border. At checkpoints a sample that climbed too rarely halves its step and returns to the best image it has
# seen.
#
# APGD checks FMN. Started from the smallest change known, it is asked for a flip within a smaller budget, in a **bisection** between the
# smallest budget that was enough and the largest that was not. A triplet leaves when the two are within one part in 256 (in 8 bits and $\ell_\infty$: when
# no whole level lies between them), or when its tries are spent.

# %%
from simlib.attacks import FlipRadius

norms = {"linf": r"$\ell_\infty$", "l2": r"$\ell_2$"}


def both_radii(problem, protocol="paper"):
    """Search the flip radius in both norms; the paper's protocol means float images."""
    return {
        norm: FlipRadius(norm=norm, steps=steps)(problem, protocol=protocol, progress=True) for norm in norms
    }


# %% [markdown]
# ## A metric whose radius is known
#
# For the mean squared error the answer can be written down, so the search can be checked. Write $d = x^0 - x_\text{ref}$, and $t = \lVert x_\text{other} - x_\text{ref} \rVert$
# for how far away the other image is. In $\ell_2$ the shortest way out is the
# straight ray away from the reference, and it ends where the attacked image is as far away as the other:
#
# $$
# r_2 = t - \lVert d \rVert.
# $$
#
# In $\ell_\infty$ every one of the $D$ values moves away from the reference by the same amount, so that $\sum_i (|d_i| + r_\infty)^2 = t^2$. This quadratic has the solution
#
# $$
# r_\infty = \frac{1}{D} \left( \sqrt{\lVert d \rVert_1^2 + D \left( t^2 - \lVert d \rVert^2 \right)} - \lVert d \rVert_1 \right).
# $$
#
# Both hold as long as no value meets black or white on its way. To keep them away from there, the images are paled for this one
# check: their contrast is reduced to a fifth, around middle grey.

# %%
from dataclasses import replace

from simlib import metrics
from simlib.attacks import RankFlip, radii

ref, p0, p1 = (0.4 + 0.2 * image for image in (triplets.ref, triplets.p0, triplets.p1))
square_error = metrics.load("l2", device=chapter.device)
pale = RankFlip(square_error, replace(triplets, ref=ref, p0=p0, p1=p1))
found = {norm: radii(result, norm) for norm, result in both_radii(pale).items()}

# %% [markdown]
# The two formulas, in code:

# %%
import torch

original = pale.batch().original.flatten(1)
d = original - ref.flatten(1)
lengths = torch.stack([(image - ref).flatten(1).norm(dim=1) for image in (p0, p1)])
near, t = lengths.amin(dim=0), lengths.amax(dim=0)
total = d.abs().sum(dim=1)
known = {
    "linf": ((total.square() + values * (t.square() - near.square())).sqrt() - total) / values,
    "l2": t - near,
}

# %% [markdown]
# A triplet whose way out meets black or white all the same is not judged. Tests hold the search to one per cent.

# %%
ways_out = {"linf": d.sign() * known["linf"].unsqueeze(1), "l2": d * (t / near - 1).unsqueeze(1)}
judged = {norm: ((original + way - 0.5).abs() <= 0.5).all(dim=1) for norm, way in ways_out.items()}
for norm, sure in judged.items():
    errors = (found[norm] / known[norm] - 1).abs()[sure]
    off = f"at most {errors.max():.2%} off on" if len(errors) else "not judged, on"
    say(f"In {norms[norm]} the search is {off} {len(errors)} of {n} triplets.")

# %% tags=["hide-input"]
from simlib.report.flip_radius import against_closed_form, in_levels

expected, searched = (
    {norm: in_levels(radius[norm][sure], norm, values) for norm, sure in judged.items()}
    for radius in (known, found)
)
show(
    against_closed_form(expected, searched),
    "Flip radius of the mean squared error: found by the search, against the closed form. "
    "One dot for each triplet; on the line they agree.",
)

# %% [markdown]
# ## Every metric
#
# Now for metrics without a formula. The images are floats here; what 8 bits do to them comes [below](#what-8-bits-leave-of-it).

# %%
fewer = chapter.part(slow_n)
found_by = {
    each.spec.title: both_radii(RankFlip(each, fewer if each.spec.name in slow_metrics else triplets))
    for each in chapter.metrics
}

# %%
from simlib.report.flip_radius import radii_in_levels, survival_curves


def survival(norm):
    """Draw the share of triplets that are not flipped within each budget, for every metric."""
    radius = {title: radii_in_levels(results[norm], norm) for title, results in found_by.items()}
    with_n = {f"{title}, n = {len(each)}": each for title, each in radius.items()}
    return survival_curves(with_n, triplets.photographs, norm)


show(
    survival("linf"),
    "Share of triplets that no change of any value by more than the budget was found to flip, "
    "with 95 % bands.",
)

# %%
show(
    survival("l2"),
    "The same in the Euclidean norm: share of triplets not flipped, "
    "against the root mean square of the change.",
)

# %% [markdown]
# A rate at one budget is one vertical cut through the first of these figures. Where two curves cross, the cut decides which metric looks the more
# robust. The curve has no such choice in it, and its shape tells more than its height: a steep fall says that all triplets are
# about equally hard, a long tail that a few are very hard.
#
# One number that does not depend on a budget is the median: half of the triplets flip within it.

# %%
from simlib.report.flip_radius import radii_as_table

say(chapter.left_out)
radii_as_table(found_by, triplets.photographs)

# %% [markdown]
# Medians and rates have their 95 % intervals over photographs. The interval of a rate is Wilson's ([Wilson, 1927](cite:wilson1927probable)) for the effective number of triplets
# ([Kish, 1965](cite:kish1965survey); [Korn & Graubard, 1998](cite:korn1998confidence)). In simulations
# it covers at least 90 times in 100, less often for rare events among thousands of triplets from few photographs. The interval of a median lies between two of the sorted radii and assumes nothing about how radii are
# distributed ([Woodruff, 1952](cite:woodruff1952confidence)). Fewer than six triplets allow none, and few photographs may allow none either: *too few*, says the table.
# Metrics with fewer triplets are those that take longer.
#
# The two norms need not agree on an order: a bound on the largest change lets every value move at once; a bound on the RMS lets a
# few move far if the others keep still.

# %% [markdown]
# ## Look at the edge
#
# Each stop of the slider is one triplet at its radius. A few are shown, spread over the range from the one that flips most easily to the one that holds out longest; the metric is again the one
# named at the top of this page.
# After the attack, the distance is all but that of the other image: the attacked image stands on the border of the flip, a hair beyond
# it. What changed is amplified forty times, the same for all.

# %%
from simlib.report.flip_radius import edge_slider

edge = found_by.get(metric.spec.title)
if edge is None or len(edge["l2"]) < n:
    edge = both_radii(problem)
show(
    edge_slider(problem, edge["l2"]),
    "Triplets at their flip radius in the Euclidean norm, from the smallest to the largest; "
    "the slider says the RMS of the change in levels.",
)

# %% [markdown]
# ## What 8 bits leave of it
#
# An image on the border is easily pushed back over it. Saving it as a file rounds every value to a whole level, by up to half of one, which may be more than
# the whole attack. The strict search looks for its images among those of 8 bits from the start: in $\ell_\infty$ its radius
# is then a whole number of levels.

# %%
from simlib.report.flip_radius import bits_as_table

strict = both_radii(problem, "strict")
kept = {norm: chapter.rate(each.flipped_8bit, among=each.flipped) for norm, each in edge.items()}
say(
    f"For {metric.spec.title} on {n} triplets, rounding keeps {kept['linf'] or 'none of none'} of the flips",
    f"at their {norms['linf']} radius, and {kept['l2'] or 'none of none'} at their {norms['l2']} radius.",
)
bits_as_table(edge, strict, triplets.photographs)

# %% [markdown]
# The strict search finds others in their place, among images that a file can hold; the table says
# how far out. A radius without the word *float* or *8 bits* beside it is therefore not yet a number.

# %%
floats, in_bits = (radii_in_levels(each["linf"], "linf") for each in (edge, strict))
saved = torch.where(edge["linf"].flipped_8bit, floats, torch.inf)
show(
    survival_curves(
        {"floats": floats, "the same, saved": saved, "found in 8 bits": in_bits}, triplets.photographs, "linf"
    ),
    "The same metric: share not flipped against the budget, for float images, for the same images after saving "
    "(each at the budget it was found with), and for images found in 8 bits.",
)

# %% tags=["hide-input"]
chapter.provenance(
    table=", ".join(f"{title} ({len(results['linf'])})" for title, results in found_by.items())
)
