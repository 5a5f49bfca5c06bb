"""Execution of the book's notebooks by papermill, in parallel, each in a kernel of this very Python."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

from simlib.book import repository
from simlib.book.notebooks import (
    find_notebooks,
    read_notebook,
    read_source,
    select_notebooks,
    strip_run,
    was_added,
    write_notebook,
)
from simlib.book.parameters import Values, known_parameters, load_profile, resolve
from simlib.code import code_hash
from simlib.errors import InputError, NotebookError, OutputError
from simlib.report.provenance import HEADLESS_VARIABLE, PROFILE_VARIABLE

_CELL_STARTS = re.compile(r"Executing Cell \d+")
_THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")
# simlib.metrics.weights reads it; importing that would cost this process torch
_WEIGHTS_VARIABLE = "SIMLIB_WEIGHTS"
_ANSI = re.compile(r"\x1b\[[0-9;]*m")


@dataclass(frozen=True)
class Outcome:
    """How the run of one notebook ended.

    ``path`` is the executed notebook, or the partial one when ``problem`` says what went wrong.
    """

    name: str
    path: Path
    seconds: float
    parameters: Values
    problem: str | None = None


@dataclass(frozen=True)
class _Job:
    """One notebook that is about to run; ``work`` is its scratch folder."""

    name: str
    source: Any
    profile: str
    parameters: Values
    output: Path
    work: Path
    threads: int


def run_notebooks(
    names: Sequence[str] | None = None,
    profile: str = "quick",
    output: Path | str | None = None,
    jobs: int | None = None,
    parameters: Mapping[str, Values] | None = None,
    source: Path | str | None = None,
) -> list[Outcome]:
    """Execute notebooks and write them, with their outputs, into a folder; return how each ended.

    The cells come from the ``.py`` files; nothing is written beside them.

    Args:
        names: which notebooks, such as ``01-triplets``; all of them by default.
        profile: the file of ``params/`` that sets their parameters.
        output: the folder for executed notebooks, ``_build/notebooks/<profile>`` of the book by default.
        jobs: how many notebooks run at a time; by default as many as there are cores.
        parameters: values that win over the profile's, by notebook name or ``all``.
        source: the folder of the notebooks, the book's own by default.

    Raises:
        UnknownNameError: a notebook, profile or parameter that does not exist; nothing has run then.
        OutputError: the output folder cannot be written; nothing has run then.
        NotebookError: notebooks raised. The others have run to their end, the partial ones are kept.
    """
    folder = Path(source) if source else repository() / "notebooks"
    selected = select_notebooks(folder, names)
    known = known_parameters(find_notebooks(folder))
    values = resolve(known, selected, load_profile(folder / "params", profile), parameters or {})
    target = Path(output) if output else repository() / "_build" / "notebooks" / profile
    target = _writable(target.resolve())
    if jobs is not None and jobs < 1:
        raise InputError(f"jobs is {jobs}, but at least one notebook must run at a time.")
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    parallel = min(jobs or cores, len(selected))

    with tempfile.TemporaryDirectory(prefix=".run-", dir=target) as scratch:
        work = [
            _Job(
                name=name,
                source=read_source(path),
                profile=profile,
                parameters=values[name],
                output=target,
                work=Path(scratch) / name,
                threads=max(1, cores // parallel),
            )
            for name, path in selected.items()
        ]
        outcomes = _run_all(work, parallel)
    _raise_for_problems(outcomes)
    return outcomes


def notebook_hash(notebook: Any) -> str:
    """Return the SHA-256 of a notebook's cells together with simlib's code: what its outputs came from."""
    cells = [(cell.cell_type, cell.source) for cell in notebook.cells if not was_added(cell)]
    return hashlib.sha256(json.dumps([code_hash(), cells]).encode()).hexdigest()


def _writable(folder: Path) -> Path:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return folder
    except OSError as error:
        raise OutputError(
            f"The output folder {folder} cannot be written: {error.strerror}. Choose another with --output."
        ) from error


def _run_all(work: Sequence[_Job], parallel: int) -> list[Outcome]:
    running: list[subprocess.Popen[str]] = []
    with ThreadPoolExecutor(parallel) as pool:
        futures = [pool.submit(_run_one, job, place, running) for place, job in enumerate(work)]
        try:
            return [future.result() for future in futures]
        except BaseException:
            # without this an interrupted run would wait for notebooks nobody wants any more
            for future in futures:
                future.cancel()
            for process in running:
                process.terminate()
            raise


def _run_one(job: _Job, place: int, running: list[subprocess.Popen[str]]) -> Outcome:
    started = time.monotonic()
    final, failed = job.output / f"{job.name}.ipynb", job.output / "failed" / f"{job.name}.ipynb"
    for stale in (final, failed):
        stale.unlink(missing_ok=True)
    code, log = _execute(job, place, running)
    executed = job.work / "executed.ipynb"
    seconds = time.monotonic() - started
    if code == 0:
        notebook = read_notebook(executed)
        strip_run(notebook)
        notebook.metadata["simlib"] = {
            "profile": job.profile,
            "parameters": job.parameters,
            "source_hash": notebook_hash(notebook),
        }
        write_notebook(notebook, final)
        outcome = Outcome(job.name, final, seconds, job.parameters)
    else:
        problem = _problem(executed, log)
        failed.parent.mkdir(exist_ok=True)
        shutil.copyfile(executed if executed.exists() else job.work / "source.ipynb", failed)
        outcome = Outcome(job.name, failed, seconds, job.parameters, problem)
    result = f"FAILED: {outcome.problem}" if outcome.problem else "done"
    tqdm.write(f"  {job.name:<28} {seconds:7.1f} s  {result}", file=sys.stderr)
    return outcome


def _execute(job: _Job, place: int, running: list[subprocess.Popen[str]]) -> tuple[int, list[str]]:
    """Run papermill on a notebook; return its exit code and what it printed."""
    cwd = job.work / "cwd"
    cwd.mkdir(parents=True)
    write_notebook(job.source, job.work / "source.ipynb")
    # JSON is YAML, and keeps a string that looks like a number a string
    (job.work / "parameters.yaml").write_text(json.dumps(job.parameters), encoding="utf-8")
    command = [
        sys.executable, "-m", "papermill", str(job.work / "source.ipynb"), str(job.work / "executed.ipynb"),
        "--parameters_file", str(job.work / "parameters.yaml"),
        "--kernel", "python3", "--cwd", str(cwd), "--log-output", "--no-progress-bar",
    ]  # fmt: skip
    cells = sum(cell.cell_type == "code" for cell in job.source.cells)
    log: list[str] = []
    process = subprocess.Popen(
        command,
        env=_environment(job),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )
    running.append(process)
    quiet = not sys.stderr.isatty()
    assert process.stdout is not None
    with (
        process.stdout as printed,
        tqdm(total=cells, desc=job.name, unit="cell", position=place, leave=False, disable=quiet) as bar,
    ):
        for line in printed:
            log.append(line)
            if _CELL_STARTS.search(line):
                # what starts says that the one before it is done
                bar.update(min(1, cells - bar.n))
    return process.wait(), log


def _environment(job: _Job) -> dict[str, str]:
    """Return the environment of a notebook's kernel."""
    kernel = job.work / "jupyter" / "kernels" / "python3"
    kernel.mkdir(parents=True)
    specification = {
        "argv": [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"],
        "display_name": "Python 3",
        "language": "python",
    }
    (kernel / "kernel.json").write_text(json.dumps(specification), encoding="utf-8")
    inherited = os.environ.get("JUPYTER_PATH")
    return {
        **os.environ,
        # a kernel of the name python3 that a user installed elsewhere would run another Python
        "JUPYTER_PATH": os.pathsep.join(filter(None, [str(job.work / "jupyter"), inherited])),
        "JUPYTER_PLATFORM_DIRS": "1",
        **_weights_folder(),
        PROFILE_VARIABLE: job.profile,
        HEADLESS_VARIABLE: "1",
        **dict.fromkeys(_THREAD_VARIABLES, str(job.threads)),
    }


def _weights_folder() -> dict[str, str]:
    """Make the folder of the weights absolute: notebooks run in a folder of their own."""
    folder = os.environ.get(_WEIGHTS_VARIABLE)
    return {_WEIGHTS_VARIABLE: str(Path(folder).expanduser().absolute())} if folder else {}


def _problem(executed: Path, log: Sequence[str]) -> str:
    """Return where and why a notebook stopped: cell number, its first line, the exception's last line."""
    if executed.exists():
        cells = [cell for cell in read_notebook(executed).cells if not was_added(cell)]
        # the last error is the one that stopped the run: earlier ones were expected
        for number, cell in reversed(list(enumerate(cells, start=1))):
            for output in cell.get("outputs", []):
                if output.output_type == "error":
                    first = cell.source.strip().partition("\n")[0]
                    reason = _ANSI.sub("", output.evalue).strip().splitlines()[-1:]
                    return f"cell {number} ({first}): {': '.join([output.ename, *reason])}"
    last = next((line.strip() for line in reversed(log) if line.strip()), "no message")
    return f"no cell raised, but papermill stopped: {last}"


def _raise_for_problems(outcomes: Sequence[Outcome]) -> None:
    failures = [outcome for outcome in outcomes if outcome.problem]
    if failures:
        lines = [f"  {failure.name}, {failure.problem}\n    kept: {failure.path}" for failure in failures]
        raise NotebookError(
            f"{len(failures)} of {len(outcomes)} notebooks failed; the others ran.\n"
            + "\n".join(lines)
            + "\nOpen the partial notebook to read the whole traceback."
        )
