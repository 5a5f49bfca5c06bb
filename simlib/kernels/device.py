"""Where tensors live."""

from __future__ import annotations

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
