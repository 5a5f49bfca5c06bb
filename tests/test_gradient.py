"""FGSM and PGD: against the released procedure one triplet at a time, and what is particular to them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import get_args

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from simlib import metrics
from simlib.attacks import PAPER_EPS, AttackResult, Protocol, RankFlip, Target, fgsm, pgd
from simlib.errors import InputError
from simlib.metrics import Metric
from simlib.metrics.pixel import MeanSquaredError
from simlib.triplets import Triplets, photos, read_image, write_image
from tests.oracles import pgd_one_by_one
from tests.support import any_weights, random_triplets

Attack = Callable[..., AttackResult]
every_protocol = pytest.mark.parametrize("protocol", get_args(Protocol))


@pytest.fixture(scope="module")
def metric() -> Metric:
    return any_weights("ssim")


@pytest.fixture(scope="module")
def triplets() -> Triplets:
    return photos(12, seed=5, side=32)


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("name", ["l2", "ssim", "lpips-squeeze"])
def test_paper_protocol_is_the_released_procedure(name: str, reverse: bool) -> None:
    metric = any_weights(name, torch.float64)
    triplets = photos(8, seed=5, side=32).to(dtype=torch.float64)
    # The oracle works in [0, 1] here: going to [-1, 1] and back would turn slopes of zero into noise,
    # whose sign is arbitrary.
    eps, step, steps = (0.05, 0.0005, 50) if reverse else (0.015, 0.0005, 30)
    target: Target = "farther" if reverse else "closer"
    result = pgd(RankFlip(metric, triplets, target), eps=eps, step=step, steps=steps, protocol="paper")
    for i in range(8):
        ref, p0, p1 = (image[i : i + 1] for image in (triplets.ref, triplets.p0, triplets.p1))
        expected = pgd_one_by_one(
            metric, ref, p0, p1, eps=eps, step=step, steps=steps, reverse=reverse, box=(0.0, 1.0)
        )
        assert bool(result.flipped[i]) == expected.flipped
        assert int(result.steps[i]) == expected.steps
        torch.testing.assert_close(result.images[i], expected.image[0], atol=1e-9, rtol=0)


def test_paper_settings_reach_the_budget_exactly_and_the_last_image_is_untested(triplets: Triplets) -> None:
    metric = any_weights("l2")
    result = pgd(RankFlip(metric, triplets), protocol="paper")
    assert result.linf.max() == pytest.approx(PAPER_EPS, abs=1e-6)
    assert result.steps[result.flipped].max() <= 29
    assert (result.steps[~result.flipped] == 30).all()
    assert (result.forwards[~result.flipped] == 30).all()


def test_strict_success_survives_a_png(metric: Metric, triplets: Triplets, tmp_path: Path) -> None:
    problem = RankFlip(metric, triplets)
    result = pgd(problem, eps=8 / 255, step=1 / 255)
    assert result.flipped.any()
    read = []
    for index, image in enumerate(result.images):
        write_image(image, tmp_path / f"{index}.png")
        read.append(read_image(tmp_path / f"{index}.png"))
    assert torch.equal(problem.margin(torch.stack(read)) > 0, result.flipped)


def test_rounding_erases_some_flips_of_the_paper_protocol(metric: Metric) -> None:
    result = pgd(RankFlip(metric, photos(48, seed=1, side=32)), protocol="paper", steps=8)
    small = result.flipped & (result.steps <= 3)
    assert small.any()
    assert not result.flipped_8bit[small].any()
    assert torch.equal(result.rmse[small], torch.zeros(int(small.sum())))


class CountingSquaredError(MeanSquaredError):
    """The mean squared error, which notes how many images it looks at."""

    def __init__(self) -> None:
        super().__init__()
        self.spec = metrics.spec_of("l2")
        self.seen: list[int] = []

    def look_at(self, images: torch.Tensor) -> metrics.Features:
        self.seen.append(len(images))
        return super().look_at(images)


@every_protocol
def test_a_sample_that_has_flipped_costs_nothing_more(protocol: Protocol, triplets: Triplets) -> None:
    counting = CountingSquaredError()
    result = pgd(RankFlip(counting, triplets), eps=0.2, step=0.01, protocol=protocol)
    assert result.flipped.any()
    assert len(result.steps.unique()) > 2
    measured = 1 if protocol == "strict" else 2
    prepared, attack, after = counting.seen[:3], counting.seen[3:-measured], counting.seen[-measured:]
    assert prepared == [len(triplets)] * 3
    assert after == [len(triplets)] * measured
    assert attack == [int((result.steps >= step).sum()) for step in range(len(attack))]
    # Under the strict protocol the final measurement is the last test of those that never flipped.
    tested_last = 0 if protocol == "paper" else int((~result.flipped).sum())
    assert sum(attack) == int(result.forwards.sum()) - tested_last


def test_attacked_image_equal_to_the_reference(triplets: Triplets) -> None:
    same = dataclasses.replace(triplets, ref=triplets.p1)
    problem = RankFlip(any_weights("l2"), same)
    stuck = pgd(problem, protocol="paper")
    assert torch.equal(stuck.images, same.p1)
    assert not stuck.flipped.any()
    moved = pgd(problem, eps=16 / 255, step=1 / 255, batch_size=5)
    assert (moved.linf > 0).all()
    assert torch.equal(moved.images, pgd(problem, eps=16 / 255, step=1 / 255).images)
    assert not torch.equal(moved.images, pgd(problem, eps=16 / 255, step=1 / 255, seed=1).images)


def test_fgsm_takes_the_smallest_size_that_flips(triplets: Triplets) -> None:
    problem = RankFlip(any_weights("l2"), triplets)
    result = fgsm(problem)
    assert result.flipped.any()
    sizes = (result.linf[result.flipped] * 255).round()
    assert torch.equal(sizes.long(), result.steps[result.flipped])
    for size in range(1, 11):
        alone = fgsm(problem, grid=[size / 255]).flipped
        assert alone[result.flipped & (result.steps == size)].all()
        assert not alone[result.steps > size].any()
        assert not alone[~result.flipped].any()


@given(
    side=st.integers(11, 48),
    n=st.integers(1, 5),
    levels=st.floats(0.1, 20),
    protocol=st.sampled_from(get_args(Protocol)),
)
@settings(deadline=None, max_examples=15)
def test_budget_holds_for_any_size(side: int, n: int, levels: float, protocol: Protocol) -> None:
    problem = RankFlip(any_weights("ssim"), random_triplets(n, side=side))
    eps = levels / 255
    result = pgd(problem, eps=eps, step=eps / 2, steps=4, protocol=protocol)
    assert result.linf.max() <= eps + 1e-6
    rounded = (result.images * 255).round() / 255
    if protocol == "strict":
        assert (rounded - result.original).abs().max() <= eps + 1e-6


@pytest.mark.parametrize(
    ("attack", "wrong", "message"),
    [
        (pgd, {"eps": 0.0}, "eps is 0.0"),
        (pgd, {"eps": float("nan")}, "eps is nan"),
        (pgd, {"step": -1.0}, "step is -1.0"),
        (pgd, {"steps": 0}, "steps is 0"),
        (pgd, {"steps": 0.5}, "steps is 0.5"),
        (fgsm, {"grid": []}, "at least one size"),
        (fgsm, {"grid": [0.2, 0.1]}, "each larger"),
        (fgsm, {"grid": [0.0, 0.1]}, "smallest size of the grid is 0.0"),
    ],
)
def test_parameters_outside_their_meaning(attack: Attack, wrong: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        attack(RankFlip(any_weights("l2"), random_triplets(1)), **wrong)


needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")


@needs_gpu
def test_float32_on_a_gpu_is_exact_and_repeats(triplets: Triplets) -> None:
    metric = any_weights.__wrapped__("st-lpips-alex").to("cuda")
    there = triplets.to(device="cuda")
    problem = RankFlip(metric, there)
    assert torch.equal(pgd(problem).images, pgd(problem).images)
    exact = any_weights("st-lpips-alex", torch.float64)(triplets.ref.double(), triplets.p0.double())
    found = metric(there.ref, there.p0).double().cpu()
    torch.testing.assert_close(found, exact, rtol=1e-4, atol=1e-6)
