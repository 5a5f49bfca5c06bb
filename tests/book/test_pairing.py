"""The committed notebooks: .py and .ipynb say the same, outputs are there and name no machine."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path

import jupytext
import pytest
import yaml

from simlib.book.notebooks import find_notebooks, read_notebook, tags
from simlib.book.parameters import known_parameters, load_profile, resolve
from simlib.book.stage import TEASER_FILE, pages, picture
from tests.conftest import ROOT

NAMES = sorted(path.stem for path in (ROOT / "notebooks").glob("*.py"))
# an absolute path of a home, a temporary or a working folder, or one of Windows
MACHINE_PATH = re.compile(
    r"(?<![\w.:/])(/(home|root|tmp|Users|work|mnt|var|opt|usr)/[\w.-]+|[A-Z]:\\\\Users)"
)


def test_there_are_notebooks_and_the_contents_name_them(root: Path) -> None:
    named = [
        page.removeprefix("notebooks/") for page in pages(root / "_toc.yml") if page.startswith("notebooks/")
    ]
    assert NAMES
    assert sorted(named) == NAMES == list(find_notebooks(root / "notebooks"))


@pytest.mark.parametrize("name", NAMES)
def test_both_files_of_a_pair_hold_the_same_cells(name: str, root: Path) -> None:
    text = jupytext.read(root / "notebooks" / f"{name}.py")
    notebook = read_notebook(root / "notebooks" / f"{name}.ipynb")
    assert [(cell.cell_type, cell.source, tags(cell)) for cell in notebook.cells] == [
        (cell.cell_type, cell.source, tags(cell)) for cell in text.cells
    ]
    assert (
        text.metadata["jupytext"]["formats"] == notebook.metadata["jupytext"]["formats"] == "ipynb,py:percent"
    )


@pytest.mark.parametrize("name", NAMES)
def test_outputs_are_there_and_name_no_machine(name: str, root: Path) -> None:
    notebook = read_notebook(root / "notebooks" / f"{name}.ipynb")
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    assert outputs
    assert not [output for output in outputs if output.output_type == "error"]
    for output in outputs:
        found = MACHINE_PATH.search(json.dumps(_texts(output)))
        assert found is None, found
    assert found_in_metadata(notebook) is None
    assert notebook.metadata["simlib"]["profile"] == "reference"


@pytest.mark.parametrize("name", NAMES)
def test_every_parameter_has_a_comment(name: str, root: Path) -> None:
    text = jupytext.read(root / "notebooks" / f"{name}.py")
    cells = [cell for cell in text.cells if "parameters" in tags(cell)]
    assert len(cells) == 1
    source = cells[0].source
    statements = [statement for statement in ast.parse(source).body if isinstance(statement, ast.Assign)]
    assert statements
    for statement in statements:
        assert "#" in source.splitlines()[(statement.end_lineno or 0) - 1]


@pytest.mark.parametrize("profile", ["smoke", "quick", "reference"])
def test_profiles_name_parameters_that_exist(profile: str, root: Path) -> None:
    known = known_parameters(find_notebooks(root / "notebooks"))
    resolve(known, known, load_profile(root / "notebooks" / "params", profile), {})


def test_the_teaser_is_the_one_of_the_committed_run(root: Path) -> None:
    drawn = [picture(read_notebook(root / "notebooks" / f"{name}.ipynb")) for name in NAMES]
    assert [one for one in drawn if one] == [(root / TEASER_FILE).read_bytes()]


def test_citations_name_entries_of_the_bibliography(root: Path) -> None:
    entries = set(
        re.findall(r"^@\w+\{([\w]+),", (root / "book" / "references.bib").read_text(), re.MULTILINE)
    )
    texts = [path.read_text() for folder in ("book/*.md", "notebooks/*.py") for path in root.glob(folder)]
    cited = {
        key.strip()
        for text in texts
        for keys in re.findall(r"\{cite:?\w*\}`([^`]+)`", text)
        for key in keys.split(",")
    }
    assert cited <= entries


def found_in_metadata(notebook: dict) -> re.Match[str] | None:
    """Return the first absolute path in the metadata of a notebook or its cells."""
    holders = [notebook["metadata"], *(cell["metadata"] for cell in notebook["cells"])]
    return MACHINE_PATH.search(json.dumps(holders))


def _texts(output: dict) -> list:
    # base64 of pictures and the numbers of figures hold slashes that are no paths
    data = output.get("data", {})
    return [output.get("text", ""), *(value for key, value in data.items() if key.startswith("text/"))]


def test_configuration_executes_nothing(root: Path) -> None:
    configuration = yaml.safe_load((root / "_config.yml").read_text())
    assert configuration["execute"]["execute_notebooks"] == "off"
    assert configuration["only_build_toc_files"] is True
    assert "suppress_warnings" not in configuration["sphinx"]["config"]
