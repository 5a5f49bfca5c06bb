"""``simlib results``: the tables of a benchmark, from its store."""

from __future__ import annotations

import argparse
import shutil
from typing import TYPE_CHECKING

from simlib.given import given_path

if TYPE_CHECKING:
    from simlib.benchmark.record import RunRecord
    from simlib.benchmark.store import Store
    from simlib.report.run_tables import RunTables

TABLES = ("white-box", "transfer", "comparison", "strata", "trade-off", "published")
"""What can be asked for; the last stands published results beside those of the store."""

_FORMATS = ("text", "csv", "json", "markdown", "latex")
_FOR_PROGRAMS = ("csv", "json")
_USUAL_WIDTH = 120


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the subcommand to the parser."""
    results = commands.add_parser("results", help="print the tables of a benchmark")
    results.add_argument("--store", type=given_path, required=True, metavar="DIR", help="folder of results")
    which = "name of the plan, or key of the run (default: newest)"
    results.add_argument("--plan", metavar="NAME", help=which)
    results.add_argument("--table", choices=TABLES, help="which (default: list the runs that are there)")
    results.add_argument("--format", choices=_FORMATS, default="text", help="default: text")
    some = "for comparison, strata, trade-off"
    results.add_argument("--attack", metavar="TITLE", help=f"{some} (default: first)")
    results.add_argument("--source", metavar="METRIC", help="that images of transfer were made on")
    results.add_argument("--part", choices=("white-box", "transfer"), help=some)
    chosen = "only triplets that the plan's chosen_by flips, for transfer"
    results.add_argument("--chosen", action="store_true", help=chosen)
    results.add_argument("--partial", action="store_true", help="what is there of a run that is not finished")
    results.set_defaults(run=_run)


def print_table(store: Store, record: RunRecord, table: str) -> None:
    """Print a table of a finished run as text."""
    from simlib.report.run_tables import RunTables

    print(_rendered(RunTables(store, record), table, "text"))


def _run(options: argparse.Namespace) -> None:
    from simlib.benchmark.store import Store
    from simlib.report.run_tables import RunTables, runs_as_table

    store = Store(options.store, create=False)
    if options.table is None:
        print(runs_as_table(store).render(options.format))
        return
    asked = {name: getattr(options, name) for name in ("part", "attack", "source", "chosen", "partial")}
    for_programs = options.format in _FOR_PROGRAMS
    tables = RunTables(store, store.record(options.plan), **asked, for_programs=for_programs)
    print(_rendered(tables, options.table, options.format))


def _rendered(tables: RunTables, name: str, form: str) -> str:
    """Write all tables that belong to what was asked for; refuse several in a format that holds one."""
    from simlib.errors import InputError

    found = tables.of(name)
    if form in _FOR_PROGRAMS and len(found) > 1:
        raise InputError(f"These are {len(found)} tables, and {form} holds one. Add --part white-box.")
    width = shutil.get_terminal_size((_USUAL_WIDTH, 0)).columns if form == "text" else None
    return "\n\n".join(each.render(form, width).rstrip("\n") for each in found)
