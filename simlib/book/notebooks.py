"""The book's notebooks on disk: pairs ``name.py`` and ``name.ipynb``, written whole or not at all."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jupytext
import nbformat
import yaml
from sphinx_external_toc.parsing import MalformedError, parse_toc_yaml

from simlib.errors import InputError, NotebookError, unknown_name
from simlib.files import listed, written_whole
from simlib.given import pointer_hint, read_text
from simlib.report.display import LIVE, WIDGET

# programs note there when and where each cell ran, and what widgets showed, which differs in every run
_RUN_METADATA = ("papermill", "execution", "ExecuteTime", "widgets", "trusted")
# as ipykernel names itself: another name here would be a change as soon as JupyterLab opens the file
KERNEL = {"name": "python3", "display_name": "Python 3 (ipykernel)", "language": "python"}
# what a header would say of the program that wrote it
_STABLE = {
    "notebook_metadata_filter": "-jupytext.text_representation.jupytext_version,"
    "-jupytext.text_representation.format_version,-jupytext.notebook_metadata_filter"
}
# cells that papermill adds to a notebook; they are in no .py file
_ADDED_TAGS = {"injected-parameters", "papermill-error-cell-tag"}


def find_notebooks(source: Path, names: Sequence[str] | None = None) -> dict[str, Path]:
    """Return name and ``.py`` file of some notebooks of a folder, of all without names, in the book's order.

    That is the order of ``_toc.yml`` beside the folder; notebooks that are not in it come last.

    Raises:
        InputError: the folder holds no notebook, or the table of contents cannot be read.
        UnknownNameError: a name that is no notebook's.
    """
    contents = source.parent / "_toc.yml"
    order = [Path(page).name for page in pages(contents)] if contents.is_file() else []
    files = {path.stem: path for path in listed(source, suffix=".py")}
    found = {name: files[name] for name in dict.fromkeys([*order, *files]) if name in files}
    if not found:
        raise InputError(f"No notebooks in {source}: they are files like triplets.py, in the percent format.")
    for name in names or ():
        if name not in found:
            raise unknown_name("notebook", name, found)
    return {name: path for name, path in found.items() if not names or name in names}


def pages(contents: Path) -> list[str]:
    """Return the pages that a table of contents names, in order, without suffix.

    Raises:
        InputError: the file is no text, or no table of contents.
    """
    read_text(contents)
    try:
        return list(parse_toc_yaml(contents))
    except (MalformedError, yaml.YAMLError) as error:
        raise InputError(f"{contents} cannot be read: {error}. Correct it.") from error


def read_source(path: Path) -> Any:
    """Return the notebook that a ``.py`` file describes, without outputs.

    Raises:
        InputError: the file cannot be read.
        NotebookError: it has no cell tagged ``parameters``.
    """
    notebook = jupytext.reads(read_text(path), {"extension": path.suffix})
    if not any("parameters" in tags(cell) for cell in notebook.cells):
        raise NotebookError(
            f'{path} has no parameters cell. Give the cell with its dials the tag: # %% tags=["parameters"]'
        )
    notebook.metadata["kernelspec"] = dict(KERNEL)
    for cell, name in zip(notebook.cells, _ids(notebook), strict=True):
        cell["id"] = name
    return notebook


def text_of(notebook: Any, path: Path) -> str:
    """Return the cells of a notebook as its ``.py`` file holds them, under the header that is there.

    Raises:
        NotebookError: the notebook is no chapter: it has no title, no cell tagged ``parameters``, or a text
            that would be other cells when it is read again.
    """
    if not any("parameters" in tags(cell) for cell in notebook.cells):
        raise NotebookError(f"The notebook for {path} has no cell tagged parameters. Give it the tag back.")
    if notebook.cells[0].cell_type != "markdown":
        raise NotebookError(f"The notebook for {path} does not begin with its title. Give it back.")
    plain: Any = nbformat.from_dict({**notebook, "metadata": jupytext.read(path).metadata})
    for cell in plain.cells:
        cell.metadata = {key: cell.metadata[key] for key in ("mystnb", "tags") if cell.metadata.get(key)}
    text = jupytext.writes(plain, fmt={"extension": ".py", "format_name": "percent", **_STABLE})
    again = jupytext.reads(text, fmt="py:percent")
    cells, read = ([(cell.cell_type, cell.source) for cell in each.cells] for each in (plain, again))
    if cells != read:
        raise NotebookError(
            f"The notebook for {path} would be read as other cells. Look for lines that begin with '# %%'."
        )
    return text


def same_cells(notebook: Any, other: Any) -> bool:
    """Say whether two notebooks hold the same texts, whatever their cells have put out."""
    return [cell.source for cell in notebook.cells] == [cell.source for cell in other.cells]


def title_of(notebook: Any) -> str:
    """Return the title of a chapter, its first heading."""
    return str(notebook.cells[0].source).partition("\n")[0].removeprefix("# ")


def _is_passing(output: Any) -> bool:
    """Say whether an output is a bar, or lives as long as its kernel only."""
    bar = output.get("name") == "stderr" and "\r" in output.get("text", "")
    return bar or LIVE in output.get("data", {})


def _ids(notebook: Any) -> list[str]:
    """Return an id for each cell that depends on its text, and not on what stands around it."""
    marks = [
        hashlib.sha256(f"{cell.cell_type} {cell.source}".encode()).hexdigest()[:8] for cell in notebook.cells
    ]
    return [f"{mark}-{marks[:place].count(mark)}" for place, mark in enumerate(marks)]


def read_notebook(path: Path) -> Any:
    """Return the notebook in an ``.ipynb`` file.

    Raises:
        NotebookError: the file holds no notebook, such as one with the marks of a merge, or a pointer to one.
    """
    try:
        return nbformat.read(path, as_version=4)
    except (ValueError, AttributeError, nbformat.ValidationError, nbformat.reader.NotJSONError) as error:
        reason = str(error).strip().splitlines()[0][:200]
        told = pointer_hint(path) or f"{reason}. Correct it, or make it anew."
        raise NotebookError(f"{path} is no notebook: {told}") from error


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


def place_of(cell: Any, number: int) -> str:
    """Name a cell in a message: its number, from 1, in the chapter, and its first line."""
    return f"cell {number} ({cell.source.strip().partition(chr(10))[0]})"


def was_added(cell: Any) -> bool:
    """Say whether papermill added this cell to the notebook."""
    return not _ADDED_TAGS.isdisjoint(tags(cell))


def strip_run(notebook: Any) -> None:
    """Take out, in place, what programs add: cells of papermill, paths, times, bars, widgets of a kernel."""
    notebook.cells = [cell for cell in notebook.cells if not was_added(cell)]
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = [output for output in cell.outputs if not _is_passing(output)]
            for data in (output.get("data", {}) for output in cell.outputs):
                if data.keys() - {WIDGET, "text/plain"}:
                    data.pop(WIDGET, None)
    for holder in (notebook, *notebook.cells):
        for key in _RUN_METADATA:
            holder.metadata.pop(key, None)
