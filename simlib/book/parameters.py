"""The dials of the notebooks: profiles, overrides, and showing in a page the values that were used."""

from __future__ import annotations

import ast
import json
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from simlib.book.notebooks import read_source, tags, write_notebook
from simlib.errors import InputError, unknown_name

# key of a profile whose values go to every notebook that declares the parameter
COMMON = "all"

Values = dict[str, Any]


def known_parameters(notebooks: Mapping[str, Path]) -> dict[str, set[str]]:
    """Return for each notebook the names that its parameters cell declares.

    Raises:
        NotebookError: a notebook has no parameters cell.
    """
    import papermill

    known = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, path in notebooks.items():
            plain = Path(folder) / f"{name}.ipynb"
            write_notebook(read_source(path), plain)
            known[name] = set(papermill.inspect_notebook(str(plain)))
    return known


def load_profile(folder: Path, profile: str) -> dict[str, Values]:
    """Return the profile's values by notebook name, ``all`` for those common to all.

    Raises:
        UnknownNameError: there is no file of that name in the folder.
        InputError: the file is not a mapping of mappings.
    """
    import yaml

    files = {path.stem: path for path in folder.glob("*.yaml")}
    if profile not in files:
        raise unknown_name("profile", profile, files)
    try:
        content = yaml.safe_load(files[profile].read_text(encoding="utf-8")) or {}
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
    import yaml

    name, equals, value = text.partition("=")
    if not equals or not name.strip():
        raise InputError(f"Parameter {text!r} must look like NAME=VALUE or NOTEBOOK.NAME=VALUE.")
    notebook, _, parameter = name.strip().rpartition(".")
    try:
        return notebook or COMMON, parameter, json.loads(value)
    except json.JSONDecodeError:
        # YAML takes words without quotes, but also a number like 5e-4 for a word
        pass
    try:
        return notebook or COMMON, parameter, yaml.safe_load(value)
    except yaml.YAMLError as error:
        raise InputError(f"The value of parameter {text!r} cannot be read: put it in quotes.") from error


def resolve(
    known: Mapping[str, set[str]],
    selected: Iterable[str],
    profile: Mapping[str, Values],
    overrides: Mapping[str, Values],
) -> dict[str, Values]:
    """Return the values that each selected notebook is run with; overrides win over the profile.

    Args:
        known: the parameters that each notebook of the book declares.
        selected: the notebooks that are about to run.
        profile: values by notebook name or ``all``.
        overrides: likewise, given by the caller.

    Raises:
        UnknownNameError: a notebook or a parameter that does not exist, with the nearest that does.
    """
    selected = list(selected)
    _check(known, profile)
    _check({name: known[name] for name in selected}, overrides)
    resolved = {}
    for name in selected:
        merged: Values = {}
        for source in (profile, overrides):
            common = {key: value for key, value in source.get(COMMON, {}).items() if key in known[name]}
            merged |= common | source.get(name, {})
        resolved[name] = merged
    return resolved


def _check(known: Mapping[str, set[str]], given: Mapping[str, Values]) -> None:
    everywhere = set().union(*known.values())
    for notebook, values in given.items():
        if notebook != COMMON and notebook not in known:
            raise unknown_name("notebook", notebook, known)
        accepted = everywhere if notebook == COMMON else known[notebook]
        for parameter in values:
            if parameter not in accepted:
                raise unknown_name("notebook parameter", parameter, accepted)


def show_values(notebook: Any, values: Values) -> None:
    """Write values into the notebook's parameters cell, in place, so that a page shows what was run.

    The comments beside the parameters stay.
    """
    for cell in notebook.cells:
        if "parameters" in tags(cell):
            cell.source = _with_values(cell.source, values)
            return


def _with_values(source: str, values: Values) -> str:
    # from the last assignment to the first, so that positions before it stay true
    lines = source.encode().splitlines(keepends=True)
    for statement in reversed(ast.parse(source).body):
        target = (
            statement.targets[0] if isinstance(statement, ast.Assign) else getattr(statement, "target", None)
        )
        value = getattr(statement, "value", None)
        if not isinstance(target, ast.Name) or target.id not in values or value is None:
            continue
        first, last = value.lineno - 1, value.end_lineno - 1
        before, after = lines[first][: value.col_offset], lines[last][value.end_col_offset :]
        lines[first : last + 1] = [before + _literal(values[target.id]).encode() + after]
    return b"".join(lines).decode()


def _literal(value: Any) -> str:
    text = repr(value)
    return '"' + text[1:-1] + '"' if isinstance(value, str) and '"' not in text else text
