"""The commands simlib run and simlib results."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest
import torch

from simlib.benchmark import run as benchmark_run
from simlib.benchmark.engines import LocalEngine
from simlib.benchmark.rates import transfer_matrix
from simlib.benchmark.store import Store
from simlib.cli import main
from simlib.report.tables import FORMATS
from simlib.triplets import photos
from tests.cli.conftest import Ask
from tests.support import weights_are_here
from tests.triplets.stored_triplets import save_as_split

PLAN = """
shard_size = 4
device = "cpu"
protocol = "paper"

[data]
n = 6

[white_box]
metrics = ["l2", "gmsd"]

[[white_box.attacks]]
title = "PGD"
attack = "pgd"
eps = 0.03
step = 0.005
steps = 6

[[white_box.attacks]]
title = "FGSM"
attack = "fgsm"

[transfer]
sources = ["gmsd", "l2"]
targets = ["l1", "l2"]
chosen_by = "PGD(6)"

[[transfer.attacks]]
title = "PGD(6)"
attack = "pgd"
eps = 0.03
step = 0.005
steps = 6
"""


def plan_in(folder: Path, text: str = PLAN, name: str = "mine.toml") -> str:
    (folder / name).write_text(text)
    return str(folder / name)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store in which the plan was run."""
    folder = tmp_path_factory.mktemp("finished")
    assert main(["run", plan_in(folder), "--store", str(folder / "store")]) == 0
    return folder / "store"


@pytest.fixture
def results(ask: Ask) -> Ask:
    """Ask for results in a store."""
    return lambda store, *arguments, code=0: ask("results", "--store", str(store), *arguments, code=code)


def test_without_a_plan_those_that_are_shipped_are_listed(ask: Ask) -> None:
    lines = ask("run").splitlines()
    assert [line.split()[0] for line in lines[1:4]] == ["bapps", "photos", "smoke"]
    assert "photos, 512" in lines[2] and "bapps, all" in lines[1]


def test_a_run_says_what_it_does_and_ends_with_tables(
    tmp_path: Path, ask: Ask, capsys: pytest.CaptureFixture[str]
) -> None:
    store = tmp_path / "store"
    arguments = ["run", plan_in(tmp_path), "--store", str(store), "--n", "2"]
    assert main([*arguments, "--batch-size", "1"]) == 0
    shown = capsys.readouterr()
    lines = [line.split() for line in shown.out.splitlines()]
    assert ["white-box", "2", "2", "–", "2", "8", "0"] in lines
    assert ["transfer", "2", "1", "2", "2", "10", "0"] in lines
    assert "flips" in shown.err, "the bar shows the flips so far"
    assert "Images made on GMSD" in shown.out and "Images made on L2" in shown.out
    assert f"simlib results --store {store} --plan mine --table transfer" in shown.out
    record = Store(store).record("mine")
    assert record.finished and record.plan.data.n == 2
    again = ask(*arguments)
    assert ["white-box", "2", "2", "–", "2", "8", "8"] in [line.split() for line in again.splitlines()]
    assert "Images made on GMSD" in again


def test_a_dry_run_computes_nothing(tmp_path: Path, ask: Ask) -> None:
    plan = plan_in(tmp_path)
    for more in ([], ["--store", str(tmp_path / "store"), "--data", "photos"]):
        assert "stored already" in ask("run", plan, "--dry-run", *more)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.toml"]


