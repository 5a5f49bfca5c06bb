"""How far apart two distances of the same images may be that were computed in float32.

What is promised stands in ``book/how-to-scale.md``. Sums are rounded otherwise in a batch of another size, by
another number of threads and by another processor. None of these distances misses the one in float64 by more
than a share of the metric's usual distance, which the contract of metrics checks. So two of them are apart by
twice that share at most, and two margins, which are differences of two distances, by four times.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from simlib import metrics

_SHARE = 1e-4
"""Measured on 192 pairs of photographs: SR-SIM misses float64 by 6e-5 of the usual distance, most by 1e-6."""

_SHARES = {"ssim": 2e-3, "ms-ssim": 2e-3, "vif": 2e-3}
"""Their variances are small differences of large squares: they miss it by 3e-4, 2e-4 and 9e-4."""


def share_missed(name: str) -> float:
    """Say by what share of its usual distance a metric in float32 may miss float64."""
    parts = metrics.spec_of(name).parts
    return max(map(share_missed, parts)) if parts else _SHARES.get(name, _SHARE)


def tolerance(name: str, distances: Tensor) -> float:
    """Say how far apart two computations of a distance may be, given some distances of its usual size."""
    return 2 * share_missed(name) * float(distances.abs().median())


def tolerances(rows: Any) -> dict[str, float]:
    """Say the same for every target among the rows of a benchmark."""
    usual = rows.groupby("target", observed=True)["distance0"]
    return {str(name): tolerance(str(name), torch.tensor(found.to_numpy())) for name, found in usual}


def assert_within_rounding(name: str, found: Tensor, expected: Tensor) -> None:
    """Demand that distances by a metric agree as two computations in float32 do."""
    torch.testing.assert_close(found, expected, rtol=0, atol=tolerance(name, expected))
