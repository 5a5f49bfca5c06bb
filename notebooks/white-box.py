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
# # The white-box benchmark
#
# The chapters on single attacks asked what each of them can do. This one asks all of them of all metrics, on the same triplets, and counts in one way. Its rows
# are the first half of a benchmark; the other half shows the images to metrics that they were not made on ({doc}`transfer`).
#
# A benchmark is only as good as its denominators. So the chapter begins with what is counted among what, goes on to what was found, and ends with what follows from
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
from myst_nb import glue

from simlib.benchmark.comparison import by_distortion, by_margin, compare_metrics
from simlib.benchmark.rates import white_box_table
from simlib.benchmark.statistics import rate
from simlib.report.benchmark import named, published_white_box_beside, white_box_as_table
from simlib.report.benchmark_figures import rate_dots
from simlib.report.matrices import comparison_matrix, matrices, matrix_of_rates
from simlib.report.provenance import provenance
from simlib.report.published import WHITE_BOX_PGD
from simlib.report.results import results_for, sample_of
from simlib.report.style import MOST_SERIES
from simlib.report.tables import Table

# %%
results = results_for(store, plan, n, data, device)
rows = results.rows("white-box")

# %% tags=["hide-input"]
metric_names = list(dict.fromkeys(rows["source"]))
attacks = list(dict.fromkeys(rows["attack"]))
sample = sample_of(rows)
constructed = "They are constructed: they follow from how the images were made, and say nothing about people."
for key, value in {
    "where": results.origin(),
    "note": results.note,
    "sample": str(sample),
    "labelled": sample.labelled,
    "labels": constructed if sample.constructed else "They are votes of people.",
    "metrics": len(metric_names),
    "attacks": ", ".join(attacks),
}.items():
    glue(f"whitebox_{key}", value, display=False)

# %% [markdown]
# {glue:text}`whitebox_where:s` There are **{glue:text}`whitebox_sample:s`**, {glue:text}`whitebox_metrics:d` metrics, and these attacks: {glue:text}`whitebox_attacks:s`.
# {glue:text}`whitebox_note:s`
#
# ## What is counted, and among what
#
# A triplet is a reference and two distorted images. The metric ranks one of them closer; that one is changed, until the rank flips or the attack gives up.
#
# **Accurate** are the triplets that the metric, before any attack, ranks as their label says, **other** those that it ranks against their label. Flips are counted
# apart: to be led astray from a right answer is a failure, to be led away from a wrong one is luck. Labels are there for {glue:text}`whitebox_labelled:,d` triplets.
# {glue:text}`whitebox_labels:s` Triplets with **no label** are a third group. All three together are in the column **flipped**.
#
# **Flipped** is what the protocol of the attack counts. The protocol *paper* takes the image as the attack leaves it, with values that no file can hold. **In 8 bits** is
# the share that is still flipped once the image is rounded to whole levels, which is what a saved image is; the protocol *strict* counts nothing else, so its two
# columns agree.
#
# **Largest change** (of one value) and **RMSE** are in levels of 255, **steps** are those that the attack took: medians over the flipped triplets, so that a metric
# with few flips is not made to look robust by attacks that failed late. **Forwards** and **backwards** are evaluations of the metric and of its gradient for
# each triplet attacked, flipped or not: what an attack costs, in a unit that knows no machine. **Seconds** are of this machine.
#
# ## All metrics, all attacks

# %% tags=["hide-input"]
table = white_box_table(rows)
white_box_as_table(table)

# %% tags=["hide-input"]
by_pair = {(row.metric, row.attack): row for row in table}
saved = {attack: [by_pair[name, attack].flipped_8bit for name in metric_names] for attack in attacks}
titles = [named(name).title for name in metric_names]

# %% mystnb={"figure": {"name": "fig-white-box", "caption": "Share of all triplets that each attack flips in 8 bits, with 95 % intervals. Point at a mark for n."}} tags=["hide-input"]
rate_dots(
    titles,
    dict(list(saved.items())[:MOST_SERIES]),
    x_title="flipped, in 8 bits",
    alt="Marks with intervals, metrics down the side, one mark for each attack. "
    + "; ".join(
        f"{title}: " + ", ".join(f"{attack} {rates[i].value:.0%}" for attack, rates in saved.items())
        for i, title in enumerate(titles)
    ),
)

# %% [markdown]
# An interval describes its own mark only. All marks come from the same triplets, so two intervals may overlap though the one metric is flipped more often than the
# other wherever they differ. Pairs are compared [below](#two-metrics-on-the-same-triplets).
#
# ## How many photographs is that?


# %% tags=["hide-input"]
def rows_of(name, attack):
    return rows[(rows["source"] == name) & (rows["attack"] == attack)]


