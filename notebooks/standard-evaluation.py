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
# # The standard evaluation
#
# "Our metric withstands the attack" is a sentence about two things, a metric and an attack, and a weak attack makes every metric look strong. For
# classifiers this has been a costly lesson: defence after defence fell to the next attack, until robustness was reported against a fixed list of strong and
# *different* attacks ([Croce & Hein, 2020](cite:croce2020reliable)). This chapter does the same for the ranks of metrics: one call, nothing to tune, and the answer is
# that of the strongest attack for each triplet.

# %% tags=["parameters"]
data = "photos"  # "photos", "bapps", or a folder or CSV file of your own
n = 48  # number of triplets
seed = 0  # seed of the draw of triplets
metric_name = "lpips-alex"  # the metric that is looked at in detail
fallback = "st-lpips-alex"  # stands in where those weights cannot be had
table_metrics = ["l2", "ssim", "lpips-alex", "lpips-squeeze", "st-lpips-alex"]  # of the figure and the table
slow_metrics = ["ssim", "lpips-squeeze", "lpips-vgg", "st-lpips-alex", "st-lpips-vgg"]  # get fewer triplets
slow_n = 6  # number of triplets for those
masked_n = 6  # number of triplets for the metric that hides its gradient
device = "auto"  # "auto", "cpu" or "cuda"

# %%
from simlib.book.chapter import Chapter
from simlib.report.display import say, show

chapter = Chapter(globals())
metric, problem = chapter.metric, chapter.problem
chapter

# %% [markdown]
# ## One call

# %%
from simlib.attacks import Strongest

strongest = Strongest()
result = strongest(problem, progress=True)
say(f"The standard evaluation flips {chapter.rate(result.flipped)}.")

# %%
from simlib.attacks import STANDARD_EPS
from simlib.kernels.images import LEVELS

say(
    rf"The budget is {STANDARD_EPS * LEVELS:g} levels of 255 in $\ell_\infty$, at which later work states robust accuracy,",
    "and the protocol is strict: every flip is found and counted in an image of 8 bits.",
)

# %% [markdown]
# Behind the call stands a list, from the cheapest attack to the most patient, and each attack sees only the
# triplets that none before it has flipped. A triplet that falls to the first costs no more than that.

# %%
from simlib.report.standard_evaluation import list_as_table

list_as_table(strongest.attacks)

# %% [markdown]
# FGSM ([Goodfellow et al., 2015](cite:goodfellow2015explaining)) and PGD ([Madry et al., 2018](cite:madry2018towards)), here with longer and fewer steps, are those of
# [the chapter on gradient attacks](gradient-attacks.ipynb), APGD ([Croce & Hein, 2020](cite:croce2020reliable)) that of [the chapter on the flip radius](flip-radius.ipynb). The **Square**
# attack ([Andriushchenko et al., 2020](cite:andriushchenko2020square)) recolours one random square at a time, every value at an end of its budget, and keeps what raises the margin.
# The list and its settings are our choice. They are fixed, so that two people who call it have done the same.
#
# By construction, `Strongest` flips every triplet that any attack of its list flips on its own. Tests hold it to that.

# %% [markdown]
# ## Every metric, and who won

# %%
from simlib.attacks import PGD, RankFlip

paper = PGD(eps=STANDARD_EPS)
standard, alone = {}, {}
for each in chapter.metrics:
    some = chapter.part(slow_n if each.spec.name in slow_metrics else n)
    attacked = RankFlip(each, some)
    is_done = each.spec.name == metric.spec.name and len(some) == n
    standard[each.spec.title] = result if is_done else strongest(attacked, progress=True)
    alone[each.spec.title] = paper(attacked, progress=True)

# %%
from simlib.report.standard_evaluation import winner_bars

show(
    winner_bars(standard, chapter.photographs),
    "Who flipped the triplets of each metric, in the order of the list; grey is the rest, which none of "
    "them flipped. Hover for n and intervals.",
)

# %%
from simlib.report.attacks import results_as_table

columns = ["n", "flipped", "not flipped", "forwards", "backwards"]
results_as_table(standard, columns, chapter.photographs, first="metric")

# %% tags=["hide-input"]
say(
    "Rates with their 95 % intervals over photographs.",
    chapter.left_out,
    "Metrics with fewer triplets are those that take longer.",
)

# %% [markdown]
# The cost is counted in looks at the metric, forwards for a value and backwards for a gradient,
# summed over all attacks that a triplet went through. A triplet that is never flipped goes through the whole list and costs most, above all in Square's queries.
#
# *Not flipped* is the share of triplets whose rank no attack of the list reversed, which we call **stable**. It is an upper bound on true stability: the next attack may flip more. And it is stability, not
# accuracy. Of our triplets half have a label that follows from how they were made, and half have none, so we do not say how often a rank that stays is also right; a
# metric that ranks at random and never changes its mind would be perfectly stable.

