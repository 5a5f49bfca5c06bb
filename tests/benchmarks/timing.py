"""Fair timing on shared machines: warm, synchronised, alternating, medians of ratios within one run."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

import torch

from simlib.metrics import Metric


def seconds(work: Callable[[], object]) -> float:
    """Time one call, waiting for an accelerator to finish."""
    started = time.perf_counter()
    work()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - started


def median_ratio(slow: Callable[[], object], fast: Callable[[], object], *, rounds: int) -> float:
    """Time both in turn after one warm-up, and return the median of the ratios."""
    seconds(slow)
    seconds(fast)
    return statistics.median(seconds(slow) / seconds(fast) for _ in range(rounds))


def faster_thread_count(work: Callable[[], object], most: int) -> int:
    """Return the number of threads, 1 or all, at which some work takes less time."""
    times = {}
    for threads in {1, most}:
        torch.set_num_threads(threads)
        work()
        times[threads] = seconds(work)
    torch.set_num_threads(most)
    return min(times, key=lambda threads: times[threads])


def circumstances(metric: Metric, device: torch.device) -> dict[str, Any]:
    """Say on what something was measured."""
    return {
        "metric": metric.spec.title,
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
        "threads": torch.get_num_threads(),
    }
