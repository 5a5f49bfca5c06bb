"""The engine that spreads shards over a Ray cluster.

A worker has two tasks at most, the one it computes and the next, and a task is asked for only when a worker
has room for it, so that memory does not grow with the plan. A worker that dies costs its shard one of three
tries.
"""

from __future__ import annotations

import contextlib
import time
import warnings
from collections import deque
from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from simlib.benchmark.ray_cluster import connect, require_room, room_for_workers, share_of_gpu
from simlib.benchmark.ray_worker import Place, ShardWorker, Work, environment
from simlib.benchmark.shard import Done, Task, run_shard
from simlib.errors import EngineError
from simlib.kernels.checks import require_count

IN_FLIGHT = 2
"""Tasks that a worker has at a time: one that it computes, and one so that it need not wait for the next."""

TRIES = 3
"""Workers that one shard may cost before the run is given up."""

LOOK_EVERY = 10.0
"""Seconds after which it is looked again how many workers the cluster has room for."""

PATIENCE = 60.0
"""Seconds without a single worker before it is said that there is none."""


@dataclass
class _Attempt:
    """A task that is being tried.

    Attributes:
        task: what is to be computed.
        lost: workers that died of it so far.
    """

    task: Task
    lost: int = 0


class _Queue:
    """What is still to be computed: what dead workers left behind, then the tasks, asked for one by one."""

    def __init__(self, tasks: Iterable[Task]) -> None:
        self._tasks = iter(tasks)
        self._left_behind = deque[_Attempt]()

    def next(self) -> _Attempt | None:
        if self._left_behind:
            return self._left_behind.popleft()
        task = next(self._tasks, None)
        return None if task is None else _Attempt(task)

    def put_back(self, attempts: Iterable[_Attempt]) -> None:
        self._left_behind.extend(attempts)

    def is_empty(self) -> bool:
        first = self.next()
        if first:
            self._left_behind.appendleft(first)
        return first is None


