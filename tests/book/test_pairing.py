"""The committed notebooks: .py and .ipynb say the same, outputs are there and name no machine."""

from __future__ import annotations

import ast
import json
import re
import tomllib
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jupytext
import pytest
import yaml

from simlib.book import notebooks
from simlib.book.dials import RULES
from simlib.book.notebooks import find_notebooks, pages, read_notebook, read_source, tags
from simlib.book.parameters import known_parameters, load_profile, resolve
from simlib.book.stage import TEASER_FILE, picture
from simlib.book.staleness import run_of
from simlib.errors import InputError, UnknownNameError
from simlib.report.display import PLOTLY
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
    assert sorted(named) == NAMES
    assert named == list(find_notebooks(root / "notebooks"))


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
    assert run_of(notebook).code
    assert run_of(notebook).profile == notebook.metadata["simlib"]["profile"]


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


# The form of a chapter


def source_of(name: str) -> Any:
    return read_source(ROOT / "notebooks" / f"{name}.py")


def code_of(name: str) -> list[Any]:
    return [cell for cell in source_of(name).cells if cell.cell_type == "code"]


@pytest.mark.parametrize("name", NAMES)
def test_a_chapter_is_set_up_in_one_cell_after_its_dials_and_ends_with_its_box(name: str) -> None:
    dials, set_up, *_, last = code_of(name)
    assert "parameters" in tags(dials)
    assert re.search(r"chapter = (Benchmark)?Chapter\(globals\(\)", set_up.source)
    assert len(set_up.source.splitlines()) < 10
    assert "chapter.provenance(" in last.source


@pytest.mark.parametrize("name", NAMES)
def test_every_dial_has_a_rule(name: str) -> None:
    notebooks = find_notebooks(ROOT / "notebooks", [name])
    assert known_parameters(notebooks)[name].keys() <= RULES.keys()


@pytest.mark.parametrize("name", NAMES)
def test_the_name_of_a_dial_is_kept_for_it(name: str) -> None:
    """Readers run the cell that sets a chapter up again, after all others, and it checks all these names."""
    cells = code_of(name)[1:]
    stored = {
        node.id
        for cell in cells
        for statement in ast.parse(cell.source).body
        if not isinstance(statement, ast.FunctionDef | ast.ClassDef)
        for node in _outside_comprehensions(statement)
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
    }
    assert stored & RULES.keys() == set()


def _outside_comprehensions(node: ast.AST) -> Iterator[ast.AST]:
    yield node
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp):
            yield from _outside_comprehensions(child)


@pytest.mark.parametrize("name", NAMES)
def test_text_reads_well_without_sphinx_and_holds_no_value(name: str) -> None:
    for cell in source_of(name).cells:
        if cell.cell_type == "markdown":
            assert not re.search(r"\{[\w:+-]+\}`", cell.source), cell.source
            assert not re.search(r"^(\([\w-]+\)=|:{3,}|`{3,}\{)", cell.source, re.MULTILINE), cell.source
        else:
            assert "glue" not in cell.source
            assert "figure" not in cell.metadata.get("mystnb", {})


def test_cells_are_short_and_little_is_folded() -> None:
    cells = [cell for name in NAMES for cell in code_of(name)]
    assert max(len(cell.source.splitlines()) for cell in cells) <= 20
    folding = {"hide-input", "hide-cell", "remove-input", "remove-cell"}
    folded = sum(len(cell.source.splitlines()) for cell in cells if folding & set(tags(cell)))
    assert 0 < folded <= 900


@pytest.mark.parametrize("name", NAMES)
def test_every_figure_has_its_caption_in_the_notebook(name: str) -> None:
    notebook = read_notebook(ROOT / "notebooks" / f"{name}.ipynb")
    for cell in notebook.cells:
        bundles = [output.get("data", {}) for output in cell.get("outputs", [])]
        for bundle, following in zip(bundles, [*bundles[1:], {}], strict=False):
            if PLOTLY in bundle:
                caption = bundle[PLOTLY]["layout"]["meta"]["caption"]
                assert caption
                assert caption in following["text/markdown"]


PROSE = [*(ROOT / "book").glob("*.md"), *(ROOT / "notebooks").glob("*.py")]


