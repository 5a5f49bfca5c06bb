"""Working copies for JupyterLab: made, brought back, and driven in a real browser without a network."""

from __future__ import annotations

import difflib
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from nbformat.v4 import new_output
from playwright.sync_api import Page, sync_playwright

from simlib.book.lab import START, bring_back, drop_dials, make_copies
from simlib.book.notebooks import find_notebooks, read_notebook, read_source, text_of, write_notebook
from simlib.book.stage import build_book
from simlib.errors import InputError, NotebookError, OutputError, UnknownNameError
from simlib.report.display import LIVE, WIDGET
from tests.browser import ARGUMENTS
from tests.cli.test_signals import COMMAND
from tests.conftest import ROOT

ENOUGH = 300_000
"""Milliseconds that a chapter may take on a busy machine."""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Return a book with two chapters, the first of them with outputs."""
    root = tmp_path / "book"
    (root / "notebooks").mkdir(parents=True)
    shutil.copytree(ROOT / "book", root / "book")
    pages = "chapters:\n  - file: notebooks/metrics\n  - file: notebooks/triplets\n"
    (root / "_toc.yml").write_text(f"format: jb-book\nroot: book/intro\n{pages}")
    for name in ("metrics", "triplets"):
        shutil.copyfile(ROOT / "notebooks" / f"{name}.py", root / "notebooks" / f"{name}.py")
    notebook = read_source(root / "notebooks" / "triplets.py")
    notebook.cells[2].outputs = [new_output("stream", text="64 triplets\n")]
    notebook.metadata["language_info"] = {"name": "python"}
    write_notebook(notebook, root / "notebooks" / "triplets.ipynb")
    return root


def edit(copy: Path, before: str, after: str) -> None:
    """Change a cell as JupyterLab does, which adds what it knows of the run."""
    notebook = read_notebook(copy)
    (cell,) = (cell for cell in notebook.cells if before in cell.source)
    cell.source = cell.source.replace(before, after)
    cell.metadata["execution"] = {"iopub.status.busy": "2026-01-01T00:00:00"}
    cell.metadata["trusted"] = True
    notebook.metadata["widgets"] = {"application/vnd.jupyter.widget-state+json": {"state": {"a": 1}}}
    notebook.cells[2].outputs = [new_output("stream", text="8 triplets\n")]
    write_notebook(notebook, copy)


def test_copies_have_no_twin_and_the_start_page_leads_to_them_in_order(root: Path, tmp_path: Path) -> None:
    assert make_copies(tmp_path / "lab", root) == []
    lab = tmp_path / "lab"
    assert [path.name for path in sorted((lab / "notebooks").iterdir())] == [
        "metrics.ipynb",
        "triplets.ipynb",
    ]
    text = (lab / START).read_text("utf-8")
    links = re.findall(r"\]\(([^)]+)\)", text)
    assert links == ["notebooks/metrics.ipynb", "notebooks/triplets.ipynb", "book/intro.md"]
    assert all((lab / link).is_file() for link in links)
    copy = read_notebook(lab / "notebooks" / "triplets.ipynb")
    assert "jupytext" not in copy.metadata
    assert copy.cells[2].outputs


def test_what_a_system_leaves_among_notebooks_is_passed_over(root: Path, tmp_path: Path) -> None:
    for folder in (root / "notebooks", tmp_path / "lab"):
        folder.mkdir(exist_ok=True)
        for name in ("._triplets.py", ".DS_Store"):
            (folder / name).write_bytes(b"\0\5\x16\7")
    assert make_copies(tmp_path / "lab", root) == []
    assert len(list((tmp_path / "lab" / "notebooks").iterdir())) == 2


def test_an_edited_copy_is_kept_and_another_is_made_anew(root: Path, tmp_path: Path) -> None:
    lab = tmp_path / "lab"
    make_copies(lab, root)
    edit(lab / "notebooks" / "triplets.ipynb", "n = 64", "n = 8")
    source = root / "notebooks" / "metrics.py"
    source.write_text(source.read_text("utf-8").replace("# # Metrics", "# # All metrics"), "utf-8")
    assert make_copies(lab, root) == ["triplets"]
    assert "n = 8" in (lab / "notebooks" / "triplets.ipynb").read_text("utf-8")
    assert "# All metrics" in (lab / "notebooks" / "metrics.ipynb").read_text("utf-8")
    assert "[All metrics]" in (lab / START).read_text("utf-8")


def test_what_comes_back_is_the_dial_and_the_outputs(root: Path, tmp_path: Path) -> None:
    lab = tmp_path / "lab"
    make_copies(lab, root)
    pair = [root / "notebooks" / f"triplets.{kind}" for kind in ("py", "ipynb")]
    before = [path.read_text("utf-8").splitlines() for path in pair]
    assert bring_back(["triplets"], lab, root) == pair
    assert [path.read_text("utf-8").splitlines() for path in pair] == before
    edit(lab / "notebooks" / "triplets.ipynb", "n = 64", "n = 8")
    bring_back(["triplets"], lab, root)
    after = [path.read_text("utf-8").splitlines() for path in pair]
    changes = [
        [line for line in difflib.unified_diff(*both, n=0, lineterm="") if re.match(r"[-+](?![-+])", line)]
        for both in zip(before, after, strict=True)
    ]
    assert [len(each) for each in changes] == [2, 4]
    assert all("n = " in line or "triplets" in line for each in changes for line in each)


@pytest.mark.parametrize("name", find_notebooks(ROOT / "notebooks"))
def test_every_chapter_would_come_back_as_it_was(name: str) -> None:
    source = ROOT / "notebooks" / f"{name}.py"
    assert text_of(read_source(source), source) == source.read_text("utf-8")


def test_a_chapter_that_went_on_is_not_taken_back(root: Path, tmp_path: Path) -> None:
    lab = tmp_path / "lab"
    make_copies(lab, root)
    edit(lab / "notebooks" / "triplets.ipynb", "n = 64", "n = 8")
    source = root / "notebooks" / "triplets.py"
    source.write_text(source.read_text("utf-8").replace("# # Triplets", "# # All triplets"), "utf-8")
    before = source.read_text("utf-8")
    assert make_copies(lab, root) == ["triplets"]
    with pytest.raises(NotebookError, match="has changed since"):
        bring_back(["triplets"], lab, root)
    assert source.read_text("utf-8") == before


def test_a_list_of_copies_that_is_lost_keeps_them_all(root: Path, tmp_path: Path) -> None:
    lab = tmp_path / "lab"
    make_copies(lab, root)
    for broken in ("{", "[]", "null"):
        (lab / ".made.json").write_text(broken)
        assert make_copies(lab, root) == ["metrics", "triplets"]
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OutputError, match="Choose another"):
        make_copies(tmp_path / "file", root)


def test_what_cannot_be_done_is_refused(root: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match="holds other files"):
        make_copies(tmp_path / "mine", root)
    with pytest.raises(NotebookError, match="no working copy"):
        bring_back(["triplets"], tmp_path / "mine", root)
    with pytest.raises(UnknownNameError, match="Did you mean triplets"):
        bring_back(["triplet"], tmp_path / "mine", root)
    make_copies(tmp_path / "lab", root)
    copy = tmp_path / "lab" / "notebooks" / "triplets.ipynb"
    notebook = read_notebook(copy)
    notebook.cells[1].metadata["tags"] = []
    write_notebook(notebook, copy)
    before = (root / "notebooks" / "triplets.py").read_text("utf-8")
    with pytest.raises(NotebookError, match="no cell tagged parameters"):
        bring_back(["metrics", "triplets"], tmp_path / "lab", root)
    notebook.cells[1].metadata["tags"] = ["parameters"]
    notebook.cells[2].source = "1\n# %% [markdown]\n# other"
    write_notebook(notebook, copy)
    with pytest.raises(NotebookError, match="read as other cells"):
        bring_back(["metrics", "triplets"], tmp_path / "lab", root)
    copy.write_text("<<<<<<< HEAD")
    with pytest.raises(NotebookError, match="is no notebook"):
        bring_back(["metrics", "triplets"], tmp_path / "lab", root)
    assert not (root / "notebooks" / "metrics.ipynb").exists()
    assert (root / "notebooks" / "triplets.py").read_text("utf-8") == before


def test_jupyterlab_is_started_without_the_files_of_the_caller_and_ends_with_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A program stands in for JupyterLab; it says which process it is, and goes on for long."""
    told = tmp_path / "told"
    (tmp_path / "random.py").write_text("raise SystemExit('imported from where the caller is')")
    (tmp_path / "stand-in").mkdir()
    (tmp_path / "stand-in" / "jupyterlab.py").write_text(
        "import os, pathlib, random, sys, time\n"
        f"told = pathlib.Path({str(told)!r})\n"
        "told.with_suffix('.part').write_text(f'{os.getpid()} {sys.argv[1:]}')\n"
        "told.with_suffix('.part').rename(told)\n"
        "time.sleep(300)\n"
    )
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path / "stand-in"), str(ROOT)]))
    command = [sys.executable, "-P", "-c", COMMAND, "lab", "--folder", str(tmp_path / "lab"), "--", "--mine"]
    # beside the book, which is found from the package
    process = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True)
    until = time.monotonic() + 60
    while not told.exists():
        assert process.poll() is None and time.monotonic() < until
        time.sleep(0.05)
    number, _, arguments = told.read_text().partition(" ")
    assert "--mine" in arguments and "pre_save_hook=simlib.book.lab.drop_dials" in arguments
    # JupyterLab asks first whether Ctrl-C is meant
    process.send_signal(signal.SIGINT)
    time.sleep(0.5)
    assert process.poll() is None
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (128 + signal.SIGTERM, "simlib: ended by SIGTERM\n")
    assert not psutil.pid_exists(int(number))


