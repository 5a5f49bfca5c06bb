"""Whole runs that are killed, disturbed or lack room: their store ends as that of an undisturbed run."""

from __future__ import annotations

import itertools
import random
import signal
import time
from pathlib import Path

import duckdb
import pandas as pd
import pyarrow.parquet as pq
import pytest

from simlib.attacks import FGSM, PGD
from simlib.benchmark.plan import Data, Plan, PlannedAttack, TransferSet, WhiteBox
from simlib.benchmark.run import run_plan
from simlib.benchmark.shard import Task
from simlib.benchmark.store import Store
from simlib.errors import InputError, OutputError
from tests.benchmark.made_results import remount, small_disk
from tests.benchmark.processes import (
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

ONE_STEP = PlannedAttack.of(FGSM(grid=[0.01, 0.02]))
STEPS = PlannedAttack.of(PGD(eps=0.02, step=0.004, steps=3))
SHORT = Plan(
    name="short",
    data=Data(n=6, seed=1),
    white_box=WhiteBox(metrics=("l2", "l1"), attacks=(ONE_STEP,)),
    transfer=TransferSet(sources=("l2",), targets=("l1",), attacks=(STEPS,)),
    shard_size=2,
    keep_images=True,
)
LONG = SHORT.model_copy(update={"name": "long", "data": Data(n=40, seed=1), "shard_size": 1})


@pytest.fixture(scope="module")
def long_run(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Give the store of an undisturbed run."""
    folder = tmp_path_factory.mktemp("undisturbed") / "store"
    run_plan(LONG, folder, progress=False)
    return Store(folder)


def computed(plan: Plan, folder: Path) -> list[Task]:
    """Run a plan here; return what was computed."""
    engine = Watched()
    run_plan(plan, folder, engine=engine, progress=False)
    return engine.tasks


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
    plan = SHORT.model_copy(update={"data": Data(n=2), "white_box": None, "shard_size": 1})
    run_plan(plan, tmp_path / "undisturbed", progress=False)
    folder = tmp_path / "store"
    codes = (ended(start(run_killed_at, step, plan, folder)) for step in itertools.count(1))
    kills = list(itertools.takewhile(lambda code: code != 0, codes))
    assert len(kills) >= 20
    assert set(kills) == {-signal.SIGKILL}
    assert_same_store(Store(folder), Store(tmp_path / "undisturbed"), plan)


# Two processes.


@pytest.mark.slow
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


def test_on_a_full_disk_a_run_stops_and_goes_on_when_there_is_room(long_run: Store, tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 400) as disk:
        with pytest.raises(OutputError, match="No space left on device"):
            computed(LONG, disk / "store")
        before = {path: path.stat().st_mtime_ns for path in (disk / "store" / "rows").iterdir()}
        assert 0 < len(before) < 40
        assert not list(disk.rglob("*.part"))
        remount(disk, "size=64m")
        assert len(computed(LONG, disk / "store")) == 40 - len(before)
        # What was written before is what is there now; only images without rows are written again.
        assert all(path.stat().st_mtime_ns == changed for path, changed in before.items())
        assert_same_store(Store(disk / "store"), long_run, LONG)


@pytest.mark.slow
def test_files_that_may_not_grow_stop_a_run_with_an_error(tmp_path: Path) -> None:
    store, message = tmp_path / "store", tmp_path / "message"
    assert ended(start(run_with_small_files, SHORT, store, 6000, message)) == 0
    assert "Cannot write" in message.read_text()
    assert "File too large" in message.read_text()
    assert not list(store.rglob("*.part"))
    run_plan(SHORT, tmp_path / "undisturbed", progress=False)
    computed(SHORT, store)
    assert_same_store(Store(store), Store(tmp_path / "undisturbed"), SHORT)


# Damage, and what need not be computed.


@pytest.fixture
def finished(tmp_path: Path) -> Store:
    run_plan(SHORT, tmp_path / "store", progress=False)
    return Store(tmp_path / "store")


def test_damage_costs_one_shard(finished: Store) -> None:
    rows, record = rows_of(finished, SHORT), finished.record()
    first, second = ((finished.folder / "rows").glob(f"{shard}-*") for shard, _ in record.shards[:2])
    cut, absent = next(first), next(second)
    cut.write_bytes(cut.read_bytes()[:-9])
    absent.unlink()
    with pytest.raises(InputError, match="is damaged"):
        finished.rows(record)
    with pytest.warns(UserWarning, match=f"{cut.name} is damaged.*computed again"):
        tasks = computed(SHORT, finished.folder)
    assert [task.shard for task in tasks] == [shard for shard, _ in record.shards[:2]]
    pd.testing.assert_frame_equal(rows_of(finished, SHORT), rows, check_exact=True)


def test_a_plan_that_overlaps_computes_what_it_adds(finished: Store, tmp_path: Path) -> None:
    attacks = (
        PlannedAttack.of(FGSM(grid=[0.01, 0.02]), "one step"),
        PlannedAttack.of(PGD(eps=0.02, step=0.004, steps=4), "PGD4"),
    )
    other = WhiteBox(metrics=("l2",), attacks=attacks)
    plan = SHORT.model_copy(update={"name": "other", "white_box": other, "transfer": None})
    tasks = computed(plan, finished.folder)
    assert [each.attack.title for task in tasks for each in task.recipes] == ["PGD4"] * 3
    computed(plan, tmp_path / "fresh")
    expected = rows_of(Store(tmp_path / "fresh"), plan)
    assert set(expected["attack"]) == {"one step", "PGD4"}
    pd.testing.assert_frame_equal(rows_of(finished, plan), expected, check_exact=True)
    # The first plan is not touched by that.
    assert set(rows_of(finished, SHORT)["attack"]) == {"FGSM", "PGD"}
