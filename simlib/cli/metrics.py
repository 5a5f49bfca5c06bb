"""``simlib metrics``: the metrics and what is known of them."""

from __future__ import annotations

import argparse
import dataclasses
import json
from typing import Any


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the subcommand to the parser."""
    metrics = commands.add_parser("metrics", help="list the metrics, and what they cost on this machine")
    metrics.add_argument("names", nargs="*", metavar="NAME", help="which (default: all registered ones)")
    metrics.add_argument("--json", action="store_true", help="all that is known, for programs")
    metrics.add_argument("--no-timing", action="store_true", help="do not measure what they cost here")
    metrics.add_argument("--device", default="auto", help="where to measure: auto (default), cpu or cuda")
    metrics.set_defaults(run=_metrics)


def _metrics(options: argparse.Namespace) -> None:
    from tqdm.auto import tqdm

    from simlib import metrics
    from simlib.kernels.device import pick_device

    names = options.names or metrics.names()
    device = None if options.no_timing else pick_device(options.device)
    specs = [metrics.spec_of(name) for name in names]
    rows = [_describe(spec, device) for spec in tqdm(specs, "measuring", disable=None, leave=False)]
    if options.json:
        print(json.dumps(rows, indent=2))
    else:
        _print(rows)
        print(f"With any of these names: {', '.join(f'{prefix}:NAME' for prefix in metrics.prefixes())}")


def _describe(spec: Any, device: Any) -> dict[str, Any]:
    """Collect what is known of a metric; where it cannot be had, or its files are wrong, say so in a line."""
    from simlib import metrics
    from simlib.errors import SimlibError
    from simlib.metrics.cost import measure_cost

    absent, cost = metrics.why_absent(spec.name), None
    if device is not None and not absent:
        try:
            metric = metrics.load(spec.name, device=device)
            # What a metric found out about itself, such as a gradient that is not there.
            spec, cost = metric.spec, dataclasses.asdict(measure_cost(metric, device))
        except SimlibError as error:
            absent = str(error)
    weights = [_describe_weights(name) for name in spec.weights]
    return {**dataclasses.asdict(spec), "weights": weights, "absent": absent, "cost": cost}


def _describe_weights(name: str) -> dict[str, Any]:
    from simlib.metrics.weights import locate, weights_file

    file, path = weights_file(name), locate(name)
    return {"name": name, "from": file.url or file.package, "path": str(path) if path else None}


def _print(rows: list[dict[str, Any]]) -> None:
    from simlib.report.tables import Table

    header = ("name", "title", "family", "side", "gradient", "forward", "both")
    print(Table((*header, "citation", "licence", "weights", "here"), tuple(map(_cells, rows))))
    print("side: least height and width in pixels")
    print("forward, both: milliseconds on this machine for a pair of images, without and with its gradient")
    print("weights: `simlib weights` says where they come from; citation: the key in book/references.bib")


def _cells(row: dict[str, Any]) -> tuple[Any, ...]:
    cost = row["cost"] or {"forward": None, "both": None}
    gradient = "yes" if row["differentiable"] else "no"
    plain = (row["name"], row["title"], row["family"], row["least_side"], gradient)
    weights = ", ".join(each["name"] for each in row["weights"]) or "none"
    known = (row["citation"] or "none", row["licence"], weights, row["absent"] or "yes")
    return (*plain, cost["forward"], cost["both"], *known)
