"""Execution of the book's notebooks by papermill, in parallel, each in a kernel of this very Python."""

from __future__ import annotations

import json
import os
import re
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ipykernel.kernelspec import write_kernel_spec

from simlib.book.children import Children, bound
from simlib.book.notebooks import (
    find_notebooks,
    place_of,
    read_notebook,
    read_source,
    strip_run,
    was_added,
    write_notebook,
)
from simlib.book.parameters import known_parameters, load_profile, resolve
from simlib.book.values import Values
from simlib.checkout import (
    DATA_VARIABLE,
    PROFILE_VARIABLE,
    RESULTS_VARIABLE,
    WEIGHTS_VARIABLE,
    repository,
)
from simlib.errors import InputError, NotebookError, OutputError
from simlib.files import why_not_written
from simlib.given import given_path
from simlib.output import error_stream
from simlib.progress import Bar

# the package can be run by `python -m`, but then knows nothing of the end of this process
_PAPERMILL = "from papermill.cli import papermill; papermill()"
_NEVER_STARTED = "Kernel died before replying to kernel_info"
_CELL_STARTS = re.compile(r"Executing Cell \d+")
_THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")
_FOLDERS = (WEIGHTS_VARIABLE, DATA_VARIABLE, RESULTS_VARIABLE)
_ANSI = re.compile(r"\x1b\[[0-9;]*m")


@dataclass(frozen=True)
class _Job:
    """One notebook that is about to run, in a scratch folder of its own: ``work``."""

    name: str
    source: Any
    profile: str
    parameters: Values
    output: Path
    work: Path
    environment: Mapping[str, str]


def run_notebooks(
    names: Sequence[str] | None = None,
    profile: str = "quick",
    output: Path | str | None = None,
    jobs: int | None = None,
    parameters: Mapping[str, Values] | None = None,
    source: Path | str | None = None,
) -> list[Path]:
    """Execute notebooks, and write them with their outputs into a folder.

    The cells come from the ``.py`` files; nothing is written beside them. The result of a former run stays
    until that of this one is whole.

    Args:
        names: which notebooks, such as ``triplets``; all of them by default.
        profile: the file of ``params/`` that sets their parameters.
        output: the folder for executed notebooks, ``_build/notebooks/<profile>`` of the book by default.
        jobs: how many notebooks run at a time; by default as many as there are cores.
        parameters: values that win over the profile's, by notebook name or ``all``; relative paths among them
            are meant from the working directory.
        source: the folder of the notebooks, the book's own by default.

    Returns:
        The executed notebooks, in the book's order.

    Raises:
        UnknownNameError: a notebook, profile or parameter that does not exist; nothing has run then.
        InputError: a value is none for its parameter; nothing has run then.
        OutputError: the output folder cannot be written, or is full.
        NotebookError: notebooks raised. The others have run to their end, the partial ones are kept.
    """
    folder = given_path(source) if source is not None else repository() / "notebooks"
    selected = find_notebooks(folder, names)
    known = known_parameters(find_notebooks(folder))
    values = resolve(known, selected, load_profile(folder / "params", profile), parameters or {})
    if any(values.values()):
        # This loads torch, which nothing else here needs.
        from simlib.book.dials import require_valid

        require_valid(known, values)
    if jobs is not None and jobs < 1:
        raise InputError(f"jobs is {jobs}, but at least one notebook must run at a time.")
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    parallel = min(jobs or cores, len(selected))
    target = given_path(output) if output is not None else repository() / "_build" / "notebooks" / profile
    target = target.resolve()
    with _scratch_folder(target) as scratch:
        environment = _environment(scratch, profile, max(1, cores // parallel))
        # chapters that run one plan share its results
        environment.setdefault(RESULTS_VARIABLE, str(target / "results"))
        work = [
            _Job(name, read_source(path), profile, values[name], target, scratch / name, environment)
            for name, path in selected.items()
        ]
        problems = _run_all(work, parallel)
    failures = [
        _failure(target, name, problem) for name, problem in zip(selected, problems, strict=True) if problem
    ]
    if failures:
        raise NotebookError(
            f"{len(failures)} of {len(selected)} notebooks failed; the others ran.\n"
            + "\n".join(failures)
            + "\nOpen the partial notebook to read the whole traceback."
        )
    return [target / f"{name}.ipynb" for name in selected]


def _failure(target: Path, name: str, problem: str) -> str:
    lines = [f"  {name}, {problem}", f"    kept: {target / 'failed' / name}.ipynb"]
    former = target / f"{name}.ipynb"
    return "\n".join([*lines, *[f"    still there, of a former run: {former}"] * former.exists()])


@contextmanager
def _scratch_folder(output: Path) -> Iterator[Path]:
    """Make a folder for the time of a run; whatever cannot be written then is an OutputError."""
    try:
        output.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".run-", dir=output, ignore_cleanup_errors=True) as scratch:
            yield Path(scratch)
    except OutputError:
        raise
    except OSError as error:
        raise OutputError(
            f"The output folder {output} cannot be written: {error.strerror}. Choose another with --output."
        ) from error


def _environment(scratch: Path, profile: str, threads: int) -> dict[str, str]:
    """Return the environment variables that papermill and the kernels are started with."""
    # a kernel of the name python3 that a user installed elsewhere would run another Python
    write_kernel_spec(scratch / "jupyter" / "kernels" / "python3")
    search = [str(scratch / "jupyter"), *filter(None, [os.environ.get("JUPYTER_PATH")])]
    # notebooks run in a folder of their own, where a relative path would lead elsewhere
    folders = {name: os.environ[name] for name in _FOLDERS if os.environ.get(name)}
    modules = filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))
    return {
        **os.environ,
        **{name: str(given_path(folder).absolute()) for name, folder in folders.items()},
        "PYTHONPATH": os.pathsep.join(str(Path(folder).absolute()) for folder in modules),
        **dict.fromkeys(_THREAD_VARIABLES, str(threads)),
        "JUPYTER_PATH": os.pathsep.join(search),
        "JUPYTER_PLATFORM_DIRS": "1",
        PROFILE_VARIABLE: profile,
    }


