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
# # What a large benchmark costs
#
# The reference run of this book attacks as many triplets as one machine does while one waits. Larger sets would tell what rates from a few photographs cannot: the
# paper attacked all clear winners of a split of BAPPS, and nothing but time stands in the way of many more. This page computes that time from what a finished run has left
# in its store. It measures nothing itself.

# %% tags=["parameters"]
store = "reference"  # folder of results whose times are read; "reference" for those that came with the book
plan = "photos"  # which plan of the store, where it holds several
sizes = [100_000, 10_000_000]  # numbers of triplets to compute for
cores = [4, 64, 1024]  # numbers of cores, likewise
measured = "bench.json"  # figures of make bench, seen from notebooks/, or "../_build/bench.json"

# %%
import json

from myst_nb import glue

from simlib.checkout import repository
from simlib.report.benchmark import named
from simlib.report.benchmark_figures import cost_bars
from simlib.report.provenance import provenance
from simlib.report.results import results_for
from simlib.report.scale import costs, stored_bytes
from simlib.report.tables import Table

# %%
results = results_for(store, plan, n=0, data="", device="")
threads = int(results.record.provenance["threads"])
spent = costs(results)
bench = json.loads((repository() / "notebooks" / measured).read_text()).get("benchmark", {})

# %% tags=["hide-input"]
n_triplets = sum(size for _, size in results.record.shards)
each = sum(cost.seconds for cost in spent) * threads
size_each = stored_bytes(results) / n_triplets
glue("scale_plan", results.record.plan.name, display=False)
glue("scale_n", n_triplets, display=False)
glue("scale_device", results.record.provenance["device"], display=False)
glue("scale_threads", f"{threads} thread{'' if threads == 1 else 's'}", display=False)
glue("scale_each", f"{each:.1f}", display=False)
glue("scale_metrics", len({cost.metric for cost in spent if cost.metric}), display=False)
glue("scale_bytes", f"{size_each / 1000:.1f}", display=False)

# %% [markdown]
# ## What was measured
#
# The run of the plan *{glue:text}`scale_plan:s`* on {glue:text}`scale_n:,d` triplets, on **{glue:text}`scale_device:s`** with {glue:text}`scale_threads:s`. Its rows say how long each attack took, and
# its files how long each shard took in all. What a shard took beyond its attacks is judging: every metric looks at every image, and rows are put together. Costs are given
# in core seconds, seconds multiplied by threads, which is the unit that clusters are paid in. A triplet took {glue:text}`scale_each:s` of them in all. The table tells core seconds for a triplet (core s), and core hours for as many as stand over the column.


# %% tags=["hide-input"]
def name_of(cost):
    if not cost.metric:
        return "judging, and all else"
    verb = "white-box" if cost.part == "white-box" else "images for transfer"
    return f"{verb}, {named(cost.metric).title}"


parts = {}
for cost in spent:
    parts[name_of(cost)] = parts.get(name_of(cost), 0.0) + cost.seconds * threads
parts["all"] = sum(parts.values())
Table(
    (
        "part of the plan",
        "core s",
        *(f"core h, {size:,}" for size in sizes),
    ),
    tuple(
        (
            name,
            seconds,
            *(round(seconds * size / 3600) for size in sizes),
        )
        for name, seconds in parts.items()
    ),
)

# %% [markdown]
# The plan can be cut along these lines: parts are computed and stored apart, so that a run may begin with the cheap ones, and a later plan that asks for more computes only what is new. By attack:

# %% mystnb={"figure": {"name": "fig-scale-cost", "caption": "Core seconds for a triplet, by the metric that is attacked and by attack. Point at a bar for its value."}} tags=["hide-input"]
attacking = [cost for cost in spent if cost.metric]
dearest = max(attacking, key=lambda cost: cost.seconds)
cost_bars(
    attacking,
    threads=threads,
    alt=f"Bars, one for each attack on each metric. The longest is {dearest.attack} on {named(dearest.metric).title}, "
    f"{dearest.seconds * threads:.2g} core seconds; all together are {parts['all']:.2g} with judging.",
)

# %% [markdown]
# ## On how many cores
#
# Shards depend on nothing but their own triplets, so that they can be computed anywhere and in any order. If nothing is lost on the way, a run takes the core hours above divided by the cores. In days:

# %% tags=["hide-input"]
Table(
    ("triplets", *(f"{count:,} cores" for count in cores), "store, GB"),
    tuple(
        (
            f"{size:,}",
            *(parts["all"] * size / 86_400 / count for count in cores),
            size_each * size / 1e9,
        )
        for size in sizes
    ),
)

# %% [markdown]
# The store grows by {glue:text}`scale_bytes:s` kB a triplet, without images. What is lost on the way can be measured on one machine:

# %% tags=["hide-input"]
few, many = sorted(int(key.rpartition("_")[2]) for key in bench if key.startswith("overhead_")) or (0, 0)
lost = {
    f"time for a triplet, of {many:,} against {few:,}": ("growth", "{:.2f} times"),
    f"share of the time for store and scheduling, {many:,} triplets": (f"overhead_{many}", "{:.1%}"),
    "throughput of two Ray workers against one": ("two_workers_against_one", "{:.2f} times"),
}
Table(
    ("what", "measured by make bench"),
    tuple(
        (what, form.format(bench[key]) if key in bench else "not measured")
        for what, (key, form) in lost.items()
    )
    if bench
    else (("nothing yet", ""),),
)

# %% [markdown]
# {doc}`../book/how-to-scale` explains how to start such a run on one machine, on several and under Slurm.
#
# ## What this cannot say
#
# - **Seconds are by the clock.** Other work on the same cores makes them longer. The reference run had one process on each of its two cores, and no other work of ours beside it; to know what a run costs on another machine, run the plan there on some triplets, and give its store to this page.
# - **It is a rule of three.** Time for each triplet is taken to stay as it was. That holds as long as every worker has its cores to itself; shared memory bandwidth, a slow disk or a busy head node do not show here.
# - **Other triplets, other times.** Attacks that stop at a flip are fast where flips are easy. Larger images cost about as much more as they have more pixels.
# - **Nothing about graphics processors**, which do the same work in a fraction of the time and are paid by another unit. To know, run the plan on one shard there: the bar of `simlib run` shows its rate, and this page reads its store.
# - **More triplets do not mend a poor sample.** Any number of patches of a few photographs is still these few photographs.

# %% tags=["hide-input"]
provenance(
    device=results.record.provenance["device"],
    n=n_triplets,
    seed=results.record.plan.seed,
    losses_measured_on=f"{bench.get('device', 'nothing yet')}, {bench.get('threads', '?')} threads",
    **results.conditions(),
)
