"""The Ray engine on a cluster of two nodes on this machine: against the local engine, and with deaths."""

from __future__ import annotations

import contextlib
import os
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

from simlib.benchmark import ray_engine, ray_worker
from simlib.benchmark.engines import LocalEngine
from simlib.benchmark.identity import recipes_of, shard_key
from simlib.benchmark.plan import Data, Plan, PlannedAttack, TransferSet, WhiteBox
from simlib.benchmark.ray_cluster import require_room, room_for_workers, share_of_gpu
from simlib.benchmark.ray_engine import IN_FLIGHT, TRIES, RayEngine
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
PGD = PlannedAttack("PGD(3)", "pgd", "paper", "closer", {"steps": 3})
PLAN = Plan(
    "two nodes",
    Data("photos", 12, seed=2),
    white_box=WhiteBox(("l2",), (PGD,)),
    transfer=TransferSet(("ssim",), ("l2",), (PGD,)),
    shard_size=4,
    device="cpu",
)
NODE = {"num_cpus": 1, "include_dashboard": False, "object_store_memory": 100 * 2**20}


def as_told(folder: Path, task: Task, models: Models, batch_size: int | None) -> Done:
    """Compute a shard after doing what its name says; leave a note of every try."""
    kind = task.shard.split("-")[0]
    (folder / f"{task.shard}.{os.getpid()}").touch()
    if kind == "slow":
        time.sleep(0.3)
    elif kind == "meet":  # until another process is at one too
        until = time.monotonic() + 60
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


@pytest.mark.parametrize("name", ["workers", "cpus_per_worker"])
def test_numbers_are_checked_before_ray_is_started(name: str) -> None:
    arguments: dict[str, Any] = {name: 0}
    with pytest.raises(InputError, match=name):
        RayEngine("cpu", **arguments)


def test_without_ray_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(AbsentPackageError, match=r"pip install 'simlib\[ray\]'"):
        RayEngine("cpu")


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
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("notes")


@pytest.fixture(scope="module")
def shared(cluster: Any, folder: Path) -> Iterator[RayEngine]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    engine = RayEngine("cpu", address=cluster.address, work=partial(as_told, folder))
    yield engine
    engine.close()
    torch.set_num_threads(threads)


def meet(engine: RayEngine, folder: Path) -> None:
    """Have two workers compute something, each not before the other."""
    for note in folder.iterdir():
        note.unlink()
    assert len(list(engine.run(tasks(*["meet"] * (2 * IN_FLIGHT))))) == 2 * IN_FLIGHT
    assert len(engine.places) == 2


@pytest.fixture
def engine(shared: RayEngine, folder: Path) -> RayEngine:
    """Both workers are there, and have computed something."""
    meet(shared, folder)
    return shared


@slow
def test_two_nodes_compute_what_this_process_does(engine: RayEngine) -> None:
    import ray

    assert engine.size == 2
    assert {place.node for place in engine.places} == {node["NodeID"] for node in ray.nodes()}
    given = tasks(*["plain"] * 6)
    assert_as_local(list(engine.run(given)), given)


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
def test_tasks_are_asked_for_only_when_a_worker_has_room(engine: RayEngine) -> None:
    given, asked, received, ahead = tasks(*["slow"] * 10), 0, 0, []

    def one_by_one() -> Iterator[Task]:
        nonlocal asked
        for task in given:
            asked += 1
            ahead.append(asked - received)
            yield task

    for _ in engine.run(one_by_one()):
        received += 1
    assert received == 10
    # Each worker has one to compute and one that waits, and never more.
    assert max(ahead) == IN_FLIGHT * engine.size


@slow
def test_a_worker_killed_midway_costs_no_row(engine: RayEngine) -> None:
    given, found = tasks(*["slow"] * 8), []
    victim = engine.places[0].process
    with pytest.warns(RuntimeWarning, match=r"The worker of shard \d+ died \(try 1 of 3\)"):
        for done in engine.run(given):
            found.append(done)
            if len(found) == 1:
                os.kill(victim, signal.SIGKILL)
    assert victim not in {place.process for place in engine.places}
    assert_as_local(found, given)


