"""The register of metrics: by which name each is asked for, and whether it can run here."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Sequence
from typing import get_args

import torch

from simlib.errors import AbsentError, AbsentPackageError, InputError, unknown_name
from simlib.metrics import weights
from simlib.metrics.metric import Family, Metric, MetricSpec

Build = Callable[[], Metric]
Entry = tuple[MetricSpec, Build]

_REGISTER: dict[str, Entry] = {}
_PREFIXES: dict[str, Callable[[str], Entry]] = {}


def register(spec: MetricSpec) -> Callable[[Build], Build]:
    """Enter the decorated function, which builds the metric, in the register under ``spec.name``.

    Raises:
        InputError: if the name is taken, or holds a colon.
    """

    def enter(build: Build) -> Build:
        if spec.name in _REGISTER:
            raise InputError(f"A metric named {spec.name!r} is registered already. Choose another name.")
        if ":" in spec.name:
            raise InputError(f"{spec.name!r} holds a colon, which sets off a prefix. Choose another name.")
        _REGISTER[spec.name] = (spec, build)
        return build

    return enter


def register_prefix(prefix: str) -> Callable[[Callable[[str], Entry]], Callable[[str], Entry]]:
    """Have the decorated function answer for all names ``prefix:REST``; it is given the rest.

    It returns the spec and the function that builds the metric, or raises ``UnknownNameError``.

    Raises:
        InputError: if the prefix is taken.
    """

    def enter(find: Callable[[str], Entry]) -> Callable[[str], Entry]:
        if prefix in _PREFIXES:
            raise InputError(f"The prefix {prefix!r} is registered already. Choose another one.")
        _PREFIXES[prefix] = find
        return find

    return enter


def names() -> list[str]:
    """List the names of all registered metrics: family by family, in the order of their registration."""
    return sorted(_REGISTER, key=lambda name: get_args(Family).index(_REGISTER[name][0].family))


def prefixes() -> list[str]:
    """List the prefixes that stand for a whole family of names, in the order of their registration."""
    return list(_PREFIXES)


def specs() -> list[MetricSpec]:
    """List the specs of all registered metrics, in the order of :func:`names`."""
    return [_REGISTER[name][0] for name in names()]


def spec_of(name: str) -> MetricSpec:
    """Return the spec of a metric.

    Raises:
        UnknownNameError: naming the nearest known metrics.
        AbsentPackageError: if the package behind a prefix is not installed.
    """
    return _entry(name)[0]


def load(name: str, *, device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32) -> Metric:
    """Build a metric, ready to measure: weights loaded, in evaluation mode, no weight gradients.

    Args:
        name: one of :func:`names`, or a name with one of the :func:`prefixes`.
        device: where its weights go.
        dtype: the type of its weights, and so of the images it accepts.

    Raises:
        UnknownNameError: naming the nearest known metrics.
        InputError: if a name with a prefix does not stand for a metric with a reference, or the function that
            builds the metric gives it another name.
        AbsentPackageError: if the package that computes it is not installed.
        WeightsError: if weights are absent and cannot be downloaded, or are not the right ones.
    """
    spec, build = _entry(name)
    _require_library(spec)
    metric = build()
    # A metric that looked at itself while it was built, and found something out, brings its own spec.
    metric.spec = getattr(metric, "spec", spec)
    if metric.spec.name != spec.name:
        raise InputError(
            f"The metric registered as {spec.name!r} calls itself {metric.spec.name!r}. "
            "Give both the same spec."
        )
    return metric.eval().requires_grad_(False).to(device=device, dtype=dtype)


def why_absent(name: str) -> str:
    """Say in a line why a metric cannot be loaded without a download or an installation; empty if it can.

    Raises:
        UnknownNameError: naming the nearest known metrics.
    """
    try:
        spec = spec_of(name)
    except AbsentPackageError as error:
        return str(error)
    if _lacks_library(spec):
        return f"package absent: pip install 'simlib[{spec.extra}]'"
    missing = [each for each in spec.weights if weights.locate(each) is None]
    return f"weights absent: simlib weights fetch {' '.join(missing)}" if missing else ""


def load_available(
    choices: Sequence[str], *, device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32
) -> tuple[list[Metric], list[str]]:
    """Build those of several metrics whose weights and packages can be had.

    Returns:
        The metrics, and the titles of those that were left out.

    Raises:
        UnknownNameError: if a name is not known.
        WeightsError: if weights are there but are not the right ones.
    """
    found: list[Metric] = []
    absent: list[str] = []
    for name in choices:
        try:
            found.append(load(name, device=device, dtype=dtype))
        except AbsentError:
            absent.append(_title(name))
    return found, absent


def load_first(
    *choices: str, device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32
) -> tuple[Metric, str]:
    """Build the first of several metrics whose weights and packages can be had.

    Returns:
        The metric, and a sentence that says why an earlier choice was passed over (empty if none was).

    Raises:
        UnknownNameError: if a name is not known.
        AbsentError: if none of them can be had: the error of the first.
        WeightsError: if weights are there but are not the right ones.
    """
    missed: list[tuple[str, AbsentError]] = []
    for name in choices:
        try:
            metric = load(name, device=device, dtype=dtype)
        except AbsentError as error:
            missed.append((_title(name), error))
            continue
        if not missed:
            return metric, ""
        passed = " and ".join(title for title, _ in missed)
        return (
            metric,
            f"{passed} could not be had on this machine; {metric.spec.title} stands in.",
        )
    raise missed[0][1]


def _entry(name: str) -> Entry:
    prefix, colon, rest = name.partition(":")
    if colon and prefix in _PREFIXES:
        return _PREFIXES[prefix](rest)
    if name not in _REGISTER:
        raise unknown_name("metric", name, [*_REGISTER, *(f"{each}:NAME" for each in _PREFIXES)])
    return _REGISTER[name]


def _lacks_library(spec: MetricSpec) -> bool:
    return bool(spec.extra) and importlib.util.find_spec(spec.library) is None


def _require_library(spec: MetricSpec) -> None:
    if _lacks_library(spec):
        raise AbsentPackageError(
            f"{spec.title} needs the package {spec.library}, which is not installed: "
            f"pip install 'simlib[{spec.extra}]'. Its licence is {spec.licence}."
        )


def _title(name: str) -> str:
    try:
        return spec_of(name).title
    except AbsentPackageError:
        return name
