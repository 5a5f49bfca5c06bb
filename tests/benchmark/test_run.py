"""Whole runs in this process: what they compute, what they leave, what they refuse."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from simlib.attacks import FGSM, PGD
from simlib.benchmark.plan import Data, Plan, PlannedAttack, TransferSet, WhiteBox
from simlib.benchmark.recipe import recipes_of
from simlib.benchmark.run import run_plan, stored_triplets
from simlib.benchmark.shard import Done, Task
from simlib.benchmark.store import Store
from simlib.errors import InputError
from simlib.kernels.device import pick_device
from simlib.triplets import draw
from tests.benchmark.benchmark_rows import assert_same_but_for_rounding
from tests.benchmark.processes import Watched

STEPS = PlannedAttack.of(PGD(eps=0.02, step=0.004, steps=4))
ONE_STEP = PlannedAttack.of(FGSM(grid=[0.01, 0.02]))
TRANSFER = TransferSet(sources=("ssim",), targets=("l2", "gmsd"), attacks=(STEPS,))
PLAN = Plan(
    name="test",
    data=Data(n=10, seed=2),
    white_box=WhiteBox(metrics=("l2",), attacks=(STEPS, ONE_STEP)),
    transfer=TRANSFER,
    shard_size=4,
)


def changed(**fields: Any) -> Plan:
    return PLAN.model_copy(update=fields)


def run(plan: Plan, folder: Path, batch_size: int | None = None) -> tuple[Any, list[Task]]:
    engine = Watched(batch_size=batch_size)
    record = run_plan(plan, folder, engine=engine, progress=False)
    assert record.finished
    return Store(folder).rows(record), engine.tasks


def test_every_row_once_and_nothing_twice(tmp_path: Path) -> None:
    run(changed(data=Data(n=4, seed=2)), tmp_path)
    rows, tasks = run(PLAN, tmp_path)
    assert [len(task.triplets) for task in tasks] == [4, 2], "four triplets were there"
    triplets = draw("photos", 10, seed=2)
    combinations = rows.groupby(["source", "attack", "target"], observed=True)["triplet"]
    assert len(combinations) == 2 + 3
    for _, names in combinations:
        assert tuple(names) == triplets.names
    before = {path: path.stat().st_mtime_ns for path in tmp_path.glob("rows/*")}
    again, tasks = run(PLAN, tmp_path)
    assert not tasks
    pd.testing.assert_frame_equal(rows, again)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.glob("rows/*")} == before


@pytest.mark.parametrize("keep_images", [True, False])
def test_another_target_computes_its_rows_only(tmp_path: Path, keep_images: bool) -> None:
    run(changed(keep_images=keep_images), tmp_path)
    more = TRANSFER.model_copy(update={"targets": ("l2", "gmsd", "l1")})
    rows, tasks = run(changed(keep_images=keep_images, transfer=more), tmp_path)
    assert {recipe.target for task in tasks for recipe in task.recipes} == {"l1"}
    assert all(bool(task.images) == keep_images for task in tasks)
    assert set(rows["target"]) == {"l2", "ssim", "gmsd", "l1"}


@pytest.mark.parametrize(("shard_size", "batch_size"), [(10, None), (3, 2), (1, 1)])
def test_neither_shard_nor_batch_size_matter(tmp_path: Path, shard_size: int, batch_size: int | None) -> None:
    expected, _ = run(PLAN, tmp_path / "one")
    found, _ = run(changed(shard_size=shard_size), tmp_path / "two", batch_size)
    order = ["source", "attack", "target", "triplet"]
    expected, found = (rows.sort_values(order, ignore_index=True) for rows in (expected, found))
    assert_same_but_for_rounding(found, expected)


def test_the_record_says_with_what_it_was_computed(tmp_path: Path) -> None:
    record = run_plan(PLAN, tmp_path, progress=False)
    assert record.plan == PLAN
    assert [size for _, size in record.shards] == [4, 4, 2]
    assert {"device", "threads", "torch", "libraries", "code", "weights"} <= record.provenance.keys()
    assert "piq" in record.provenance["libraries"]
    stored = Store(tmp_path).record("test")
    assert stored == record


def test_a_finished_run_stays_finished_whatever_becomes_of_the_next(tmp_path: Path) -> None:
    before = run_plan(PLAN, tmp_path, progress=False)

    class Killed(Watched):
        def run(self, tasks: Iterator[Task]) -> Iterator[Done]:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_plan(PLAN, tmp_path, engine=Killed(), progress=False)
    assert Store(tmp_path).record() == before
    assert run_plan(PLAN, tmp_path, progress=False).created == before.created


def test_a_plan_that_is_wrong_leaves_nothing(tmp_path: Path) -> None:
    wrong = changed(transfer=TRANSFER.model_copy(update={"targets": ("iw-ssim",)}), device="gpu")
    with pytest.raises(InputError, match=r"(?s)no device 'gpu'.*iw-ssim"):
        run_plan(wrong, tmp_path / "store", progress=False)
    assert not (tmp_path / "store").exists()


def test_an_interrupted_run_says_which_shards_it_knows(tmp_path: Path) -> None:
    class Interrupted(Watched):
        def run(self, tasks: Iterator[Task]) -> Iterator[Done]:
            yield from super().run(iter([next(tasks)]))
            next(tasks)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_plan(PLAN, tmp_path, engine=Interrupted(), progress=False)
    record = Store(tmp_path).record("test")
    assert not record.finished
    assert len(record.shards) == 2
    rows, tasks = run(PLAN, tmp_path)
    assert [len(task.triplets) for task in tasks] == [4, 2]
    assert len(rows) == 5 * 10


def test_what_is_stored_of_a_plan_is_known_without_a_look_at_its_images(tmp_path: Path) -> None:
    run(PLAN, tmp_path)
    more = TRANSFER.model_copy(update={"targets": ("l2", "l1")})

    def stored(**fields: Any) -> dict[str, int]:
        plan = changed(transfer=more, **fields)
        recipes = [recipe for part in recipes_of(plan, pick_device("cpu")).values() for recipe in part]
        found = stored_triplets(plan, Store(tmp_path), recipes)
        return {f"{each.attack.title} {each.source} {each.target}": found[each.key] for each in recipes}

    own = dict.fromkeys(("PGD l2 l2", "FGSM l2 l2", "PGD ssim ssim", "PGD ssim l2"), 10)
    assert stored() == {**own, "PGD ssim l1": 0}
    for other in ({"data": Data(n=10, seed=3)}, {"shard_size": 5}):
        assert set(stored(**other).values()) == {0}
