"""How pages take the place of former ones: as a whole, one build at a time, without the files of a caller."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from simlib.book import stage
from simlib.book.notebooks import write_notebook
from simlib.book.stage import build_book
from simlib.errors import NotebookError, OutputError
from simlib.report.provenance import RUN
from tests.book.test_pages import small_book
from tests.cli.test_signals import COMMAND

PAGE = "genindex.html"


@pytest.fixture
def executed(tmp_path: Path) -> Path:
    """Return the folder of the executed notebook of a small book, whose root is the folder above."""
    cell = new_code_cell("1", outputs=[new_output("display_data", data={"text/plain": "1"})])
    return small_book(tmp_path, "Text.", [cell])


@pytest.fixture
def rendered(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Render a page of text instead of a book; return what happens, in order."""
    happened: list[str] = []

    def render(source: Path, work: Path) -> Path:
        happened.append("begins")
        time.sleep(0.2)
        (work / "html").mkdir()
        (work / "html" / PAGE).write_text(str(len(happened)))
        happened.append("ends")
        return work / "html"

    monkeypatch.setattr(stage, "_render", render)
    return happened


def test_of_two_builds_into_one_folder_the_second_waits(
    executed: Path, rendered: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "pages"
    both = [threading.Thread(target=build_book, args=(executed, output, tmp_path)) for _ in range(2)]
    for each in both:
        each.start()
    for each in both:
        each.join()
    assert rendered == ["begins", "ends"] * 2
    assert [path.name for path in output.iterdir()] == [PAGE]
    assert (output / PAGE).read_text() == "3"
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]
    assert capsys.readouterr().err == f"Another build of {output} is at work, waiting\n"


def test_former_pages_come_back_if_new_ones_cannot_take_their_place(
    executed: Path, rendered: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = tmp_path / "pages"
    output.mkdir()
    (output / PAGE).write_text("former")
    rename = Path.rename

    def in_vain(path: Path, target: Path) -> Path:
        if path.name == "html":
            raise OSError("no")
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", in_vain)
    with pytest.raises(OutputError, match="Cannot write the book"):
        build_book(executed, output, tmp_path)
    assert (output / PAGE).read_text() == "former"


def test_a_cell_that_no_page_shows_stops_the_build(
    executed: Path, rendered: list[str], tmp_path: Path
) -> None:
    view = {"application/vnd.jupyter.widget-view+json": {"model_id": "1"}, "text/plain": "VBox()"}
    cell = new_code_cell("dials", outputs=[new_output("display_data", data=view)])
    write_notebook(new_notebook(cells=[new_markdown_cell("# One"), cell]), executed / "one.ipynb")
    with pytest.raises(NotebookError, match=r"one\.ipynb has outputs .*\n  cell 2 \(dials\): a widget"):
        build_book(executed, tmp_path / "pages", tmp_path)
    assert rendered == []


def test_dials_that_are_no_python_stop_the_build(executed: Path, rendered: list[str], tmp_path: Path) -> None:
    cells = [
        new_markdown_cell("# One"),
        new_code_cell("n = ", metadata={"tags": ["parameters"]}),
        new_code_cell("1", outputs=[new_output("stream", text="1")]),
    ]
    write_notebook(new_notebook(cells=cells), executed / "one.ipynb")
    with pytest.raises(
        NotebookError, match=r"one\.ipynb has dials that are no Python: cell 2 \(n =\), line 1"
    ):
        build_book(executed, tmp_path / "pages", tmp_path)
    assert rendered == []


def test_a_pointer_to_a_notebook_stops_the_build_and_says_what_it_is(executed: Path, tmp_path: Path) -> None:
    path = executed / "one.ipynb"
    path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n")
    with pytest.raises(NotebookError, match=r"one\.ipynb is no notebook: It is a pointer of Git LFS"):
        build_book(executed, tmp_path / "pages", tmp_path)
    path.unlink()
    path.symlink_to("../.git/annex/objects/x/one.ipynb")
    with pytest.raises(
        NotebookError, match=r"No executed notebook .*one\.ipynb\. It is a pointer of git-annex"
    ):
        build_book(executed, tmp_path / "pages", tmp_path)


@pytest.mark.parametrize(
    ("written", "shown", "note"),
    [
        ("n = 1", "n = 64", ""),
        ("n = 64.0  # mine", "n = 64.0  # mine", ""),
        ("n = 8  # mine", "n = 8  # mine", "made with another n"),
    ],
)
def test_a_page_says_what_its_outputs_say_or_that_nobody_knows(
    written: str, shown: str, note: str, executed: Path, tmp_path: Path
) -> None:
    text = '# %% [markdown]\n# # One\n\n# %% tags=["parameters"]\nn = 1\n\n# %%\n1\n'
    (tmp_path / "notebooks" / "one.py").write_text(text)
    told = {RUN: {"profile": "quick", "code": {}, "dials": {"n": 64}}, "text/plain": "box"}
    cells = [
        new_markdown_cell("# One"),
        new_code_cell(written, metadata={"tags": ["parameters"]}),
        new_code_cell("1", outputs=[new_output("display_data", data=told)]),
    ]
    made = new_notebook(cells=cells, metadata={"simlib": {"profile": "quick", "parameters": {"n": 256}}})
    write_notebook(made, executed / "one.ipynb")
    stage.stage(executed, tmp_path / "staged", tmp_path)
    title, dials, _ = nbformat.read(tmp_path / "staged" / "notebooks" / "one.ipynb", 4).cells
    assert dials.source == shown
    assert ("Nobody can say" in title.source) == bool(note)
    assert note in title.source


@pytest.mark.slow
def test_files_where_the_caller_is_are_no_modules_of_the_build(
    executed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    caller = tmp_path / "caller"
    caller.mkdir()
    for name in ("random", "types", "sphinx"):
        (caller / f"{name}.py").write_text("raise SystemExit('imported from where the caller is')")
    monkeypatch.chdir(caller)
    assert build_book(executed, tmp_path / "pages", tmp_path).is_file()


@pytest.mark.slow
def test_a_build_that_is_ended_leaves_the_former_pages_and_no_scratch(executed: Path, tmp_path: Path) -> None:
    output = tmp_path / "out" / "pages"
    output.mkdir(parents=True)
    (output / PAGE).write_text("former")
    asked = ["book", "build", "--notebooks", str(executed), "--output", str(output)]
    command = [sys.executable, "-c", COMMAND, *asked]
    process = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True)
    until = time.monotonic() + 60
    while not list(output.parent.glob(".pages-*/_build")):
        assert process.poll() is None and time.monotonic() < until
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    _, told = process.communicate(timeout=60)
    assert (process.returncode, told) == (128 + signal.SIGTERM, "simlib: ended by SIGTERM\n")
    assert [path.name for path in output.parent.iterdir()] == ["pages"]
    assert (output / PAGE).read_text() == "former"


@pytest.mark.slow
def test_a_disk_that_is_full_is_told(executed: Path, tmp_path: Path) -> None:
    code = "import resource, sys; from pathlib import Path; from simlib.book.stage import build_book; "
    code += "resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000)); "
    code += "build_book(*map(Path, sys.argv[1:]))"
    command = [sys.executable, "-c", code, str(executed), str(tmp_path / "pages"), str(tmp_path)]
    told = subprocess.run(command, capture_output=True, text=True, check=False).stderr.splitlines()[-1]
    assert told.startswith("simlib.errors.OutputError: The book cannot be rendered in ")
    assert told.endswith("[Errno 27] File too large. Make room there.")
    assert not (tmp_path / "pages").exists()
