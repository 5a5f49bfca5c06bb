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
# # One pixel: attacks without a gradient
#
# The attacks of the last chapter change every pixel a little, and they need the metric's gradient to know how. This chapter
# turns both around. The attack may change **one pixel**, as much as it likes, and it sees nothing of the metric but the two
# distances that anybody could measure. Such an attack is called *black-box*. It guesses, keeps what helped, and guesses again: the one-pixel attack of Su, Vargas
# and Sakurai {cite}`su2019onepixel`, which Ghildyal and Liu {cite}`ghildyal2023attacking` turned against perceptual metrics.

# %% tags=["parameters"]
data = "photos"  # "photos", "bapps", or a folder or CSV file of your own
n = 48  # number of triplets to attack
seed = 0  # seed of the draw of triplets and of the search
metric_name = "lpips-alex"  # the metric that is attacked in detail
fallback = "st-lpips-alex"  # stands in where those weights cannot be had
few_pixels = 3  # pixels that the second attack may change
population = 32  # candidates in the start and in every generation
generations = 12  # most generations after the start
table_n = 12  # number of triplets for the table of metrics
table_metrics = ["l2", "ssim", "lpips-alex", "lpips-squeeze"]  # of the table
device = "auto"  # "auto", "cpu" or "cuda"

# %%
import plotly.graph_objects as go
import torch
from myst_nb import glue
from plotly.subplots import make_subplots

from simlib import metrics
from simlib.attacks import FewPixel, OnePixel, RankFlip
from simlib.attacks.sparse import painted, pixel_bounds
from simlib.benchmark.statistics import rate
from simlib.kernels.device import exact_convolutions, pick_device
from simlib.kernels.evolution import DifferentialEvolution
from simlib.kernels.images import LEVELS
from simlib.kernels.noise import Draws
from simlib.report.explorer import result_panels
from simlib.report.figures import Panel, curves_with_bands, picture_slider, png_source, rate_bars
from simlib.report.provenance import provenance
from simlib.report.style import COLORS
from simlib.report.tables import Table
from simlib.triplets import draw

where = pick_device(device)
metric, note = metrics.load_first(metric_name, fallback, device=where)
triplets = draw(data, n, seed=seed).to(device=where)
photographs = triplets.photographs
problem = RankFlip(metric, triplets)

# %% tags=["hide-input"]
side = triplets.ref.shape[-1]
glue("metric", metric.spec.title, display=False)
glue("note", note or f"All weights of {metric.spec.title} are on this machine.", display=False)
glue("n", n, display=False)
glue("few", few_pixels, display=False)
glue("pixels_of_an_image", side * side, display=False)
glue("population", population, display=False)
glue("generations", generations, display=False)
glue("evaluations", population * (generations + 1), display=False)
glue("most_rmse", LEVELS / side, display=False)

# %% [markdown]
# The metric attacked here is **{glue:text}`metric:s`**, on {glue:text}`n:d` triplets. {glue:text}`note:s`
#
# ## The attack
#
# A candidate is five numbers: the row and the column of a pixel, and its new red, green and blue. Painted over the image that the metric ranks closer,
# it has a **margin**, as in the last chapter: the attacked distance minus the other one, positive exactly when the
# rank has flipped. The attack looks for the candidate with the largest margin; with {glue:text}`few:d` pixels a candidate is
# as many times five numbers, searched for together.
#
# The numbers of the search are **our own choice**, because the paper's settings for this attack are not known to us:
# {glue:text}`population:d` candidates to start with, then at most {glue:text}`generations:d` generations of as many, {glue:text}`evaluations:,d`
# evaluations of the metric in all. A triplet stops after the first generation that flips it, and pays for that generation in full. The protocol is `strict`: colours are whole levels of 8 bits, and what
# is tested is what a PNG would hold.

# %%
one_pixel = OnePixel(population=population, generations=generations)
few_pixel = FewPixel(pixels=few_pixels, population=population, generations=generations)
one = one_pixel(problem, seed=seed, progress=True)
few = few_pixel(problem, seed=seed, progress=True)

# %% tags=["hide-input"]
one_rate, few_rate = (rate(result.flipped, photographs) for result in (one, few))
few_name = f"{few_pixels} pixels" if few_pixels > 1 else "few-pixel, 1 pixel"


def median(values: torch.Tensor) -> float | None:
    return float(values.float().quantile(0.5)) if len(values) else None


