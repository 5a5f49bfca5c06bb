"""Whole runs in this process: what they compute, what they leave, what they refuse."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from simlib.benchmark.engines import LocalEngine
from simlib.benchmark.plan import Data, Plan, PlannedAttack, TransferSet, WhiteBox
from simlib.benchmark.run import run_plan
from simlib.benchmark.shard import Done, Task
from simlib.benchmark.store import Store
from simlib.errors import InputError
from simlib.triplets import draw

CPU = torch.device("cpu")
PGD = PlannedAttack("PGD", "pgd", "strict", "closer", {"eps": 0.02, "step": 0.004, "steps": 4})
FGSM = PlannedAttack("FGSM", "fgsm", "strict", "closer", {"grid": (0.01, 0.02)})
PLAN = Plan(
    "test",
    Data("photos", 10, seed=2),
    white_box=WhiteBox(("l2",), (PGD, FGSM)),
    transfer=TransferSet(("ssim",), ("l2", "gmsd"), (PGD,)),
    shard_size=4,
)


class Watched:
    """The local engine, which remembers what it was asked to do."""

    def __init__(self, batch_size: int | None = None) -> None:
        self.tasks: list[Task] = []
        self._engine = LocalEngine(CPU, batch_size)

    def run(self, tasks: Iterator[Task]) -> Iterator[Done]:
        return self._engine.run(self._watched(tasks))

    def _watched(self, tasks: Iterator[Task]) -> Iterator[Task]:
        for task in tasks:
            self.tasks.append(task)
            yield task

    def close(self) -> None:
        self._engine.close()


def run(plan: Plan, folder: Path, batch_size: int | None = None) -> tuple[Any, list[Task]]:
    engine = Watched(batch_size)
    record = run_plan(plan, folder, engine=engine, progress=False)
    assert record.finished
    return Store(folder).rows(record), engine.tasks


def test_every_row_once_and_nothing_twice(tmp_path: Path) -> None:
    rows, tasks = run(PLAN, tmp_path)
    assert [len(task.triplets) for task in tasks] == [4, 4, 2]
    triplets = draw("photos", 10, seed=2)
    combinations = rows.groupby(["source", "attack", "target"], observed=True)["triplet"]
    assert len(combinations) == 2 + 3
    for _, names in combinations:
        assert tuple(names) == triplets.names
    again, tasks = run(PLAN, tmp_path)
    assert not tasks
    pd.testing.assert_frame_equal(rows, again)


def test_more_triplets_keep_those_that_are_there(tmp_path: Path) -> None:
    run(replace(PLAN, data=Data("photos", 8, seed=2)), tmp_path)
    rows, tasks = run(PLAN, tmp_path)
    assert [len(task.triplets) for task in tasks] == [2]
    assert len(rows) == 5 * 10


def test_a_changed_parameter_computes_what_it_changes(tmp_path: Path) -> None:
    run(PLAN, tmp_path)
    longer = replace(FGSM, parameters={"grid": (0.01, 0.02, 0.03)})
    assert PLAN.white_box
    _, tasks = run(replace(PLAN, white_box=WhiteBox(("l2",), (PGD, longer))), tmp_path)
    assert {(recipe.source, recipe.attack.title) for task in tasks for recipe in task.recipes} == {
        ("l2", "FGSM")
    }


@pytest.mark.parametrize("keep_images", [True, False])
def test_another_target_computes_its_rows_only(tmp_path: Path, keep_images: bool) -> None:
    plan = replace(PLAN, keep_images=keep_images)
    run(plan, tmp_path)
    assert plan.transfer
    rows, tasks = run(replace(plan, transfer=replace(plan.transfer, targets=("l2", "gmsd", "l1"))), tmp_path)
    assert {recipe.target for task in tasks for recipe in task.recipes} == {"l1"}
    assert all(bool(task.images) == keep_images for task in tasks)
    assert set(rows["target"]) == {"l2", "ssim", "gmsd", "l1"}


@pytest.mark.parametrize(("shard_size", "batch_size"), [(10, None), (3, 2), (1, 1)])
def test_neither_shard_nor_batch_size_matter(tmp_path: Path, shard_size: int, batch_size: int | None) -> None:
    expected, _ = run(PLAN, tmp_path / "one")
    found, _ = run(replace(PLAN, shard_size=shard_size), tmp_path / "two", batch_size)
    order = ["source", "attack", "target", "triplet"]
    expected, found = (rows.sort_values(order, ignore_index=True) for rows in (expected, found))
    pd.testing.assert_frame_equal(expected[order].astype(str), found[order].astype(str))
    for name in ("distance0", "distance1", "attacked0", "attacked1"):
        np.testing.assert_allclose(expected[name], found[name], atol=1e-5)
    clear = (expected["attacked0"] - expected["attacked1"]).abs() > 1e-5
    assert (expected["flipped_8bit"] == found["flipped_8bit"])[clear].all()


def test_the_record_tells_with_what_it_was_computed(tmp_path: Path) -> None:
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
    wrong = replace(PLAN, white_box=WhiteBox(("l3", "sim"), (replace(PGD, attack="pdg"),)))
    with pytest.raises(InputError, match=r"(?s)l3.*sim.*pdg|pdg.*l3.*sim"):
        run_plan(wrong, tmp_path / "store", progress=False)
    assert not (tmp_path / "store").exists()


def test_an_interrupted_run_says_which_shards_it_knows(tmp_path: Path) -> None:
    class Interrupted(Watched):
        def _watched(self, tasks: Iterator[Task]) -> Iterator[Task]:
            yield next(tasks)
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
