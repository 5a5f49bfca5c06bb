"""The benchmark: what store and scheduling cost, how time grows with the triplets, and what a worker adds."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from tqdm import tqdm

from simlib.attacks import PGD
from simlib.benchmark.engines import LocalEngine
from simlib.benchmark.plan import Data, Plan, PlannedAttack, TransferSet
from simlib.benchmark.ray_engine import RayEngine
from simlib.benchmark.recipe import recipes_of, shard_key
from simlib.benchmark.run import run_plan
from simlib.benchmark.shard import Done, Task
from simlib.metrics import Metric
from simlib.triplets import Triplets
from simlib.triplets.sources import Drawn, drawn
from tests.benchmarks.timing import circumstances, seconds

FEW, MANY = 512, 8192
"""Numbers of triplets; of the few the median of three runs counts, two before the many and one after."""

WARM_UP = 64
TARGETS = ("l2", "ssim", "haarpsi")
SHARDS, SHARD_SIZE = 12, 16
"""What the workers are given, which are to be busy for some seconds and to end at about the same time."""

ROUNDS = 5
PGD_10 = PlannedAttack.of(PGD(steps=10, early_stop=False), "PGD(10)", protocol="paper")


@dataclass(frozen=True)
class Spent:
    """What a run took.

    Attributes:
        seconds: for a triplet.
        making: share of them in which triplets were made.
        overhead: share in which neither triplets were made nor shards computed: store, scheduling, all else.
    """

    seconds: float
    making: float
    overhead: float


class Watched(LocalEngine):
    """The local engine, which notes what the shards themselves took."""

    seconds = 0.0

    def run(self, tasks: Iterator[Task]) -> Iterator[Done]:
        for done in super().run(tasks):
            self.seconds += done.seconds
            yield done


class WatchedData:
    """Triplets that note how long it took to make them."""

    def __init__(self, made: Drawn) -> None:
        self.seconds, self._made = 0.0, made

    def __len__(self) -> int:
        return len(self._made)

    def __getitem__(self, part: slice) -> Triplets:
        started = time.perf_counter()
        triplets = self._made[part]
        self.seconds += time.perf_counter() - started
        return triplets


def measure(metric: Metric, device: torch.device) -> dict[str, Any]:
    """Return the figures of the benchmark as they stand in ``bench.json``."""
    plan = plan_on(metric, device)
    spend(plan, device, WARM_UP)
    few = [spend(plan, device, FEW), spend(plan, device, FEW)]
    many = spend(plan, device, MANY)
    few.append(spend(plan, device, FEW))
    seconds_few = statistics.median(each.seconds for each in few)
    return {
        f"seconds_per_triplet_{FEW}": seconds_few,
        f"seconds_per_triplet_{MANY}": many.seconds,
        "growth": many.seconds / seconds_few,
        "share_of_making_triplets": many.making,
        f"overhead_{FEW}": statistics.median(each.overhead for each in few),
        f"overhead_{MANY}": many.overhead,
        "targets": len(TARGETS),
        "shard_size": plan.shard_size,
        **ray_workers(plan),
        **circumstances(metric, device),
    }


def plan_on(metric: Metric, device: torch.device) -> Plan:
    """PGD(10) on a metric, judged by a few fast ones."""
    shown = TransferSet(sources=(metric.spec.name,), targets=TARGETS, attacks=(PGD_10,))
    return Plan(name="speed", data=Data(n=WARM_UP), transfer=shown, device=device.type)


def spend(plan: Plan, device: torch.device, n: int) -> Spent:
    """Run a plan on n triplets, into an empty store."""
    plan = plan.model_copy(update={"data": Data(n=n)})
    engine, data = Watched(device), WatchedData(drawn(plan.data.source, n, seed=plan.data.seed))
    with tempfile.TemporaryDirectory() as folder:
        whole = seconds(lambda: run_plan(plan, folder, triplets=data, engine=engine))
    return Spent(whole / n, data.seconds / whole, 1 - (engine.seconds + data.seconds) / whole)


def ray_workers(plan: Plan) -> dict[str, Any]:
    """Compare two Ray workers with one on the processor, a thread each, in turn."""
    plan = plan.model_copy(update={"device": "cpu", "shard_size": SHARD_SIZE})
    recipes = tuple(recipes_of(plan, torch.device("cpu"))["transfer"])
    triplets = drawn(plan.data.source, SHARDS * SHARD_SIZE)
    parts = [triplets[start : start + SHARD_SIZE] for start in range(0, len(triplets), SHARD_SIZE)]
    tasks = [Task(shard_key(part), number, part, recipes) for number, part in enumerate(parts)]
    # One cluster that has room for both; the workers of one wait while those of the other are timed.
    cluster = RayEngine("cpu", workers=3)
    one, two = RayEngine("cpu", workers=1), RayEngine("cpu", workers=2)
    try:
        for engine in (one, two):
            warm_up(engine, tasks)
        times = [
            (seconds(lambda: list(one.run(tasks))), seconds(lambda: list(two.run(tasks))))
            for _ in tqdm(range(ROUNDS), desc="one and two Ray workers", unit="round")
        ]
    finally:
        for engine in (two, one, cluster):
            engine.close()
    return {
        "triplets_per_second_one_worker": len(triplets) / statistics.median(alone for alone, _ in times),
        "triplets_per_second_two_workers": len(triplets) / statistics.median(both for _, both in times),
        "two_workers_against_one": statistics.median(alone / both for alone, both in times),
        "two_workers_against_one_rounds": [alone / both for alone, both in times],
        "threads_of_a_worker": 1,
        "triplets_for_workers": len(triplets),
    }


def warm_up(engine: RayEngine, tasks: list[Task]) -> None:
    """Have every worker compute something; the first round ends before the last worker has started."""
    for _ in range(3):
        list(engine.run(tasks))
