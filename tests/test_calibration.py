"""The estimate of a plan's time: evaluations are bounds, and what is done once is counted once."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from simlib import attacks, metrics
from simlib.attacks import RankFlip
from simlib.benchmark import calibration
from simlib.benchmark.calibration import Cost, Speed, estimate, measure_flow, measure_speed, most_evaluations
from simlib.benchmark.identity import recipes_of
from simlib.benchmark.plan import Data, Plan, PlannedAttack, TransferSet, WhiteBox
from simlib.metrics import Metric
from simlib.triplets import Triplets, photos
from tests.support import random_triplets

CPU = torch.device("cpu")
NO_CHANGE = 1e-7
"""A budget within which nothing flips, so that an attack spends all it may."""


@pytest.mark.parametrize("protocol", ["paper", "strict"])
@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("pgd", {"eps": NO_CHANGE, "step": NO_CHANGE, "steps": 7}),
        ("fgsm", {"grid": (NO_CHANGE, 2 * NO_CHANGE, 3 * NO_CHANGE)}),
        ("apgd", {"eps": NO_CHANGE, "steps": 9}),
        ("square", {"eps": NO_CHANGE, "queries": 11}),
        ("one-pixel", {"population": 5, "generations": 3, "early_stop": False}),
        ("few-pixel", {"pixels": 2, "population": 5, "generations": 3, "early_stop": False}),
        ("fmn", {"steps": 6}),
    ],
)
def test_an_attack_that_finds_nothing_takes_what_is_estimated(
    name: str, parameters: dict[str, object], protocol: str
) -> None:
    problem = RankFlip(metrics.load("l2"), random_triplets(3, side=16))
    result = attacks.run(name, problem, protocol=protocol, **parameters)
    most = most_evaluations(PlannedAttack("", name, protocol, parameters=parameters))  # pyright: ignore[reportArgumentType]
    assert result.backwards.tolist() == [most.gradients] * 3 or name == "apgd"
    # Two are for looking at the image before and after; PGD of the paper leaves out the last test.
    spent, bound = result.forwards.max().item(), most.values + most.gradients
    assert bound - 3 <= spent <= bound
    assert result.backwards.max() <= most.gradients


@pytest.mark.parametrize("metric", ["l2", "gmsd"])
@pytest.mark.parametrize(
    ("name", "parameters"),
    [("strongest", {}), ("flip-radius", {"bisections": 4, "steps": 7}), ("flip-radius", {"norm": "linf"})],
)
def test_attacks_made_of_others_stay_within_the_estimate(
    metric: str, name: str, parameters: dict[str, object]
) -> None:
    result = attacks.run(name, RankFlip(metrics.load(metric), random_triplets(6, side=16)), **parameters)
    most = most_evaluations(PlannedAttack("", name, "strict", parameters=parameters))
    assert result.forwards.max() <= most.values + most.gradients
    assert result.backwards.max() <= most.gradients


def test_the_standard_evaluation_is_its_four_attacks() -> None:
    # FGSM with four sizes, PGD with 10 steps, APGD with 50, Square with 500 queries.
    most = most_evaluations(PlannedAttack("", "strongest", "strict"))
    assert most.gradients == 1 + 10 + 50
    assert most.values == (4 + 2) + (1 + 2) + (1 + 2) + (500 + 2) + 2


def test_stadv_takes_about_what_is_estimated() -> None:
    result = attacks.stadv(RankFlip(metrics.load("gmsd"), photos(12)), iterations=20, protocol="paper")
    most = most_evaluations(PlannedAttack("", "stadv", "paper", parameters={"iterations": 20}))
    unflipped = result.backwards[~result.flipped].double()
    assert len(unflipped) >= 4
    assert 0.75 * most.gradients <= unflipped.mean() <= 1.25 * most.gradients


SPEEDS = {
    "l2": Speed(value=1.0, gradient=10.0),
    "ssim": Speed(value=100.0, gradient=1000.0),
    "gmsd": Speed(value=1e4, gradient=1e5),
}


@pytest.fixture
def timed(monkeypatch: pytest.MonkeyPatch) -> list[Triplets]:
    """Metrics of known speed; returns the triplets that they were timed on."""
    seen: list[Triplets] = []

    def speed(metric: Metric, triplets: Triplets) -> Speed:
        seen.append(triplets)
        return SPEEDS[metric.spec.name]

    monkeypatch.setattr(calibration, "measure_speed", speed)
    monkeypatch.setattr(calibration, "measure_flow", lambda triplets: 0.5)
    return seen


PGD = PlannedAttack("PGD", "pgd", "paper", parameters={"steps": 7})
SQUARE = PlannedAttack("Square", "square", "strict", parameters={"queries": 20})
STADV = PlannedAttack("stAdv", "stadv", "paper", parameters={"iterations": 8})
LATER = PlannedAttack("stAdv+PGD", "stadv-pgd", "paper", parameters={"iterations": 8, "steps": 3})


def costs(plan: Plan, n: int, only: int | None = None) -> dict[tuple[str, str], float]:
    recipes = [recipe for part in recipes_of(plan, CPU).values() for recipe in part]
    found = estimate([(recipe, n) for recipe in recipes[:only]], random_triplets(2), CPU, progress=False)
    return {(cost.metric, cost.attack): cost.seconds for cost in found.costs}


def test_seconds_add_up_over_attacks_and_judges(timed: list[Triplets]) -> None:
    plan = Plan("x", Data(), transfer=TransferSet(("l2",), ("ssim", "gmsd"), (PGD, SQUARE)))
    found = costs(plan, 5)
    assert found == {
        ("l2", "PGD"): 5 * (7 * 10.0 + 3 * 1.0),
        ("l2", "Square"): 5 * 22 * 1.0,
        # Three images of a triplet, and an attacked one for each attack.
        ("l2", ""): 5 * (3 + 2) * 1.0,
        ("ssim", ""): 5 * (3 + 2) * 100.0,
        ("gmsd", ""): 5 * (3 + 2) * 1e4,
    }


def test_stadv_is_paid_once_for_all_that_go_on_from_it(timed: list[Triplets]) -> None:
    alone = costs(Plan("x", Data(), white_box=WhiteBox(("l2",), (STADV,))), 1)["l2", "stAdv"]
    # 1 + 1.25 * 8 points, each with a gradient and a flow, a quarter looked at in 8 bits, and two looks more.
    assert alone == pytest.approx(11 * (10.0 + 0.5) + 11 / 4 + 2)
    for attacks_in_order in ((STADV, LATER), (LATER, STADV)):
        both = costs(Plan("x", Data(), white_box=WhiteBox(("l2",), attacks_in_order)), 1)
        assert both["l2", "stAdv"] + both["l2", "stAdv+PGD"] == pytest.approx(alone + 3 * 10.0 + 1.0)
    other = replace(LATER, parameters={"iterations": 9, "steps": 3})
    apart = costs(Plan("x", Data(), white_box=WhiteBox(("l2",), (STADV, other))), 1)
    assert apart["l2", "stAdv+PGD"] > alone


def test_a_part_that_is_stored_is_not_paid(timed: list[Triplets]) -> None:
    plan = Plan("x", Data(), white_box=WhiteBox(("l2", "ssim"), (PGD,)))
    first, second = recipes_of(plan, CPU)["white-box"]
    found = estimate([(first, 0), (second, 3)], random_triplets(2), CPU, progress=False)
    assert {cost.metric for cost in found.costs} == {"ssim"}
    assert len(timed) == 1, "what is not needed is not timed"
    assert found.seconds == pytest.approx(3 * (7 * 1000.0 + 3 * 100.0 + 4 * 100.0))
    assert estimate([], random_triplets(1), CPU, progress=False).seconds == 0


def test_images_of_one_attack_are_made_once_for_all_judges(timed: list[Triplets]) -> None:
    plan = Plan("x", Data(), transfer=TransferSet(("l2",), ("ssim", "gmsd"), (PGD,)))
    _, ssim, gmsd = recipes_of(plan, CPU)["transfer"]
    found = estimate([(ssim, 2), (gmsd, 5)], random_triplets(2), CPU, progress=False)
    assert found.costs[0] == Cost("l2", "PGD", 5 * (7 * 10.0 + 3 * 1.0))
    by_metric = found.by_metric()
    assert list(by_metric) == ["gmsd", "ssim", "l2"]
    assert by_metric == {"gmsd": 5 * 4e4, "ssim": 2 * 400.0, "l2": 5 * 73.0 + 5 * 3.0}


def test_a_look_at_large_images_takes_fewer(timed: list[Triplets]) -> None:
    plan = Plan("x", Data(), white_box=WhiteBox(("l2",), (PGD,)))
    (recipe,) = recipes_of(plan, CPU)["white-box"]
    for side, n in ((32, 20), (64, 16), (128, 4), (512, 1)):
        estimate([(recipe, 1)], random_triplets(20, side=side), CPU, progress=False)
        assert len(timed[-1]) == n


def test_metrics_are_timed_with_and_without_gradient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calibration, "SECONDS", 0.01)
    triplets = random_triplets(2, side=16)
    speed = measure_speed(metrics.load("ssim"), triplets)
    assert 0 < speed.value < speed.gradient
    blind = metrics.load("ssim")
    blind.spec = replace(blind.spec, differentiable=False)
    speed = measure_speed(blind, triplets)
    assert speed.value > 0 and speed.gradient == 0
    assert measure_flow(triplets) > 0
