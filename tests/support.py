"""What several test files need: metrics to test, and triplets whose answer is known."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path
from unittest import mock

import pytest
import torch

from simlib import metrics
from simlib.metrics import Metric, weights
from simlib.triplets import Triplets
from tests.random_weights import random_archive, random_backbone


def weights_are_here(name: str) -> bool:
    """Say whether all weights of a metric are on this machine."""
    return all(weights.locate(file) for file in metrics.spec_of(name).weights)


def load_or_skip(name: str, dtype: torch.dtype = torch.float32) -> Metric:
    """Load a metric with its real weights, or skip the test."""
    if not weights_are_here(name):
        pytest.skip(f"the weights of {name} are not on this machine")
    return metrics.load(name, dtype=dtype)


@cache
def any_weights(name: str, dtype: torch.dtype = torch.float32) -> Metric:
    """Load a metric with its real weights, or with random ones where they are not on this machine."""
    spec = metrics.spec_of(name)
    if spec.extra:
        pytest.importorskip(spec.library)
    if weights_are_here(name):
        return metrics.load(name, dtype=dtype)
    with (
        mock.patch.object(weights, "load", random_backbone),
        mock.patch.object(weights, "obtain", random_archive),
    ):
        return metrics.load(name, dtype=dtype)


def random_triplets(n: int, side: int = 32, seed: int = 0, dtype: torch.dtype = torch.float32) -> Triplets:
    """Draw triplets of 8 bits: a random reference and two noisy versions, p1 the noisier on average."""
    generator = torch.Generator().manual_seed(seed)
    ref = torch.rand((n, 3, side, side), generator=generator, dtype=dtype)
    noise0, noise1 = (torch.randn((n, 3, side, side), generator=generator, dtype=dtype) for _ in range(2))
    images = [ref, ref + 0.05 * noise0, ref + 0.08 * noise1]
    ref, p0, p1 = (image.clamp(0, 1).mul(255).round().div(255) for image in images)
    return Triplets(
        ref=ref,
        p0=p0,
        p1=p1,
        judge=torch.full((n,), torch.nan),
        names=tuple(f"random-{seed}-{index}" for index in range(n)),
        photographs=("noise",) * n,
        distortions=(("noise 0.05", "noise 0.08"),) * n,
        label_source="constructed",
    )


def shared_data() -> Path | None:
    """Find the folder of public data beside the repository, if it is there."""
    folder = Path(os.environ.get("SIMLIB_WEIGHTS", "")).parent
    beside = Path(__file__).resolve().parents[2] / "shared" / "data"
    return next((path for path in (folder, beside) if (path / "examples" / "ex_ref.png").is_file()), None)
