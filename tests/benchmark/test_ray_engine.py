"""The Ray engine on a cluster of two nodes on this machine: against the local engine, and with deaths."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import signal
import socket
import subprocess
import sys
import textwrap
import time
import warnings
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch

from simlib.attacks import PGD
from simlib.benchmark import ray_engine, ray_worker
from simlib.benchmark.engines import LocalEngine
from simlib.benchmark.plan import Data, Plan, PlannedAttack, TransferSet, WhiteBox
from simlib.benchmark.ray_cluster import require_room, room_for_workers, share_of_gpu
from simlib.benchmark.ray_engine import IN_FLIGHT, TRIES, RayEngine
from simlib.benchmark.recipe import recipes_of, shard_key
from simlib.benchmark.run import run_plan
from simlib.benchmark.shard import Done, Models, Task, run_shard
from simlib.benchmark.store import Store
from simlib.errors import AbsentPackageError, EngineError, InputError
from tests.support import random_triplets

pytestmark = pytest.mark.xdist_group("ray")
slow = pytest.mark.slow

# Ray reads these when it is imported, which another test may do first. Nobody else is to reach our nodes.
os.environ.update(RAY_USAGE_STATS_ENABLED="0", RAY_AUTH_MODE="token", RAY_AUTH_TOKEN=secrets.token_hex(32))
os.environ.pop("RAY_ADDRESS", None)

CPU = torch.device("cpu")
ATTACK = PlannedAttack.of(PGD(steps=3), protocol="paper")
PLAN = Plan(
    name="two nodes",
    data=Data(n=12, seed=2),
    white_box=WhiteBox(metrics=("l2",), attacks=(ATTACK,)),
    transfer=TransferSet(sources=("ssim",), targets=("l2",), attacks=(ATTACK,)),
    shard_size=4,
    device="cpu",
)
NODE = {"num_cpus": 1, "include_dashboard": False, "object_store_memory": 100 * 2**20}


def as_named(folder: Path, task: Task, models: Models, batch_size: int | None) -> Done:
    """Compute a shard after doing what its name says; note the process and the node of every try."""
    import ray

    kind = task.shard.split("-")[0]
    (folder / f"{task.shard}.{os.getpid()}").write_text(ray.get_runtime_context().get_node_id())
    if kind == "slow":
        time.sleep(0.3)
    elif kind == "meet":  # until another process is at one too
        until = time.monotonic() + 120
        while len({path.suffix for path in folder.glob("meet-*")}) < 2 and time.monotonic() < until:
            time.sleep(0.02)
    elif kind == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    elif kind == "refuse":
        raise InputError("refused by the worker")
    elif kind == "warn":
        warnings.warn("said by the worker", UserWarning, stacklevel=1)
    return run_shard(task, models, batch_size)


def tasks(*kinds: str) -> list[Task]:
    """One task of three triplets for each kind, all of different triplets."""
    recipes = tuple(dict.fromkeys(each for part in recipes_of(PLAN, CPU).values() for each in part))
    found = []
    for number, kind in enumerate(kinds):
        triplets = random_triplets(3, seed=number)
        found.append(Task(f"{kind}-{number}-{shard_key(triplets)}", number, triplets, recipes))
    return found


def rows_of(done: Done) -> pd.DataFrame:
    return done.rows.to_pandas().drop(columns="seconds")


def assert_as_local(found: list[Done], given: list[Task]) -> None:
    """Every task once, and the rows those of this process, to the last bit."""
    assert sorted(done.number for done in found) == [task.number for task in given]
    by_number = {done.number: done for done in found}
    for local in LocalEngine(CPU).run(iter(given)):
        done = by_number[local.number]
        assert (done.recipes, done.names, done.shard) == (local.recipes, local.names, local.shard)
        assert done.where == local.where
        pd.testing.assert_frame_equal(rows_of(done), rows_of(local), check_exact=True)


def node(cpus: float, gpus: float = 0, alive: bool = True) -> dict[str, Any]:
    return {"Alive": alive, "Resources": {"CPU": cpus, "GPU": gpus} if gpus else {"CPU": cpus}}


@pytest.mark.parametrize(
    ("nodes", "cpus", "gpus", "room"),
    [
        ([node(4)], 1, 0, 4),
        ([node(4), node(7)], 2, 0, 5),
        ([node(3), node(3)], 2, 0, 2),  # a worker does not stretch over two nodes
        ([node(8), node(8, alive=False)], 1, 0, 8),
        ([node(16, 2)], 1, 1, 2),
        ([node(16, 2)], 1, 0.25, 8),
        ([node(16, 2)], 1, 0.4, 4),  # two on each GPU; what is left of both is no third of theirs
        ([node(16, 2)], 1, 0.1, 16),  # CPUs run out first
        ([node(16, 5)], 1, 2, 2),
        ([node(16), node(4, 1)], 1, 0.5, 2),
    ],
)
def test_there_are_as_many_workers_as_the_nodes_have_room_for(
    nodes: list[dict[str, Any]], cpus: int, gpus: float, room: int
) -> None:
    assert room_for_workers(nodes, cpus, gpus) == room
    require_room(room, room, cpus, gpus)
    with pytest.raises(InputError, match=f"room for {room} worker.*{room + 1} are wanted"):
        require_room(room, room + 1, cpus, gpus)


def test_a_gpu_has_shares_but_workers_have_whole_ones() -> None:
    assert share_of_gpu("cpu", None) == 0
    assert share_of_gpu("cuda", None) == 1
    assert share_of_gpu("cuda", 0.25) == 0.25
    assert share_of_gpu("cuda", 2) == 2
    for device, share in (("cuda", 1.5), ("cuda", -1), ("cuda", float("nan")), ("cuda", 0)):
        with pytest.raises(InputError, match="gpus_per_worker is"):
            share_of_gpu(device, share)


def test_without_ray_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("workers", "cpus_per_worker"):
        wrong: Any = {name: 0}
        with pytest.raises(InputError, match=f"{name} is 0"):
            RayEngine("cpu", **wrong)
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(AbsentPackageError, match=r"pip install -e '\.\[ray\]'"):
        RayEngine("cpu")


@pytest.mark.parametrize(
    ("variable", "folder", "message"),
    [
        (
            "HOME",
            "none",
            r"key into the home folder .*none, which cannot be written to: No such file.* Set HOME",
        ),
        ("RAY_TMPDIR", "none", r"sockets and logs into .*none, which cannot be written.* Set RAY_TMPDIR"),
        ("RAY_TMPDIR", 60 * "x", r"x, has more than \d\d letters. Set RAY_TMPDIR to a shorter one"),
    ],
)
def test_what_keeps_ray_from_writing_is_told_at_once(
    variable: str, folder: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import ray

    tries: list[Any] = []

    def fail(*_: Any, **__: Any) -> None:
        tries.append(1)
        raise OSError("something deep inside")

    if len(folder) > 4:
        (tmp_path / folder).mkdir()
    monkeypatch.setenv(variable, str(tmp_path / folder))
    monkeypatch.setattr(ray, "init", fail)
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    with pytest.raises(EngineError, match=message) as caught:
        RayEngine("cpu", workers=1)
    assert "something deep inside" in str(caught.value) and "less to do" not in str(caught.value)
    assert len(tries) == 1


@pytest.mark.parametrize(("error", "busy"), [("The node timed out during startup.", True), ("No.", False)])
def test_another_failure_is_tried_again_and_told_as_it_is(
    error: str, busy: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    import ray

    tries: list[Any] = []

    def fail(*_: Any, **__: Any) -> None:
        tries.append(1)
        raise Exception(error)

    monkeypatch.setattr(ray, "init", fail)
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    with pytest.raises(EngineError, match=re.escape(error)) as caught:
        RayEngine("cpu", workers=1)
    assert ("when the machine has less to do" in str(caught.value)) is busy
    assert len(tries) == 3


def test_an_address_at_which_nothing_listens_is_refused_at_once() -> None:
    pytest.importorskip("ray")
    with contextlib.closing(socket.socket()) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(EngineError, match=f"There is no Ray cluster at '127.0.0.1:{port}'"):
        RayEngine("cpu", address=f"127.0.0.1:{port}")


def add_node(nodes: Any) -> None:
    """Start a node, which Ray gives up after seconds where the machine is busy with other tests."""
    for left in (2, 1, 0):
        try:
            nodes.add_node(**NODE)
            return
        except Exception:
            if not left:
                raise


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """Two nodes of one CPU each."""
    ray = pytest.importorskip("ray")
    from ray.cluster_utils import Cluster

    # The workers need not be able to import the tests.
    ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])
    nodes = Cluster()
    add_node(nodes)
    add_node(nodes)
    yield nodes
    ray.shutdown()
    nodes.shutdown()


@pytest.fixture(scope="module")
def notes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("notes")


@pytest.fixture(scope="module")
def engine(cluster: Any, notes: Path) -> Iterator[RayEngine]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    engine = RayEngine("cpu", address=cluster.address, work=partial(as_named, notes))
    yield engine
    engine.close()
    torch.set_num_threads(threads)


@pytest.fixture
def folder(notes: Path) -> Path:
    """Where workers leave notes; empty."""
    for note in notes.iterdir():
        note.unlink()
    return notes


def processes(folder: Path) -> set[int]:
    return {int(note.suffix[1:]) for note in folder.iterdir()}


@slow
def test_two_nodes_compute_what_this_process_does_and_take_tasks_when_they_have_room(
    engine: RayEngine, folder: Path
) -> None:
    import ray

    assert engine.size == 2
    given = tasks("meet", "meet", *["slow"] * 8)
    asked, found, ahead = 0, list[Done](), list[int]()

    def one_by_one() -> Iterator[Task]:
        nonlocal asked
        for task in given:
            asked += 1
            ahead.append(asked - len(found))
            yield task

    for done in engine.run(one_by_one()):
        found.append(done)
    assert_as_local(found, given)
    # Each worker has one to compute and one that waits, and never more.
    assert max(ahead) == IN_FLIGHT * engine.size
    assert len(processes(folder)) == 2
    assert {note.read_text() for note in folder.iterdir()} == {node["NodeID"] for node in ray.nodes()}


@slow
def test_a_plan_gives_the_same_rows_as_in_this_process(engine: RayEngine, tmp_path: Path) -> None:
    found = [
        Store(tmp_path / name).rows(run_plan(PLAN, tmp_path / name, engine=each, progress=False))
        for name, each in (("ray", engine), ("local", None))
    ]
    here, there = (rows.drop(columns="seconds") for rows in found)
    assert len(here) == 12 * 3
    pd.testing.assert_frame_equal(here, there, check_exact=True)


@slow
def test_a_worker_killed_midway_costs_no_row(engine: RayEngine, folder: Path) -> None:
    given, found = tasks("meet", "meet", *["slow"] * 8), list[Done]()
    victim = 0
    with pytest.warns(
        RuntimeWarning, match=r"The worker of shard \d+ died \(try 1 of 3\); another one takes over"
    ):
        for done in engine.run(given):
            found.append(done)
            if len(found) == 3:
                victim = min(processes(folder))
                os.kill(victim, signal.SIGKILL)
    assert_as_local(found, given)
    assert len(processes(folder) - {victim}) == 2


@slow
def test_a_node_lost_midway_costs_no_row_and_one_that_joins_is_put_to_work(
    engine: RayEngine, cluster: Any, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ray_engine, "LOOK_EVERY", 0.1)
    given, found = tasks("meet", "meet", *["slow"] * 6), list[Done]()
    (lost,) = cluster.worker_nodes
    with pytest.warns(RuntimeWarning, match="died"):
        for done in engine.run(given):
            found.append(done)
            if len(found) == 3:
                cluster.remove_node(lost, allow_graceful=False)
    assert_as_local(found, given)
    assert engine.size == 1
    for note in folder.iterdir():
        note.unlink()
    add_node(cluster)
    # Each of two waits for the other: without a second worker this would take its time, and find one process.
    assert len(list(engine.run(tasks("meet", "meet", *["slow"] * 4)))) == 6
    assert len(processes(folder)) == 2


@slow
@pytest.mark.filterwarnings("ignore:The worker of shard 2 died")
def test_a_shard_that_kills_its_workers_is_given_up_after_three(engine: RayEngine, folder: Path) -> None:
    given = tasks("plain", "plain", "die", "plain")
    with pytest.raises(EngineError, match=rf"Shard 2 \(die-2-.*was tried {TRIES} times") as caught:
        list(engine.run(given))
    assert "What is finished is in the store" in str(caught.value)
    assert len(list(folder.glob("die-2-*"))) == TRIES == 3


@slow
def test_an_exception_comes_through_and_is_not_tried_again(engine: RayEngine, folder: Path) -> None:
    with pytest.raises(InputError, match=r"^refused by the worker$") as caught:
        list(engine.run(tasks("plain", "refuse")))
    assert type(caught.value) is InputError
    assert "as_named" in str(caught.value.__cause__)
    assert len(list(folder.glob("refuse-*"))) == 1


@slow
def test_what_workers_warn_of_is_said_once(engine: RayEngine) -> None:
    with pytest.warns() as seen:
        assert len(list(engine.run(tasks(*["warn"] * 4)))) == 4
    assert [str(each.message) for each in seen] == ["said by the worker"]


@slow
def test_other_weights_on_a_worker_are_refused(engine: RayEngine) -> None:
    (task,) = tasks("plain")
    # The address of a recipe holds the hashes of the weights: with others it is another one.
    other = replace(task, recipes=(replace(task.recipes[0], key="0" * 16),))
    with pytest.raises(EngineError, match="the weights or the libraries of l2 or l2"):
        list(engine.run([other]))


@slow
def test_a_run_that_is_left_early_does_not_reach_into_the_next(engine: RayEngine) -> None:
    begun = engine.run(tasks(*["slow"] * 8))
    next(begun)
    begun.close()
    given = tasks(*["plain"] * 4)
    assert_as_local(list(engine.run(given)), given)


@slow
def test_a_gpu_that_no_node_has_is_missed_at_once(cluster: Any) -> None:
    with pytest.raises(InputError, match="room for 0 workers of 1 CPU and 1 GPU, and 1 is wanted"):
        RayEngine("cuda", address=cluster.address)
    with pytest.raises(InputError, match="room for 2 workers of 1 CPU, and 3 are wanted"):
        RayEngine("cpu", address=cluster.address, workers=3)


@slow
def test_other_code_on_a_worker_is_refused(
    engine: RayEngine, cluster: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Its workers give way to others. This test is the last on the cluster.
    engine.close()
    monkeypatch.setattr(ray_worker, "code_hash", lambda *_: "f" * 64)
    with contextlib.closing(RayEngine("cpu", address=cluster.address)) as another:
        monkeypatch.undo()
        with pytest.raises(EngineError, match=r"differs .* in the code of simlib \(\w{16}, not f{16}\)"):
            list(another.run(tasks("plain")))


@slow
def test_without_an_address_ray_is_started_here_and_stopped(root: Path) -> None:
    script = """
        import os, psutil, ray, signal
        from simlib.benchmark.ray_engine import RayEngine
        from tests.benchmark.test_ray_engine import tasks

        engine = RayEngine("cpu", workers=1)
        print(len(list(engine.run(tasks("plain", "plain")))), engine.size)
        print("raylet" in {each.name() for each in psutil.Process().children(recursive=True)})
        print(signal.getsignal(signal.SIGTERM) is signal.SIG_DFL)
        engine.close()
        _, alive = psutil.wait_procs(psutil.Process().children(recursive=True), timeout=30)
        print(alive, ray.is_initialized(), os.environ["RAY_USAGE_STATS_ENABLED"])
    """
    ask = [sys.executable, "-c", textwrap.dedent(script)]
    done = subprocess.run(ask, cwd=root, capture_output=True, text=True, check=False)
    assert done.stdout.splitlines() == ["2 1", "True", "True", "[] False 0"], done.stderr


@slow
def test_workers_import_nothing_from_where_the_caller_is(tmp_path: Path) -> None:
    plan = 'device = "cpu"\ndata = {source = "photos", n = 2}\n[white_box]\nmetrics = ["l2"]\n'
    (tmp_path / "plan.toml").write_text(plan + 'attacks = [{attack = "fgsm"}]\n')
    for name in ("random", "types", "torch"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('imported from where the caller is')")
    command = [Path(sys.executable).with_name("simlib"), "run", "plan.toml", "--store", "store"]
    command += ["--engine", "ray", "--workers", "1"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
