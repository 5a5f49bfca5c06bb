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
# # Accuracy: which metric agrees with the labels
#
# Before a metric is attacked, it should be right. Right is what people say: shown a reference and two distorted images of it, which one do they find closer? This
# chapter measures how often a metric chooses as they do, and how often anything could. For that it needs votes. Where none are at hand, it falls back on
# triplets whose answer follows from how they were made, and that is another question.

# %% tags=["parameters"]
data = "photos"  # "photos", "bapps", or a folder or CSV file of your own
n = 64  # number of triplets to draw, all if there are fewer
seed = 0  # seed of the draw of triplets, and of the harder ladders
metric_names = [
    *["l1", "l2", "psnr", "ssim", "ms-ssim", "iw-ssim", "vif", "fsim", "fsimc", "sr-sim", "gmsd", "ms-gmsd"],
    *["ms-gmsdc", "vsi", "dss", "haarpsi", "mdsi", "nlpd", "lpips-alex", "lpips-squeeze", "lpips-vgg"],
    *["features-alex", "features-squeeze", "st-lpips-alex", "st-lpips-vgg", "dists", "pieapp"],
]  # which metrics
heavy_weights = ["vgg16", "pieapp"]  # not downloaded for this chapter; used where they are
ratios = [1.1, 1.25, 1.5]  # how many times as strong the stronger image of a harder ladder is
device = "auto"  # "auto", "cpu" or "cuda"

# %%
from simlib.book.chapter import Chapter
from simlib.report.display import say, show
from simlib.triplets.ladders import labelled

chapter = Chapter(globals(), triplets=lambda: labelled(data, n, seed=seed, ratios=ratios))
triplets, judge, photographs = chapter.triplets, chapter.triplets.judge, chapter.photographs
chapter

# %%
human = triplets.label_source == "human"
labels = "votes of people" if human else "constructed, nobody was asked"
say(
    f"**Labels of this page: {labels}.**",
    "So every number, table and figure below tells how well metrics agree with",
    "people." if human else "the construction, not with people.",
)

# %% [markdown]
# ## How agreement is counted
#
# Let $j$ be the share of people who find the second image closer. The **2AFC score** (two alternative forced choice, [Zhang et al., 2018](cite:zhang2018unreasonable)) gives a metric, on each
# triplet, the share of votes that its choice gets, and averages:
#
# $$
# s = \frac{1}{N} \sum_{i=1}^{N} s_i, \qquad
# s_i = \begin{cases} j_i & \text{if } d(x_\text{ref}, x_0) > d(x_\text{ref}, x_1) \\ 1 - j_i & \text{if } d(x_\text{ref}, x_0) < d(x_\text{ref}, x_1) \\ \frac{1}{2} & \text{if they are equal.} \end{cases}
# $$
#
# People disagree with each other, so nothing can score 1. Always to choose with the majority scores the mean of $\max(j, 1 - j)$: the **ceiling** on these votes. **One
# more person**, who chooses as the others do, is expected to score the mean of $j^2 + (1 - j)^2$. A metric above that line agrees with the crowd more than a member of it.
#
# **Majority accuracy** is blunter: the share of triplets that a metric ranks as the majority does, with even votes left out. The paper calls such triplets *accurate* and
# the others *inaccurate* ([Ghildyal & Liu, 2023](cite:ghildyal2023attacking)), and counts flips apart among both.
#
# Intervals are over photographs: Wilson's ([Wilson, 1927](cite:wilson1927probable)) for the effective number of triplets ([Kish, 1965](cite:kish1965survey);
# [Korn & Graubard, 1998](cite:korn1998confidence)), for scores with the spread that votes really have. In
# simulations those of rates cover at least 90 times in 100, less often for rare events among thousands of triplets from few photographs.

# %% [markdown]
# ## Where nobody was asked: ladders
#
# In a *ladder* both images underwent the same distortions with the same draw, one more strongly; the milder should be closer. Those of [the chapter on triplets](triplets.ipynb) are easy, for their
# strengths differ by a factor of two at least. Without votes, this chapter adds **harder ladders**: one from each reference, with a factor that is closer to one.

# %%
from simlib.benchmark.agreement import human_ceiling, one_person_score
from simlib.triplets.ladders import ladder_ratio

asked = int((~judge.isnan()).sum())
harder = sum(ladder_ratio(name) is not None for name in triplets.names)
kind = f"ladders ({asked - harder:,} from the set, {harder:,} harder)" if harder else "triplets"
say(
    f"What follows is measured on {asked:,} {kind}.",
    f"On these votes the ceiling is {human_ceiling(judge, photographs)}, "
    f"and one more person would score {one_person_score(judge, photographs)}."
    if human
    else "With constructed labels there is no crowd to disagree: the ceiling is 100 %, "
    "and what a person would score is not known.",
)

# %% [markdown]
# ## Agreement

# %%
from simlib.benchmark.agreement import distances, two_afc_score

