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
"""Random bits in a number: float32 holds no more, and every dtype must get the same numbers."""


class Draws:
    """A stream of random numbers for every sample of a batch.

    A number depends on the sample's name, the seed and the count of numbers drawn before: it is SplitMix64
    (Steele, Lea & Flood 2014) of that count, from a key for each sample. So it is the same on every
    device and in every batch.
    """

    def __init__(self, names: Sequence[str], seed: int, device: torch.device | str = "cpu") -> None:
        digests = (hashlib.sha256(f"{seed}/{name}".encode()).digest() for name in names)
        keys = [int.from_bytes(digest[:8], "big", signed=True) for digest in digests]
        self._keys = torch.tensor(keys, dtype=torch.int64, device=device)
        self._drawn = 0

    def uniform(self, *shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
        """Draw (N, *shape) numbers, uniformly from [0, 1)."""
        count = math.prod(shape)
        counter = torch.arange(self._drawn + 1, self._drawn + count + 1, device=self._keys.device)
        self._drawn += count
        bits = _mix(self._keys.unsqueeze(1) + counter * _WEYL)
        return (_shifted(bits, 64 - _BITS).to(dtype) / 2**_BITS).view(-1, *shape)

    def integers(self, high: int, *shape: int) -> Tensor:
        """Draw (N, *shape) whole numbers, uniformly from 0 to ``high`` - 1."""
        return (self.uniform(*shape, dtype=torch.float64) * high).long()

    def signs(self, *shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
        """Draw (N, *shape) numbers, -1 or +1 with equal chance."""
        return (self.uniform(*shape, dtype=dtype) < 0.5).to(dtype) * 2 - 1

    def narrow(self, index: Tensor) -> None:
        """Keep the samples at these positions (an integer tensor) only."""
        self._keys = self._keys[index]


def random_signs(names: Sequence[str], like: Tensor, seed: int) -> Tensor:
    """Draw -1 or +1 for every value of a batch (N, ...), in its shape, dtype and device."""
    return Draws(names, seed, like.device).signs(*like.shape[1:], dtype=like.dtype)


def _mix(bits: Tensor) -> Tensor:
    bits = (bits ^ _shifted(bits, 30)) * _FIRST
    bits = (bits ^ _shifted(bits, 27)) * _SECOND
    return bits ^ _shifted(bits, 31)


def _shifted(bits: Tensor, places: int) -> Tensor:
    """Shift to the right and fill with zeros; torch's shift would repeat the sign bit."""
    return (bits >> places) & ((1 << (64 - places)) - 1)