def median_count(values: torch.Tensor) -> int | None:
    return round(float(values.float().quantile(0.5))) if len(values) else None


glue("one_rate", str(one_rate), display=False)
glue("few_rate", str(few_rate), display=False)
Table(
    ("attack", "n", "flipped", "evaluations, median", "RMSE of flips, levels, median"),
    tuple(
        (name, n, rate, median_count(result.forwards[result.flipped]), median(result.rmse[result.flipped]))
        for name, result, rate in (("one pixel", one, one_rate), (few_name, few, few_rate))
    ),
)

# %% [markdown]
# One pixel of {glue:text}`pixels_of_an_image:,d` flips {glue:text}`one_rate:s`; up to {glue:text}`few:d` of them flip {glue:text}`few_rate:s`.
# More pixels can do whatever one can, but they make a longer candidate, which is harder to search: with no more evaluations, the second attack need not find
# every flip of the first.
#
# Such a change is small on average and large where it is: from black to white, a single pixel adds
# an RMSE of {glue:text}`most_rmse:.2f` levels to an image of this size, and no one-pixel attack can add more. A person who looks for the dot will
# often find it. Whether they would call the image less *similar* for it is another question, and it is the one a perceptual metric is built to answer.

# %% [markdown]
# ## Find the pixel
#
# Each stop of the slider is a triplet. The third picture shows where to look, and the last one comes close.

# %% tags=["hide-input"]
_NEAR = 5  # pixels around the changed one that the close-up shows, on each side
_RING = 3  # distance of the frame around it


def found_at(result, position: int) -> tuple[int, int]:
    """Return row and column of the first pixel that the attack painted."""
    row, column = result.details["pixels"][position, 0, :2].long().tolist()
    return row, column


def where_to_look(image: torch.Tensor, row: int, column: int) -> torch.Tensor:
    """Fade an image (3, H, W), and draw a frame around one pixel."""
    height, width = image.shape[-2:]
    rows = (torch.arange(height, device=image.device) - row).abs().view(-1, 1)
    columns = (torch.arange(width, device=image.device) - column).abs().view(1, -1)
    frame = torch.maximum(rows, columns) == _RING
    orange = image.new_tensor([0.84, 0.37, 0.0]).view(3, 1, 1)
    return torch.where(frame, orange, (image * 0.35 + 0.6).clamp(0, 1))


def close_up(image: torch.Tensor, row: int, column: int) -> torch.Tensor:
    """Enlarge what surrounds one pixel to the size of the image (3, H, W)."""
    height, width = image.shape[-2:]

    def nearby(length: int, centre: int) -> torch.Tensor:
        first = min(max(centre - _NEAR, 0), max(length - 2 * _NEAR - 1, 0))
        span = min(2 * _NEAR + 1, length)
        return first + torch.arange(length, device=image.device) * span // length

    return image[:, nearby(height, row)][:, :, nearby(width, column)]


def flip_with_close_up(result, position: int) -> list[list[Panel]]:
    """Lay out one flip: what is compared and where to look, then the attack and its pixel."""
    reference, other, before, after, _ = result_panels(problem, result, position, gain=1)
    row, column = found_at(result, position)
    levels = (result.details["pixels"][position, 0, 2:] * LEVELS).round().int().tolist()
    look = Panel(where_to_look(after.image, row, column), f"row {row}, column {column}", "where to look")
    near = Panel(close_up(after.image, row, column), f"new colour {levels}", "close-up")
    return [[reference, other, look], [before, after, near]]


# Without a single flip, which can happen on few triplets, the first triplets are shown as they are left.
shown = (one.flipped if one.flipped.any() else ~one.flipped).nonzero().flatten().tolist()[:6]

# %% mystnb={"figure": {"name": "fig-one-pixel", "caption": "One pixel under the strict protocol; one stop of the slider for each triplet, with its distances to the reference."}} tags=["hide-input"]
picture_slider(
    {str(index + 1): flip_with_close_up(one, position) for index, position in enumerate(shown)},
    alt=f"A slider over {len(shown)} triplets. Each shows the reference, the other image, the image under attack before and "
    "after one pixel was changed, with distances, a faded copy with a frame around that pixel, and a close-up of it.",
)

