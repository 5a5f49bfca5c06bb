"""``simlib metrics`` and ``simlib attacks``: what there is, the time metrics take, the dials of attacks."""

from __future__ import annotations

import argparse
import dataclasses
import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

    from simlib.metrics import MetricSpec


_NOTES = (
    "side: least height and width in pixels",
    "forward, both: milliseconds on this machine for a pair of images, without and with its gradient",
    "weights: `simlib weights` says where they come from; citation: the key in book/references.bib",
)


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the subcommands to the parser."""
    metrics = commands.add_parser("metrics", help="list the metrics, and the time they take on this machine")
    metrics.add_argument("names", nargs="*", metavar="NAME", help="which (default: all registered metrics)")
    metrics.add_argument("--json", action="store_true", help="print everything as JSON, for programs")
    metrics.add_argument("--no-timing", action="store_true", help="do not measure the time")
    metrics.add_argument("--device", default="auto", help="where to measure: auto (default), cpu or cuda")
    metrics.set_defaults(run=_metrics)
    attacks = commands.add_parser("attacks", help="list the attacks, or the dials of one")
    attacks.add_argument("name", nargs="?", metavar="NAME", help="of an attack (default: list all)")
    attacks.add_argument("--json", action="store_true", help="for programs")
    attacks.set_defaults(run=_attacks)


def _metrics(options: argparse.Namespace) -> None:
    from tqdm.auto import tqdm

    from simlib import metrics
    from simlib.kernels.device import pick_device
    from simlib.report.tables import Table

    device = None if options.no_timing else pick_device(options.device)
    specs = [metrics.spec_of(name) for name in options.names or metrics.names()]
    rows = [_describe(spec, device) for spec in tqdm(specs, "measuring", disable=None, leave=False)]
    if options.json:
        print(json.dumps(rows, indent=2))
    else:
        header = ("name", "title", "family", "side", "gradient", "forward", "both")
        table = Table((*header, "citation", "licence", "weights", "here"), tuple(map(_cells, rows)))
        prefixes = f"prefixes, as in smoothed:NAME and ensemble:NAME+NAME: {', '.join(metrics.prefixes())}"
        print(table, *_NOTES, prefixes, sep="\n")


def _describe(spec: MetricSpec, device: torch.device | None) -> dict[str, Any]:
    """Collect the spec and the time of a metric; if it is absent or its files are wrong, say so in a line."""
    from simlib import metrics
    from simlib.errors import SimlibError
    from simlib.metrics.timing import measure_time
    from simlib.metrics.weights import locate, weights_file

    absent, cost = metrics.why_absent(spec.name), None
    if device is not None and not absent:
        try:
            metric = metrics.load(spec.name, device=device)
            # A trial while it is built may find more than the register knows, such as a missing gradient.
            spec, cost = metric.spec, dataclasses.asdict(measure_time(metric, device))
        except SimlibError as error:
            absent = str(error)
    files = {name: (weights_file(name), locate(name)) for name in spec.weights}
    weights = [
        {"name": name, "from": file.url or file.package, "path": str(path) if path else None}
        for name, (file, path) in files.items()
    ]
    return {**dataclasses.asdict(spec), "weights": weights, "absent": absent, "cost": cost}


def _cells(row: dict[str, Any]) -> tuple[Any, ...]:
    cost = row["cost"] or {"forward": None, "both": None}
    gradient = "yes" if row["differentiable"] else "no"
    plain = (row["name"], row["title"], row["family"], row["least_side"], gradient)
    weights = ", ".join(each["name"] for each in row["weights"]) or "none"
    known = (row["citation"] or "none", row["licence"], weights, row["absent"] or "yes")
    return (*plain, cost["forward"], cost["both"], *known)


def _attacks(options: argparse.Namespace) -> None:
    from simlib.attacks import ATTACKS, make
    from simlib.report.attacks import attacks_as_table, dials_as_table

    every = options.name is None
    table = attacks_as_table(list(ATTACKS.values())) if every else dials_as_table(make(options.name, {}))
    print(json.dumps(json.loads(table.as_json()), indent=2) if options.json else table)
