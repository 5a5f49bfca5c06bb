"""Arithmetic that rounds a sample's numbers the same way, whatever batch the sample is in.

For a batch of one, libraries choose other code than for larger batches: other convolutions, and products
and sums that are divided among threads. An attack of many steps amplifies the difference in rounding.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def repeat_single(samples: Tensor) -> Tensor:
    """Repeat a single sample, (1, ...) to (2, ...); return any other number of samples as they are."""
    return torch.cat([samples, samples]) if len(samples) == 1 else samples


def sample_sums(values: Tensor) -> Tensor:
    """Add up all values of each sample (N, ...), (N,)."""
    return repeat_single(values).flatten(1).sum(dim=1)[: len(values)]


def sample_products(a: Tensor, b: Tensor) -> Tensor:
    """Multiply the matrices of each sample, (N, I, J) by (N, J, K), to (N, I, K)."""
    return (repeat_single(a) @ repeat_single(b))[: len(a)]


def sample_rows(values: Sequence[Tensor]) -> Tensor:
    """Put several values of each sample, a tensor (N,) for each of them, into one row a sample, (N, M)."""
    # torch adds up every row in the same order. Columns are added up in blocks, and the last columns, which
    # do not fill a block, in another order: a sum would depend on the place of the sample in the batch.
    return torch.stack(list(values), dim=1)
