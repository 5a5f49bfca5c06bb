"""Metrics: distance(ref, x) -> (N,), one contract for all."""

from simlib.metrics import classical, deep, weights
from simlib.metrics.metric import (
    Anchor,
    Features,
    Metric,
    MetricSpec,
    load,
    load_available,
    load_first,
    names,
    narrow,
    register,
    spec_of,
    specs,
)

__all__ = [
    "Anchor",
    "Features",
    "Metric",
    "MetricSpec",
    "classical",
    "deep",
    "load",
    "load_available",
    "load_first",
    "names",
    "narrow",
    "register",
    "spec_of",
    "specs",
    "weights",
]
