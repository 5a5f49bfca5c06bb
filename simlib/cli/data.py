"""``simlib data``: sets of triplets, whether they are here and how they come here."""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any

from simlib.given import given_path

_PHOTOS = {
    "name": "photos",
    "here": True,
    **dict.fromkeys(("path", "triplets", "clear_winners")),
    "licence": "each photograph's own; see the datasheet in the book",
    "sha256": None,
    "problem": "",
}


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the subcommand to the parser."""
    data = commands.add_parser("data", help="list sets of triplets, or fetch BAPPS")
    data.add_argument("--json", action="store_true", help="list them for programs")
    data.set_defaults(run=_list)
    actions = data.add_subparsers(metavar="SET")
    what = "download, verify and unpack BAPPS, or check it where it is here"
    bapps = actions.add_parser("bapps", help=what)
    bapps.add_argument("--split", choices=("val", "train"), default="val", help="default: val, 1.1 GB")
    bapps.add_argument(
        "--dir", type=given_path, help="folder for the data (default: SIMLIB_DATA or the cache)"
    )
    source = bapps.add_mutually_exclusive_group()
    source.add_argument("--url", default="", help="address of the archive (default: its authors')")
    source.add_argument(
        "--archive", type=given_path, metavar="FILE", help="unpack this file, download nothing"
    )
    bapps.add_argument("--keep", action="store_true", help="keep the downloaded archive")
    bapps.set_defaults(run=_bapps)


def _list(options: argparse.Namespace) -> None:
    from simlib.triplets.bapps import SPLITS

    described = [_PHOTOS, *map(_describe_bapps, SPLITS)]
    if options.json:
        print(json.dumps(described, indent=2))
        return
    for each in described:
        lines = ["made from photographs in scikit-image, as many as are asked for"]
        if not each["here"]:
            lines = [f"absent (simlib data {each['name'].replace(' ', ' --split ')})"]
        elif each["problem"]:
            lines = [each["problem"]]
        elif each["path"]:
            counts = f"{each['triplets']:,} triplets, {each['clear_winners']:,} clear winners"
            lines = [each["path"], counts]
        for name, line in zip((each["name"], "", ""), [*lines, f"licence: {each['licence']}"], strict=False):
            print(f"{name:<12} {line}")


def _describe_bapps(split: str) -> dict[str, Any]:
    from simlib.errors import InputError
    from simlib.triplets import bapps
    from simlib.triplets.bapps_fetch import counts, read_record

    place, found, record, problem = bapps.locate(split), None, None, ""
    try:
        found = counts(bapps.read_split(place, split), split)[-1] if place else None
        record = read_record(place) if place else None
    except InputError as error:
        problem = str(error)
    return {
        "name": f"bapps {split}",
        "here": place is not None,
        "path": str(place) if place else None,
        "triplets": found.triplets if found else None,
        "clear_winners": found.clear_winners if found else None,
        "licence": bapps.LICENCE,
        "sha256": record.sha256 if record else None,
        "problem": problem,
    }


def _bapps(options: argparse.Namespace) -> None:
    from simlib.checkout import DATA_VARIABLE
    from simlib.triplets import bapps
    from simlib.triplets.bapps_fetch import fetch

    found = fetch(options.split, options.dir, url=options.url, archive=options.archive, keep=options.keep)
    form = "{:<12} {:>9} {:>10} {:>14} {:>10}".format
    print(form("folder", "triplets", "published", "clear winners", "published"))
    for count in found:
        pairs = (count.triplets, count.published_triplets, count.clear_winners, count.published_clear_winners)
        print(form(count.folder, *("unknown" if number is None else f"{number:,}" for number in pairs)))
    place = bapps.locate(options.split, options.dir)
    print(f"every file was read, in {place}")
    unlike = [count.folder for count in found if not count.as_published]
    if unlike:
        print(
            f"simlib: warning: the counts of {', '.join(unlike)} are not the published ones; "
            "results on these data cannot stand beside the paper's",
            file=sys.stderr,
        )
    if bapps.locate(options.split) != place:
        print(f"set {DATA_VARIABLE}={options.dir.resolve()} for the notebooks to find them")