@pytest.mark.parametrize("path", PROSE, ids=lambda path: path.stem)
def test_links_lead_to_files_and_citations_to_entries_of_their_author_and_year(path: Path) -> None:
    prose = re.sub(r"`[^`\n]+`", "", path.read_text("utf-8"))
    for text, target in re.findall(r"\[([^\]]+)\]\(([^)\s]+)\)", prose):
        scheme, _, key = target.partition(":")
        if scheme == "cite":
            author, year = ENTRIES[key]
            assert author in _plain(text), (text, key)
            assert year in text, (text, key)
        elif not scheme.startswith("http") and not target.startswith("#"):
            assert (path.parent / target.partition("#")[0]).is_file(), target


def _plain(text: str) -> str:
    """Take accents and the marks of BibTeX from a name."""
    text = re.sub(r"\\\W?|[{}]", "", text)
    return unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()


def _entries() -> dict[str, tuple[str, str]]:
    """Return the last name of the first author and the year of each entry of the bibliography."""
    text = (ROOT / "book" / "references.bib").read_text("utf-8")
    found = {}
    for entry in re.split(r"^@\w+\{", text, flags=re.MULTILINE)[1:]:
        fields = (rf"^\s*{name}\s*=\s*[{{\"]+(.*)" for name in ("author", "year"))
        author, year = (re.search(field, entry, re.MULTILINE) for field in fields)
        assert author, entry
        assert year, entry
        first = author[1].split(" and ")[0]
        last = first.partition(",")[0] if "," in first else first.split()[-1]
        found[entry.partition(",")[0]] = (_plain(last).strip(), year[1][:4])
    return found


ENTRIES = _entries()


def found_in_metadata(notebook: dict) -> re.Match[str] | None:
    """Return the first absolute path in the metadata of a notebook or its cells."""
    holders = [notebook["metadata"], *(cell["metadata"] for cell in notebook["cells"])]
    return MACHINE_PATH.search(json.dumps(holders))


def _texts(output: dict) -> list:
    # base64 of pictures and the numbers of figures hold slashes that are no paths
    data = output.get("data", {})
    return [output.get("text", ""), *(value for key, value in data.items() if key.startswith("text/"))]


def test_a_header_is_the_same_whatever_saves_it(root: Path) -> None:
    ours = tomllib.loads((root / "pyproject.toml").read_text())["tool"]["jupytext"]
    assert ours == notebooks._STABLE


def test_configuration_executes_nothing(root: Path) -> None:
    configuration = yaml.safe_load((root / "_config.yml").read_text())
    assert configuration["execute"]["execute_notebooks"] == "off"
    assert configuration["only_build_toc_files"] is True
    assert "suppress_warnings" not in configuration["sphinx"]["config"]


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "latin-1"])
def test_a_profile_of_any_editor_is_read_or_refused(tmp_path: Path, encoding: str) -> None:
    (tmp_path / "mine.yaml").write_text("# für mich\r\nall:\r\n  n: 3\r\n", encoding=encoding, newline="")
    (tmp_path / "._mine.yaml").write_bytes(b"\0\5\x16\7")
    if encoding == "utf-8-sig":
        assert load_profile(tmp_path, "mine") == {"all": {"n": 3}}
        with pytest.raises(UnknownNameError, match="Known: mine"):
            load_profile(tmp_path, "yours")
        return
    with pytest.raises(InputError, match=r"mine\.yaml is no text in UTF-8"):
        load_profile(tmp_path, "mine")


def test_a_notebook_of_a_windows_editor_is_the_same(root: Path, tmp_path: Path) -> None:
    source = root / "notebooks" / "triplets.py"
    (tmp_path / "triplets.py").write_text(source.read_text("utf-8"), "utf-8-sig", newline="\r\n")
    assert read_source(tmp_path / "triplets.py") == read_source(source)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_a_table_of_contents_of_a_windows_editor_is_read_or_refused(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "_toc.yml"
    path.write_text("format: jb-book\r\nroot: book/intro\r\n", encoding=encoding, newline="")
    if encoding == "utf-8-sig":
        assert pages(path) == ["book/intro"]
        return
    with pytest.raises(InputError, match="It seems to be UTF-16"):
        pages(path)
