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
import json
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import pyarrow as pa
from torch import Tensor

from simlib import __version__
from simlib.benchmark import sealed
from simlib.benchmark.plan import Part
from simlib.benchmark.record import RunRecord, load_record, save_record
from simlib.benchmark.rows import SCHEMA
from simlib.benchmark.shard import Done
from simlib.errors import InputError, OutputError, unknown_name
from simlib.files import Lock, listed, make_folder, written_whole
from simlib.given import given_path

if TYPE_CHECKING:
    import pandas as pd

FORMAT = 1
"""Rises whenever a store that was written before would be read wrongly, as when a column changes."""

_MANIFEST = "manifest.json"
_ABOUT = (
    "Results of simlib. rows/*.parquet has a row for each attack, source metric, target metric and triplet; "
    "simlib/benchmark/rows.py explains the columns. runs/*.json tells which rows belong to a plan."
)

_Read = TypeVar("_Read")


class Store:
    """Results in a folder, made unless ``create`` is false; all plans and processes that use it share them.

    Raises:
        InputError: the folder holds something else, or a store of another format; or there is none.
        OutputError: it cannot be made there.
    """

    def __init__(self, folder: Path | str, *, create: bool = True) -> None:
        self.folder = given_path(folder)
        self._rows, self._images = self.folder / "rows", self.folder / "images"
        if create:
            _make_manifest(make_folder(self.folder))
        _validate_manifest(self.folder)

    def claim(self, shard: str, *, wait: bool = False) -> Lock | None:
        """Claim a shard for this process alone; None if another one has it and ``wait`` is false."""
        lock = Lock(make_folder(self.folder / "locks") / f"{shard}.lock")
        if not lock.acquire(wait=wait):
            return None
        for folder in (self._rows, self._images):
            sealed.remove_leftovers(folder, shard)
        return lock

    def present(self, shard: str, triplets: int, *, remove: bool = True) -> set[str]:
        """Return the keys of the recipes whose rows are there, whole, for a shard of so many triplets.

        Every file is read entirely and checked. One that is damaged is removed, with a warning, so that what
        it held is computed again; without ``remove`` it only counts as not there.

        Raises:
            InputError: a file cannot be read.
            OutputError: a damaged file cannot be removed.
        """
        found: set[str] = set()
        for path in sealed.files_of(self._rows, shard):
            found.update(
                _or_removed(path, lambda path: sealed.recipes_in(path, shard, triplets), remove) or ()
            )
        return found

    def write(self, done: Done) -> None:
        """Store what was computed; the shard should be claimed.

        Raises:
            InputError: the rows are not those of the recipes and triplets.
            OutputError: the store cannot be written; what it holds stays good.
        """
        # Rows say that a shard is done, so they come last.
        for key, levels in done.images.items():
            sealed.write_images(self._images, done.shard, key, done.names, levels)
        sealed.write_rows(self._rows, done)

    def images(self, shard: str, images_key: str, names: Sequence[str]) -> Tensor | None:
        """Return attacked images, uint8 (N, 3, H, W); None if they are not there.

        Damaged files and errors are as of :meth:`present`.

        Args:
            shard: address of the triplets.
            images_key: address of the images, for any triplets.
            names: of the triplets, in order.
        """
        for path in sealed.files_of(self._images, f"{shard}-{images_key}"):
            levels = _or_removed(path, lambda path: sealed.read_images(path, shard, images_key, names))
            if levels is not None:
                return levels
        return None

    def write_record(self, record: RunRecord) -> None:
        """Store the record of a run, in place of a former one; an OutputError says that this fails."""
        save_record(record, make_folder(self.folder / "runs") / f"{record.key}.json")

    def records(self) -> list[RunRecord]:
        """Return the records of all runs, the oldest first; an InputError names one that cannot be read."""
        found = [load_record(path) for path in listed(self.folder / "runs", suffix=".json")]
        return sorted(found, key=lambda record: (record.created, record.key))

    def record(self, name_or_key: str | None = None) -> RunRecord:
        """Return the newest record, or the newest of a plan by its name, or one by its key.

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
            tables.append(sealed.join_rows(pieces, titles))
        if not partial:
            self._validate_complete(record, missing)
        return pa.concat_tables(tables).to_pandas()

    def _pieces(self, shard: str, triplets: int) -> dict[str, pa.Table]:
        """Return the rows of every recipe for a shard; each once, whatever two processes may have written."""
        pieces: dict[str, pa.Table] = {}
        for path in sealed.files_of(self._rows, shard):
            # Removed since it was listed: what it held is missing, and counted so.
            with contextlib.suppress(FileNotFoundError):
                try:
                    pieces = sealed.read_rows(path, shard, triplets) | pieces
                except sealed.DamagedError as error:
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


def _or_removed(path: Path, read: Callable[[Path], _Read], remove: bool = True) -> _Read | None:
    """Read a file; a damaged one is removed, with a warning, and counts as not there: None."""
    try:
        return read(path)
    except FileNotFoundError:
        return None
    except sealed.DamagedError as error:
        if not remove:
            return None
        warnings.warn(f"{error} It was removed, and is computed again.", stacklevel=3)
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise OutputError(f"Cannot remove the damaged file {path}: {error}. Remove it first.") from error
    return None


def _make_manifest(folder: Path) -> None:
    """Make a folder that holds nothing a store; leave a store as it is."""
    others = [each.name for each in listed(folder) if each.name != _MANIFEST and each.suffix != ".part"]
    # Looked for last: another process may just be making the store, and writes this file first.
    if (folder / _MANIFEST).exists():
        return
    if others:
        raise InputError(
            f"{folder} is no store of simlib and holds {min(others)}. Give an empty folder, or a new one."
        )
    content = {"format": FORMAT, "simlib": __version__, "about": _ABOUT}
    with written_whole(folder / _MANIFEST) as temporary:
        temporary.write_text(json.dumps(content, indent=1) + "\n", "utf-8")


def _validate_manifest(folder: Path) -> None:
    """Refuse a folder that is no store, or one of another format."""
    path = folder / _MANIFEST
    try:
        content = json.loads(path.read_text("utf-8"))
        written = content["format"]
    except (FileNotFoundError, NotADirectoryError) as error:
        raise InputError(
            f"There is no store in {folder}. Make one: simlib run PLAN --store {folder}"
        ) from error
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error}. Correct that first.") from error
    except (ValueError, LookupError, TypeError) as error:
        raise InputError(
            f"{path} is damaged: it names no format. Restore it from a copy, or give another folder."
        ) from error
    if written != FORMAT:
        raise InputError(
            f"The store {folder} has format {written}; this is simlib {__version__}, which reads "
            f"format {FORMAT}. Use simlib {content.get('simlib')}, or give another folder."
        )
