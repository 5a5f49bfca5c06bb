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
# # Which metric agrees with people
#
# Before a metric is attacked, it should be right. Right is what people say: shown a reference and two distorted images of it, which one do they find closer? This
# chapter measures how often a metric chooses as they do, and how often anything could. For that it needs votes. Where none are at hand, it falls back on
# triplets whose answer follows from how they were made, and that is another question.

# %% tags=["parameters"]
data = "photos"  # "photos", "bapps", or a folder or CSV file of your own
n = 64  # number of triplets to draw, at most
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
import re
from collections import defaultdict
from dataclasses import replace

import numpy as np
import plotly.graph_objects as go
import torch
from myst_nb import glue
from tqdm import tqdm

from simlib import metrics
from simlib.benchmark.agreement import (
    accurate_split,
    distances,
    human_ceiling,
    majority_accuracy,
    one_person_score,
    two_afc_score,
)
from simlib.kernels.device import pick_device
from simlib.kernels.projection import round_to_8bit
from simlib.report.figures import Panel, picture_grid, rate_matrix
from simlib.report.provenance import provenance
from simlib.report.style import COLORS
from simlib.report.tables import Table
from simlib.triplets import DISTORTIONS, Triplets, open_triplets, photos
from simlib.triplets.distortions import apply, describe

where = pick_device(device)
if data == "photos":
    drawn = photos(n, seed=seed)
else:
    stored = open_triplets(data)
    stored = stored.select(np.random.default_rng(seed).permutation(len(stored))[:n])
    drawn = stored[:]
human = drawn.label_source == "human"

# %% tags=["hide-input"]
glue(
    "accuracy_origin",
    "Labels of this page: votes of people."
    if human
    else "Labels of this page: constructed, nobody was asked.",
    display=False,
)
glue(
    "accuracy_measured",
    "how well metrics agree with people"
    if human
    else "how well metrics agree with the construction, not with people",
    display=False,
)

# %% [markdown]
# **{glue:text}`accuracy_origin:s`** So every number, table and figure below tells {glue:text}`accuracy_measured:s`.
#
# ## How agreement is counted
#
# Let $j$ be the share of people who find the second image closer. The **2AFC score** (two alternative forced choice, {cite}`zhang2018unreasonable`) gives a metric, on each
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
# the others *inaccurate* {cite}`ghildyal2023attacking`, and counts flips apart among both.
#
# Intervals are over photographs: Wilson's {cite}`wilson1927probable` for the effective number of triplets {cite}`kish1965survey,korn1998confidence`, for scores with the spread that votes really have. In
# simulations those of rates cover at least 90 times in 100, less often for rare events among thousands of triplets from few photographs.

# %% [markdown]
# ## Where nobody was asked: ladders
#
# In a *ladder* both images underwent the same distortion with the same draw, one more strongly; the milder should be closer. Those of {doc}`triplets` are easy, for their
# strengths differ by a factor of two at least. Without votes, this chapter adds **harder ladders**: one from each reference, with a factor that is closer to one.


