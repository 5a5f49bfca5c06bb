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
# # Accuracy and robustness
#
# A metric that always answers with the same number cannot be flipped, and is of no use. Robustness is worth something only beside accuracy: how often is a metric right, and how much of that is left
# under attack? For classifiers the two are known to pull against each other ([Tsipras et al., 2019](cite:tsipras2019robustness)). [Ghildyal & Liu, 2023](cite:ghildyal2023attacking) name the question
# for metrics as open. This chapter puts both on one page, with the interval of each.

# %% tags=["parameters"]
store = ""  # folder of results to read; "reference" for those that came with the book; empty runs the plan
plan = "photos"  # metrics and attacks: a shipped plan (smoke, photos, bapps) or a TOML file
n = 48  # triplets that the plan is run on; 0 for as many as it says
data = "photos"  # which triplets it is run on: "photos", "bapps", or a folder or CSV file of your own
device = "auto"  # "auto", "cpu" or "cuda"

# %%
from simlib.book.benchmark_chapter import BenchmarkChapter
from simlib.report.display import say, show

chapter = BenchmarkChapter(globals())
attacked, judged = chapter.rows("white-box"), chapter.rows("transfer")
chapter

# %% [markdown]
# ## What is counted
#
# **Accuracy** is the share of the labelled triplets that a metric ranks as labelled, before any attack.

# %%
constructed = (
    "These labels are constructed. They are those of ladders, where one image underwent the same distortion as the "
    "other, only more strongly. To be accurate here is to notice more of the same, and nobody was asked: a metric may "
    "score high on this page and disagree with people, and plain metrics are flattered by it."
)
say(
    f"{chapter.sample.labelled:,} triplets have a label.",
    constructed if chapter.sample.constructed else "These labels are votes of people.",
)

# %% [markdown]
# **Robustness** is the share of the triplets *it is right about* that an attack does not flip. Those it is wrong about from the start are left out, so that no
# metric is called robust for clinging to wrong answers. The product of the two is the share that is right before the attack and after it.
#
# ## Attacked itself
#
# Each metric is attacked with all knowledge of it, as in [the white-box benchmark](white-box.ipynb). The more powerful the attack, the lower the points. Attacks differ in their budget and
# their protocol, so compare metrics under one attack, and not one attack with another.

# %%
from simlib.benchmark.rates import trade_off
from simlib.report.trade_off_points import trade_off_points

white_box = {attack: trade_off(attacked, attack) for attack in chapter.attacks("white-box")}
show(
    trade_off_points(white_box, y_title="not flipped, attacked itself"),
    "Metrics by how often they are right and by how much of that an attack on them leaves, with 95 % intervals both "
    "ways; the menu chooses the attack.",
)

# %% [markdown]
# ## Shown what was made on another
#
# Images made on one metric, judged by the others, as in [the chapter on transfer](transfer.ipynb). Robustness is the share not flipped in 8 bits among the labelled triplets that count there: those that both metrics
# are right about. A metric may stand high in this figure and low in the one above. It is then safe only from who attacks another metric, and not from who attacks it.

# %%
from simlib.report.benchmark import named

# the last attack comes first: as a rule it is the strongest
transferred = {
    (named(source).title, attack): trade_off(judged, attack, source)
    for source in chapter.sources
    for attack in reversed(chapter.attacks("transfer"))
}
show(
    trade_off_points(transferred, y_title="not flipped by images made on another"),
    "Metrics by how often they are right and by how often images made on another metric leave their rank alone, with "
    "95 % intervals both ways; the menu chooses the images.",
)

# %% [markdown]
# ## In numbers
#
# How much of their right answers metrics keep: attacked themselves by the attack that they stand worst, and shown the images that flip them most often.

# %%
from simlib.report.benchmark_chapters import worst_cases

worst_cases(white_box, transferred)

# %% [markdown]
# To pick the worst of several rates is to pick among chances, too: a rate that is chosen because it is low is on average a little too low. A rate of the
# [standard evaluation](standard-evaluation.ipynb) is not chosen like that: it is one attack, which takes the strongest of several triplet by triplet.
#
# ## What this cannot say
#
# - **No law.** Metrics are few, and most of them relatives. A line through the points would be a line through families.
# - **Accuracy on other triplets may be another.** Above all, accuracy by construction is not agreement with people: see [the chapter on accuracy](accuracy.ipynb).
# - **A dash is not a success.** Metrics without a number under *attacked itself* were not attacked in this plan.
# - **Rates from few photographs are rates of these photographs.** Their intervals, both ways, are over photographs where triplets share them.

# %% tags=["hide-input"]
chapter.provenance()
