"""The command simlib: exit codes and messages."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from simlib.cli import main


@pytest.fixture
def outside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_help_lists_the_commands(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["--help"])
    assert stop.value.code == 0
    shown = capsys.readouterr().out
    for command in ("metrics", "weights", "notebooks", "book"):
        assert command in shown


def test_metrics_lists_every_metric(capsys: pytest.CaptureFixture[str]) -> None:
    from simlib.metrics import specs

    assert main(["metrics", "--no-timing"]) == 0
    shown = capsys.readouterr().out
    assert all(spec.name in shown and spec.title in shown for spec in specs())


def test_metrics_for_programs_tell_all_and_what_they_cost(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["metrics", "l2", "ssim", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["name"] for row in rows] == ["l2", "ssim"]
    assert all(row["cost"]["both"] > 0 and row["absent"] == "" for row in rows)
    assert all(row["licence"] and row["citation"] for row in rows)


def test_a_metric_with_a_wrong_file_is_told_and_the_others_are_listed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "alexnet_features.pth").write_bytes(b"cut short")
    monkeypatch.setenv("SIMLIB_WEIGHTS", str(tmp_path))
    assert main(["metrics", "l1", "lpips-alex"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].rstrip().endswith("yes")
    assert "alexnet_features.pth is not the file it should be" in lines[2]


def test_an_unknown_metric_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["metrics", "lpips-alexx"]) == 2
    assert "lpips-alex" in capsys.readouterr().err


def test_unknown_weights_name_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["weights", "fetch", "alexnett"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("simlib: Unknown weights 'alexnett'. Did you mean alexnet")
    assert "Traceback" not in error


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["notebooks", "01-triplet"], "Did you mean 01-triplets"),
        (["notebooks", "--profile", "quik"], "Did you mean quick"),
        (["notebooks", "-p", "n"], "must look like NAME=VALUE"),
        (["notebooks", "-p", "01-triplets.seeds=1"], "Unknown notebook parameter 'seeds'"),
        (["notebooks", "-p", "09-nothing.seed=1"], "Unknown notebook '09-nothing'"),
    ],
)
def test_wrong_requests_exit_with_2_and_a_message(
    arguments: list[str],
    message: str,
    root: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(root)
    assert main([*arguments, "--output", str(tmp_path / "out")]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_book_of_notebooks_that_never_ran_exits_with_1(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(root)
    assert main(["book", "build", "--notebooks", str(tmp_path), "--output", str(tmp_path / "book")]) == 1
    assert "Run first: simlib notebooks" in capsys.readouterr().err
    assert not (tmp_path / "book").exists()


def test_book_is_not_written_over_other_files(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(root)
    (tmp_path / "thesis.tex").write_text("mine")
    for output in (tmp_path, tmp_path / "thesis.tex"):
        assert main(["book", "build", "--output", str(output)]) == 2
        assert "is a file or holds others than a book" in capsys.readouterr().err
    assert (tmp_path / "thesis.tex").read_text() == "mine"


def test_a_reader_that_has_enough_is_no_error() -> None:
    simlib = Path(sys.executable).with_name("simlib")
    command = f"{simlib} weights --json | head -c 10"
    ended = subprocess.run(["bash", "-c", command], capture_output=True, text=True)
    assert len(ended.stdout) == 10
    assert "Traceback" not in ended.stderr