# %%
def harder_ladders(drawn: Triplets) -> Triplets:
    """Distort each reference twice by the same draw; the second image is the milder."""
    pairs, images = [], []
    for i, ref in enumerate(drawn.ref):
        name = list(DISTORTIONS)[i // len(ratios) % len(DISTORTIONS)]
        milder = float(np.random.default_rng([seed, i]).uniform(0.15, 0.45))
        steps = [[(name, ratios[i % len(ratios)] * milder)], [(name, milder)]]
        patch = ref.permute(1, 2, 0).double().numpy()
        images.append([apply(patch, each, np.random.default_rng([seed, i, 1])) for each in steps])
        pairs.append((describe(steps[0]), describe(steps[1])))
    p0, p1 = round_to_8bit(torch.from_numpy(np.stack(images)).permute(1, 0, 4, 2, 3).float())
    return replace(
        drawn,
        p0=p0,
        p1=p1,
        judge=torch.ones(len(drawn)),
        names=tuple(f"{name}-harder" for name in drawn.names),
        distortions=tuple(pairs),
    )


# %%
if data == "photos":
    easy = drawn[~drawn.judge.isnan()]
    triplets = Triplets.concatenate([easy, harder_ladders(drawn)])
    kind = f"ladders ({len(easy)} from the set, {len(drawn)} harder)"
else:
    triplets, kind = drawn, "triplets"
triplets = triplets.to(device=where)
judge, photographs = triplets.judge.cpu(), triplets.photographs

# %% tags=["hide-input"]
asked = int((~judge.isnan()).sum())
glue("accuracy_n", asked, display=False)
glue("accuracy_kind", kind, display=False)
glue(
    "accuracy_people",
    f"On these votes the ceiling is {human_ceiling(judge, photographs)}, and one more person would score {one_person_score(judge, photographs)}."
    if human
    else "With constructed labels there is no crowd to disagree: the ceiling is 100 %, and what a person would score is not known.",
    display=False,
)

# %% [markdown]
# What follows is measured on {glue:text}`accuracy_n:,d` {glue:text}`accuracy_kind:s`. {glue:text}`accuracy_people:s`
#
# ## Agreement

# %%
chosen = [
    name
    for name in metric_names
    if not metrics.why_absent(name) or not set(metrics.spec_of(name).weights) & set(heavy_weights)
]
loaded, _ = metrics.load_available(chosen, device=where)
side = min(triplets.ref.shape[-2:])
available = [metric for metric in loaded if metric.spec.least_side <= side]
measured = {
    metric.spec.title: distances(metric, triplets)
    for metric in tqdm(available, desc="metrics", unit="metric", delay=2, leave=False)
}
scores = {title: two_afc_score(*pair, judge, photographs) for title, pair in measured.items()}

# %% tags=["hide-input"]
here = {metric.spec.name for metric in loaded}
left_out = [
    f"{metrics.spec_of(name).title} ({metrics.why_absent(name)})" for name in metric_names if name not in here
]
left_out += [
    f"{metric.spec.title} (needs {metric.spec.least_side} pixels a side, these images have {side})"
    for metric in loaded
    if metric not in available
]
glue(
    "accuracy_left_out",
    f"Left out: {'; '.join(left_out)}." if left_out else "No metric was left out.",
    display=False,
)
order = sorted(scores, key=lambda title: scores[title].value)
for name, value in (("most", scores[order[-1]].value), ("least", scores[order[0]].value)):
    titles = [title for title in reversed(order) if scores[title].value == value]
    glue(f"accuracy_{name}", f"{scores[titles[0]]}, of {', '.join(titles)}", display=False)

# %% mystnb={"figure": {"name": "fig-accuracy", "caption": "The share of agreement of each metric, best on top, with 95 % intervals. The axis says with whom: with people's votes, or with the construction of ladders."}} tags=["hide-input"]
agreement = "2AFC score: agreement with people" if human else "agreement with the construction"
figure = go.Figure()
for color, family in zip(COLORS, ("pixel", "structural", "learned", "custom")):
    titles = [metric.spec.title for metric in available if metric.spec.family == family]
    figure.add_scatter(
        x=[scores[title].value for title in titles],
        y=titles,
        error_x={
            "type": "data",
            "array": [scores[title].high - scores[title].value for title in titles],
            "arrayminus": [scores[title].value - scores[title].low for title in titles],
            "thickness": 1.5,
            "width": 3,
        },
        mode="markers",
        marker={"color": color, "size": 9},
        name=family,
        customdata=[str(scores[title]) for title in titles],
        hovertemplate="%{y}<br>%{customdata}<extra></extra>",
        visible=bool(titles),
    )
people = {"one more person": one_person_score, "ceiling": human_ceiling} if human else {}
lines = {name: score(judge, photographs) for name, score in people.items()}
for dash, (name, line) in zip(("dot", "dash"), lines.items()):
    figure.add_scatter(
        x=[line.value, line.value],
        y=[order[0], order[-1]],
        mode="lines",
        line={"color": COLORS[-1], "dash": dash},
        name=f"{name}, {line.value:.1%}",
        hovertemplate=f"{name}<br>{line}<extra></extra>",
    )
figure.update_layout(
    xaxis={"tickformat": ".0%", "title": agreement},
    yaxis={"categoryorder": "array", "categoryarray": order, "dtick": 1, "automargin": True},
    legend={"orientation": "h", "yanchor": "bottom", "y": 1.02},
    height=170 + 24 * len(order),
    meta={
        "alt": f"Dots with intervals, {agreement}: "
        + "; ".join(f"{title} {scores[title]}" for title in reversed(order))
    },
)
figure

# %% [markdown]
# The highest score is {glue:text}`accuracy_most:s`; the lowest is {glue:text}`accuracy_least:s`. {glue:text}`accuracy_left_out:s`
#
# All metrics are measured on the same triplets. So two of them may differ for certain although their intervals overlap; an interval tells how a metric would do on other triplets.

# %% tags=["hide-input"]
rows = []
for title in reversed(order):
    score, (accurate, inaccurate) = scores[title], accurate_split(*measured[title], judge)
    majority = majority_accuracy(*measured[title], judge, photographs)
    rows.append((title, score, majority, int(accurate.sum()), int(inaccurate.sum())))
columns = ("2AFC score", "majority accuracy", "accurate", "inaccurate")
if not human:
    # nobody voted, so there is no majority to tell from the score
    rows = [(title, score, *counts) for title, score, _, *counts in rows]
    columns = ("agreement, constructed", "as labelled", "otherwise")
Table(("metric", *columns), tuple(rows))

# %% [markdown]
# ## By kind and by difficulty
#
# One number hides where a metric goes wrong. The first matrix splits the triplets by their kind: the folder of the data set, or, in ladders, each distortion that takes
# part; look there for metrics that turn images grey before they compare them. The second splits the triplets by how clear the answer is: how
# large the majority of the votes is, or how many times as strong the stronger image of a ladder is.

# %% tags=["hide-input"]
if data == "photos":
    kinds = {d.title: [d.title in first for first, _ in triplets.distortions] for d in DISTORTIONS.values()}
    ratio = [None] * len(easy) + [ratios[i % len(ratios)] for i in range(len(drawn))]
    clarity = {f"{each:g} times": [one == each for one in ratio] for each in ratios}
    clarity["2 times or more"] = [one is None for one in ratio]
else:
    kinds = {folder: [each == folder for each in stored.folders] for folder in dict.fromkeys(stored.folders)}
    best = torch.maximum(judge, 1 - judge)
    bounds = {"up to 65 %": (0.5, 0.65), "65 to 85 %": (0.65, 0.85), "over 85 %": (0.85, 1.01)}
    clarity = {name: (best >= low) & (best < high) for name, (low, high) in bounds.items()}


# %% tags=["hide-input"]
def score_matrix(groups: dict[str, object], what: str) -> go.Figure:
    """Show the score of each metric on each group of triplets that has labels, and what people would score."""
    votes = {name: judge.where(torch.as_tensor(mask), torch.nan) for name, mask in groups.items()}
    votes = {name: each for name, each in votes.items() if not each.isnan().all()}
    cells = {
        title: [people[title](each, photographs) for each in votes.values()] for title in reversed(people)
    }
    for title in reversed(order):
        cells[title] = [two_afc_score(*measured[title], each, photographs) for each in votes.values()]
    alt = "; ".join(
        f"{title}: " + ", ".join(f"{name} {cell.value:.0%}" for name, cell in zip(votes, row))
        for title, row in cells.items()
    )
    figure = rate_matrix(
        list(cells), list(cells.values()), alt=f"A matrix, {agreement}, metrics by {what}. {alt}."
    )
    numbers = [[f"{100 * cell.value:.0f}" for cell in row] for row in cells.values()]
    figure.update_traces(
        x=list(votes), text=numbers, texttemplate="%{text}", zmin=0.5, zmax=1, showscale=False
    )
    return figure.update_layout(xaxis_title=agreement)


# %% mystnb={"figure": {"name": "fig-accuracy-kinds", "caption": "Agreement of each metric in per cent, by kind of triplet; 50 is chance. Point at a cell for n and the interval."}} tags=["hide-input"]
score_matrix(kinds, "kind of triplet")

# %% mystnb={"figure": {"name": "fig-accuracy-clarity", "caption": "Agreement of each metric in per cent, by how clear the answer is; 50 is chance. Point at a cell for n and the interval."}} tags=["hide-input"]
score_matrix(clarity, "how clear the answer is")

# %% [markdown]
# ## What is missed
#
# Which distortions, or pairs of them, are ranked against their label most often, counted over all metrics, and which metric do they mislead most?

# %%
missed = torch.stack([accurate_split(*pair, judge)[1] for pair in measured.values()])
together = defaultdict(list)
for i in (~judge.isnan()).nonzero().flatten().tolist():
    one, two = sorted(re.sub(r" \d\.\d+", "", text) for text in triplets.distortions[i])
    together[one if one == two else f"{one} against {two}"].append(i)

# %% tags=["hide-input"]
titles = list(measured)
rows = []
for kind, places in together.items():
    counts = missed[:, places].sum(dim=1)
    if counts.any():
        share = float(counts.sum()) / counts.numel() / len(places)
        most = f"{titles[int(counts.argmax())]}, {int(counts.max())} of {len(places)}"
        rows.append((kind, len(places), int(counts.sum()), share, most))
rows.sort(key=lambda row: -row[2])
Table(
    ("distortions", "triplets", "rankings against the label", "most often by"),
    tuple((kind, count, f"{number} ({share:.1%})", most) for kind, count, number, share, most in rows[:10]),
)

# %% tags=["hide-input"]
worst = missed.sum(dim=0).argsort(descending=True, stable=True)[:3].tolist()
glue("accuracy_worst", ", ".join(f"{int(missed[:, i].sum())}" for i in worst), display=False)
glue("accuracy_metrics", len(measured), display=False)
glue(
    "accuracy_winner",
    "the majority found closer" if human else "is closer by construction",
    display=False,
)


def panels(i: int) -> list[Panel]:
    sides = ["p1", "p0"] if judge[i] > 0.5 else ["p0", "p1"]
    texts = dict(zip(("p0", "p1"), triplets.distortions[i]))
    titles = ("voted closer", "voted farther") if human else ("labelled closer", "labelled farther")
    return [
        Panel(triplets.ref[i], title="reference"),
        *(
            Panel(getattr(triplets, side)[i], texts[side].lower().replace(", then ", "<br>"), title)
            for side, title in zip(sides, titles)
        ),
    ]


# %% mystnb={"figure": {"name": "fig-accuracy-missed", "caption": "The triplets whose label most metrics contradict."}} tags=["hide-input"]
picture_grid(
    [panels(i) for i in worst],
    alt=f"{len(worst)} triplets in rows: the reference, the image that is closer by its label, and the other. "
    + "; ".join(f"{triplets.distortions[i][0]} and {triplets.distortions[i][1]}" for i in worst),
)

# %% [markdown]
# Of {glue:text}`accuracy_metrics:d` metrics, {glue:text}`accuracy_worst:s` contradict the label of the triplets in {numref}`fig-accuracy-missed`, from top to bottom. The image in
# the middle is the one that {glue:text}`accuracy_winner:s`.
#
# ## What this cannot say
#
# - **Ladders say nothing about people.** They ask whether a metric notices more of the same. A person may not see a tenth more noise, or not mind it. And they never ask
#   which of two *different* distortions is worse, where metrics part ways ({doc}`metrics`) and where votes are needed.
# - **Ladders flatter plain metrics.** More of the same distortion nearly always means larger differences of pixels, and L2 measures nothing else. To be first here is no
#   merit: on people's votes, features of networks came out ahead of L2 and SSIM by a large margin {cite}`zhang2018unreasonable`.
# - **A construction can be wrong.** Noise and then a blur is a ladder, too, and the stronger blur may take away the stronger noise.
# - **Votes are few, and of one kind.** In the validation part of BAPPS, five people voted on a triplet of patches of 64×64 pixels. The score for one more person is a
#   little too high for that reason, and agreement may be another on larger images, on other distortions, among other people.
# - **Photographs are few.** The intervals are over the photographs that triplets were cut from; they say how other photographs of the same kind would do, and nothing about other kinds.
# - **To agree is not to be robust.** The next chapters take ranks like these and reverse them by changes that hardly anybody sees.
#
# With BAPPS on the machine (`simlib data bapps`), the same page shows agreement with people: `simlib notebooks accuracy -p data=bapps -p n=4000`. It draws from all its triplets,
# not only from those on which all voters agree.

# %% tags=["hide-input"]
provenance(
    device=where,
    data=data,
    n=n,
    seed=seed,
    labels=f"{asked}, {triplets.label_source}",
    metrics=", ".join(measured),
)
