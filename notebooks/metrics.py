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
from simlib.book.chapter import Chapter
from simlib.report.display import say, show

chapter = Chapter(globals())
triplets = chapter.triplets
chapter

# %% [markdown]
# ## What each one measures

# %%
from simlib import metrics
from simlib.report.gallery import specs_as_table

specs = metrics.specs()
specs_as_table(specs, ["metric", "family", "what it measures"])

# %% [markdown]
# **Pixels.** L1 and L2 compare value by value; PSNR is the logarithm of L2, turned round here so that it is a distance ([Wang & Bovik, 2009](cite:wang2009mean)).
#
# **Structure.** SSIM ([Wang et al., 2004](cite:wang2004ssim)) compares means, variances and covariances in a sliding window:
#
# $$
# \operatorname{SSIM}(x, y) = \frac{(2\mu_x\mu_y + c_1)(2\sigma_{xy} + c_2)}{(\mu_x^2 + \mu_y^2 + c_1)(\sigma_x^2 + \sigma_y^2 + c_2)},
# \qquad d = \frac{1 - \operatorname{SSIM}}{2}.
# $$
#
# Others came after it. Some look at several scales: MS-SSIM ([Wang et al., 2003](cite:wang2003multiscale)). Some weigh places by their information:
# IW-SSIM ([Wang & Li, 2011](cite:wang2011information)) and VIF ([Sheikh & Bovik, 2006](cite:sheikh2006image)); or by what draws the eye:
# VSI ([Zhang et al., 2014](cite:zhang2014vsi)) and SR-SIM ([Zhang & Li, 2012](cite:zhang2012srsim)). Some compare phase and gradients:
# FSIM ([Zhang et al., 2011](cite:zhang2011fsim)), GMSD ([Xue et al., 2014](cite:xue2014gmsd); [Zhang et al., 2017](cite:zhang2017gmsd))
# and MDSI ([Nafchi et al., 2016](cite:nafchi2016mdsi)); or coefficients of a transform: DSS ([Balanov et al., 2015](cite:balanov2015dss)),
# HaarPSI ([Reisenhofer et al., 2018](cite:reisenhofer2018haarpsi)) and NLPD ([Laparra et al., 2016](cite:laparra2016perceptual)).
# All but NLPD are computed by piq ([Kastryulin et al., 2022](cite:kastryulin2022piq)), whose functions are wrapped so that gradients are finite
# everywhere, also on flat and identical images.
#
# **Learned.** LPIPS ([Zhang et al., 2018](cite:zhang2018unreasonable)) compares the features $\hat{y}^l$ of a classification network, scaled to unit length at each
# position, with weights $w_{lc} \ge 0$ of the channels that were fitted to human judgements:
#
# $$
# d(x, x_0) = \sum_l \frac{1}{H_l W_l} \sum_{h,w} \sum_c w_{lc} \left( \hat{y}^l_{hwc} - \hat{y}^l_{0hwc} \right)^2.
# $$
#
# With all weights one, it is the baseline that its authors start from, called *features* here.
# ST-LPIPS ([Ghildyal & Liu, 2022](cite:ghildyal2022shift)) is LPIPS on a network whose sampling is anti-aliased, retrained so that a shift by a pixel or two
# matters little. DISTS ([Ding et al., 2022](cite:ding2022image)) compares means and covariances of features,
# content and style ([Gatys et al., 2016](cite:gatys2016image)) compare features and how they occur together;
# PieAPP ([Prashnani et al., 2018](cite:prashnani2018pieapp)) learns the error itself, and DreamSim ([Fu et al., 2023](cite:fu2023dreamsim)) compares whole images.

# %% [markdown]
# ## What each one needs
#
# The least side is that of the smallest image it accepts, in pixels.

# %%
specs_as_table(specs, ["metric", "least side", "gradient", "weights", "here now"])

# %% tags=["hide-input"]
absent = [spec.title for spec in specs if metrics.why_absent(spec.name)]
say(f"Not on the machine that made this page: {', '.join(absent)}." if absent else "")

# %%
specs_as_table(specs, ["metric", "package", "licence of package and weights"])

# %% [markdown]
# The next table tells what a value may be, and against what the values were checked. Where the published weights could not be run, random ones
# were used to check that the parts of the metric are put together correctly.

# %%
specs_as_table(specs, ["metric", "values", "checked against"])

# %% [markdown]
# [How to run this book](../book/how-to-run.md) tells how to fetch weights, and [How to add a metric](../book/how-to-add-a-metric.md) how to bring a metric of your own.
# `simlib metrics` prints this gallery in a terminal, `simlib metrics --json` for programs.