def test_a_notebook_is_saved_without_the_dials_of_its_kernel() -> None:
    outputs = [{"data": {LIVE: "", WIDGET: {}}}, {"data": {WIDGET: {}}}, {"output_type": "stream"}]
    cells = [{"cell_type": "markdown"}, {"cell_type": "code", "outputs": outputs}]
    drop_dials({"type": "notebook", "content": {"cells": cells}}, path="one.ipynb", contents_manager=None)
    assert cells[1]["outputs"] == outputs[1:]
    drop_dials({"type": "file", "content": "text"})


# In the browser


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, str]]:
    """Start JupyterLab as ``simlib lab`` does; return the folder of its copies and its address."""
    folder = tmp_path_factory.mktemp("lab") / "copies"
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    more = ["--no-browser", f"--port={port}", "--ServerApp.port_retries=0", "--allow-root"]
    more += ["--IdentityProvider.token=", "--expose-app-in-browser"]
    # nothing answers there: no news, no weights, no packages
    nowhere = dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"), "http://127.0.0.1:9")
    environment = {**os.environ, **nowhere, "JUPYTER_CONFIG_DIR": str(folder.parent / "config")}
    environment["no_proxy"] = environment["NO_PROXY"] = "127.0.0.1"
    asked = ["lab", "--folder", str(folder), "--", *more]
    code = f"import sys; from simlib.cli import main; sys.exit(main({asked}))"
    command = [sys.executable, "-c", code]
    # a group of its own, which ends as a whole
    with subprocess.Popen(command, cwd=ROOT, env=environment, start_new_session=True) as server:
        url = f"http://127.0.0.1:{port}"
        try:
            until = time.monotonic() + 120
            while not answers(url):
                assert server.poll() is None, "JupyterLab has stopped"
                assert time.monotonic() < until, "JupyterLab does not answer"
                time.sleep(0.5)
            yield folder, url
        finally:
            os.killpg(server.pid, signal.SIGTERM)


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/api", timeout=2):
            return True
    except OSError:
        return False


