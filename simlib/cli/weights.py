"""``simlib weights``: pretrained networks, where they lie and how they come here."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from simlib.given import given_path


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the subcommand to the parser."""
    weights = commands.add_parser("weights", help="list, fetch or verify pretrained weights")
    weights.add_argument("--json", action="store_true", help="list all that is known, for programs")
    weights.add_argument("--dir", type=given_path, help="folder to look in")
    weights.set_defaults(run=_list)
    actions = weights.add_subparsers(metavar="ACTION")
    folder = "folder that holds them (default: SIMLIB_WEIGHTS, then torch hub's cache)"

    listing = actions.add_parser("list", help="say which are here and what is known of them (the default)")
    fetching = actions.add_parser("fetch", help="download weights and check their SHA-256")
    verifying = actions.add_parser("verify", help="check the SHA-256 of the weights that are here")
    # Left out, these must not undo what stood before the name of the action.
    listing.add_argument("--json", action="store_true", default=argparse.SUPPRESS, help="for programs")
    fetching.add_argument("names", nargs="+", metavar="NAME", help="of `simlib weights list`, or `all`")
    verifying.add_argument("names", nargs="*", metavar="NAME", help="which (default: all that are here)")
    for action, run in ((listing, _list), (fetching, _fetch), (verifying, _verify)):
        action.add_argument("--dir", type=given_path, default=argparse.SUPPRESS, help=folder)
        action.set_defaults(run=run)


def _list(options: argparse.Namespace) -> None:
    from simlib.metrics.weights import WEIGHTS
    from simlib.report.tables import Table

    entries = [_entry(name, options.dir) for name in sorted(WEIGHTS)]
    if options.json:
        print(json.dumps(entries, indent=2))
        return
    header = ("name", "size", "SHA-256", "where", "needed by", "licence")
    print(Table(header, tuple(map(_cells, entries))))
    print(
        "SHA-256: its first digits; (seen): none is published, that of the first download is recorded and "
        "checked; none: nothing is published or recorded. Keys and shapes are always checked."
    )


def _entry(name: str, folder: Path | None) -> dict[str, Any]:
    """Collect what is known of the named weights."""
    from simlib.metrics import specs
    from simlib.metrics.weights import expected_digest, locate, weights_file

    file, path = weights_file(name), locate(name, folder)
    file_name = path.name if path else next(iter(file.digests))
    return {
        "name": name,
        "title": file.title,
        "file": file_name,
        "size": path.stat().st_size if path else file.size,
        "sha256": (expected_digest(file, path) if path else file.digests[file_name]) or None,
        "sha256_published": bool(file.digests[file_name]),
        "licence": file.licence,
        "url": file.url or None,
        "package": file.package.partition("/")[0] or None,
        "path": str(path) if path else None,
        "metrics": [spec.name for spec in specs() if name in spec.weights],
    }


def _cells(entry: dict[str, Any]) -> tuple[str, ...]:
    seen = "" if entry["sha256_published"] else " (seen)"
    return (
        entry["name"],
        f"{entry['size'] / 1e6:.1f} MB" if entry["size"] else "unknown",
        f"{entry['sha256'][:8]}{seen}" if entry["sha256"] else "none",
        entry["path"] or f"absent: simlib weights fetch {entry['name']}",
        ", ".join(entry["metrics"]) or "-",
        entry["licence"],
    )


def _fetch(options: argparse.Namespace) -> None:
    from simlib.metrics.weights import WEIGHTS, fetch

    names = sorted(WEIGHTS) if "all" in options.names else options.names
    _each(names, lambda name: str(fetch(name, options.dir)))


def _verify(options: argparse.Namespace) -> None:
    from simlib.errors import AbsentWeightsError
    from simlib.metrics.weights import WEIGHTS, expected_digest, locate, verified, weights_file

    def verify(name: str) -> str:
        file, path = weights_file(name), locate(name, options.dir)
        if path is None:
            raise AbsentWeightsError(f"{name} is not here. Run `simlib weights fetch {name}`.")
        verified(file, path)
        known = "SHA-256 is right" if expected_digest(file, path) else "no SHA-256 is published or recorded"
        return f"{name}: {known}, {path}"

    _each(options.names or [name for name in sorted(WEIGHTS) if locate(name, options.dir)], verify)


def _each(names: Iterable[str], act: Callable[[str], str]) -> None:
    """Act on each of several weights and print the result; errors are raised together at the end."""
    from simlib.errors import SimlibError, WeightsError

    failures: list[SimlibError] = []
    for name in names:
        try:
            print(act(name), flush=True)
        except SimlibError as error:
            failures.append(error)
    if len(failures) == 1:
        raise failures[0]
    if failures:
        raise WeightsError(f"{len(failures)} failed.\n" + "\n".join(map(str, failures)))
