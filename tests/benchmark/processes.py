"""Runs of a benchmark in processes of their own, each forked from one that has loaded everything."""

from __future__ import annotations

import multiprocessing
import os
import resource
import signal
import sys
import time
from collections.abc import Callable, Iterator
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import torch

from simlib.benchmark.engines import LocalEngine
from simlib.benchmark.plan import Plan
from simlib.benchmark.run import run_plan
from simlib.benchmark.shard import Done, Task
from simlib.errors import OutputError

CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["simlib.benchmark.run", "tests.benchmark.processes", "scipy.stats", "tqdm"])

PATIENCE = 120.0
"""Seconds after which a process that should have ended counts as stuck."""


class Watched:
    """The local engine, which remembers the tasks that it was given and finished.

    Args:
        log: where the address of each finished shard is written to, for other processes.
        first: called once, when the first shard is computed and not written yet.
        batch_size: triplets computed at once.
    """

    def __init__(
        self,
        log: Path | None = None,
        first: Callable[[], object] | None = None,
        batch_size: int | None = None,
    ) -> None:
        self.tasks: list[Task] = []
        self._engine = LocalEngine(torch.device("cpu"), batch_size)
        self._log, self._first = log, first

    def run(self, tasks: Iterator[Task]) -> Iterator[Done]:
        for task in tasks:
            (done,) = self._engine.run(iter([task]))
            self.tasks.append(task)
            if self._first:
                self._first()
                self._first = None
            yield done
            if self._log:
                with self._log.open("a") as log:
                    log.write(f"{task.shard}\n")

    def close(self) -> None:
        self._engine.close()


def start(target: Callable[..., None], *arguments: Any) -> BaseProcess:
    """Start a function of this module in a process of its own."""
    process = CONTEXT.Process(target=target, args=arguments)
    process.start()
    return process


def ended(process: BaseProcess) -> int | None:
    """Wait for a process, and return its exit code: minus the signal, if one ended it."""
    process.join(PATIENCE)
    if process.exitcode is None:
        process.kill()
        process.join()
        raise TimeoutError("A run hung.")
    return process.exitcode


def whole_run(plan: Plan, folder: Path, log: Path | None = None) -> None:
    run_plan(plan, folder, engine=Watched(log), progress=False)


def meeting_run(plan: Plan, folder: Path, log: Path, barrier: Any) -> None:
    """Run a plan, and wait with the first shard computed until as many others are there, too."""
    run_plan(plan, folder, engine=Watched(log, lambda: barrier.wait(PATIENCE)), progress=False)


def stuck_run(plan: Plan, folder: Path, reached: Any) -> None:
    """Run a plan up to the end of its first shard, and stay there."""

    def stay() -> None:
        reached.set()
        time.sleep(10 * PATIENCE)

    run_plan(plan, folder, engine=Watched(None, stay), progress=False)


def run_killed_at(step: int, plan: Plan, folder: Path) -> None:
    """Run a plan, and be killed at a step: the opening, renaming, removing or locking of a file of the store.

    A file that would have got its name is cut in half first, as one that was not written to its end.
    """
    seen = 0

    def watch(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal seen
        if event not in ("open", "os.rename", "os.remove", "os.mkdir", "os.listdir", "fcntl.flock"):
            return
        if event != "fcntl.flock" and not str(arguments[0]).startswith(str(folder)):
            return
        seen += 1
        if seen == step:
            if event == "os.rename":
                os.truncate(arguments[0], os.stat(arguments[0]).st_size // 2)
            os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(watch)
    run_plan(plan, folder, progress=False)


def run_with_small_files(plan: Plan, folder: Path, most: int, message: Path) -> None:
    """Run a plan where no file may have more than so many bytes, and write down the error."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
    try:
        run_plan(plan, folder, progress=False)
    except OutputError as error:
        message.write_text(str(error))
