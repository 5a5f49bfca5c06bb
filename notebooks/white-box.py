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
# # The white-box benchmark
#
# The chapters on single attacks asked what each of them can do. This one runs several attacks on several metrics, on the same triplets, and counts in one way. Its rows
# are the first half of a benchmark; the other half shows the images to metrics that they were not made on ([Transfer](transfer.ipynb)).
#
# A benchmark is only as good as its denominators. So the chapter begins with what is counted among what. It goes on to what was found, and ends with what follows from
# it and what does not.

# %% tags=["parameters"]
store = ""  # folder of results to read; "reference" for those that came with the book; empty runs the plan
plan = "photos"  # metrics and attacks: a shipped plan (smoke, photos, bapps) or a TOML file
n = 48  # triplets that the plan is run on; 0 for as many as it says
data = "photos"  # which triplets it is run on: "photos", "bapps", or a folder or CSV file of your own
metric_name = "lpips-alex"  # the metric to look at in detail; the first one where it is not among them
attack_title = "PGD"  # the attack to look at in detail, likewise
device = "auto"  # "auto", "cpu" or "cuda"

# %%
from simlib.book.benchmark_chapter import BenchmarkChapter
from simlib.report.display import say, show

chapter = BenchmarkChapter(globals())
rows, attacks, sample = chapter.rows("white-box"), chapter.attacks("white-box"), chapter.sample
chapter

# %% [markdown]
# ## What is counted, and among what
#
# A triplet is a reference and two distorted images. The metric ranks one of them closer; that one is changed, until the rank flips or the attack gives up.
#
# **Accurate** are the triplets that the metric, before any attack, ranks as their label says. **Other** are those that it ranks against their label. Flips are counted
# apart: to be led astray from a right answer is a failure, to be led away from a wrong one is luck. Triplets with **no label** are a third group. All three together are
# in the column **flipped**.

# %% tags=["hide-input"]
constructed = "They are constructed: they follow from how the images were made, and say nothing about people."
say(
    f"Labels are there for {sample.labelled:,} triplets.",
    constructed if sample.constructed else "They are votes of people.",
)

# %% [markdown]
# **Flipped** is what the protocol of the attack counts. The protocol *paper* takes the image as the attack leaves it, with values that no file can hold. **In 8 bits** is
# the share that is still flipped once the image is rounded to whole levels, which is what a saved image is. The protocol *strict* counts nothing else, so its two
# columns agree.
#
# **Largest change** (of one value) and **RMSE** are in levels of 255, **steps** are those that the attack took: medians over the flipped triplets, so that a metric
# with few flips is not made to look robust by attacks that failed late. **Forwards** and **backwards** are evaluations of the metric and of its gradient for
# each triplet attacked, flipped or not: what an attack costs, in a unit that knows no machine. **Seconds** are of the machine that computed the rows.
#
# ## All metrics, all attacks
#
# First how often each attack flips each metric, then the same by label, then how much was changed, and what that cost.
# All rates are of the triplets named above.

# %%
from simlib.benchmark.rates import white_box_table
from simlib.report.benchmark import white_box_as_table

table = white_box_table(rows)
white_box_as_table(table, ["rates"])

# %%
white_box_as_table(table, ["labels"])

# %%
white_box_as_table(table, ["effort"])

# %%
from simlib.report.benchmark_chapters import white_box_dots

show(
    white_box_dots(table),
    "Share of all triplets that each attack flips in 8 bits, with 95 % intervals. Point at a mark for n.",
)

# %% [markdown]
# An interval describes its own mark only. All marks come from the same triplets, so two intervals may overlap though the one metric is flipped more often than the
# other wherever they differ. Pairs of metrics are compared [below](#two-metrics-on-the-same-triplets).
#
# Compare metrics under one attack, and not one attack with another: attacks differ in their budget and in their protocol. In the plan *photos*, FGSM may change each value by up to ten levels,
# and PGD by less than four. If all flips are left out that change a value by more than four levels once they are saved, the attacks may come in another order:

# %%
from simlib.benchmark.rates import rate_in
from simlib.benchmark.selection import flags, having, numbers
from simlib.report.benchmark import named

shown = metric_name if metric_name in chapter.metrics else chapter.metrics[0]
main = attack_title if attack_title in attacks else attacks[0]
made = {attack: having(having(rows, "source", shown), "attack", attack) for attack in attacks}
small = {
    attack: rate_in(part, flags(part, "flipped_8bit") & (numbers(part, "linf").round() <= 4))
    for attack, part in made.items()
}
say(
    f"{named(shown).title} is flipped in 8 bits, by changes of at most four levels:",
    "; ".join(f"{rate} by {attack}" for attack, rate in small.items()) + ".",
)

# %% [markdown]
# ## How many photographs is that?
#
# Two patches of one photograph have its light, its grain and its subject in common, and a metric that is flipped on the one is likely to be flipped on the other. To
# count them as two is to count one thing twice.

# %%
from simlib.benchmark.statistics import rate

flips = flags(made[main], "flipped_8bit")
say(
    f"{main} on {named(shown).title} flips, taken over triplets as if they were independent, {rate(flips, None)}.",
    "Taken over photographs, it is the same share with another interval:",
    f"{rate(flips, made[main]['photograph'].to_numpy())}.",
)

