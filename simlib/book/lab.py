"""Working copies of the chapters for JupyterLab: to look, or to try things, changes no committed file."""

from __future__ import annotations

import json
import os
import platform
import shutil
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import nbformat
from plotly.offline import get_plotlyjs

from simlib.book.children import Children, python
from simlib.book.notebooks import (
    KERNEL,
    find_notebooks,
    pages,
    read_notebook,
    read_source,
    same_cells,
    strip_run,
    text_of,
    title_of,
    write_notebook,
)
from simlib.checkout import repository
from simlib.errors import InputError, NotebookError, OutputError
from simlib.files import listed, make_folder, sha256_of, written_whole
from simlib.report.display import LIVE

START = "start.md"
_MADE = ".made.json"
"""Names the copies, each with a hash of itself and of the chapter when it was made."""

_EXTENSIONS = Path(".jupyter") / "labextensions"
_SCRIPT = Path(__file__).with_name("static") / "lab-figures.js"
_SETTINGS = {
    # pages of prose are there to be read
    "@jupyterlab/docmanager-extension:plugin": {"defaultViewers": {"markdown": "Markdown Preview"}},
    # the browser's search finds what is drawn only
    "@jupyterlab/notebook-extension:tracker": {"windowingMode": "none"},
    # the news come from another host
    "@jupyterlab/apputils-extension:notification": {"fetchNews": "false", "checkForUpdates": False},
}


_FIGURES: dict[str, Any] = {
    "name": "jupyterlab-plotly",
    "version": "1.0.0",
    "jupyterlab": {
        "mimeExtension": True,
        "_build": {"load": "static/lab-figures.js", "mimeExtension": "./mimeExtension"},
    },
}
"""What JupyterLab reads of the extension that draws figures; by its name it stands in for that of plotly."""


def make_copies(folder: Path, root: Path | None = None) -> list[str]:
    """Write a copy of every chapter and of the prose, and a start page that leads to them.

    A copy that was edited is left as it is.

    Args:
        folder: where the copies go.
        root: the book's repository, found from the working directory by default.

    Returns:
        The names of the chapters whose edited copies were left.

    Raises:
        InputError: the folder holds something else than copies.
        OutputError: the folder cannot be made, or a file cannot be written.
    """
    root = root or repository()
    made = _started(folder)
    kept, titles = list[str](), dict[str, str]()
    for name, path in find_notebooks(root / "notebooks").items():
        source = read_source(path)
        titles[name] = title_of(source)
        copy = _copy_path(folder, name)
        if copy.is_file() and sha256_of(copy) != made.get(name, {}).get("copy"):
            kept.append(name)
            continue
        write_notebook(_copy_of(source, path.with_suffix(".ipynb")), copy)
        made[name] = {"copy": sha256_of(copy), "source": sha256_of(path)}
        _write(folder / _MADE, json.dumps(made, indent=1))
    for path in sorted((root / "book").glob("*.md")):
        _write(folder / "book" / path.name, path.read_text("utf-8"))
    try:
        shutil.copytree(root / "book" / "_static", folder / "book" / "_static", dirs_exist_ok=True)
    except OSError as error:
        raise OutputError(f"Copies cannot be put into {folder}: {error}. Choose another --folder.") from error
    _write(folder / START, _start_page(root, titles))
    _write(folder / ".jupyter" / "labconfig" / "default_setting_overrides.json", json.dumps(_SETTINGS))
    extension = folder / _EXTENSIONS / _FIGURES["name"]
    _write(extension / "package.json", json.dumps(_FIGURES))
    _write(extension / "static" / "lab-figures.js", _SCRIPT.read_text("utf-8"))
    _write(extension / "static" / "plotly.min.js", get_plotlyjs())
    return kept


def open_lab(folder: Path, arguments: Sequence[str] = ()) -> int:
    """Open JupyterLab on the start page of working copies; return its exit code.

    Args:
        folder: of the copies.
        arguments: further ones for JupyterLab, such as ``--no-browser``.
    """
    search = [str(folder / ".jupyter"), *filter(None, [os.environ.get("JUPYTER_CONFIG_PATH")])]
    command = python("-m", "jupyterlab", f"--ServerApp.root_dir={folder}")
    workspaces = folder / ".jupyter" / "workspaces"
    command += [
        f"--LabApp.default_url=/lab/tree/{START}",
        f"--LabApp.workspaces_dir={workspaces}",
        f"--LabApp.extra_labextensions_path={folder / _EXTENSIONS}",
        f"--FileContentsManager.pre_save_hook={drop_dials.__module__}.{drop_dials.__name__}",
        *arguments,
    ]
    environment = {**os.environ, "JUPYTER_CONFIG_PATH": os.pathsep.join(search)}
    with Children() as children, children.started(command, environment, in_terminal=True) as process:
        # Ctrl-C reaches JupyterLab, too, which asks whether it is meant
        former = signal.signal(signal.SIGINT, lambda *_: None)
        try:
            process.wait()
        finally:
            signal.signal(signal.SIGINT, former)
    return process.returncode