# %% [markdown]
# ## How it is found
#
# A pixel has {glue:text}`pixels_of_an_image:,d` places and nearly 17 million colours, too many to try. **Differential evolution**
# {cite}`storn1997differential` keeps a population of candidates and lets them learn from each other. The start is spread evenly over all rows, columns and colours. Then, in each generation, every member $x$ faces a challenger, bred in two steps from the best member and two random
# others, $a$ and $b$:
#
# $$
# v = x_\text{best} + F \, (a - b), \qquad
# u_j = \begin{cases} v_j & \text{with probability } 0.7 \\ x_j & \text{otherwise.} \end{cases}
# $$
#
# The challenger $u$ takes the place of $x$ if its margin is no smaller. The difference $a - b$ is what makes this work without a
# gradient: while the members are far apart, steps are long and the whole image is searched; as they gather, steps shorten by themselves. The factor $F$ is drawn
# from 0.5 to 1 for each generation, and a value that leaves its range is drawn anew inside.
#
# To watch it, we replay the very search of the attack on one triplet, with the same random numbers, and let it run on after the flip.

# %%
position = int(torch.where(one.flipped, one.steps, -1).argmax())
with exact_convolutions():
    batch = problem.batch(position, position + 1)
search = DifferentialEvolution(
    *pixel_bounds(batch.original, 1), Draws(batch.names, seed, where), population=population
)
history = []
for _ in range(generations + 1):
    candidates = search.ask()
    with torch.no_grad(), exact_convolutions():
        images = painted(
            batch.original.expand(population, -1, -1, -1).clone(), candidates[0], whole_levels=True
        )
        margins = batch.narrow(torch.zeros(population, dtype=torch.long, device=where)).margin(images)
    search.tell(-margins.unsqueeze(0))
    history.append((candidates[0].cpu(), margins.cpu(), search.best[0].cpu(), -float(search.best_value)))

# %% tags=["hide-input"]
glue("first_margin", f"{history[0][3]:+.4f}", display=False)
glue("last_margin", f"{history[-1][3]:+.4f}", display=False)
first_flip = next((t for t, (*_, value) in enumerate(history) if value > 0), None)
glue(
    "replayed",
    "does not flip within these generations"
    if first_flip is None
    else f"flips in generation {first_flip} (0 is the start)",
    display=False,
)


def moment(generation: int) -> list[go.Scatter]:
    """Draw the candidates of a generation over the image, and all margins up to it."""
    candidates, _, best, _ = history[generation]
    colors = [f"rgb({r:.0f},{g:.0f},{b:.0f})" for r, g, b in (candidates[:, 2:] * LEVELS).tolist()]
    past = [(t, float(m)) for t in range(generation + 1) for m in history[t][1]]
    return [
        go.Scatter(
            x=(candidates[:, 1] - 0.5).tolist(),
            y=(candidates[:, 0] - 0.5).tolist(),
            mode="markers",
            marker={"size": 10, "color": colors, "line": {"color": "white", "width": 1.5}},
            hovertemplate="candidate at column %{x:.0f}, row %{y:.0f}<extra></extra>",
        ),
        go.Scatter(
            x=[float(best[1]) - 0.5],
            y=[float(best[0]) - 0.5],
            mode="markers",
            marker={"size": 22, "symbol": "circle-open", "color": COLORS[1], "line": {"width": 3}},
            hovertemplate="the best so far<extra></extra>",
        ),
        go.Scatter(
            x=[t for t, _ in past],
            y=[m for _, m in past],
            mode="markers",
            marker={"size": 5, "color": COLORS[0], "opacity": 0.45},
            hovertemplate="generation %{x}: margin %{y:.4f}<extra></extra>",
        ),
        go.Scatter(
            x=list(range(generation + 1)),
            y=[value for *_, value in history[: generation + 1]],
            mode="lines",
            line={"color": COLORS[1], "width": 2.5, "shape": "hv"},
            hovertemplate="best until generation %{x}: %{y:.4f}<extra></extra>",
        ),
    ]


# %% mystnb={"figure": {"name": "fig-evolution", "caption": "Differential evolution on one triplet. Left, the candidates of a generation, each a dot in the colour it would paint, and a ring around the best so far. Right, their margins, and the best so far as a line; above zero the rank is flipped."}} tags=["hide-input"]
figure = make_subplots(rows=1, cols=2, column_widths=[0.5, 0.5], horizontal_spacing=0.12)
figure.add_trace(go.Image(source=png_source(batch.original[0] * 0.6 + 0.3), hoverinfo="skip"), row=1, col=1)
for trace, column in zip(moment(0), (1, 1, 2, 2)):
    figure.add_trace(trace, row=1, col=column)
