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
# # Transfer: every metric against the others
#
# [The chapter on combined attacks](combined.ipynb) made images on one metric and asked a few others, step by step. This chapter is the benchmark that comes of it: every attack on every source, shown to every target. The
# paper ([Ghildyal & Liu, 2023](cite:ghildyal2023attacking)) released its images of one source, for others to try their metrics on. Here images are made anew by whoever runs the plan, and each rate has its
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
from simlib.book.benchmark_chapter import BenchmarkChapter
from simlib.report.display import say, show

chapter = BenchmarkChapter(globals())
rows, sources, attacks = chapter.rows("transfer"), chapter.sources, chapter.attacks("transfer")
chapter

# %% [markdown]
# ## What is counted
#
# A target that ranks the two unattacked images the other way round from the start cannot be flipped by what was meant to flip the source. So a triplet **counts** for a target if both rank the
# unattacked images as its label says; where it has no label, if both rank them alike. **Flipped** are those among them whose attacked image, rounded to 8 bits
# as a file holds it, reverses the target's rank.
#
# Nothing is chosen by what the source makes of the images: those that fail to flip it are shown to the targets as well. A rate of transfer is then one of the attack as it would be used, and as a rule smaller than
# one among the images that flipped the source. The paper made that choice, and [below](#beside-the-published-transfer) it is made, too.
#
# With a number in its name, an attack takes that many steps of PGD, all of them; *stAdv+PGD* starts them at the image of stAdv.
# The [standard evaluation](standard-evaluation.ipynb) takes the strongest of several attacks. A source may be an *ensemble* of metrics, which is the average of their distances;
# in older results it is called a committee.
#
# ## The matrix

# %%
from simlib.benchmark.rates import transfer_matrix
from simlib.report.matrices import matrices, transfer_matrices

cells = transfer_matrix(rows)
show(
    matrices(transfer_matrices(cells)),
    "Flipped in 8 bits, in per cent of the triplets that count; where there is a menu, it chooses on which metric, or by which attack, "
    "images were made. Point at a cell for n and the interval.",
)

# %%
from IPython.display import display

from simlib.report.benchmark import named, transfer_as_table

first = named(sources[0]).title
say(f"The same for images made on {first}, with intervals, some attacks at a time:")
for start in range(0, len(attacks), 4):
    some = attacks[start : start + 4]
    display(transfer_as_table([cell for cell in cells if cell.attack in some], sources[0]))

# %% [markdown]
# Most rates are low, and there the intervals need care. In simulations of up to 512 triplets from 4 to 32 photographs, rates of 2 % were covered at least 90 times in 100, and not always the 95 times that
# are aimed at. Among thousands of triplets from few photographs it can be less: 86 times in 100 for a rate of 3.5 % among 8,000 triplets from 16 photographs. [The white-box
# benchmark](white-box.ipynb) says how the intervals are made.
#
# ## Two targets on the same images
#
# Rows of the matrix come from the same images, and can be compared triplet by triplet, on those that count for both targets. Read a row of
# the figure: orange says that its metric is flipped more often than that of the column, blue that it is flipped less often. Pointing at a cell tells how many triplets flip both, and
# how many only the one or only the other.

# %%
from simlib.benchmark.comparison import compare_targets
from simlib.report.benchmark_chapters import apart, pair_matrices, starred

# the last attack comes first: as a rule it is the strongest, and its matrix says the most
compared = {
    (named(source).title, attack): compare_targets(rows, source, attack)
    for source in sources
    for attack in reversed(attacks)
}
show(
    pair_matrices(compared),
    "How much more often the target of the row is flipped than that of the column, in points; the menu chooses the "
    "images. A star: below 0.05 by McNemar's test, corrected by Holm's method for all pairs of one matrix.",
)

# %%
pairs = compared[first, attacks[-1]]
say(
    f"Under {attacks[-1]} on {first}, the interval of the difference excludes zero in {len(apart(pairs))} of",
    f"{len(pairs)} pairs, and {len(starred(pairs))} stay below 0.05 after correction",
    "([McNemar, 1947](cite:mcnemar1947note); [Holm, 1979](cite:holm1979simple)).",
)

# %% [markdown]
# Where triplets share a few photographs the correction leaves little, and rightly: a handful of photographs can settle a question
# or two, not dozens at once.
#
# ## Are they only the close calls?
#
# A triplet whose two images the *source* finds about equally far is easily flipped, white-box. If its transfer is no more than a push over a border that was near for all metrics, it should vanish where
# the source ranks clearly.

# %%
from simlib.report.benchmark_chapters import transfer_strata

show(
    transfer_strata(rows, sources[0]),
    "Flipped in 8 bits, in per cent of the triplets that count, by how clear the rank was for the metric that images "
    "were made on; the menu chooses the attack. Where nothing stands no triplet counts.",
)

# %% [markdown]
# ## Beside the published transfer

# %%
from simlib.report.benchmark import published_transfer_beside
from simlib.report.published import TRANSFER_N

chooser = chosen_by if chosen_by in attacks else ""
say(
    f"The paper's set is {TRANSFER_N:,} triplets of BAPPS that stAdv flips for LPIPS (Alex), which had ranked them as",
    "people do, and whose images the authors kept after looking at them one by one.",
    f"Here, too, only triplets count that {chooser} flips; nobody looked."
    if chooser
    else "Here all triplets count.",
)
published_transfer_beside(transfer_matrix(rows, chosen_by=chooser))

# %%
from simlib.report.benchmark_chapters import transfer_verdict

say(transfer_verdict(rows, chosen_by=chooser))

# %% [markdown]
# ## What this cannot say
#
# - **Not which metric is the best.** A target may be flipped seldom because it is insensitive to small changes of any kind, good or bad. [Accuracy and robustness](trade-off.ipynb) puts accuracy beside it.
# - **Not how likely transfer is in the wild.** Sources and budgets are those of the plan. Another source may transfer more, and an attacker may try several.
# - **Targets of one family resemble each other.** That images made on one LPIPS flip another says less than that they flip a metric without a network.
# - **Rates from few photographs are rates of these photographs.** The interval says how much they differ among themselves, not how far they are from natural images.

# %% tags=["hide-input"]
chapter.provenance()
