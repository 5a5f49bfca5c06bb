"""What a run cost, against the times that its store holds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from simlib.benchmark.plan import Data, Plan, PlannedAttack, TransferSet, WhiteBox
from simlib.benchmark.run import run_plan
from simlib.benchmark.store import Store
from simlib.report.results import Results
from simlib.report.scale import costs, stored_bytes

_STADV = {"iterations": 3}


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Results:
    folder = tmp_path_factory.mktemp("store")
    pgd = PlannedAttack("PGD", "pgd", "paper", parameters={"steps": 3})
    stadv = PlannedAttack("stAdv", "stadv", "paper", parameters=_STADV)
    after = [
        PlannedAttack(f"stAdv+PGD({k})", "stadv-pgd", "paper", parameters={**_STADV, "steps": k})
        for k in (1, 2)
    ]
    plan = Plan(
        "made",
        Data(n=6),
        WhiteBox(("l2", "gmsd"), (pgd, stadv)),
        TransferSet(("l2",), ("gmsd",), (stadv, *after)),
        shard_size=4,
    )
    record = run_plan(plan, folder, progress=False)
    return Results(Store(folder), record, "", computed=True)


def test_parts_add_up_to_what_the_shards_took(results: Results) -> None:
    files = list((results.store.folder / "rows").glob("*.parquet"))
    assert len(files) == 2
    total = sum(_told(path)["seconds"] for path in files)
    found = costs(results)
    assert sum(cost.seconds for cost in found) * 6 == pytest.approx(total, rel=1e-4)
    assert all(cost.seconds >= 0 for cost in found)
    assert found[-1].metric == found[-1].attack == ""


def test_what_is_shared_is_counted_once(results: Results) -> None:
    found = {(cost.metric, cost.attack): cost for cost in costs(results)[:-1]}
    assert list(found) == [
        ("l2", "PGD"),
        ("l2", "stAdv"),
        ("gmsd", "PGD"),
        ("gmsd", "stAdv"),
        ("l2", "stAdv+PGD(1)"),
        ("l2", "stAdv+PGD(2)"),
    ]
    # stAdv belongs to both parts of the plan, and is what the other two go on from.
    assert found["l2", "stAdv"].part == "white-box"
    rows: Any = results.rows("transfer")
    mean = rows[rows["target"] == "l2"].groupby("attack")["seconds"].mean()
    for name in ("stAdv+PGD(1)", "stAdv+PGD(2)"):
        alone = float(mean[name]) - float(mean["stAdv"])
        assert found["l2", name].seconds == pytest.approx(alone, abs=1e-6)


def test_only_files_of_the_run_count(results: Results) -> None:
    before = stored_bytes(results)
    assert before == sum(path.stat().st_size for path in (results.store.folder / "rows").glob("*.parquet"))
    other = Plan("other", Data(n=2, seed=5), WhiteBox(("l2",), (PlannedAttack("FGSM", "fgsm", "paper"),)))
    run_plan(other, results.store.folder, progress=False)
    assert stored_bytes(results) == before


def _told(path: Path) -> dict[str, Any]:
    return json.loads(pq.read_schema(path).metadata[b"simlib"])