side = min(triplets.ref.shape[-2:])
fitting = [metric for metric in chapter.metrics if metric.spec.least_side <= side]
pairs = {each.spec: distances(each, triplets) for each in chapter.progress(fitting, "metrics")}
scores = {spec: two_afc_score(*pair, judge, photographs) for spec, pair in pairs.items()}

# %%
from simlib.report.accuracy import agreement_dots

show(
    agreement_dots(scores, triplets),
    "The share of agreement of each metric, best on top, with 95 % intervals. "
    "The axis says with whom: with people's votes, or with the construction of ladders.",
)


# %% tags=["hide-input"]
def told(score):
    return f"{score}, of {', '.join(spec.title for spec in scores if scores[spec].value == score.value)}"


lowest, highest = (end(scores.values(), key=lambda score: score.value) for end in (min, max))
small = [metric.spec for metric in chapter.metrics if metric not in fitting]
say(
    f"The highest score is {told(highest)}; the lowest is {told(lowest)}.",
    chapter.left_out,
    *(f"{each.title} is left out: it needs {each.least_side} pixels a side, not {side}." for each in small),
)

# %% [markdown]
# All metrics are measured on the same triplets. So two of them may differ for certain although their intervals overlap; an interval tells how a metric would do on other triplets.

# %%
from simlib.report.accuracy import agreement_table

agreement_table(pairs, triplets)

# %% [markdown]
# ## By kind and by difficulty
#
# One number hides where a metric goes wrong. The first matrix splits the triplets by their kind: the folder of the data set, or, in ladders, each distortion that takes
# part; look there for metrics that turn images grey before they compare them. The second splits the triplets by how clear the answer is: how
# large the majority of the votes is, or how many times as strong the stronger image of a ladder is.

# %%
from simlib.report.accuracy import agreement_matrix, by_kind

show(
    agreement_matrix(pairs, triplets, by_kind(triplets), "kind of triplet"),
    "Agreement of each metric in per cent, by kind of triplet; 50 is chance. "
    "Point at a cell for n and the interval.",
)

# %%
from simlib.report.accuracy import by_clarity

show(
    agreement_matrix(pairs, triplets, by_clarity(triplets), "how clear the answer is"),
    "Agreement of each metric in per cent, by how clear the answer is; 50 is chance. "
    "Point at a cell for n and the interval.",
)

# %% [markdown]
# ## What is missed
#
# Which distortions, or pairs of them, are ranked against their label most often, counted over all metrics, and which metric do they mislead most?

# %%
import torch

from simlib.benchmark.agreement import accurate_split
from simlib.report.accuracy import missed_table

missed = torch.stack([accurate_split(*pair, judge)[1] for pair in pairs.values()])
missed_table(missed, list(pairs), triplets)

# %%
from simlib.report.accuracy import labelled_grid
from simlib.report.display import listed

worst = missed.sum(dim=0).argsort(descending=True, stable=True)[:3].tolist()
show(labelled_grid(triplets, worst), "The triplets whose label most metrics contradict.")
say(
    f"From top to bottom, {listed([str(int(missed[:, i].sum())) for i in worst])} of the {len(pairs)} metrics",
    "contradict the label. The image in the middle is the one that",
    "the majority found closer." if human else "is closer by construction.",
)

# %% [markdown]
# ## What this cannot say
#
# - **Ladders say nothing about people.** They ask whether a metric notices more of the same. A person may not see a tenth more noise, or not mind it. And they never ask
#   which of two *different* distortions is worse, where metrics part ways ([the chapter on metrics](metrics.ipynb)) and where votes are needed.
# - **Ladders flatter plain metrics.** More of the same distortion nearly always means larger differences of pixels, and L2 measures nothing else. To be first here is no
#   merit: on people's votes, features of networks came out ahead of L2 and SSIM by a large margin ([Zhang et al., 2018](cite:zhang2018unreasonable)).
# - **A construction can be wrong.** Noise and then a blur is a ladder, too, and the stronger blur may take away the stronger noise.
# - **Votes are few, and of one kind.** In the validation part of BAPPS, five people voted on a triplet of patches of 64×64 pixels. The score for one more person is a
#   little too high for that reason, and agreement may be another on larger images, on other distortions, among other people.
# - **Photographs are few.** The intervals are over the photographs that triplets were cut from; they say how other photographs of the same kind would do, and nothing about other kinds.
# - **To agree is not to be robust.** The next chapters take ranks like these and reverse them by changes that hardly anybody sees.
#
# With BAPPS on the machine (`simlib data bapps`), the same page shows agreement with people: `simlib notebooks accuracy -p data=bapps -p n=4000`. It draws from all its triplets,
# not only from those on which all voters agree.

# %% tags=["hide-input"]
chapter.provenance(
    labels=f"{asked}, {triplets.label_source}", metrics=", ".join(spec.title for spec in pairs)
)
