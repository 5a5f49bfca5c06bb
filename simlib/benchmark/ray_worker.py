"""What runs in an actor on a Ray cluster: a process that keeps its metrics and computes shards with them."""

from __future__ import annotations

import os
import socket
import warnings
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import torch

from simlib.benchmark.identity import Recipe, recipes_of
from simlib.benchmark.plan import Data, Plan, TransferSet
from simlib.benchmark.shard import Done, Models, Task
from simlib.code import code_hash
from simlib.errors import EngineError

_CODE = ("kernels", "metrics", "triplets", "attacks", "benchmark")
"""The code that runs on a worker, or that it exchanges with the driver."""

Work = Callable[[Task, Models, int | None], Done]
Warned = tuple[str, type[Warning], str, int]
"""A warning: its text, class, file and line."""


@dataclass(frozen=True)
class Place:
    """Where a worker lives.

    Attributes:
        host: name of the machine.
        node: what Ray calls it; several nodes may share a machine.
        process: its process id there.
    """

    host: str
    node: str
    process: int


class ShardWorker:
    """What an actor does: it keeps the metrics it was asked for, and computes shards with them.

    Args:
        device_type: ``"cpu"`` or ``"cuda"``.
        threads: that torch may use.
        batch_size: triplets computed at once; None to choose it from the free memory.
        work: computes a shard.
    """

    def __init__(self, device_type: str, threads: int, batch_size: int | None, work: Work) -> None:
        torch.set_num_threads(threads)
        self._device = torch.device(device_type)
        self._models = Models(self._device)
        self._batch_size = batch_size
        self._work = work
        self._known = set[str]()

    def greet(self, expected: Mapping[str, str]) -> Place:
        """Say where this worker lives.

        Args:
            expected: :func:`environment` of the process that asks.

        Raises:
            EngineError: if this process runs other code, whose rows would be others.
        """
        import ray

        found = environment()
        pairs = [(key, found[key], value) for key, value in expected.items()]
        other = [f"{key} ({here}, not {there})" for key, here, there in pairs if here != there]
        if other:
            raise EngineError(
                f"The worker on {socket.gethostname()} differs from the process that started the run in "
                f"{' and '.join(other)}. Install the same on every machine, and start the nodes anew."
            )
        return Place(socket.gethostname(), ray.get_runtime_context().get_node_id(), os.getpid())

    def compute(self, task: Task) -> tuple[Done, list[Warned]]:
        """Compute a shard, and return its rows with the warnings that were given meanwhile.

        Raises:
            EngineError: if this machine's weights or libraries would give other rows than were asked for.
        """
        self._require_same(task.recipes)
        with warnings.catch_warnings(record=True) as seen:
            done = self._work(task, self._models, self._batch_size)
        return done, [(str(each.message), each.category, each.filename, each.lineno) for each in seen]

    def _require_same(self, recipes: Iterable[Recipe]) -> None:
        """Compute the addresses again: they hold the hashes of the weights that lie here."""
        for recipe in recipes:
            if recipe.key in self._known:
                continue
            pair = TransferSet((recipe.source,), (recipe.target,), (recipe.attack,))
            plan = Plan("", Data(), transfer=pair, seed=recipe.seed)
            self._known |= {each.key for each in recipes_of(plan, self._device)["transfer"]}
            if recipe.key not in self._known:
                raise EngineError(
                    f"On {socket.gethostname()} the weights or the libraries of {recipe.source} or "
                    f"{recipe.target} are not those of the process that started the run. Give all machines "
                    "the same; `simlib weights` and `simlib metrics` tell what each has."
                )


def environment() -> dict[str, str]:
    """Describe what must be the same in every process of a run."""
    return {"the code of simlib": code_hash(*_CODE)[:16], "torch": torch.__version__}
