"""Whether a plan can run here: all that is wrong with it is found before any work."""

from __future__ import annotations

import contextlib
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from simlib import attacks, metrics
from simlib.attacks import ATTACKS, RankFlip
from simlib.benchmark.identity import all_parameters
from simlib.benchmark.plan import Data, Plan, PlannedAttack
from simlib.errors import InputError, SimlibError, unknown_name
from simlib.kernels.checks import require_count
from simlib.kernels.device import pick_device
from simlib.metrics import Features, Metric, MetricSpec, weights
from simlib.triplets import Triplets
from simlib.triplets.sources import drawn

WITHOUT_GRADIENT = frozenset({"one-pixel", "few-pixel", "square", "strongest"})
"""Attacks on metrics that need not give a gradient."""

_NOT_PLANNED = {"attacks"}
"""Parameters that hold functions, which no plan can."""

_USUAL_SIDE = 64


def validate(plan: Plan) -> None:
    """Refuse a plan that cannot run on this machine.

    Raises:
        InputError: listing everything that is wrong with it.
    """
    problems = problems_of(plan)
    if problems:
        raise InputError("\n  ".join([f"The plan {plan.name} cannot run:", *problems]))


def problems_of(plan: Plan) -> list[str]:
    """List all that keeps a plan from running here, a line each, with its place; nothing is attacked.

    The first of its triplets is read, and weights that are here are verified.
    """
    problems = _said_by(lambda: require_count("seed", plan.seed, 0))
    problems += _said_by(lambda: require_count("shard_size", plan.shard_size))
    problems += _said_by(lambda: pick_device(plan.device))
    example, unreadable = _first_triplet(plan.data)
    problems += unreadable
    specs: dict[str, MetricSpec] = {}
    for name in plan.metrics():
        found = _problems_of_metric(name)
        problems += found
        if not found:
            specs[name] = metrics.spec_of(name)
    problems += _problems_of_sides(specs.values(), example)
    if not (plan.white_box or plan.transfer):
        problems.append("There is nothing to compute. Give the plan a part [white_box] or [transfer].")
    if plan.white_box:
        lists = {"metrics": plan.white_box.metrics}
        problems += _problems_of_part("[white_box]", lists, plan.white_box.attacks, specs, example)
    if plan.transfer:
        lists = {"sources": plan.transfer.sources, "targets": plan.transfer.targets}
        problems += _problems_of_part("[transfer]", lists, plan.transfer.attacks, specs, example)
        titles = [attack.title for attack in plan.transfer.attacks]
        if plan.transfer.chosen_by and plan.transfer.chosen_by not in titles:
            wrong = unknown_name("title of an attack in chosen_by", plan.transfer.chosen_by, titles)
            problems.append(f"[transfer]: {wrong}")
    return problems


def leave_out_absent(plan: Plan) -> tuple[Plan, list[str]]:
    """Take metrics out of a plan whose weights or packages are not here.

    A part that would attack nothing, or show it to nobody, is taken out whole.

    Returns:
        The plan, and a line on each metric that was left out. A metric that does not exist stays.
    """
    absent = {name: why for name in plan.metrics() if (why := _why_absent(name))}

    def present(names: Sequence[str]) -> tuple[str, ...]:
        return tuple(name for name in names if name not in absent)

    white_box, transfer = plan.white_box, plan.transfer
    if white_box:
        white_box = replace(white_box, metrics=present(white_box.metrics))
    if transfer:
        transfer = replace(transfer, sources=present(transfer.sources), targets=present(transfer.targets))
    left = replace(
        plan,
        white_box=white_box if white_box and white_box.metrics else None,
        transfer=transfer if transfer and transfer.sources and transfer.targets else None,
    )
    return left, [f"{name}: {why}" for name, why in absent.items()]


def _said_by(work: Callable[[], object]) -> list[str]:
    """Return what an error says that some work raises, if it raises one."""
    try:
        work()
    except SimlibError as error:
        return [str(error)]
    return []


def _first_triplet(data: Data) -> tuple[Triplets | None, list[str]]:
    """Read the first triplet; if that, or as many as are asked for, cannot be had, say why."""
    try:
        return drawn(data.source, data.n, seed=data.seed)[:1], []
    except SimlibError as error:
        return None, [f"[data]: {error}"]


def _why_absent(name: str) -> str:
    with contextlib.suppress(SimlibError):
        return metrics.why_absent(name)
    return ""


def _problems_of_metric(name: str) -> list[str]:
    try:
        absent = metrics.why_absent(name)
        if absent:
            return [f"{name}: {absent}"]
        for each in metrics.spec_of(name).weights:
            weights.obtain(each)
    except SimlibError as error:
        return [str(error)]
    return []


