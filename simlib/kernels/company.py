"""A lone sample computed as one of several, so that its rounding is that of any larger batch.

Libraries have other code for one sample than for more: convolutions that are not worth their fast path,
products and sums that all threads share. An attack of many steps amplifies the difference.
"""

from __future__ import annotations

import torch
from torch import Tensor


def in_company(samples: Tensor) -> Tensor:
    """Return a lone sample (1, ...) twice, (2, ...), and more or less than one as they are."""
    return torch.cat([samples, samples]) if len(samples) == 1 else samples


def sample_sums(values: Tensor) -> Tensor:
    """Add up all values of each sample (N, ...), (N,)."""
    return in_company(values).flatten(1).sum(dim=1)[: len(values)]


def sample_products(a: Tensor, b: Tensor) -> Tensor:
    """Multiply the matrices of each sample, (N, I, J) by (N, J, K), to (N, I, K)."""
    return (in_company(a) @ in_company(b))[: len(a)]
