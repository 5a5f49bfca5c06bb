"""The book's notebooks on disk: pairs ``NN-name.py`` and ``NN-name.ipynb``, written whole or not at all."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jupytext
import nbformat

from simlib.errors import InputError, NotebookError, unknown_name
from simlib.files import written_whole
from simlib.provenance import code_hash, imports_in

# papermill and nbclient note there when and where each cell ran, which differs in every run
_RUN_METADATA = ("papermill", "execution")
# cells that papermill adds to a notebook; they are in no .py file
_ADDED_TAGS = {"injected-parameters", "papermill-error-cell-tag"}


def find_notebooks(source: Path, names: Sequence[str] | None = None) -> dict[str, Path]:
    """Return name and ``.py`` file of some notebooks of a folder, of all without names, in the book's order.

    Raises:
        InputError: the folder holds no notebook.
        UnknownNameError: a name that is no notebook's.
    """
    found = {path.stem: path for path in sorted(source.glob("[0-9][0-9]-*.py"))}
    if not found:
        raise InputError(f"No notebooks in {source}: their names look like 01-name.py.")
    for name in names or ():
        if name not in found:
            raise unknown_name("notebook", name, found)
    return {name: path for name, path in found.items() if not names or name in names}


def read_source(path: Path) -> Any:
    """Return the notebook that a ``.py`` file describes, without outputs.

    Raises:
        NotebookError: the file has no cell tagged ``parameters``.
    """
    notebook = jupytext.read(path)
    if not any("parameters" in tags(cell) for cell in notebook.cells):
        raise NotebookError(
            f'{path} has no parameters cell. Give the cell with its dials the tag: # %% tags=["parameters"]'
        )
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    return notebook


def read_notebook(path: Path) -> Any:
    """Return the notebook in an ``.ipynb`` file."""
    return nbformat.read(path, as_version=4)


def write_notebook(notebook: Any, path: Path) -> None:
    """Write a notebook, whole or not at all.

    Raises:
        OutputError: the file cannot be written.
    """
    with written_whole(path) as temporary:
        temporary.write_text(nbformat.writes(notebook) + "\n", encoding="utf-8")


def tags(cell: Any) -> list[str]:
    """Return the tags of a cell."""
    return list(cell.get("metadata", {}).get("tags", []))


def was_added(cell: Any) -> bool:
    """Say whether papermill added this cell to the notebook."""
    return not _ADDED_TAGS.isdisjoint(tags(cell))


def strip_run(notebook: Any) -> None:
    """Take out, in place, what papermill adds: its cells, and the metadata with paths and times."""
    notebook.cells = [cell for cell in notebook.cells if not was_added(cell)]
    for holder in (notebook, *notebook.cells):
        for key in _RUN_METADATA:
            holder.metadata.pop(key, None)


def notebook_hash(notebook: Any) -> str:
    """Return the SHA-256 of what the outputs of a notebook came from.

    It covers the cells, and the code of simlib that their imports reach.
    """
    cells = [(cell.cell_type, cell.source) for cell in notebook.cells if not was_added(cell)]
    try:
        imports = imports_in("\n".join(source for kind, source in cells if kind == "code"))
        code = code_hash("simlib", *imports)
    except SyntaxError:
        # a cell with a command of IPython is no Python; it may import anything
        code = code_hash()
    return hashlib.sha256(json.dumps([code, cells]).encode()).hexdigest()
