"""A lone sample is computed as one of several."""

from __future__ import annotations

import pytest
import torch

from simlib.kernels.company import in_company, sample_products, sample_sums


@pytest.mark.parametrize("n", [0, 1, 2, 5])
def test_only_a_lone_sample_is_doubled(n: int) -> None:
    samples = torch.randn(n, 3)
    found = in_company(samples)
    assert torch.equal(found[:n], samples)
    assert len(found) == (2 if n == 1 else n)


@pytest.mark.parametrize("n", [0, 1, 2, 5])
def test_sums_and_products_are_those_of_plain_torch(n: int) -> None:
    generator = torch.Generator().manual_seed(n)
    a = torch.randn(n, 4, 6, generator=generator, dtype=torch.float64)
    b = torch.randn(n, 6, 2, generator=generator, dtype=torch.float64)
    torch.testing.assert_close(sample_sums(a), a.sum(dim=(1, 2)))
    torch.testing.assert_close(sample_products(a, b), torch.einsum("nij,njk->nik", a, b))


def test_sums_and_products_of_a_lone_sample_are_those_among_others_to_the_last_bit() -> None:
    generator = torch.Generator().manual_seed(0)
    # So long that a lone one would be shared out among the threads.
    a = torch.randn(4, 40, 8192, generator=generator)
    b = torch.randn(4, 8192, 3, generator=generator)
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        for i in range(4):
            part = slice(i, i + 1)
            assert torch.equal(sample_sums(a[part]), sample_sums(a)[part])
            assert torch.equal(sample_products(a[part], b[part]), sample_products(a, b)[part])
    finally:
        torch.set_num_threads(threads)
