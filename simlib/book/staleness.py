"""Which pages are older than the code: outputs say what has made them, and that is compared with now."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

from IPython.core.inputtransformer2 import TransformerManager

from simlib.book.notebooks import find_notebooks, read_notebook, read_source, tags, was_added
from simlib.book.parameters import (
    defaults_of,
    known_parameters,
    load_profile,
    resolve,
    written_dials,
)
from simlib.book.values import Values
from simlib.provenance import fingerprints, imports_in
from simlib.report.display import listed
from simlib.report.provenance import RUN

PUBLISHED_PROFILE = "reference"
"""The profile of the committed pages."""

_NAMED = 3
"""Modules that a reason names; more are counted."""


@dataclass(frozen=True)
class Run:
    """What a notebook says of its run: profile, dials, and a hash of each module that it reached, by name."""

    profile: str = ""
    code: Mapping[str, str] = field(default_factory=dict)
    dials: Mapping[str, Any] = field(default_factory=dict)


def run_of(notebook: Any) -> Run:
    """Return what the box at the end of a notebook says of its run; of none without such a box."""
    for cell in reversed(notebook.cells):
        for output in cell.get("outputs", []):
            told = output.get("data", {}).get(RUN)
            if isinstance(told, dict):
                profile, code, dials = (told.get(key) for key in ("profile", "code", "dials"))
                maps = (dict(each) if isinstance(each, dict) else {} for each in (code, dials))
                return Run(str(profile), *maps)
    return Run()


def why_unknown(notebook: Any, source: Any = None) -> str:
    """Say why nobody knows what a notebook's outputs were made with; empty if its cell of dials tells it.

    A cell as the ``.py`` file has it says nothing: a program may have set other values. But a cell that a
    reader has edited must say what the outputs say. Outputs of which some came later than those below them
    are of several runs, and the dials may have been turned between these.

    Raises:
        NotebookError: the cell of dials is no Python.
    """
    counts = [cell.get("execution_count") for cell in notebook.cells if cell.cell_type == "code"]
    ran_as = [count for count in counts if count is not None]
    if any(later <= sooner for sooner, later in pairwise(ran_as)):
        return "its cells were not run one after the other"
    if not edited(notebook, source):
        return ""
    ran, written = run_of(notebook).dials, defaults_of(notebook)
    other = [name for name, value in written.items() if name in ran and ran[name] != value]
    if not other:
        return ""
    return f"its cell of dials was edited, and its outputs were made with another {listed(other)}"


def edited(notebook: Any, source: Any = None) -> bool:
    """Say whether the cell of dials is another one than that of the ``.py`` file, if there is such a file."""
    return source is None or written_dials(notebook) != written_dials(source)


def why_old(notebook: Any, source: Any = None) -> str:
    """Say why the outputs of a notebook do not belong to the present code; empty if they do.

    Args:
        notebook: with outputs.
        source: the notebook that its ``.py`` file describes, if there is one. What its dials are set to does
            not count.
    """
    if source is not None and _cells(notebook) != _cells(source):
        return "its cells have changed since they ran"
    if not (recorded := run_of(notebook).code):
        return "it does not say which code has made its outputs"
    try:
        now = fingerprints({"simlib", *_imports(notebook)})
    except SyntaxError:
        return "one of its cells is no Python"
    changed = [name for name, mark in now.items() if recorded.get(name) != mark]
    if not changed:
        return ""
    more = f" and {len(changed) - _NAMED} more" if len(changed) > _NAMED else ""
    return f"{', '.join(changed[:_NAMED])}{more} {'have' if len(changed) > 1 else 'has'} changed"


def stale(folder: Path, names: Sequence[str] | None = None) -> dict[str, str]:
    """Return the committed notebooks that ``make reference`` would execute, with the reason for each.

    Args:
        folder: of the pairs.
        names: which notebooks; all of them by default.

    Raises:
        InputError, UnknownNameError, NotebookError: as :func:`simlib.book.notebooks.find_notebooks`.
    """
    reasons, published = {}, published_dials(folder)
    for name, path in find_notebooks(folder, names).items():
        committed = path.with_suffix(".ipynb")
        if not committed.is_file():
            reasons[name] = "it was never executed"
            continue
        notebook, source = read_notebook(committed), read_source(path)
        run = run_of(notebook)
        if why := why_old(notebook, source) or why_unknown(notebook, source):
            reasons[name] = why
        elif changed := other_dials(run, source, published.get(name, {})):
            reasons[name] = f"it shows a run of the profile {run.profile}, with another {listed(changed)}"
    return reasons


def published_dials(folder: Path) -> dict[str, Values]:
    """Return what the profile of the published pages sets, by notebook; nothing without such a profile."""
    profile = folder / "params" / f"{PUBLISHED_PROFILE}.yaml"
    if not profile.is_file():
        return {}
    known = known_parameters(find_notebooks(folder))
    return resolve(known, known, load_profile(profile.parent, profile.stem), {})


def other_dials(run: Run, source: Any, published: Values) -> list[str]:
    """Return the dials of a run that were not set as for the published page.

    Args:
        run: what a notebook says of its run.
        source: the notebook that its ``.py`` file describes, for what the profile leaves alone.
        published: what the profile sets, as :func:`published_dials` has it.
    """
    expected = {**defaults_of(source), **published}
    return [name for name, value in run.dials.items() if name in expected and expected[name] != value]


def _cells(notebook: Any) -> list[tuple[str, str]]:
    kept = [cell for cell in notebook.cells if not was_added(cell)]
    return [(cell.cell_type, "" if "parameters" in tags(cell) else cell.source.strip()) for cell in kept]


def _imports(notebook: Any) -> set[str]:
    """Return the modules of simlib that the cells import themselves."""
    plain = TransformerManager()
    cells = (cell.source for cell in notebook.cells if cell.cell_type == "code")
    return set().union(*(imports_in(plain.transform_cell(source)) for source in cells))
