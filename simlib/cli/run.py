"""``simlib run``: compute what a plan asks for."""

from __future__ import annotations

import argparse
import contextlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

    from simlib.benchmark.engines import Engine
    from simlib.benchmark.outlook import Outlook
    from simlib.benchmark.plan import Plan
    from simlib.benchmark.record import RunRecord

_OF_RAY = ("address", "workers", "cpus_per_worker", "gpus_per_worker")


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the subcommand to the parser."""
    run = commands.add_parser(
        "run", help="run a benchmark, or go on with one; without a plan, list those that come with simlib"
    )
    run.add_argument("plan", nargs="?", metavar="PLAN", help="a TOML file, or the name of a plan of simlib")
    run.add_argument("--store", type=Path, metavar="DIR", help="folder of results; what is there is kept")
    run.add_argument("--data", metavar="SOURCE", help="other triplets: photos, bapps or a path")
    run.add_argument("--n", type=int, help="another number of triplets")
    run.add_argument("--device", help="auto, cpu or cuda (default: what the plan says)")
    run.add_argument("--batch-size", type=int, metavar="N", help="triplets at once (default: what fits)")
    run.add_argument(
        "--skip-absent", action="store_true", help="leave out metrics whose weights or packages are not here"
    )
    run.add_argument("--no-estimate", action="store_true", help="do not time the metrics before")
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
    from simlib.benchmark.outlook import outlook
    from simlib.benchmark.run import run_plan
    from simlib.benchmark.store import Store
    from simlib.kernels.device import pick_device

    _require_sense(options)
    plan = _valid_plan(options)
    device = pick_device(plan.device)
    if not options.dry_run:
        # A folder that cannot be written is told before metrics are timed.
        Store(options.store)
    expected = outlook(plan, options.store, device)
    _print_outlook(plan, expected)
    if not options.no_estimate:
        _print_estimate(plan, expected, device, options.workers)
    if options.dry_run:
        return
    with contextlib.closing(_engine(options, device)) as engine:
        try:
            record = run_plan(plan, options.store, engine=engine, progress=True)
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
    print(Table(("plan", "triplets", "white-box", "transfer", "judges"), tuple(rows)))
    print(
        "white-box, transfer: metrics attacked x attacks; judges: metrics that judge the images of transfer"
    )
    print("Run one of these, or a TOML file of the same form: simlib run PLAN --store DIR")


def _require_sense(options: argparse.Namespace) -> None:
    """Refuse options that do not go together."""
    from simlib.errors import InputError
    from simlib.kernels.checks import require_count

    if options.batch_size is not None:
        require_count("--batch-size", options.batch_size)
    if options.store is None and not options.dry_run:
        raise InputError("Where shall results go? Give a folder, --store DIR, or only look with --dry-run.")
    given = [f"--{name.replace('_', '-')}" for name in _OF_RAY if getattr(options, name) is not None]
    if given and options.engine != "ray":
        raise InputError(f"{', '.join(given)} is for Ray only. Add --engine ray or leave it out.")


def _valid_plan(options: argparse.Namespace) -> Plan:
    """Read the plan, change it as asked for, and refuse what cannot run."""
    from dataclasses import replace

    from simlib.benchmark.plan_file import read_plan
    from simlib.benchmark.validation import leave_out_absent, validate
    from simlib.errors import InputError

    plan = read_plan(options.plan)
    data = replace(
        plan.data, source=options.data or plan.data.source, n=plan.data.n if options.n is None else options.n
    )
    plan = replace(plan, data=data, device=options.device or plan.device)
    possible, absent = leave_out_absent(plan)
    if options.skip_absent:
        for line in absent:
            print(f"left out: {line}")
        plan = possible
    try:
        validate(plan)
    except InputError as error:
        hint = "\nWith --skip-absent, metrics are left out whose weights or packages are not here."
        raise InputError(f"{error}{hint if absent and not options.skip_absent else ''}") from error
    return plan


def _print_outlook(plan: Plan, expected: Outlook) -> None:
    from simlib.report.tables import Table

    rows = [
        (
            each.part,
            each.sources,
            each.attacks,
            each.targets or None,
            expected.triplets,
            each.rows,
            each.stored,
        )
        for each in expected.parts
    ]
    header = ("part", "attacked metrics", "attacks", "other judges", "triplets", "rows", "stored already")
    print(f"{plan.name}: triplets of {plan.data.source}, {plan.shard_size} at a time")
    print(Table(header, tuple(rows)))


def _print_estimate(plan: Plan, expected: Outlook, device: torch.device, workers: int | None) -> None:
    from simlib.benchmark.calibration import estimate
    from simlib.triplets.sources import drawn

    left = [(recipe, n) for recipe, n in expected.work if n > 0]
    if not left:
        print("Nothing is left to compute.")
        return
    first = drawn(plan.data.source, plan.data.n, seed=plan.data.seed)[: plan.shard_size]
    found = estimate(left, first, device)
    one_process = f"At most about {_duration(found.seconds)} in one process on {device.type}"
    print(one_process + (f", {_duration(found.seconds / workers)} in {workers}" if workers else ""), end="; ")
    largest = list(found.by_metric().items())[:3]
    print("most of it: " + ", ".join(f"{name} {seconds / found.seconds:.0%}" for name, seconds in largest))


def _engine(options: argparse.Namespace, device: torch.device) -> Engine:
    if options.engine == "local":
        from simlib.benchmark.engines import LocalEngine

        return LocalEngine(device, options.batch_size)
    from simlib.benchmark.ray_engine import RayEngine

    cpus = 1 if options.cpus_per_worker is None else options.cpus_per_worker
    return RayEngine(
        device.type,
        address=options.address,
        workers=options.workers,
        cpus_per_worker=cpus,
        gpus_per_worker=options.gpus_per_worker,
        batch_size=options.batch_size,
    )


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


def _duration(seconds: float) -> str:
    """Say how long something takes, in two digits at most."""
    for unit, size in (("days", 86_400), ("hours", 3_600), ("minutes", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{max(seconds, 1):.0f} seconds"
