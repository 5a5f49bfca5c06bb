"""The time that a metric takes on this machine."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch

from simlib.kernels.noise import Draws
from simlib.metrics.metric import Metric

_USUAL_SIDE, _PAIRS, _REPEATS = 64, 4, 5


@dataclass(frozen=True)
class Timing:
    """Milliseconds for one pair of images, in the fastest of several batches.

    Attributes:
        side: height and width of the images, in pixels.
        forward: for the distance, with the features of both images.
        both: for the distance and its gradient with respect to one image; None if it has no gradient.
    """

    side: int
    forward: float
    both: float | None


def measure_time(metric: Metric, device: torch.device | str = "cpu") -> Timing:
    """Time a metric on a small batch of 64 x 64 pixels, or of its least side if that is larger.

    Other work on the machine only makes a run slower. So the fastest run is the best estimate. The metric is
    of float32, on the device.
    """
    side = max(_USUAL_SIDE, metric.spec.least_side)
    ref, x = Draws(["ref", "x"], 0, device).uniform(_PAIRS, 3, side, side)

    def both() -> None:
        variable = x.clone().requires_grad_()
        torch.autograd.grad(metric(ref, variable).sum(), variable)

    forward = _milliseconds(lambda: metric(ref, x))
    return Timing(side, forward, _milliseconds(both) if metric.spec.differentiable else None)


def _milliseconds(work: Callable[[], object]) -> float:
    # Python does not wait for an accelerator otherwise.
    wait = torch.cuda.synchronize if torch.cuda.is_available() else lambda: None
    times = []
    for _ in range(_REPEATS):
        wait()
        start = time.perf_counter()
        work()
        wait()
        times.append(time.perf_counter() - start)
    return 1000 * min(times) / _PAIRS
