"""The engine that spreads shards over a Ray cluster.

A worker has two tasks at most, the one it computes and the next, and a task is asked for only when a worker
has room for it, so that memory does not grow with the plan. For a worker that died another one is started, on
another node if need be, and its tasks are given out once more; a shard that costs three workers ends the run.

Ray's own retries are not used: when a node is lost, they are spent within a second on attempts to reach it.
"""

from __future__ import annotations

import contextlib
import time
import warnings
from collections import Counter
from collections.abc import Generator, Iterable, Iterator
from itertools import chain
from typing import Any

from simlib.benchmark.ray_cluster import connect, require_room, room_for_workers, share_of_gpu
from simlib.benchmark.ray_worker import ShardWorker, Warned, Work, environment
from simlib.benchmark.shard import Done, Task, run_shard
from simlib.errors import EngineError
from simlib.kernels.checks import require_count

IN_FLIGHT = 2
"""Tasks that a worker has at a time: one that it computes, and one so that it need not wait for the next."""

TRIES = 3
"""Workers that one shard may cost before the run is given up."""

LOOK_EVERY = 10.0
"""Seconds after which it is looked again how many workers the cluster has room for."""


class RayEngine:
    """Computes shards on a Ray cluster.

    Without an address Ray is started on this machine, and stopped again by :meth:`close`. A cluster that was
    there before is only left. Where this process is connected to one already, that one is used.

    Args:
        device_type: ``"cpu"`` or ``"cuda"``.
        address: of a cluster that runs, ``"HOST:PORT"``, or ``"auto"`` for the one of this machine; None for
            what the environment variable ``RAY_ADDRESS`` names, or else a cluster of its own.
        workers: how many; None for as many as the cluster has room for, nodes that join later included.
        cpus_per_worker: cores of a worker, and threads of torch.
        gpus_per_worker: GPUs of a worker; a fraction lets several share one. None for one on ``"cuda"`` and
            none on ``"cpu"``.
        batch_size: triplets computed at once; None to choose it from the free memory.
        work: computes a shard; :func:`simlib.benchmark.shard.run_shard` but in tests.

    Attributes:
        size: how many workers there are while there is enough to do.

    Raises:
        AbsentPackageError: if Ray is not installed.
        InputError: if a number is out of range, or the cluster has no room for the workers, such as no GPU.
        EngineError: if there is no cluster at the address, or none can be started.
    """

    def __init__(
        self,
        device_type: str,
        *,
        address: str | None = None,
        workers: int | None = None,
        cpus_per_worker: int = 1,
        gpus_per_worker: float | None = None,
        batch_size: int | None = None,
        work: Work = run_shard,
    ) -> None:
        require_count("cpus_per_worker", cpus_per_worker)
        if workers is not None:
            require_count("workers", workers)
        self._share = cpus_per_worker, share_of_gpu(device_type, gpus_per_worker)
        self._ray, self._connection = connect(address, workers and workers * cpus_per_worker)
        cpus, gpus = self._share
        placed = self._ray.remote(num_cpus=cpus, num_gpus=gpus, scheduling_strategy="SPREAD")
        self._actors = placed(ShardWorker)
        self._arguments = (device_type, cpus_per_worker, batch_size, work, environment())
        self._team: list[Any] = []
        self._grows, self._looked = workers is None, time.monotonic()
        try:
            room = self._room()
            require_room(room, workers or 1, *self._share)
        except BaseException:
            self.close()
            raise
        self.size = workers or room

    def run(self, tasks: Iterable[Task]) -> Generator[Done, None, None]:
        """Compute tasks, and yield what came of them, in any order.

        Raises:
            EngineError: if one shard costs three workers, a worker has another environment than this
                process, or Ray itself fails.
        """
        left: Iterator[Task] | None = iter(tasks)
        pending, deaths, said = dict[Any, tuple[Any, Task]](), Counter[int](), set[Warned]()
        while True:
            if left is not None:
                self._hire()
            while left is not None and (worker := self._free(pending)):
                if (task := next(left, None)) is None:
                    left = None
                else:
                    pending[worker.compute.remote(task)] = (worker, task)
            if not pending:
                return
            ready, _ = self._ray.wait(list(pending), num_returns=1, timeout=LOOK_EVERY)
            if left is None and not ready:
                # A worker whose node was lost may wait for the place of one that has nothing to do.
                for worker in set(self._team) - {worker for worker, _ in pending.values()}:
                    self._let_go(worker)
            for ref in ready:
                try:
                    done, warned = self._result(ref)
                except _DiedError as error:
                    lost = self._take_back(pending[ref][0], pending)
                    deaths[lost[0].number] += 1
                    _report(lost[0], deaths[lost[0].number], error)
                    left = chain(lost, left or ())
                    continue
                del pending[ref]
                for each in dict.fromkeys(warned):
                    if each not in said:
                        said.add(each)
                        warnings.warn_explicit(*each)
                yield done

    def close(self) -> None:
        """Let the workers go, and stop the cluster if this engine started it."""
        for worker in list(self._team):
            self._let_go(worker)
        self._connection.close()

    def _room(self) -> int:
        return room_for_workers(self._ray.nodes(), *self._share)

    def _hire(self) -> None:
        if self._grows and time.monotonic() > self._looked + LOOK_EVERY:
            self.size, self._looked = max(self._room(), 1), time.monotonic()
        while len(self._team) < self.size:
            self._team.append(self._actors.remote(*self._arguments))

    def _free(self, pending: dict[Any, tuple[Any, Task]]) -> Any:
        """Return the worker with the fewest tasks; None if all have as many as they may."""
        load = Counter(worker for worker, _ in pending.values())
        worker = min(self._team, key=lambda each: load[each])
        return worker if load[worker] < IN_FLIGHT else None

    def _take_back(self, worker: Any, pending: dict[Any, tuple[Any, Task]]) -> list[Task]:
        """Let a worker go that died; return its tasks, the one that it was at first."""
        lost = [ref for ref, (owner, _) in pending.items() if owner == worker]
        self._let_go(worker)
        return [pending.pop(ref)[1] for ref in lost]

    def _result(self, ref: Any) -> tuple[Done, list[Warned]]:
        errors = self._ray.exceptions
        try:
            return self._ray.get(ref)
        except errors.RayTaskError as error:
            # As it was raised there; Ray's own, with the worker's traceback, is its cause.
            raise error.cause from error
        except (
            errors.RayActorError,
            errors.WorkerCrashedError,
            errors.OutOfMemoryError,
            errors.ObjectLostError,
        ) as error:
            raise _DiedError(str(error)) from error
        except errors.RayError as error:
            raise EngineError(f"Ray failed: {error}") from error

    def _let_go(self, worker: Any) -> None:
        self._team.remove(worker)
        # It may be dead already, and the cluster with it.
        with contextlib.suppress(Exception):
            self._ray.kill(worker, no_restart=True)


class _DiedError(Exception):
    """A worker died, or its node was lost, before a result came."""


def _report(task: Task, tries: int, error: _DiedError) -> None:
    """Warn that the worker of a task died; an EngineError ends the run when too many did."""
    if tries == TRIES:
        raise EngineError(
            f"Shard {task.number} ({task.shard}) was tried {TRIES} times, and each time its worker died. "
            "Perhaps its memory ran out: try a smaller shard_size or batch_size. What is finished is in the "
            f"store. What Ray says of the last worker: {error}"
        ) from error
    warnings.warn(
        f"The worker of shard {task.number} died (try {tries} of {TRIES}); another one takes over.",
        RuntimeWarning,
        stacklevel=3,
    )