figure.frames = [
    go.Frame(name=str(generation), data=moment(generation), traces=[1, 2, 3, 4])
    for generation in range(len(history))
]
every = torch.cat([margins for _, margins, *_ in history] + [torch.zeros(1)])
spread = float(every.max() - every.min()) or 1.0
figure.update_xaxes(visible=False, range=[-0.5, side - 0.5], constrain="domain", row=1, col=1)
figure.update_yaxes(visible=False, range=[side - 0.5, -0.5], row=1, col=1)
figure.update_xaxes(title_text="generation", range=[-0.5, generations + 0.5], row=1, col=2)
figure.update_yaxes(
    title_text="margin",
    range=[float(every.min()) - 0.05 * spread, float(every.max()) + 0.05 * spread],
    row=1,
    col=2,
)
figure.add_hline(y=0, line={"dash": "dot", "color": "#7F7F7F"}, row=1, col=2)
still = {"mode": "immediate", "frame": {"duration": 0, "redraw": True}, "transition": {"duration": 0}}
figure.update_layout(
    showlegend=False,
    height=480,
    margin={"l": 8, "r": 12, "t": 16, "b": 140},
    sliders=[
        {
            "steps": [
                {"label": frame.name, "method": "animate", "args": [[frame.name], still]}
                for frame in figure.frames
            ],
            "y": 0,
            "pad": {"t": 56, "l": 12, "r": 12},
            "currentvalue": {"prefix": "generation "},
        }
    ],
    meta={
        "alt": f"A slider over {generations + 1} generations. Dots on an image are the candidates, a ring marks the best so far; "
        f"beside it are their margins, the best of which is {history[0][3]:.4f} at the start and {history[-1][3]:.4f} at the end."
    },
)

# %% [markdown]
# The best of the start has a margin of {glue:text}`first_margin:s`, the best at the end {glue:text}`last_margin:s`; this triplet
# {glue:text}`replayed:s`. Nothing in the search knows what the metric computes, or even that neighbouring pixels have something to do with each
# other.

# %% [markdown]
# ## What a query buys
#
# An attacker who can only ask counts the questions. Every candidate is one.

# %%
asked = [population * (generation + 1) for generation in range(generations + 1)]
by_queries = {
    name: [rate(result.flipped & (result.forwards <= queries), photographs) for queries in asked]
    for name, result in (("one pixel", one), (few_name, few))
}

# %% mystnb={"figure": {"name": "fig-queries", "caption": "Share of triplets flipped within a number of evaluations of the metric, with 95 % bands."}} tags=["hide-input"]
curves_with_bands(
    asked,
    by_queries,
    x_title="evaluations of the metric for a triplet",
    y_title="flipped",
    alt="Two rising curves of the share flipped against evaluations. At the end: "
    f"one pixel {one_rate}; {few_name} {few_rate}.",
)

# %% [markdown]
# The curves end where we stopped paying, not where the attack stops working: they are lower bounds on what one pixel can do, and they depend on
# our choice of population and generations. Where a curve still rises at its right end, more evaluations would probably flip more.

# %% [markdown]
# ## Where, and in which colour
#
# All pixels that flipped a rank alone, each at its place: inside the colour the attack chose, around it the colour that was there.

# %% tags=["hide-input"]
winners = one.flipped.nonzero().flatten()
places = one.details["pixels"][winners, 0].cpu()
rows, columns = places[:, 0].long(), places[:, 1].long()
new = (places[:, 2:] * LEVELS).round().int()
old = (one.original.cpu()[winners.cpu(), :, rows, columns] * LEVELS).round().int()
of_channels = [photographs[i] for i in winners for _ in range(3)]
extreme = rate(((new <= 25) | (new >= LEVELS - 25)).flatten(), of_channels) if len(new) else None
jump = (new - old).abs().amax(dim=1) if len(new) else torch.zeros(0)
glue("extreme", str(extreme) if extreme else "none of none", display=False)
glue("jump", f"{median(jump):.0f} levels" if len(jump) else "not known, for want of flips", display=False)


def css(colors: torch.Tensor) -> list[str]:
    return [f"rgb({r},{g},{b})" for r, g, b in colors.tolist()]


