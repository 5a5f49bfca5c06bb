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
# triplet, it prefers $x_1$ when $d(x_\text{ref}, x_0) > d(x_\text{ref}, x_1)$. This chapter is the gallery of the metrics of
# this book: what each one measures, what it needs, what it costs, and where they disagree, before anybody attacks them.

# %% tags=["parameters"]
data = "photos"  # "photos", "bapps", or a folder or CSV file of your own
n = 48  # number of triplets to measure
seed = 0  # seed of the draw of triplets
metric_names = []  # which to measure; empty for all
heavy_weights = ["vgg16", "pieapp", "dreamsim"]  # not downloaded for this chapter; used where they are
device = "auto"  # "auto", "cpu" or "cuda"
example_folder = ""  # folder of the LPIPS example triplet; empty looks beside the folder of the weights

# %%
import os
from pathlib import Path

import plotly.graph_objects as go
import torch
from myst_nb import glue
from scipy.cluster.hierarchy import leaves_list, linkage
from scipy.spatial.distance import squareform
from tqdm import tqdm

from simlib import metrics
from simlib.benchmark.agreement import distances
from simlib.benchmark.statistics import disagreements, rate
from simlib.kernels.device import pick_device
from simlib.metrics.timing import measure_time
from simlib.report.figures import Panel, picture_grid, rate_matrix
from simlib.report.provenance import provenance
from simlib.report.published import EXAMPLE_TRIPLET
from simlib.report.style import COLORS
from simlib.report.tables import Table
from simlib.triplets import draw, example_triplet

where = pick_device(device)
specs = metrics.specs()
chosen = [
    name
    for name in metric_names or metrics.names()
    if not metrics.why_absent(name) or not set(metrics.spec_of(name).weights) & set(heavy_weights)
]
available, _ = metrics.load_available(chosen, device=where)
triplets = draw(data, n, seed=seed).to(device=where)
photographs = triplets.photographs

# %% [markdown]
# ## What each one measures

# %% tags=["hide-input"]
Table(("metric", "family", "what it measures"), tuple((s.title, s.family, s.summary) for s in specs))

# %% [markdown]
# **Pixels.** L1 and L2 compare value by value; PSNR is the logarithm of L2, turned round here so that it is a distance {cite}`wang2009mean`.
#
# **Structure.** SSIM {cite}`wang2004ssim` compares means, variances and covariances in a sliding window:
#
# $$
# \operatorname{SSIM}(x, y) = \frac{(2\mu_x\mu_y + c_1)(2\sigma_{xy} + c_2)}{(\mu_x^2 + \mu_y^2 + c_1)(\sigma_x^2 + \sigma_y^2 + c_2)},
# \qquad d = \frac{1 - \operatorname{SSIM}}{2}.
# $$
#
# Its descendants look at several scales (MS-SSIM {cite}`wang2003multiscale`), weigh places by their information (IW-SSIM {cite}`wang2011information`, VIF
# {cite}`sheikh2006image`) or by what draws the eye (VSI {cite}`zhang2014vsi`, SR-SIM {cite}`zhang2012srsim`), compare phase and gradients (FSIM {cite}`zhang2011fsim`, GMSD
# {cite}`xue2014gmsd,zhang2017gmsd`, MDSI {cite}`nafchi2016mdsi`), or coefficients of a transform (DSS {cite}`balanov2015dss`, HaarPSI {cite}`reisenhofer2018haarpsi`, NLPD {cite}`laparra2016perceptual`). All but NLPD are computed by piq
# {cite}`kastryulin2022piq`, whose functions are wrapped so that gradients are finite everywhere, also on flat and identical images.
#
# **Learned.** LPIPS {cite}`zhang2018unreasonable` compares the features $\hat{y}^l$ of a classification network, scaled to unit length at each
# position, with weights $w_{lc} \ge 0$ of the channels that were fitted to human judgements:
#
# $$
# d(x, x_0) = \sum_l \frac{1}{H_l W_l} \sum_{h,w} \sum_c w_{lc} \left( \hat{y}^l_{hwc} - \hat{y}^l_{0hwc} \right)^2.
# $$
#
# With all weights one, it is the baseline that its authors start from, called *features* here.
# ST-LPIPS {cite}`ghildyal2022shift` is LPIPS on a network whose sampling is anti-aliased, retrained so that a shift by a pixel or two
# matters little. DISTS {cite}`ding2022image` compares means and covariances of features,
# content and style {cite}`gatys2016image` features and how they occur together; PieAPP {cite}`prashnani2018pieapp` learns the error itself, and DreamSim {cite}`fu2023dreamsim` compares whole images.

