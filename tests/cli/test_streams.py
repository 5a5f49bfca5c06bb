"""Output to terminals of few letters, to full disks, to nobody: what was asked for is done all the same."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO, cast

import pytest
from tqdm import tqdm

from simlib.benchmark.store import Store
from simlib.cli import main
from simlib.cli.streams import tolerant
from simlib.output import Output

FULL = Path("/dev/full")

needs_full_device = pytest.mark.skipif(not FULL.exists(), reason="this system has no device that is full")


def encoded(encoding: str) -> io.TextIOWrapper:
    """A terminal of this encoding, which refuses what it cannot show."""
    return io.TextIOWrapper(io.BytesIO(), encoding, errors="strict", newline="")


def shown(stream: io.TextIOWrapper) -> str:
    stream.flush()
    return cast(io.BytesIO, stream.buffer).getvalue().decode(stream.encoding)


@pytest.fixture
def full() -> Iterator[TextIO]:
    stream = FULL.open("w", encoding="utf-8")
    yield stream
    # Python would complain of what is left in it.
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
    stream.close()


@pytest.mark.parametrize(
    ("encoding", "expected"),
    [
        ("ascii", "a - b, 3 x 4 >= eps, Haggstrom..., ##, ?"),
        ("latin-1", "a - b, 3 × 4 >= eps, Häggström..., ##, ?"),
        ("cp437", "a - b, 3 x 4 ≥ ε, Häggström..., █#, ?"),
        ("utf-8", "a – b, 3 × 4 ≥ ε, Häggström…, █▎, 木"),
    ],
)
def test_letters_that_a_terminal_lacks_are_spelled(encoding: str, expected: str) -> None:
    stream = encoded(encoding)
    Output(stream).write("a – b, 3 × 4 ≥ ε, Häggström…, █▎, 木")
    assert shown(stream) == expected


def test_bytes_of_a_file_name_that_are_no_text_are_shown() -> None:
    stream = encoded("utf-8")
    Output(stream).write(os.fsdecode(b"caf\xe9.png"))
    assert shown(stream) == "caf\\xe9.png"


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp437"])
def test_tables_are_printed_on_any_terminal(encoding: str, monkeypatch: pytest.MonkeyPatch) -> None:
    stream = encoded(encoding)
    monkeypatch.setattr(sys, "stdout", stream)
    assert main(["run", "smoke", "--dry-run"]) == 0
    (row,) = (line.split() for line in shown(stream).splitlines() if "white-box" in line)
    assert row[3] == "-", "the dash of a cell without a value"


@needs_full_device
def test_a_run_whose_report_cannot_be_written_is_stored(
    tmp_path: Path, full: TextIO, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdout", full)
    assert main(["run", "smoke", "--store", str(tmp_path), "--n", "1"]) == 3
    assert Store(tmp_path).record("smoke").finished
    line = capsys.readouterr().err.splitlines()[-1]
    assert line.startswith("simlib: the output could not be written: ") and "is kept" in line


@needs_full_device
def test_bars_and_errors_that_cannot_be_written_stop_nothing(
    tmp_path: Path, full: TextIO, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stderr", full)
    assert main(["run", "smoke", "--store", str(tmp_path), "--n", "1"]) == 0
    assert "Images made on" in capsys.readouterr().out
    assert main(["attacks", "nothing"]) == 2


def test_without_any_output_a_run_is_stored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", None)
    monkeypatch.setattr(sys, "stderr", None)
    assert main(["run", "smoke", "--store", str(tmp_path), "--n", "1"]) == 0
    assert Store(tmp_path).record("smoke").finished


def test_a_bar_has_only_the_letters_of_its_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = encoded("ascii")
    monkeypatch.setattr(sys, "stderr", stream)
    with tolerant():
        list(tqdm(range(3), "ε × 3"))
    assert "eps x 3: 100%|##########| 3/3" in shown(stream)


@needs_full_device
def test_a_help_that_cannot_be_written_is_told(full: TextIO, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", full)
    assert main(["--help"]) == 3


@pytest.mark.slow
@pytest.mark.parametrize(
    ("redirection", "code", "lines"),
    [(">/dev/full", 3, 1), (">&-", 0, 0), ("<&- >&- 2>&-", 0, 0), (">&- 2>/dev/full", 0, 0)],
)
@needs_full_device
def test_what_a_shell_does_with_the_output(redirection: str, code: int, lines: int) -> None:
    simlib = Path(sys.executable).with_name("simlib")
    ended = subprocess.run(["bash", "-c", f"{simlib} attacks {redirection}"], capture_output=True, text=True)
    assert ended.returncode == code
    assert len(ended.stderr.splitlines()) == lines and "Traceback" not in ended.stderr
