"""The command ``simlib``: what it does is in the package; here is only how it is asked for.

Everything heavy is imported by the subcommand that needs it, so that ``simlib --help`` answers at once.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import simlib
from simlib.errors import NotebookError, SimlibError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code: 0, 1 when notebooks failed, 2 when it was asked wrongly."""
    options = _parser().parse_args(arguments)
    try:
        options.run(options)
    except NotebookError as error:
        print(f"simlib: {error}", file=sys.stderr)
        return 1
    except SimlibError as error:
        print(f"simlib: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("simlib: interrupted", file=sys.stderr)
        return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="simlib", description="Attacks on perceptual similarity metrics.")
    parser.add_argument("--version", action="version", version=f"simlib {simlib.__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_metrics(commands)
    _add_weights(commands)
    _add_notebooks(commands)
    _add_book(commands)
    return parser


def _add_metrics(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    metrics = commands.add_parser("metrics", help="list the metrics")
    metrics.set_defaults(run=_metrics)


def _add_weights(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
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


def _add_notebooks(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
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


def _add_book(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    book = commands.add_parser("book", help="render the book, or adopt a run as the published one")
    actions = book.add_subparsers(required=True, metavar="ACTION")
    build = actions.add_parser("build", help="render pages from executed notebooks")
    build.add_argument("--notebooks", type=Path, help="folder of executed ones (default: the committed ones)")
    build.add_argument("--output", type=Path, help="folder for the pages (default: _build/book)")
    build.set_defaults(run=_build_book)
    adoption = actions.add_parser("adopt", help="put the outputs of a run into the committed notebooks")
    adoption.add_argument("notebooks", type=Path, help="folder of executed notebooks")
    adoption.set_defaults(run=_adopt)


def _metrics(options: argparse.Namespace) -> None:
    from simlib.metrics import specs

    print(f"{'name':<16} {'title':<24} {'family':<12} {'least side':>10}  {'weights':<36} licence")
    for spec in specs():
        weights = ", ".join(spec.weights) or "none"
        head = f"{spec.name:<16} {spec.title:<24} {spec.family:<12} {spec.least_side:>10}"
        print(f"{head}  {weights:<36} {spec.licence}")


def _list_weights(options: argparse.Namespace) -> None:
    from simlib.metrics.weights import WEIGHTS, locate

    for name in sorted(WEIGHTS):
        print(f"{name:<20} {locate(name) or f'absent (simlib weights fetch {name})'}")


def _fetch_weights(options: argparse.Namespace) -> None:
    from simlib.metrics.weights import WEIGHTS, fetch

    for name in sorted(WEIGHTS) if options.name == "all" else [options.name]:
        print(fetch(name, folder=options.dir))


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


def _build_book(options: argparse.Namespace) -> None:
    from simlib.book import repository
    from simlib.book.stage import build_book

    root = repository()
    print(
        build_book(options.notebooks or root / "notebooks", options.output or root / "_build" / "book", root)
    )


def _adopt(options: argparse.Namespace) -> None:
    from simlib.book.adopt import adopt

    for path in adopt(options.notebooks):
        print(path)
