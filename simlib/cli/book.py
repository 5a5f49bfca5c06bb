"""``simlib notebooks``, ``simlib lab`` and ``simlib book``: execute, rerun and publish the chapters."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from simlib.given import given_path


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the subcommands to the parser."""
    notebooks = commands.add_parser("notebooks", help="execute the book's notebooks headlessly")
    notebooks.add_argument("names", nargs="*", metavar="NOTEBOOK", help="such as triplets (default: all)")
    notebooks.add_argument("--profile", default="quick", help="smoke, quick (default) or reference")
    notebooks.add_argument("--output", type=given_path, help="folder (default: _build/notebooks/PROFILE)")
    jobs = "notebooks that run at a time (default: as many as cores)"
    notebooks.add_argument("--jobs", type=int, help=jobs)
    setting = "set a parameter, in one notebook or in all that have it; repeatable"
    how = {"action": "append", "default": [], "metavar": "[NOTEBOOK.]NAME=VALUE"}
    notebooks.add_argument("-p", "--parameter", help=setting, **how)
    only = "run nothing; list the committed ones that are old or a short run, with the reason"
    notebooks.add_argument("--stale", action="store_true", help=only)
    notebooks.set_defaults(run=_notebooks)

    lab = commands.add_parser("lab", help="open working copies of the notebooks in JupyterLab")
    lab.add_argument("--folder", type=given_path, help="of the copies (default: _build/lab)")
    more = "further arguments for JupyterLab, after --, such as -- --no-browser"
    lab.add_argument("arguments", nargs="*", metavar="ARGUMENT", help=more)
    lab.set_defaults(run=_lab)

    book = commands.add_parser("book", help="render the book, or change what is committed")
    actions = book.add_subparsers(required=True, metavar="ACTION")
    build = actions.add_parser("build", help="render pages from executed notebooks")
    build.add_argument(
        "--notebooks", type=given_path, help="folder of executed ones (default: the committed ones)"
    )
    build.add_argument("--output", type=given_path, help="folder for the pages (default: _build/book)")
    build.set_defaults(run=_build_book)
    adoption = actions.add_parser("adopt", help="put the outputs of a run into the committed notebooks")
    adoption.add_argument("notebooks", type=given_path, help="folder of executed notebooks")
    adoption.add_argument("names", nargs="*", metavar="NOTEBOOK", help="which ones (default: all)")
    adoption.set_defaults(run=_adopt)
    refresh = actions.add_parser("refresh", help="execute and adopt the notebooks that --stale lists")
    refresh.set_defaults(run=_refresh)
    back = actions.add_parser("back", help="put edited working copies of JupyterLab into the book")
    back.add_argument("names", nargs="+", metavar="NOTEBOOK")
    back.add_argument("--folder", type=given_path, help="of the copies (default: _build/lab)")
    back.set_defaults(run=_back)


def _notebooks(options: argparse.Namespace) -> None:
    from simlib.book.parameters import parse_override
    from simlib.book.run import run_notebooks
    from simlib.book.values import Values

    if options.stale:
        return _list_stale(options.names)
    overrides: dict[str, Values] = {}
    for text in options.parameter:
        notebook, parameter, value = parse_override(text)
        overrides.setdefault(notebook, {})[parameter] = value
    for path in run_notebooks(options.names, options.profile, options.output, options.jobs, overrides):
        print(path)


def _list_stale(names: list[str]) -> None:
    from simlib.book.staleness import stale
    from simlib.checkout import repository

    for name, reason in stale(repository() / "notebooks", names).items():
        print(f"{name}: {reason}")


def _lab(options: argparse.Namespace) -> None:
    from simlib.book.lab import make_copies, open_lab

    folder = _copies(options)
    for name in make_copies(folder):
        print(f"{name}: the edited copy is kept", file=sys.stderr)
    if code := open_lab(folder, options.arguments):
        sys.exit(code)


def _build_book(options: argparse.Namespace) -> None:
    from simlib.book.stage import build_book
    from simlib.checkout import repository

    root = repository()
    pages = options.output or root / "_build" / "book"
    print(build_book(options.notebooks or root / "notebooks", pages, root))


def _adopt(options: argparse.Namespace) -> None:
    from simlib.book.adopt import adopt

    for path in adopt(options.notebooks, options.names):
        print(path)


def _refresh(options: argparse.Namespace) -> None:
    from simlib.book.adopt import refresh

    for path in refresh():
        print(path)


def _back(options: argparse.Namespace) -> None:
    from simlib.book.lab import bring_back

    for path in bring_back(options.names, _copies(options)):
        print(path)


def _copies(options: argparse.Namespace) -> Path:
    from simlib.checkout import repository

    return (options.folder or repository() / "_build" / "lab").resolve()
