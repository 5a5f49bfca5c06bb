"""Addresses: what changes them, and what does not."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from simlib.attacks import FGSM, PGD, Attack, Square, StAdv, StAdvPGD, Strongest
from simlib.benchmark import recipe as recipe_module
from simlib.benchmark.plan import Data, Plan, PlannedAttack, TransferSet, WhiteBox
from simlib.benchmark.recipe import Recipe, recipe_of, recipes_of, shard_key
from simlib.triplets import photos
from tests.support import random_triplets

CPU = torch.device("cpu")
PAPER_PGD = PlannedAttack.of(PGD(steps=10), protocol="paper")
PLAN = Plan(
    name="one",
    data=Data(n=4),
    white_box=WhiteBox(metrics=("l2", "ssim"), attacks=(PAPER_PGD, PlannedAttack.of(FGSM()))),
    transfer=TransferSet(sources=("l2",), targets=("ssim", "gmsd"), attacks=(PAPER_PGD,)),
)


def keys(plan: Plan, device: torch.device = CPU) -> set[str]:
    return {recipe.key for part in recipes_of(plan, device).values() for recipe in part}


def key_of(attack: Attack, source: str = "l2", judge: str = "l2", seed: int = 0, **more: Any) -> str:
    return recipe_of(PlannedAttack.of(attack, **more), seed, source, judge, CPU).key


def test_each_table_lists_its_recipes_the_source_first() -> None:
    parts = recipes_of(PLAN, CPU)
    named = {
        part: [(recipe.source, recipe.attack.title, recipe.target) for recipe in recipes]
        for part, recipes in parts.items()
    }
    assert named == {
        "white-box": [
            ("l2", "PGD", "l2"),
            ("l2", "FGSM", "l2"),
            ("ssim", "PGD", "ssim"),
            ("ssim", "FGSM", "ssim"),
        ],
        "transfer": [("l2", "PGD", "l2"), ("l2", "PGD", "ssim"), ("l2", "PGD", "gmsd")],
    }
    assert parts["transfer"][0] == parts["white-box"][0]
    assert len({recipe.images_key for recipe in parts["transfer"]}) == 1
    assert len(keys(PLAN)) == 6


def test_what_decides_a_row_changes_its_address() -> None:
    found = [
        key_of(PGD()),
        key_of(PGD(), seed=1),
        key_of(PGD(), protocol="paper"),
        key_of(PGD(), target="farther"),
        key_of(PGD(steps=11)),
        key_of(PGD(early_stop=False)),
        key_of(PGD(), "l1", "l1"),
        key_of(PGD(), "l2", "l1"),
        key_of(Strongest(attacks=[PGD()])),
        key_of(Strongest(attacks=[PGD(steps=11)])),
    ]
    assert len(set(found)) == len(found)


def test_what_decides_nothing_leaves_the_address() -> None:
    spelled_out = PlannedAttack(
        title="another", attack="pgd", protocol="paper", dials={"steps": 10, "early_stop": True}
    )
    white_box = WhiteBox(metrics=("l2",), attacks=(spelled_out,))
    same = Plan(name="two", data=Data(source="bapps"), white_box=white_box, shard_size=7, keep_images=True)
    assert keys(same) < keys(PLAN)


def test_the_kind_of_device_and_the_code_count(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not keys(PLAN) & keys(PLAN, torch.device("cuda"))
    before = keys(PLAN)
    monkeypatch.setattr(recipe_module, "code_hash", lambda *_: "other")
    assert not before & keys(PLAN)


@pytest.mark.parametrize(
    ("attack", "metrics", "expected"),
    [
        (PGD(), ("l2", "l2"), {"attacks.gradient", "metrics.pixel"}),
        (Square(), ("l2", "ssim"), {"attacks.square", "metrics.pixel", "metrics.structural"}),
        (StAdvPGD(), ("l2", "l2"), {"attacks.stadv_pgd", "attacks.stadv", "metrics.pixel"}),
        (
            Strongest(attacks=[Square(), StAdv()]),
            ("smoothed:l2", "l2"),
            {"attacks.strongest", "attacks.square", "attacks.stadv", "metrics.smoothed", "metrics.pixel"},
        ),
    ],
)
def test_the_code_is_that_of_the_attack_its_parts_the_metrics_and_the_rows(
    attack: Attack, metrics: tuple[str, str], expected: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = list[set[str]]()
    monkeypatch.setattr(recipe_module, "code_hash", lambda *modules: asked.append({*modules}) or "")
    key_of(attack, *metrics)
    assert asked[-1] == {f"simlib.{each}" for each in expected | {"benchmark.shard", "benchmark.rows"}}


def test_the_weights_count(monkeypatch: pytest.MonkeyPatch) -> None:
    found = list[tuple[Recipe, ...]]()
    for digest in ("a", "b"):
        recipe_module._identity.cache_clear()
        monkeypatch.setattr(recipe_module, "digest_of", lambda _, digest=digest: digest)
        found.append(tuple(recipe_of(PAPER_PGD, 0, "l2", judge, CPU) for judge in ("l2", "lpips-alex")))
    recipe_module._identity.cache_clear()
    (own, judged), (own_again, judged_by_others) = found
    assert own == own_again
    assert judged != judged_by_others
    assert judged.images_key == judged_by_others.images_key


def test_a_shard_is_addressed_by_all_that_is_in_it() -> None:
    triplets = photos(4, seed=1, side=32)
    key = shard_key(triplets)
    assert key == shard_key(photos(8, seed=1, side=32)[:4])
    one_level = triplets.p0.clone()
    one_level[2, 1, 3, 3] = (one_level[2, 1, 3, 3] * 255 + 1).remainder(256) / 255
    others = [
        triplets[:3],
        triplets[[1, 0, 2, 3]],
        replace(triplets, p0=one_level),
        replace(triplets, p0=triplets.p1, p1=triplets.p0),
        replace(triplets, names=("a", "b", "c", "d")),
        replace(triplets, photographs=("a", "b", "c", "d")),
        replace(triplets, judge=torch.ones(4)),
        replace(triplets, label_source="human"),
        random_triplets(4),
    ]
    assert len({key, *map(shard_key, others)}) == len(others) + 1
