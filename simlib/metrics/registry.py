"""The register of metrics: their names, how each is built, and whether it can run here."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar, get_args

import torch

from simlib.errors import AbsentError, AbsentPackageError, InputError, install_hint, unknown_name
from simlib.kernels.device import pick_device
from simlib.kernels.images import require_precision
from simlib.kernels.settings import own_settings
from simlib.metrics import weights
from simlib.metrics.metric import Family, Metric, MetricSpec

Build = Callable[[], Metric]
AnyBuild = TypeVar("AnyBuild", bound=Build)
Entry = tuple[MetricSpec, Build]

_REGISTER: dict[str, Entry] = {}
_PREFIXES: dict[str, Callable[[str], Entry]] = {}


def register(spec: MetricSpec, summary: str = "") -> Callable[[AnyBuild], AnyBuild]:
    """Register the decorated function or class, which builds the metric, under ``spec.name``.

    ``summary`` is for a spec that has none. A name that is taken, or contains a colon, is an ``InputError``.
    """

    def enter(build: AnyBuild) -> AnyBuild:
        if spec.name in _REGISTER:
            raise InputError(f"A metric named {spec.name!r} is registered already. Choose another name.")
        if ":" in spec.name:
            raise InputError(f"{spec.name!r} contains a colon, which only prefixes do. Choose another name.")
        _REGISTER[spec.name] = (replace(spec, summary=summary or spec.summary), build)
        return build

    return enter


def register_prefix(prefix: str) -> Callable[[Callable[[str], Entry]], Callable[[str], Entry]]:
    """Register the decorated function for all names ``prefix:REST``.

    It takes the rest, and returns the spec and the function that builds the metric, or raises
    ``UnknownNameError``. A prefix that is taken is refused with an ``InputError``.
    """

    def enter(find: Callable[[str], Entry]) -> Callable[[str], Entry]:
        if prefix in _PREFIXES:
            raise InputError(f"The prefix {prefix!r} is registered already. Choose another one.")
        _PREFIXES[prefix] = find
        return find

    return enter


def names() -> list[str]:
    """List the names of all registered metrics: by family, then in the order of their registration."""
    return [spec.name for spec in specs()]


def prefixes() -> list[str]:
    """List the registered prefixes, in the order of their registration."""
    return list(_PREFIXES)


def specs() -> list[MetricSpec]:
    """List the specs of all registered metrics, in the order of :func:`names`."""
    families = get_args(Family)
    return sorted((spec for spec, _ in _REGISTER.values()), key=lambda spec: families.index(spec.family))


def spec_of(name: str) -> MetricSpec:
    """Return the spec of a metric.

    Raises:
        UnknownNameError: if there is no such metric; the message names the nearest ones.
        InputError: if the rest of a name with a prefix does not fit the prefix, or the name is an old form
            or no text.
        AbsentPackageError: if the package behind a prefix is not installed.
    """
    return _entry(name)[0]


def modules_of(name: str) -> frozenset[str]:
    """Return the dotted names of the Python modules that compute a metric, with those of its parts.

    What these modules import is not listed. Errors are those of :func:`spec_of`.
    """
    spec, build = _entry(name)
    find = _PREFIXES.get(name.partition(":")[0]) if ":" in name else None
    return frozenset({_module(find or build)}.union(*map(modules_of, spec.parts)))


def load(name: str, *, device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32) -> Metric:
    """Build a metric, ready to measure: weights loaded, in evaluation mode, no weight gradients.

    Args:
        name: one of :func:`names`, or a name with one of the :func:`prefixes`.
        device: where its weights go; ``"auto"`` is the GPU, else the processor.
        dtype: the type of its weights, and so of the images it accepts: float32 or float64.

    Raises:
        UnknownNameError: if there is no such metric; the message names the nearest ones.
        InputError: if :func:`spec_of` refuses the name, the dtype is another one, nothing can be
            computed on the device, or the metric that is built has another name.
        AbsentPackageError: if the package that computes it is not installed.
        WeightsError: if weights are absent and cannot be downloaded, or are not the right ones.
    """
    spec, build = _entry(name)
    require_precision(dtype, spec.title)
    device = pick_device(device)
    for lacking in _without_library(spec):
        raise AbsentPackageError(
            f"{lacking.title} needs the package {lacking.library}, which is not installed: "
            f"{install_hint(lacking.extra)}. Its licence is {lacking.licence}."
        )
    # In inference mode the weights would be of no use outside it.
    with own_settings():
        metric = build()
    # A metric that is tried out while it is built has its own spec, with what the trial found.
    metric.spec = getattr(metric, "spec", spec)
    if metric.spec.name != spec.name:
        raise InputError(
            f"The metric registered as {spec.name!r} calls itself {metric.spec.name!r}. "
            "Give both the same spec."
        )
    return metric.eval().requires_grad_(False).to(device=device, dtype=dtype)


def why_absent(name: str) -> str:
    """Say in a line why a metric cannot be loaded without a download or an installation; empty if it can.

    A wrong name is an error, as in :func:`spec_of`.
    """
    try:
        spec = spec_of(name)
    except AbsentPackageError as error:
        return str(error)
    for lacking in _without_library(spec):
        return f"package absent: {install_hint(lacking.extra)}"
    missing = [each for each in spec.weights if weights.locate(each) is None]
    return f"weights absent: simlib weights fetch {' '.join(missing)}" if missing else ""


def load_available(
    choices: Sequence[str], *, device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32
) -> tuple[list[Metric], list[str]]:
    """Build those of several metrics whose weights and packages are here or can be downloaded.

    Returns the metrics, and the titles of those that were left out. Other errors are those of :func:`load`.
    """
    tried = [(name, _attempt(name, device, dtype)) for name in choices]
    found = [metric for _, metric in tried if isinstance(metric, Metric)]
    return found, [_title(name) for name, metric in tried if not isinstance(metric, Metric)]


def load_first(
    *choices: str, device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32
) -> tuple[Metric, str]:
    """Build the first of several metrics whose weights and packages are here or can be downloaded.

    Returns the metric, and a sentence that names earlier choices that are absent (empty if none is). If all
    are absent, the error is that of the first. Other errors are those of :func:`load`.
    """
    missed: list[AbsentError] = []
    for name in choices:
        metric = _attempt(name, device, dtype)
        if isinstance(metric, Metric):
            passed = " and ".join(map(_title, choices[: len(missed)]))
            absent = f"{passed} could not be loaded on this machine; {metric.spec.title} stands in."
            return metric, absent if passed else ""
        missed.append(metric)
    raise missed[0]


def _attempt(name: str, device: torch.device | str, dtype: torch.dtype) -> Metric | AbsentError:
    try:
        return load(name, device=device, dtype=dtype)
    except AbsentError as error:
        return error


def _entry(name: str) -> Entry:
    if not isinstance(name, str):
        raise InputError(
            f"The name of a metric is a {type(name).__name__}. Give text, such as 'lpips-alex'; "
            "metrics.names() lists all."
        )
    if re.search(r"\bcommittee:", name):
        # In an old name, "ensemble:" meant what "transformed:" means now.
        renamed = name.replace("ensemble:", "transformed:").replace("committee:", "ensemble:")
        raise InputError(f"{name!r} is an old form: a committee is now called an ensemble. Write {renamed}.")
    prefix, colon, rest = name.partition(":")
    if colon and prefix in _PREFIXES:
        return _PREFIXES[prefix](rest)
    if name not in _REGISTER:
        raise unknown_name("metric", name, [*_REGISTER, *(f"{each}:NAME" for each in _PREFIXES)])
    return _REGISTER[name]


def _module(build: Callable[..., Any]) -> str:
    """Return the module that defines a function, also where some of its arguments are fixed."""
    return _module(build.func) if isinstance(build, partial) else build.__module__


def _without_library(spec: MetricSpec) -> list[MetricSpec]:
    """Return the spec if its optional library is not installed; for a wrapper, the specs of such parts."""
    if spec.parts:
        return [each for part in spec.parts for each in _without_library(spec_of(part))]
    return [spec] if spec.extra and importlib.util.find_spec(spec.library) is None else []


def _title(name: str) -> str:
    try:
        return spec_of(name).title
    except AbsentPackageError:
        return name