# %% [markdown]
# The first interval is Wilson's ([Wilson, 1927](cite:wilson1927probable)). The second is the one that this book shows everywhere. It is Wilson's for the *effective* number of triplets: their number is divided by the *design effect*, which
# grows with how many triplets a photograph has and with how much these resemble each other ([Kish, 1965](cite:kish1965survey)), and Student's distribution takes the place of the normal one ([Korn & Graubard, 1998](cite:korn1998confidence)). How much they resemble each
# other is estimated from the flips ([Ridout et al., 1999](cite:ridout1999estimating)) and drawn towards a usual value where the photographs say little, because a modelled design effect covers better than a plain estimate ([Franco et al., 2019](cite:franco2019comparative)).
#
# In simulations of 24 to 512 triplets from 4 to 32 photographs, with correlations up to 0.2 within a photograph, the interval covers the true rate at least 90 times in 100. It covers less often where rare events are counted among
# thousands of triplets from few photographs, or where triplets of one photograph correlate more strongly. It is never narrower than Wilson's. Where each photograph occurs once, the two are the same; one photograph alone says nothing about others, and its interval reaches from 0 to 100 %.

# %%
from simlib.report.benchmark_chapters import photograph_dots

show(
    photograph_dots(rows, shown),
    f"{named(shown).title}, photograph by photograph: share of triplets that each attack flips in 8 bits. "
    "Within one photograph intervals are Wilson's.",
)

# %% [markdown]
# A rate from a handful of photographs is a rate of these photographs. It does not become one of natural images by cutting more patches from them: how much
# photographs differ stays as it is, however many patches are added, and with it most of the interval.
#
# ## Easy triplets and hard ones
#
# Where one distorted image is far closer than the other, much has to change before the rank does; where both are about equally far, next to nothing. So a rate
# depends on how many close calls a set has, and two sets can only be compared with that taken into account. Here the triplets are parted by the ratio of
# the smaller distance to the larger, by the attacked metric and before the attack.

# %%
from simlib.benchmark.comparison import by_margin
from simlib.report.benchmark_chapters import white_box_strata

show(
    white_box_strata(rows, by_margin, "smaller distance / larger distance"),
    "Triplets flipped, as the protocol counts, in per cent, by the ratio of their distances before the attack; the "
    "menu chooses the attack. Point at a cell for n and the interval; where nothing stands no triplet counts.",
)

# %% [markdown]
# A cell may stand for a handful of triplets; point at it to see their number. Now the same by distortion. A triplet counts for each kind that one of its two images underwent, so that it may count
# several times; the order in which an image underwent them does not matter.

# %%
from simlib.benchmark.comparison import by_distortion

show(
    white_box_strata(rows, by_distortion, "distortion"),
    "Triplets flipped, as the protocol counts, in per cent, by the distortions of their images; the menu chooses "
    "the attack. Point at a cell for n and the interval.",
)

# %% [markdown]
# ## Two metrics on the same triplets
#
# Is one metric flipped more often than another? The two rates come from the same triplets, and most triplets say nothing about that question: both are flipped, or
# neither. What counts are those where only one is. From them come the difference of the rates, with the interval of [Bonett & Price, 2012](cite:bonett2012adjusted) for the effective number of triplets,
# and a test of whether there is any difference ([McNemar, 1947](cite:mcnemar1947note)), which exchanges the two metrics for all triplets of a photograph at once. What is compared are the
# triplets that both metrics rank as labelled and those without a label, flips as the protocol counts them.

# %%
from simlib.benchmark.comparison import compare_metrics
from simlib.report.benchmark_chapters import pair_matrices, power

compared = {attack: compare_metrics(rows, attack) for attack in attacks}
pairs = len(compared[main])
say(
    f"{pairs} pair{'' if pairs == 1 else 's'} of metrics can be compared under each attack, and among many some differ",
    "by chance. The p-values are therefore corrected by Holm's method ([Holm, 1979](cite:holm1979simple)), attack",
    "by attack; a star marks those that stay below 0.05.",
    power(sample.photographs, pairs),
)

# %% tags=["hide-input"]
if pairs:
    show(
        pair_matrices(compared),
        "How much more often the metric of the row is flipped than that of the column, in points; the menu chooses "
        "the attack. Point at a cell for the interval, and for how many triplets flip both or only one.",
    )

# %% [markdown]
# A point is one per cent of the triplets. Read a row: orange says that its metric is flipped more often, blue that the other one is. A metric may be flipped seldom because it is robust, or because
# this attack is a poor one for it: gradients that vanish, or steps of the wrong size, look like robustness ([Croce & Hein, 2020](cite:croce2020reliable)). The
# [standard evaluation](standard-evaluation.ipynb) takes the strongest of several attacks, triplet by triplet, and is the one to compare by.
#
# ## Beside the published numbers

# %%
from simlib.report.benchmark import published_white_box_beside

published_white_box_beside(rows)

# %% [markdown]
# The published row was counted on the triplets of BAPPS on which all voters agreed, ours on the data named above: not the same images, not the same distortions, and another share of close calls. A difference between the
# two rates is therefore no finding by itself. What can be compared with more right is the course of the rate over the ratio of the two distances, which takes the close calls out of it:

# %%
from simlib.report.benchmark import published_ratios_beside

published_ratios_beside(rows)

# %% [markdown]
# The shares by ratio were published without the number of triplets in each range, so that no interval can be given for them.
#
# ## What this cannot say
#
# - **An attack that fails proves nothing.** What is left standing is an upper bound on robustness. A better attack, or a larger budget, can only lower it.
# - **Rates depend on budgets.** Each attack has its own, in the box below. For one metric at every budget see [the chapter on the flip radius](flip-radius.ipynb).
# - **Rates depend on the triplets**: on how many close calls there are, and on the distortions. And they are rates of the photographs named above, not of natural images.
# - **Nobody looked.** A change within the budget is small by its numbers. Whether a person sees it was not asked here.
# - **Seconds are of one machine**, taken while it ran several attacks in turn. They tell orders of magnitude.

# %% tags=["hide-input"]
chapter.provenance()
