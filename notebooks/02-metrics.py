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
# # Metrics
#
# A metric $d(x_\text{ref}, x)$ is a distance between a reference and an image: the lower, the more similar. Given a
# triplet, it prefers $x_1$ when $d(x_\text{ref}, x_0) > d(x_\text{ref}, x_1)$. This chapter shows what the metrics of
# this book measure, checks them against known values, and looks at where they disagree, before anybody attacks them.

# %% tags=["parameters"]
n = 48  # number of triplets to measure
seed = 0  # seed of the draw of triplets
metric_names = [
    "l2",
    "ssim",
    "lpips-alex",
    "lpips-squeeze",
    "lpips-vgg",
    "st-lpips-alex",
    "st-lpips-vgg",
]  # which
device = "auto"  # "auto", "cpu" or "cuda"
example_folder = ""  # folder of the LPIPS example triplet; empty looks beside the folder of the weights

# %%
import os
from pathlib import Path

import plotly.graph_objects as go
import torch
from myst_nb import glue

from simlib import metrics
from simlib.benchmark.published import EXAMPLE_TRIPLET
from simlib.benchmark.statistics import disagreements, wilson
from simlib.kernels.device import pick_device
from simlib.report.figures import COLORS, Panel, picture_grid, rate_bars, rate_matrix
from simlib.report.provenance import provenance
from simlib.report.tables import Table
from simlib.triplets import example_triplet, photos

where = pick_device(device)
available, absent = metrics.load_available(metric_names, device=where)
triplets = photos(n, seed=seed).to(device=where)
titles = [metric.spec.title for metric in available]

# %% [markdown]
# ## What each one measures

# %% tags=["hide-input"]
Table(
    ("metric", "family", "what it measures", "values", "least side", "here", "checked against"),
    tuple(
        (
            spec.title,
            spec.family,
            spec.summary,
            spec.values,
            spec.least_side,
            "yes" if spec.title in titles else "no",
            spec.verified,
        )
        for spec in map(metrics.spec_of, metric_names)
    ),
)

# %% tags=["hide-input"]
note = (
    f"{' and '.join(absent)} could not be run on this machine, for want of weights."
    if absent
    else "All could be run on this machine."
)
glue("absent_note", note, display=False)

# %% [markdown]
# {glue:text}`absent_note:s`
#
# **L2** compares pixel by pixel. **SSIM** {cite}`wang2004ssim` compares means, variances and covariances in a sliding window, and is computed here by piq {cite}`kastryulin2022piq`:
#
# $$
# \operatorname{SSIM}(x, y) = \frac{(2\mu_x\mu_y + c_1)(2\sigma_{xy} + c_2)}{(\mu_x^2 + \mu_y^2 + c_1)(\sigma_x^2 + \sigma_y^2 + c_2)},
# \qquad d = \frac{1 - \operatorname{SSIM}}{2}.
# $$
#
# **LPIPS** {cite}`zhang2018unreasonable` compares the features $\hat{y}^l$ of a classification network, scaled to unit length at each
# position, with weights $w_{lc} \ge 0$ of the channels that were fitted to human judgements:
#
# $$
# d(x, x_0) = \sum_l \frac{1}{H_l W_l} \sum_{h,w} \sum_c w_{lc} \left( \hat{y}^l_{hwc} - \hat{y}^l_{0hwc} \right)^2.
# $$
#
# **ST-LPIPS** {cite}`ghildyal2022shift` is LPIPS on a network whose sampling is anti-aliased, retrained so that a shift by a pixel or two
# matters little. Here LPIPS is the formula, computed with the weights of the packages of its authors, the reference's
# features only once, and with a gradient that is finite everywhere.

# %% [markdown]
# ## A known answer
#
# One triplet comes with the code of LPIPS, and the distances it should give are known to three digits. Where its three
# images are at hand, they are measured here.

# %%
folder = (
    Path(example_folder)
    if example_folder
    else Path(os.environ.get("SIMLIB_WEIGHTS", ".")).parent / "examples"
)
example = example_triplet(folder).to(device=where) if (folder / "ex_ref.png").exists() else None

# %% tags=["hide-input"]
if example is None:
    answer = Table(("metric", "example"), tuple((title, "images not at hand") for title in titles))
