"""Whole runs that are killed, disturbed or lack room: their store ends as that of an undisturbed run."""

from __future__ import annotations

import itertools
import random
import signal
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from simlib import attacks
from simlib.attacks import AttackResult, RankFlip
from simlib.benchmark.plan import Data, Plan, PlannedAttack, TransferSet, WhiteBox
from simlib.benchmark.record import RunRecord
from simlib.benchmark.run import run_plan
from simlib.benchmark.store import Store
from simlib.errors import InputError, OutputError
from tests.made_results import remount, small_disk
from tests.processes import (
    CONTEXT,
    PATIENCE,
    Watched,
    ended,
    meeting_run,
    run_killed_at,
    run_with_small_files,
    start,
    stuck_run,
    whole_run,
)

FGSM = PlannedAttack("FGSM", "fgsm", "strict", parameters={"grid": (0.01, 0.02)})
PGD = PlannedAttack("PGD", "pgd", "strict", parameters={"eps": 0.02, "step": 0.004, "steps": 3})
SHORT = Plan(
    "short",
    Data("photos", 6, seed=1),
    WhiteBox(("l2", "l1"), (FGSM,)),
    TransferSet(("l2",), ("l1",), (PGD,)),
    shard_size=2,
    keep_images=True,
)
LONG = replace(SHORT, name="long", data=Data("photos", 40, seed=1), shard_size=1)


