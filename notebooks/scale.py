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
# # What a large benchmark costs
#
# The reference run of this book attacks as many triplets as one machine does while one waits. Larger sets would tell what rates from a few photographs cannot: the
# paper attacked all clear winners of a split of BAPPS, and nothing but time stands in the way of many more. This page computes that time from what a finished run has left
# in its store. The page itself measures nothing.

# %% tags=["parameters"]
store = "reference"  # folder of results whose times are read; "reference" for those that came with the book
plan = "photos"  # which plan of the store, where it holds several
sizes = [100_000, 10_000_000]  # numbers of triplets to compute for
cores = [4, 64, 1024]  # numbers of cores, likewise
measured = "bench.json"  # figures of make bench, seen from notebooks/, or "../_build/bench.json"

# %%
from simlib.book.benchmark_chapter import BenchmarkChapter
from simlib.report.display import say, show

chapter = BenchmarkChapter(globals())
results = chapter.results
chapter

# %% [markdown]
# ## What was measured
#
# The rows of this run say how long each attack took, and its files how long each shard took in all. What a shard took beyond its attacks is judging: every metric
# looks at every image, and rows are put together. Costs are given in core seconds, which are seconds multiplied by threads; clusters are paid in this unit.

# %%
from simlib.report.scale import costs, stored_bytes

spent = costs(results)
threads = int(results.record.provenance["threads"])
n_triplets = sum(size for _, size in results.record.shards)
each = sum(cost.seconds for cost in spent) * threads
say(f"In all, a triplet took **{each:.1f} core seconds**, the mean of {n_triplets:,} triplets.")

# %% [markdown]
# The table tells core seconds (core s) for a triplet, and core hours (core h) for as many triplets as stand over the column.

# %%
from simlib.report.scale import costs_as_table

costs_as_table(spent, threads, sizes)

# %% [markdown]
# The plan can be cut along these lines: parts are computed and stored apart, so that a run may begin with the cheap ones, and a later plan that asks for more computes only what is new. By attack:

# %%
from simlib.report.benchmark_figures import cost_bars

show(
    cost_bars(spent, threads=threads),
    "Core seconds for a triplet, by the metric that is attacked and by attack. Point at a bar for its value.",
)

# %% [markdown]
# ## On how many cores
#
# Shards depend on nothing but their own triplets, so that they can be computed anywhere and in any order. If nothing is lost on the way, a run takes the core hours above divided by the cores.
# The table gives that time in days, and how large the store becomes, without images.

# %%
from simlib.report.tables import Table

stored = stored_bytes(results) / n_triplets
Table(
    ("triplets", *(f"days on {count:,} cores" for count in cores), "store, GB"),
    tuple(
        (f"{size:,}", *(each * size / 86_400 / count for count in cores), stored * size / 1e9)
        for size in sizes
    ),
)

# %% tags=["hide-input"]
say(f"The store grows by {stored / 1000:.1f} kB a triplet, without images.")

# %% [markdown]
# What is lost on the way can be measured on one machine:

# %%
from simlib.report.speed import losses_as_table, older_code, read_bench

bench = read_bench(measured)
say(older_code(bench, "benchmark"))
losses_as_table(bench.get("benchmark", {}))

# %% [markdown]
# [How to run a benchmark, small and large](../book/how-to-scale.md) explains how to start such a run on one machine, on several and under Slurm.
#
# ## What this cannot say
#
# - **Seconds are by the clock.** Other work on the same cores makes them longer. The reference run had one process on each of its two cores, and no other work of ours beside it; to know what a run costs on another machine, run the plan there on some triplets, and give its store to this page.
# - **It is a rule of three.** Time for each triplet is taken to stay as it was. That holds as long as every worker has its cores to itself; shared memory bandwidth, a slow disk or a busy head node do not show here.
# - **Other triplets, other times.** Attacks that stop at a flip are fast where flips are easy. Larger images cost about as much more as they have more pixels.
# - **Nothing about graphics processors**, which do the same work in a fraction of the time and are paid by another unit. To know, run the plan on one shard there: the bar of `simlib run` shows its rate, and this page reads its store.
# - **More triplets do not mend a poor sample.** Any number of patches of a few photographs is still these few photographs.

# %% tags=["hide-input"]
losses = bench.get("benchmark", {})
chapter.provenance(
    losses_measured_on=f"{losses.get('device', 'nothing yet')}, {losses.get('threads', '?')} threads"
)
