"""Metrics: distance(ref, x) -> (N,), one contract for all."""

from simlib.metrics import (
    deep,
    dreamsim,
    ensemble,
    own,
    pieapp,
    pixel,
    pyiqa,
    smoothed,
    structural,
    vgg,
    weights,
)
from simlib.metrics.committee import Committee
from simlib.metrics.ensemble import Ensemble
from simlib.metrics.metric import Anchor, Family, Features, Metric, MetricSpec, narrow
from simlib.metrics.own import from_callable
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
from simlib.metrics.smoothed import Smoothed

__all__ = [
    "Anchor",
    "Committee",
    "Ensemble",
    "Family",
    "Features",
    "Metric",
    "MetricSpec",
    "Smoothed",
    "deep",
    "dreamsim",
    "ensemble",
    "from_callable",
    "load",
    "load_available",
    "load_first",
    "names",
    "narrow",
    "own",
    "pieapp",
    "pixel",
    "prefixes",
    "pyiqa",
    "register",
    "register_prefix",
    "smoothed",
    "spec_of",
    "specs",
    "structural",
    "vgg",
    "weights",
    "why_absent",
]
