"""How long a plan will take on this machine, from a short look at each of its metrics."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from tqdm import tqdm

from simlib import metrics
from simlib.attacks import ATTACKS, RankFlip, stadv, standard_attacks
from simlib.benchmark.identity import Recipe, all_parameters
from simlib.benchmark.plan import PlannedAttack
from simlib.kernels.device import exact_convolutions
from simlib.metrics import Metric
from simlib.triplets import Triplets

SECONDS = 0.3
"""How long a metric is timed, without and with its gradient each; at least twice."""

_PIXELS = 16 * 64 * 64
"""Pixels that are timed at once on a processor, where larger batches are hardly faster."""

_ITERATIONS = 10
"""Iterations of stAdv that are timed."""

_BY_FLOW = ("stadv", "stadv-pgd")

_PER_ITERATION = 1.25
"""Evaluations that an iteration of L-BFGS takes, line search included, as we measured it for stAdv."""

_LOOKS = 3
"""Images of a triplet."""


@dataclass(frozen=True)
class Evaluations:
    """How often an attack evaluates the metric for one triplet, at most; images that flip early stop early.

    Attributes:
        values: evaluations without gradient.
        gradients: evaluations with gradient.
        flows: how often the image is moved by a flow, and the flow by L-BFGS, which takes longer than a fast
            metric does.
    """

    values: float = 0.0
    gradients: float = 0.0
    flows: float = 0.0

    def __add__(self, other: Evaluations) -> Evaluations:
        return Evaluations(
            self.values + other.values, self.gradients + other.gradients, self.flows + other.flows
        )

    def __mul__(self, times: float) -> Evaluations:
        return Evaluations(self.values * times, self.gradients * times, self.flows * times)


@dataclass(frozen=True)
class Speed:
    """Seconds for one image whose reference was looked at before, in a batch.

    Attributes:
        value: for the distance.
        gradient: for the distance and its gradient; 0 if the metric gives none.
        flow: for moving the image along a flow, whatever the metric.
    """

    value: float
    gradient: float
    flow: float = 0.0

    def seconds(self, evaluations: Evaluations) -> float:
        """Return how long evaluations take."""
        return (
            self.value * evaluations.values
            + self.gradient * evaluations.gradients
            + self.flow * evaluations.flows
        )


@dataclass(frozen=True)
class Cost:
    """What a part of the work takes at most.

    Attributes:
        metric: name of the metric that is attacked, or that judges.
        attack: title of the attack; empty for judging.
        seconds: for all triplets.
    """

    metric: str
    attack: str
    seconds: float


@dataclass(frozen=True)
class Estimate:
    """What work takes at most, about, in one process on this machine.

    It is an upper estimate because triplets that flip early stop early, and a lower one for what is not
    spent in metrics: reading, writing, and most of the attacks' own arithmetic.

    Attributes:
        costs: by metric and attack.
    """

    costs: tuple[Cost, ...]

    @property
    def seconds(self) -> float:
        """Of all of the work."""
        return sum(cost.seconds for cost in self.costs)

    def by_metric(self) -> dict[str, float]:
        """Return the seconds of each metric, attacked or judging, the largest first."""
        names = dict.fromkeys(cost.metric for cost in self.costs)
        sums = {name: sum(each.seconds for each in self.costs if each.metric == name) for name in names}
        return dict(sorted(sums.items(), key=lambda item: -item[1]))


def estimate(
    work: Iterable[tuple[Recipe, int]],
    triplets: Triplets,
    device: torch.device,
    *,
    progress: bool = True,
) -> Estimate:
    """Time every metric for a moment, and add up what the work takes at most.

    Args:
        work: what is computed, and for how many triplets; a recipe that is in the store already does not
            belong here.
        triplets: a few that are typical, as many as are computed together.
        device: where it is computed.
        progress: show a bar.

    Raises:
        InputError: if a metric does not accept the images.
        WeightsError, AbsentPackageError: if a metric cannot be had.
    """
    left = [(recipe, n) for recipe, n in work if n > 0]
    names = dict.fromkeys(name for recipe, _ in left for name in (recipe.source, recipe.target))
    speeds: dict[str, Speed] = {}
    here = _few(triplets).to(device) if device.type == "cpu" else triplets.to(device)
    flow = measure_flow(here) if any(recipe.attack.attack in _BY_FLOW for recipe, _ in left) else 0.0
    for name in tqdm(
        names, "timing metrics", unit="metric", disable=None if progress else True, delay=1.0, leave=False
    ):
        speeds[name] = replace(measure_speed(metrics.load(name, device=device), here), flow=flow)
    return Estimate(tuple([*_attacking(left, speeds), *_judging(left, speeds)]))


def measure_speed(metric: Metric, triplets: Triplets) -> Speed:
    """Time a metric on the first distorted images of triplets, their references looked at before.

    Returns:
        The speed, without the time for flows.
    """
    ref, images = triplets.ref, triplets.p0
    anchor = metric.anchor(ref)

    def value() -> None:
        with torch.no_grad():
            anchor(images)

    def gradient() -> None:
        variable = images.clone().requires_grad_()
        torch.autograd.grad(anchor(variable).sum(), variable)

    with exact_convolutions():
        return Speed(
            value=_fastest(value, images.device) / len(images),
            gradient=_fastest(gradient, images.device) / len(images) if metric.spec.differentiable else 0.0,
        )


def measure_flow(triplets: Triplets) -> float:
    """Return the seconds that stAdv spends on one image at each evaluation besides the metric."""
    fast = metrics.load("l2", device=triplets.ref.device)
    result = stadv(RankFlip(fast, triplets), iterations=_ITERATIONS, protocol="paper")
    return result.seconds / float(result.backwards.sum())


def most_evaluations(planned: PlannedAttack) -> Evaluations:
    """Return how often an attack evaluates the metric for one triplet, at most.

    Only for stAdv it is no bound: the line search of L-BFGS may take longer than usual.
    """
    found = _MOST[planned.attack](all_parameters(planned))
    # The strict protocol first looks at the image as rounded; the image returned is measured at last.
    return found + Evaluations(values=2)


def _few(triplets: Triplets) -> Triplets:
    """Return as many triplets as a short look at a slow metric allows, at least one."""
    return triplets[: max(1, _PIXELS // triplets.ref[0, 0].numel())]


def _fastest(work: Callable[[], None], device: torch.device) -> float:
    """Return the seconds that some work takes when nothing disturbs it."""
    times: list[float] = []
    while len(times) < 2 or sum(times) < SECONDS:
        start = time.perf_counter()
        work()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        times.append(time.perf_counter() - start)
    return min(times)


def _attacking(work: Sequence[tuple[Recipe, int]], speeds: Mapping[str, Speed]) -> list[Cost]:
    """Add up the attacks: each once for all judges of its images, stAdv once for all that go on from it."""
    most: dict[str, tuple[Recipe, int]] = {}
    for recipe, n in work:
        _, before = most.get(recipe.images_key, (recipe, 0))
        most[recipe.images_key] = (recipe, max(n, before))
    costs, started = list[Cost](), set[str]()
    for recipe, n in most.values():
        evaluations = most_evaluations(recipe.attack)
        if recipe.attack.attack in _BY_FLOW:
            start = _start_of(recipe.attack)
            key = f"{recipe.source} {start}"
            if key in started:
                evaluations = evaluations + most_evaluations(start) * -1
            started.add(key)
        costs.append(Cost(recipe.source, recipe.attack.title, n * speeds[recipe.source].seconds(evaluations)))
    return costs


def _judging(work: Sequence[tuple[Recipe, int]], speeds: Mapping[str, Speed]) -> list[Cost]:
    """Add up what every metric looks at: all three images of a triplet once, and each attacked image."""
    images: dict[str, int] = {}
    triplets: dict[str, int] = {}
    for recipe, n in work:
        images[recipe.target] = images.get(recipe.target, 0) + n
        for name in (recipe.source, recipe.target):
            triplets[name] = max(triplets.get(name, 0), n)
    return [
        Cost(name, "", speeds[name].value * (images.get(name, 0) + _LOOKS * n))
        for name, n in triplets.items()
    ]


def _start_of(planned: PlannedAttack) -> PlannedAttack:
    """Return the stAdv that an attack consists of, or goes on from."""
    names = all_parameters(replace(planned, attack="stadv", parameters={}))
    own = {name: value for name, value in all_parameters(planned).items() if name in names}
    return replace(planned, title="stAdv", attack="stadv", parameters=own)


def _pgd(given: Mapping[str, Any]) -> Evaluations:
    return Evaluations(values=1, gradients=given["steps"])


def _fgsm(given: Mapping[str, Any]) -> Evaluations:
    return Evaluations(values=len(given["grid"]), gradients=1)


def _stadv(given: Mapping[str, Any]) -> Evaluations:
    # The first point is evaluated before the first iteration. Where it flips, it is looked at in 8 bits, too.
    evaluated = 1 + _PER_ITERATION * given["iterations"]
    return Evaluations(values=evaluated / 4, gradients=evaluated, flows=evaluated)


def _stadv_pgd(given: Mapping[str, Any]) -> Evaluations:
    return _stadv(given) + _pgd(given)


def _few_pixel(given: Mapping[str, Any]) -> Evaluations:
    return Evaluations(values=given["population"] * (given["generations"] + 1))


def _square(given: Mapping[str, Any]) -> Evaluations:
    return Evaluations(values=given["queries"])


def _flip_radius(given: Mapping[str, Any]) -> Evaluations:
    climb = Evaluations(values=1, gradients=(given["steps"] + 1) // 2)
    return _pgd(given) + climb * given["bisections"] + Evaluations(values=2)


def _strongest(given: Mapping[str, Any]) -> Evaluations:
    del given
    names = {function: name for name, function in ATTACKS.items()}
    total = Evaluations()
    for attack in standard_attacks().values():
        assert isinstance(attack, partial)
        total += most_evaluations(PlannedAttack("", names[attack.func], "strict", parameters=attack.keywords))
    return total


_MOST: dict[str, Callable[[Mapping[str, Any]], Evaluations]] = {
    "fgsm": _fgsm,
    "pgd": _pgd,
    "apgd": _pgd,
    "stadv": _stadv,
    "stadv-pgd": _stadv_pgd,
    "one-pixel": _few_pixel,
    "few-pixel": _few_pixel,
    "square": _square,
    "fmn": _pgd,
    "flip-radius": _flip_radius,
    "strongest": _strongest,
}
