"""``simlib weights``: pretrained networks, where they lie and how they come here."""

from __future__ import annotations

import argparse
from pathlib import Path


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the subcommand to the parser."""
    weights = commands.add_parser("weights", help="list or fetch pretrained weights")
    actions = weights.add_subparsers(required=True, metavar="ACTION")
    listing = actions.add_parser("list", help="say which weights are on this machine, and where")
    listing.set_defaults(run=_list_weights)
    fetching = actions.add_parser("fetch", help="download weights and check their SHA-256")
    fetching.add_argument("name", metavar="NAME", help="one of `simlib weights list`, or `all`")
    fetching.add_argument(
        "--dir", type=Path, help="folder to put them in (default: SIMLIB_WEIGHTS or torch hub)"
    )
    fetching.set_defaults(run=_fetch_weights)


def _list_weights(options: argparse.Namespace) -> None:
    from simlib.metrics.weights import WEIGHTS, locate

    for name in sorted(WEIGHTS):
        print(f"{name:<20} {locate(name) or f'absent (simlib weights fetch {name})'}")


def _fetch_weights(options: argparse.Namespace) -> None:
    from simlib.metrics.weights import WEIGHTS, fetch

    for name in sorted(WEIGHTS) if options.name == "all" else [options.name]:
        print(fetch(name, folder=options.dir))
