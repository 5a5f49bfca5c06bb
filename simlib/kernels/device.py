"""Where tensors live, and what happens when there is no room for them."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import psutil
import torch

from simlib.errors import InputError, OutOfMemoryError

Result = TypeVar("Result")


def pick_device(name: str = "auto") -> torch.device:
    """Return the device of this name; ``"auto"`` is the GPU where there is one, else the processor.

    Raises:
        InputError: if torch does not know the device, or this machine does not have it.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise InputError(
            f"There is no device {name!r} here: {error}. Use 'auto', 'cpu' or 'cuda'."
        ) from error
    return device


_SAYS_NO_ROOM = (
    "can't allocate memory",
    "not enough memory",
    "CUDA error: out of memory",
    "CUDNN_STATUS_ALLOC_FAILED",
    "CUBLAS_STATUS_ALLOC_FAILED",
)
"""How libraries say it who have no exception of their own for it."""


@dataclass(frozen=True)
class MemoryRanOut:
    """What the device, or the processor, said when it had no memory left."""

    reason: str


def unless_memory_runs_out(work: Callable[[], Result]) -> Result | MemoryRanOut:
    """Return the result of some work, or what was said when its memory ran out.

    Only the text is kept: the error itself holds on to the tensors of every frame it went through, and
    they must be free for another try.
    """
    try:
        return work()
    except (RuntimeError, MemoryError) as error:
        refused = isinstance(error, MemoryError | torch.OutOfMemoryError)
        if not refused and not any(text in str(error) for text in _SAYS_NO_ROOM):
            raise
        reason = (str(error) or type(error).__name__).splitlines()[0]
    torch.cuda.empty_cache()
    return MemoryRanOut(reason)


def in_fitting_batches(work: Callable[[int, int], Result], n: int, batch_size: int) -> Iterator[Result]:
    """Yield the results of batches of samples, in order; a batch that does not fit the memory is halved.

    Those after it are no larger, and one warning says so.

    Args:
        work: computes the samples from a first one up to a last one, which is left out.
        n: how many samples.
        batch_size: samples at once, to begin with.

    Raises:
        OutOfMemoryError: if a single sample does not fit.
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
                f"One triplet does not fit the memory ({part.reason}). Use smaller images or another device."
            )
        batch_size = (stop - start) // 2
        if not warned:
            warnings.warn(
                f"{stop - start} triplets at once do not fit the memory. The attack goes on with "
                f"{batch_size}, and with fewer if needed; a smaller batch_size saves the failed try.",
                stacklevel=4,
            )
            warned = True


def free_memory(device: torch.device) -> int:
    """Return how many bytes can be had on a device without taking them from others."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    return psutil.virtual_memory().available


@contextlib.contextmanager
def exact_convolutions() -> Iterator[None]:
    """Have CUDA convolve in full float32 and the same way every time; nothing changes elsewhere.

    By default it rounds factors to ten bits and picks an algorithm by the size of the batch, so that a
    distance would depend on its neighbours in the third digit.
    """
    with torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False):
        yield
