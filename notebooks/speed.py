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
# # How fast the attacks are
#
# An attack that takes a second a triplet takes hours for a benchmark, and hours again for every metric. Published code attacks one triplet at a time, and looks at the
# reference anew at every step, though the reference never changes. Here whole batches are attacked at once, the reference is looked at once,
# and a triplet that has flipped leaves its batch and costs nothing more. This page shows what that is worth, as `make bench`
# measured it. The page itself measures nothing.

# %% tags=["parameters"]
measured = "bench.json"  # the figures to show, seen from notebooks/; make bench writes "../_build/bench.json"

# %%
from simlib.book.chapter import Chapter
from simlib.report.display import say, show
from simlib.report.speed import read_bench

chapter = Chapter(globals())
bench = read_bench(measured)
pgd, stadv, one_pixel, scaling = (bench[name] for name in ("pgd", "stadv", "one_pixel", "scaling"))

# %% tags=["hide-input"]
from simlib.report.speed import older_code

say(
    f"Measured on **{pgd['device']}** with {pgd['threads']} threads and torch {bench['versions']['torch']},",
    f"on {pgd['metric']} and images of 64 by 64 pixels.",
    older_code(bench, "pgd", "stadv", "one_pixel", "scaling"),
)

# %% [markdown]
# ## Batched against one at a time
#
# Both sides run the same attack with the same settings: PGD as released, 30 steps; stAdv as released, with SciPy's L-BFGS-B on the other side;
# the one-pixel attack with SciPy's differential evolution on the other side, and as many evaluations on both.
#
# Both sides are timed in turn within one run, after a run to warm up. The column "times faster" is the median of the ratios of several rounds,
# and the next one gives the least and the greatest of them. The time of one at a time is the batched time multiplied by that median. The side that attacks one triplet at a time gets
# one thread or all of them, whichever is faster.

# %%
from simlib.report.speed import ratios_as_table

ratios_as_table(bench)

# %% [markdown]
# Do both sides give the same answers?

# %% tags=["hide-input"]
few = stadv["triplets_one_by_one"]
say(
    "On the same triplets, PGD agrees with the released procedure, flipped or not, on",
    f"{round(pgd['same_flips'] * pgd['triplets']):,} of {pgd['triplets']:,} triplets.",
    f"stAdv flips {stadv['flipped_of_those']} of {few} triplets,",
    f"SciPy's optimiser {stadv['flipped_one_by_one']} of {few}.",
    f"One-pixel spends {one_pixel['evaluations']} evaluations a triplet on either side.",
)

# %% [markdown]
# How much is left to gain? The yardstick is the network alone, run forward and backward once.

# %% tags=["hide-input"]
say(
    f"A step of PGD takes {pgd['overhead']:.2f} times as long as the bare published network takes forward and",
    f"backward, and {pgd['overhead_over_own_network']:.2f} times as long as the same network with the faster",
    "first layer that is used here.",
)

# %% [markdown]
# ## Time and memory as the set grows

# %%
from simlib.report.speed import growth_figure

show(
    growth_figure(scaling),
    "Time for each triplet, PGD with a fixed number of steps, as the number of triplets grows.",
)

# %%
from simlib.report.tables import Table

memory = {int(n): held for n, held in scaling["working_megabytes"].items()}
Table(
    ("triplets", "working memory, MiB"),
    tuple((n, None if held is None else round(held)) for n, held in memory.items()),
)

# %% tags=["hide-input"]
say(
    f"From {min(memory):,} to {max(memory):,} triplets the time for each changes by a factor of",
    f"{scaling['growth']:.2f}. Working memory is the most that is held beyond the triplets and the result.",
    f"Most of it is the batch, here {scaling['batch']} triplets: it grew by a factor of",
    f"{max(memory.values()) / min(memory.values()):.2f} while the set grew by one of {max(memory) / min(memory):.0f}.",
    "Where a batch does not fit, it is halved, and the attack goes on.",
)

# %% tags=["hide-input"]
chapter.provenance(
    triplets=pgd["triplets"],
    metric=pgd["metric"],
    measured_on=f"{pgd['device']}, {pgd['threads']} threads",
    measured_with=", ".join(f"{name} {number}" for name, number in bench["versions"].items()),
    measured_code=bench["code"],
)