# %% [markdown]
# ## What one weak attack misses
#
# Suppose we had stopped at PGD as the paper sets it, with thirty steps of 0.1275 of a level, within the same budget and under the same strict protocol.
# We would have reported the column of PGD:

# %%
from simlib.report.tables import Table

found = {"PGD with the paper's step": alone, "standard evaluation": standard}
bars = {name: [chapter.rate(each.flipped) for each in of.values()] for name, of in found.items()}
both = {title: (each.flipped, alone[title].flipped) for title, each in standard.items()}
missed = [int((all_ & ~one).sum()) for all_, one in both.values()]
extra = [int((one & ~all_).sum()) for all_, one in both.values()]
Table(
    ("metric", "n", *bars, "missed by PGD alone", "found by PGD alone only"),
    tuple(zip(standard, map(len, standard.values()), *bars.values(), missed, extra)),
)

# %%
from simlib.report.figures import rate_bars

show(
    rate_bars([f"{title}<br>n = {len(each)}" for title, each in standard.items()], bars, y_title="flipped"),
    "Share flipped by PGD with the paper's step alone, and by the standard evaluation, with 95 % "
    "intervals. The budget and the protocol are the same.",
)

# %% [markdown]
# The same triplets, the same budget, the same protocol; only the attacks differ. The last column of the table counts what our list missed, since this PGD is not on it:
# its many small steps are another path through the same budget. A list is only as good as what is on it, and we show both columns for that reason.

# %% [markdown]
# ## Flips that took longer

# %%
from simlib.report.standard_evaluation import flips_by_winner, late_flips, who_flipped

shown = late_flips(result, 6)
say(
    who_flipped(result, shown),
    "The change, amplified twenty times, shows whose work it is: gradients leave a fine grain, and where "
    "Square has won, squares leave edges.",
)
show(
    flips_by_winner(problem, result, shown),
    "Triplets at the end of the list; the slider says which attack flipped each.",
)

# %% [markdown]
# ## Why an attack that sees values only is on the list
#
# A gradient can fail without any intention. Some implementations of metrics round the image to 8 bits inside, as the files would be; the value hardly
# changes, and the gradient of rounding is zero everywhere. An attack that follows the gradient then sees a flat land. We build such a metric in a few lines:

# %%
from simlib.kernels.projection import round_to_8bit
from simlib.metrics import Metric


class Rounded(Metric):
    """Another metric that looks at images rounded to 8 bits: the same values there, and no slope."""

    def __init__(self, inner: Metric) -> None:
        super().__init__()
        self.inner, self.spec = inner, inner.spec

    def embed(self, images):
        return self.inner.embed(round_to_8bit(images))

    def compare(self, reference, features):
        return self.inner.compare(reference, features)


# %%
from simlib.report.standard_evaluation import by_kind_of_attack

hidden = RankFlip(Rounded(metric), chapter.part(masked_n))
masked = strongest(hidden, progress=True)
plain = strongest(RankFlip(metric, hidden.triplets), progress=True)
by_kind_of_attack({metric.spec.title: plain, "the same, rounding inside": masked}, chapter.photographs)

# %% [markdown]
# On images of 8 bits, and the strict protocol knows no others, both metrics give the same values, so every flip of the one is a flip of the other: the second is
# exactly as easy to fool as the first. What differs between the rows is only what the attacks could find. Those that follow the gradient are left with
# the random first step that they take where there is no slope, and Square has to find alone what it can. A rate that fell in this way is not robustness,
# and a gap between gradient attacks and Square is how it gives itself away.

# %%
shown = late_flips(masked, 3)
say(who_flipped(masked, shown))
show(
    flips_by_winner(hidden, masked, shown),
    "Triplets of the metric that rounds inside; the slider says which attack flipped each.",
)

# %% [markdown]
# A metric that offers no gradient at all is refused by the first three. They are then passed over with a warning, and Square decides alone.

# %% [markdown]
# ## Beside other people's numbers
#
# Later work reports, for one popular metric and for three made to be robust, how often the rank agrees with people before and after an attack, within four levels in
# $\ell_\infty$ or a Euclidean length of 3. These are other data (NIGHTS, with human labels), another attacked image (the reference) and APGD alone; they are
# here to show what is being measured elsewhere, and no row can be compared with the tables above.

# %%
from simlib.report.published import ROBUST_METRICS

Table(
    ("metric, as published", "clean", "four levels, largest change", "Euclidean length 3"),
    tuple((row.title, f"{row.clean} %", f"{row.linf} %", f"{row.l2} %") for row in ROBUST_METRICS),
)

# %% [markdown]
# Accuracy against human judgement on NIGHTS, from [arXiv 2502.11725](https://arxiv.org/abs/2502.11725); the publication gives no intervals.

# %% tags=["hide-input"]
chapter.provenance(table=", ".join(f"{title} ({len(each)})" for title, each in standard.items()))
