"""The tables of one run in a store, by name: what ``simlib results`` prints."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

from simlib.benchmark.comparison import by_distortion, by_margin, compare_metrics, compare_targets
from simlib.benchmark.plan import Part
from simlib.benchmark.rates import TransferCell, trade_off, transfer_matrix, white_box_table
from simlib.benchmark.record import RunRecord
from simlib.benchmark.selection import having, is_white_box, pick, texts
from simlib.benchmark.store import Store
from simlib.errors import InputError
from simlib.report.benchmark import (
    comparisons_as_table,
    named,
    published_transfer_beside,
    published_white_box_beside,
    transfer_as_table,
    white_box_as_table,
)
from simlib.report.tables import Cell, Table

if TYPE_CHECKING:
    import pandas as pd


_TRADE_OFF_NOTES = (
    "accuracy: agreement with the labels before the attack",
    "not flipped: of the triplets that the metric is right about, of all where there are no labels",
)


def runs_as_table(store: Store) -> Table:
    """List the runs of a store."""
    rows = []
    for record in store.records():
        n, finished = sum(size for _, size in record.shards), "yes" if record.finished else "no"
        rows.append((record.plan.name, record.key, record.created, record.plan.data.source, n, finished))
    notes = () if rows else (f"Nothing was run into {store.folder}.",)
    return Table(("plan", "key", "first run", "data", "triplets", "finished"), tuple(rows), notes=notes)


@dataclass(frozen=True)
class RunTables:
    """The tables of one run in a store; :meth:`of` makes them by name.

    Attributes:
        part: of the plan; None for the first it has.
        attack: title of the attack where one is looked at; None for the first of the part.
        source: metric that images of transfer were made on; None for all, or the first of the part.
        chosen: whether only those triplets of transfer count that the plan chooses.
        partial: whether the run may be unfinished.
        for_programs: whether a program reads them: names, not titles, and one table for all sources.
    """

    store: Store
    record: RunRecord
    part: Part | None = None
    attack: str | None = None
    source: str | None = None
    chosen: bool = False
    partial: bool = False
    for_programs: bool = False

    def of(self, name: str) -> Sequence[Table]:
        """Return the tables that belong to a name of :data:`simlib.cli.results.TABLES`."""
        make: dict[str, Callable[[], Sequence[Table]]] = {
            "white-box": lambda: [white_box_as_table(white_box_table(self._rows("white-box")))],
            "transfer": self._transfer,
            "comparison": self._comparison,
            "strata": self._strata,
            "trade-off": self._trade_off,
            "published": self._published,
        }
        return make[name]()

    def _transfer(self) -> list[Table]:
        cells = self._cells(chosen=self.chosen)
        if not self.for_programs:
            sources = [self.source] if self.source else dict.fromkeys(cell.source for cell in cells)
            return [transfer_as_table(cells, source) for source in sources]
        rows = tuple(
            (named(each.source), each.attack, named(each.target), each.n, each.counted, each.flipped)
            for each in cells
            if self.source in (None, each.source)
        )
        return [Table(("source", "attack", "target", "triplets", "counted", "flipped"), rows)]

    def _comparison(self) -> list[Table]:
        part, rows, attack, source = self._one
        white_box = part == "white-box"
        found = compare_metrics(rows, attack) if white_box else compare_targets(rows, source, attack)
        return [self._described(comparisons_as_table(found))]

    def _strata(self) -> list[Table]:
        """Show flips by the margin before the attack, and by what was done to the images."""
        judged = self._by_judge()
        rows: list[tuple[Cell, ...]] = []
        for kind, strata in (("ratio of distances", by_margin), ("distortion", by_distortion)):
            rates = [{each.label: each.rate for each in strata(own)} for own in judged.values()]
            labels = dict.fromkeys(label for of in rates for label in of)
            rows += [(kind, label, *(of.get(label) for of in rates)) for label in labels]
        note = "ratio of distances: of the smaller to the larger, by the attacked metric, before the attack"
        header = ("by", "which", *(name if self.for_programs else named(name).title for name in judged))
        return [self._described(Table(header, tuple(rows), notes=(note,), with_n=True))]

    def _trade_off(self) -> list[Table]:
        part, rows, attack, source = self._one
        found = trade_off(rows, attack, source if part == "transfer" else "")
        lines = tuple((named(each.metric), each.accuracy, each.robust) for each in found)
        header = ("metric", "accuracy", "not flipped")
        return [self._described(Table(header, lines, notes=_TRADE_OFF_NOTES, with_n=True))]

    def _published(self) -> list[Table]:
        """Show what others have published beside what was found here."""
        plan, tables = self.record.plan, list[Table]()
        if plan.white_box and self.part in (None, "white-box"):
            tables.append(published_white_box_beside(self._rows("white-box"), attack=self.attack or "PGD"))
        if plan.transfer and self.part in (None, "transfer"):
            cells = self._cells(chosen=bool(plan.transfer.chosen_by))
            tables.append(published_transfer_beside(cells, source=self.source or "lpips-alex"))
        return tables

    def _rows(self, part: Part) -> pd.DataFrame:
        if part not in self.record.plan.parts():
            raise InputError(f"The plan {self.record.plan.name} has no part {part}. Ask for another table.")
        return self.store.rows(self.record, partial=self.partial, part=part)

    def _cells(self, *, chosen: bool) -> list[TransferCell]:
        rows, shown = self._rows("transfer"), self.record.plan.transfer
        if chosen and not (shown and shown.chosen_by):
            raise InputError(f"The plan {self.record.plan.name} chooses no triplets. Leave --chosen out.")
        return transfer_matrix(rows, chosen_by=shown.chosen_by if shown and chosen else "")

    @cached_property
    def _one(self) -> tuple[Part, pd.DataFrame, str, str]:
        """The one part that is looked at, its rows, the title of the attack, and the source."""
        parts = self.record.plan.parts()
        part = self.part or next(iter(parts))
        rows = self._rows(part)
        attack, first, _ = parts[part][0]
        return part, rows, self.attack or attack.title, self.source or first

    def _by_judge(self) -> dict[str, pd.DataFrame]:
        """Return the rows of one attack by the metric that judges: itself, or images made on the source."""
        part, rows, attack, source = self._one
        rows = having(rows, "attack", attack)
        if part == "white-box":
            return {name: having(rows, "source", name) for name in dict.fromkeys(texts(rows, "source"))}
        rows = having(rows, "source", source)
        own, targets = is_white_box(rows), texts(rows, "target")
        return {
            name: pick(rows, own | (targets == name)) for name in dict.fromkeys(targets) if name != source
        }

    def _described(self, table: Table) -> Table:
        """Say under a table which attack it is about, and on which metric."""
        part, _, attack, source = self._one
        on = "each metric itself" if part == "white-box" else named(source).title
        return replace(table, notes=(f"{attack} on {on}.", *table.notes))
