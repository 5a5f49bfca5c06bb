"""The device that tensors are on, and what happens when its memory runs out."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import psutil
import torch

from simlib.errors import InputError, OutOfMemoryError

Result = TypeVar("Result")


def pick_device(name: torch.device | str = "auto") -> torch.device:
    """Return the device of this name, or raise an InputError; ``"auto"`` is the GPU, else the processor."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if str(name) == "cpu":
        return torch.device("cpu")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            device = torch.device(name)
            # Only a number that comes back shows that a device computes: "meta" holds none.
            torch.ones(1, device=device).item()
    # What is raised for a device that is not there, or in no library, is of any kind.
    except Exception as error:
        reason = "PyTorch cannot compute on it"
        if str(name).startswith("cuda"):
            reason = str(error).partition("\n")[0].partition(". ")[0]
        raise InputError(
            f"There is no device {str(name)!r} here ({reason}). Use 'auto', 'cpu' or 'cuda'."
        ) from error
    return device


_NO_MEMORY = re.compile(
    "can't allocate memory|not enough memory|CUDA error: out of memory|(CUDNN|CUBLAS)_STATUS_ALLOC_FAILED"
)
"""How libraries report this in a plain ``RuntimeError``."""


@dataclass(frozen=True)
class MemoryRanOut:
    """The message of a device that had no memory left."""

    reason: str


def unless_memory_runs_out(work: Callable[[], Result]) -> Result | MemoryRanOut:
    """Return the result of some work, or the message if its memory ran out.

    The error itself is not kept: it refers to tensors whose memory must be free for another try.
    """
    try:
        return work()
    except (RuntimeError, MemoryError) as error:
        if not isinstance(error, MemoryError | torch.OutOfMemoryError) and not _NO_MEMORY.search(str(error)):
            raise
        reason = (str(error) or type(error).__name__).splitlines()[0]
    torch.cuda.empty_cache()
    return MemoryRanOut(reason)


def in_fitting_batches(work: Callable[[int, int], Result], n: int, batch_size: int) -> Iterator[Result]:
    """Yield the results of batches of n samples, in order; a batch that does not fit the memory is halved.

    Later batches are no larger than the half, and one warning says so. ``work`` computes the samples from its
    first argument up to, but not including, its second.

    Raises:
        OutOfMemoryError: a single sample does not fit.
    """
    start, warned = 0, False
    while start < n:
        stop = min(start + batch_size, n)
        part = unless_memory_runs_out(partial(work, start, stop))
        if not isinstance(part, MemoryRanOut):
            start = stop
            yield part
            continue
        if stop - start == 1:
            raise OutOfMemoryError(
                f"One sample does not fit the memory ({part.reason}). Use smaller images or another device."
            )
        batch_size = (stop - start) // 2
        if not warned:
            warnings.warn(
                f"{stop - start} samples at once do not fit the memory. The next batches hold "
                f"{batch_size}, or fewer if needed. A smaller batch_size avoids this failed try.",
                stacklevel=4,
            )
            warned = True


def free_memory(device: torch.device) -> int:
    """Return how many bytes of a device's memory are free."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    return psutil.virtual_memory().available
