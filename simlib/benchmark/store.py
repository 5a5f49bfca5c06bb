"""The store of a benchmark: a folder of Parquet files that any program can read.

Layout::

    manifest.json                          what the folder is, and of which format
    rows/SHARD-CHECKSUM.parquet            rows of some recipes for a shard, of ``rows.SCHEMA``
    images/SHARD-IMAGES-CHECKSUM.parquet   attacked images of a shard, as PNG
    runs/PLAN.json                         which rows belong to a plan, and how they were computed
    locks/SHARD.lock                       there while a process computes the shard

Every file is written under another name, flushed and renamed: there is no half of one. Rows are addressed by
what determines them, so that several plans share what they have in common.
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import pyarrow as pa
from torch import Tensor

from simlib.benchmark.contents import (
    join_rows,
    read_images,
    read_rows,
    recipes_in,
    write_images,
    write_rows,
)
from simlib.benchmark.lock import Lock
from simlib.benchmark.manifest import ensure_manifest, validate_manifest
from simlib.benchmark.parquet import DamagedError, SealedFolder, make_folder
from simlib.benchmark.plan import Part
from simlib.benchmark.record import RunRecord, load_record, save_record
from simlib.benchmark.rows import SCHEMA
from simlib.benchmark.shard import Done
from simlib.errors import InputError, OutputError, unknown_name

if TYPE_CHECKING:
    import pandas as pd

_Read = TypeVar("_Read")


class Store:
    """Results in a folder, shared by all plans and processes that work on it.

    Args:
        folder: where it is.
        create: make it if it is not there.

    Raises:
        InputError: the folder holds something else, or a store of another format; or there is none.
        OutputError: it cannot be made there.
    """

    def __init__(self, folder: Path | str, *, create: bool = True) -> None:
        self.folder = Path(folder)
        self._rows = SealedFolder(self.folder / "rows")
        self._images = SealedFolder(self.folder / "images")
        if create:
            ensure_manifest(make_folder(self.folder))
        validate_manifest(self.folder)

    def try_claim(self, shard: str) -> Lock | None:
        """Claim a shard, to be computed by this process alone; None if another one has it.

        Raises:
            OutputError: the store cannot be written.
        """
        lock = self._lock(shard)
        if not lock.acquire(wait=False):
            return None
        self._clean(shard)
        return lock

    def claim(self, shard: str) -> Lock:
        """Claim a shard as soon as no other process has it.

        Raises:
            OutputError: the store cannot be written.
        """
        lock = self._lock(shard)
        lock.acquire(wait=True)
        self._clean(shard)
        return lock

    def present(self, shard: str, triplets: int) -> set[str]:
        """Return the keys of the recipes whose rows are there, whole, for a shard.

        Every file is read entirely and checked. One that is damaged is removed, with a warning, so that what
        it held is computed again.

        Args:
            shard: address of the triplets.
            triplets: how many they are.

        Raises:
            InputError: a file cannot be read.
            OutputError: a damaged file cannot be removed.
        """
        found: set[str] = set()
        for path in self._rows.of(shard):
            found.update(_or_removed(path, lambda path: recipes_in(path, shard, triplets)) or ())
        return found

    def write(self, done: Done) -> None:
        """Store what was computed; the shard should be claimed.

        Raises:
            InputError: the rows are not those of the recipes and triplets.
            OutputError: the store cannot be written; what it holds stays good.
        """
        # Rows say that a shard is done, so they come last.
        for key, levels in done.images.items():
            write_images(self._images, done.shard, key, done.names, levels)
        write_rows(self._rows, done)

    def images(self, shard: str, images_key: str, names: Sequence[str]) -> Tensor | None:
        """Return attacked images, uint8 (N, 3, H, W); None if they are not there.

        A damaged file is removed, with a warning, and counts as not there.

        Args:
            shard: address of the triplets.
            images_key: address of the images, for any triplets.
            names: of the triplets, in order.

        Raises:
            InputError: a file cannot be read.
            OutputError: a damaged file cannot be removed.
        """
        for path in self._images.of(shard):
            if path.name.startswith(f"{shard}-{images_key}-"):
                levels = _or_removed(path, lambda path: read_images(path, shard, images_key, names))
                if levels is not None:
                    return levels
        return None

    def write_record(self, record: RunRecord) -> None:
        """Store the record of a run, in place of a former one of the same key.

        Raises:
            OutputError: the store cannot be written.
        """
        save_record(record, make_folder(self.folder / "runs") / f"{record.key}.json")

    def records(self) -> list[RunRecord]:
        """Return the records of all runs, the oldest first.

        Raises:
            InputError: a record is damaged or cannot be read.
        """
        found = [load_record(path) for path in (self.folder / "runs").glob("*.json")]
        return sorted(found, key=lambda record: (record.created, record.key))

    def record(self, name_or_key: str | None = None) -> RunRecord:
        """Return the newest record, or the newest of a plan.

        Args:
            name_or_key: name of the plan, or key of the record.

        Raises:
            InputError: no plan was run into the store, or a record is damaged.
            UnknownNameError: not this one.
        """
        records = self.records()
        if not records:
            raise InputError(f"Nothing was run into {self.folder}. Do: simlib run PLAN --store {self.folder}")
        found = [record for record in records if name_or_key in (None, record.plan.name, record.key)]
        if not found:
            raise unknown_name("run", str(name_or_key), {record.plan.name for record in records})
        return found[-1]

    def rows(self, record: RunRecord, *, partial: bool = False, part: Part | None = None) -> pd.DataFrame:
        """Return the rows of a run.

        Args:
            record: of the run.
            partial: return what is there, though the run is not finished.
            part: only what this part of the plan asks for.

        Returns:
            The columns of ``rows.SCHEMA``, nulls as pandas has them, ``attack`` the title in the plan. Their
            order is that of shards, places, and recipes as recorded. A recipe that both parts of the plan
            ask for is there once, or once with each of its titles.

        Raises:
            InputError: shards are missing, or a file is damaged or cannot be read; never a silent gap.
        """
        titles = list(
            dict.fromkeys((each.key, each.title) for each in record.recipes if part in (None, each.part))
        )
        tables, missing = [SCHEMA.empty_table()], 0
        for shard, triplets in record.shards:
            pieces = self._pieces(shard, triplets)
            missing += any(key not in pieces for key, _ in titles)
            tables.append(join_rows(pieces, titles))
        if not partial:
            self._validate_complete(record, missing)
        return pa.concat_tables(tables).to_pandas()

    def _lock(self, shard: str) -> Lock:
        return Lock(make_folder(self.folder / "locks") / f"{shard}.lock")

    def _clean(self, shard: str) -> None:
        for folder in (self._rows, self._images):
            folder.clean(shard)

    def _pieces(self, shard: str, triplets: int) -> dict[str, pa.Table]:
        """Return the rows of every recipe for a shard; each once, whatever two processes may have written."""
        pieces: dict[str, pa.Table] = {}
        for path in self._rows.of(shard):
            # Removed since it was listed: what it held is missing, and counted so.
            with contextlib.suppress(FileNotFoundError):
                try:
                    pieces = read_rows(path, shard, triplets) | pieces
                except DamagedError as error:
                    raise InputError(
                        f"{error} To have its rows again, run the plan: simlib run PLAN --store {self.folder}"
                    ) from error
        return pieces

    def _validate_complete(self, record: RunRecord, missing: int) -> None:
        """Refuse a run whose rows are not all there; one that was stopped may not know all its shards."""
        seen, n = sum(size for _, size in record.shards), record.plan.data.n
        unseen = not record.finished and (n is None or seen < n)
        if missing or unseen:
            more = f" {seen} of {n or 'all'} triplets were looked at." if unseen else ""
            raise InputError(
                f"The run {record.plan.name} in {self.folder} is not complete: {missing} of its "
                f"{len(record.shards)} shards are missing.{more} "
                f"Go on with: simlib run PLAN --store {self.folder}"
            )


def _or_removed(path: Path, read: Callable[[Path], _Read]) -> _Read | None:
    """Read a file; one that is damaged is removed, with a warning, and counts as not there: None."""
    try:
        return read(path)
    except FileNotFoundError:
        return None
    except DamagedError as error:
        warnings.warn(f"{error} It was removed, and is computed again.", stacklevel=3)
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise OutputError(f"Cannot remove the damaged file {path}: {error}. Remove it first.") from error
    return None