def _run_all(work: Sequence[_Job], parallel: int) -> list[str]:
    """Run notebooks side by side; return for each why it failed, empty if it did not."""
    with Children() as children, ThreadPoolExecutor(parallel) as pool:
        futures = [pool.submit(_run_one, job, place, children) for place, job in enumerate(work)]
        try:
            return [future.result() for future in futures]
        except BaseException:
            # without this an interrupted run would wait for notebooks that nobody wants any more
            pool.shutdown(wait=False, cancel_futures=True)
            children.end()
            raise


def _run_one(job: _Job, place: int, children: Children) -> str:
    started = time.monotonic()
    failed = job.output / "failed" / f"{job.name}.ipynb"
    code, log = _execute(job, place, children)
    if code and any(_NEVER_STARTED in line for line in log):
        # another kernel that started at the same time took its port
        code, log = _execute(job, place, children)
    if children.ended:
        return ""
    executed, problem = job.work / "executed.ipynb", ""
    if code == 0:
        notebook = read_notebook(executed)
        strip_run(notebook)
        notebook.metadata["simlib"] = {
            "profile": job.profile,
            "parameters": job.parameters,
        }
        write_notebook(notebook, job.output / f"{job.name}.ipynb")
        failed.unlink(missing_ok=True)
    else:
        problem = _problem(executed, log)
        failed.parent.mkdir(exist_ok=True)
        shutil.copyfile(executed if executed.exists() else job.work / "source.ipynb", failed)
    result = f"FAILED: {problem}" if problem else "done"
    Bar.write(f"  {job.name:<28} {time.monotonic() - started:7.1f} s  {result}", file=error_stream())
    return problem


def _execute(job: _Job, place: int, children: Children) -> tuple[int, list[str]]:
    """Run papermill on a notebook; return its exit code and what it printed."""
    cwd, source = job.work / "cwd", job.work / "source.ipynb"
    cwd.mkdir(parents=True, exist_ok=True)
    write_notebook(job.source, source)
    command = bound(
        _PAPERMILL, str(source), str(job.work / "executed.ipynb"),
        # JSON is YAML, and keeps a string that looks like a number a string
        "--parameters_yaml", json.dumps(job.parameters),
        "--kernel", "python3", "--cwd", str(cwd), "--log-output", "--no-progress-bar",
    )  # fmt: skip
    cells = sum(cell.cell_type == "code" for cell in job.source.cells)
    quiet, log = not error_stream().isatty(), []
    with (
        children.started(command, job.environment) as process,
        Bar(total=cells, desc=job.name, unit="cell", position=place, leave=False, disable=quiet) as bar,
    ):
        for line in process.stdout or ():
            log.append(line)
            if _CELL_STARTS.search(line):
                # a cell that starts shows that the one before it is done
                bar.update(min(1, cells - bar.n))
    return process.returncode, log


def _problem(executed: Path, log: Sequence[str]) -> str:
    """Return where and why a notebook stopped: cell number, its first line, the exception's last line.

    Raises:
        OutputError: it stopped because papermill could not write it.
    """
    last = next((line.strip() for line in reversed(log) if line.strip()), "no message")
    try:
        cells = read_notebook(executed).cells if executed.exists() else []
    except NotebookError:
        # only papermill writes this file, and a cell that raised would be in it
        if why := why_not_written(last):
            raise OutputError(
                f"A notebook cannot be written to {executed.parent}: {why}. "
                "Make room there, or choose another folder with --output."
            ) from None
        cells = []
    # the last error is the one that stopped the run: earlier ones were expected
    chapter = [cell for cell in cells if not was_added(cell)]
    for number, cell in reversed(list(enumerate(chapter, start=1))):
        for output in cell.get("outputs", []):
            if output.output_type == "error":
                reason = _ANSI.sub("", output.evalue).strip().splitlines()[-1:]
                return f"{place_of(cell, number)}: {': '.join([output.ename, *reason])}"
    return f"no cell raised, but papermill stopped: {last}"
