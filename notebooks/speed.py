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
# # How fast the attacks are
#
# An attack that takes a second a triplet takes hours for a benchmark, and hours again for every metric. Published code attacks one triplet at a time, and looks at the
# reference anew at every step, though it never changes. Here whole batches are attacked at once, the reference is looked at once,
# and a triplet that has flipped leaves its batch and costs nothing more. This page shows what that is worth, as `make bench`
# measured it; the page itself measures nothing.

# %% tags=["parameters"]
measured = "bench.json"  # the figures to show, seen from notebooks/; make bench writes "../_build/bench.json"

# %%
import json

import plotly.graph_objects as go
from myst_nb import glue

from simlib.checkout import repository
from simlib.report.provenance import provenance
from simlib.report.style import COLORS
from simlib.report.tables import Table

bench = json.loads((repository() / "notebooks" / measured).read_text())

# %% tags=["hide-input"]
pgd, stadv, one_pixel, scaling = (bench[name] for name in ("pgd", "stadv", "one_pixel", "scaling"))
glue("metric", pgd["metric"], display=False)
glue("device", pgd["device"], display=False)
glue("threads", str(pgd["threads"]), display=False)
glue("torch", bench["versions"]["torch"], display=False)

# %% [markdown]
# Measured on **{glue:text}`device:s`** with {glue:text}`threads:s` threads and torch {glue:text}`torch:s`, on
# {glue:text}`metric:s` and images of 64 by 64 pixels. The side that attacks one triplet at a time
# gets one thread or all of them, whichever is faster.
#
# ## Batched against one at a time
#
# Both sides run the same attack with the same settings: PGD as released, 30 steps; stAdv as released, with SciPy's L-BFGS-B on the other side;
# the one-pixel attack with SciPy's differential evolution on the other side, and as many evaluations on both. Both sides are
# timed in turn within one run, after a run to warm up, and the ratio is the median of several; the first column is the second times that ratio.

# %% tags=["hide-input"]
rows = []
for name, figures in (("PGD", pgd), ("stAdv", stadv), ("One-pixel", one_pixel)):
    batched, ratio = figures["milliseconds_per_triplet"], figures["ratio"]
    spread = f"{min(figures['ratios']):.1f} to {max(figures['ratios']):.1f}"
    alone = figures["threads_one_by_one"]
    rows.append((name, round(batched * ratio), f"{batched:.1f}", f"{ratio:.1f}", spread, alone))
Table(
    (
        "attack",
        "one at a time, ms a triplet",
        "batched, ms a triplet",
        "times faster",
        "least to most",
        "threads of the slow side",
    ),
    tuple(rows),
)

# %% tags=["hide-input"]
for key, count, of in (
    ("same", round(pgd["same_flips"] * pgd["triplets"]), pgd["triplets"]),
    ("stadv_flips", stadv["flipped_of_those"], stadv["triplets_one_by_one"]),
    ("scipy_flips", stadv["flipped_one_by_one"], stadv["triplets_one_by_one"]),
):
    glue(key, f"{count:,} of {of:,} triplets", display=False)
glue("overhead", f"{pgd['overhead']:.2f}", display=False)
glue("own_overhead", f"{pgd['overhead_over_own_network']:.2f}", display=False)
glue("evaluations", str(one_pixel["evaluations"]), display=False)

# %% [markdown]
# Do both sides give the same answers? On the same triplets, PGD agrees with the released procedure, flipped or not, on
# {glue:text}`same:s`. stAdv flips {glue:text}`stadv_flips:s`, SciPy's optimiser {glue:text}`scipy_flips:s`. One-pixel
# spends {glue:text}`evaluations:s` evaluations a triplet on either side.
#
# How much is left to gain? A step of PGD takes {glue:text}`overhead:s` times as long as the bare published network takes forward
# and backward, and {glue:text}`own_overhead:s` times as long as the same network with the faster first layer that is used here.
#
# ## Time and memory as the set grows

# %%
numbers = [int(n) for n in scaling["milliseconds_per_triplet"]]
times = list(scaling["milliseconds_per_triplet"].values())
memory = list(scaling["working_megabytes"].values())

# %% mystnb={"figure": {"name": "fig-scaling", "caption": "Time for each triplet, PGD with a fixed number of steps, as the number of triplets grows."}} tags=["hide-input"]
figure = go.Figure(
    go.Scatter(x=numbers, y=times, mode="lines+markers", marker={"size": 9, "color": COLORS[0]}),
    layout={
        "xaxis": {"title": "triplets", "type": "log", "tickvals": numbers},
        "yaxis": {"title": "milliseconds a triplet", "rangemode": "tozero"},
        "height": 340,
        "meta": {
            "alt": "Milliseconds a triplet: "
            + "; ".join(f"{n} triplets {time:.2f}" for n, time in zip(numbers, times))
        },
    },
)
figure

# %% tags=["hide-input"]
glue("growth", f"{scaling['growth']:.2f}", display=False)
glue("batch", str(scaling["batch"]), display=False)
glue("least", str(numbers[0]), display=False)
glue("most", str(numbers[-1]), display=False)
Table(
    ("triplets", "working memory, MiB"),
    tuple((n, None if held is None else round(held)) for n, held in zip(numbers, memory)),
)

# %% [markdown]
# From {glue:text}`least:s` to {glue:text}`most:s` triplets the time for each changes by a factor of {glue:text}`growth:s`. Working memory is the most that is held beyond
# the triplets and the result; by design it depends on the batch, here {glue:text}`batch:s`, and not on the number of triplets. Where
# a batch does not fit, it is halved, and the attack goes on.

# %% tags=["hide-input"]
provenance(
    device="cpu",
    n=pgd["triplets"],
    seed=0,
    metric=pgd["metric"],
    measured_on=f"{pgd['device']}, {pgd['threads']} threads",
    measured_with=", ".join(f"{name} {number}" for name, number in bench["versions"].items()),
    measured_code=bench["code"],
)
