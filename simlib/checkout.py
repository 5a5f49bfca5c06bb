"""The checkout of the book, and the environment variables by which its parts find each other."""

from __future__ import annotations

from pathlib import Path

from simlib.errors import InputError

WEIGHTS_VARIABLE = "SIMLIB_WEIGHTS"
"""Names the folder of pretrained weights."""

DATA_VARIABLE = "SIMLIB_DATA"
"""Names the folder of sets of triplets."""

PROFILE_VARIABLE = "SIMLIB_PROFILE"
"""Names the profile to a notebook that is executed."""

RESULTS_VARIABLE = "SIMLIB_RESULTS"
"""Names the folder that chapters write results of a benchmark into; "results" where one works, without it."""


def repository(start: Path | None = None) -> Path:
    """Return the folder of the book: the one that holds ``_toc.yml`` and ``notebooks/``.

    Args:
        start: where to look first; upwards from here, then beside the installed package.

    Raises:
        InputError: neither place belongs to a checkout of the book.
    """
    here = (start or Path.cwd()).resolve()
    for folder in (here, *here.parents, *Path(__file__).resolve().parents):
        if (folder / "_toc.yml").is_file() and (folder / "notebooks").is_dir():
            return folder
    raise InputError(
        f"No book found in {here} or above it (a folder with _toc.yml and notebooks/). "
        "Run this command inside a clone of the book's repository."
    )
