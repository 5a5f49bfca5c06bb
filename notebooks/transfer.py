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
# # Transfer: every metric against the others
#
# {doc}`combined` made images on one metric and asked a few others, step by step. This chapter is the benchmark that comes of it: every attack on every source, shown to every target. The
# paper {cite}`ghildyal2023attacking` released its images of one source, for others to try their metrics on; here images are made anew by whoever runs the plan, and each rate has its
# interval and its n.
#
# Transfer asks for less than a white-box attack, and tells more. The attacker knows nothing of the target. Where the target is flipped all the same, the two share a flaw.

# %% tags=["parameters"]
store = ""  # folder of results to read; "reference" for those that came with the book; empty runs the plan
plan = "photos"  # metrics and attacks: a shipped plan (smoke, photos, bapps) or a TOML file
n = 48  # triplets that the plan is run on; 0 for as many as it says
data = "photos"  # which triplets it is run on: "photos", "bapps", or a folder or CSV file of your own
chosen_by = "stAdv"  # beside published rows: only triplets that this flips on the source; empty for all
device = "auto"  # "auto", "cpu" or "cuda"

# %%
import pandas as pd
from myst_nb import glue

from simlib.benchmark.comparison import by_margin, compare_targets
from simlib.benchmark.rates import transfer_matrix
from simlib.report.benchmark import named, published_transfer_beside, transfer_as_table
from simlib.report.matrices import (
    SIGNIFICANT,
    comparison_matrix,
    matrices,
    matrix_of_rates,
    transfer_matrices,
)
from simlib.report.provenance import provenance
from simlib.report.published import TRANSFER_N
from simlib.report.results import results_for, sample_of

# %%
results = results_for(store, plan, n, data, device)
rows = results.rows("transfer")
cells = transfer_matrix(rows)

# %% tags=["hide-input"]
sources = list(dict.fromkeys(cell.source for cell in cells))
attacks = list(dict.fromkeys(cell.attack for cell in cells))
targets = list(dict.fromkeys(cell.target for cell in cells))
sample = sample_of(rows)
for key, value in {
    "where": results.origin(),
    "note": results.note,
    "sample": str(sample),
    "sources": " and ".join(named(source).title for source in sources),
    "first": named(sources[0]).title,
    "targets": len(targets),
    "attacks": ", ".join(attacks),
    "published_n": TRANSFER_N,
}.items():
    glue(f"transfer_{key}", value, display=False)

# %% [markdown]
# {glue:text}`transfer_where:s` There are **{glue:text}`transfer_sample:s`**; images are made on **{glue:text}`transfer_sources:s`** and judged by
# {glue:text}`transfer_targets:d` other metrics. The attacks are {glue:text}`transfer_attacks:s`. {glue:text}`transfer_note:s`
#
# ## What is counted
#
# A target that ranks the two unattacked images the other way round from the start cannot be flipped by what was meant to flip the source. So a triplet **counts** for a target if both rank the
# unattacked images as its label says; where it has no label, if both rank them alike. **Flipped** are those among them whose attacked image, rounded to 8 bits
# as a file holds it, reverses the target's rank.
#
# Nothing is chosen by what the source makes of the images: those that fail to flip it are shown to the targets as well. A rate of transfer is then one of the attack as it would be used, and as a rule smaller than
# one among the images that flipped the source. The paper made that choice, and [below](#beside-the-published-transfer) it is made, too.
#
# With a number in its name, an attack takes that many steps of PGD, all of them; *stAdv+PGD* starts them at the image of stAdv. {doc}`standard-evaluation` explains the standard evaluation.
#
# ## The matrix

# %% mystnb={"figure": {"name": "fig-transfer-matrix", "caption": "Flipped in 8 bits, in per cent of the triplets that count; the menu chooses on which metric, or by which attack, images were made. Point at a cell for n and the interval."}} tags=["hide-input"]
shown = transfer_matrices(cells)
matrices(
    shown,
    alt=f"A matrix, and a menu with {', '.join(shown)}. In the first, targets down the side: {next(iter(shown.values()))}.",
)

# %% [markdown]
# The same for images made on {glue:text}`transfer_first:s`, with intervals:

# %% tags=["hide-input"]
transfer_as_table(cells, sources[0])

# %% [markdown]
# ## Two targets on the same images
#
# Rows of the matrix come from the same images, and can be compared triplet by triplet, on those that count for both targets. Read a row of
# {numref}`fig-transfer-pairs`: orange says that its metric is flipped more often than that of the column, blue that it is flipped less often. Pointing at a cell tells how many triplets flip both, and
# how many only the one or only the other.

