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
# # One pixel: attacks without a gradient
#
# [Attacks by the gradient](gradient-attacks.ipynb) change every pixel a little, and they need the metric's gradient to know how. This chapter
# turns both around. The attack may change **one pixel**, as much as it likes, and it sees nothing of the metric but the two
# distances that anybody could measure. Such an attack is called *black-box*. It guesses, keeps what helped, and guesses again: this is the one-pixel attack of
# [Su et al., 2019](cite:su2019onepixel), which [Ghildyal & Liu, 2023](cite:ghildyal2023attacking) turned against perceptual metrics.

# %% tags=["parameters"]
data = "photos"  # "photos", "bapps", or a folder or CSV file of your own
n = 48  # number of triplets to attack
seed = 0  # seed of the draw of triplets and of the search
metric_name = "lpips-alex"  # the metric that is attacked in detail
fallback = "st-lpips-alex"  # stands in where those weights cannot be had
few_pixels = 3  # pixels that the second attack may change
population = 32  # candidates in the start and in every generation
generations = 12  # most generations after the start
table_n = 12  # number of triplets for the table of metrics, n at most
table_metrics = ["l2", "ssim", "lpips-alex", "lpips-squeeze"]  # of the table
device = "auto"  # "auto", "cpu" or "cuda"

# %%
from simlib.book.chapter import Chapter
from simlib.report.display import say, show

chapter = Chapter(globals())
metric, problem = chapter.metric, chapter.problem
chapter

# %% [markdown]
# ## The attack
#
# A candidate is five numbers: the row and the column of a pixel, and its new red, green and blue. Painted over the image that the metric ranks closer,
# it has a **margin**, as in the last chapter: the distance of the attacked image minus that of the other one. It is positive exactly when the
# rank has flipped. The attack looks for the candidate with the largest margin. A second attack may change a few pixels; its candidates hold
# five numbers for each of them, and all are searched for together.
#
# The numbers of the search are **our own choice**, because the paper's settings for this attack are not known to us.
# A triplet stops after the first generation that flips it, and pays for that generation in full. The protocol is `strict`: colours are whole
# levels of 8 bits, and what is tested is what a PNG would hold.

# %%
from simlib.attacks import FewPixel, OnePixel

one_pixel = OnePixel(population=population, generations=generations)
few_pixel = FewPixel(pixels=few_pixels, population=population, generations=generations)
one = one_pixel(problem, seed=seed, progress=True)
few = few_pixel(problem, seed=seed, progress=True)
say(
    f"A search has {population} candidates to start with, then at most {generations} generations of as many:",
    f"{population * (generations + 1):,} evaluations of the metric for a triplet at most.",
)

# %%
from simlib.report.attacks import results_as_table

few_name = f"{few_pixels} pixels" if few_pixels > 1 else "few-pixel, 1 pixel"
found = {"one pixel": one, few_name: few}
results_as_table(found, ("n", "flipped", "evaluations", "RMSE"), chapter.photographs)

# %% tags=["hide-input"]
from simlib.kernels.images import LEVELS

height, width = one.images.shape[-2:]
say(
    f"One pixel of {height * width:,} flips {chapter.rate(one.flipped)};",
    f"up to {few_pixels} of them flip {chapter.rate(few.flipped)}.",
    "In the table, evaluations and the RMSE, in levels of 255, are medians over the flips.",
)

# %% [markdown]
# More pixels can do whatever one can, but they make a longer candidate, which is harder to search. With no more evaluations, the second attack need not find
# every flip of the first.

# %% tags=["hide-input"]
say(
    "Such a change is small on average and large where it is: from black to white, a single pixel adds",
    f"an RMSE of {LEVELS / (height * width) ** 0.5:.2f} levels to an image of this size,",
    "and no one-pixel attack can add more.",
)

# %% [markdown]
# A person who looks for the dot will often find it. Whether they would call the image less *similar* for it is another question, and it is the one
# that a perceptual metric is built to answer.
#
# ## Find the pixel
#
# Each stop of the slider is a triplet. The third picture shows where to look, and the last one comes close.

# %%
from simlib.report.one_pixel import pixel_slider
from simlib.report.pictures import first_flips

show(
    pixel_slider(problem, one, first_flips(one.flipped, 6)),
    "One pixel under the strict protocol; one stop of the slider for each triplet, with its distances to the reference.",
)

# %% [markdown]
# ## How it is found
#
# A pixel may be at any place of the image and have any of nearly 17 million colours: too many to try. **Differential evolution**
# ([Storn & Price, 1997](cite:storn1997differential)) keeps a population of candidates and lets them learn from each other. The start is spread evenly over all rows, columns and colours.
# Then, in each generation, every member $x$ faces a challenger, bred in two steps from the best member and two random others, $a$ and $b$:
#
# $$
# v = x_\text{best} + F \, (a - b), \qquad
# u_j = \begin{cases} v_j & \text{with probability } 0.7 \\ x_j & \text{otherwise.} \end{cases}
# $$
#
# The challenger $u$ takes the place of $x$ if its margin is no smaller. The difference $a - b$ is what makes this work without a
# gradient: while the members are far apart, steps are long and the whole image is searched; as they gather, steps shorten by themselves. The factor $F$ is drawn
# from 0.5 to 1 for each generation, and a value that leaves its range is drawn anew inside.
#
# To watch it, we replay the very search of the attack on one triplet, with the same random numbers, and let it run on after the flip. The
# triplet is the one that took the most generations to flip, or the first one if none flipped.

# %%
import torch

from simlib.report.one_pixel import evolution, replay

slowest = int(torch.where(one.flipped, one.steps, -1).argmax())
history = replay(one_pixel, problem[slowest], seed=seed)
show(
    evolution(one.original[slowest], history),
    "Differential evolution on one triplet. Left, the candidates of a generation, each a dot in the colour it would "
    "paint, and a ring around the best so far. Right, their margins, and the best so far as a line; above zero the "
    "rank is flipped.",
)

