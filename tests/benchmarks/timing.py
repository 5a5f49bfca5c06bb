"""Fair timing on shared machines: warm, synchronised, alternating, medians of ratios within one run."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import torch


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
