"""Whether a plan can run on this machine: what is missing here is found before any work."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence

from simlib.attacks import RankFlip
from simlib.benchmark.plan import Plan
from simlib.errors import InputError, SimlibError
from simlib.kernels.device import pick_device
from simlib.metrics import weights
from simlib.metrics.metric import Metric
from simlib.metrics.registry import spec_of, why_absent
from simlib.triplets import Triplets


def require_runnable(plan: Plan, example: Triplets) -> None:
    """Refuse a plan that cannot run here, with one of its triplets; weights that are here are verified.

    Raises:
        InputError: listing all that keeps it from running, each with its place.
    """
    problems = [*_problems_of_metrics(plan, example), *_problems_of_attacks(plan, example)]
    try:
        pick_device(plan.device)
    except SimlibError as error:
        problems.insert(0, str(error))
    if problems:
        raise InputError("\n  ".join([f"The plan {plan.name} cannot run:", *dict.fromkeys(problems)]))


def without_absent(plan: Plan) -> tuple[Plan, list[str]]:
    """Take metrics out of a plan whose weights or packages are not here, and return a line on each.

    A part that would attack nothing, or show it to nobody, is taken out whole. An InputError says that none
    is left.
    """
    absent = {name: why for name in plan.metrics() if (why := _why_absent(name))}
    lines = [f"{name}: {why}" for name, why in absent.items()]
    if not absent:
        return plan, lines

    def present(names: Sequence[str]) -> tuple[str, ...]:
        return tuple(name for name in names if name not in absent)

    white_box, transfer = plan.white_box, plan.transfer
    if white_box:
        names = present(white_box.metrics)
        white_box = white_box.model_copy(update={"metrics": names}) if names else None
    if transfer:
        sources, targets = present(transfer.sources), present(transfer.targets)
        changed = {"sources": sources, "targets": targets}
        transfer = transfer.model_copy(update=changed) if sources and targets else None
    if not (white_box or transfer):
        raise InputError("\n  ".join([f"Nothing is left of the plan {plan.name}:", *lines]))
    return plan.model_copy(update={"white_box": white_box, "transfer": transfer}), lines


def _why_absent(name: str) -> str:
    with contextlib.suppress(SimlibError):
        return why_absent(name)
    return ""


def _problems_of_metrics(plan: Plan, example: Triplets) -> Iterator[str]:
    height, width = example.ref.shape[-2:]
    for name in plan.metrics():
        try:
            spec = spec_of(name)
            if absent := why_absent(name):
                yield f"{name}: {absent}"
                continue
            for each in spec.weights:
                weights.obtain(each)
        except SimlibError as error:
            yield str(error)
            continue
        if spec.least_side > min(height, width):
            yield (
                f"{name}: {spec.title} needs images of at least {spec.least_side}x{spec.least_side} pixels, "
                f"and these are {height}x{width}. Use larger images or leave it out."
            )


def _problems_of_attacks(plan: Plan, example: Triplets) -> Iterator[str]:
    problem = RankFlip(_AnyMetric(), example)
    for part, attacked in plan.parts().items():
        for attack in {attack.title: attack for attack, _, _ in attacked}.values():
            try:
                attack.made.validate(problem)
                attack.made.require_power(attack.protocol)
            except SimlibError as error:
                yield f"[{part.replace('-', '_')}]: {attack.title}: {error}"


class _AnyMetric(Metric):
    """Stands for any metric where only images and dials are looked at."""

    def validate(self, images: object) -> None:
        """Accept any images."""
