"""What a metric costs on this machine."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch

from simlib.metrics.metric import Metric

_USUAL_SIDE = 64
_PAIRS = 4
_REPEATS = 5


@dataclass(frozen=True)
class Cost:
    """Milliseconds for one pair of images, in the fastest of several batches.

    Attributes:
        side: height and width of the images, in pixels.
        forward: for the distance, both images looked at.
        both: for the distance and its gradient with respect to one image; None if it has no gradient.
    """

    side: int
    forward: float
    both: float | None


def measure_cost(metric: Metric, device: torch.device | str = "cpu") -> Cost:
    """Time a metric on a small batch of 64 x 64 pixels, or of its least side if that is larger.

    Other work on the machine only ever adds to a time, so the fastest is the nearest to the metric's own.

    Args:
        metric: of float32, on the device.
        device: where it is.
    """
    side = max(_USUAL_SIDE, metric.spec.least_side)
    generator = torch.Generator().manual_seed(0)
    ref, x = (torch.rand((_PAIRS, 3, side, side), generator=generator).to(device) for _ in range(2))

    def forward() -> None:
        with torch.no_grad():
            metric(ref, x)

    def both() -> None:
        variable = x.clone().requires_grad_()
        torch.autograd.grad(metric(ref, variable).sum(), variable)

    return Cost(side, _milliseconds(forward), _milliseconds(both) if metric.spec.differentiable else None)


def _milliseconds(work: Callable[[], None]) -> float:
    times = []
    for _ in range(_REPEATS):
        _wait()
        start = time.perf_counter()
        work()
        _wait()
        times.append(time.perf_counter() - start)
    return 1000 * min(times) / _PAIRS


def _wait() -> None:
    """Let an accelerator finish, which works on while Python goes ahead."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