else:
    answer = Table(
        ("metric", "first image", "published", "second image", "published", "closer"),
        tuple(
            (m.spec.title, a, known[0], b, known[1], "second" if a > b else "first")
            for m in available
            for a, b in [(float(m(example.ref, example.p0)), float(m(example.ref, example.p1)))]
            for known in [EXAMPLE_TRIPLET.get(m.spec.name, (None, None))]
        ),
    )
answer

# %% [markdown]
# ## The range of values
#
# Distances of different metrics cannot be compared with each other, only ranks can. The figure shows how far apart
# their values lie on the very same images.

# %%
with torch.no_grad():
    distances = {
        m.spec.title: (m(triplets.ref, triplets.p0), m(triplets.ref, triplets.p1)) for m in available
    }

# %% mystnb={"figure": {"name": "fig-ranges", "caption": "Distances of all distorted images to their references, on a logarithmic axis."}} tags=["hide-input"]
figure = go.Figure(
    [
        go.Box(
            x=torch.cat(pair).cpu().tolist(),
            name=title,
            marker_color=color,
            boxpoints="all",
            jitter=0.4,
            marker_size=3,
        )
        for (title, pair), color in zip(distances.items(), COLORS)
    ]
)
figure.update_layout(
    xaxis={"type": "log", "title": "distance"},
    showlegend=False,
    height=90 + 52 * len(titles),
    meta={
        "alt": f"Box plots of the distances of {2 * n} images for {', '.join(titles)}, each in its own range."
    },
)
figure

# %% [markdown]
# ## Do they see what is obvious?
#
# In a ladder the same distortion was applied twice, once clearly stronger. A metric that puts the stronger one
# closer has missed something. The label is constructed, so this is a check of sanity and says nothing about agreement with people.

# %%
ranks = torch.stack([(first > second).cpu() for first, second in distances.values()])
judge = triplets.judge.cpu()
ladder = ~judge.isnan()
agreement = [wilson(int((rank[ladder] == (judge[ladder] > 0.5)).sum()), int(ladder.sum())) for rank in ranks]

# %% mystnb={"figure": {"name": "fig-ladders", "caption": "Share of ladders on which a metric finds the milder distortion closer, with 95 % intervals."}} tags=["hide-input"]
rate_bars(
    titles,
    {"ladders": agreement},
    y_title="milder one found closer",
    alt="Bars with intervals: " + "; ".join(f"{title} {rate}" for title, rate in zip(titles, agreement)),
)

# %% [markdown]
# ## Where they disagree
#
# On mixed pairs there is no obvious answer, and metrics part ways. Every disagreement below is a pair of images on which
# at least one of two widely used metrics is wrong, or on which there is no right answer.

# %%
apart = disagreements(ranks[:, ~ladder])

# %% mystnb={"figure": {"name": "fig-disagreement", "caption": "Share of mixed triplets that two metrics rank differently. Point at a cell for n and the interval."}} tags=["hide-input"]
rate_matrix(
    titles,
    apart,
    alt=f"A matrix of the share of mixed triplets that each two of {', '.join(titles)} rank differently.",
)

# %% tags=["hide-input"]
votes = ranks[:, ~ladder].float().mean(dim=0)
split = int((votes - 0.5).abs().argmin())
position = int((~ladder).nonzero().flatten()[split])
second = [title for title, rank in zip(titles, ranks) if rank[position]]
first = [title for title in titles if title not in second]
glue("first_fans", " and ".join(first) or "no metric", display=False)
glue("second_fans", " and ".join(second) or "no metric", display=False)

# %% mystnb={"figure": {"name": "fig-split", "caption": "The triplet that divides the metrics most evenly."}} tags=["hide-input"]
one, two = (text.lower().replace(", then ", "<br>") for text in triplets.distortions[position])
picture_grid(
    [
        [
            Panel(triplets.ref[position], title="reference"),
            Panel(triplets.p0[position], one, "first image"),
            Panel(triplets.p1[position], two, "second image"),
        ]
    ],
    alt="The reference and the two distorted images of the triplet on which the metrics disagree most.",
)

# %% [markdown]
# In {numref}`fig-split` the first image is closer for {glue:text}`first_fans:s`, the second for {glue:text}`second_fans:s`.
# The next chapter shows that it takes far less than another distortion to change such a rank.

# %% tags=["hide-input"]
provenance(device=where, n=n, seed=seed, metrics=", ".join(titles))
