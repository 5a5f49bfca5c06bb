"""The commands simlib run and simlib results."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from simlib.benchmark import run as benchmark_run
from simlib.benchmark.engines import LocalEngine
from simlib.benchmark.store import Store
from simlib.cli import main
from simlib.cli.run import _duration
from simlib.report.tables import FORMATS
from simlib.triplets import photos
from tests.stored_triplets import save_as_split
from tests.support import weights_are_here

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
    assert main(["run", plan_in(folder), "--store", str(folder / "store"), "--no-estimate"]) == 0
    return folder / "store"


def results(store: Path, *arguments: str) -> int:
    return main(["results", "--store", str(store), *arguments])


def test_the_command_starts_without_torch() -> None:
    ask = (
        "import sys, simlib.cli; simlib.cli._parser(); print('torch' in sys.modules, 'numpy' in sys.modules)"
    )
    shown = subprocess.check_output([sys.executable, "-c", ask], text=True)
    assert shown.strip() == "False False"


def test_without_a_plan_those_that_are_shipped_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[1:4]] == ["bapps", "photos", "smoke"]
    assert "photos, 512" in lines[2] and "bapps, all" in lines[1]


def test_a_run_says_what_it_does_and_ends_with_tables(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = tmp_path / "store"
    assert main(["run", plan_in(tmp_path), "--store", str(store), "--n", "2", "--batch-size", "1"]) == 0
    shown = capsys.readouterr()
    lines = [line.split() for line in shown.out.splitlines()]
    assert ["white-box", "2", "2", "–", "2", "8", "0"] in lines
    assert ["transfer", "2", "1", "2", "2", "10", "0"] in lines
    assert "At most about" in shown.out and "most of it: gmsd" in shown.out
    assert "flips" in shown.err, "the bar tells flips so far"
    assert "Images made on GMSD" in shown.out and "Images made on L2" in shown.out
    assert f"simlib results --store {store} --plan mine --table transfer" in shown.out
    record = Store(store).record("mine")
    assert record.finished and record.plan.data.n == 2

    assert main(["run", plan_in(tmp_path), "--store", str(store), "--n", "2"]) == 0
    shown = capsys.readouterr()
    lines = [line.split() for line in shown.out.splitlines()]
    assert ["white-box", "2", "2", "–", "2", "8", "8"] in lines
    assert "Nothing is left to compute." in shown.out
    assert "Images made on GMSD" in shown.out


def test_a_dry_run_computes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plan = plan_in(tmp_path)
    assert main(["run", plan, "--store", str(tmp_path / "store"), "--dry-run", "--data", "photos"]) == 0
    assert main(["run", plan, "--dry-run", "--no-estimate"]) == 0
    shown = capsys.readouterr().out
    assert shown.count("stored already") == 2 and shown.count("At most about") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["mine.toml"]


@pytest.mark.parametrize(
    ("arguments", "messages"),
    [
        (["smok", "--store", "s"], ["Unknown plan 'smok'. Did you mean smoke"]),
        (["none.toml", "--store", "s"], ["There is no file none.toml"]),
        (["mine.toml"], ["Where shall results go?"]),
        (["mine.toml", "--store", "s", "--workers", "2"], ["--workers is for Ray only"]),
        (["mine.toml", "--store", "s", "--batch-size", "0"], ["--batch-size is 0"]),
        (["mine.toml", "--store", "s", "--device", "gpu", "--n", "0"], ["no device 'gpu'", "n is 0"]),
        (["mine.toml", "--store", "s", "--data", "nowhere"], ["There are no data 'nowhere'"]),
        (["wrong.toml", "--store", "s"], ["[white_box]: metrics is missing", "Unknown key 'sed'"]),
        (["other.toml", "--store", "s"], ["Unknown metric 'l3'", "Unknown attack 'pdg'"]),
        (["mine.toml", "--store", "taken"], ["is no store of simlib"]),
    ],
)
def test_what_is_wrong_is_told_before_any_work(
    arguments: list[str],
    messages: list[str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    plan_in(tmp_path)
    plan_in(tmp_path, "sed = 1\n[white_box]\nattacks = []", "wrong.toml")
    plan_in(tmp_path, PLAN.replace('"l2", "gmsd"', '"l3"').replace('"fgsm"', '"pdg"'), "other.toml")
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "thesis.tex").write_text("mine")
    assert main(["run", *arguments]) == 2
    error = capsys.readouterr().err
    assert error.startswith("simlib: ")
    assert all(message in error for message in messages)
    assert not (tmp_path / "s").exists()
    assert [path.name for path in (tmp_path / "taken").iterdir()] == ["thesis.tex"]


def test_absent_metrics_are_left_out_when_asked_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SIMLIB_WEIGHTS", str(tmp_path))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    plan = plan_in(tmp_path, PLAN.replace('targets = ["l1", "l2"]', 'targets = ["dists", "l1"]'))
    assert main(["run", plan, "--dry-run", "--no-estimate"]) == 2
    error = capsys.readouterr().err
    assert "dists: weights absent: simlib weights fetch vgg16 dists" in error
    assert "--skip-absent" in error
    assert main(["run", plan, "--dry-run", "--no-estimate", "--skip-absent"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "left out: dists: weights absent: simlib weights fetch vgg16 dists"
    assert lines[4].split() == ["transfer", "2", "1", "1", "6", "24", "0"]


def test_an_interrupted_run_says_how_to_go_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(benchmark_run, "run_plan", interrupted)
    assert main(["run", plan_in(tmp_path), "--store", str(tmp_path / "s"), "--no-estimate"]) == 130
    assert "the same command goes on from there" in capsys.readouterr().err


def test_the_engine_ray_gets_what_was_asked_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
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
    options = (
        "--engine ray --address here:1 --workers 3 --cpus-per-worker 2 --gpus-per-worker 0.5 --batch-size 7"
    )
    plan = plan_in(tmp_path)
    assert main(["run", plan, "--store", str(tmp_path / "s"), "--n", "1", *options.split()]) == 0
    assert asked == {
        "device_type": "cpu",
        "address": "here:1",
        "workers": 3,
        "cpus_per_worker": 2,
        "gpus_per_worker": 0.5,
        "batch_size": 7,
        "closed": True,
    }
    assert " in 3; " in capsys.readouterr().out
    assert main(["run", plan, "--store", str(tmp_path / "s"), "--engine", "ray", "--no-estimate"]) == 0
    assert (asked["cpus_per_worker"], asked["workers"], asked["gpus_per_worker"]) == (1, None, None)


def test_runs_of_a_store_are_listed(finished: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert results(finished, "--format", "json") == 0
    (run,) = json.loads(capsys.readouterr().out)
    assert (run["plan"], run["triplets"], run["finished"]) == ("mine", 6, "yes")
    assert run["key"] == Store(finished).record().key


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize(
    "asked",
    [
        ["white-box"],
        ["transfer"],
        ["comparison"],
        ["comparison", "--part", "transfer", "--source", "gmsd"],
        ["strata"],
        ["strata", "--part", "transfer"],
        ["trade-off", "--attack", "FGSM"],
        ["trade-off", "--part", "transfer"],
        ["published", "--part", "transfer"],
        ["published", "--part", "white-box"],
    ],
)
def test_every_table_comes_in_every_format(
    form: str, asked: list[str], finished: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert results(finished, "--format", form, "--table", *asked) == 0
    shown = capsys.readouterr().out
    if form == "json":
        assert len(json.loads(shown)) > 0
    elif form == "csv":
        header, *rows = csv.reader(io.StringIO(shown))
        assert rows and all(len(row) == len(header) for row in rows)
    else:
        assert {"text": "  ", "markdown": "| --- |", "latex": r"\begin{tabular}"}[form] in shown


def test_the_white_box_table_counts_the_rows(finished: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert results(finished, "--table", "white-box", "--format", "csv") == 0
    table = {
        (row["metric"], row["attack"]): row for row in csv.DictReader(io.StringIO(capsys.readouterr().out))
    }
    rows: Any = Store(finished).rows(Store(finished).record(), part="white-box")
    groups = rows.groupby(["source", "attack"])
    assert table.keys() == {*groups.groups}
    for key, group in groups:
        assert int(table[key]["n"]) == len(group) == 6
        assert float(table[key]["flipped"]) == pytest.approx(group["flipped"].mean())
        assert float(table[key]["in 8 bits"]) == pytest.approx(group["flipped_8bit"].mean())


def test_the_transfer_table_counts_those_that_agree(
    finished: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows: Any = Store(finished).rows(Store(finished).record(), part="transfer")
    closer = (rows["distance0"] > rows["distance1"]) == (rows["judge"] > 0.5)
    counts = rows["agrees"] & (rows["judge"].isna() | closer)
    flips = rows[(rows["source"] == rows["target"]) & rows["flipped"].fillna(False).astype(bool)]
    pairs = zip(rows["source"], rows["triplet"], strict=True)
    chosen = np.array([((flips["source"] == one) & (flips["triplet"] == two)).any() for one, two in pairs])
    for option, kept in (([], counts), (["--chosen"], counts & chosen)):
        assert results(finished, "--table", "transfer", "--format", "json", *option) == 0
        cells = json.loads(capsys.readouterr().out)
        assert {(cell["source"], cell["target"]) for cell in cells} == {
            ("gmsd", "l1"), ("gmsd", "l2"), ("l2", "l1")
        }  # fmt: skip
        for cell in cells:
            own = (rows["source"] == cell["source"]) & (rows["target"] == cell["target"])
            assert cell["counted"] == (kept & own).sum()
            assert (cell["flipped"] or {"n": 0})["n"] == cell["counted"]
            if cell["flipped"]:
                assert cell["flipped"]["value"] == pytest.approx(rows["flipped_8bit"][kept & own].mean())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--table", "published", "--format", "csv"], "These are 2 tables, and csv holds one."),
        (["--table", "transfer", "--source", "l1"], "Unknown source of transfer 'l1'"),
        (["--table", "strata", "--attack", "PGD(6)"], "Unknown attack 'PGD(6)'"),
        (["--plan", "yours"], ""),
        (["--plan", "yours", "--table", "transfer"], "Unknown run 'yours'. Known: mine."),
    ],
)
def test_what_a_store_does_not_have_is_told(
    arguments: list[str], message: str, finished: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert results(finished, *arguments) == (2 if message else 0)
    assert message in capsys.readouterr().err


def test_parts_that_a_plan_lacks_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plan = plan_in(tmp_path, PLAN.partition("[transfer]")[0])
    store = tmp_path / "store"
    assert main(["run", plan, "--store", str(store), "--n", "1", "--no-estimate"]) == 0
    assert "--table white-box" in capsys.readouterr().out
    assert results(store, "--table", "transfer") == 2
    assert "The plan mine has no part transfer." in capsys.readouterr().err
    assert results(store, "--table", "published") == 0
    text = PLAN.replace('chosen_by = "PGD(6)"', "").replace("[white_box]", "[nothing]")
    plan = plan_in(tmp_path, text[: text.index("[nothing]")] + text[text.index("[transfer]") :], "later.toml")
    assert main(["run", plan, "--store", str(store), "--n", "1", "--no-estimate"]) == 0
    capsys.readouterr()
    assert results(store, "--plan", "later", "--table", "transfer", "--chosen") == 2
    assert "The plan later chooses no triplets." in capsys.readouterr().err


def test_an_unfinished_run_is_shown_only_when_asked_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = tmp_path / "store"
    assert main(["run", plan_in(tmp_path), "--store", str(store), "--no-estimate"]) == 0
    max((store / "rows").glob("*.parquet")).unlink()
    capsys.readouterr()
    assert results(store, "--table", "white-box") == 2
    assert f"simlib run PLAN --store {store}" in capsys.readouterr().err
    assert results(store, "--table", "white-box", "--partial") == 0
    assert "GMSD" in capsys.readouterr().out


def test_no_store_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert results(tmp_path / "none") == 2
    assert "There is no store in" in capsys.readouterr().err
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.2, "1 seconds"),
        (40, "40 seconds"),
        (119, "119 seconds"),
        (600, "10 minutes"),
        (3 * 3600, "3 hours"),
        (10 * 86_400, "10 days"),
    ],
)
def test_times_are_said_as_people_say_them(seconds: float, text: str) -> None:
    assert _duration(seconds) == text


@pytest.mark.slow
def test_the_shipped_plan_smoke_ends_with_tables(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "smoke", "--store", str(tmp_path / "s"), "--device", "cpu"]) == 0
    assert "Images made on SSIM" in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.parametrize("plan", ["photos", "bapps"])
def test_the_shipped_plans_end_with_tables(
    plan: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """On few triplets; BAPPS is a small tree of the same layout."""
    if not weights_are_here("lpips-alex"):
        pytest.skip("the weights of LPIPS (Alex) are not on this machine")
    labelled = photos(12)[::2]
    save_as_split(tmp_path / "data" / "2afc" / "val", labelled)
    monkeypatch.setenv("SIMLIB_DATA", str(tmp_path / "data"))
    arguments = ["run", plan, "--store", str(tmp_path / "s"), "--skip-absent", "--device", "cpu"]
    assert main([*arguments, *(["--n", "2"] if plan == "photos" else []), "--no-estimate"]) == 0
    shown = capsys.readouterr().out
    assert "flipped: as the protocol counts" in shown
    assert "Images made on LPIPS (Alex)" in shown
    assert results(tmp_path / "s", "--table", "published") == 0
    assert "12,227" in capsys.readouterr().out
