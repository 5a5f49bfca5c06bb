"""What a run cost, against the times that its store holds."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from simlib.attacks import FGSM, PGD, StAdv, StAdvPGD
from simlib.benchmark.plan import Data, Plan, PlannedAttack, TransferSet, WhiteBox
from simlib.benchmark.run import run_plan
from simlib.benchmark.sealed import about
from simlib.benchmark.store import Store
from simlib.report.results import Results
from simlib.report.scale import Cost, costs, costs_as_table, stored_bytes


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Results:
    folder = tmp_path_factory.mktemp("store")
    pgd, stadv = (PlannedAttack.of(each, protocol="paper") for each in (PGD(steps=3), StAdv(iterations=3)))
    after = [
        PlannedAttack.of(StAdvPGD(iterations=3, steps=k), f"stAdv+PGD({k})", protocol="paper") for k in (1, 2)
    ]
    plan = Plan(
        name="made",
        data=Data(n=6),
        white_box=WhiteBox(metrics=("l2", "gmsd"), attacks=(pgd, stadv)),
        transfer=TransferSet(sources=("l2",), targets=("gmsd",), attacks=(stadv, *after)),
        shard_size=4,
    )
    return Results(Store(folder), run_plan(plan, folder, progress=False), "", computed=True)


def test_parts_add_up_to_what_the_shards_took(results: Results) -> None:
    took = [about(path)["seconds"] for path in (results.store.folder / "rows").glob("*.parquet")]
    found = costs(results)
    assert len(took) == 2
    assert sum(cost.seconds for cost in found) * 6 == pytest.approx(sum(took), rel=1e-4)
    assert all(cost.seconds >= 0 for cost in found)
    assert found[-1].metric == found[-1].attack == ""


def test_what_is_shared_is_counted_once(results: Results) -> None:
    found = {(cost.metric, cost.attack): cost for cost in costs(results)[:-1]}
    both = [(metric, attack) for metric in ("l2", "gmsd") for attack in ("PGD", "stAdv")]
    assert list(found) == [*both, ("l2", "stAdv+PGD(1)"), ("l2", "stAdv+PGD(2)")]
    # stAdv belongs to both parts of the plan, and is what the other two go on from.
    assert found["l2", "stAdv"].part == "white-box"
    rows: Any = results.rows("transfer")
    mean = rows[rows["target"] == "l2"].groupby("attack")["seconds"].mean()
    for name in ("stAdv+PGD(1)", "stAdv+PGD(2)"):
        alone = float(mean[name]) - float(mean["stAdv"])
        assert found["l2", name].seconds == pytest.approx(alone, abs=1e-6)


def test_only_files_of_the_run_count(results: Results, tmp_path: Path) -> None:
    # A copy, because other tests count the files of the store.
    store = Store(Path(shutil.copytree(results.store.folder, tmp_path / "copy")))
    results = replace(results, store=store)
    before = stored_bytes(results)
    assert before == sum(path.stat().st_size for path in (results.store.folder / "rows").glob("*.parquet"))
    white_box = WhiteBox(metrics=("l2",), attacks=(PlannedAttack.of(FGSM()),))
    other = Plan(name="other", data=Data(n=2, seed=5), white_box=white_box)
    run_plan(other, results.store.folder, progress=False)
    assert stored_bytes(results) == before


def test_parts_of_a_plan_are_added_up_in_core_hours() -> None:
    spent = [
        Cost("white-box", "l2", "PGD", 0.5),
        Cost("white-box", "l2", "FGSM", 0.25),
        Cost("transfer", "l2", "stAdv", 1.0),
        Cost("", "", "", 0.05),
    ]
    table = costs_as_table(spent, threads=2, sizes=[3600, 36_000])
    assert table.header[2:] == ("core h, 3,600", "core h, 36,000")
    assert table.rows == (
        ("white-box, L2", 1.5, 2, 15),
        ("images for transfer, L2", 2.0, 2, 20),
        ("judging, and all else", 0.1, 0, 1),
        ("all", 3.6, 4, 36),
    )
