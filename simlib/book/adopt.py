"""Adoption of a run as the published one: its outputs go into the committed notebooks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from simlib.book.notebooks import (
    find_notebooks,
    read_notebook,
    read_source,
    same_cells,
    strip_run,
    write_notebook,
)
from simlib.book.run import run_notebooks
from simlib.book.stage import TEASER_FILE, picture
from simlib.book.staleness import PUBLISHED_PROFILE, stale, why_unknown
from simlib.checkout import repository
from simlib.errors import NotebookError
from simlib.files import written_whole
from simlib.given import given_path


def adopt(executed: Path | str, names: Sequence[str] | None = None, root: Path | None = None) -> list[Path]:
    """Put the outputs of executed notebooks into the committed pairs; return the files written.

    All are checked before the first is written. Each ``.ipynb`` keeps the cells of its ``.py`` file.

    Args:
        executed: the folder that ``simlib notebooks`` wrote.
        names: of the notebooks; all of the book by default.
        root: the book's repository, found from the working directory by default.

    Raises:
        NotebookError: a notebook is absent there, or its ``.py`` file has changed since it ran.
        OutputError: a file cannot be written.
    """
    root = root or repository()
    adopted = {}
    for name, path in find_notebooks(root / "notebooks", names).items():
        ran = given_path(executed) / f"{name}.ipynb"
        if not ran.is_file():
            raise NotebookError(
                f"No executed notebook {ran}. Run first: simlib notebooks --profile reference"
            )
        notebook, source = read_notebook(ran), read_source(path)
        strip_run(notebook)
        if not any(cell.get("outputs") for cell in notebook.cells):
            raise NotebookError(f"{ran} has no outputs. Run it first: simlib notebooks {name}")
        if not same_cells(notebook, source):
            raise NotebookError(f"{path} has changed since {ran} ran. Run it again, then adopt.")
        if why := why_unknown(notebook, source):
            raise NotebookError(f"{ran} cannot be adopted: {why}. Run it again, then adopt.")
        # the .py file says how the pair belongs together
        notebook.metadata["jupytext"] = source.metadata.get("jupytext", {})
        notebook.metadata["kernelspec"] = source.metadata["kernelspec"]
        adopted[path.with_suffix(".ipynb")] = notebook
    for path, notebook in adopted.items():
        write_notebook(notebook, path)
    drawn = next(filter(None, map(picture, adopted.values())), None)
    if drawn is None:
        return [*adopted]
    with written_whole(root / TEASER_FILE) as temporary:
        temporary.write_bytes(drawn)
    return [*adopted, root / TEASER_FILE]


def refresh(root: Path | None = None) -> list[Path]:
    """Execute the notebooks whose committed outputs are old, and adopt them; return the files written.

    Raises:
        NotebookError: notebooks raised; nothing is adopted then.
        OutputError: a file cannot be written.
    """
    root = root or repository()
    names = list(stale(root / "notebooks"))
    if not names:
        return []
    executed = root / "_build" / "notebooks" / PUBLISHED_PROFILE
    run_notebooks(names, PUBLISHED_PROFILE, executed, source=root / "notebooks")
    return adopt(executed, names, root)
