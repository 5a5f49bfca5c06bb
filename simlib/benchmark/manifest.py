"""The manifest of a store: what the folder is, and of which format."""

from __future__ import annotations

import json
from pathlib import Path

from simlib import __version__
from simlib.errors import InputError
from simlib.files import written_whole

FORMAT = 1
"""Rises whenever a store that was written before would be read wrongly, as when a column changes."""

_NAME = "manifest.json"
_ABOUT = (
    "Results of simlib. rows/*.parquet has a row for each attack, source metric, target metric and triplet; "
    "simlib/benchmark/rows.py explains the columns. runs/*.json tells which rows belong to a plan."
)


def ensure_manifest(folder: Path) -> None:
    """Make a folder that holds nothing a store; leave a store as it is.

    Raises:
        InputError: the folder holds something else, or cannot be read.
        OutputError: it cannot be written.
    """
    try:
        others = [path.name for path in folder.iterdir() if path.name != _NAME and path.suffix != ".part"]
    except OSError as error:
        raise InputError(f"The folder {folder} cannot be read: {error}. Correct that first.") from error
    # Looked for last: another process may just be making the store, and writes this file first.
    if (folder / _NAME).exists():
        return
    if others:
        raise InputError(
            f"{folder} is no store of simlib and holds {min(others)}. Give an empty folder, or a new one."
        )
    with written_whole(folder / _NAME) as temporary:
        content = {"format": FORMAT, "simlib": __version__, "about": _ABOUT}
        temporary.write_text(json.dumps(content, indent=1) + "\n", "utf-8")


def validate_manifest(folder: Path) -> None:
    """Refuse a folder that is no store, or one of another format.

    Raises:
        InputError: it is.
    """
    path = folder / _NAME
    try:
        content = json.loads(path.read_text("utf-8"))
    except (FileNotFoundError, NotADirectoryError) as error:
        raise InputError(
            f"There is no store in {folder}. Make one: simlib run PLAN --store {folder}"
        ) from error
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error}. Correct that first.") from error
    except ValueError:
        content = None
    if not isinstance(content, dict) or "format" not in content:
        raise InputError(
            f"{path} is damaged: it names no format. Restore it from a copy, or give another folder."
        )
    if content["format"] != FORMAT:
        raise InputError(
            f"The store {folder} has format {content['format']}; this is simlib {__version__}, which reads "
            f"format {FORMAT}. Use simlib {content.get('simlib')}, or give another folder."
        )
