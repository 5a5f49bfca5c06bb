"""One shard: against the attacks and the transfer called one by one, in parts, and from stored images."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from simlib import attacks
from simlib.attacks import RankFlip
from simlib.benchmark import shard as shard_module
from simlib.benchmark.identity import Recipe, all_parameters, recipes_of, shard_key
from simlib.benchmark.plan import Data, Plan, PlannedAttack, TransferSet, WhiteBox
from simlib.benchmark.rows import SCHEMA
from simlib.benchmark.shard import Models, Task, run_shard
from simlib.benchmark.transfer import transfer
from simlib.errors import InputError
from simlib.kernels.projection import round_to_8bit
from simlib.triplets import Triplets, photos
from tests.support import any_weights, random_triplets

CPU = torch.device("cpu")
PGD = PlannedAttack("PGD(6)", "pgd", "paper", "closer", {"steps": 6, "step": 0.002, "early_stop": False})
STADV = PlannedAttack("stAdv", "stadv", "paper", "closer", {"iterations": 8})
COMBINED = PlannedAttack("stAdv+PGD(3)", "stadv-pgd", "paper", "closer", {"iterations": 8, "steps": 3})
REVERSE = PlannedAttack("Reverse", "pgd", "strict", "farther", {"eps": 0.02, "step": 0.004, "steps": 5})
REFERENCE = PlannedAttack("On the reference", "apgd", "strict", "reference", {"steps": 5})
PLAN = Plan(
    "test",
    Data("photos", 12),
    white_box=WhiteBox(("l2", "ssim"), (REVERSE, REFERENCE)),
    transfer=TransferSet(("ssim",), ("l2", "gmsd"), (PGD, STADV, COMBINED, REVERSE, REFERENCE)),
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
    return run_shard(task(triplets, recipes), Models(CPU)).rows.to_pandas()


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
        told = json.loads(some["parameters"].iloc[0])
        assert recipe.attack.parameters.items() <= told.items()
        assert told.keys() == all_parameters(recipe.attack).keys()
    judge = rows["judge"].to_numpy()[: len(triplets)]
    np.testing.assert_array_equal(judge, triplets.judge.numpy())


def attacked_alone(recipe: Recipe, triplets: Triplets) -> tuple[RankFlip, attacks.AttackResult]:
    """Run one attack by itself, stAdv included where it is a part."""
    planned = recipe.attack
    problem = RankFlip(any_weights(recipe.source), triplets, planned.target)
    parameters = dict(planned.parameters)
    return problem, attacks.run(
        planned.attack, problem, seed=recipe.seed, protocol=planned.protocol, **parameters
    )


def test_rows_are_what_each_attack_and_the_transfer_say_alone(
    rows: Any, recipes: list[Recipe], triplets: Triplets
) -> None:
    for recipe in recipes:
        some = rows[rows["recipe"] == recipe.key]
        problem, result = attacked_alone(recipe, triplets)
        moved = transfer(problem, round_to_8bit(result.images), any_weights(recipe.target))
        np.testing.assert_array_equal(some["agrees"], moved.agrees.numpy())
        np.testing.assert_array_equal(some["agrees"] & some["flipped_8bit"], moved.flipped.numpy())
        if not recipe.white_box:
            assert some[["flipped", "margin", "steps", "linf", "seconds"]].isna().to_numpy().all()
            continue
        assert some["agrees"].to_numpy().all()
        np.testing.assert_array_equal(some["flipped"].astype(bool), result.flipped.numpy())
        np.testing.assert_array_equal(some["flipped_8bit"], result.flipped_8bit.numpy())
        np.testing.assert_allclose(some["margin"].astype(float), result.margin.numpy(), atol=1e-6)
        np.testing.assert_array_equal(some["steps"].astype(int), result.steps.numpy())
        np.testing.assert_array_equal(some["forwards"].astype(int), result.forwards.numpy())
        np.testing.assert_allclose(some["rmse"].astype(float), result.rmse.numpy(), rtol=1e-4)
        np.testing.assert_allclose(some["linf"].astype(float), 255 * result.linf.numpy(), rtol=1e-4)


def test_distances_are_those_of_the_images_in_place(
    rows: Any, recipes: list[Recipe], triplets: Triplets
) -> None:
    for recipe in recipes:
        some = rows[rows["recipe"] == recipe.key]
        problem, result = attacked_alone(recipe, triplets)
        metric, images = any_weights(recipe.target), round_to_8bit(result.images)
        ref, p0, p1 = triplets.ref.clone(), triplets.p0.clone(), triplets.p1.clone()
        np.testing.assert_allclose(some["distance0"], metric(ref, p0), atol=1e-6)
        np.testing.assert_allclose(some["distance1"], metric(ref, p1), atol=1e-6)
        for place, which in enumerate(some["attacked"]):
            {"ref": ref, "p0": p0, "p1": p1}[which][place] = images[place]
        np.testing.assert_allclose(some["attacked0"], metric(ref, p0), atol=1e-6)
        np.testing.assert_allclose(some["attacked1"], metric(ref, p1), atol=1e-6)
        assert len(problem) == len(some)


@pytest.mark.parametrize("batch_size", [1, 5, None])
def test_parts_of_any_size_give_the_same_rows(
    rows: Any, recipes: list[Recipe], triplets: Triplets, batch_size: int | None
) -> None:
    again: Any = run_shard(task(triplets, recipes), Models(CPU), batch_size).rows.to_pandas()
    for name in ("distance0", "distance1", "attacked0", "attacked1", "margin"):
        np.testing.assert_allclose(rows[name].astype(float), again[name].astype(float), atol=1e-5)
    clear = (rows["attacked0"] - rows["attacked1"]).abs() > 1e-5
    assert (rows["flipped_8bit"] == again["flipped_8bit"])[clear].to_numpy().all()
    for name in ("recipe", "triplet", "attacked", "agrees", "steps", "judge"):
        pd.testing.assert_series_equal(rows[name], again[name])


def test_another_target_needs_the_stored_images_only(
    rows: Any, recipes: list[Recipe], triplets: Triplets, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = run_shard(task(triplets, recipes, keep_images=True), Models(CPU))
    assert set(done.images) == {recipe.images_key for recipe in recipes}
    assert all(images.dtype == torch.uint8 and len(images) == 12 for images in done.images.values())
    monkeypatch.setattr(shard_module, "_run", lambda *_: pytest.fail("attacked again"))
    missing = [recipe for recipe in recipes if recipe.target == "gmsd"]
    again: Any = run_shard(task(triplets, missing, images=done.images), Models(CPU)).rows.to_pandas()
    expected = rows[rows["target"] == "gmsd"].reset_index(drop=True)
    for name in ("attacked0", "attacked1", "agrees", "flipped_8bit", "triplet"):
        np.testing.assert_array_equal(again[name], expected[name])


def test_without_stored_images_a_target_gets_the_same_ones_anew(
    rows: Any, recipes: list[Recipe], triplets: Triplets
) -> None:
    missing = [recipe for recipe in recipes if recipe.target == "gmsd"]
    done = run_shard(task(triplets, missing), Models(CPU))
    expected = rows[rows["target"] == "gmsd"].reset_index(drop=True)
    np.testing.assert_array_equal(done.rows.to_pandas()["attacked0"], expected["attacked0"])
    assert not done.images


def test_stadv_runs_once_for_all_attacks_that_go_on_from_it(
    recipes: list[Recipe], triplets: Triplets, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []
    run = attacks.run

    def counted(name: str, *arguments: object, **parameters: object) -> object:
        calls.append(name)
        return run(name, *arguments, **parameters)  # pyright: ignore[reportArgumentType]

    monkeypatch.setattr(attacks, "run", counted)
    ssim = [recipe for recipe in recipes if recipe.source == "ssim"]
    run_shard(task(triplets, ssim), Models(CPU))
    assert sorted(calls) == ["apgd", "pgd", "pgd", "stadv", "stadv-pgd"]


def test_a_metric_that_refuses_the_images_says_so() -> None:
    plan = Plan("small", Data(n=2), white_box=WhiteBox(("vif",), (PGD,)))
    triplets = random_triplets(2, side=24)
    with pytest.raises(InputError, match="VIF needs images of at least"):
        run_shard(task(triplets, recipes_of(plan, CPU)["white-box"]), Models(CPU))


def test_memory_decides_how_many_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    images = torch.zeros(3, 3, 32, 32)
    for free, expected in ((0, 1), (2 * (16 + 64) * 4 * 3 * 32 * 32 * 7, 7)):
        monkeypatch.setattr(shard_module, "free_memory", lambda _, free=free: free)
        assert Models(CPU).fitting_batch("l2", images) == expected
