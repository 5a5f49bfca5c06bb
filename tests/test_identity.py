"""Addresses: what changes them, and what does not."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from simlib.benchmark import identity
from simlib.benchmark.identity import Recipe, all_parameters, recipes_of, shard_key
from simlib.benchmark.plan import Data, Plan, PlannedAttack, TransferSet, WhiteBox
from simlib.triplets import photos
from tests.support import random_triplets

CPU = torch.device("cpu")
PGD = PlannedAttack("PGD", "pgd", "paper", "closer", {"steps": 10})
FGSM = PlannedAttack("FGSM", "fgsm", "strict")
PLAN = Plan(
    "one", Data(n=4), WhiteBox(("l2", "ssim"), (PGD, FGSM)), TransferSet(("l2",), ("ssim", "gmsd"), (PGD,))
)


def keys(plan: Plan, device: torch.device = CPU) -> set[str]:
    return {recipe.key for part in recipes_of(plan, device).values() for recipe in part}


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


@pytest.mark.parametrize(
    "changed",
    [
        replace(PLAN, seed=1),
        replace(PLAN, transfer=None, white_box=WhiteBox(("l2",), (replace(PGD, protocol="strict"),))),
        replace(PLAN, transfer=None, white_box=WhiteBox(("l2",), (replace(PGD, target="farther"),))),
        replace(PLAN, transfer=None, white_box=WhiteBox(("l2",), (replace(PGD, parameters={"steps": 11}),))),
        replace(PLAN, transfer=None, white_box=WhiteBox(("l1",), (PGD,))),
    ],
    ids=["seed", "protocol", "image", "parameter", "metric"],
)
def test_what_decides_a_row_changes_its_address(changed: Plan) -> None:
    assert not keys(PLAN) & keys(changed)


def test_what_decides_nothing_leaves_the_address() -> None:
    spelled_out = replace(PGD, title="another name", parameters={"steps": 10, "early_stop": True})
    same = Plan("two", Data("bapps"), WhiteBox(("l2",), (spelled_out,)), shard_size=7, keep_images=True)
    assert keys(same) < keys(PLAN)


def test_the_kind_of_device_and_the_code_count(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not keys(PLAN) & keys(PLAN, torch.device("cuda"))
    before = keys(PLAN)
    monkeypatch.setattr(identity, "code_hash", lambda *_: "other")
    assert not before & keys(PLAN)


def test_the_weights_count(monkeypatch: pytest.MonkeyPatch) -> None:
    plan = replace(PLAN, white_box=None, transfer=TransferSet(("l2",), ("lpips-alex",), (PGD,)))
    found = []
    for digest in ("a", "b"):
        identity._identity.cache_clear()
        monkeypatch.setattr(identity, "digest_of", lambda _, digest=digest: digest)
        found.append(recipes_of(plan, CPU)["transfer"])
    identity._identity.cache_clear()

    def same(place: int) -> bool:
        return found[0][place] == found[1][place]

    assert same(0)
    assert not same(1)
    assert isinstance(found[0][1], Recipe)
    assert found[0][1].images_key == found[1][1].images_key


def test_defaults_are_part_of_the_parameters() -> None:
    assert all_parameters(PGD)["steps"] == 10
    assert all_parameters(FGSM)["grid"]
    assert not {"seed", "protocol", "batch_size", "progress", "problem", "start"} & all_parameters(PGD).keys()


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
