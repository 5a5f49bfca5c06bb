"""The command simlib: exit codes and messages."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from simlib.attacks import ATTACKS
from simlib.cli import main
from tests.cli.conftest import Ask


@pytest.fixture(autouse=True)
def inside(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ask from the root of the project."""
    monkeypatch.chdir(root)


def test_help_lists_the_commands(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["--help"])
    assert stop.value.code == 0
    shown = capsys.readouterr().out
    for command in ("metrics", "attacks", "weights", "data", "run", "results", "notebooks", "lab", "book"):
        assert command in shown


def test_metrics_lists_every_metric(ask: Ask) -> None:
    from simlib.metrics import specs

    shown = ask("metrics", "--no-timing")
    assert all(spec.name in shown and spec.title in shown for spec in specs())


def test_metrics_for_programs_with_all_that_is_known(ask: Ask) -> None:
    rows = json.loads(ask("metrics", "l2", "ssim", "--json"))
    assert [row["name"] for row in rows] == ["l2", "ssim"]
    assert all(row["cost"]["both"] > 0 and row["absent"] == "" for row in rows)
    assert all(row["licence"] and row["citation"] for row in rows)


def test_the_time_of_a_large_pair_is_told(ask: Ask) -> None:
    (row,) = json.loads(ask("metrics", "ssim", "--json"))
    assert row["cost"]["seconds_a_megapixel"] > 0
    header, line = ask("metrics", "ssim").splitlines()[:2]
    assert float(line[: header.index("large") + 5].split()[-1]) > 0


def test_while_the_time_is_taken_a_bar_says_of_which_metric(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["metrics", "l1", "ssim"]) == 0
    assert "measuring l1:" in capsys.readouterr().err, "also where it is no terminal"


def test_a_metric_with_a_wrong_file_is_marked_and_the_others_are_listed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ask: Ask
) -> None:
    (tmp_path / "alexnet_features.pth").write_bytes(b"cut short")
    monkeypatch.setenv("SIMLIB_WEIGHTS", str(tmp_path))
    lines = ask("metrics", "l1", "lpips-alex").splitlines()
    assert lines[1].rstrip().endswith("yes")
    assert "alexnet_features.pth is not the file it should be" in lines[2]


def test_attacks_are_listed_and_one_is_explained(ask: Ask) -> None:
    rows = {row["name"]: row for row in json.loads(ask("attacks", "--json"))}
    assert rows.keys() == ATTACKS.keys()
    assert (rows["pgd"]["attack"], rows["pgd"]["class"]) == ("pgd", "PGD")
    assert (rows["pgd"]["needs"], rows["square"]["needs"]) == ("gradient", "values only")
    shown = ask("attacks", "square")
    assert "queries" in shown and "500" in shown and "most candidates evaluated" in shown


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["metrics", "lpips-alexx"], "Did you mean lpips-alex"),
        (["attacks", "squar"], "Unknown attack 'squar'. Did you mean square"),
        (["weights", "fetch", "alexnett"], "Unknown weights 'alexnett'. Did you mean alexnet"),
        (["notebooks", "triplet"], "Did you mean triplets"),
        (["notebooks", "--profile", "quik"], "Did you mean quick"),
        (["notebooks", "-p", "n"], "must look like NAME=VALUE"),
        (["notebooks", "-p", "triplets.n=many"], "'many' of the parameter triplets.n cannot be read"),
        (["notebooks", "-p", "triplets.seeds=1"], "Unknown notebook parameter 'seeds'"),
        (["notebooks", "-p", "nothing.seed=1"], "Unknown notebook 'nothing'"),
    ],
)
def test_wrong_requests_exit_with_2_and_a_message(
    arguments: list[str], message: str, tmp_path: Path, ask: Ask
) -> None:
    output = ["--output", str(tmp_path / "out")] if arguments[0] == "notebooks" else []
    error = ask(*arguments, *output, code=2)
    assert error.startswith("simlib: ") and message in error and "Traceback" not in error
    assert not (tmp_path / "out").exists()


def test_book_of_notebooks_that_never_ran_exits_with_1(tmp_path: Path, ask: Ask) -> None:
    pages = tmp_path / "book"
    error = ask("book", "build", "--notebooks", str(tmp_path), "--output", str(pages), code=1)
    assert "Run first: simlib notebooks" in error
    assert not pages.exists()


def test_book_is_not_written_over_other_files(tmp_path: Path, ask: Ask) -> None:
    (tmp_path / "thesis.tex").write_text("mine")
    for output in (tmp_path, tmp_path / "thesis.tex"):
        error = ask("book", "build", "--output", str(output), code=2)
        assert "is a file, or what it holds is no book" in error
    assert (tmp_path / "thesis.tex").read_text() == "mine"


def test_a_reader_that_has_enough_is_no_error() -> None:
    simlib = Path(sys.executable).with_name("simlib")
    command = f"{simlib} weights --json | head -c 10"
    ended = subprocess.run(["bash", "-c", command], capture_output=True, text=True)
    assert len(ended.stdout) == 10
    assert "Traceback" not in ended.stderr
