"""The work of one shard: attack its triplets, and let every target judge the images.

This one function serves all engines.
"""

from __future__ import annotations

import platform
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from simlib import attacks, metrics
from simlib.attacks import AttackResult, RankedFlip, Ranking
from simlib.benchmark.identity import Recipe, all_parameters
from simlib.benchmark.plan import PlannedAttack
from simlib.benchmark.rows import assemble
from simlib.kernels.device import free_memory, in_fitting_batches
from simlib.kernels.images import LEVELS, from_8bit, to_8bit
from simlib.metrics import Metric
from simlib.triplets import Triplets

Column = Tensor | np.ndarray

_FEATURES, _IMAGES = 16, 64
"""What an attack keeps for each triplet, in features and in images of float32; generous, to try once only."""


@dataclass(frozen=True)
class Task:
    """What is to be computed of one shard; plain data, which can go to another process.

    Attributes:
        shard: address of the triplets.
        number: of the shard in its plan, from 0; for messages.
        triplets: on the processor.
        recipes: what is missing in the store.
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
        shard: address of the triplets.
        number: of the shard in its plan.
        recipes: keys of the recipes, in the order of the rows.
        rows: as many rows for each recipe as there are triplets, of ``rows.SCHEMA``.
        images: attacked images (N, 3, H, W), levels of 8 bits, by images_key; empty unless they are kept.
        names: of the triplets, in order.
        seconds: that it took.
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
    """The metrics of one process, each loaded when it is first asked for, and kept.

    Attributes:
        device: where they are.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self._loaded: dict[str, Metric] = {}
        self._fitting: dict[tuple[str, tuple[int, ...]], int] = {}

    def __getitem__(self, name: str) -> Metric:
        """Return the metric of this name.

        Raises:
            WeightsError, UnknownNameError, AbsentPackageError: as :func:`simlib.metrics.load`.
        """
        if name not in self._loaded:
            self._loaded[name] = metrics.load(name, device=self.device)
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
        batch_size: triplets attacked and judged at once; None for as many as fit the free memory. A batch
            that does not fit is halved.

    Raises:
        InputError: if a metric or an attack refuses the triplets or its parameters.
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
        recipe: {name: np.concatenate([part.rows[recipe.key][name] for part in parts]) for name in columns}
        for recipe in task.recipes
        for columns in [parts[0].rows[recipe.key]]
    }
    kept = parts[0].images if task.keep_images else {}
    return Done(
        shard=task.shard,
        number=task.number,
        recipes=tuple(recipe.key for recipe in task.recipes),
        rows=assemble(task.shard, task.triplets, rows),
        images={key: torch.cat([part.images[key] for part in parts]) for key in kept},
        names=task.triplets.names,
        seconds=time.perf_counter() - started,
        where=where(models.device),
    )


