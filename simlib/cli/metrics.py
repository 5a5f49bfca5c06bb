"""``simlib metrics`` and ``simlib attacks``: what there is, the time metrics take, the dials of attacks."""

from __future__ import annotations

import argparse
import dataclasses
import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

    from simlib.metrics import MetricSpec
    from simlib.metrics.timing import Timing


_NOTES = (
    "least side: of height and width, in pixels",
    "forward, both: milliseconds on this machine for a pair of 64 x 64 pixels (or of the least side, where "
    "that is larger), without and with its gradient",
    "large: seconds for one pair of a megapixel, without gradient, estimated from one of 256 x 256 pixels",
    "weights: `simlib weights` says where they come from; citation: the key in book/references.bib",
)

_COLUMNS = (
    ("name", "metric", "family", "least side", "gradient"),
    ("citation", "licence of package and weights", "weights"),
)
"""Of the gallery, before and after the time."""


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
    from simlib import metrics
    from simlib.kernels.device import pick_device
    from simlib.progress import Bar
    from simlib.report.gallery import described
    from simlib.report.tables import Table

    device = None if options.no_timing else pick_device(options.device)
    specs = [metrics.spec_of(name) for name in options.names or metrics.names()]
    measured = []
    with Bar(total=len(specs), unit="metric", leave=False, disable=device is None) as bar:
        for spec in specs:
            bar.set_description_str(f"measuring {spec.name}")
            measured.append(_measured(spec, device))
            bar.update()
    if options.json:
        print(json.dumps([_for_programs(*each) for each in measured], indent=2))
    else:
        before, after = _COLUMNS
        rows = (
            (*described(spec, before), *_times(cost, large), *described(spec, after), absent or "yes")
            for spec, absent, cost, large in measured
        )
        table = Table((*before, "forward", "both", "large", *after, "here"), tuple(rows))
        prefixes = f"prefixes, as in smoothed:NAME and ensemble:NAME+NAME: {', '.join(metrics.prefixes())}"
        print(table, *_NOTES, prefixes, sep="\n")


def _measured(
    spec: MetricSpec, device: torch.device | None
) -> tuple[MetricSpec, str, Timing | None, float | None]:
    """Return the spec of a metric, why it is absent, which wrong files are a reason for, and its times."""
    from simlib import metrics
    from simlib.errors import SimlibError
    from simlib.metrics.timing import measure_time, seconds_a_megapixel

    absent = metrics.why_absent(spec.name)
    if device is None or absent:
        return spec, absent, None, None
    try:
        metric = metrics.load(spec.name, device=device)
        # A trial while it is built may find more than the register knows, such as a missing gradient.
        return metric.spec, "", measure_time(metric, device), seconds_a_megapixel(metric, device)
    except SimlibError as error:
        return spec, str(error), None, None


def _times(cost: Timing | None, large: float | None) -> tuple[float | None, float | None, float | None]:
    return (cost.forward, cost.both, large) if cost else (None, None, None)


def _for_programs(spec: MetricSpec, absent: str, cost: Timing | None, large: float | None) -> dict[str, Any]:
    from simlib.metrics.weights import locate, weights_file

    files = {name: (weights_file(name), locate(name)) for name in spec.weights}
    weights = [
        {"name": name, "from": file.url or file.package, "path": str(path) if path else None}
        for name, (file, path) in files.items()
    ]
    timing = {**dataclasses.asdict(cost), "seconds_a_megapixel": large} if cost else None
    return {**dataclasses.asdict(spec), "weights": weights, "absent": absent, "cost": timing}


def _attacks(options: argparse.Namespace) -> None:
    from simlib.attacks import ATTACKS, make
    from simlib.report.attacks import attacks_as_table, dials_as_table

    every = options.name is None
    table = attacks_as_table(list(ATTACKS.values())) if every else dials_as_table(make(options.name, {}))
    print(json.dumps(json.loads(table.as_json()), indent=2) if options.json else table)
