"""What a caller of simlib may have set for torch, by name; none of it may change a value."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import torch


@contextlib.contextmanager
def _set(place: Any, name: str, value: object) -> Iterator[None]:
    before = getattr(place, name)
    setattr(place, name, value)
    try:
        yield
    finally:
        setattr(place, name, before)


@contextlib.contextmanager
def _called(change: Callable[[Any], None], value: object, before: object) -> Iterator[None]:
    change(value)
    try:
        yield
    finally:
        change(before)


backends: Any = torch.backends
AMBIENT: dict[str, Callable[[], contextlib.AbstractContextManager[Any]]] = {
    "autocast to bfloat16": lambda: torch.autocast("cpu", torch.bfloat16),
    "autocast to float16": lambda: torch.autocast("cpu", torch.float16),
    "inference mode": torch.inference_mode,
    "no gradient": torch.no_grad,
    "doubles by default": lambda: _called(torch.set_default_dtype, torch.float64, torch.float32),
    "halves by default": lambda: _called(torch.set_default_dtype, torch.float16, torch.float32),
    "another device by default": lambda: torch.device("meta"),
    "medium products": lambda: _called(torch.set_float32_matmul_precision, "medium", "highest"),
    "everything in bfloat16": lambda: _set(backends, "fp32_precision", "bf16"),
    "everything in tf32": lambda: _set(backends, "fp32_precision", "tf32"),
    "one of two kinds in full": lambda: _set(backends.cudnn.conv, "fp32_precision", "ieee"),
    "the fastest convolution": lambda: _set(backends.cudnn, "benchmark", True),
    "no cuDNN": lambda: _set(backends.cudnn, "enabled", False),
    "anomaly detection": torch.autograd.detect_anomaly,
}
"""What a caller may have set, by name."""

TELLING = ("autocast to bfloat16", "inference mode", "doubles by default", "medium products")
"""Those that change most values of code that does not put them aside."""
