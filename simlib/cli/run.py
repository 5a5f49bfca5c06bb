"""``simlib run``: compute what a plan asks for."""

from __future__ import annotations

import argparse
import contextlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from simlib.given import given_path

if TYPE_CHECKING:
    import torch

    from simlib.benchmark.engines import Engine
    from simlib.benchmark.plan import Plan
    from simlib.benchmark.record import RunRecord
    from simlib.triplets.sources import Drawn

_OF_RAY = ("address", "workers", "cpus_per_worker", "gpus_per_worker")


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the subcommand to the parser."""
    what = "run a benchmark, or go on with one; without a plan, list those that come with simlib"
    run = commands.add_parser("run", help=what)
    run.add_argument("plan", nargs="?", metavar="PLAN", help="a TOML file, or the name of a plan of simlib")
    run.add_argument(
        "--store", type=given_path, metavar="DIR", help="folder of results; what is there is kept"
    )
    run.add_argument("--data", metavar="SOURCE", help="other triplets: photos, bapps or a path")
    run.add_argument("--n", type=int, help="another number of triplets")
    run.add_argument("--device", help="auto, cpu or cuda (default: what the plan says)")
    run.add_argument("--batch-size", type=int, metavar="N", help="triplets at once (default: what fits)")
    skip = "leave out metrics whose weights or packages are not here"
    run.add_argument("--skip-absent", action="store_true", help=skip)
    run.add_argument("--dry-run", action="store_true", help="say what would be done, and do nothing")
    engine = run.add_argument_group("engines")
    engine.add_argument("--engine", choices=("local", "ray"), default="local", help="default: local")
    engine.add_argument("--address", metavar="HOST:PORT", help="a Ray cluster (default: one on this machine)")
    engine.add_argument("--workers", type=int, metavar="N", help="default: as many as there is room for")
    engine.add_argument("--cpus-per-worker", type=int, metavar="N", help="cores of a worker (default: 1)")
    engine.add_argument("--gpus-per-worker", type=float, metavar="SHARE", help="such as 0.5 (default: 1)")
    run.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> None:
    if options.plan is None:
        _list()
        return
    from simlib.benchmark.run import run_plan
    from simlib.benchmark.store import Store
    from simlib.kernels.device import pick_device

    _require_sense(options)
    plan, triplets = _runnable(options)
    device = pick_device(plan.device)
    if not options.dry_run:
        # A folder that cannot be written is reported before anything else.
        Store(options.store)
    _print_work(plan, triplets, options.store, device)
    if options.dry_run:
        return
    with contextlib.closing(_engine(options, device)) as engine:
        try:
            record = run_plan(plan, options.store, triplets=triplets, engine=engine, progress=True)
        except KeyboardInterrupt:
            print("What is finished is stored; the same command goes on from there.", file=sys.stderr)
            raise
    _print_results(record, options.store)


def _list() -> None:
    from simlib.benchmark.plan_file import read_plan, shipped
    from simlib.report.tables import Table

    rows = []
    for name in shipped():
        plan = read_plan(name)
        white_box, transfer = plan.white_box, plan.transfer
        triplets = f"{plan.data.source}, {plan.data.n or 'all'}"
        attacked = f"{len(white_box.metrics)} x {len(white_box.attacks)}" if white_box else "none"
        shown = f"{len(transfer.sources)} x {len(transfer.attacks)}" if transfer else "none"
        rows.append((name, triplets, attacked, shown, len(transfer.targets) if transfer else 0))
    notes = (
        "white-box, transfer: metrics attacked x attacks; judges: metrics that judge the images of transfer",
        "Run one of these, or a TOML file of the same form: simlib run PLAN --store DIR",
    )
    print(Table(("plan", "triplets", "white-box", "transfer", "judges"), tuple(rows)), *notes, sep="\n")


def _require_sense(options: argparse.Namespace) -> None:
    from simlib.errors import InputError
    from simlib.kernels.checks import require_count

    if options.batch_size is not None:
        require_count("--batch-size", options.batch_size)
    if options.store is None and not options.dry_run:
        raise InputError("Where shall results go? Give a folder, --store DIR, or only look with --dry-run.")
    given = [f"--{name.replace('_', '-')}" for name in _OF_RAY if getattr(options, name) is not None]
    if given and options.engine != "ray":
        raise InputError(f"{', '.join(given)} is for Ray only. Add --engine ray or leave it out.")


def _runnable(options: argparse.Namespace) -> tuple[Plan, Drawn]:
    """Read the plan, change it as asked for, open its data, and refuse what cannot run here."""
    from simlib.benchmark.plan_check import require_runnable, without_absent
    from simlib.benchmark.plan_file import plan_from_dict, plan_to_dict, read_plan
    from simlib.benchmark.run import open_data
    from simlib.errors import InputError

    content = plan_to_dict(read_plan(options.plan))
    given = {"source": options.data, "n": options.n}
    content["data"] |= {key: value for key, value in given.items() if value is not None}
    content["device"] = options.device or content["device"]
    plan = plan_from_dict(content, options.plan)
    if options.skip_absent:
        plan, absent = without_absent(plan)
        for line in absent:
            print(f"left out: {line}")
    triplets = open_data(plan.data)
    try:
        require_runnable(plan, triplets[:1])
    except InputError as error:
        hint = "\nWith --skip-absent, metrics are left out whose weights or packages are not here."
        raise InputError(f"{error}{hint if 'absent' in str(error) else ''}") from error
    return plan, triplets


def _print_work(plan: Plan, triplets: Drawn, folder: Path | None, device: torch.device) -> None:
    """Print what a plan asks for, and what of it is stored."""
    from simlib.benchmark.recipe import recipes_of
    from simlib.benchmark.run import stored_triplets
    from simlib.benchmark.store import Store
    from simlib.report.tables import Table

    parts = recipes_of(plan, device)
    stored: dict[str, int] = {}
    if folder is not None and (folder / "runs").is_dir():
        every = [recipe for recipes in parts.values() for recipe in recipes]
        stored = stored_triplets(plan, Store(folder, create=False), every)
    rows = []
    for part, recipes in parts.items():
        sources = len({recipe.source for recipe in recipes})
        attacks = len({recipe.attack.title for recipe in recipes})
        judges = len({recipe.target for recipe in recipes if not recipe.white_box}) or None
        there = sum(stored.get(recipe.key, 0) for recipe in recipes)
        rows.append((part, sources, attacks, judges, len(triplets), len(triplets) * len(recipes), there))
    header = ("part", "attacked metrics", "attacks", "other judges", "triplets", "rows", "stored already")
    print(f"{plan.name}: triplets of {plan.data.source}, {plan.shard_size} at a time")
    print(Table(header, tuple(rows)))


def _engine(options: argparse.Namespace, device: torch.device) -> Engine:
    if options.engine == "local":
        from simlib.benchmark.engines import LocalEngine

        return LocalEngine(device, options.batch_size)
    from simlib.benchmark.ray_engine import RayEngine

    given = {name: getattr(options, name) for name in (*_OF_RAY, "batch_size")}
    if given["cpus_per_worker"] is None:
        given["cpus_per_worker"] = 1
    return RayEngine(device.type, **given)


def _print_results(record: RunRecord, folder: Path) -> None:
    from simlib.benchmark.store import Store
    from simlib.cli.results import print_table

    store, plan = Store(folder, create=False), record.plan
    tables = [name for name, part in (("white-box", plan.white_box), ("transfer", plan.transfer)) if part]
    for table in tables:
        print()
        print_table(store, record, table)
    known = store.record(plan.name).key == record.key
    again = f"simlib results --store {folder} --plan {plan.name if known else record.key}"
    print(f"\nThese and other tables, as text, csv, json, markdown or latex: {again} --table {tables[-1]}")