# %% [markdown]
# ## What each one needs
#
# The least side is that of the smallest image it accepts, in pixels. {glue:text}`absent_note:s`

# %% tags=["hide-input"]
absent = [s.title for s in specs if metrics.why_absent(s.name)]
note = (
    f"Not on the machine that made this page: {', '.join(absent)}."
    if absent
    else "All could run on this machine."
)
glue("absent_note", note, display=False)
Table(
    ("metric", "least side", "gradient", "weights", "here now"),
    tuple(
        (
            s.title,
            s.least_side,
            "yes" if s.differentiable else "no",
            ", ".join(s.weights) or "none",
            "no" if s.title in absent else "yes",
        )
        for s in specs
    ),
)

# %% tags=["hide-input"]
Table(
    ("metric", "package", "licence of package and weights"),
    tuple((s.title, s.library, s.licence) for s in specs),
)

# %% [markdown]
# What a value may be, and against what values were checked. Where published weights could not be run, the wiring was, with random ones.

# %% tags=["hide-input"]
Table(("metric", "values", "checked against"), tuple((s.title, s.values, s.verified) for s in specs))

# %% [markdown]
# {doc}`../book/how-to-run` tells how to fetch weights, and {doc}`../book/how-to-add-a-metric` how to bring a metric of your own.
# `simlib metrics` prints this gallery in a terminal, `simlib metrics --json` for programs.

# %% [markdown]
# ## What each one costs
#
# Milliseconds for one pair of images of 64×64 pixels (or of the least side, where that is larger) on the machine that made this page. An attack needs the gradient at every step.

# %%
costs = {metric.spec.title: measure_time(metric, where) for metric in available}

# %% mystnb={"figure": {"name": "fig-costs", "caption": "Milliseconds for a pair of images, on a logarithmic axis: the distance alone, and with its gradient."}} tags=["hide-input"]
by_cost = sorted(costs, key=lambda title: costs[title].both or costs[title].forward)
figure = go.Figure(
    [
        go.Scatter(
            x=values,
            y=by_cost,
            name=name,
            mode="markers",
            marker={"color": color, "size": 9, "symbol": symbol},
        )
        for name, color, symbol, values in (
            ("distance", COLORS[0], "circle-open", [costs[title].forward for title in by_cost]),
            ("with gradient", COLORS[1], "circle", [costs[title].both for title in by_cost]),
        )
    ]
)
figure.update_layout(
    xaxis={"type": "log", "title": "milliseconds a pair"},
    yaxis={"automargin": True},
    height=120 + 22 * len(costs),
    meta={"alt": f"Dots for {len(costs)} metrics; {by_cost[0]} is the cheapest, {by_cost[-1]} the dearest."},
)
figure

# %% [markdown]
# ## A known answer
#
# One triplet comes with the code of LPIPS, and some distances it should give are published to three digits. Where its three
# images are at hand, they are measured here.

# %%
folder = (
    Path(example_folder)
    if example_folder
    else Path(os.environ.get("SIMLIB_WEIGHTS", ".")).parent / "examples"
)
example = example_triplet(folder).to(device=where) if (folder / "ex_ref.png").exists() else None

# %% tags=["hide-input"]
small_enough = [m for m in available if m.spec.least_side <= triplets.ref.shape[-1]]
if example is None:
    answer = Table(("example triplet",), (("its images are not at hand",),))
else:
    answer = Table(
        ("metric", "first", "published", "second", "published", "closer"),
        tuple(
            (m.spec.title, a, known[0], b, known[1], "second" if a > b else "first")
            for m in available
            if m.spec.least_side <= example.ref.shape[-1]
            for a, b in [(float(m(example.ref, example.p0)), float(m(example.ref, example.p1)))]
            for known in [EXAMPLE_TRIPLET.get(m.spec.name, (None, None))]
        ),
    )
answer

# %% [markdown]
# ## The range of values
#
# Distances of different metrics cannot be compared with each other, only ranks can. The figure shows how far apart
# their values lie on the very same images. {glue:text}`left_out:s`

