"""Random tensors that depend on a sample's name and a seed, never on the batch around it."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import torch
from torch import Tensor


def random_signs(names: Sequence[str], like: Tensor, seed: int) -> Tensor:
    """Draw -1 or +1 for every value of every sample.

    Args:
        names: one per sample; equal names and seeds give equal draws.
        like: a batch (N, ...) that gives the shape, dtype and device.
        seed: any integer.

    Returns:
        A tensor shaped like ``like``.
    """
    signs = torch.empty(like.shape, dtype=like.dtype)
    for row, name in zip(signs, names, strict=True):
        digest = hashlib.sha256(f"{seed}/{name}".encode()).digest()
        generator = torch.Generator().manual_seed(int.from_bytes(digest[:8], "big", signed=True))
        row.copy_(torch.randint(0, 2, row.shape, generator=generator) * 2 - 1)
    return signs.to(like.device)
