"""``simlib notebooks`` and ``simlib book``: execute notebooks, render pages, adopt a run."""

from __future__ import annotations

import argparse
from pathlib import Path


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the subcommands to the parser."""
    notebooks = commands.add_parser("notebooks", help="execute the book's notebooks headlessly")
    notebooks.add_argument("names", nargs="*", metavar="NOTEBOOK", help="such as triplets (default: all)")
    notebooks.add_argument("--profile", default="quick", help="smoke, quick (default) or reference")
    notebooks.add_argument("--output", type=Path, help="folder (default: _build/notebooks/PROFILE)")
    jobs = "notebooks that run at a time (default: as many as cores)"
    notebooks.add_argument("--jobs", type=int, help=jobs)
    setting = "set a parameter, in one notebook or in all that have it; repeatable"
    how = {"action": "append", "default": [], "metavar": "[NOTEBOOK.]NAME=VALUE"}
    notebooks.add_argument("-p", "--parameter", help=setting, **how)
    notebooks.set_defaults(run=_notebooks)

    book = commands.add_parser("book", help="render the book, or adopt a run as the published one")
    actions = book.add_subparsers(required=True, metavar="ACTION")
    build = actions.add_parser("build", help="render pages from executed notebooks")
    build.add_argument("--notebooks", type=Path, help="folder of executed ones (default: the committed ones)")
    build.add_argument("--output", type=Path, help="folder for the pages (default: _build/book)")
    build.set_defaults(run=_build_book)
    adoption = actions.add_parser("adopt", help="put the outputs of a run into the committed notebooks")
    adoption.add_argument("notebooks", type=Path, help="folder of executed notebooks")
    adoption.set_defaults(run=_adopt)


def _notebooks(options: argparse.Namespace) -> None:
    from simlib.book.parameters import Values, parse_override
    from simlib.book.run import run_notebooks

    overrides: dict[str, Values] = {}
    for text in options.parameter:
        notebook, parameter, value = parse_override(text)
        overrides.setdefault(notebook, {})[parameter] = value
    for path in run_notebooks(options.names, options.profile, options.output, options.jobs, overrides):
        print(path)


def _build_book(options: argparse.Namespace) -> None:
    from simlib.book.stage import build_book
    from simlib.checkout import repository

    root = repository()
    pages = options.output or root / "_build" / "book"
    print(build_book(options.notebooks or root / "notebooks", pages, root))


def _adopt(options: argparse.Namespace) -> None:
    from simlib.book.adopt import adopt

    for path in adopt(options.notebooks):
        print(path)