@dataclass
class _Worker:
    """A worker as the driver sees it.

    Attributes:
        actor: its handle.
        greeting: reference to its greeting.
        place: where it lives; None until it has greeted, and until then it is given nothing.
        attempts: what it was given and has not brought back, by reference, the oldest first.
    """

    actor: Any
    greeting: Any
    place: Place | None = None
    attempts: dict[Any, _Attempt] = field(default_factory=dict)

    @property
    def awaited(self) -> list[Any]:
        return list(self.attempts) if self.place else [self.greeting]

    def take(self, attempt: _Attempt) -> None:
        self.attempts[self.actor.compute.remote(attempt.task)] = attempt


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
        InputError: if a number is out of range, or the cluster has no room for the workers: no GPU, for
            instance.
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
        self._team: list[_Worker] = []
        self._failed_starts = 0
        self._said = set[str]()
        cpus, gpus = self._share
        needs = {"num_cpus": cpus, "num_gpus": gpus, "scheduling_strategy": "SPREAD"}
        self._actors = self._ray.remote(**needs)(ShardWorker)
        self._arguments = (device_type, cpus_per_worker, batch_size, work)
        self._grows, self._looked = workers is None, time.monotonic()
        try:
            room = self._room()
            require_room(room, workers or 1, *self._share)
        except BaseException:
            self.close()
            raise
        self.size = workers or room

    @property
    def places(self) -> list[Place]:
        """Where the workers live that have begun."""
        return [worker.place for worker in self._team if worker.place]

    def run(self, tasks: Iterable[Task]) -> Generator[Done, None, None]:
        """Compute tasks, and yield what came of them, in any order.

        Raises:
            EngineError: if one shard costs three workers, a worker has another environment than this
                process, or Ray itself fails.
        """
        queue = _Queue(tasks)
        self._said.clear()
        try:
            while self._is_busy() or not queue.is_empty():
                self._hire()
                self._hand_out(queue)
                yield from self._results(queue)
        finally:
            # Of a run that was left early nobody wants what the workers still compute. They end it and stay.
            for worker in self._team:
                worker.attempts.clear()

    def close(self) -> None:
        """Let the workers go, and stop the cluster if this engine started it."""
        for worker in list(self._team):
            self._let_go(worker)
        self._connection.close()

    def _is_busy(self) -> bool:
        return any(worker.attempts for worker in self._team)

    def _room(self) -> int:
        return room_for_workers(self._ray.nodes(), *self._share)

    def _hire(self) -> None:
        if self._grows and time.monotonic() > self._looked + LOOK_EVERY:
            self.size, self._looked = max(self._room(), 1), time.monotonic()
        while len(self._team) < self.size:
            actor = self._actors.remote(*self._arguments)
            self._team.append(_Worker(actor, actor.greet.remote(environment())))

    def _hand_out(self, queue: _Queue) -> None:
        while True:
            free = [each for each in self._team if each.place and len(each.attempts) < IN_FLIGHT]
            attempt = queue.next() if free else None
            if attempt is None:
                return
            min(free, key=lambda each: len(each.attempts)).take(attempt)

    def _results(self, queue: _Queue) -> Iterator[Done]:
        """Wait until something has come, and yield all that has."""
        owners = {ref: worker for worker in self._team for ref in worker.awaited}
        refs = list(owners)
        first, _ = self._ray.wait(refs, num_returns=1, timeout=PATIENCE)
        if not first and not self.places:
            self._say("The cluster has no room for a worker yet. Waiting; `ray status` shows who holds it.")
        for ref in self._ray.wait(refs, num_returns=len(refs), timeout=0)[0]:
            worker = owners[ref]
            if ref not in worker.awaited:
                continue  # it was lost together with another one of this worker
            answer = self._take(worker, ref, queue)
            if isinstance(answer, Place):
                worker.place, self._failed_starts = answer, 0
            elif answer is not None:
                del worker.attempts[ref]
                done, warned = answer
                for each in warned:
                    self._say(*each)
                yield done

    def _take(self, worker: _Worker, ref: Any, queue: _Queue) -> Any:
        """Return what a reference stands for; None if its worker is lost."""
        errors = self._ray.exceptions
        try:
            return self._ray.get(ref)
        except errors.RayTaskError as error:
            if not worker.place:
                self._let_go(worker)
            # As it was raised there; Ray's own, with the worker's traceback, is its cause.
            raise error.cause from error
        except (
            errors.RayActorError,
            errors.WorkerCrashedError,
            errors.NodeDiedError,
            errors.ObjectLostError,
            errors.OutOfMemoryError,
        ) as error:
            self._lose(worker, error, queue)
            return None
        except errors.RayError as error:
            raise EngineError(f"Ray failed: {error}") from error

    def _lose(self, worker: _Worker, error: Exception, queue: _Queue) -> None:
        """Put back what a lost worker had; the task it was at has cost a worker more."""
        self._let_go(worker)
        attempts = list(worker.attempts.values())
        worker.attempts.clear()
        if not worker.place:
            self._failed_starts += 1
            if self._failed_starts == TRIES or getattr(error, "actor_init_failed", False):
                raise EngineError(f"A worker could not be started on the cluster: {error}") from error
            return
        worker.place = None
        attempts[0].lost += 1
        number, lost = attempts[0].task.number, attempts[0].lost
        if lost == TRIES:
            raise EngineError(
                f"Shard {number} ({attempts[0].task.shard}) was tried {TRIES} times, and each time its "
                "worker died; perhaps its memory ran out, of which a smaller shard_size or batch_size needs "
                f"less. What is finished is in the store. What Ray says of the last worker: {error}"
            ) from error
        self._say(f"The worker of shard {number} died (try {lost} of {TRIES}); another one takes it over.")
        queue.put_back(attempts)

    def _say(
        self, text: str, kind: type[Warning] = RuntimeWarning, file: str = __file__, line: int = 1
    ) -> None:
        """Warn of something once in a run, however many workers say it."""
        if text not in self._said:
            self._said.add(text)
            warnings.warn_explicit(text, kind, file, line)

    def _let_go(self, worker: _Worker) -> None:
        self._team.remove(worker)
        # It may be dead already, and the cluster with it.
        with contextlib.suppress(Exception):
            self._ray.kill(worker.actor, no_restart=True)
