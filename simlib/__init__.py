"""Attacks on perceptual similarity metrics: metrics, attack kernels and their measurement.

Images are float tensors ``(N, 3, H, W)`` in ``[0, 1]``. Importing this package loads nothing heavy;
each subpackage is imported when it is first used.
"""

from __future__ import annotations

import importlib
from types import ModuleType

__version__ = "0.1.0"

_SUBPACKAGES = ("attacks", "benchmark", "book", "kernels", "metrics", "report", "triplets")


def __getattr__(name: str) -> ModuleType:
    if name in _SUBPACKAGES:
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_SUBPACKAGES])