IDLE = """() => {
    const shown = window.jupyterapp.shell.currentWidget;
    return shown?.sessionContext?.session?.kernel?.status === 'idle' && shown.context.isReady;
}"""
DIRTY = "window.jupyterapp.shell.currentWidget.context.model.dirty"
CAPTIONS = """() => [...document.querySelectorAll('.jp-OutputArea .js-plotly-plot text')]
    .map(text => text.textContent).filter(text => text.startsWith('distance')).join()"""


def open_chapter(page: Page, title: str) -> None:
    page.evaluate("window.jupyterapp.commands.execute('docmanager:open', {path: 'start.md'})")
    page.get_by_role("link", name=title).click()
    page.wait_for_function(IDLE, timeout=ENOUGH)


@pytest.mark.slow
@pytest.mark.xdist_group("book")
def test_chapters_are_looked_at_run_and_published(
    lab: tuple[Path, str], chromium: str, tmp_path: Path
) -> None:
    folder, url = lab
    copy = folder / "notebooks" / "gradient-attacks.ipynb"
    requests: list[str] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=list(ARGUMENTS))
        page = browser.new_page(viewport={"width": 1400, "height": 1000})
        page.on("request", lambda asked: requests.append(asked.url))
        page.goto(url)
        page.wait_for_selector(".jp-MarkdownViewer", timeout=ENOUGH)

        before = {path: path.read_bytes() for path in folder.glob("[!.]*/[a-z]*.*")}
        for title in ("Triplets", "Attacks by the gradient: FGSM and PGD"):
            open_chapter(page, title)
            page.wait_for_timeout(2000)
            assert not page.evaluate(DIRTY), title
        assert {path: path.read_bytes() for path in folder.glob("[!.]*/[a-z]*.*")} == before

        run_with_eight_triplets(page)
        move_the_explorer(page)
        page.keyboard.press("Control+s")
        page.wait_for_function(f"() => !{DIRTY}", timeout=ENOUGH)
        seen = page.locator(".jp-Notebook:visible").inner_text()
        open_anew(page, "Attacks by the gradient: FGSM and PGD")
        browser.close()
    assert [asked for asked in requests if not asked.startswith((url, "data:", "blob:"))] == []

    assert "jupyter.widget" not in copy.read_text()
    told = sentences(copy)
    assert len(told) > 8
    assert not [each for each in told if letters(each) not in letters(seen)]
    published = build_book(published_with(copy, tmp_path), tmp_path / "pages", ROOT).parent
    text = (published / "notebooks" / "gradient-attacks.html").read_text("utf-8")
    assert text.count('class="plotly-figure"') == 6
    page_text = letters(re.sub(r"<[^>]+>", "", text))
    assert not [each for each in told if letters(each) not in page_text]
    assert "profile interactive" in text