@pytest.mark.parametrize(
    ("arguments", "messages"),
    [
        (["smok", "--store", "s"], ["Unknown plan 'smok'. Did you mean smoke"]),
        (["none.toml", "--store", "s"], ["There is no file none.toml"]),
        (["mine.toml"], ["Where shall results go?"]),
        (["mine.toml", "--store", "s", "--workers", "2"], ["--workers is for Ray only"]),
        (["mine.toml", "--store", "s", "--batch-size", "0"], ["--batch-size is 0"]),
        (["mine.toml", "--store", "s", "--device", "gpu", "--n", "0"], ["n is 0"]),
        (["mine.toml", "--store", "s", "--device", "gpu"], ["There is no device 'gpu' here"]),
        (["mine.toml", "--store", "s", "--data", "nowhere"], ["There are no data 'nowhere'"]),
        (["wrong.toml", "--store", "s"], ["[white_box]: metrics is missing", "Unknown key 'sed'"]),
        (["other.toml", "--store", "s"], ["Unknown metric 'l3'", "Unknown attack 'pdg'"]),
        (["mine.toml", "--store", "taken"], ["is no store of simlib"]),
    ],
)
def test_what_is_wrong_is_said_before_any_work(
    arguments: list[str], messages: list[str], tmp_path: Path, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    plan_in(tmp_path)
    plan_in(tmp_path, "sed = 1\n[white_box]\nattacks = []", "wrong.toml")
    plan_in(tmp_path, PLAN.replace('"l2", "gmsd"', '"l3"').replace('"fgsm"', '"pdg"'), "other.toml")
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "thesis.tex").write_text("mine")
    error = ask("run", *arguments, code=2)
    assert error.startswith("simlib: ")
    assert all(message in error for message in messages)
    assert not (tmp_path / "s").exists()
    assert [path.name for path in (tmp_path / "taken").iterdir()] == ["thesis.tex"]


