"""``simlib notebooks``: execute the book's notebooks headlessly."""

from __future__ import annotations

import argparse
from pathlib import Path


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the subcommand to the parser."""
    notebooks = commands.add_parser("notebooks", help="execute the book's notebooks headlessly")
    notebooks.add_argument("names", nargs="*", metavar="NOTEBOOK", help="such as 01-triplets (default: all)")
    notebooks.add_argument("--profile", default="quick", help="smoke, quick (default) or reference")
    notebooks.add_argument("--output", type=Path, help="folder (default: _build/notebooks/PROFILE)")
    notebooks.add_argument(
        "--jobs", type=int, help="notebooks that run at a time (default: as many as cores)"
    )
    notebooks.add_argument(
        "-p",
        "--parameter",
        action="append",
        default=[],
        metavar="[NOTEBOOK.]NAME=VALUE",
        help="set a parameter, in one notebook or in all that have it; repeatable",
    )
    notebooks.set_defaults(run=_notebooks)


def _notebooks(options: argparse.Namespace) -> None:
    from simlib.book.parameters import Values, parse_override
    from simlib.book.run import run_notebooks

    overrides: dict[str, Values] = {}
    for text in options.parameter:
        notebook, parameter, value = parse_override(text)
        overrides.setdefault(notebook, {})[parameter] = value
    for outcome in run_notebooks(
        options.names or None, options.profile, options.output, options.jobs, parameters=overrides
    ):
        print(outcome.path)
