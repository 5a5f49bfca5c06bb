"""What a plan comes to before it is run, against what a run then finds."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from simlib.benchmark.outlook import Outlook, outlook
from simlib.benchmark.plan import Data, Plan, PlannedAttack, TransferSet, WhiteBox
from simlib.benchmark.run import run_plan
from simlib.benchmark.store import Store
from simlib.errors import InputError

CPU = torch.device("cpu")
PGD = PlannedAttack("PGD", "pgd", "strict", parameters={"eps": 0.02, "step": 0.004, "steps": 2})
FGSM = PlannedAttack("FGSM", "fgsm", "strict", parameters={"grid": (0.02,)})
PLAN = Plan(
    "test",
    Data("photos", 5),
    white_box=WhiteBox(("l2", "l1"), (PGD, FGSM)),
    transfer=TransferSet(("l2",), ("gmsd", "l1"), (PGD,)),
    shard_size=2,
    device="cpu",
)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("store") / "results"
    run_plan(PLAN, folder, progress=False)
    return folder


def missing(found: Outlook) -> dict[tuple[str, str, str], int]:
    """Return for how many triplets each recipe is missing, by title, source and target."""
    return {(each.attack.title, each.source, each.target): n for each, n in found.work if n}


def test_rows_are_those_that_a_run_brings(store: Path) -> None:
    found = outlook(PLAN, None, CPU)
    white_box, transfer = found.parts
    assert found.triplets == 5
    assert (white_box.part, white_box.sources, white_box.attacks, white_box.targets) == ("white-box", 2, 2, 0)
    assert (transfer.part, transfer.sources, transfer.attacks, transfer.targets) == ("transfer", 1, 1, 2)
    results = Store(store)
    record = results.record()
    for part in found.parts:
        assert part.rows == len(results.rows(record, part=part.part))
        assert part.stored == 0
    # PGD on L2, judged by L2, belongs to both parts and is computed once.
    assert sum(n for _, n in found.work) == len(results.rows(record)) == 5 * (4 + 2)


def test_what_was_run_is_stored(store: Path) -> None:
    found = outlook(PLAN, store, CPU)
    assert missing(found) == {}
    assert [part.stored for part in found.parts] == [part.rows for part in found.parts]


def test_only_what_changed_is_missing(store: Path) -> None:
    assert PLAN.white_box and PLAN.transfer
    more = replace(PLAN, transfer=replace(PLAN.transfer, targets=("gmsd", "ssim")))
    assert missing(outlook(more, store, CPU)) == {("PGD", "l2", "ssim"): 5}
    stronger = replace(FGSM, parameters={"grid": (0.02, 0.04)})
    changed = replace(PLAN, white_box=replace(PLAN.white_box, attacks=(PGD, stronger)))
    assert missing(outlook(changed, store, CPU)) == {("FGSM", "l2", "l2"): 5, ("FGSM", "l1", "l1"): 5}


@pytest.mark.parametrize(
    ("data", "shard_size", "left"),
    [
        # Shards of 2, 2 and 1 are there.
        (Data("photos", 9), 2, 5),
        (Data("photos", 4), 2, 0),
        (Data("photos", 3), 2, 1),
        (Data("photos", 5, seed=1), 2, 5),
        (Data("photos", 5), 3, 5),
    ],
)
def test_other_draws_share_whole_shards(store: Path, data: Data, shard_size: int, left: int) -> None:
    other = replace(PLAN, data=data, shard_size=shard_size)
    found = outlook(other, store, CPU)
    assert {*missing(found).values()} == ({left} if left else set())
    assert [part.stored for part in found.parts] == [
        part.rows * (found.triplets - left) // found.triplets for part in found.parts
    ]


def test_a_folder_without_results_has_none_and_is_left_alone(tmp_path: Path) -> None:
    assert outlook(PLAN, tmp_path / "nothing", CPU) == outlook(PLAN, None, CPU)
    assert not (tmp_path / "nothing").exists()


def test_a_store_of_another_format_is_refused(tmp_path: Path) -> None:
    (tmp_path / "runs").mkdir()
    (tmp_path / "manifest.json").write_text('{"format": 99, "simlib": "9"}')
    with pytest.raises(InputError, match="format 99"):
        outlook(PLAN, tmp_path, CPU)
