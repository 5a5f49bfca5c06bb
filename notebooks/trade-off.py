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
# # Accuracy and robustness
#
# A metric that always answers with the same number cannot be flipped, and is of no use. Robustness is worth something only beside accuracy: how often is a metric right, and how much of that is left
# under attack? For classifiers the two are known to pull against each other {cite}`tsipras2019robustness`. {cite:t}`ghildyal2023attacking` name the question for metrics as open. This
# chapter puts both on one page, with the interval of each.

# %% tags=["parameters"]
store = ""  # folder of results to read; "reference" for those that came with the book; empty runs the plan
plan = "photos"  # metrics and attacks: a shipped plan (smoke, photos, bapps) or a TOML file
n = 48  # triplets that the plan is run on; 0 for as many as it says
data = "photos"  # which triplets it is run on: "photos", "bapps", or a folder or CSV file of your own
device = "auto"  # "auto", "cpu" or "cuda"

# %%
from myst_nb import glue

from simlib.benchmark.rates import trade_off
from simlib.report.benchmark import named
from simlib.report.provenance import provenance
from simlib.report.results import results_for, sample_of
from simlib.report.tables import Table
from simlib.report.trade_off_points import trade_off_points

# %%
results = results_for(store, plan, n, data, device)
attacked, judged = results.rows("white-box"), results.rows("transfer")

# %% tags=["hide-input"]
sample = sample_of(judged)
constructed = (
    "These labels are constructed. They are those of ladders, where one image underwent the same distortion as the "
    "other, only more strongly. To be accurate here is to notice more of the same, and nobody was asked: a metric may "
    "score high on this page and disagree with people, and plain metrics are flattered by it."
)
for key, value in {
    "where": results.origin(),
    "note": results.note,
    "sample": str(sample),
    "labelled": sample.labelled,
    "labels": constructed if sample.constructed else "These labels are votes of people.",
}.items():
    glue(f"tradeoff_{key}", value, display=False)

# %% [markdown]
# {glue:text}`tradeoff_where:s` There are **{glue:text}`tradeoff_sample:s`**. {glue:text}`tradeoff_note:s`
#
# ## What is counted
#
# **Accuracy** is the share of the {glue:text}`tradeoff_labelled:,d` labelled triplets that a metric ranks as labelled, before any attack. {glue:text}`tradeoff_labels:s`
#
# **Robustness** is the share of the triplets *it is right about* that an attack does not flip. Those it is wrong about from the start are left out, so that no
# metric is called robust for clinging to wrong answers. The product of the two is the share that is right before the attack and after it.
#
# ## Attacked itself
#
# Each metric is attacked with all knowledge of it, as in {doc}`white-box`. The more powerful the attack, the lower the points.

# %%
white_box = {attack: trade_off(attacked, attack) for attack in attacked["attack"].unique()}


# %% tags=["hide-input"]
def told(points) -> str:
    """Say where the points of a figure are."""
    return "; ".join(
        f"{named(point.metric).title} accurate {point.accuracy.value:.0%}, not flipped {point.robust.value:.0%}"
        for point in points
        if point.accuracy and point.robust
    )


def points_of(choices, y_title):
    """Draw metrics by accuracy and robustness; the description tells those of the first choice."""
    labels = [key if isinstance(key, str) else ", ".join(key) for key in choices]
    first = next(iter(choices.values()))
    return trade_off_points(
        choices,
        x_title="accurate before the attack",
        y_title=y_title,
        alt=f"Points with intervals both ways, and menus with {'; '.join(labels)}. Under {labels[0]}: {told(first)}.",
    )


# %% mystnb={"figure": {"name": "fig-trade-off", "caption": "Metrics by how often they are right and by how much of that an attack on them leaves, with 95 % intervals both ways; the menu chooses the attack."}} tags=["hide-input"]
points_of(white_box, "not flipped, attacked itself")

# %% [markdown]
# ## Shown what was made on another
#
# Images made on one metric, judged by the others, as in {doc}`transfer`. Robustness is the share not flipped in 8 bits among the labelled triplets that count there: those that both metrics
# are right about. A metric far up here and far down above is safe only as long as nobody attacks it.

# %%
transferred = {
    (named(source).title, attack): trade_off(judged, attack, source)
    for source in judged["source"].unique()
    for attack in judged["attack"].unique()
}

# %% mystnb={"figure": {"name": "fig-trade-off-transfer", "caption": "Metrics by how often they are right and by how often images made on another metric leave their rank alone, with 95 % intervals both ways; the menus choose the images."}} tags=["hide-input"]
points_of(transferred, "not flipped by images made on another")

# %% [markdown]
# ## In numbers
#
# How much of their right answers metrics keep: attacked themselves by the attack that they stand worst, and shown the images that flip them most often.


# %% tags=["hide-input"]
def least(choices) -> dict:
    """Find for each metric the choice under which it is the least robust."""
    worst = {}
    for label, points in choices.items():
        for point in points:
            if point.robust and (
                point.metric not in worst or point.robust.value < worst[point.metric][1].value
            ):
                worst[point.metric] = (
                    label if isinstance(label, str) else ", ".join(label),
                    point.robust,
                    point.accuracy,
                )
    return worst


own, others = least(white_box), least(transferred)
Table(
    ("metric", "accurate", "attacked itself", "by", "shown images", "made on, by"),
    tuple(
        (
            named(name).title,
            (own.get(name) or others[name])[2],
            own[name][1] if name in own else None,
            own[name][0] if name in own else None,
            others[name][1] if name in others else None,
            others[name][0] if name in others else None,
        )
        for name in dict.fromkeys([*own, *others])
    ),
)

# %% [markdown]
# To pick the worst of several rates is to pick among chances, too: a rate that is chosen because it is low is on average a little too low. A rate of the *standard evaluation*
# ({doc}`standard-evaluation`) is not chosen like that: it is one attack, which takes the strongest of several triplet by triplet.
#
# ## What this cannot say
#
# - **No law.** Metrics are few, and most of them relatives. A line through the points would be a line through families.
# - **Accuracy on other triplets may be another.** Above all, accuracy by construction is not agreement with people: {doc}`accuracy`.
# - **A dash is not a success.** Metrics without a number under *attacked itself* were not attacked in this plan.
# - **Rates from few photographs are rates of these photographs.** Their intervals, both ways, are over photographs where triplets share them.

# %% tags=["hide-input"]
provenance(
    device=results.record.provenance["device"],
    n=sample.n,
    seed=results.record.plan.seed,
    labels=f"{sample.labelled}, {'constructed' if sample.constructed else 'votes of people'}",
    **results.conditions(),
)
