"""Metrics: distance(ref, x) -> (N,), one contract for all."""

# Metrics are registered, and so listed, in this order.
from simlib.metrics import pixel, structural, nlpd, deep, dreamsim, pieapp, vgg, pyiqa  # isort: skip # noqa: F401
from simlib.metrics import weights
from simlib.metrics.custom import from_callable
from simlib.metrics.ensemble import Ensemble
from simlib.metrics.metric import Anchor, Family, Features, Metric, MetricSpec, narrow, require_metric
from simlib.metrics.registry import (
    load,
    load_available,
    load_first,
    modules_of,
    names,
    prefixes,
    register,
    register_prefix,
    spec_of,
    specs,
    why_absent,
)
from simlib.metrics.smoothed import Smoothed
from simlib.metrics.transformed import Transformed

__all__ = [
    "Anchor",
    "Ensemble",
    "Family",
    "Features",
    "Metric",
    "MetricSpec",
    "Smoothed",
    "Transformed",
    "from_callable",
    "load",
    "load_available",
    "load_first",
    "modules_of",
    "names",
    "narrow",
    "prefixes",
    "register",
    "register_prefix",
    "require_metric",
    "spec_of",
    "specs",
    "weights",
    "why_absent",
]
