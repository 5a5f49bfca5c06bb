"""Where tensors live."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch

from simlib.errors import InputError


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


def is_out_of_memory(error: BaseException) -> bool:
    """Say whether an error means that the device, or the processor, has no memory left."""
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or (
        isinstance(error, RuntimeError) and "can't allocate memory" in str(error)
    )


@contextlib.contextmanager
def exact_convolutions() -> Iterator[None]:
    """Have CUDA convolve in full float32 and the same way every time; nothing changes elsewhere.

    By default it rounds factors to ten bits and picks an algorithm by the size of the batch, so that a
    distance would depend on its neighbours in the third digit.
    """
    with torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False):
        yield
