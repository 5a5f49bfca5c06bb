"""Several metrics as one: images made against an ensemble may fool metrics outside it, too."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from simlib.errors import InputError
from simlib.kernels.noise import Draws
from simlib.kernels.settings import own_settings
from simlib.metrics.metric import Features, Metric, MetricSpec, require_metric
from simlib.metrics.registry import Entry, load, register_prefix, spec_of

_JOINED_BY = "+"
_YARDSTICK_SIDE, _NOISE = 64, 0.1


class Ensemble(Metric):
    """Averages the distances of several metrics, each in its own unit (after Liu et al. 2017).

    The unit of a member is its distance between two fixed images, a grey one and the same with noise. So
    all members have about equal influence, whatever the range of their values. An attack follows the
    gradients of all members; if it flips the ensemble, it may not flip every member.

    Args:
        members: two or more metrics, on the processor; they are shared, not copied.

    Raises:
        InputError: if one is no metric, there are fewer than two members, one occurs twice, or one has values
            below zero, whose sum with others means nothing.
    """

    units: Tensor

    def __init__(self, members: Sequence[Metric]) -> None:
        super().__init__()
        for member in members:
            require_metric(member, "a member")
        self.spec = _ensemble_spec([member.spec for member in members])
        self.members = nn.ModuleList(members)
        with own_settings():
            yardsticks = [_yardstick(member) for member in members]
            units = torch.stack([unit for _, unit in yardsticks])
        self._sizes = [len(features) for features, _ in yardsticks]
        # A buffer moves to another device or dtype together with the members.
        self.register_buffer("units", units)

    def embed(self, images: Tensor) -> Features:
        """Return the features of all members, one member after another."""
        return tuple(tensor for member in self._members() for tensor in member.embed(images))

    def compare(self, reference: Features, features: Features) -> Tensor:
        """Measure by every member and average the distances (N,), each in its unit."""
        start, total = 0, reference[0].new_zeros(len(reference[0]))
        for member, size, unit in zip(self._members(), self._sizes, self.units, strict=True):
            part = slice(start, start + size)
            total = total + member.compare(reference[part], features[part]) / unit
            start += size
        return total / len(self.members)

    def _members(self) -> list[Metric]:
        return [member for member in self.members if isinstance(member, Metric)]


def _yardstick(metric: Metric) -> tuple[Features, Tensor]:
    """Return a metric's features of a grey image, and its distance to the same image with noise."""
    side = max(_YARDSTICK_SIDE, metric.spec.least_side)
    weight = next(metric.parameters(), torch.zeros(()))
    grey = weight.new_full((1, 3, side, side), 0.5)
    noise = Draws(["yardstick"], 0, grey.device).uniform(3, side, side).to(grey)
    with torch.no_grad():
        return metric.embed(grey), metric(grey, grey + _NOISE * (2 * noise - 1))[0]


def _ensemble_spec(specs: Sequence[MetricSpec]) -> MetricSpec:
    names = [spec.name for spec in specs]
    negative = [spec.title for spec in specs if spec.may_be_negative]
    if len(set(names)) < max(2, len(names)) or negative:
        raise InputError(
            f"{_JOINED_BY.join(names)} is no ensemble. Give two or more different metrics"
            + (f" without {' and '.join(negative)}, whose values may be below zero." if negative else ".")
        )
    titles = [spec.title for spec in specs]
    listed = f"{', '.join(titles[:-1])} and {titles[-1]}"
    return MetricSpec(
        name=f"ensemble:{_JOINED_BY.join(names)}",
        title=f"Ensemble of {listed}",
        family="learned" if any(spec.family == "learned" for spec in specs) else "structural",
        summary=f"The average of {listed}, each in its own unit.",
        values="0 upwards",
        least_side=max(spec.least_side for spec in specs),
        weights=tuple(dict.fromkeys(weight for spec in specs for weight in spec.weights)),
        parts=tuple(names),
        library=", ".join(dict.fromkeys(spec.library for spec in specs)),
        licence="; ".join(dict.fromkeys(spec.licence for spec in specs)),
        citation="liu2017delving",
        verified="a plain sum over the members; no published values",
        symmetric=all(spec.symmetric for spec in specs),
        differentiable=all(spec.differentiable for spec in specs),
        extra=next((spec.extra for spec in specs if spec.extra), ""),
    )


@register_prefix("ensemble")
def _ensemble(names: str) -> Entry:
    each = names.split(_JOINED_BY)
    if len(each) == 1:  # this used to stand for what is ``transformed:NAME`` now
        raise InputError(
            f"'ensemble:{names}' names one metric only. Write transformed:{names} (a metric averaged over "
            f"random changes of both images) or ensemble:{names}+NAME (several metrics as one)."
        )
    return _ensemble_spec([spec_of(name) for name in each]), lambda: Ensemble([load(name) for name in each])
