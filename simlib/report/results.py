"""Rows of a benchmark for a chapter: read from a store that is there, or computed as a plan says."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from simlib import metrics
from simlib.benchmark.plan import Part, Plan
from simlib.benchmark.plan_file import plan_from_dict, plan_to_dict, read_plan
from simlib.benchmark.selection import is_labelled, texts
from simlib.benchmark.statistics import counted
from simlib.checkout import RESULTS_VARIABLE, repository
from simlib.errors import InputError
from simlib.given import given_path
from simlib.report.display import listed, plain

if TYPE_CHECKING:
    import pandas as pd

    from simlib.benchmark.record import RunRecord
    from simlib.benchmark.store import Store

_FALLBACK = "st-lpips-alex"
"""Stands in where no metric to make images on can be had: its weights come with its package."""


@dataclass(frozen=True)
class Results:
    """A run of a plan, for a chapter to show.

    ``note`` says in a sentence what was left out, and why; ``computed`` whether rows were computed for this
    chapter or only read.
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
        plan = self.record.plan
        if part not in plan.parts():
            raise InputError(f"The plan {plan.name} has no part {part}. Give another plan, or another store.")
        return self.store.rows(self.record, part=part)

    def origin(self) -> str:
        """Say in a sentence where the rows are from."""
        plan, conditions = self.record.plan, self.record.provenance
        how = "were computed for this page" if self.computed else "are read from a store of results"
        threads = f"{conditions['threads']} thread{'' if conditions['threads'] == '1' else 's'}"
        return (
            f"The rows {how}: the plan {plain(plan.name)} on data {plain(plan.data.source)}, "
            f"seed {plan.data.seed}, computed on {conditions['device']} with {threads}."
        )

    def conditions(self) -> dict[str, str]:
        """Return what the rows were computed with, for the box at the end of a chapter."""
        plan = self.record.plan
        return {
            "plan": f"{plan.name}, key {self.record.key}, first run {self.record.created}",
            "data": f"{plan.data.source}, seed {plan.data.seed}",
            **({"left_out": self.note} if self.note else {}),
            **{f"rows_{name}": value for name, value in self.record.provenance.items()},
        }


@dataclass(frozen=True)
class Sample:
    """The triplets of some rows, each counted once.

    ``photographs`` is from how many photographs they come, None where each has its own; ``labelled`` how many
    have a label; ``constructed`` whether labels follow from how images were made, and are nobody's votes.
    """

    n: int
    photographs: int | None
    labelled: int
    constructed: bool

    def __str__(self) -> str:
        return counted(self.n, self.photographs, "triplets")


def sample_of(rows: pd.DataFrame) -> Sample:
    """Describe the triplets of rows, columns as ``simlib.benchmark.rows.SCHEMA``."""
    frame: Any = rows
    triplets = frame.drop_duplicates("triplet")
    n, photographs = len(triplets), len(set(texts(triplets, "photograph")))
    constructed = set(texts(triplets, "label_source")) == {"constructed"}
    return Sample(n, photographs if photographs < n else None, int(is_labelled(triplets).sum()), constructed)


def results_for(store: str, plan: str, n: int, data: str, device: str) -> Results:
    """Find the results in a store, or compute those of a plan; what was computed before is not again.

    They are computed into the folder ``results`` where one works, or the one that ``SIMLIB_RESULTS`` names.

    Args:
        store: folder of results to read, ``"reference"`` for those that came with the book; empty to compute.
            Of several runs, the newest of the plan of this name is read, else the newest.
        plan: name of a plan of simlib, or a TOML file, by its path from here or from the notebooks.
        n: how many triplets; 0 for as many as the plan says.
        data: which triplets: ``"photos"``, ``"bapps"`` or a path.
        device: ``"auto"``, ``"cpu"`` or ``"cuda"``.

    Raises:
        InputError: if the folder is no store, or an empty one; if the plan asks for what does not exist.
        UnknownNameError: if no plan is called so.
        OutputError: if results cannot be written.
    """
    from simlib.benchmark.store import Store

    if store:
        folder = repository() / "notebooks" / "results" if store == "reference" else store
        kept = Store(folder, create=False)
        names = {record.plan.name for record in kept.records()}
        record = kept.record(plan if plan in names else None)
        return Results(kept, record, "", computed=False)

    # Computing loads torch and more, reading does not.
    from simlib.benchmark.run import run_plan

    # Notebooks are executed in a folder of their own, so that a path may be meant from where they are.
    beside = repository() / "notebooks" / plan
    found = beside if Path(plan).suffix == ".toml" and not Path(plan).is_file() and beside.is_file() else plan
    content = plan_to_dict(read_plan(str(found)))
    content["data"] |= {"source": data} | ({"n": n} if n else {})
    chosen = plan_from_dict({**content, "device": device}, f"The plan {plan}")
    possible, note = _what_can_be_had(chosen)
    folder = _folder_for_results()
    record = run_plan(possible, folder, progress=True)
    return Results(Store(folder), record, note, computed=True)


def _folder_for_results() -> Path:
    """Return the given folder, or one where the caller works, but never the one of the committed results."""
    if given := os.environ.get(RESULTS_VARIABLE):
        return given_path(given).absolute()
    here = Path.cwd()
    committed = here.name == "notebooks" and (here.parent / "_toc.yml").is_file()
    return (here.parent / "_build" if committed else here) / "results"


def _what_can_be_had(plan: Plan) -> tuple[Plan, str]:
    """Leave metrics out whose weights or packages cannot be had, and say which."""
    from simlib.benchmark.plan_check import without_absent

    # To load a metric that is not here downloads its weights, where that is possible.
    _, absent = metrics.load_available([name for name in plan.metrics() if metrics.why_absent(name)])
    if not absent:
        return plan, ""
    note = f"Left out for want of weights: {listed(absent)}."
    content = plan_to_dict(plan)
    for part, key in (("white_box", "metrics"), ("transfer", "sources")):
        if part in content and all(metrics.why_absent(name) for name in content[part][key]):
            content[part][key] = [_FALLBACK]
            title = metrics.spec_of(_FALLBACK).title
            note += f" {title} stands in as the metric that images are made on." * (key == "sources")
    return without_absent(plan_from_dict(content, f"The plan {plan.name}"))[0], note
