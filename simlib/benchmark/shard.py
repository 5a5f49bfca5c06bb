"""The work of one shard: attack its triplets, and let every target judge the images.

This one function serves all engines.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from simlib.attacks import Attack, AttackResult, RankedFlip, Ranking, Target
from simlib.benchmark.rows import assemble
from simlib.errors import UndefinedDistanceError
from simlib.kernels.device import free_memory, in_fitting_batches
from simlib.kernels.images import LEVELS, from_8bit, to_8bit
from simlib.metrics.metric import Metric
from simlib.metrics.registry import load
from simlib.provenance import describe_device
from simlib.triplets import Triplets

if TYPE_CHECKING:
    from simlib.benchmark.recipe import Recipe

Column = Tensor | np.ndarray

_FEATURES, _IMAGES = 16, 64
"""What an attack keeps for each triplet, in features and in images of float32; generous, to try once only."""


@dataclass(frozen=True)
class Task:
    """What the store lacks of one shard; plain data, which can go to another process.

    Attributes:
        shard: address of the triplets, which are on the processor.
        number: of the shard in its plan, from 0; for messages.
        images: attacked images that the store holds already (N, 3, H, W), levels of 8 bits, by images_key.
        keep_images: whether the attacked images are wanted back.
    """

    shard: str
    number: int
    triplets: Triplets
    recipes: tuple[Recipe, ...]
    images: Mapping[str, Tensor] = field(default_factory=dict)
    keep_images: bool = False


@dataclass(frozen=True)
class Done:
    """What became of a task.

    Attributes:
        recipes: keys of the recipes, in the order of the rows.
        rows: as many rows for each recipe as there are triplets, of ``rows.SCHEMA``.
        images: attacked images, as of a task; empty unless they are kept.
        names: of the triplets, in order.
        where: device, threads and versions it was computed with, to be shown.
    """

    shard: str
    number: int
    recipes: tuple[str, ...]
    rows: pa.Table
    images: Mapping[str, Tensor]
    names: tuple[str, ...]
    seconds: float
    where: Mapping[str, str]


class Models:
    """The metrics of one process on a device, each loaded when it is first asked for, and kept."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self._loaded: dict[str, Metric] = {}
        self._fitting: dict[tuple[str, tuple[int, ...]], int] = {}

    def __getitem__(self, name: str) -> Metric:
        """Return the metric of this name; errors are those of :func:`simlib.metrics.load`."""
        if name not in self._loaded:
            self._loaded[name] = load(name, device=self.device)
        return self._loaded[name]

    def fitting_batch(self, name: str, images: Tensor) -> int:
        """Say how many triplets of such images an attack on a metric can take at once, at least 1.

        Half of the memory that is free when it is first asked is taken for free; what an attack needs is
        judged by the features of one image. Where that is too much after all, batches are halved.
        """
        key = (name, tuple(images.shape[1:]))
        if key not in self._fitting:
            one = images[:1].to(self.device)
            with torch.no_grad():
                features = sum(each.numel() * each.element_size() for each in self[name].embed(one))
            need = _FEATURES * features + _IMAGES * one.numel() * one.element_size()
            self._fitting[key] = max(1, free_memory(self.device) // 2 // need)
        return self._fitting[key]


def run_shard(task: Task, models: Models, batch_size: int | None = None) -> Done:
    """Compute the rows of a shard.

    Each source looks at the triplets once for all its attacks, each target once for all attacked images.

    Args:
        task: what is to be computed.
        models: the metrics, on the device that computes.
        batch_size: triplets at once; None for as many as fit the free memory. Too large a batch is halved.

    Raises:
        InputError: if a metric or an attack refuses the triplets or its parameters.
        UndefinedDistanceError: if a metric has no distance for an image, saying whose rows it stops.
        OutOfMemoryError: if a single triplet does not fit the memory.
    """
    started = time.perf_counter()
    n = len(task.triplets)
    if batch_size is None:
        names = {name for recipe in task.recipes for name in (recipe.source, recipe.target)}
        batch_size = min(n, *(models.fitting_batch(name, task.triplets.ref) for name in names))
    parts = list(
        in_fitting_batches(lambda start, stop: _Part(task, models, start, stop).run(), n, batch_size)
    )
    rows = {
        recipe: {name: np.concatenate([rows[recipe.key][name] for rows, _ in parts]) for name in columns}
        for recipe in task.recipes
        for columns in [parts[0][0][recipe.key]]
    }
    kept = parts[0][1] if task.keep_images else {}
    return Done(
        shard=task.shard,
        number=task.number,
        recipes=tuple(recipe.key for recipe in task.recipes),
        rows=assemble(task.shard, task.triplets, rows),
        images={key: torch.cat([images[key] for _, images in parts]) for key in kept},
        names=task.triplets.names,
        seconds=time.perf_counter() - started,
        where=describe_device(models.device),
    )


@dataclass(frozen=True)
class _Attacked:
    """Attacked images of one source: their levels of 8 bits, which image it is, and how the source ranks."""

    levels: Tensor
    attacked_p1: Tensor
    p1_closer: Tensor


class _Part:
    """As many triplets of a shard as fit the memory."""

    def __init__(self, task: Task, models: Models, start: int, stop: int) -> None:
        self._number, self._recipes, self._models = task.number, task.recipes, models
        self._triplets = task.triplets[start:stop].to(models.device)
        self._stored = {key: levels[start:stop].to(models.device) for key, levels in task.images.items()}
        self._attacked: dict[str, _Attacked] = {}
        # What other attacks start from is run once, and kept while its source is attacked.
        self._starts = {recipe.attack.made.starts_from for recipe in task.recipes}
        self._found: dict[tuple[Attack, str, str], AttackResult] = {}
        self._columns: dict[str, dict[str, Column]] = {recipe.key: {} for recipe in task.recipes}

    def run(self) -> tuple[dict[str, dict[str, np.ndarray]], dict[str, Tensor]]:
        """Attack by source, then judge by target, so that one metric's features are in memory at a time.

        Returns columns (N,) by recipe, and attacked images by images_key; on the processor.
        """
        for source in dict.fromkeys(recipe.source for recipe in self._recipes):
            self._attack(source, [recipe for recipe in self._recipes if recipe.source == source])
        others = [recipe for recipe in self._recipes if not recipe.white_box]
        for target in dict.fromkeys(recipe.target for recipe in others):
            ranking = self._look(target)
            for recipe in others:
                if recipe.target == target:
                    self._judge(ranking, recipe)
        rows = {
            key: {name: torch.as_tensor(values).cpu().numpy() for name, values in columns.items()}
            for key, columns in self._columns.items()
        }
        return rows, {key: each.levels.cpu() for key, each in self._attacked.items()}

    def _look(self, name: str) -> Ranking:
        metric = self._models[name]
        with self._told(f"metric {name}"):
            return Ranking.look(metric, self._triplets, others="")

    @contextlib.contextmanager
    def _told(self, what: str) -> Iterator[None]:
        """Say of a distance that is undefined where in the plan it is, and what the plan can do."""
        try:
            yield
        except UndefinedDistanceError as error:
            raise UndefinedDistanceError(
                f"Shard {self._number}, {what}: {error} A plan leaves out a metric by the metrics it lists, "
                "and triplets by its data: a folder or table without them."
            ) from error

    def _attack(self, source: str, recipes: list[Recipe]) -> None:
        ranking = self._look(source)
        self._found.clear()
        own = {recipe.images_key: recipe for recipe in recipes if recipe.white_box}
        for key, recipe in {recipe.images_key: recipe for recipe in recipes}.items():
            target = recipe.attack.target
            attacked_p1 = ranking.attacks_p1(target)
            if key in self._stored and key not in own:
                self._attacked[key] = _Attacked(self._stored[key], attacked_p1, ranking.p1_closer)
                continue
            problem = RankedFlip(ranking.metric, self._triplets, target, ranking=ranking)
            with self._told(f"{recipe.attack.title} on {source}"):
                result = self._run(recipe.attack.made, problem, recipe)
            self._attacked[key] = _Attacked(to_8bit(result.images), attacked_p1, ranking.p1_closer)
            if key in own:
                self._judge(ranking, own[key])
                self._columns[own[key].key] |= _measured(result)

    def _run(self, attack: Attack, problem: RankedFlip, recipe: Recipe) -> AttackResult:
        key = (attack, recipe.attack.protocol, recipe.attack.target)
        if key in self._found:
            return self._found[key]
        first = attack.starts_from
        result = attack(
            problem,
            protocol=recipe.attack.protocol,
            seed=recipe.seed,
            start=self._run(first, problem, recipe) if first else None,
        )
        if attack in self._starts:
            self._found[key] = result
        return result

    def _judge(self, ranking: Ranking, recipe: Recipe) -> None:
        """Measure what the target finds, with the attacked image in place."""
        made = self._attacked[recipe.images_key]
        levels, which = made.levels, recipe.attack.target
        with self._told(f"{recipe.attack.title} on {recipe.source}, judged by {recipe.target}"):
            judged = judge(ranking, from_8bit(levels), which, made.attacked_p1, made.p1_closer)
        self._columns[recipe.key] |= {"attacked_p1": made.attacked_p1, **judged}


def judge(
    ranking: Ranking, images: Tensor, target: Target, attacked_p1: Tensor, p1_closer: Tensor
) -> dict[str, Tensor]:
    """Return what a metric finds with attacked images in place: columns (N,) of ``rows.SCHEMA``.

    Args:
        ranking: how the judging metric ranks the unattacked images.
        images: the attacked images, (N, 3, H, W) in [0, 1].
        target: which image was attacked.
        attacked_p1: (N,) whether that is p1, else p0; means nothing where it is the reference.
        p1_closer: (N,) whether the attacked metric found p1 closer before the attack.
    """
    attacked0, attacked1 = ranking.with_attacked(images, target, attacked_p1)
    return {
        "distance0": ranking.distance0,
        "distance1": ranking.distance1,
        "attacked0": attacked0,
        "attacked1": attacked1,
        "agrees": ranking.p1_closer == p1_closer,
        "flipped_8bit": ranking.is_reversed(attacked0, attacked1),
    }


def _measured(result: AttackResult) -> dict[str, Column]:
    """Return what an attack found out about each triplet: columns (N,) of ``rows.SCHEMA``."""
    return {
        "flipped": result.flipped,
        "margin": result.margin,
        "steps": result.steps,
        "forwards": result.forwards,
        "backwards": result.backwards,
        "linf": result.linf * LEVELS,
        "l2": result.l2,
        "rmse": result.rmse,
        "seconds": np.full(len(result), result.seconds / len(result), dtype=np.float32),
    }
