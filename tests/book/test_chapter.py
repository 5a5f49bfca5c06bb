"""The set-up object of a chapter: what it checks, and what it says."""

from __future__ import annotations

import warnings
from typing import Any

import pytest
import torch
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config

from simlib.benchmark.statistics import rate
from simlib.book.chapter import Chapter
from simlib.book.dials import DialError, checked
from simlib.triplets import photos

DIALS = {"data": "photos", "n": 6, "seed": 1, "metric_name": "ssim", "fallback": "st-lpips-alex"}


def chapter(**more: Any) -> Chapter:
    return Chapter({**DIALS, "something": "else", **more})


def test_it_draws_and_loads_what_the_dials_say() -> None:
    made = chapter(table_metrics=["l2", "ssim"])
    assert made.triplets.names == photos(6, seed=1).names
    assert made.metric.spec.name == "ssim"
    assert [metric.spec.name for metric in made.metrics] == ["l2", "ssim"]
    assert len(made.problem) == 6
    assert [len(made.part(size)) for size in (2, 99)] == [2, 6]
    photographs = len(set(made.photographs))
    assert repr(made) == f"The metric is SSIM, on 6 triplets from {photographs} photographs."
    assert made.left_out == ""
    box = str(made.provenance(table="2 triplets"))
    assert all(text in box for text in ("triplets: 6", "seed: 1", "metric: SSIM", "table: 2 triplets"))


def test_triplets_may_be_chosen_otherwise() -> None:
    made = chapter(n=99)
    chosen = Chapter({"n": 3, "seed": 4}, triplets=lambda: photos(3, seed=4))
    assert chosen.triplets.names == photos(3, seed=4).names != made.triplets.names[:3]
    assert repr(chosen).startswith("There are 3 triplets")
    assert "metric" not in str(chosen.provenance())


def test_a_judge_is_never_the_metric_that_is_attacked() -> None:
    assert [metric.spec.name for metric in chapter(judge_names=["l2", "ssim"]).metrics] == ["l2"]


def test_what_cannot_be_had_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    monkeypatch.setenv("SIMLIB_WEIGHTS", str(tmp_path))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    made = chapter(table_metrics=["l2", "dists"], heavy_weights=["vgg16"])
    assert [metric.spec.name for metric in made.metrics] == ["l2"]
    assert made.left_out == "Left out for want of weights: DISTS."


def test_rates_are_over_the_photographs_of_the_first_triplets() -> None:
    made = chapter()
    happened = torch.tensor([True, False, True, True])
    assert made.rate(happened) == rate(happened, made.photographs[:4])
    assert made.rate(happened, among=~happened) == rate(happened, made.photographs[:4], ~happened)
    assert made.rate(happened, among=torch.zeros(4, dtype=torch.bool)) is None


def test_all_that_is_wrong_is_said_at_once_a_line_each() -> None:
    wrong = {"n": 0, "seed": -1, "data": "nowhere", "metric_name": "sim", "table_metrics": [], "eps": 3}
    with pytest.raises(DialError) as raised:
        chapter(**wrong, steps="9", device="tpu")
    lines = str(raised.value).splitlines()
    named = {line.split()[0].rstrip(":") for line in lines}
    assert named == {*wrong, "steps", "device"}
    assert len(lines) == len(named)


def test_triplets_that_are_not_there_are_told_in_a_line_too(tmp_path: Any) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(DialError, match="empty"):
        chapter(data=str(tmp_path / "empty"))


def test_no_triplets_is_for_plans_only() -> None:
    assert checked({"n": 0, "plan": "photos"}) == {"n": 0, "plan": "photos"}
    with pytest.raises(DialError, match="n is 0"):
        checked({"n": 0})


def test_a_notebook_shows_the_lines_and_no_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    with warnings.catch_warnings():
        # that it was started by a Python that is not the one of an activated environment
        warnings.simplefilter("ignore")
        shell = InteractiveShell(config=Config(HistoryManager={"enabled": False}))
    shell.run_cell("from simlib.book.dials import checked; checked({'n': 0, 'seed': -1})")
    assert capsys.readouterr().out.strip().splitlines() == [
        "n is 0. It must be a whole number, at least 1.",
        "seed is -1. It must be a whole number, at least 0.",
    ]
