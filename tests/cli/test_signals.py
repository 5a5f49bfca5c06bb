"""Signals that end a command: its children end with it, and its scratch folder goes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from simlib.cli.signals import Ended, ended_by_signals

COMMAND = """
import signal, sys
from simlib.cli import main
# whoever runs the tests in the background ignores it
signal.signal(signal.SIGINT, signal.default_int_handler)
sys.exit(main(sys.argv[1:]))
"""
# a kernel that has started another process, and would go on for long
BUSY = """import os, pathlib, subprocess, time
other = subprocess.Popen(["sleep", "300"])
pathlib.Path({told!r} + ".part").write_text(f"{{os.getpid()}} {{os.getppid()}} {{other.pid}}")
os.rename({told!r} + ".part", {told!r})
time.sleep(300)
"""
HEAD = '# %% [markdown]\n# # One\n\n# %% tags=["parameters"]\nn = 1\n\n# %%\n'


@pytest.fixture
def busy(tmp_path: Path) -> Iterator[Callable[[], tuple[subprocess.Popen[str], list[int]]]]:
    """Return a function that executes a notebook: it gives the command, and the processes that it started."""
    (tmp_path / "notebooks" / "params").mkdir(parents=True)
    (tmp_path / "_toc.yml").write_text("format: jb-book\nroot: notebooks/one\n")
    (tmp_path / "notebooks" / "params" / "quick.yaml").write_text("")
    told = tmp_path / "told"
    (tmp_path / "notebooks" / "one.py").write_text(HEAD + BUSY.format(told=str(told)))
    started: list[psutil.Process] = []

    def start() -> tuple[subprocess.Popen[str], list[int]]:
        command = [sys.executable, "-c", COMMAND, "notebooks", "--output", str(tmp_path / "out")]
        process = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True)
        until = time.monotonic() + 60
        while not told.exists():
            assert process.poll() is None and time.monotonic() < until
            time.sleep(0.05)
        numbers = [int(number) for number in told.read_text().split()]
        started.extend(map(psutil.Process, [process.pid, *numbers]))
        return process, numbers

    yield start
    for each in started:
        if each.is_running():
            each.kill()


def run(numbers: list[int]) -> list[int]:
    """Return those of some processes that run."""
    return [each for each in numbers if psutil.pid_exists(each) and psutil.Process(each).status() != "zombie"]


@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP", "SIGINT", "SIGUSR1"])
def test_what_ends_a_command_ends_its_notebooks(
    name: str, busy: Callable[[], tuple[subprocess.Popen[str], list[int]]], tmp_path: Path
) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "one.ipynb").write_text("the former result")
    process, numbers = busy()
    assert run(numbers) == numbers
    process.send_signal(signal.Signals[name])
    _, told = process.communicate(timeout=60)
    assert process.returncode == 128 + signal.Signals[name]
    assert run(numbers) == []
    assert "Traceback" not in told and "FAILED" not in told
    assert told.endswith("simlib: interrupted\n" if name == "SIGINT" else f"simlib: ended by {name}\n")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["one.ipynb"]
    assert (tmp_path / "out" / "one.ipynb").read_text() == "the former result"


def test_a_command_that_is_killed_leaves_no_kernel(
    busy: Callable[[], tuple[subprocess.Popen[str], list[int]]],
) -> None:
    process, (kernel, papermill, _) = busy()
    process.kill()
    process.communicate(timeout=60)
    until = time.monotonic() + 60
    while run([kernel, papermill]):
        assert time.monotonic() < until
        time.sleep(0.1)


PLAN = """
device = "cpu"
shard_size = 4
[data]
source = "photos"
n = 100000
[white_box]
metrics = ["l2"]
attacks = [{attack = "fgsm"}]
"""


@pytest.mark.slow
def test_a_run_that_is_ended_keeps_what_is_whole(tmp_path: Path) -> None:
    (tmp_path / "long.toml").write_text(PLAN)
    command = [sys.executable, "-c", COMMAND, "run", "long.toml", "--store", "store"]
    pipe = subprocess.PIPE
    process = subprocess.Popen(command, cwd=tmp_path, stdout=pipe, stderr=pipe, text=True)
    until = time.monotonic() + 100
    while not list(tmp_path.glob("store/rows/*.parquet")):
        assert process.poll() is None and time.monotonic() < until
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    _, told = process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGTERM
    last = "What is finished is stored; the same command goes on from there.\nsimlib: ended by SIGTERM\n"
    assert told.endswith(last)
    assert {path.suffix for path in tmp_path.glob("store/rows/*")} == {".parquet"}


def test_only_signals_that_would_end_the_process_are_taken_and_only_for_the_time_of_a_command() -> None:
    # Other tests of this process may have given signals a meaning, as Ray does with SIGTERM.
    former = {each: signal.getsignal(each) for each in (signal.SIGHUP, signal.SIGTERM)}
    try:
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        with pytest.raises(Ended) as ended, ended_by_signals():
            os.kill(os.getpid(), signal.SIGHUP)
            os.kill(os.getpid(), signal.SIGTERM)
        assert ended.value.number == signal.SIGTERM
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        for each, handler in former.items():
            # None stands for one that was not set from Python
            signal.signal(each, signal.SIG_DFL if handler is None else handler)