def test_absent_metrics_are_left_out_when_asked_for(
    tmp_path: Path, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SIMLIB_WEIGHTS", str(tmp_path))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    plan = plan_in(tmp_path, PLAN.replace('targets = ["l1", "l2"]', 'targets = ["dists", "l1"]'))
    error = ask("run", plan, "--dry-run", code=2)
    assert "dists: weights absent: simlib weights fetch vgg16 dists" in error
    assert "--skip-absent" in error
    lines = ask("run", plan, "--dry-run", "--skip-absent").splitlines()
    assert lines[0] == "left out: dists: weights absent: simlib weights fetch vgg16 dists"
    assert lines[4].split() == ["transfer", "2", "1", "1", "6", "24", "0"]


def test_an_interrupted_run_says_how_to_go_on(
    tmp_path: Path, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(benchmark_run, "run_plan", interrupted)
    error = ask("run", plan_in(tmp_path), "--store", str(tmp_path / "s"), code=130)
    assert "the same command goes on from there" in error


def test_the_engine_ray_gets_what_was_asked_for(
    tmp_path: Path, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    from simlib.benchmark import ray_engine

    asked: dict[str, Any] = {}

    class Fake(LocalEngine):
        def __init__(self, device_type: str, **given: Any) -> None:
            super().__init__(torch.device(device_type))
            asked.update(given, device_type=device_type)

        def close(self) -> None:
            super().close()
            asked["closed"] = True

    monkeypatch.setattr(ray_engine, "RayEngine", Fake)
    arguments = ["run", plan_in(tmp_path), "--store", str(tmp_path / "s"), "--n", "1", "--engine", "ray"]
    options = "--address here:1 --workers 3 --cpus-per-worker 2 --gpus-per-worker 0.5 --batch-size 7"
    ask(*arguments, *options.split())
    given = {"address": "here:1", "workers": 3, "cpus_per_worker": 2, "gpus_per_worker": 0.5, "batch_size": 7}
    assert asked == {**given, "device_type": "cpu", "closed": True}
    ask(*arguments)
    assert (asked["cpus_per_worker"], asked["workers"], asked["gpus_per_worker"]) == (1, None, None)


def test_runs_of_a_store_are_listed(finished: Path, results: Ask) -> None:
    (run,) = json.loads(results(finished, "--format", "json", "--plan", "yours"))
    assert (run["plan"], run["triplets"], run["finished"]) == ("mine", 6, "yes")
    assert run["key"] == Store(finished).record().key


@pytest.mark.parametrize(
    "asked",
    [
        "white-box",
        "transfer",
        "comparison",
        "comparison --part transfer --source gmsd",
        "strata",
        "strata --part transfer",
        "trade-off --attack FGSM",
        "trade-off --part transfer",
        "published --part transfer",
        "published --part white-box",
    ],
)
def test_every_table_comes_in_every_format(asked: str, finished: Path, results: Ask) -> None:
    shown = {form: results(finished, "--format", form, "--table", *asked.split()) for form in FORMATS}
    header, *rows = csv.reader(io.StringIO(shown["csv"]))
    assert rows and all(len(row) == len(header) for row in rows)
    assert len(json.loads(shown["json"])) == len(rows)
    for form, mark in (("text", "  "), ("markdown", "| --- |"), ("latex", r"\begin{tabular}")):
        assert mark in shown[form]


@pytest.mark.parametrize(("options", "chosen_by"), [([], ""), (["--chosen"], "PGD(6)")])
def test_the_transfer_table_counts_the_rows(
    options: list[str], chosen_by: str, finished: Path, results: Ask
) -> None:
    rows = Store(finished).rows(Store(finished).record(), part="transfer")
    expected = transfer_matrix(rows, chosen_by=chosen_by)
    found = json.loads(results(finished, "--table", "transfer", "--format", "json", *options))
    assert [(each["source"], each["target"], each["triplets"], each["counted"]) for each in found] == [
        (each.source, each.target, each.n, each.counted) for each in expected
    ]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--table", "published", "--format", "csv"], "These are 2 tables, and csv holds one."),
        (["--table", "transfer", "--source", "l1"], "Unknown source of transfer 'l1'"),
        (["--table", "strata", "--attack", "PGD(6)"], "Unknown attack 'PGD(6)'"),
        (["--plan", "yours", "--table", "transfer"], "Unknown run 'yours'. Known: mine."),
    ],
)
def test_what_a_store_does_not_have(arguments: list[str], message: str, finished: Path, results: Ask) -> None:
    assert message in results(finished, *arguments, code=2)


def test_parts_that_a_plan_lacks(tmp_path: Path, ask: Ask, results: Ask) -> None:
    plan = plan_in(tmp_path, PLAN.partition("[transfer]")[0])
    store = tmp_path / "store"
    assert "--table white-box" in ask("run", plan, "--store", str(store), "--n", "1")
    assert "The plan mine has no part transfer." in results(store, "--table", "transfer", code=2)
    results(store, "--table", "published")
    text = PLAN.replace('chosen_by = "PGD(6)"', "").replace("[white_box]", "[nothing]")
    plan = plan_in(tmp_path, text[: text.index("[nothing]")] + text[text.index("[transfer]") :], "later.toml")
    ask("run", plan, "--store", str(store), "--n", "1")
    error = results(store, "--plan", "later", "--table", "transfer", "--chosen", code=2)
    assert "The plan later chooses no triplets." in error


def test_an_unfinished_run_is_shown_only_when_asked_for(tmp_path: Path, ask: Ask, results: Ask) -> None:
    store = tmp_path / "store"
    ask("run", plan_in(tmp_path), "--store", str(store))
    max((store / "rows").glob("*.parquet")).unlink()
    assert f"simlib run PLAN --store {store}" in results(store, "--table", "white-box", code=2)
    assert "GMSD" in results(store, "--table", "white-box", "--partial")


def test_there_is_no_store(tmp_path: Path, results: Ask) -> None:
    assert "There is no store in" in results(tmp_path / "none", code=2)
    assert not (tmp_path / "none").exists()


@pytest.mark.slow
def test_the_shipped_plan_smoke_ends_with_tables(tmp_path: Path, ask: Ask) -> None:
    shown = ask("run", "smoke", "--store", str(tmp_path / "s"), "--device", "cpu")
    assert "Images made on SSIM" in shown


@pytest.mark.slow
@pytest.mark.parametrize("plan", ["photos", "bapps"])
def test_the_shipped_plans_end_with_tables(
    plan: str, tmp_path: Path, ask: Ask, results: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On few triplets; BAPPS is a small tree of the same layout."""
    if not weights_are_here("lpips-alex"):
        pytest.skip("the weights of LPIPS (Alex) are not on this machine")
    save_as_split(tmp_path / "data" / "2afc" / "val", photos(12)[::2])
    monkeypatch.setenv("SIMLIB_DATA", str(tmp_path / "data"))
    arguments = ["run", plan, "--store", str(tmp_path / "s"), "--skip-absent", "--device", "cpu"]
    shown = ask(*arguments, *(["--n", "1"] if plan == "photos" else []))
    assert "flipped: as the protocol counts" in shown
    assert "Images made on LPIPS (Alex)" in shown
    assert "12,227" in results(tmp_path / "s", "--table", "published")