@pytest.fixture(scope="module")
def long_run(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Give the store of an undisturbed run."""
    folder = tmp_path_factory.mktemp("undisturbed") / "store"
    run_plan(LONG, folder, progress=False)
    return Store(folder)


def computed(plan: Plan, folder: Path) -> tuple[RunRecord, list[str]]:
    """Run a plan here; return its record, and the shards of which something was computed."""
    engine = Watched()
    record = run_plan(plan, folder, engine=engine, progress=False)
    return record, [task.shard for task in engine.tasks]


def rows_of(store: Store, plan: Plan) -> pd.DataFrame:
    """Return the rows of a finished run without the only column that may differ between two of them."""
    record = store.record(plan.name)
    assert record.finished
    return store.rows(record).drop(columns="seconds")


def assert_same_store(found: Store, expected: Store, plan: Plan) -> None:
    """Compare what two runs left: row by row, file by file, image by image."""
    rows = rows_of(expected, plan)
    pd.testing.assert_frame_equal(rows_of(found, plan), rows, check_exact=True)
    # Nothing is there twice for those who read the files directly, either.
    counted = duckdb.connect().execute(
        "SELECT count(*), count(DISTINCT recipe || shard || place), count(DISTINCT triplet) "
        f"FROM '{found.folder}/rows/*.parquet'"
    )
    assert counted.fetchall() == [(len(rows), len(rows), plan.data.n)]
    assert images_of(found) == images_of(expected)
    left = [path for kind in ("rows", "images") for path in (found.folder / kind).iterdir()]
    assert {path.suffix for path in left} == {".parquet"}


def images_of(store: Store) -> dict[str, list[dict[str, object]]]:
    """Return the stored images by the address in the name of the file."""
    files = sorted((store.folder / "images").glob("*.parquet"))
    return {path.stem.rpartition("-")[0]: pq.read_table(path).to_pylist() for path in files}


def files_of(store: Store) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in store.folder.glob("*/*.parquet")}


# Killed.


@pytest.mark.slow
def test_killed_at_random_moments_a_run_ends_as_if_undisturbed(long_run: Store, tmp_path: Path) -> None:
    folder, moments = tmp_path / "store", random.Random(5)
    written = sorted(path.stat().st_mtime for path in (long_run.folder / "rows").iterdir())
    cycle = (written[-1] - written[0]) / (len(written) - 1)

    def whole_shards() -> int:
        return len(list(folder.glob("rows/*.parquet")))

    for kill in range(12):
        # Two kills come before any shard can be done, the others at any point of the cycle of a shard.
        wanted = whole_shards() + (moments.randint(1, 2) if kill > 1 else 0)
        process = start(whole_run, LONG, folder)
        while whole_shards() < wanted and process.is_alive():
            time.sleep(0.001)
        time.sleep(moments.uniform(0, cycle))
        process.kill()
        assert ended(process) == -signal.SIGKILL, "the plan is too short for so many kills"
    assert 10 <= whole_shards() < 40
    with pytest.raises(InputError, match="is not complete"):
        Store(folder).rows(Store(folder).record())
    assert ended(start(whole_run, LONG, folder)) == 0
    assert_same_store(Store(folder), long_run, LONG)


@pytest.mark.slow
def test_killed_at_any_step_of_the_store_a_run_ends_as_if_undisturbed(tmp_path: Path) -> None:
    plan = replace(SHORT, data=Data("photos", 2), white_box=None, shard_size=1)
    run_plan(plan, tmp_path / "undisturbed", progress=False)
    folder = tmp_path / "store"
    codes = (ended(start(run_killed_at, step, plan, folder)) for step in itertools.count(1))
    kills = list(itertools.takewhile(lambda code: code != 0, codes))
    assert len(kills) >= 20
    assert set(kills) == {-signal.SIGKILL}
    assert_same_store(Store(folder), Store(tmp_path / "undisturbed"), plan)


# Two processes.


def test_two_processes_share_a_store(long_run: Store, tmp_path: Path) -> None:
    logs = [tmp_path / f"log{number}" for number in range(2)]
    barrier = CONTEXT.Barrier(2)
    running = [start(meeting_run, LONG, tmp_path / "store", log, barrier) for log in logs]
    assert [ended(process) for process in running] == [0, 0]
    first, second = (log.read_text().split() for log in logs)
    shards = [shard for shard, _ in long_run.record().shards]
    assert first
    assert second
    assert sorted(first + second) == sorted(shards)
    assert_same_store(Store(tmp_path / "store"), long_run, LONG)


def test_one_process_takes_over_from_another_that_is_killed(tmp_path: Path) -> None:
    run_plan(SHORT, tmp_path / "undisturbed", progress=False)
    store, log = tmp_path / "store", tmp_path / "log"
    reached = CONTEXT.Event()
    killed = start(stuck_run, SHORT, store, reached)
    assert reached.wait(PATIENCE)
    other = start(whole_run, SHORT, store, log)
    deadline = time.monotonic() + PATIENCE
    while not log.exists() or len(log.read_text().split()) < 2:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    # Nothing is left but the shard that the first process has claimed.
    assert other.is_alive()
    killed.kill()
    assert ended(killed) == -signal.SIGKILL
    assert ended(other) == 0
    assert len(log.read_text().split()) == 3
    assert_same_store(Store(store), Store(tmp_path / "undisturbed"), SHORT)


# No room.


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    with small_disk(tmp_path / "disk", 400) as folder:
        yield folder


def test_on_a_full_disk_a_run_stops_and_goes_on_when_there_is_room(long_run: Store, disk: Path) -> None:
    with pytest.raises(OutputError, match="No space left on device"):
        computed(LONG, disk / "store")
    before = files_of(Store(disk / "store"))
    whole = sum(path.parent.name == "rows" for path in before)
    assert 0 < whole < 40
    assert not list(disk.rglob("*.part"))
    remount(disk, "size=64m")
    _, shards = computed(LONG, disk / "store")
    assert len(shards) == 40 - whole
    # What was written before is what is there now; only images without rows are written again.
    after = files_of(Store(disk / "store"))
    assert all(after[path] == changed for path, changed in before.items() if path.parent.name == "rows")
    assert_same_store(Store(disk / "store"), long_run, LONG)


def test_files_that_may_not_grow_stop_a_run_with_an_error(tmp_path: Path) -> None:
    store, told = tmp_path / "store", tmp_path / "told"
    assert ended(start(run_with_small_files, SHORT, store, 6000, told)) == 0
    assert "Cannot write" in told.read_text()
    assert "File too large" in told.read_text()
    assert not list(store.rglob("*.part"))
    run_plan(SHORT, tmp_path / "undisturbed", progress=False)
    computed(SHORT, store)
    assert_same_store(Store(store), Store(tmp_path / "undisturbed"), SHORT)


def test_a_place_that_cannot_be_written_is_told_before_any_work(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    engine = Watched()
    for place in (tmp_path / "file", tmp_path / "file" / "store", Path("/proc/store")):
        with pytest.raises(OutputError, match="Cannot make the folder"):
            run_plan(SHORT, place, engine=engine, progress=False)
    assert not engine.tasks


def test_a_finished_store_that_may_not_be_written_is_read_but_not_run(disk: Path) -> None:
    record, _ = computed(SHORT, disk / "store")
    remount(disk, "ro")
    assert len(Store(disk / "store", create=False).rows(record)) == 4 * 6
    engine = Watched()
    with pytest.raises(OutputError, match="Read-only file system"):
        run_plan(replace(SHORT, seed=1), disk / "store", engine=engine, progress=False)
    assert not engine.tasks


# Damage, and what need not be computed.


@pytest.fixture
def finished(tmp_path: Path) -> Store:
    run_plan(SHORT, tmp_path / "store", progress=False)
    return Store(tmp_path / "store")


@pytest.mark.parametrize("damage", ["changed", "cut", "empty", "absent"])
def test_damage_costs_one_shard(finished: Store, damage: str) -> None:
    rows = rows_of(finished, SHORT)
    record = finished.record()
    shard = record.shards[1][0]
    (path,) = (finished.folder / "rows").glob(f"{shard}-*")
    content = bytearray(path.read_bytes())
    content[len(content) // 3] ^= 4
    if damage == "absent":
        path.unlink()
    else:
        path.write_bytes({"changed": content, "cut": content[:-9], "empty": b""}[damage])
    with pytest.raises(InputError, match=r"1 of its 3 shards are missing|is damaged"):
        finished.rows(record)
    if damage == "absent":
        _, shards = computed(SHORT, finished.folder)
    else:
        with pytest.warns(UserWarning, match=f"{path.name} is damaged.*computed again"):
            _, shards = computed(SHORT, finished.folder)
    assert shards == [shard]
    pd.testing.assert_frame_equal(rows_of(finished, SHORT), rows, check_exact=True)


def test_asked_again_nothing_is_computed_or_written(finished: Store) -> None:
    before = files_of(finished)
    _, shards = computed(SHORT, finished.folder)
    assert shards == []
    assert files_of(finished) == before


def test_a_plan_that_overlaps_computes_what_it_adds(finished: Store, tmp_path: Path) -> None:
    longer = replace(PGD, title="PGD4", parameters={**PGD.parameters, "steps": 4})
    plan = replace(
        SHORT,
        name="other",
        white_box=WhiteBox(("l2",), (replace(FGSM, title="one step"), longer)),
        transfer=None,
    )
    engine = Watched()
    run_plan(plan, finished.folder, engine=engine, progress=False)
    assert [each.attack.title for task in engine.tasks for each in task.recipes] == ["PGD4"] * 3
    computed(plan, tmp_path / "fresh")
    expected = rows_of(Store(tmp_path / "fresh"), plan)
    assert set(expected["attack"]) == {"one step", "PGD4"}
    pd.testing.assert_frame_equal(rows_of(finished, plan), expected, check_exact=True)
    # The first plan is not touched by that.
    assert set(rows_of(finished, SHORT)["attack"]) == {"FGSM", "PGD"}


def test_a_further_target_judges_stored_images(
    finished: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = replace(SHORT, name="more", transfer=TransferSet(("l2",), ("l1", "ssim"), (PGD,)))
    computed(plan, tmp_path / "fresh")

    attack, attacked = attacks.run, []

    def watch(name: str, problem: RankFlip, **parameters: object) -> AttackResult:
        attacked.append(len(problem))
        return attack(name, problem, **parameters)

    monkeypatch.setattr(attacks, "run", watch)
    engine = Watched()
    run_plan(plan, finished.folder, engine=engine, progress=False)
    assert [recipe.target for task in engine.tasks for recipe in task.recipes] == ["ssim"] * 3
    # Checking the plan tries its attacks on a single triplet; a shard has two.
    assert set(attacked) == {1}
    expected = rows_of(Store(tmp_path / "fresh"), plan)
    pd.testing.assert_frame_equal(rows_of(finished, plan), expected, check_exact=True)
    assert np.isfinite(expected["attacked0"]).all()


def test_another_format_stops_a_run(finished: Store) -> None:
    (finished.folder / "manifest.json").write_text('{"format": 2, "simlib": "7.0"}')
    before = files_of(finished)
    with pytest.raises(InputError, match=r"has format 2; .* Use simlib 7\.0"):
        run_plan(SHORT, finished.folder, progress=False)
    assert files_of(finished) == before