# %% mystnb={"figure": {"name": "fig-places", "caption": "Every pixel that flipped a rank alone, at its place in the image; inside its new colour, around it the colour before."}} tags=["hide-input"]
figure = go.Figure(
    go.Scatter(
        x=columns.tolist(),
        y=rows.tolist(),
        mode="markers",
        marker={"size": 20, "color": css(new), "line": {"color": css(old), "width": 5}},
        customdata=[f"{before} → {after}" for before, after in zip(old.tolist(), new.tolist())],
        hovertemplate="row %{y}, column %{x}<br>%{customdata}<extra></extra>",
    )
)
figure.update_layout(
    xaxis={"title": "column", "range": [-1, side], "constrain": "domain"},
    yaxis={"title": "row", "range": [side, -1], "scaleanchor": "x"},
    height=520,
    meta={
        "alt": f"{len(winners)} dots over the area of an image, in the old and the new colours of the pixels."
    },
)

# %% [markdown]
# The largest change of a channel, as a median: {glue:text}`jump:s`. Of all new red, green and blue values, {glue:text}`extreme:s` lie
# within 25 levels of black or white, where a colour drawn at random would have one value in five. (The interval is over photographs, so it allows for the three
# channels of a pixel, which resemble each other.)

# %% [markdown]
# ## Every metric
#
# The search never asks what it attacks, so the same lines serve metrics with and without a gradient.

# %%
available, absent = metrics.load_available(table_metrics, device=where)
some = triplets[:table_n] if table_n <= n else draw(data, table_n, seed=seed).to(device=where)
results = {}
for each in available:
    attacked = RankFlip(each, some)
    results[each.spec.title] = tuple(
        attack(attacked, seed=seed, progress=True) for attack in (one_pixel, few_pixel)
    )

# %% tags=["hide-input"]
rates = {
    name: [rate(pair[index].flipped, some.photographs) for pair in results.values()]
    for index, name in enumerate(("one pixel", few_name))
}
left_out = f"Left out for want of weights: {' and '.join(absent)}." if absent else "No metric was left out."
glue("left_out", left_out, display=False)
Table(
    ("metric", "n", *rates, "evaluations, one pixel, median"),
    tuple(
        (title, len(some), *cells, median_count(alone.forwards[alone.flipped]))
        for (title, (alone, _)), *cells in zip(results.items(), *rates.values())
    ),
)

# %% mystnb={"figure": {"name": "fig-pixel-metrics", "caption": "Share of triplets flipped by one and by a few pixels, by metric, with 95 % intervals."}} tags=["hide-input"]
rate_bars(
    list(results),
    rates,
    y_title="flipped",
    alt="; ".join(
        f"{name}: " + ", ".join(f"{title} {rate.value:.0%}" for title, rate in zip(results, row))
        for name, row in rates.items()
    ),
)

# %% [markdown]
# {glue:text}`left_out:s` Rates come with 95 % intervals over photographs. As with the budgets of the last chapter, a metric that flips more often here is not simply the worse one: a
# metric that ranks two images nearly alike needs less of a push.

# %% [markdown]
# ## How good is the search?
#
# For the mean squared error one can say what a pixel is worth without any search. In each channel the value farthest from the reference is
# black or white, whichever is farther, and what a pixel adds does not depend on its neighbours. So the best of all pixels is known:

# %%
distance = metrics.load("l2", device=where)
exact = RankFlip(distance, some)
batch = exact.batch()
reference, original = some.ref, batch.original
worth = torch.maximum(reference, 1 - reference).square() - (original - reference).square()
best_pixel = worth.sum(dim=1).amax(dim=(1, 2)) / reference[0].numel()
possible = best_pixel + exact.margin(original) > 0
done = results.get(distance.spec.title)
searched = done[0] if done else one_pixel(exact, seed=seed, progress=True)

# %% tags=["hide-input"]
glue("possible", str(rate(possible, some.photographs)), display=False)
found = rate(searched.flipped, some.photographs, possible) if possible.any() else "none, as there is none"
glue("found_possible", str(found), display=False)

# %% [markdown]
# One pixel can flip {glue:text}`possible:s` for the mean squared error. Of these the search, which knows none of this, finds
# {glue:text}`found_possible:s`. For the other metrics there is no such formula: there a pixel is an edge, a spot, a texture, and what it adds depends on
# what lies around it. Their rates are what the search found, and no more than that.

# %% tags=["hide-input"]
provenance(
    device=where,
    data=data,
    n=n,
    seed=seed,
    metric=metric.spec.title,
    search=f"population {population}, at most {generations} generations, {few_pixels} pixels; our own choice",
    table=f"{len(some)} triplets, {', '.join(results)}",
)
