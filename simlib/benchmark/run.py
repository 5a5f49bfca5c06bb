"""Runs a plan: what its store lacks is computed, what is there is not."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import numpy as np
from tqdm import tqdm

from simlib.benchmark.engines import Engine, LocalEngine
from simlib.benchmark.identity import Recipe, address, recipes_of, shard_key, versions_of
from simlib.benchmark.lock import Lock
from simlib.benchmark.plan import Plan
from simlib.benchmark.plan_file import plan_to_dict
from simlib.benchmark.record import RecordedRecipe, RunRecord
from simlib.benchmark.shard import Done, Task, where
from simlib.benchmark.store import Store
from simlib.benchmark.validation import validate
from simlib.code import code_hash
from simlib.errors import OutputError
from simlib.kernels.device import pick_device
from simlib.metrics import spec_of
from simlib.metrics.weights import digest_of
from simlib.triplets.sources import Drawn, drawn

_RECORD_EVERY_SECONDS = 30.0


def run_plan(
    plan: Plan, folder: Path | str, *, engine: Engine | None = None, progress: bool = True
) -> RunRecord:
    """Compute what a plan asks for and its store lacks, shard by shard.

    It may be killed at any time and started again: shards that are in the store whole are not computed
    again. Several processes may work on one store at once: they share the shards.

    Args:
        plan: what is computed; all of it is checked before any work.
        folder: the store, made if it is not there.
        engine: what runs the shards; in this process if None.
        progress: show a bar with the rate, the time left and the flips so far.

    Returns:
        The record of the finished run, for :meth:`Store.rows`.

    Raises:
        InputError: if the plan is not valid, saying all that is wrong with it; or the folder holds a store of
            another format, or something else.
        OutputError: if the store cannot be written; what it holds stays good.
    """
    validate(plan)
    store, device = Store(folder), pick_device(plan.device)
    runner = engine or LocalEngine(device)
    with contextlib.closing(runner) if engine is None else contextlib.nullcontext():
        return _Run(plan, store, runner, progress).finish()


def provenance_of(plan: Plan) -> dict[str, str]:
    """Tell with what a plan is computed here: device, threads, versions, code, SHA-256 of the weights."""
    specs = [spec_of(name) for name in plan.metrics()]
    versions = {name: version(name) for name in ("numpy", "scipy")}
    for spec in specs:
        versions |= versions_of(spec)
    digests = {name: digest_of(name) for spec in specs for name in spec.weights}
    return {
        **where(pick_device(plan.device)),
        "libraries": ", ".join(f"{name} {number}" for name, number in sorted(versions.items())),
        "code": code_hash(),
        "weights": ", ".join(f"{name} {digest[:16]}" for name, digest in digests.items()),
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

    def __init__(self, plan: Plan, store: Store, engine: Engine, progress: bool) -> None:
        self._plan, self._store, self._engine = plan, store, engine
        self._drawn: Drawn = drawn(plan.data.source, plan.data.n, seed=plan.data.seed)
        parts = recipes_of(plan, pick_device(plan.device))
        self._recipes = list(
            {recipe.key: recipe for recipes in parts.values() for recipe in recipes}.values()
        )
        n, size = len(self._drawn), plan.shard_size
        self._shards = [
            _Shard(number, start, min(start + size, n)) for number, start in enumerate(range(0, n, size))
        ]
        self._locks: dict[str, Lock] = {}
        self._flips = 0
        self._written = time.monotonic()
        self._bar = tqdm(total=n, desc=plan.name, unit="triplet", disable=not progress, dynamic_ncols=True)
        record = RunRecord(
            key=address({"plan": plan_to_dict(plan), "recipes": [recipe.key for recipe in self._recipes]}),
            plan=plan,
            recipes=tuple(
                RecordedRecipe(recipe.key, part, recipe.attack.title, recipe.source, recipe.target)
                for part, recipes in parts.items()
                for recipe in recipes
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
                self._store.claim(left[0].key).release()
                left = self._round(left)
        except BaseException:
            # What stopped the run is told, not that this could not be noted any more.
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
        for done in self._engine.run(self._tasks(shards, busy)):
            self._store.write(done)
            self._locks.pop(done.shard).release()
            self._show(done)
        return busy

    def _tasks(self, shards: Sequence[_Shard], busy: list[_Shard]) -> Iterator[Task]:
        for shard in shards:
            task = self._task(shard, busy)
            if task:
                yield task

    def _task(self, shard: _Shard, busy: list[_Shard]) -> Task | None:
        """Claim a shard and return what it lacks; None if that is nothing, or another process is at it."""
        triplets = self._drawn[shard.start : shard.stop]
        shard.key = shard.key or shard_key(triplets)
        if not self._missing(shard):
            self._skip(shard)
            return None
        lock = self._store.try_claim(shard.key)
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
        """Take a shard that is there out of the bar, which tells how fast computing is."""
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
            self._record = replace(self._record, shards=known, finished=finished)
            self._store.write_record(self._record)
        self._written = time.monotonic()
