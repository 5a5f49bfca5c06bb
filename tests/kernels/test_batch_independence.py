"""A single sample is rounded as it is in a larger batch."""

from __future__ import annotations

import pytest
import torch

from simlib.kernels.batch_independence import repeat_single, sample_products, sample_rows, sample_sums


@pytest.mark.parametrize("n", [0, 1, 2, 5])
def test_values_are_those_of_plain_torch(n: int) -> None:
    generator = torch.Generator().manual_seed(n)
    a = torch.randn(n, 4, 6, generator=generator, dtype=torch.float64)
    b = torch.randn(n, 6, 2, generator=generator, dtype=torch.float64)
    assert torch.equal(repeat_single(a)[:n], a)
    assert len(repeat_single(a)) == (2 if n == 1 else n)
    torch.testing.assert_close(sample_sums(a), a.sum(dim=(1, 2)))
    torch.testing.assert_close(sample_products(a, b), torch.einsum("nij,njk->nik", a, b))
    assert torch.equal(sample_rows(a[:, :, 0].unbind(1)), a[:, :, 0])


@pytest.mark.numerical
@pytest.mark.parametrize("threads", [1, 2])
def test_sums_and_products_of_a_single_sample_are_those_of_the_first_of_two_to_the_last_bit(
    threads: int,
) -> None:
    generator = torch.Generator().manual_seed(0)
    # So long that torch would divide the work on a single sample among its threads.
    a = torch.randn(4, 40, 8192, generator=generator)
    b = torch.randn(4, 8192, 3, generator=generator)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        for i in range(4):
            part, two = slice(i, i + 1), torch.tensor([i, 3 - i])
            assert torch.equal(sample_sums(a[part]), sample_sums(a[two])[:1])
            assert torch.equal(sample_products(a[part], b[part]), sample_products(a[two], b[two])[:1])
    finally:
        torch.set_num_threads(before)


def test_the_sum_of_a_row_does_not_depend_on_its_place_in_the_batch() -> None:
    sample = torch.randn(12, generator=torch.Generator().manual_seed(0)) * 10 ** torch.linspace(-3, 3, 12)
    for n in range(1, 40):
        sums = sample_rows([value.repeat(n) for value in sample]).sum(dim=1)
        assert (sums == sums[0]).all()
