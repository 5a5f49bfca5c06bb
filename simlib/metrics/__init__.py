"""Metrics: distance(ref, x) -> (N,), one contract for all."""

from simlib.metrics import classical, deep, weights
from simlib.metrics.metric import Anchor, Family, Features, Metric, MetricSpec, narrow
from simlib.metrics.registry import (
    load,
    load_available,
    load_first,
    names,
    prefixes,
    register,
    register_prefix,
    spec_of,
    specs,
    why_absent,
)

__all__ = [
    "Anchor",
    "Family",
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
    "prefixes",
    "register",
    "register_prefix",
    "spec_of",
    "specs",
    "weights",
    "why_absent",
]
