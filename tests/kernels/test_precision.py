"""The precision of the input, kept through code that falls back to float32."""

from __future__ import annotations

import torch

from simlib.kernels.precision import keep_precision


def test_doubles_stay_doubles() -> None:
    third = torch.tensor(1 / 3, dtype=torch.float64)
    with keep_precision(torch.float64):
        assert torch.equal(third.float(), third)
        assert torch.zeros(2).dtype == torch.float64
        assert torch.zeros(2, dtype=torch.float32).dtype == torch.float32
        assert third.to(torch.float32).dtype == torch.float32
    assert third.float().dtype == torch.float32
    assert torch.zeros(2).dtype == torch.float32


def test_lower_precision_may_still_be_raised() -> None:
    with keep_precision(torch.float16):
        assert torch.ones(2, dtype=torch.float16).float().dtype == torch.float32
        assert torch.ones(2, dtype=torch.float64).float().dtype == torch.float32
