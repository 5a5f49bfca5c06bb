"""FGSM and PGD: against the released procedure one triplet at a time, and what is particular to them."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import get_args

import pytest
import torch

from simlib.attacks import FGSM, PAPER_EPS, PGD, Protocol, RankFlip, Target
from simlib.metrics import Metric
from simlib.triplets import Triplets, photos, read_image, write_image
from tests.oracles import pgd_one_by_one
from tests.support import Watched, any_weights

every_protocol = pytest.mark.parametrize("protocol", get_args(Protocol))


@pytest.fixture(scope="module")
def metric() -> Metric:
    return any_weights("ssim")


@pytest.fixture(scope="module")
def triplets() -> Triplets:
    return photos(12, seed=5, side=32)


@pytest.mark.parametrize(
    ("name", "reverse"),
    [("l2", False), ("l2", True), ("ssim", False), ("ssim", True), ("lpips-squeeze", False)],
)
def test_paper_protocol_is_the_released_procedure(name: str, reverse: bool) -> None:
    metric = any_weights(name, torch.float64)
    triplets = photos(5, seed=5, side=32).to(dtype=torch.float64)
    # The oracle works in [0, 1] here: going to [-1, 1] and back would turn slopes of zero into noise,
    # whose sign is arbitrary.
    eps, step, steps = (0.05, 0.0005, 50) if reverse else (0.015, 0.0005, 30)
    target: Target = "farther" if reverse else "closer"
    result = PGD(eps=eps, step=step, steps=steps)(RankFlip(metric, triplets, target), protocol="paper")
    for i in range(5):
        ref, p0, p1 = (image[i : i + 1] for image in (triplets.ref, triplets.p0, triplets.p1))
        expected = pgd_one_by_one(
            metric, ref, p0, p1, eps=eps, step=step, steps=steps, reverse=reverse, box=(0.0, 1.0)
        )
        assert bool(result.flipped[i]) == expected.flipped
        assert int(result.steps[i]) == expected.steps
        torch.testing.assert_close(result.images[i], expected.image[0], atol=1e-9, rtol=0)


def test_paper_settings_reach_the_budget_exactly_and_the_last_image_is_untested(triplets: Triplets) -> None:
    metric = any_weights("l2")
    result = PGD()(RankFlip(metric, triplets), protocol="paper")
    assert result.linf.max() == pytest.approx(PAPER_EPS, abs=1e-6)
    assert result.steps[result.flipped].max() <= 29
    assert (result.steps[~result.flipped] == 30).all()
    assert (result.forwards[~result.flipped] == 30).all()


def test_strict_success_survives_a_png(metric: Metric, triplets: Triplets, tmp_path: Path) -> None:
    problem = RankFlip(metric, triplets)
    result = PGD(eps=8 / 255, step=1 / 255)(problem)
    assert result.flipped.any()
    read = []
    for index, image in enumerate(result.images):
        write_image(image, tmp_path / f"{index}.png")
        read.append(read_image(tmp_path / f"{index}.png"))
    assert torch.equal(problem.margin(torch.stack(read)) > 0, result.flipped)


def test_rounding_erases_some_flips_of_the_paper_protocol(metric: Metric) -> None:
    result = PGD(steps=8)(RankFlip(metric, photos(48, seed=1, side=32)), protocol="paper")
    small = result.flipped & (result.steps <= 3)
    assert small.any()
    assert not result.flipped_8bit[small].any()
    assert torch.equal(result.rmse[small], torch.zeros(int(small.sum())))


@every_protocol
def test_a_sample_that_has_flipped_costs_nothing_more(protocol: Protocol, triplets: Triplets) -> None:
    watched = Watched()
    result = PGD(eps=0.2, step=0.01)(RankFlip(watched, triplets), protocol=protocol)
    assert result.flipped.any()
    assert len(result.steps.unique()) > 2
    measured = 1 if protocol == "strict" else 2
    prepared, attack, after = watched.sizes[:3], watched.sizes[3:-measured], watched.sizes[-measured:]
    assert prepared == [len(triplets)] * 3
    assert after == [len(triplets)] * measured
    assert attack == [int((result.steps >= step).sum()) for step in range(len(attack))]
    # Under the strict protocol the final measurement is the last test of those that never flipped.
    tested_last = 0 if protocol == "paper" else int((~result.flipped).sum())
    assert sum(attack) == int(result.forwards.sum()) - tested_last


def test_attacked_image_equal_to_the_reference(triplets: Triplets) -> None:
    same = dataclasses.replace(triplets, ref=triplets.p1)
    problem = RankFlip(any_weights("l2"), same)
    stuck = PGD()(problem, protocol="paper")
    assert torch.equal(stuck.images, same.p1)
    assert not stuck.flipped.any()
    pgd = PGD(eps=16 / 255, step=1 / 255)
    moved = pgd(problem, batch_size=5)
    assert (moved.linf > 0).all()
    # The slope of L2 is a difference of two values, and of steps only the direction counts.
    torch.testing.assert_close(moved.images, pgd(problem).images, atol=1e-6, rtol=0)
    assert not torch.equal(moved.images, pgd(problem, seed=1).images)


def test_fgsm_takes_the_smallest_size_that_flips(triplets: Triplets) -> None:
    problem = RankFlip(any_weights("l2"), triplets)
    result = FGSM()(problem)
    assert result.flipped.any()
    sizes = (result.linf[result.flipped] * 255).round()
    assert torch.equal(sizes.long(), result.steps[result.flipped])
    for size in range(1, 11):
        alone = FGSM(grid=[size / 255])(problem).flipped
        assert alone[result.flipped & (result.steps == size)].all()
        assert not alone[result.steps > size].any()
        assert not alone[~result.flipped].any()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_float32_on_a_gpu_is_exact_and_repeats(triplets: Triplets) -> None:
    metric = any_weights.__wrapped__("st-lpips-alex").to("cuda")
    there = triplets.to(device="cuda")
    problem = RankFlip(metric, there)
    assert torch.equal(PGD()(problem).images, PGD()(problem).images)
    exact = any_weights("st-lpips-alex", torch.float64)(triplets.ref.double(), triplets.p0.double())
    found = metric(there.ref, there.p0).double().cpu()
    torch.testing.assert_close(found, exact, rtol=1e-4, atol=1e-6)
