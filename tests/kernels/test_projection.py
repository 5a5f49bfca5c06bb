"""Projections and 8-bit rounding: budgets hold, and nothing moves more than it must."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from simlib.kernels.images import LEVELS
from simlib.kernels.projection import (
    project_l2,
    project_linf,
    round_to_8bit,
    round_within,
    round_within_l2,
    truncate_to_8bit,
)

shapes = st.tuples(st.integers(1, 3), st.just(3), st.integers(1, 9), st.integers(1, 9))
seeds = st.integers(0, 2**31)


def draw(shape: tuple[int, ...], seed: int, *, on_grid: bool) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    original = torch.rand(shape, generator=generator)
    moved = original + torch.randn(shape, generator=generator)
    return (round_to_8bit(original) if on_grid else original), moved


def assert_within(images: Tensor, original: Tensor, eps: float) -> None:
    assert (images - original).abs().max() <= eps + 1e-5
    assert ((images >= 0) & (images <= 1)).all()


@given(shapes, st.floats(0.0, 0.5), seeds)
@settings(deadline=None)
def test_linf_projection_and_rounding_within_never_exceed_the_budget(
    shape: tuple[int, ...], eps: float, seed: int
) -> None:
    original, moved = draw(shape, seed, on_grid=False)
    landed = project_linf(moved, original, eps)
    assert_within(landed, original, eps)
    expected = moved.double().clamp(original.double() - eps, original.double() + eps).clamp(0, 1)
    torch.testing.assert_close(landed.double(), expected, atol=1e-6, rtol=0)
    if eps > 0.51 / LEVELS:
        assert_within(round_within(landed, original, eps), original, eps)
    original = round_to_8bit(original)
    rounded = round_within(project_linf(moved, original, eps), original, eps)
    assert_within(rounded, original, eps)
    torch.testing.assert_close(rounded * LEVELS, (rounded * LEVELS).round(), atol=1e-4, rtol=0)


def test_rounding_within_steps_back_only_where_rounding_would_leave() -> None:
    original = torch.full((1, 3, 1, 1), 100 / LEVELS)
    for change, expected in ((3.825, 103), (2.6, 103), (0.4, 100)):
        rounded = round_within(original + change / LEVELS, original, 3.825 / LEVELS)
        assert (rounded * LEVELS).round().eq(expected).all()


def test_rounding_agrees_with_a_saved_file() -> None:
    values = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    expected = (values.double() * 255).round().to(torch.uint8).double() / 255
    torch.testing.assert_close(round_to_8bit(values).double(), expected, atol=1e-7, rtol=0)


def test_truncation_loses_a_level_on_63_values_of_an_untouched_image() -> None:
    untouched = torch.arange(256).float() / LEVELS
    lost = ((untouched - truncate_to_8bit(untouched)) * LEVELS).round()
    assert set(lost.tolist()) == {0.0, 1.0}
    assert int(lost.sum()) == 63


@given(shapes, st.floats(0.01, 3), seeds)
@settings(deadline=None)
def test_l2_projection_is_the_nearest_point_before_the_box(
    shape: tuple[int, ...], eps: float, seed: int
) -> None:
    original, moved = draw(shape, seed, on_grid=False)
    landed = project_l2(moved, original, eps)
    assert (landed - original).flatten(1).norm(dim=1).max() <= eps * (1 + 1e-5)
    length = (moved - original).flatten(1).norm(dim=1).view(-1, 1, 1, 1)
    expected = (original + (moved - original) * (eps / length).clamp_max(1)).clamp(0, 1)
    torch.testing.assert_close(landed, expected, atol=1e-6, rtol=0)


@given(shapes, st.floats(0.003, 3), seeds)
@settings(deadline=None)
def test_rounding_within_l2_never_exceeds_the_budget(shape: tuple[int, ...], eps: float, seed: int) -> None:
    original, moved = draw(shape, seed, on_grid=True)
    candidate = project_l2(moved, original, eps)
    rounded = round_within_l2(candidate, original, eps)
    torch.testing.assert_close(rounded, round_to_8bit(rounded))
    assert (rounded - original).flatten(1).norm(dim=1).max() <= eps + 1e-5
    # every value goes to one of the two levels around it
    assert (rounded - candidate).abs().max() < 1 / LEVELS + 1e-5
    nearest = round_to_8bit(candidate)
    fits = (nearest - original).flatten(1).norm(dim=1) <= eps - 1e-4
    # a value halfway between two levels may go to either
    assert ((rounded - candidate)[fits].abs() <= 0.501 / LEVELS).all()


def test_rounding_within_l2_spends_the_budget_on_the_largest_fractions() -> None:
    original = torch.zeros(1, 3, 1, 1)
    candidate = torch.tensor([0.9, 0.8, 0.7]).view(1, 3, 1, 1) / LEVELS
    rounded = round_within_l2(candidate, original, 1.5 / LEVELS) * LEVELS
    torch.testing.assert_close(rounded.flatten(), torch.tensor([1.0, 1.0, 0.0]))


@given(seeds)
@settings(deadline=None, max_examples=20)
def test_every_sample_may_have_its_own_budget(seed: int) -> None:
    original, moved = draw((3, 3, 4, 5), seed, on_grid=True)
    eps = torch.tensor([0.01, 0.1, 0.4])
    for together in (project_linf, project_l2, round_within, round_within_l2):
        inside = moved.clamp(0, 1) if together is round_within else project_l2(moved, original, eps)
        start = moved if together in (project_linf, project_l2) else inside
        alone = [together(start[i : i + 1], original[i : i + 1], float(eps[i])) for i in range(3)]
        torch.testing.assert_close(together(start, original, eps), torch.cat(alone))


@pytest.mark.parametrize("levels", [1, 1.5, 2, 3])
def test_a_small_budget_in_l2_is_spent_on_the_largest_changes(levels: float) -> None:
    generator = torch.Generator().manual_seed(0)
    original = torch.randint(9, 240, (3, 3, 16, 16), generator=generator) / 255
    change = torch.randn(original.shape, generator=generator)
    change *= levels / 255 / change.flatten(1).norm(dim=1).view(-1, 1, 1, 1)
    moved = (round_within_l2(original + change, original, levels / 255) - original) * 255
    count = int(levels**2 + 1e-6)
    for i in range(3):
        largest = set(change[i].abs().flatten().topk(count).indices.tolist())
        changed = set(moved[i].flatten().round().nonzero().flatten().tolist())
        assert changed and changed <= largest and len(changed) >= count - 1
        assert moved[i].norm() <= levels + 1e-4
        assert (moved[i] * change[i] >= 0).all()