# %%
measured = {m.spec.title: distances(m, triplets) for m in tqdm(small_enough, delay=2, leave=False)}
titles = list(measured)

# %% tags=["hide-input"]
too_large = [m.spec.title for m in available if m not in small_enough]
told = f"Left out, for these images are too small: {', '.join(too_large)}." if too_large else ""
glue("left_out", told or "No metric that is here was left out.", display=False)

# %% mystnb={"figure": {"name": "fig-ranges", "caption": "Distances of all distorted images to their references, on a logarithmic axis: the median, the middle half and the whole range of what is above zero."}} tags=["hide-input"]
figure = go.Figure(
    [
        go.Box(
            x=torch.cat(pair).clamp_min(0).cpu().tolist(),
            name=title,
            marker_color=COLORS[0],
            boxpoints=False,
            line_width=1.5,
        )
        for title, pair in measured.items()
    ]
)
figure.update_layout(
    xaxis={"type": "log", "title": "distance"},
    yaxis={"automargin": True, "autorange": "reversed"},
    showlegend=False,
    height=120 + 26 * len(titles),
    meta={
        "alt": f"Box plots of the distances of {2 * n} images for {', '.join(titles)}, each in its own range."
    },
)
figure

# %% [markdown]
# ## Where they disagree
#
# Every disagreement is a pair of images on which at least one of two metrics is wrong, or on which there is no right answer. Metrics that
# rank alike stand beside each other.

# %%
ranks = torch.stack([(first > second).cpu() for first, second in measured.values()])
apart = disagreements(ranks, photographs)

# %% tags=["hide-input"]
shares = [[0.0 if cell is None else cell.value for cell in row] for row in apart]
order = (
    leaves_list(linkage(squareform(shares, checks=False), "average"))
    if len(titles) > 2
    else range(len(titles))
)
ordered = [[apart[i][j] for j in order] for i in order]

# %% mystnb={"figure": {"name": "fig-disagreement", "caption": "Share of triplets that two metrics rank differently; columns stand in the order of the rows. Point at a cell for n and the interval."}} tags=["hide-input"]
rate_matrix(
    [titles[i] for i in order],
    ordered,
    alt=f"A matrix of the share of triplets that each two of {', '.join(titles)} rank differently.",
).update_xaxes(showticklabels=False)

# %% [markdown]
# Whether a metric agrees with what is known of the images, and with people, is the question of {doc}`accuracy`.

# %% tags=["hide-input"]
votes = ranks.float().mean(dim=0)
position = int((votes - 0.5).abs().argmin())
second = [title for title, rank in zip(titles, ranks) if rank[position]]
first = [title for title in titles if title not in second]
glue("first_fans", ", ".join(first) or "no metric", display=False)
glue("second_fans", ", ".join(second) or "no metric", display=False)

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
# In {numref}`fig-split` the first image is closer for {glue:text}`first_fans:s`; the second for {glue:text}`second_fans:s`.
# The attacks of this book show that it takes far less than another distortion to change such a rank.

# %% [markdown]
# ## Metrics made of metrics
#
# Two wrappers go around any of them. `transformed:NAME` averages over random changes that both images undergo alike, in the manner of E-LPIPS
# {cite}`kettunen2019elpips`: small offsets, flips, other orders of the channels, darker colours, features dropped. `smoothed:NAME` is the median over noise
# added to the images. Both are drawn once, from a seed, so a value is the same every time, and its gradient is the one an attack on the average needs.

# %%
base = next((m for m in small_enough if m.spec.name == "lpips-alex"), small_enough[0])
wrapped = [
    base,
    *(metrics.load(f"{prefix}:{base.spec.name}", device=where) for prefix in ("transformed", "smoothed")),
]
chosen_first = {}
for m in wrapped:
    first, second = distances(m, triplets)
    chosen_first[m.spec.title] = first > second
prices = {m.spec.title: measure_time(m, where) for m in wrapped}

# %% tags=["hide-input"]
Table(
    ("metric", "ranks as the plain one", "milliseconds a pair, with gradient"),
    tuple(
        (title, rate(ranked == chosen_first[base.spec.title], photographs), prices[title].both)
        for title, ranked in chosen_first.items()
    ),
)

# %% tags=["hide-input"]
provenance(device=where, data=data, n=n, seed=seed, metrics=", ".join(titles))
