"""Pages that are older than the code: which they are, and why."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from simlib import provenance
from simlib.book import staleness
from simlib.book.notebooks import read_notebook, read_source, write_notebook
from simlib.book.staleness import run_of, stale, why_old, why_unknown
from simlib.provenance import fingerprints
from simlib.report.provenance import RUN

IMPORT = "from simlib.kernels.flow import warp"
HEAD = "# ---\n# jupyter:\n#   jupytext:\n#     formats: ipynb,py:percent\n# ---\n\n"
CELLS = '# %% [markdown]\n# # Title\n\n# %% tags=["parameters"]\nn = 1  # how many\n'


def ran(*cells: str, profile: str = "reference", n: int = 1) -> Any:
    """Return a notebook whose last cell says that the present code has run it."""
    code = fingerprints(["simlib", "simlib.kernels.flow"])
    output = new_output("display_data", data={RUN: {"profile": profile, "code": code}, "text/plain": "box"})
    dials = new_code_cell(f"n = {n}  # how many", metadata={"tags": ["parameters"]})
    codes = [new_code_cell(cell) for cell in cells]
    codes[-1].outputs = [output]
    return new_notebook(cells=[new_markdown_cell("# Title"), dials, *codes])


@pytest.fixture
def edit(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    """Give a function that changes the code of a module for this test."""

    def forget() -> None:
        for cached in (provenance._imports_of, provenance._fingerprint):
            cached.cache_clear()

    def change(module: str) -> None:
        sources = {**provenance._SOURCES, module: provenance._SOURCES[module] + b"\nEDITED = 1\n"}
        monkeypatch.setattr(provenance, "_SOURCES", sources)
        forget()

    yield change
    monkeypatch.undo()
    forget()


def test_a_page_is_old_when_code_that_it_reaches_has_changed(edit: Callable[[str], None]) -> None:
    notebook = ran("%matplotlib inline\n" + IMPORT, "1")
    assert why_old(notebook) == ""
    edit("simlib.metrics.pixel")
    assert why_old(notebook) == ""
    edit("simlib.kernels.flow")
    assert why_old(notebook) == "simlib.kernels.flow has changed"


def test_an_import_that_was_not_there_makes_it_old() -> None:
    assert why_old(ran("from simlib.kernels.images import LEVELS", "from simlib.metrics.pixel import L1"))


def test_cells_count_and_the_values_of_dials_do_not() -> None:
    notebook = ran(IMPORT, "1", n=8)
    assert why_old(notebook, ran(IMPORT, "1", n=64)) == ""
    assert why_old(notebook, ran(IMPORT, "2")) == "its cells have changed since they ran"
    # what papermill adds is no cell of the chapter
    notebook.cells.insert(2, new_code_cell("n = 8", metadata={"tags": ["injected-parameters"]}))
    assert why_old(notebook, ran(IMPORT, "1")) == ""


def test_a_notebook_that_says_nothing_is_old() -> None:
    assert "does not say which code" in why_old(new_notebook(cells=[new_code_cell(IMPORT)]))
    assert run_of(new_notebook()).profile == ""


def test_many_modules_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    marks = {f"simlib.part{k}": "" for k in range(5)}
    monkeypatch.setattr(staleness, "fingerprints", lambda _: marks)
    notebook = ran(IMPORT)
    assert why_old(notebook) == "simlib.part0, simlib.part1, simlib.part2 and 2 more have changed"


def test_a_cell_that_is_no_python_and_a_record_of_another_shape_are_old() -> None:
    notebook = ran("this is no Python", "1")
    assert why_old(notebook) == "one of its cells is no Python"
    for told in ("x", [], {"code": [1]}, {"profile": "x", "more": 1}):
        notebook.cells[-1].outputs[0]["data"][RUN] = told
        assert "does not say which code" in why_old(notebook)


@pytest.mark.parametrize(
    ("written", "why"),
    [
        ("n = 1  # how many", ""),
        ("n = 64  # how many", ""),
        ("n = 8 * 8  # how many", ""),
        ("n = 32  # how many", "another n"),
        ("n = len('12345678')  # how many", "another n"),
    ],
)
def test_a_cell_of_dials_that_a_reader_edited_must_say_what_the_outputs_say(written: str, why: str) -> None:
    """The file has n = 1, and the outputs are of 64: a program may have set that, a reader says so."""
    source, notebook = ran(IMPORT), ran(IMPORT)
    notebook.cells[-1].outputs[0]["data"][RUN]["dials"] = {"n": 64}
    notebook.cells[1].source = written
    # what these say stays when the cells run again
    notebook.metadata["simlib"] = notebook.metadata["papermill"] = {"parameters": {"n": 32}}
    found = why_unknown(notebook, source)
    assert why in found
    assert bool(why) == bool(found)


@pytest.mark.parametrize(
    ("counts", "known"),
    [
        ((1, 2, 3, 4), True),
        # what papermill has put in was taken out; all was run a second time; some were never run
        ((1, 3, 4, 5), True),
        ((24, 25, 26, 27), True),
        ((None, 2, None, 3), True),
        ((None, None, None, None), True),
        ((1, 100, 101, 4), False),
        ((100, 2, 3, 4), False),
        ((1, 2, 2, 3), False),
        ((7, None, None, 4), False),
    ],
)
def test_cells_that_ran_in_another_order_are_of_several_runs(
    counts: tuple[int | None, ...], known: bool
) -> None:
    notebook = ran(IMPORT, "1", "2")
    codes = [cell for cell in notebook.cells if cell.cell_type == "code"]
    for cell, count in zip(codes, counts, strict=True):
        cell.execution_count = count
    # the box is of the first run, and the cell of dials says the same
    notebook.cells[-1].outputs[0]["data"][RUN]["dials"] = {"n": 1}
    for source in (None, ran(IMPORT, "1", "2")):
        why = why_unknown(notebook, source)
        assert why == ("" if known else "its cells were not run one after the other")


def test_the_committed_notebooks_were_run_one_cell_after_the_other(root: Path) -> None:
    committed = sorted((root / "notebooks").glob("*.ipynb"))
    assert committed
    for path in committed:
        assert why_unknown(read_notebook(path), read_source(path.with_suffix(".py"))) == "", path


def test_the_list_names_the_committed_ones_with_the_reason(tmp_path: Path) -> None:
    for name in ("fresh", "short", "edited", "never", "turned"):
        cells = (
            f'# %% [markdown]\n# # Title\n\n# %% tags=["parameters"]\nn = 1  # how many\n\n# %%\n{IMPORT}\n'
        )
        (tmp_path / f"{name}.py").write_text(HEAD + cells)
    write_notebook(ran(IMPORT), tmp_path / "fresh.ipynb")
    short = ran(IMPORT, profile="quick")
    short.cells[-1].outputs[0]["data"][RUN]["dials"] = {"n": 2}
    write_notebook(short, tmp_path / "short.ipynb")
    write_notebook(ran(IMPORT, "1"), tmp_path / "edited.ipynb")
    turned = ran(IMPORT)
    turned.cells[-1].outputs[0]["data"][RUN]["dials"] = {"n": 4}
    write_notebook(turned, tmp_path / "turned.ipynb")
    assert stale(tmp_path) == {
        "edited": "its cells have changed since they ran",
        "never": "it was never executed",
        "short": "it shows a run of the profile quick, with another n",
        "turned": "it shows a run of the profile reference, with another n",
    }
    assert stale(tmp_path, ["fresh"]) == {}
    assert nbformat.read(tmp_path / "fresh.ipynb", 4)
