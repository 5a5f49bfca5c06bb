"""Runs a plan: what its store lacks is computed, what is there is not."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from simlib.benchmark.engines import Engine, LocalEngine
from simlib.benchmark.plan import Data, Plan
from simlib.benchmark.plan_check import require_runnable
from simlib.benchmark.plan_file import plan_to_dict
from simlib.benchmark.recipe import Recipe, address, libraries_of, recipes_of, shard_key
from simlib.benchmark.record import RecordedRecipe, RunRecord
from simlib.benchmark.shard import Done, Task
from simlib.benchmark.store import Store
from simlib.errors import OutputError
from simlib.files import Lock
from simlib.kernels.device import pick_device
from simlib.metrics.registry import spec_of
from simlib.metrics.weights import digest_of
from simlib.progress import Bar
from simlib.provenance import code_hash, describe_device, versions
from simlib.triplets.sources import Drawn, drawn

_RECORD_EVERY_SECONDS = 30.0


def open_data(data: Data) -> Drawn:
    """Draw the triplets of a plan; images are made or read when a part is asked for."""
    return drawn(data.source, data.n, seed=data.seed)


def run_plan(
    plan: Plan,
    folder: Path | str,
    *,
    triplets: Drawn | None = None,
    engine: Engine | None = None,
    progress: bool = True,
) -> RunRecord:
    """Compute what a plan asks for and its store lacks, shard by shard.

    It may be killed at any time and started again: shards that are in the store whole are not computed
    again. Several processes may work on one store at once: they share the shards.

    Args:
        plan: what is computed; that it can run here is checked before any work.
        folder: the store, made if it is not there.
        triplets: those of the plan, where they are open already.
        engine: what runs the shards; in this process if None.
        progress: show a bar with the rate, the time left and the flips so far.

    Returns:
        The record of the finished run, for :meth:`Store.rows`.

    Raises:
        InputError: if the plan cannot run here, saying all that is missing; or the folder is no such store.
        OutputError: if the store cannot be written; what it holds stays good.
    """
    triplets = open_data(plan.data) if triplets is None else triplets
    require_runnable(plan, triplets[:1])
    store = Store(folder)
    runner = engine or LocalEngine(pick_device(plan.device))
    with contextlib.closing(runner) if engine is None else contextlib.nullcontext():
        return _Run(plan, triplets, store, runner, progress).finish()


def provenance_of(plan: Plan) -> dict[str, str]:
    """Say with what a plan is computed here: device, threads, versions, code, SHA-256 of the weights."""
    specs = [spec_of(name) for name in plan.metrics()]
    libraries = versions(("numpy", "scipy"))
    for spec in specs:
        libraries |= libraries_of(spec)
    digests = {name: digest_of(name) for spec in specs for name in spec.weights}
    return {
        **describe_device(pick_device(plan.device)),
        "libraries": ", ".join(f"{name} {number}" for name, number in sorted(libraries.items())),
        "code": code_hash(),
        "weights": ", ".join(f"{name} {digest[:16]}" for name, digest in digests.items()),
    }


def stored_triplets(plan: Plan, store: Store, recipes: Sequence[Recipe]) -> dict[str, int]:
    """Count how many triplets of a plan are stored already, by key of the recipe.

    That is known of triplets that a plan with the same data and shards was run on before; what else there
    may be shows only when the images are read. Errors are as of ``Store.records`` and ``Store.present``.
    """
    sizes = {
        shard: size
        for record in store.records()
        if (record.plan.data, record.plan.shard_size) == (plan.data, plan.shard_size)
        for shard, size in record.shards
    }
    present = {shard: store.present(shard, size, remove=False) for shard, size in sizes.items()}
    return {
        recipe.key: sum(sizes[shard] for shard, keys in present.items() if recipe.key in keys)
        for recipe in recipes
    }


@dataclass
class _Shard:
    """A part of the data; its address is known once it was looked at."""

    number: int
    start: int
    stop: int
    key: str = ""


class _Run:
    """One run of a plan in this process."""

    def __init__(self, plan: Plan, triplets: Drawn, store: Store, engine: Engine, progress: bool) -> None:
        self._plan, self._triplets, self._store, self._engine = plan, triplets, store, engine
        parts = recipes_of(plan, pick_device(plan.device))
        self._recipes = list({each.key: each for recipes in parts.values() for each in recipes}.values())
        n, size = len(triplets), plan.shard_size
        self._shards = [
            _Shard(number, start, min(start + size, n)) for number, start in enumerate(range(0, n, size))
        ]
        self._locks: dict[str, Lock] = {}
        self._flips = 0
        self._written = time.monotonic()
        self._bar = Bar(total=n, desc=plan.name, unit="triplet", disable=not progress, dynamic_ncols=True)
        record = RunRecord(
            key=address({"plan": plan_to_dict(plan), "recipes": [recipe.key for recipe in self._recipes]}),
            plan=plan,
            recipes=tuple(
                RecordedRecipe(
                    key=each.key, part=part, title=each.attack.title, source=each.source, target=each.target
                )
                for part, recipes in parts.items()
                for each in recipes
            ),
            shards=(),
            provenance=provenance_of(plan),
            finished=False,
            created=datetime.now(UTC).isoformat(timespec="seconds"),
        )
        # A run that was finished before stays so, whatever becomes of this look at it.
        self._record = next((each for each in store.records() if each.key == record.key), record)

    def finish(self) -> RunRecord:
        """Go round until no shard is left that this or another process has to compute."""
        self._note()
        try:
            left = self._round(self._shards)
            while left:
                # Nothing is held while this waits, so that two processes never wait for each other.
                self._bar.set_postfix_str("waiting for another process")
                if lock := self._store.claim(left[0].key, wait=True):
                    lock.release()
                left = self._round(left)
        except BaseException:
            # The caller must see what stopped the run, and not that the record could not be written either.
            with contextlib.suppress(OutputError):
                self._note()
            raise
        finally:
            self._bar.close()
            for lock in self._locks.values():
                lock.release()
        self._note(finished=True)
        return self._record

    def _round(self, shards: Sequence[_Shard]) -> list[_Shard]:
        """Compute all shards that no other process is at; return the others."""
        busy: list[_Shard] = []
        for done in self._engine.run(filter(None, (self._task(shard, busy) for shard in shards))):
            self._store.write(done)
            self._locks.pop(done.shard).release()
            self._show(done)
        return busy

    def _task(self, shard: _Shard, busy: list[_Shard]) -> Task | None:
        """Claim a shard and return what it lacks; None if that is nothing, or another process is at it."""
        triplets = self._triplets[shard.start : shard.stop]
        shard.key = shard.key or shard_key(triplets)
        if not self._missing(shard):
            self._skip(shard)
            return None
        lock = self._store.claim(shard.key)
        if lock is None:
            busy.append(shard)
            return None
        # Another process may have finished it between the look and the claim.
        missing = self._missing(shard)
        if not missing:
            lock.release()
            self._skip(shard)
            return None
        self._locks[shard.key] = lock
        keys = {recipe.images_key for recipe in missing if not recipe.white_box}
        stored = {key: self._store.images(shard.key, key, triplets.names) for key in keys}
        images = {key: levels for key, levels in stored.items() if levels is not None}
        return Task(shard.key, shard.number, triplets, tuple(missing), images, self._plan.keep_images)

    def _missing(self, shard: _Shard) -> list[Recipe]:
        present = self._store.present(shard.key, shard.stop - shard.start)
        return [recipe for recipe in self._recipes if recipe.key not in present]

    def _skip(self, shard: _Shard) -> None:
        """Take a shard that is there out of the bar, which shows how fast computing is."""
        self._bar.total -= shard.stop - shard.start
        self._bar.refresh()

    def _show(self, done: Done) -> None:
        self._flips += int(np.sum(done.rows["flipped_8bit"].to_numpy()))
        self._bar.set_postfix_str(f"{self._flips:,} flips")
        self._bar.update(len(done.names))
        if time.monotonic() - self._written > _RECORD_EVERY_SECONDS:
            self._note()

    def _note(self, *, finished: bool = False) -> None:
        """Write down which shards the run consists of, as far as that is known."""
        known = tuple((shard.key, shard.stop - shard.start) for shard in self._shards if shard.key)
        if finished or not self._record.finished:
            self._record = self._record.model_copy(update={"shards": known, "finished": finished})
            self._store.write_record(self._record)
        self._written = time.monotonic()
