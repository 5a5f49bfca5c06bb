"""The time that a metric takes on this machine, measured or foreseen."""

from __future__ import annotations

import contextlib
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from weakref import WeakKeyDictionary

import torch

from simlib.kernels.device import pick_device
from simlib.kernels.noise import Draws
from simlib.metrics.metric import Metric, require_metric

_USUAL_SIDE, _PAIRS, _REPEATS = 64, 4, 5

_LARGE_SIDE = 256
"""Images of a larger area are looked at before they are measured: a pair may take minutes."""

_PROBE_SIDE = 128

_LONG = 10.0
"""Seconds that measuring may take without being announced."""


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

    Raises:
        InputError: there is no metric, or nothing can be computed on the device.
    """
    require_metric(metric, "metric")
    device = pick_device(device)
    side = max(_USUAL_SIDE, metric.spec.least_side)
    ref, x = Draws(["ref", "x"], 0, device).uniform(_PAIRS, 3, side, side)

    def both() -> None:
        variable = x.clone().requires_grad_()
        torch.autograd.grad(metric(ref, variable).sum(), variable)

    forward = _milliseconds(lambda: metric(ref, x))
    return Timing(side, forward, _milliseconds(both) if metric.spec.differentiable else None)


@torch.no_grad()
def seconds_a_megapixel(metric: Metric, device: torch.device | str = "cpu") -> float:
    """Return about how long the distance of one pair of a megapixel takes.

    It is the time of a pair of 256 x 256 pixels, in proportion to the area.
    """
    side = max(_LARGE_SIDE, metric.spec.least_side)
    ref, x = Draws(["ref", "x"], 0, pick_device(device)).uniform(1, 3, side, side)
    return _fastest(lambda: metric(ref, x), repeats=1) * 10**6 / side**2


def _milliseconds(work: Callable[[], object]) -> float:
    return 1000 * _fastest(work, _REPEATS) / _PAIRS


def _fastest(work: Callable[[], object], repeats: int) -> float:
    """Return the seconds of the fastest of several runs of some work."""
    # Python does not wait for an accelerator otherwise.
    wait = torch.cuda.synchronize if torch.cuda.is_available() else lambda: None
    times = []
    for _ in range(repeats):
        wait()
        start = time.perf_counter()
        work()
        wait()
        times.append(time.perf_counter() - start)
    return min(times)


@torch.no_grad()
def announce(metric: Metric, images: torch.Tensor, pairs: int) -> None:
    """Warn of so many distances between images as large as these (N, 3, H, W), where they will take long.

    The time is that of a small pair, in proportion to the area. Where images are small, or are on another
    device than the processor, nothing is measured.
    """
    height, width = images.shape[-2:]
    if images.device.type != "cpu" or height * width <= _LARGE_SIDE**2:
        return
    if metric not in _SECONDS_A_PIXEL:
        side = max(_PROBE_SIDE, metric.spec.least_side)
        small = images[:1, :, :side, :side]
        start = time.perf_counter()
        # A metric of one's own may want large images only, and measures without a notice.
        with contextlib.suppress(Exception):
            metric(small, small.flip(-1))
        _SECONDS_A_PIXEL[metric] = (time.perf_counter() - start) / small[0, 0].numel()
    seconds = _SECONDS_A_PIXEL[metric] * height * width * pairs
    if seconds > _LONG:
        warnings.warn(
            f"{metric.spec.title} will take about {_told(seconds)} for {pairs} pairs of {width} x {height} "
            "pixels on this machine, and an attack as long at each step. Smaller images take less, in "
            "proportion to their area.",
            stacklevel=5,
        )


_SECONDS_A_PIXEL = WeakKeyDictionary[Metric, float]()


def _told(seconds: float) -> str:
    sizes = {"hours": 3600, "minutes": 60, "seconds": 1}
    unit = next(unit for unit, size in sizes.items() if seconds > 1.5 * size)
    return f"{seconds / sizes[unit]:.0f} {unit}"