def _problems_of_sides(specs: Iterable[MetricSpec], example: Triplets | None) -> list[str]:
    if example is None:
        return []
    height, width = example.ref.shape[-2:]
    return [
        f"{spec.name}: {spec.title} needs images of at least {spec.least_side}x{spec.least_side} pixels, and "
        f"these are {height}x{width}. Use larger images or leave it out."
        for spec in specs
        if spec.least_side > min(height, width)
    ]


def _problems_of_part(
    place: str,
    lists: Mapping[str, Sequence[str]],
    planned: Sequence[PlannedAttack],
    specs: Mapping[str, MetricSpec],
    example: Triplets | None,
) -> list[str]:
    """List what is wrong in one part of a plan.

    Args:
        place: what the part is called.
        lists: names of metrics by key; those of the first key are attacked.
        planned: the attacks.
        specs: of those metrics that can be had.
        example: a triplet of the data, if it can be had.
    """
    problems: list[str] = []
    named = {**lists, "attacks": [attack.title for attack in planned]}
    for key, names in named.items():
        if not names:
            problems.append(f"{key} is empty. Name at least one.")
        twice = [name for name, times in Counter(names).items() if times > 1]
        remedy = "Give every attack its own title." if key == "attacks" else "Name it once."
        problems += [f"{key}: {name!r} is there twice. {remedy}" for name in twice]
    attacked = [specs[name] for name in next(iter(lists.values())) if name in specs]
    blind = [spec.name for spec in attacked if not spec.differentiable]
    for attack in planned:
        found = _problems_of_attack(attack, example if example is not None else _blank_triplet())
        if blind and attack.attack in ATTACKS.keys() - WITHOUT_GRADIENT:
            found.append(
                f"{attack.attack} needs a gradient, and {', '.join(blind)} gives none. "
                f"Use one of {', '.join(sorted(WITHOUT_GRADIENT))}."
            )
        problems += [f"{attack.title}: {problem}" for problem in found]
    return [f"{place}: {problem}" for problem in problems]


def _problems_of_attack(planned: PlannedAttack, example: Triplets) -> list[str]:
    """Let an attack itself say what it does not accept; it is stopped before it measures anything."""
    if planned.attack not in ATTACKS:
        return [str(unknown_name("attack", planned.attack, ATTACKS))]
    defaults = all_parameters(replace(planned, parameters={}))
    known = defaults.keys() - _NOT_PLANNED
    problems, accepted = list[str](), dict[str, object]()
    for name, value in planned.parameters.items():
        if name not in known:
            wrong = unknown_name(f"parameter of {planned.attack}", name, known)
            problems.append(str(wrong) if known else f"{planned.attack} has no parameters, so no {name}.")
        elif isinstance(value, bool) != isinstance(defaults[name], bool):
            negated = "" if isinstance(defaults[name], bool) else "not "
            problems.append(f"{name} is {value!r}. It must {negated}be true or false.")
        else:
            accepted[name] = value
    attack = replace(planned, parameters=accepted)
    while problem := _said_by_attack(attack, example):
        problems.append(problem)
        # The others may be wrong, too: without the one that is named, the attack comes to speak of them.
        rest = {name: value for name, value in attack.parameters.items() if not _names(problem, name)}
        if len(rest) == len(attack.parameters):
            break
        attack = replace(attack, parameters=rest)
    return problems


def _names(problem: str, parameter: str) -> bool:
    return re.search(rf"\b{re.escape(parameter)}\b", problem) is not None


def _said_by_attack(planned: PlannedAttack, example: Triplets) -> str:
    """Return why an attack does not accept its parameters; empty if it does."""
    try:
        problem = RankFlip(_Stopping(), example, planned.target)
        attacks.run(planned.attack, problem, protocol=planned.protocol, **planned.parameters)
    except _MeasuredError:
        return ""
    except SimlibError as error:
        return str(error)
    except (TypeError, ValueError) as error:
        given = ", ".join(f"{name} = {value!r}" for name, value in planned.parameters.items())
        return f"{planned.attack} cannot be called with {given}: {error}. Correct the types."
    return ""


class _MeasuredError(Exception):
    """An attack has checked what it was called with, and begins."""


class _Stopping(Metric):
    """Stops an attack at its first measurement."""

    spec = MetricSpec("stopping", "Stopping")

    def embed(self, images: Tensor) -> Features:
        """Stop."""
        raise _MeasuredError


def _blank_triplet() -> Triplets:
    """Make a triplet of the usual size, where there are no data to look at."""
    images = torch.zeros((1, 3, _USUAL_SIDE, _USUAL_SIDE))
    return Triplets(
        ref=images,
        p0=images,
        p1=images,
        judge=torch.full((1,), torch.nan),
        names=("blank",),
        photographs=("none",),
        distortions=(("none", "none"),),
        label_source="constructed",
    )
