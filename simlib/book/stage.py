"""From notebooks with outputs to pages: gather what the table of contents needs, then render it."""

from __future__ import annotations

import base64
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from simlib.book.notebooks import pages, read_notebook, read_source, strip_run, tags, write_notebook
from simlib.book.parameters import Values, show_values
from simlib.book.staleness import other_dials, published_dials, run_of, values_of, why_old
from simlib.checkout import repository
from simlib.errors import InputError, NotebookError, OutputError
from simlib.files import listed
from simlib.given import given_path

# the cell of this tag draws the picture that stands for the book: in its first page and its README
TEASER_TAG = "teaser"
TEASER_FILE = Path("book/_static/teaser.png")
# the package cannot be run by `python -m`, and its script may not be on the path
_JUPYTER_BOOK = "from jupyter_book.cli.main import main; main()"
_OLD = """```{{note}}
This page is older than the code: {why}. Its numbers and figures are those of the former version;
`simlib notebooks {name}` computes them anew.
```"""
_SHORT = """```{{note}}
This page shows a run of the profile {profile}, not yet the full one: on few triplets intervals are wide.
```"""


def build_book(notebooks: Path | str, output: Path | str, root: Path | None = None) -> Path:
    """Render the book from notebooks that were executed before; return the path of its first page.

    Nothing is executed. A warning fails the build, and a failed build leaves the former pages alone.

    Args:
        notebooks: the folder of executed notebooks, or of the committed ones.
        output: the folder for the pages; it is replaced.
        root: the book's repository, found from the working directory by default.

    Raises:
        NotebookError: a notebook of the table of contents is absent, or was never executed.
        InputError: a page of the table of contents is absent, or the book has warnings.
        OutputError: the folder for the pages cannot be replaced.
    """
    root = (root or repository()).resolve()
    output = given_path(output).resolve()
    if output.exists() and not (
        output.is_dir() and (not listed(output) or (output / "genindex.html").exists())
    ):
        raise OutputError(
            f"{output} is a file, or what it holds is no book. Give a new or empty folder with --output."
        )
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{output.name}-", dir=output.parent) as scratch:
            work = Path(scratch)
            stage(given_path(notebooks).resolve(), work / "source", root)
            html = _render(work / "source", work)
            shutil.rmtree(output, ignore_errors=True)
            html.rename(output)
    except OSError as error:
        raise OutputError(f"Cannot write the book to {output}: {error}. Choose another --output.") from error
    return output / "index.html"


def stage(notebooks: Path, target: Path, root: Path) -> None:
    """Gather configuration, prose, static files and executed notebooks in a folder to render.

    Raises:
        NotebookError: a notebook of the table of contents is absent, or was never executed.
        InputError: a page of the table of contents is absent.
    """
    target.mkdir(parents=True)
    for name in ("_config.yml", "_toc.yml"):
        shutil.copyfile(root / name, target / name)
    shutil.copytree(root / "book", target / "book")
    (target / "notebooks").mkdir()
    published = published_dials(root / "notebooks")
    for page in pages(root / "_toc.yml"):
        if page.startswith("notebooks/"):
            name = Path(page).name
            _stage_notebook(notebooks / f"{name}.ipynb", target, root, published.get(name, {}))
        elif not (root / f"{page}.md").is_file():
            raise InputError(
                f"{root / '_toc.yml'} names {page}, but there is no {page}.md. Write it, or take it out."
            )


def picture(notebook: Any) -> bytes | None:
    """Return the PNG picture that the cell tagged :data:`TEASER_TAG` has put out; None without one."""
    for cell in notebook.cells:
        for output in cell.get("outputs", []) if TEASER_TAG in tags(cell) else []:
            if "image/png" in output.get("data", {}):
                return base64.b64decode(output["data"]["image/png"])
    return None


def _stage_notebook(path: Path, target: Path, root: Path, published: Values) -> None:
    remedy = f"Run first: simlib notebooks {path.stem}, or all its cells in JupyterLab, and save it."
    if not path.is_file():
        raise NotebookError(f"No executed notebook {path}. {remedy}")
    notebook = read_notebook(path)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    if code and not any(cell.outputs for cell in code):
        raise NotebookError(f"{path} has no outputs. {remedy}")
    note = _note(notebook, path.stem, root / "notebooks" / f"{path.stem}.py", published)
    show_values(notebook, values_of(notebook))
    strip_run(notebook)
    if note:
        # Under the title, and in no cell of its own: messages count the cells of the chapter.
        title, _, rest = notebook.cells[0].source.partition("\n")
        notebook.cells[0].source = f"{title}\n\n{note}\n{rest}"
    # the page's picture shows the same run as the page's numbers
    if drawn := picture(notebook):
        (target / TEASER_FILE).write_bytes(drawn)
    write_notebook(notebook, target / "notebooks" / path.name)


def _note(notebook: Any, name: str, file: Path, published: Values) -> str:
    """Return what a page says of its age, and of a run that was a short one."""
    source = read_source(file) if file.is_file() else None
    if why := why_old(notebook, source):
        return _OLD.format(why=why, name=name)
    run = run_of(notebook)
    if source is None or not other_dials(run, source, published):
        return ""
    return _SHORT.format(profile=re.sub(r"[^\w-]", "", run.profile))


def _render(source: Path, work: Path) -> Path:
    command = [sys.executable, "-c", _JUPYTER_BOOK, "build", str(source), "--path-output", str(work)]
    command += ["--all", "-n", "-W", "--keep-going", "--quiet"]
    done = subprocess.run(
        command,
        # the messages become part of an error, where colours would be noise
        env={**os.environ, "NO_COLOR": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        check=False,
    )
    if done.returncode:
        problems = [line for line in done.stdout.splitlines() if "WARNING" in line or "ERROR" in line]
        raise InputError(
            f"The book in {source} has problems:\n"
            + ("\n".join(problems) or done.stdout[-3000:])
            + "\nCorrect them in book/ or notebooks/ and build again."
        )
    return work / "_build" / "html"