def run_with_eight_triplets(page: Page) -> None:
    """Turn one dial by hand, run all cells from the menu, and wait for the last one."""
    page.locator(".jp-Notebook:visible .cm-line", has_text="n = 48").first.dblclick(
        position={"x": 38, "y": 5}
    )
    page.keyboard.type("8")
    page.get_by_role("menuitem", name="Run", exact=True).first.click()
    page.locator(".lm-Menu-itemLabel", has_text="Run All Cells").first.click()
    box = "details.provenance:has-text('interactive')"
    page.wait_for_selector(f".jp-Notebook {box}", state="attached", timeout=ENOUGH)
    assert page.locator(".jp-Notebook:visible .jp-RenderedText[data-mime-type*=error]").count() == 0


def open_anew(page: Page, title: str) -> None:
    """Close a chapter, end its kernel, and open it again: its figures are there, and no dial is missed."""
    page.evaluate("window.jupyterapp.shell.currentWidget.close()")
    page.evaluate("window.jupyterapp.serviceManager.sessions.shutdownAll()")
    open_chapter(page, title)
    drawn = "() => document.querySelectorAll('.jp-Notebook .js-plotly-plot .main-svg').length >= 6"
    page.wait_for_function(drawn, timeout=ENOUGH)
    page.wait_for_timeout(2000)
    text = page.locator(".jp-Notebook:visible").inner_text()
    assert "Error displaying widget" not in text and "Loading widget" not in text


def move_the_explorer(page: Page) -> None:
    """Choose another triplet, and wait for the distances to follow."""
    triplet = page.locator(".jp-Notebook:visible .widget-dropdown select").first
    triplet.scroll_into_view_if_needed()
    page.wait_for_function(f"() => ({CAPTIONS})().length > 0", timeout=ENOUGH)
    before = page.evaluate(CAPTIONS)
    triplet.select_option(index=1)
    page.wait_for_function(f"before => ({CAPTIONS})() !== before", arg=before, timeout=ENOUGH)


def sentences(path: Path) -> list[str]:
    """Return what the notebook tells in Markdown, without its marks."""
    bundles = [
        output.get("data", {}) for cell in read_notebook(path).cells for output in cell.get("outputs", [])
    ]
    texts = [bundle["text/markdown"] for bundle in bundles if "text/markdown" in bundle]
    return [re.sub(r"\[([^\]]+)\]\([^)]+\)", r"\1", text).removeprefix("**Figure.** ") for text in texts]


def letters(text: str) -> str:
    """Return letters and digits only: typography and line breaks differ between readers."""
    return re.sub(r"[\W_]+", "", re.sub(r"&\w+;", "", text))


def published_with(copy: Path, folder: Path) -> Path:
    """Return a folder of the committed notebooks with one working copy among them."""
    shutil.copytree(ROOT / "notebooks", folder / "notebooks", ignore=shutil.ignore_patterns("results"))
    shutil.copyfile(copy, folder / "notebooks" / copy.name)
    return folder / "notebooks"