@slow
def test_a_node_lost_midway_costs_no_row_and_one_that_joins_is_put_to_work(
    engine: RayEngine, cluster: Any, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ray_engine, "LOOK_EVERY", 0)
    given, found = tasks(*["slow"] * 8), []
    (lost,) = cluster.worker_nodes
    with pytest.warns(RuntimeWarning, match="died"):
        for done in engine.run(given):
            found.append(done)
            if len(found) == 1:
                cluster.remove_node(lost, allow_graceful=False)
    assert_as_local(found, given)
    assert len(engine.places) == 1
    # What it would see in a while, once Ray has given the node up.
    engine.size = 1
    add_node(cluster)
    meet(engine, folder)


@slow
def test_a_shard_that_kills_its_workers_is_given_up_after_three(engine: RayEngine, folder: Path) -> None:
    with (
        pytest.warns(RuntimeWarning, match=r"died \(try [12] of 3\)"),
        pytest.raises(EngineError, match=rf"Shard 2 \(die-2-.*was tried {TRIES} times.*died unexpectedly"),
    ):
        list(engine.run(tasks("plain", "plain", "die", "plain")))
    # A worker may take the result of the shard before with it, and then the try counts for that one.
    assert TRIES == 3 <= len(list(folder.glob("die-2-*"))) <= 2 * TRIES


@slow
def test_an_exception_comes_through_and_is_not_tried_again(engine: RayEngine, folder: Path) -> None:
    with pytest.raises(InputError, match=r"^refused by the worker$") as caught:
        list(engine.run(tasks("plain", "refuse")))
    assert type(caught.value) is InputError
    assert "as_told" in str(caught.value.__cause__)
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
def test_other_code_on_a_worker_is_refused(engine: RayEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_worker, "code_hash", lambda *_: "f" * 64)
    # Workers are looked at when they start, and one starts when another has died.
    os.kill(engine.places[0].process, signal.SIGKILL)
    with (
        pytest.warns(RuntimeWarning, match="died"),
        pytest.raises(EngineError, match=r"differs .* in the code of simlib \(\w{16}, not f{16}\)"),
    ):
        list(engine.run(tasks(*["slow"] * 100)))


@slow
def test_a_run_that_is_left_early_does_not_reach_into_the_next(engine: RayEngine) -> None:
    begun = engine.run(tasks(*["slow"] * 8))
    next(begun)
    begun.close()
    given = tasks(*["plain"] * 4)
    assert_as_local(list(engine.run(given)), given)


@slow
@pytest.mark.usefixtures("shared")
def test_a_gpu_that_no_node_has_is_missed_at_once() -> None:
    with pytest.raises(InputError, match="room for 0 workers of 1 CPU and 1 GPU"):
        RayEngine("cuda")
    with pytest.raises(InputError, match="room for 2 workers of 1 CPU, and 3 are wanted"):
        RayEngine("cpu", workers=3)


@slow
def test_without_an_address_ray_is_started_here_and_stopped() -> None:
    script = """
        import os, psutil, ray, sys
        from simlib.benchmark.ray_engine import RayEngine
        from tests.test_ray_engine import tasks

        engine = RayEngine("cpu", workers=1)
        print(len(list(engine.run(tasks("plain", "plain")))), len(engine.places))
        print("raylet" in {each.name() for each in psutil.Process().children(recursive=True)})
        engine.close()
        _, alive = psutil.wait_procs(psutil.Process().children(recursive=True), timeout=30)
        print(alive, ray.is_initialized(), os.environ["RAY_USAGE_STATS_ENABLED"])
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)],
        cwd=Path(__file__).parents[1],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.splitlines() == ["2 1", "True", "[] False 0"], done.stderr
