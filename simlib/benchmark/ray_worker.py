"""What runs in an actor on a Ray cluster: a process that keeps its metrics and computes shards with them."""

from __future__ import annotations

import socket
import warnings
from collections.abc import Callable, Iterable, Mapping

import torch

from simlib.benchmark.recipe import Recipe, recipe_of
from simlib.benchmark.shard import Done, Models, Task
from simlib.errors import EngineError
from simlib.provenance import code_hash

Work = Callable[[Task, Models, int | None], Done]
Warned = tuple[str, type[Warning], str, int]
"""A warning: its text, class, file and line."""


class ShardWorker:
    """What an actor does. It expects the :func:`environment` of the process that started the run."""

    def __init__(
        self, device_type: str, threads: int, batch_size: int | None, work: Work, expected: Mapping[str, str]
    ) -> None:
        torch.set_num_threads(threads)
        self._models = Models(torch.device(device_type))
        self._batch_size, self._work, self._expected = batch_size, work, expected
        self._known = set[str]()

    def compute(self, task: Task) -> tuple[Done, list[Warned]]:
        """Compute a shard, and return its rows with the warnings that were given meanwhile.

        Raises:
            EngineError: if this machine's code, weights or libraries would give other rows.
        """
        self._require_same_environment()
        self._require_same_recipes(task.recipes)
        with warnings.catch_warnings(record=True) as seen:
            done = self._work(task, self._models, self._batch_size)
        return done, [(str(each.message), each.category, each.filename, each.lineno) for each in seen]

    def _require_same_environment(self) -> None:
        found = environment()
        expected = self._expected.items()
        if other := [f"{key} ({found[key]}, not {value})" for key, value in expected if found[key] != value]:
            raise EngineError(
                f"The worker on {socket.gethostname()} differs from the process that started the run in "
                f"{' and '.join(other)}. Install the same on every machine, and start the nodes anew."
            )

    def _require_same_recipes(self, recipes: Iterable[Recipe]) -> None:
        """Compute the addresses again: they hold the hashes of the weights that lie here."""
        for recipe in recipes:
            if recipe.key in self._known:
                continue
            found = recipe_of(recipe.attack, recipe.seed, recipe.source, recipe.target, self._models.device)
            if found.key != recipe.key:
                raise EngineError(
                    f"On {socket.gethostname()} the weights or the libraries of {recipe.source} or "
                    f"{recipe.target} are not those of the process that started the run. Give all machines "
                    "the same; `simlib weights` and `simlib metrics` tell what each has."
                )
            self._known.add(recipe.key)


def environment() -> dict[str, str]:
    """Describe what must be the same in every process of a run."""
    return {"the code of simlib": code_hash()[:16], "torch": torch.__version__}