shown = metric_name if metric_name in metric_names else metric_names[0]
main = attack_title if attack_title in attacks else attacks[0]
mine = rows_of(shown, main)
flips = mine["flipped_8bit"].to_numpy(bool)
glue("whitebox_shown", named(shown).title, display=False)
glue("whitebox_main", main, display=False)
glue("whitebox_naive", str(rate(flips, None)), display=False)
glue("whitebox_honest", str(rate(flips, mine["photograph"].to_numpy())), display=False)

# %% [markdown]
# Two patches of one photograph have its light, its grain and its subject in common, and a metric that is flipped on the one is likely to be flipped on the other. To
# count them as two is to count one thing twice. {glue:text}`whitebox_main:s` on {glue:text}`whitebox_shown:s` flips, taken over triplets as if they were independent,
# {glue:text}`whitebox_naive:s`. Taken over photographs, it is the same share with another interval: {glue:text}`whitebox_honest:s`.
#
# The first interval is Wilson's {cite}`wilson1927probable`. The second is the one that this book shows everywhere. It is Wilson's for the *effective* number of triplets: their number is divided by the *design effect*, which
# grows with how many triplets a photograph has and with how much these resemble each other {cite}`kish1965survey`, and Student's distribution takes the place of the normal one {cite}`korn1998confidence`. How much they resemble each
# other is estimated from the flips {cite}`ridout1999estimating` and drawn towards a usual value where the photographs say little, because a modelled design effect covers better than a plain estimate {cite}`franco2019comparative`.
#
# In simulations of 24 to 512 triplets from 4 to 32 photographs, with correlations up to 0.2 within a photograph, the interval covers the true rate at least 90 times in 100. It covers less often where rare events are counted among
# thousands of triplets from few photographs, or where triplets of one photograph correlate more strongly. It is never narrower than Wilson's. Where each photograph occurs once, the two are the same; one photograph alone says nothing about others, and its interval reaches from 0 to 100 %.

# %% tags=["hide-input"]
groups = (
    mine.groupby("photograph", observed=True, sort=True) if sample.photographs else [("all triplets", mine)]
)
places = {str(name): part["triplet"] for name, part in groups}
by_photograph = {}
for attack in attacks[:MOST_SERIES]:
    part = rows_of(shown, attack).set_index("triplet")["flipped_8bit"]
    by_photograph[attack] = [rate(part[chosen].to_numpy(bool), None) for chosen in list(places.values())[:16]]

