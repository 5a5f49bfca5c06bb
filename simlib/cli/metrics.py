"""``simlib metrics``: the metrics and what is known of them."""

from __future__ import annotations

import argparse


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the subcommand to the parser."""
    metrics = commands.add_parser("metrics", help="list the metrics")
    metrics.set_defaults(run=_metrics)


def _metrics(options: argparse.Namespace) -> None:
    from simlib.metrics import specs

    print(f"{'name':<16} {'title':<24} {'family':<12} {'least side':>10}  {'weights':<36} licence")
    for spec in specs():
        weights = ", ".join(spec.weights) or "none"
        head = f"{spec.name:<16} {spec.title:<24} {spec.family:<12} {spec.least_side:>10}"
        print(f"{head}  {weights:<36} {spec.licence}")
