"""The dials of the notebooks: profiles, overrides, and showing in a page the values that were used."""

from __future__ import annotations

import ast
import contextlib
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from simlib.book.notebooks import read_source, tags
from simlib.errors import InputError, unknown_name
from simlib.files import listed
from simlib.given import read_text

# the key of a profile under which stand the values for every notebook that has the parameter
COMMON = "all"

Values = dict[str, Any]


def known_parameters(notebooks: Mapping[str, Path]) -> dict[str, set[str]]:
    """Return for each notebook the names that its parameters cell assigns.

    Raises:
        NotebookError: a notebook has no parameters cell.
    """
    return {
        name: {parameter for parameter, _ in _assigned(_parameters_cell(read_source(path)).source)}
        for name, path in notebooks.items()
    }


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


def parse_override(text: str) -> tuple[str, str, Any]:
    """Return notebook (``all`` when none is named), parameter and value of ``[NOTEBOOK.]NAME=VALUE``.

    Raises:
        InputError: the text has no ``=``, or its value is neither JSON nor YAML.
    """
    name, equals, value = text.partition("=")
    if not equals or not name.strip():
        raise InputError(f"Parameter {text!r} must look like NAME=VALUE or NOTEBOOK.NAME=VALUE.")
    notebook, _, parameter = name.strip().rpartition(".")
    # YAML takes words without quotes, but also a number like 5e-4 for a word
    for read in (json.loads, yaml.safe_load):
        with contextlib.suppress(json.JSONDecodeError, yaml.YAMLError):
            return notebook or COMMON, parameter, read(value)
    raise InputError(f"The value of parameter {text!r} cannot be read: put it in quotes.")


def resolve(
    known: Mapping[str, set[str]],
    selected: Iterable[str],
    profile: Mapping[str, Values],
    overrides: Mapping[str, Values],
) -> dict[str, Values]:
    """Return the values that each selected notebook is run with.

    Args:
        known: the parameters that each notebook of the book declares.
        selected: the notebooks that are about to run.
        profile: values by notebook name or ``all``.
        overrides: likewise; they win over the profile.

    Raises:
        UnknownNameError: a notebook or a parameter that does not exist, with the nearest that does.
    """
    selected = list(selected)
    _check(known, profile)
    _check({name: known[name] for name in selected}, overrides)
    resolved = {}
    for name in selected:
        given: Values = {}
        for source in (profile, overrides):
            given |= {**source.get(COMMON, {}), **source.get(name, {})}
        resolved[name] = {key: value for key, value in given.items() if key in known[name]}
    return resolved


def _check(known: Mapping[str, set[str]], given: Mapping[str, Values]) -> None:
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
    """
    if (cell := _parameters_cell(notebook)) is None:
        return
    # from the last assignment to the first, so that positions before it stay true
    lines = cell.source.encode().splitlines(keepends=True)
    for name, value in reversed(list(_assigned(cell.source))):
        if name in values and not _says(value, values[name]):
            first, last = value.lineno - 1, (value.end_lineno or value.lineno) - 1
            before, after = lines[first][: value.col_offset], lines[last][value.end_col_offset :]
            lines[first : last + 1] = [before + _literal(values[name]).encode() + after]
    cell.source = b"".join(lines).decode()


def defaults_of(notebook: Any) -> Values:
    """Return what the notebook's parameters cell assigns, by name."""
    cell = _parameters_cell(notebook)
    values: Values = {}
    exec(cell.source if cell else "", values)
    values.pop("__builtins__", None)
    return values


def _says(written: ast.expr, value: Any) -> bool:
    """Say whether an expression is that value already, in words of its own."""
    try:
        return bool(ast.literal_eval(written) == value)
    except ValueError:
        return False


def _parameters_cell(notebook: Any) -> Any:
    return next((cell for cell in notebook.cells if "parameters" in tags(cell)), None)


def _assigned(source: str) -> Iterator[tuple[str, ast.expr]]:
    """Give name and value of each assignment, such as ``n = 8`` and ``label: str = "a"``, in order."""
    for statement in ast.parse(source).body:
        match statement:
            case ast.Assign([ast.Name(name)], value) | ast.AnnAssign(ast.Name(name), _, ast.expr() as value):
                yield name, value


def _literal(value: Any) -> str:
    text = repr(value)
    return '"' + text[1:-1] + '"' if isinstance(value, str) and '"' not in text else text