def where(device: torch.device) -> dict[str, str]:
    """Describe what computes: device, threads, and the version of torch."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.machine()
    return {
        "device": f"{device.type} ({name})",
        "threads": str(torch.get_num_threads()),
        "torch": torch.__version__,
    }


@dataclass(frozen=True)
class _Computed:
    """Columns (N,) by recipe, and attacked images by images_key; on the processor."""

    rows: Mapping[str, Mapping[str, np.ndarray]]
    images: Mapping[str, Tensor]


@dataclass(frozen=True)
class _Attacked:
    """Attacked images of one source: their levels of 8 bits, which image it is, and how the source ranks."""

    levels: Tensor
    attacked_p1: Tensor
    p1_closer: Tensor


class _Part:
    """As many triplets of a shard as fit the memory."""

    def __init__(self, task: Task, models: Models, start: int, stop: int) -> None:
        self._recipes, self._models = task.recipes, models
        self._triplets = task.triplets[start:stop].to(models.device)
        self._stored = {key: levels[start:stop].to(models.device) for key, levels in task.images.items()}
        self._attacked: dict[str, _Attacked] = {}
        self._columns: dict[str, dict[str, Column]] = {recipe.key: {} for recipe in task.recipes}

    def run(self) -> _Computed:
        """Attack by source, then judge by target, so that one metric's features are in memory at a time."""
        for source in dict.fromkeys(recipe.source for recipe in self._recipes):
            self._attack(source, [recipe for recipe in self._recipes if recipe.source == source])
        others = [recipe for recipe in self._recipes if not recipe.white_box]
        for target in dict.fromkeys(recipe.target for recipe in others):
            ranking = self._look(target)
            for recipe in others:
                if recipe.target == target:
                    self._judge(ranking, recipe)
        rows = {
            key: {name: _on_processor(values) for name, values in columns.items()}
            for key, columns in self._columns.items()
        }
        return _Computed(rows, {key: each.levels.cpu() for key, each in self._attacked.items()})

    def _look(self, name: str) -> Ranking:
        metric = self._models[name]
        metric.validate(self._triplets.ref)
        return Ranking.look(metric, self._triplets)

    def _attack(self, source: str, recipes: list[Recipe]) -> None:
        ranking, starts = self._look(source), dict[str, AttackResult]()
        own = {recipe.images_key: recipe for recipe in recipes if recipe.white_box}
        for key, recipe in {recipe.images_key: recipe for recipe in recipes}.items():
            target = recipe.attack.target
            attacked_p1 = ranking.attacks_p1(target)
            if key in self._stored and key not in own:
                self._attacked[key] = _Attacked(self._stored[key], attacked_p1, ranking.p1_closer)
                continue
            problem = RankedFlip(ranking.metric, self._triplets, target, ranking=ranking)
            result = _run(problem, recipe, starts)
            self._attacked[key] = _Attacked(to_8bit(result.images), attacked_p1, ranking.p1_closer)
            if key in own:
                self._judge(ranking, own[key])
                self._columns[own[key].key] |= _told(result)

    def _judge(self, ranking: Ranking, recipe: Recipe) -> None:
        """Measure what the target finds, with the attacked image in place."""
        made = self._attacked[recipe.images_key]
        attacked0, attacked1 = ranking.with_attacked(
            from_8bit(made.levels), recipe.attack.target, made.attacked_p1
        )
        self._columns[recipe.key] |= {
            "attacked_p1": made.attacked_p1,
            "distance0": ranking.distance0,
            "distance1": ranking.distance1,
            "attacked0": attacked0,
            "attacked1": attacked1,
            "agrees": ranking.p1_closer == made.p1_closer,
            "flipped_8bit": ranking.is_reversed(attacked0, attacked1),
        }


def _run(problem: RankedFlip, recipe: Recipe, starts: dict[str, AttackResult]) -> AttackResult:
    """Run an attack; what stAdv found is kept in ``starts``, for all attacks that go on from there."""
    planned, parameters = recipe.attack, dict(recipe.attack.parameters)
    common = {"seed": recipe.seed, "protocol": planned.protocol}
    if planned.attack == "stadv-pgd":
        names = all_parameters(PlannedAttack("", "stadv", planned.protocol))
        own = {name: value for name, value in parameters.items() if name in names}
        stadv = replace(recipe, attack=replace(planned, attack="stadv", parameters=own))
        parameters["start"] = _run(problem, stadv, starts)
    key = f"{planned.protocol} {planned.target} {all_parameters(planned)}"
    if planned.attack == "stadv" and key in starts:
        return starts[key]
    result = attacks.run(planned.attack, problem, **common, **parameters)
    if planned.attack == "stadv":
        starts[key] = result
    return result


def _told(result: AttackResult) -> dict[str, Column]:
    """Return what an attack tells of each triplet."""
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


def _on_processor(values: Column) -> np.ndarray:
    return values.cpu().numpy() if isinstance(values, Tensor) else values
