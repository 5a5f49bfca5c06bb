"""Engines: what runs the shards of a plan. They differ in where, never in what comes out."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

import torch

from simlib.benchmark.shard import Done, Models, Task, run_shard


class Engine(Protocol):
    """Something that runs shards."""

    def run(self, tasks: Iterator[Task]) -> Iterator[Done]:
        """Run tasks and hand back what became of each, in any order.

        A task is taken only when there is room for it: it holds memory, and keeps other processes from its
        shard. May be called again once all results were taken.
        """
        ...

    def close(self) -> None:
        """Give back what the engine holds; it runs nothing after that."""
        ...


class LocalEngine:
    """Runs shards in this process, one after the other.

    Args:
        device: where the metrics are.
        batch_size: triplets computed at once; None for as many as fit the free memory.
    """

    def __init__(self, device: torch.device, batch_size: int | None = None) -> None:
        self._models, self._batch_size = Models(device), batch_size

    def run(self, tasks: Iterator[Task]) -> Iterator[Done]:
        """Run tasks; see :class:`Engine`."""
        return (run_shard(task, self._models, self._batch_size) for task in tasks)

    def close(self) -> None:
        """Give back the metrics."""
        self._models = Models(self._models.device)
