"""One shard: against the attacks and the transfer called one by one, in parts, and from stored images."""

from __future__ import annotations

import dataclasses
import json
import re
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from simlib.attacks import APGD, PGD, Attack, AttackResult, RankFlip, StAdv, StAdvPGD
from simlib.benchmark import shard as shard_module
from simlib.benchmark.plan import Data, Plan, PlannedAttack, TransferSet, WhiteBox
from simlib.benchmark.recipe import Recipe, recipes_of, shard_key
from simlib.benchmark.rows import SCHEMA
from simlib.benchmark.shard import Models, Task, run_shard
from simlib.errors import InputError, UndefinedDistanceError
from simlib.kernels.projection import round_to_8bit
from simlib.metrics import Features
from simlib.triplets import Triplets, photos
from tests.benchmark.benchmark_rows import assert_same_but_for_rounding
from tests.support import any_weights, random_triplets

CPU = torch.device("cpu")
WHITE_BOX = (
    PlannedAttack.of(PGD(eps=0.02, step=0.004, steps=5), "Reverse", target="farther"),
    PlannedAttack.of(APGD(steps=5), "On the reference", target="reference"),
)
TRANSFER = (
    PlannedAttack.of(PGD(steps=6, step=0.002, early_stop=False), "PGD(6)", protocol="paper"),
    PlannedAttack.of(StAdv(iterations=8), protocol="paper"),
    PlannedAttack.of(StAdvPGD(iterations=8, steps=3), protocol="paper"),
    *WHITE_BOX,
)
PLAN = Plan(
    name="test",
    data=Data(n=12),
    white_box=WhiteBox(metrics=("l2", "ssim"), attacks=WHITE_BOX),
    transfer=TransferSet(sources=("ssim",), targets=("l2", "gmsd"), attacks=TRANSFER),
)


@pytest.fixture(scope="module")
def triplets() -> Triplets:
    return photos(12, seed=3, side=32)


@pytest.fixture(scope="module")
def recipes() -> list[Recipe]:
    return list(dict.fromkeys(recipe for part in recipes_of(PLAN, CPU).values() for recipe in part))


def task(triplets: Triplets, recipes: list[Recipe], **more: object) -> Task:
    return Task(shard_key(triplets), 0, triplets, tuple(recipes), **more)  # pyright: ignore[reportArgumentType]


@pytest.fixture(scope="module")
def rows(triplets: Triplets, recipes: list[Recipe]) -> Any:
    return run_shard(task(triplets, recipes), Models(CPU), len(triplets)).rows.to_pandas()


def test_there_is_a_row_for_each_attack_source_target_and_triplet(
    rows: Any, recipes: list[Recipe], triplets: Triplets
) -> None:
    # l2 and ssim with two attacks each; ssim with three more; two other targets for all five.
    assert len(recipes) == 2 * 2 + 3 + 2 * 5
    assert list(rows.columns) == SCHEMA.names
    assert len(rows) == len(recipes) * len(triplets)
    for recipe in recipes:
        some = rows[rows["recipe"] == recipe.key]
        assert tuple(some["triplet"]) == triplets.names
        assert list(some["place"]) == list(range(len(triplets)))
        assert set(some["target"]) == {recipe.target}
        assert json.loads(some["parameters"].iloc[0]) == recipe.attack.made.dials()
    judge = rows["judge"].to_numpy()[: len(triplets)]
    np.testing.assert_array_equal(judge, triplets.judge.numpy())


@cache
def attacked_alone(recipe: Recipe) -> tuple[RankFlip, AttackResult]:
    """Run one attack by itself, with what it starts from."""
    planned, drawn = recipe.attack, photos(12, seed=3, side=32)
    problem = RankFlip(any_weights(recipe.source), drawn, planned.target)
    return problem, planned.made(problem, seed=recipe.seed, protocol=planned.protocol)


def test_rows_are_what_each_attack_and_each_metric_says_alone(rows: Any, recipes: list[Recipe]) -> None:
    for recipe in recipes:
        some = rows[rows["recipe"] == recipe.key]
        problem, result = attacked_alone(recipe)
        metric, triplets = any_weights(recipe.target), problem.triplets
        ref, p0, p1 = triplets.ref.clone(), triplets.p0.clone(), triplets.p1.clone()
        before = metric(ref, p0), metric(ref, p1)
        for place, which in enumerate(some["attacked"]):
            {"ref": ref, "p0": p0, "p1": p1}[which][place] = round_to_8bit(result.images[place])
        after = metric(ref, p0), metric(ref, p1)
        names = ("distance0", "distance1", "attacked0", "attacked1")
        for name, distances in zip(names, (*before, *after), strict=True):
            np.testing.assert_allclose(some[name], distances, atol=1e-6)
        ranks = before[0] > before[1]
        flipped = torch.where(ranks, after[0] < after[1], after[0] > after[1])
        np.testing.assert_array_equal(some["flipped_8bit"], flipped)
        by_source = problem.metric(triplets.ref, triplets.p0) > problem.metric(triplets.ref, triplets.p1)
        np.testing.assert_array_equal(some["agrees"], ranks == by_source)
        if not recipe.white_box:
            assert some[["flipped", "margin", "steps", "linf", "seconds"]].isna().to_numpy().all()
            continue
        np.testing.assert_array_equal(some["flipped"].astype(bool), result.flipped.numpy())
        np.testing.assert_allclose(some["margin"].astype(float), result.margin.numpy(), atol=1e-6)
        np.testing.assert_array_equal(some["steps"].astype(int), result.steps.numpy())
        np.testing.assert_array_equal(some["forwards"].astype(int), result.forwards.numpy())
        np.testing.assert_allclose(some["rmse"].astype(float), result.rmse.numpy(), rtol=1e-4)
        np.testing.assert_allclose(some["linf"].astype(float), 255 * result.linf.numpy(), rtol=1e-4)