# %% tags=["hide-input"]
compared = {
    (source, attack): compare_targets(rows, source, attack) for source in sources for attack in attacks
}
differences = {
    (named(source).title, attack): comparison_matrix(pairs) for (source, attack), pairs in compared.items()
}
apart = {
    key: [each for each in pairs if each.difference and not each.difference.low <= 0 <= each.difference.high]
    for key, pairs in compared.items()
}
last = (sources[0], attacks[-1])
glue("transfer_pairs", len(compared[last]), display=False)
glue("transfer_apart", len(apart[last]), display=False)
glue("transfer_last", attacks[-1], display=False)
glue(
    "transfer_starred",
    sum(each.corrected is not None and each.corrected < SIGNIFICANT for each in compared[last]),
    display=False,
)

# %% mystnb={"figure": {"name": "fig-transfer-pairs", "caption": "How much more often the target of the row is flipped than that of the column, in points; the menus choose the images. A star: below 0.05 by McNemar's test, corrected by Holm's method for all pairs of one matrix."}} tags=["hide-input"]
matrices(
    differences,
    differences=True,
    alt=f"A matrix, and menus with {len(differences)} choices of images. In that of {attacks[-1]} on {named(sources[0]).title}, pairs "
    "whose interval excludes zero: "
    + (
        ", ".join(
            f"{named(each.first).title} {100 * each.difference.value:+.0f} points against {named(each.second).title}"
            for each in apart[last]
        )
        or "none"
    )
    + ".",
)

# %% [markdown]
# Under {glue:text}`transfer_last:s` on {glue:text}`transfer_first:s`, the interval of the difference excludes zero in {glue:text}`transfer_apart:d` of
# {glue:text}`transfer_pairs:d` pairs, and {glue:text}`transfer_starred:d` stay below 0.05 after correction {cite}`mcnemar1947note,holm1979simple`. Where triplets share a few photographs the correction leaves little, and rightly: a handful of photographs can settle a question
# or two, not dozens at once.
#
# ## Are they only the close calls?
#
# A triplet whose two images the *source* finds about equally far is easily flipped, white-box. If its transfer is no more than a push over a border that was near for all metrics, it should vanish where
# the source ranks clearly.


# %% tags=["hide-input"]
def by_ratio(source, attack):
    """Arrange rates by the source's ratio of distances, targets down the side."""
    made = rows[(rows["source"] == source) & (rows["attack"] == attack)]
    own = made[made["target"] == source]
    judges = [target for target in made["target"].unique() if target != source]
    parts = [by_margin(pd.concat([own, made[made["target"] == target]])) for target in judges]
    rates = [[stratum.rate for stratum in part] for part in parts]
    ranges = [stratum.label for stratum in parts[0]]
    across = f"smaller distance / larger distance, by {named(source).title}"
    return matrix_of_rates(
        [named(name).title for name in judges], ranges, rates, down="judged by", across=across
    )


strata = {attack: by_ratio(sources[0], attack) for attack in attacks}

# %% mystnb={"figure": {"name": "fig-transfer-margins", "caption": "Flipped in 8 bits, in per cent of the triplets that count, by how clear the rank was for the metric that images were made on; the menu chooses the attack. Where nothing stands no triplet counts."}} tags=["hide-input"]
matrices(
    strata,
    alt=f"A matrix, and a menu with {', '.join(strata)}. In the first, targets down the side: {strata[attacks[0]]}.",
)

# %% [markdown]
# (beside-the-published-transfer)=
# ## Beside the published transfer
#
# The paper's set is {glue:text}`transfer_published_n:,d` triplets of BAPPS that stAdv flips for LPIPS (Alex), which had ranked them as people do, and whose images the authors kept after looking at them one by
# one. The first choice is made here, too; nobody looked.

# %% tags=["hide-input"]
published_transfer_beside(transfer_matrix(rows, chosen_by=chosen_by if chosen_by in attacks else ""))

# %% [markdown]
# ## What this cannot say
#
# - **Not which metric is the best.** A target may be flipped seldom because it is insensitive to small changes of any kind, good or bad. {doc}`trade-off` puts accuracy beside it.
# - **Not how likely transfer is in the wild.** Sources and budgets are those of the plan. Another source may transfer more, and an attacker may try several.
# - **Targets of one family resemble each other.** That images made on one LPIPS flip another says less than that they flip a metric without a network.
# - **Rates from few photographs are rates of these photographs.** The interval says how much they differ among themselves, not how far they are from natural images.

# %% tags=["hide-input"]
provenance(
    device=results.record.provenance["device"],
    n=sample.n,
    seed=results.record.plan.seed,
    attacks="; ".join(dict.fromkeys(rows["attack"] + " " + rows["parameters"])),
    **results.conditions(),
)
