"""``simlib book``: render the pages, or adopt a run as the published one."""

from __future__ import annotations

import argparse
from pathlib import Path


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the subcommand to the parser."""
    book = commands.add_parser("book", help="render the book, or adopt a run as the published one")
    actions = book.add_subparsers(required=True, metavar="ACTION")
    build = actions.add_parser("build", help="render pages from executed notebooks")
    build.add_argument("--notebooks", type=Path, help="folder of executed ones (default: the committed ones)")
    build.add_argument("--output", type=Path, help="folder for the pages (default: _build/book)")
    build.set_defaults(run=_build_book)
    adoption = actions.add_parser("adopt", help="put the outputs of a run into the committed notebooks")
    adoption.add_argument("notebooks", type=Path, help="folder of executed notebooks")
    adoption.set_defaults(run=_adopt)


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
