"""Random tensors that depend on a sample's name and a seed, never on the batch around it."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence

import torch
from torch import Tensor

_WEYL = -7046029254386353131
_FIRST, _SECOND = -4658895280553007687, -7723592293110705685
"""The increment and the two factors of SplitMix64, as signed integers of 64 bits."""

_BITS = 24
"""Random bits in a number: as many as float32 holds, so that every dtype gets the same numbers."""


class Draws:
    """A stream of random numbers for every sample of a batch.

    A number is a function of the sample's name, the seed and how many were drawn before: SplitMix64
    (Steele, Lea & Flood 2014) counted from a key of its own. It is the same on every device and in
    every batch, and drawn for the whole batch at once.

    Args:
        names: one per sample; equal names and seeds give equal numbers.
        seed: any integer.
        device: where the numbers are needed.
    """

    def __init__(self, names: Sequence[str], seed: int, device: torch.device | str = "cpu") -> None:
        digests = (hashlib.sha256(f"{seed}/{name}".encode()).digest() for name in names)
        keys = [int.from_bytes(digest[:8], "big", signed=True) for digest in digests]
        self._keys = torch.tensor(keys, dtype=torch.int64, device=device)
        self._drawn = 0

    def uniform(self, *shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
        """Draw (N, *shape) numbers from [0, 1), evenly."""
        count = math.prod(shape)
        counter = torch.arange(self._drawn + 1, self._drawn + count + 1, device=self._keys.device)
        self._drawn += count
        bits = _mix(self._keys.unsqueeze(1) + counter * _WEYL)
        return (_shifted(bits, 64 - _BITS).to(dtype) / 2**_BITS).view(-1, *shape)

    def integers(self, high: int, *shape: int) -> Tensor:
        """Draw (N, *shape) whole numbers from 0 up to but not including ``high``, evenly."""
        return (self.uniform(*shape, dtype=torch.float64) * high).long()

    def signs(self, *shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
        """Draw (N, *shape) times -1 or +1, evenly."""
        return (self.uniform(*shape, dtype=dtype) < 0.5).to(dtype) * 2 - 1

    def narrow(self, index: Tensor) -> None:
        """Keep the samples at these positions (an integer tensor) only."""
        self._keys = self._keys[index]


def random_signs(names: Sequence[str], like: Tensor, seed: int) -> Tensor:
    """Draw -1 or +1 for every value of every sample.

    Args:
        names: one per sample; equal names and seeds give equal draws.
        like: a batch (N, ...) that gives the shape, dtype and device.
        seed: any integer.

    Returns:
        A tensor shaped like ``like``.
    """
    return Draws(names, seed, like.device).signs(*like.shape[1:], dtype=like.dtype)


def _mix(bits: Tensor) -> Tensor:
    bits = (bits ^ _shifted(bits, 30)) * _FIRST
    bits = (bits ^ _shifted(bits, 27)) * _SECOND
    return bits ^ _shifted(bits, 31)


def _shifted(bits: Tensor, places: int) -> Tensor:
    """Shift to the right and fill with zeros; torch's own shift repeats the sign."""
    return (bits >> places) & ((1 << (64 - places)) - 1)