# %% mystnb={"figure": {"name": "fig-white-box-photographs", "caption": "The metric looked at in detail, photograph by photograph: share of triplets that each attack flips in 8 bits. Within one photograph intervals are Wilson's."}} tags=["hide-input"]
rate_dots(
    list(places)[:16],
    by_photograph,
    x_title=f"flipped in 8 bits, {named(shown).title}",
    alt=f"Marks with intervals, photographs down the side. Under {main}: "
    + ", ".join(f"{name} {rate.value:.0%}" for name, rate in zip(places, by_photograph[main]))
    + ".",
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


# %% tags=["hide-input"]
def strata(divide, across):
    """Arrange rates by stratum for every attack, metrics down the side."""
    found = {}
    for attack in attacks:
        parts = [
            {stratum.label: stratum.rate for stratum in divide(rows_of(name, attack))}
            for name in metric_names
        ]
        labels = list(dict.fromkeys(label for part in parts for label in part))
        cells = [[part.get(label) for label in labels] for part in parts]
        found[attack] = matrix_of_rates(titles, labels, cells, down="metric", across=across)
    return found


margins = strata(by_margin, "smaller distance / larger distance")

# %% mystnb={"figure": {"name": "fig-white-box-margins", "caption": "Triplets flipped, as the protocol counts, in per cent, by the ratio of their distances before the attack; the menu chooses the attack. Point at a cell for n and the interval; where nothing stands no triplet counts."}} tags=["hide-input"]
matrices(margins, alt=f"A matrix for each of {', '.join(margins)}. In the first: {margins[attacks[0]]}.")

# %% [markdown]
# A cell may stand for a handful of triplets; point at it to see their number. Now the same by distortion. A triplet counts for each kind that one of its two images underwent, so that it may count
# several times; the order in which an image underwent them does not matter.

# %% tags=["hide-input"]
kinds = strata(by_distortion, "distortion")

# %% mystnb={"figure": {"name": "fig-white-box-distortions", "caption": "Triplets flipped, as the protocol counts, in per cent, by the distortions of their images; the menu chooses the attack. Point at a cell for n and the interval."}} tags=["hide-input"]
matrices(kinds, alt=f"A matrix for each of {', '.join(kinds)}. In the first: {kinds[attacks[0]]}.")

# %% [markdown]
# (two-metrics-on-the-same-triplets)=
# ## Two metrics on the same triplets
#
# Is one metric flipped more often than another? The two rates come from the same triplets, and most triplets say nothing about that question: both are flipped, or
# neither. What counts are those where only one is. From them come the difference of the rates, with the interval of {cite:t}`bonett2012adjusted` for the effective number of triplets,
# and a test of whether there is any difference {cite}`mcnemar1947note`, which exchanges the two metrics for all triplets of a photograph at once. What is compared are the
# triplets that both metrics rank as labelled and those without a label, flips as the protocol counts them.

# %% tags=["hide-input"]
compared = {attack: compare_metrics(rows, attack) for attack in attacks} if len(metric_names) > 1 else {}
pairs = len(next(iter(compared.values()), []))
power = "The triplets are taken as independent."
if sample.photographs and pairs:
    # All photographs exchanged one way or the other: the least that the test can give.
    least = 2.0 ** (1 - sample.photographs)
    power = (
        f"With {sample.photographs} photographs, no p-value can be below {least:.2g}, however large a difference "
        f"is; the smallest of {pairs}, corrected, is then at least {min(pairs * least, 1):.2g}. "
        + ("Look at the intervals: no star can stand here." if pairs * least >= 0.05 else "")
    )
glue("whitebox_pairs", pairs, display=False)
glue("whitebox_power", power, display=False)

# %% [markdown]
# {glue:text}`whitebox_pairs:d` pairs are compared under each attack, and among so many some differ by chance. The p-values are therefore corrected by Holm's method
# {cite}`holm1979simple`, attack by attack; a star marks those that stay below 0.05. {glue:text}`whitebox_power:s`

# %% tags=["hide-input"]
differences = {attack: comparison_matrix(each) for attack, each in compared.items()}
told = [f"{attack}: {matrix}" for attack, matrix in differences.items()]

# %% mystnb={"figure": {"name": "fig-white-box-pairs", "caption": "How much more often the metric of the row is flipped than that of the column, in points; the menu chooses the attack. Point at a cell for the interval, and for how many triplets flip both or only one."}} tags=["hide-input"]
matrices(
    differences,
    differences=True,
    alt=f"A matrix for each of {', '.join(differences)}. {told[0]}.",
) if differences else Table(("pairs",), (("one metric only",),))

# %% [markdown]
# A point is one per cent of the triplets. Read a row: orange says that its metric is flipped more often, blue that the other one is. A metric may be flipped seldom because it is robust, or because
# this attack is a poor one for it: gradients that vanish, or steps of the wrong size, look like robustness {cite}`croce2020reliable`. The *standard evaluation*
# ({doc}`standard-evaluation`) takes the strongest of several attacks, triplet by triplet, and is the one to compare by.
#
# ## Beside the published numbers

# %% tags=["hide-input"]
published_white_box_beside(rows)

# %% [markdown]
# The published row was counted on the triplets of BAPPS on which all voters agreed, ours on the data named above: not the same images, not the same distortions, and another share of close calls. A difference between the
# two rates is therefore no finding by itself. What can be compared with more right is the course of the rate over the ratio of the two distances, which takes the close calls out of it:

# %% tags=["hide-input"]
published = WHITE_BOX_PGD.rate_by_ratio
same = WHITE_BOX_PGD.metric in metric_names and "PGD" in attacks
here = by_margin(rows_of(WHITE_BOX_PGD.metric, "PGD"), tuple(published)) if same else []
Table(
    ("smaller distance / larger distance", "flipped here", "flipped as published"),
    tuple((each.label, each.rate, f"{share:.1%}") for each, share in zip(here, published.values()))
    or (("this run has no PGD on LPIPS (Alex)", None, None),),
)

# %% [markdown]
# The shares by ratio were published without the number of triplets in each range, so that no interval can be given for them.
#
# ## What this cannot say
#
# - **An attack that fails proves nothing.** What is left standing is an upper bound on robustness. A better attack, or a larger budget, can only lower it.
# - **Rates depend on budgets.** Each attack has its own, in the box below. For one metric at every budget see {doc}`flip-radius`.
# - **Rates depend on the triplets**: on how many close calls there are, and on the distortions. And they are rates of the photographs named above, not of natural images.
# - **Nobody looked.** A change within the budget is small by its numbers. Whether a person sees it was not asked here.
# - **Seconds are of one machine**, taken while it ran several attacks in turn. They tell orders of magnitude.

# %% tags=["hide-input"]
provenance(
    device=results.record.provenance["device"],
    n=sample.n,
    seed=results.record.plan.seed,
    attacks="; ".join(dict.fromkeys(rows["attack"] + " " + rows["parameters"])),
    **results.conditions(),
)
