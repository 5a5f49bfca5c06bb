"""The full-reference metrics of the package pyiqa, under the names ``pyiqa:NAME``, where it is installed."""

from __future__ import annotations

import functools
import importlib
import importlib.util
import pickle
import warnings
from typing import Any

import torch
from torch import Tensor, nn

from simlib.errors import (
    AbsentPackageError,
    AbsentWeightsError,
    InputError,
    WeightsError,
    install_hint,
    unknown_name,
)
from simlib.kernels.precision import keep_precision
from simlib.metrics import weights
from simlib.metrics.custom import from_callable
from simlib.metrics.metric import Metric, MetricSpec
from simlib.metrics.registry import Entry, register_prefix

_LICENCE = "PolyForm Noncommercial 1.0.0, parts NTU S-Lab 1.0; weights by their authors' terms"

_LEAST_SIDE, _LEAST_SIDES = 64, {"dmm": 128, "ms_ssim": 161}
"""pyiqa does not state a least side; its other metrics were not tried on fewer than 64 pixels."""

_DISTANCES = ("dmm",)
"""pyiqa 0.1.16 calls them similarities, but they are 0 for identical images and positive for others."""


class _ReferenceFirst(nn.ModuleList):
    """Calls a metric of pyiqa, whose second argument is the reference."""

    def forward(self, ref: Tensor, x: Tensor) -> Tensor:
        with keep_precision(x.dtype):
            return self[0](x, ref)


@register_prefix("pyiqa")
def find(name: str) -> Entry:
    """Answer for ``pyiqa:NAME``; without pyiqa, every name gets a spec that the register refuses to load.

    Raises:
        UnknownNameError: if pyiqa has no such metric; the message names the nearest ones.
        InputError: if the metric judges an image without a reference.
        AbsentPackageError: if a package that pyiqa imports is not installed.
    """
    config = _config(name) if importlib.util.find_spec("pyiqa") else {}
    low, _, high = config.get("score_range", "unknown").rpartition(", ")
    similarity = bool(config) and not config.get("lower_better", False) and name not in _DISTANCES
    best = 1.0 if similarity and high.lstrip("~") == "1" else None
    sign = "" if not similarity else "1 - s, s " if best else "-s, s "
    spec = MetricSpec(
        f"pyiqa:{name}",
        f"{name} (pyiqa)",
        summary=f"{name} as the package pyiqa computes it; it fetches and reads its weights itself.",
        values=f"{sign}about {low} to {high}" if low else "unknown",
        least_side=_LEAST_SIDES.get(name, _LEAST_SIDE),
        library="pyiqa",
        licence=_LICENCE,
        citation="chen2022pyiqa",
        may_be_negative=similarity and (best is None or "~" in high),
        extra="pyiqa",
    )
    return spec, functools.partial(_build, name, spec, similarity, best)


def _config(name: str) -> dict[str, Any]:
    try:
        configs = importlib.import_module("pyiqa.default_model_configs").DEFAULT_CONFIGS
    except ImportError as error:
        raise _absent_package(error) from error
    compared = [f"pyiqa:{each}" for each, config in configs.items() if config.get("metric_mode") == "FR"]
    if name not in configs:
        raise unknown_name("metric", f"pyiqa:{name}", compared)
    if f"pyiqa:{name}" not in compared:
        raise InputError(
            f"pyiqa:{name} judges one image without a reference, and metrics here compare two. "
            f"Choose one of {', '.join(compared)}."
        )
    return configs[name]


def _build(name: str, spec: MetricSpec, similarity: bool, best: float | None) -> Metric:
    warnings.warn(f"{spec.title} comes with the licence {_LICENCE}.", stacklevel=2)
    try:
        create = importlib.import_module("pyiqa").create_metric
        with torch.random.fork_rng(devices=[]), weights.tensors_only():
            model = create(name, as_loss=True, loss_reduction="none", device="cpu")
            return from_callable(_ReferenceFirst([model]), spec, higher_is_closer=similarity, best=best)
    except ImportError as error:
        raise _absent_package(error) from error
    except pickle.UnpicklingError as error:
        raise WeightsError(
            f"{spec.title}: its weights hold more than tensors and were not read. Choose another metric."
        ) from error
    except OSError as error:
        reason = next(iter(str(error).splitlines()), type(error).__name__).rstrip(".")
        raise AbsentWeightsError(
            f"{spec.title}: pyiqa could not fetch its weights: {reason}. "
            "Load it once on a machine with network, and copy the caches of torch hub and Hugging Face here."
        ) from error


def _absent_package(error: ImportError) -> AbsentPackageError:
    return AbsentPackageError(
        f"pyiqa cannot be used: {error}. Install what it needs: {install_hint('pyiqa')}. "
        f"Its licence is {_LICENCE}."
    )
