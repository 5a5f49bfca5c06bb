"""The dials of the notebooks: profiles, overrides, and showing in a page the values that were used."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml
from IPython.core.inputtransformer2 import TransformerManager

from simlib.book.notebooks import place_of, read_source, tags
from simlib.book.values import Values, Written, constant, from_here
from simlib.errors import InputError, NotebookError, unknown_name
from simlib.files import listed
from simlib.given import read_text

# the key of a profile under which stand the values for every notebook that has the parameter
COMMON = "all"


def known_parameters(notebooks: Mapping[str, Path]) -> dict[str, Values]:
    """Return for each notebook what its parameters cell assigns, as :func:`defaults_of` does.

    Raises:
        NotebookError: a notebook has no parameters cell, or one that is no Python.
    """
    return {name: defaults_of(read_source(path), path) for name, path in notebooks.items()}


def load_profile(folder: Path, profile: str) -> dict[str, Values]:
    """Return the profile's values by notebook name, ``all`` for those common to all.

    Raises:
        UnknownNameError: there is no file of that name in the folder.
        InputError: the file cannot be read, or is not a mapping of mappings.
    """
    files = {path.stem: path for path in listed(folder, suffix=".yaml")}
    if profile not in files:
        raise unknown_name("profile", profile, files)
    try:
        content = yaml.safe_load(read_text(files[profile])) or {}
    except yaml.YAMLError as error:
        raise InputError(f"{files[profile]} is not valid YAML: {error}") from error
    if not isinstance(content, dict) or not all(isinstance(part or {}, dict) for part in content.values()):
        raise InputError(f"{files[profile]} must map notebook names (or 'all') to parameter: value.")
    return {str(name): dict(part or {}) for name, part in content.items()}


def parse_override(text: str) -> tuple[str, str, Written]:
    """Return notebook (``all`` when none is named), parameter and value of ``[NOTEBOOK.]NAME=VALUE``.

    Raises:
        InputError: the text has no ``=``.
    """
    name, equals, value = text.partition("=")
    if not equals or not name.strip():
        raise InputError(f"Parameter {text!r} must look like NAME=VALUE or NOTEBOOK.NAME=VALUE.")
    notebook, _, parameter = name.strip().rpartition(".")
    return notebook or COMMON, parameter, Written(value.strip())


def resolve(
    known: Mapping[str, Values],
    selected: Iterable[str],
    profile: Mapping[str, Values],
    overrides: Mapping[str, Values],
) -> dict[str, Values]:
    """Return the values that each selected notebook is run with.

    Args:
        known: the parameters that each notebook of the book declares, with their defaults.
        selected: the notebooks that are about to run.
        profile: values by notebook name or ``all``.
        overrides: likewise; they win over the profile. One that is :class:`~simlib.book.values.Written` is
            read as its default is; a relative path is meant from the working directory.

    Raises:
        UnknownNameError: a notebook or a parameter that does not exist, with the nearest that does.
        InputError: a written value that is none for its parameter.
    """
    selected = list(selected)
    _check(known, profile)
    _check({name: known[name] for name in selected}, overrides)
    resolved = {}
    for name in selected:
        declared, (given, set_here) = known[name], (_for(name, each) for each in (profile, overrides))
        for key, value in set_here.items():
            if key in declared:
                read = value.read(f"{name}.{key}", declared[key]) if isinstance(value, Written) else value
                given[key] = from_here(key, read)
        resolved[name] = {key: value for key, value in given.items() if key in declared}
    return resolved


def _for(name: str, source: Mapping[str, Values]) -> Values:
    return {**source.get(COMMON, {}), **source.get(name, {})}


def _check(known: Mapping[str, Values], given: Mapping[str, Values]) -> None:
    for notebook, values in given.items():
        if notebook != COMMON and notebook not in known:
            raise unknown_name("notebook", notebook, known)
        accepted = set().union(*known.values()) if notebook == COMMON else known[notebook]
        for parameter in values:
            if parameter not in accepted:
                raise unknown_name("notebook parameter", parameter, accepted)


def show_values(notebook: Any, values: Values) -> None:
    """Write values into the notebook's parameters cell, in place, so that a page shows what was run.

    The comments beside the parameters stay.

    Raises:
        NotebookError: the cell is no Python.
    """
    if (cell := _parameters_cell(notebook)) is None:
        return
    # from the last assignment to the first, so that positions before it stay true
    lines = cell.source.encode().splitlines(keepends=True)
    for name, value in reversed(_assigned(notebook)):
        if name in values and constant(value) != values[name]:
            first, last = value.lineno - 1, (value.end_lineno or value.lineno) - 1
            before, after = lines[first][: value.col_offset], lines[last][value.end_col_offset :]
            lines[first : last + 1] = [before + _literal(values[name]).encode() + after]
    cell.source = b"".join(lines).decode()


def defaults_of(notebook: Any, path: Path | None = None) -> Values:
    """Return what the notebook's parameters cell assigns, by name; None for what is no constant.

    Raises:
        NotebookError: the cell is no Python. It names the file of the notebook, if it is given here.
    """
    return {name: constant(value) for name, value in _assigned(notebook, path)}


def written_dials(notebook: Any) -> str:
    """Return the text of the notebook's parameters cell; empty without one."""
    cell = _parameters_cell(notebook)
    return cell.source.strip() if cell else ""


def _parameters_cell(notebook: Any) -> Any:
    return next((cell for cell in notebook.cells if "parameters" in tags(cell)), None)


def _assigned(notebook: Any, path: Path | None = None) -> list[tuple[str, ast.expr]]:
    """List name and value of each assignment of dials, such as ``n = 8`` and ``label: str = "a"``."""
    if (cell := _parameters_cell(notebook)) is None:
        return []
    found = []
    try:
        statements = ast.parse(_without_magics(cell.source)).body
    except SyntaxError as error:
        place = place_of(cell, notebook.cells.index(cell) + 1)
        raise NotebookError(
            f"{path or 'A notebook'} has dials that are no Python: {place}, line {error.lineno}: "
            f"{error.msg}. Correct the cell."
        ) from error
    for statement in statements:
        match statement:
            case ast.Assign([ast.Name(name)], value) | ast.AnnAssign(ast.Name(name), _, ast.expr() as value):
                found.append((name, value))
    return found


def _without_magics(source: str) -> str:
    """Return a cell as Python, line by line: what follows from it is true of the places in the cell, too."""
    plain = TransformerManager()
    # These would take lines away, or make one call of the whole cell.
    plain.cleanup_transforms, plain.line_transforms = [], []
    python = plain.transform_cell(source)
    if len(python.splitlines()) != len(source.splitlines()):
        raise SyntaxError("a magic of several lines", ("", 1, None, None))
    return python


def _literal(value: Any) -> str:
    text = repr(value)
    return '"' + text[1:-1] + '"' if isinstance(value, str) and '"' not in text else text