@pytest.mark.numerical
@pytest.mark.parametrize("batch_size", [1, 5])
def test_parts_of_any_size_give_the_same_rows(
    rows: Any, recipes: list[Recipe], triplets: Triplets, batch_size: int
) -> None:
    again: Any = run_shard(task(triplets, recipes), Models(CPU), batch_size).rows.to_pandas()
    assert_same_but_for_rounding(again, rows)


@pytest.mark.numerical
def test_the_same_parts_give_the_same_rows_to_the_last_bit(
    rows: Any, recipes: list[Recipe], triplets: Triplets
) -> None:
    again: Any = run_shard(task(triplets, recipes), Models(CPU), len(triplets)).rows.to_pandas()
    pd.testing.assert_frame_equal(*(each.drop(columns="seconds") for each in (again, rows)), check_exact=True)


def test_another_target_needs_the_stored_images_only(
    rows: Any, recipes: list[Recipe], triplets: Triplets, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = run_shard(task(triplets, recipes, keep_images=True), Models(CPU))
    assert set(done.images) == {recipe.images_key for recipe in recipes}
    assert all(images.dtype == torch.uint8 and len(images) == 12 for images in done.images.values())
    monkeypatch.setattr(Attack, "__call__", lambda *_, **__: pytest.fail("attacked again"))
    missing = [recipe for recipe in recipes if recipe.target == "gmsd"]
    again: Any = run_shard(task(triplets, missing, images=done.images), Models(CPU)).rows.to_pandas()
    expected = rows[rows["target"] == "gmsd"].reset_index(drop=True)
    for name in ("attacked0", "attacked1", "agrees", "flipped_8bit", "triplet"):
        np.testing.assert_array_equal(again[name], expected[name])


def test_stadv_runs_once_for_all_attacks_that_go_on_from_it(
    recipes: list[Recipe], triplets: Triplets, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []
    call = Attack.__call__

    def counted(attack: Attack, *arguments: Any, **more: Any) -> AttackResult:
        calls.append(attack.name)
        return call(attack, *arguments, **more)

    monkeypatch.setattr(Attack, "__call__", counted)
    ssim = [recipe for recipe in recipes if recipe.source == "ssim"]
    run_shard(task(triplets, ssim), Models(CPU))
    assert sorted(calls) == ["apgd", "pgd", "pgd", "stadv", "stadv-pgd"]


def test_a_metric_that_refuses_the_images_says_so() -> None:
    plan = Plan(name="small", white_box=WhiteBox(metrics=("vif",), attacks=WHITE_BOX))
    triplets = random_triplets(2, side=24)
    with pytest.raises(InputError, match="VIF needs images of at least"):
        run_shard(task(triplets, recipes_of(plan, CPU)["white-box"]), Models(CPU))


@pytest.mark.parametrize(
    ("target", "calls", "where"),
    [
        ("l2", 0, "Shard 4, metric l2: "),
        ("l2", 2, r"Shard 4, {attack} on l2: "),
        ("gmsd", 0, "Shard 4, metric gmsd: "),
        ("gmsd", 2, r"Shard 4, {attack} on (l2|ssim), judged by gmsd: "),
    ],
)
def test_an_undefined_distance_is_told_by_its_place_in_the_plan_and_what_a_plan_can_do(
    target: str,
    calls: int,
    where: str,
    triplets: Triplets,
    recipes: list[Recipe],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    judges, left = Models(CPU), [calls]
    compare = judges[target].compare

    def undefined_later(reference: Features, features: Features) -> torch.Tensor:
        left[0] -= 1
        return compare(reference, features) * (torch.nan if left[0] < 0 else 1)

    monkeypatch.setattr(judges[target], "compare", undefined_later)
    where = where.format(attack=rf"({'|'.join(re.escape(each.attack.title) for each in recipes)})")
    with pytest.raises(UndefinedDistanceError, match=f"^{where}.*gives NaN.*by its data") as caught:
        run_shard(dataclasses.replace(task(triplets, recipes), number=4), judges, batch_size=12)
    assert "is_defined" not in str(caught.value)


def test_only_images_of_8_bits_have_an_address(triplets: Triplets) -> None:
    between = dataclasses.replace(triplets, p0=triplets.p0 * 0.999)
    with pytest.raises(InputError, match="images of 8 bits"):
        shard_key(between)


def test_memory_decides_how_many_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    images = torch.zeros(3, 3, 32, 32)
    for free, expected in ((0, 1), (2 * (16 + 64) * 4 * 3 * 32 * 32 * 7, 7)):
        monkeypatch.setattr(shard_module, "free_memory", lambda _, free=free: free)
        assert Models(CPU).fitting_batch("l2", images) == expected