# %% [markdown]
# ## What each one costs
#
# Milliseconds for one pair of images of 64×64 pixels (or of the least side, where that is larger) on the machine that made this page. An attack needs the gradient at every step. The time grows with the area: a photograph of a megapixel takes some two hundred times as long, minutes with the dearest metrics; the column *large* of `simlib metrics` tells it.

# %%
from simlib.metrics.timing import measure_time
from simlib.report.gallery import cost_dots

costs = {metric.spec.title: measure_time(metric, chapter.device) for metric in chapter.metrics}
show(
    cost_dots(costs),
    "Milliseconds for a pair of images, on a logarithmic axis: the distance alone, and with its gradient.",
)

# %% [markdown]
# ## A known answer
#
# One triplet comes with the code of LPIPS, and some distances it should give are published to three digits. Where its three
# images are at hand, they are measured here: *first* and *second* are the distances of its two images, *closer* is the image that the metric prefers.

# %%
from simlib.report.gallery import example_as_table, lpips_example

known = lpips_example(example_folder)
elsewhere = "Its images are not at hand on the machine that made this page."
example_as_table(chapter.metrics, known.to(device=chapter.device)) if known else say(elsewhere)

# %% [markdown]
# ## The range of values
#
# Distances of different metrics cannot be compared with each other, only ranks can. The figure shows how far apart
# their values lie on the very same images.

# %%
from simlib.benchmark.agreement import distances
from simlib.report.gallery import fitting, range_boxes

fit, too_large = fitting(chapter.metrics, triplets)
pairs = {each.spec.title: distances(each, triplets) for each in chapter.progress(fit, "measuring")}
show(
    range_boxes(pairs),
    "Distances of all distorted images to their references, on a logarithmic axis: the median, the middle "
    "half and the whole range of what is above zero.",
)
say(
    f"Left out, for these images are too small: {', '.join(too_large)}." if too_large else "",
    chapter.left_out,
)

# %% [markdown]
# ## Where they disagree
#
# Every disagreement is a pair of images on which at least one of two metrics is wrong, or on which there is no right answer. Metrics that
# rank alike stand beside each other.

# %%
import torch

from simlib.benchmark.statistics import disagreements
from simlib.report.gallery import disagreement_matrix

titles = list(pairs)
ranks = torch.stack([(first > second).cpu() for first, second in pairs.values()])
show(
    disagreement_matrix(titles, disagreements(ranks, triplets.photographs)),
    "Share of triplets that two metrics rank differently; columns stand in the order of the rows. "
    "Point at a cell for n and the interval.",
)

# %%
from simlib.report.pictures import picture_grid, triplet_panels

position = int((ranks.float().mean(dim=0) - 0.5).abs().argmin())
alt = "The reference and the two distorted images of the triplet on which the metrics disagree most."
show(
    picture_grid([triplet_panels(triplets, position)], alt=alt),
    "The triplet that divides the metrics most evenly.",
)

# %%
second = ranks[:, position].tolist()
fans = {way: [title for title, rank in zip(titles, second) if rank is way] for way in (False, True)}
first_fans, second_fans = (", ".join(names) or "no metric" for names in fans.values())
say(f"The first image is closer for {first_fans}; the second for {second_fans}.")

# %% [markdown]
# The table at the top of this page helps to find the reason. Many structural metrics look at luminance alone, for example, so a change
# of colour hardly moves them.
# The attacks of this book show that it takes far less than another distortion to change such a rank.
#
# Whether a metric agrees with what is known of the images, and with people, is the question of [the chapter on accuracy](accuracy.ipynb).

# %% [markdown]
# ## Metrics made of metrics
#
# Two wrappers go around any of them. `transformed:NAME` averages over random changes that both images undergo alike, in the manner of E-LPIPS
# ([Kettunen et al., 2019](cite:kettunen2019elpips)): small offsets, flips, other orders of the channels, darker colours, features dropped. `smoothed:NAME` is the median over noise
# added to the images. Both are drawn once, from a seed, so a value is the same every time, and its gradient is the one an attack on the average needs.

# %%
base = next((each for each in fit if each.spec.name == "lpips-alex"), fit[0])
wrappers = [f"{prefix}:{base.spec.name}" for prefix in ("transformed", "smoothed")]
wrapped = [base, *(metrics.load(name, device=chapter.device) for name in wrappers)]
pairs = [distances(each, triplets) for each in wrapped]
plain, *_ = chosen = [first > second for first, second in pairs]

# %%
from simlib.report.tables import Table

Table(
    ("metric", "ranks as the plain one", "milliseconds a pair, with gradient"),
    tuple(
        (each.spec.title, chapter.rate(ranked == plain), measure_time(each, chapter.device).both)
        for each, ranked in zip(wrapped, chosen)
    ),
)

# %% tags=["hide-input"]
chapter.provenance(metrics=", ".join(titles))
