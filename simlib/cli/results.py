"""``simlib results``: the tables of a benchmark, from its store."""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

    from simlib.benchmark.comparison import Stratum
    from simlib.benchmark.matrix import TransferCell
    from simlib.benchmark.plan import Part
    from simlib.benchmark.record import RunRecord
    from simlib.benchmark.store import Store
    from simlib.report.tables import Table

TABLES = ("white-box", "transfer", "comparison", "strata", "trade-off", "published")
"""What can be asked for; the last stands published results beside those of the store."""

_FORMATS = ("text", "csv", "json", "markdown", "latex")
_FOR_PROGRAMS = ("csv", "json")
_USUAL_WIDTH = 120


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the subcommand to the parser."""
    results = commands.add_parser("results", help="print the tables of a benchmark")
    results.add_argument("--store", type=Path, required=True, metavar="DIR", help="folder of results")
    results.add_argument(
        "--plan", metavar="NAME", help="name of the plan, or key of the run (default: newest)"
    )
    results.add_argument("--table", choices=TABLES, help="which (default: list the runs that are there)")
    results.add_argument("--format", choices=_FORMATS, default="text", help="default: text")
    results.add_argument(
        "--attack", metavar="TITLE", help="for comparison, strata, trade-off (default: first)"
    )
    results.add_argument("--source", metavar="METRIC", help="that images of transfer were made on")
    results.add_argument(
        "--part", choices=("white-box", "transfer"), help="for comparison, strata, trade-off"
    )
    results.add_argument(
        "--chosen", action="store_true", help="only triplets that the plan's chosen_by flips, for transfer"
    )
    results.add_argument("--partial", action="store_true", help="what is there of a run that is not finished")
    results.set_defaults(run=_run)


def print_table(store: Store, record: RunRecord, table: str) -> None:
    """Print a table of a finished run as text."""
    print(_rendered(_View(store, record), table, "text"))


def _run(options: argparse.Namespace) -> None:
    from simlib.benchmark.store import Store

    store = Store(options.store, create=False)
    if options.table is None:
        print(_runs(store).render(options.format))
        return
    view = _View(
        store=store,
        record=store.record(options.plan),
        part=options.part,
        attack=options.attack,
        source=options.source,
        chosen=options.chosen,
        partial=options.partial,
    )
    print(_rendered(view, options.table, options.format))


def _rendered(view: _View, table: str, form: str) -> str:
    """Write all tables that belong to what was asked for.

    Raises:
        InputError: if there are several, and the format holds one.
    """
    from simlib.errors import InputError

    make: dict[str, Callable[[], Sequence[Table]]] = {
        "white-box": view.white_box,
        "transfer": view.transfer_for_programs if form in _FOR_PROGRAMS else view.transfer,
        "comparison": view.comparison,
        "strata": partial(view.strata, titles=form not in _FOR_PROGRAMS),
        "trade-off": view.trade_off,
        "published": view.published,
    }
    tables = make[table]()
    if form in _FOR_PROGRAMS and len(tables) > 1:
        raise InputError(f"These are {len(tables)} tables, and {form} holds one. Add --part white-box.")
    width = shutil.get_terminal_size((_USUAL_WIDTH, 0)).columns if form == "text" else None
    return "\n\n".join(each.render(form, width).rstrip("\n") for each in tables)


def _runs(store: Store) -> Table:
    """List the runs of a store."""
    from simlib.report.tables import Table

    rows = tuple(
        (
            record.plan.name,
            record.key,
            record.created,
            record.plan.data.source,
            sum(size for _, size in record.shards),
            "yes" if record.finished else "no",
        )
        for record in store.records()
    )
    notes = () if rows else (f"Nothing was run into {store.folder}.",)
    return Table(("plan", "key", "first run", "data", "triplets", "finished"), rows, notes=notes)


@dataclass(frozen=True)
class _View:
    """What is looked at of one run.

    Attributes:
        store: where its rows are.
        record: of the run.
        part: of the plan; None for the first it has.
        attack: title of the attack where one is looked at; None for the first of the part.
        source: metric that images of transfer were made on; None for all, or the first of the part.
        chosen: whether only those triplets of transfer count that the plan chooses.
        partial: whether the run may be unfinished.
    """

    store: Store
    record: RunRecord
    part: Part | None = None
    attack: str | None = None
    source: str | None = None
    chosen: bool = False
    partial: bool = False

    def white_box(self) -> list[Table]:
        """Show what every attack does to every metric."""
        from simlib.benchmark.white_box import white_box_table
        from simlib.report.benchmark import white_box_as_table

        return [white_box_as_table(white_box_table(self._rows("white-box")))]

    def transfer(self) -> list[Table]:
        """Show the transfer matrix of each source."""
        from simlib.report.benchmark import transfer_as_table

        cells = self._cells(chosen=self.chosen)
        sources = [self.source] if self.source else dict.fromkeys(cell.source for cell in cells)
        return [transfer_as_table(cells, source) for source in sources]

    def transfer_for_programs(self) -> list[Table]:
        """Show all transfer matrices in one long table."""
        from simlib.report.benchmark import named
        from simlib.report.tables import Table

        rows = tuple(
            (named(each.source), each.attack, named(each.target), each.n, each.counted, each.flipped)
            for each in self._cells(chosen=self.chosen)
            if self.source in (None, each.source)
        )
        return [Table(("source", "attack", "target", "triplets", "counted", "flipped"), rows)]

    def comparison(self) -> list[Table]:
        """Compare every two metrics."""
        from simlib.benchmark.comparison import compare_metrics, compare_targets
        from simlib.report.benchmark import comparisons_as_table

        part, rows, attack, source = self._one()
        if part == "white-box":
            found = compare_metrics(rows, attack)
        else:
            found = compare_targets(rows, source, attack)
        return [self._told(comparisons_as_table(found))]

    def strata(self, *, titles: bool = True) -> list[Table]:
        """Show flips by the margin before the attack, and by what was done to the images.

        Args:
            titles: name columns by the titles of metrics, not by their names.
        """
        from simlib.benchmark.comparison import by_distortion, by_margin
        from simlib.report.benchmark import named
        from simlib.report.tables import Table

        groups = self._by_judge()
        kinds = {"ratio of distances": by_margin, "distortion": by_distortion}
        lines = {
            kind: _beside({name: strata(rows) for name, rows in groups.items()})
            for kind, strata in kinds.items()
        }
        rows = tuple((kind, *line) for kind, several in lines.items() for line in several)
        note = "ratio of distances: of the smaller to the larger, by the attacked metric, before the attack"
        header = ("by", "which", *(named(name).title if titles else name for name in groups))
        return [self._told(Table(header, rows, notes=(note,), with_n=True))]

    def trade_off(self) -> list[Table]:
        """Show accuracy before the attack and robustness to it."""
        from simlib.benchmark.trade_off import trade_off
        from simlib.benchmark.transfer_trade_off import trade_off_under_transfer
        from simlib.report.benchmark import named
        from simlib.report.tables import Table

        part, rows, attack, source = self._one()
        if part == "white-box":
            found = trade_off(rows, attack)
        else:
            found = trade_off_under_transfer(rows, source, attack)
        lines = tuple((named(each.metric), each.accuracy, each.robust) for each in found)
        notes = (
            "accuracy: agreement with the labels before the attack",
            "not flipped: of the triplets that the metric is right about, of all where there are no labels",
        )
        return [self._told(Table(("metric", "accuracy", "not flipped"), lines, notes=notes, with_n=True))]

    def published(self) -> list[Table]:
        """Show what others have published beside what was found here."""
        from simlib.report.benchmark import published_transfer_beside, published_white_box_beside

        plan, asked = self.record.plan, self.part
        tables: list[Table] = []
        if plan.white_box and asked in (None, "white-box"):
            tables.append(published_white_box_beside(self._rows("white-box"), attack=self.attack or "PGD"))
        if plan.transfer and asked in (None, "transfer"):
            cells = self._cells(chosen=bool(plan.transfer.chosen_by))
            tables.append(published_transfer_beside(cells, source=self.source or "lpips-alex"))
        return tables

    def _rows(self, part: Part) -> pd.DataFrame:
        """Return the rows of one part.

        Raises:
            InputError: if the plan does not have it.
        """
        from simlib.errors import InputError

        if part not in self.record.plan.parts():
            raise InputError(f"The plan {self.record.plan.name} has no part {part}. Ask for another table.")
        return self.store.rows(self.record, partial=self.partial, part=part)

    def _cells(self, *, chosen: bool) -> list[TransferCell]:
        from simlib.benchmark.matrix import transfer_matrix
        from simlib.errors import InputError

        rows, shown = self._rows("transfer"), self.record.plan.transfer
        if chosen and not (shown and shown.chosen_by):
            raise InputError(f"The plan {self.record.plan.name} chooses no triplets. Leave --chosen out.")
        return transfer_matrix(rows, chosen_by=shown.chosen_by if shown and chosen else "")

    def _one(self) -> tuple[Part, pd.DataFrame, str, str]:
        """Return the one part that is looked at, its rows, the title of the attack, and the source."""
        plan = self.record.plan
        part = self.part or next(iter(plan.parts()))
        rows = self._rows(part)
        attack, first, _ = plan.parts()[part][0]
        return part, rows, self.attack or attack.title, self.source or first

    def _by_judge(self) -> dict[str, pd.DataFrame]:
        """Return the rows of one attack by the metric that judges: itself, or images made on the source."""
        from simlib.benchmark.counting import having, is_white_box, pick, texts

        part, rows, attack, source = self._one()
        rows = having(rows, "attack", attack, "attack")
        if part == "white-box":
            return {
                name: having(rows, "source", name, "source") for name in dict.fromkeys(texts(rows, "source"))
            }
        rows = having(rows, "source", source, "source")
        judges = [name for name in dict.fromkeys(texts(rows, "target")) if name != source]
        own = is_white_box(rows)
        return {name: pick(rows, own | (texts(rows, "target") == name)) for name in judges}

    def _told(self, table: Table) -> Table:
        """Say under a table which attack it is about, and on which metric."""
        from dataclasses import replace

        from simlib.report.benchmark import named

        part, _, attack, source = self._one()
        on = "each metric itself" if part == "white-box" else named(source).title
        return replace(table, notes=(f"{attack} on {on}.", *table.notes))


def _beside(strata: dict[str, list[Stratum]]) -> list[tuple]:
    """Return a line for each stratum, with the rates of all metrics."""
    labels = dict.fromkeys(each.label for several in strata.values() for each in several)
    rates = {name: {each.label: each.rate for each in several} for name, several in strata.items()}
    return [(label, *(of.get(label) for of in rates.values())) for label in labels]