# %%
flips = [generation for generation, each in enumerate(history) if each.best_margin > 0]
say(
    f"The best of the start has a margin of {history[0].best_margin:+.4f},",
    f"the best at the end {history[-1].best_margin:+.4f}; this triplet",
    f"flips in generation {flips[0]} (0 is the start)." if flips else "does not flip in these generations.",
)

# %% [markdown]
# Nothing in the search knows what the metric computes, or even that neighbouring pixels have something to do with each other.
#
# ## What a query buys
#
# An attacker who can only ask counts the questions, which are also called *queries*. Every candidate is one.

# %%
from simlib.report.figures import curves_with_bands

asked = [population * (generation + 1) for generation in range(generations + 1)]
by_queries = {
    name: [chapter.rate(result.flipped & (result.forwards <= queries)) for queries in asked]
    for name, result in found.items()
}
show(
    curves_with_bands(
        asked, by_queries, x_title="evaluations of the metric for a triplet", y_title="flipped"
    ),
    "Share of triplets flipped within a number of evaluations of the metric, with 95 % bands.",
)

# %% [markdown]
# The curves end where we stopped paying, not where the attack stops working: they are lower bounds on what one pixel can do, and they depend on
# our choice of population and generations. Where a curve still rises at its right end, more evaluations would probably flip more.
#
# ## Where, and in which colour
#
# Here are all pixels that flipped a rank alone, each at its place. Inside is the colour that the attack chose, around it the colour that was there.

# %%
from simlib.report.one_pixel import Pixels, places

winners = one.flipped.nonzero().flatten().tolist()
pixels = Pixels.of(one, winners)
show(
    places(pixels, height, width),
    "Every pixel that flipped a rank alone, at its place in the image; inside its new colour, around it the colour before.",
)

# %%
from simlib.benchmark.statistics import rate
from simlib.report.attacks import median

if winners:
    jump = (pixels.after - pixels.before).abs().amax(dim=1)
    extreme = (pixels.after <= 25) | (pixels.after >= LEVELS - 25)
    of_channels = [chapter.photographs[i] for i in winners for _ in range(3)]
    say(
        f"The largest change of a channel, as a median over these pixels, is {median(jump):.0f} levels.",
        f"Of all new red, green and blue values, {rate(extreme.flatten(), of_channels)}",
        "lie within 25 levels of black or white, where a colour drawn at random would have one value in five.",
        "(The interval is over photographs, so it allows for the three channels of a pixel, which resemble each other.)",
    )
else:
    say("On these triplets, no single pixel flipped a rank.")

# %% [markdown]
# ## Every metric
#
# The search never asks what it attacks, so the same lines serve metrics with and without a gradient.

# %%
from simlib.attacks import RankFlip

some = chapter.part(table_n)
attacks = {"one pixel": one_pixel, few_name: few_pixel}
results = {
    each.spec.title: {
        name: attack(RankFlip(each, some), seed=seed, progress=True) for name, attack in attacks.items()
    }
    for each in chapter.metrics
}

# %% tags=["hide-input"]
from simlib.report.attacks import COLUMNS
from simlib.report.tables import Table

rates = {name: [chapter.rate(each[name].flipped) for each in results.values()] for name in attacks}
paid = [COLUMNS["evaluations"](each["one pixel"], some.photographs) for each in results.values()]
Table(
    ("metric", "n", *rates, "evaluations, one pixel, median of flips"),
    tuple((title, len(some), *cells) for title, *cells in zip(results, *rates.values(), paid)),
)

# %% tags=["hide-input"]
from simlib.report.figures import rate_bars

show(
    rate_bars(list(results), rates, y_title="flipped"),
    "Share of triplets flipped by one and by a few pixels, by metric, with 95 % intervals.",
)

# %% tags=["hide-input"]
say(
    chapter.left_out,
    "Rates come with 95 % intervals over photographs.",
    "As with the budgets of the last chapter, a metric that flips more often here is not simply the worse one:",
    "a metric that ranks two images nearly alike needs less of a push.",
)

# %% [markdown]
# ## How good is the search?
#
# For the mean squared error one can say what a pixel is worth without any search. In each channel the value farthest from the reference is
# black or white, whichever is farther, and what a pixel adds does not depend on its neighbours. So the best of all pixels is known:

# %%
from simlib import metrics

exact = RankFlip(metrics.load("l2", device=chapter.device), some)
original = exact.batch().original
worth = torch.maximum(some.ref, 1 - some.ref).square() - (original - some.ref).square()
best_pixel = worth.sum(dim=1).amax(dim=(1, 2)) / some.ref[0].numel()
possible = best_pixel + exact.margin(original) > 0

# %%
done = results.get(exact.metric.spec.title)
searched = done["one pixel"] if done else one_pixel(exact, seed=seed, progress=True)
known, hit = int(possible.sum()), bool((possible & searched.flipped).any())
only = "finds the only one" if hit else "misses the only one"
outcome = f"finds {chapter.rate(searched.flipped, possible)}" if known > 1 else only
say(
    f"One pixel can flip {chapter.rate(possible)} for the mean squared error.",
    f"Of these the search, which knows none of this, {outcome}." if known else "",
)

# %% [markdown]
# For the other metrics there is no such formula: there a pixel is an edge, a spot, a texture, and what it adds depends on
# what lies around it. Their rates are what the search found, and no more than that.

# %% tags=["hide-input"]
chapter.provenance(
    search=f"population {population}, at most {generations} generations, {few_pixels} pixels; our own choice",
    table=f"{len(some)} triplets, {', '.join(results)}",
)