def drop_dials(model: dict[str, Any], **_: Any) -> None:
    """Take out of a notebook, before Jupyter saves it, what another kernel could not show; figures stay.

    Args:
        model: as the server of Jupyter has it, with the notebook as its ``content``.
    """
    if model["type"] == "notebook":
        for cell in model["content"]["cells"]:
            if "outputs" in cell:
                cell["outputs"] = [each for each in cell["outputs"] if LIVE not in each.get("data", {})]


def bring_back(names: Sequence[str], folder: Path, root: Path | None = None) -> list[Path]:
    """Put edited working copies into the committed pairs, cells and outputs; return the files written.

    Args:
        names: of the chapters.
        folder: of the copies.
        root: the book's repository, found from the working directory by default.

    Raises:
        UnknownNameError: there is no such chapter.
        NotebookError: there is no copy of it; the chapter has changed since the copy was made; or the copy is
            no chapter. Nothing is written then.
        OutputError: a file cannot be written.
    """
    root = root or repository()
    chosen = find_notebooks(root / "notebooks", names)
    made, copies, texts = _made(folder), {}, {}
    for name, path in chosen.items():
        copy = _copy_path(folder, name)
        if not copy.is_file():
            raise NotebookError(f"There is no working copy {copy}. Make it first: simlib lab")
        if made.get(name, {}).get("source") != sha256_of(path):
            raise NotebookError(
                f"{path} has changed since {copy} was made, and would lose that change. Put yours into "
                f"{path.name} by hand; then delete the copy, and run simlib lab for a new one."
            )
        copies[name] = notebook = read_notebook(copy)
        strip_run(notebook)
        texts[name] = text_of(notebook, path)
    for name, path in chosen.items():
        _write(path, texts[name])
        metadata = {**read_source(path).metadata, "language_info": {"name": "python"}}
        copies[name].metadata = nbformat.from_dict(metadata)
        write_notebook(copies[name], path.with_suffix(".ipynb"))
        made[name] = {"copy": sha256_of(_copy_path(folder, name)), "source": sha256_of(path)}
        _write(folder / _MADE, json.dumps(made, indent=1))
    return [file for path in chosen.values() for file in (path, path.with_suffix(".ipynb"))]


def _started(folder: Path) -> dict[str, dict[str, str]]:
    """Make the folder ready for copies; return what is known of those that it holds."""
    try:
        (folder / "notebooks").mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"Copies cannot be put into {folder}: {error}. Choose another --folder.") from error
    if not (folder / _MADE).is_file():
        if listed(folder / "notebooks") or [path for path in listed(folder) if path.name != "notebooks"]:
            raise InputError(f"{folder} holds other files than working copies. Give a new or empty folder.")
        _write(folder / _MADE, "{}")
    return _made(folder)


def _copy_of(source: Any, committed: Path) -> Any:
    """Return a notebook as JupyterLab would save it: to open it is no change."""
    notebook = read_notebook(committed) if committed.is_file() else source
    if not same_cells(notebook, source):
        notebook = source
    strip_run(notebook)
    # not paired: the copies have no twins
    language = {
        "codemirror_mode": {"name": "ipython", "version": 3},
        "file_extension": ".py",
        "mimetype": "text/x-python",
        "name": "python",
        "nbconvert_exporter": "python",
        "pygments_lexer": "ipython3",
        "version": platform.python_version(),
    }
    notebook.metadata = nbformat.from_dict({"kernelspec": KERNEL, "language_info": language})
    return notebook


def _start_page(root: Path, titles: dict[str, str]) -> str:
    """Return the page that opens first: chapters in their order, and the pages of prose beside them."""
    lines = [
        "# Attacking Perceptual Similarity Metrics",
        "These are working copies: change and run them as you like, the committed chapters stay as they are. "
        "The dials of a chapter are in its first code cell. Turn one, then choose *Run*, *Run All Cells*.",
        "`simlib book back NAME` puts an edited copy back into the book. "
        "To start a chapter anew, delete its copy, and open JupyterLab again.",
    ]
    prose, chapters = [], []
    for page in pages(root / "_toc.yml"):
        name = Path(page).name
        if page.startswith("notebooks/"):
            chapters.append(f"{len(chapters) + 1}. [{titles[name]}](notebooks/{name}.ipynb)")
        elif name != "bibliography" and (text := (root / f"{page}.md").read_text("utf-8")):
            prose.append(f"- [{text.partition(chr(10))[0].removeprefix('# ')}]({page}.md)")
    lines += ["## Chapters", "\n".join(chapters), "## To read beside them", "\n".join(prose), ""]
    return "\n\n".join(lines)


def _copy_path(folder: Path, name: str) -> Path:
    return folder / "notebooks" / f"{name}.ipynb"


def _made(folder: Path) -> dict[str, dict[str, str]]:
    """Return the hashes of the copies; of none where they cannot be read, so that all copies are kept."""
    try:
        made = json.loads((folder / _MADE).read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return made if isinstance(made, dict) and all(isinstance(each, dict) for each in made.values()) else {}


def _write(path: Path, text: str) -> None:
    make_folder(path.parent)
    with written_whole(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
