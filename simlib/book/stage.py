"""From notebooks with outputs to pages: gather what the table of contents needs, then render it."""

from __future__ import annotations

import base64
import os
import re
import shutil
import tempfile
from pathlib import Path
from typing import Any

from simlib.book.children import Children, bound
from simlib.book.notebooks import pages, read_notebook, read_source, strip_run, tags, write_notebook
from simlib.book.outputs import refuse_what_no_page_shows
from simlib.book.parameters import defaults_of, show_values
from simlib.book.staleness import edited, other_dials, published_dials, run_of, why_old, why_unknown
from simlib.book.values import Values
from simlib.checkout import repository
from simlib.errors import InputError, NotebookError, OutputError
from simlib.files import Lock, listed, make_folder, why_not_written
from simlib.given import given_path, pointer_hint
from simlib.output import error_stream

# the cell of this tag draws the picture that stands for the book: in its first page and its README
TEASER_TAG = "teaser"
TEASER_FILE = Path("book/_static/teaser.png")
# the package cannot be run by `python -m`, and its script may not be on the path
_JUPYTER_BOOK = "from jupyter_book.cli.main import main; main()"
_OLD = """```{{note}}
This page is older than the code: {why}. Its numbers and figures are those of the former version;
`simlib notebooks {name}` computes them anew.
```"""
_UNKNOWN = """```{{note}}
Nobody can say what the numbers and figures of this page were made with: {why}. Run all its cells again.
```"""
_SHORT = """```{{note}}
This page shows a run of the profile {profile}, not yet the full one: on few triplets intervals are wide.
```"""


def build_book(notebooks: Path | str, output: Path | str, root: Path | None = None) -> Path:
    """Render the book from notebooks that were executed before; return the path of its first page.

    Nothing is executed. A warning fails the build, and a failed build leaves the former pages alone. Of two
    builds into one folder, the second waits for the first.

    Args:
        notebooks: the folder of executed notebooks, or of the committed ones.
        output: the folder for the pages; it is replaced.
        root: the book's repository, found from the working directory by default.

    Raises:
        NotebookError: a notebook of the table of contents is absent, was never executed, or has put out what
            no page can show.
        InputError: a page of the table of contents is absent, or the book has warnings.
        OutputError: the folder for the pages cannot be replaced.
    """
    root = (root or repository()).resolve()
    output = given_path(output).resolve()
    _require_book_or_nothing(output)
    with Lock(make_folder(output.parent) / f".{output.name}.lock") as lock:
        if not lock.acquire(wait=False):
            print(f"Another build of {output} is at work, waiting", file=error_stream())
            lock.acquire(wait=True)
        try:
            with tempfile.TemporaryDirectory(
                prefix=f".{output.name}-", dir=output.parent, ignore_cleanup_errors=True
            ) as scratch:
                work = Path(scratch)
                stage(given_path(notebooks).resolve(), work / "source", root)
                _put(_render(work / "source", work), output, work / "former")
        except OutputError:
            raise
        except OSError as error:
            raise OutputError(
                f"Cannot write the book to {output}: {error}. Choose another --output."
            ) from error
    return output / "index.html"


def _require_book_or_nothing(output: Path) -> None:
    if output.exists() and not (
        output.is_dir() and (not listed(output) or (output / "genindex.html").exists())
    ):
        raise OutputError(
            f"{output} is a file, or what it holds is no book. Give a new or empty folder with --output."
        )


def _put(pages: Path, output: Path, former: Path) -> None:
    """Give a folder of pages its name; the one that has it gives way as a whole, and only then."""
    if output.exists():
        output.rename(former)
    try:
        pages.rename(output)
    except BaseException:
        if former.exists():
            former.rename(output)
        raise


def stage(notebooks: Path, target: Path, root: Path) -> None:
    """Gather configuration, prose, static files and executed notebooks in a folder to render.

    Raises:
        NotebookError, InputError: as :func:`build_book`.
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
        raise NotebookError(f"No executed notebook {path}. {pointer_hint(path) or remedy}")
    notebook = read_notebook(path)
    defaults_of(notebook, path)  # refuses a cell of dials that is no Python, and names the file
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    if code and not any(cell.outputs for cell in code):
        raise NotebookError(f"{path} has no outputs. {remedy}")
    file = root / "notebooks" / f"{path.stem}.py"
    source = read_source(file) if file.is_file() else None
    note = _note(notebook, path.stem, source, published)
    if not edited(notebook, source):
        show_values(notebook, dict(run_of(notebook).dials))
    strip_run(notebook)
    refuse_what_no_page_shows(notebook, path)
    if note:
        # Under the title, and in no cell of its own: messages count the cells of the chapter.
        title, _, rest = notebook.cells[0].source.partition("\n")
        notebook.cells[0].source = f"{title}\n\n{note}\n{rest}"
    # the page's picture shows the same run as the page's numbers
    if drawn := picture(notebook):
        (target / TEASER_FILE).write_bytes(drawn)
    write_notebook(notebook, target / "notebooks" / path.name)


def _note(notebook: Any, name: str, source: Any, published: Values) -> str:
    """Return what a page says of its age and origin, and of a run that was a short one."""
    if why := why_unknown(notebook, source):
        return _UNKNOWN.format(why=why)
    if why := why_old(notebook, source):
        return _OLD.format(why=why, name=name)
    run = run_of(notebook)
    if source is None or not other_dials(run, source, published):
        return ""
    return _SHORT.format(profile=re.sub(r"[^\w-]", "", run.profile))


def _render(source: Path, work: Path) -> Path:
    command = bound(_JUPYTER_BOOK, "build", str(source), "--path-output", str(work))
    command += ["--all", "-n", "-W", "--keep-going", "--quiet"]
    # the messages become part of an error, where colours would be noise
    environment = {**os.environ, "NO_COLOR": "1"}
    with Children() as children, children.started(command, environment) as process:
        told = process.stdout.read() if process.stdout else ""
    if process.returncode:
        if why := why_not_written(told):
            raise OutputError(f"The book cannot be rendered in {work}: {why}. Make room there.")
        problems = [line for line in told.splitlines() if "WARNING" in line or "ERROR" in line]
        raise InputError(
            f"The book in {source} has problems:\n"
            + ("\n".join(problems) or told[-3000:])
            + "\nCorrect them in book/ or notebooks/ and build again."
        )
    return work / "_build" / "html"
