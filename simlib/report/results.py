"""Rows of a benchmark for a chapter: read from a store that is there, or computed as a plan says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from simlib import metrics
from simlib.benchmark.counting import is_labelled, texts
from simlib.benchmark.plan import Data, Part, Plan
from simlib.benchmark.plan_file import read_plan
from simlib.book import repository
from simlib.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

    from simlib.benchmark.record import RunRecord
    from simlib.benchmark.store import Store

REFERENCE = "reference"
"""Asks for the results that came with the book."""

_FALLBACK = "st-lpips-alex"
"""Stands in where no metric to make images on can be had: its weights come with its package."""


@dataclass(frozen=True)
class Results:
    """A run of a plan, for a chapter to show.

    Attributes:
        store: where its rows are.
        record: the plan, and what it was computed with.
        note: a sentence on what was left out, and why; or that nothing was.
        computed: whether it was computed for this chapter, or only read.
    """

    store: Store
    record: RunRecord
    note: str
    computed: bool

    def rows(self, part: Part) -> pd.DataFrame:
        """Return the rows of a part of the plan, columns as ``simlib.benchmark.rows.SCHEMA``.

        Raises:
            InputError: if the plan has no such part, or rows are missing or damaged.
        """
        if part not in self.record.plan.parts():
            raise InputError(
                f"The plan {self.record.plan.name} has no part {part}. Give another plan, or another store."
            )
        return self.store.rows(self.record, part=part)

    def told(self) -> str:
        """Say in a sentence where the rows are from."""
        plan, conditions = self.record.plan, self.record.provenance
        threads = conditions["threads"]
        how = "were computed for this page" if self.computed else "are read from a store of results"
        return (
            f"The rows {how}: the plan {plan.name} on data {plan.data.source}, seed {plan.data.seed}, "
            f"computed on {conditions['device']} with {threads} thread{'' if threads == '1' else 's'}."
        )

    def conditions(self) -> dict[str, str]:
        """Return what the rows were computed with, for the box at the end of a chapter."""
        plan, told = self.record.plan, self.record.provenance
        return {
            "plan": f"{plan.name}, key {self.record.key}, first run {self.record.created}",
            "data": f"{plan.data.source}, seed {plan.data.seed}",
            "left_out": self.note,
            **{f"rows_{name}": value for name, value in told.items()},
        }


@dataclass(frozen=True)
class Sample:
    """The triplets of some rows, each counted once.

    Attributes:
        n: how many.
        photographs: from how many photographs they come; None where each has its own.
        labelled: how many have a label.
        constructed: whether their labels follow from how the images were made, and are nobody's votes.
    """

    n: int
    photographs: int | None
    labelled: int
    constructed: bool

    def __str__(self) -> str:
        if self.photographs is None:
            return f"{self.n:,} triplets"
        return (
            f"{self.n:,} triplets from {self.photographs:,} photograph{'' if self.photographs == 1 else 's'}"
        )


def sample_of(rows: pd.DataFrame) -> Sample:
    """Describe the triplets of rows, columns as ``simlib.benchmark.rows.SCHEMA``."""
    frame: Any = rows
    triplets = frame.drop_duplicates("triplet")
    photographs = len(set(texts(triplets, "photograph")))
    return Sample(
        n=len(triplets),
        photographs=photographs if photographs < len(triplets) else None,
        labelled=int(is_labelled(triplets).sum()),
        constructed=set(texts(triplets, "label_source")) == {"constructed"},
    )


def results_for(store: str, plan: str, n: int, data: str, device: str) -> Results:
    """Find the results in a store, or compute those of a plan; what was computed before is not again.

    Args:
        store: folder of results to read, ``"reference"`` for those that came with the book; empty to compute.
            Where it holds several runs, the newest of the plan of this name is read, else the newest.
        plan: name of a plan that comes with simlib, or a TOML file, by its path as seen from here or from the
            notebooks: what is attacked, and how.
        n: how many triplets; 0 for as many as the plan says.
        data: which triplets: ``"photos"``, ``"bapps"`` or a path.
        device: ``"auto"``, ``"cpu"`` or ``"cuda"``.

    Raises:
        InputError: if the folder is no store, or nothing was run into it; if the plan is none, or asks for
            what does not exist.
        UnknownNameError: if no plan is called so.
        OutputError: if results cannot be written.
    """
    from simlib.benchmark.store import Store

    if store:
        folder = repository() / "notebooks" / "results" if store == REFERENCE else Path(store)
        kept = Store(folder, create=False)
        names = {record.plan.name for record in kept.records()}
        record = kept.record(plan if plan in names else None)
        return Results(kept, record, "Nothing was left out.", computed=False)

    # Computing loads torch and more, reading does not.
    from simlib.benchmark.run import run_plan

    whole = read_plan(_plan_file(plan))
    chosen = replace(whole, data=Data(data, n or whole.data.n, whole.data.seed), device=device)
    possible, note = _what_can_be_had(chosen)
    folder = repository() / "_build" / "results"
    record = run_plan(possible, folder, progress=True)
    return Results(Store(folder), record, note, computed=True)


def _plan_file(plan: str) -> str:
    """Find a plan's file beside the notebooks, too: they are executed in a folder of their own."""
    if Path(plan).suffix != ".toml" or Path(plan).is_file():
        return plan
    beside = repository() / "notebooks" / plan
    return str(beside) if beside.is_file() else plan


def _what_can_be_had(plan: Plan) -> tuple[Plan, str]:
    """Leave metrics out whose weights or packages cannot be had, and say which."""
    from simlib.benchmark.validation import leave_out_absent

    # To load a metric that is not here downloads its weights, where that is possible.
    _, absent = metrics.load_available([name for name in plan.metrics() if metrics.why_absent(name)])
    if not absent:
        return plan, "Nothing was left out."
    note = f"Left out for want of weights: {' and '.join(absent)}."
    white_box, transfer = plan.white_box, plan.transfer
    if white_box and not _any_here(white_box.metrics):
        white_box = replace(white_box, metrics=(_FALLBACK,))
    if transfer and not _any_here(transfer.sources):
        transfer = replace(transfer, sources=(_FALLBACK,))
        note += f" {metrics.spec_of(_FALLBACK).title} stands in as the metric that images are made on."
    left, _ = leave_out_absent(replace(plan, white_box=white_box, transfer=transfer))
    return left, note


def _any_here(names: Sequence[str]) -> bool:
    return not all(metrics.why_absent(name) for name in names)
