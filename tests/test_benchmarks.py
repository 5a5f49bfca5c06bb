"""The benchmarks run to their end on very few triplets, and both sides do the same."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.benchmarks import __main__ as command
from tests.benchmarks import benchmark, one_pixel, pgd, scaling, stadv
from tests.support import any_weights

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def threads_stay_as_they_were():
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.mark.slow
def test_pgd_and_stadv_agree_with_one_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    metric = any_weights("lpips-alex")
    for module in (pgd, stadv):
        monkeypatch.setattr(module, "TRIPLETS", 8)
        monkeypatch.setattr(module, "ROUNDS", 2)
    monkeypatch.setattr(stadv, "SHARE", 2)
    monkeypatch.setattr(pgd, "step_overhead", lambda *_: 1.0)
    found = pgd.measure(metric, CPU)
    assert found["same_flips"] >= 7 / 8
    assert len(found["ratios"]) == 2
    moved = stadv.measure(metric, CPU)
    assert moved["triplets_one_by_one"] == 4
    assert abs(moved["flipped_of_those"] - moved["flipped_one_by_one"]) <= 1


@pytest.mark.slow
def test_one_pixel_spends_the_same_on_both_sides(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(one_pixel, "TRIPLETS_ON_CPU", 2)
    monkeypatch.setattr(one_pixel, "ROUNDS", 1)
    monkeypatch.setattr(one_pixel, "GENERATIONS", 1)
    monkeypatch.setattr(one_pixel, "EVALUATIONS", 2 * one_pixel.POPULATION)
    monkeypatch.setattr(one_pixel.flips_alone, "__kwdefaults__", {"generations": 1})
    found = one_pixel.measure(any_weights("lpips-alex"), CPU)
    assert found["evaluations"] == 100
    assert found["ratio"] > 0


def test_scaling_reports_every_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scaling, "NUMBERS", (4, 8))
    monkeypatch.setattr(scaling, "BATCH", 4)
    monkeypatch.setattr(scaling, "ROUNDS", 1)
    found = scaling.measure(any_weights("l2"), CPU)
    assert set(found["milliseconds_per_triplet"]) == set(found["working_megabytes"]) == {"4", "8"}
    assert found["growth"] > 0


def test_the_time_of_a_run_is_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, n in {"FEW": 8, "MANY": 16, "WARM_UP": 2}.items():
        monkeypatch.setattr(benchmark, name, n)
    monkeypatch.setattr(benchmark, "ray_workers", lambda _: {"two_workers_against_one": 2.0})
    found = benchmark.measure(any_weights("l2"), CPU)
    assert found["growth"] == found["seconds_per_triplet_16"] / found["seconds_per_triplet_8"]
    spent = benchmark.spend(benchmark.plan_on(any_weights("l2"), CPU), CPU, 8)
    for share in (spent.making, spent.overhead, found["overhead_8"], found["overhead_16"]):
        assert 0 < share < 1
    assert spent.making + spent.overhead < 1


def test_one_benchmark_leaves_the_figures_of_the_others(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def measure(*_: object) -> dict[str, Any]:
        return {"ratio": 3}

    monkeypatch.setattr(command, "TARGET", tmp_path / "bench.json")
    monkeypatch.setattr(command, "BENCHMARKS", {"pgd": measure, "benchmark": measure})
    monkeypatch.setattr(command, "import_seconds", lambda: 0.1)
    monkeypatch.setattr(command.metrics, "load_first", lambda *_, **__: (any_weights("l2"), ""))
    before = {"code": "old", "pgd": {"ratio": 1}, "benchmark": {"ratio": 2, "gone": 0}}
    command.TARGET.write_text(json.dumps(before))
    command.main(["benchmark"])
    after = json.loads(command.TARGET.read_text())
    new = after["benchmark"].pop("code")
    assert after == {"code": "old", "pgd": {"ratio": 1}, "benchmark": {"ratio": 3}}
    command.main([])
    assert json.loads(command.TARGET.read_text())["code"] == new
    with pytest.raises(SystemExit):
        command.main(["banchmark"])
    assert "there is no banchmark; there are pgd, benchmark" in capsys.readouterr().err
