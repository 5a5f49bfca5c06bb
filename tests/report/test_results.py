"""Where a chapter's rows come from: a store that is there, or a plan, which is run once for all chapters."""

from __future__ import annotations

from pathlib import Path

import pytest

from simlib.errors import InputError, UnknownNameError
from simlib.report.results import Results, results_for, sample_of
from tests.benchmark.benchmark_rows import NAN, joined, rows_of

PLAN = """
shard_size = 2
[data]
n = 4
[white_box]
metrics = ["l2"]
[[white_box.attacks]]
title = "PGD"
attack = "pgd"
steps = 8
"""


def computed(n: int, plan: str = "tiny") -> Results:
    return results_for("", f"params/{plan}.toml", n=n, data="photos", device="cpu")


@pytest.fixture
def book(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder of a book without chapters, from whose inside chapters are run."""
    (tmp_path / "notebooks" / "params").mkdir(parents=True)
    (tmp_path / "_toc.yml").write_text("")
    (tmp_path / "notebooks" / "params" / "tiny.toml").write_text(PLAN)
    inside = tmp_path / "_build" / "run"
    inside.mkdir(parents=True)
    monkeypatch.chdir(inside)
    return tmp_path


def test_a_plan_beside_the_notebooks_is_run_on_the_data_asked_for(book: Path) -> None:
    found = computed(3)
    rows = found.rows("white-box")
    assert (len(rows), set(rows["source"])) == (3, {"l2"})
    assert found.store.folder == book / "_build" / "run" / "results"
    assert found.computed and found.note == ""
    assert "the plan `tiny` on data `photos`" in found.origin()
    assert found.conditions()["plan"].startswith(f"tiny, key {found.record.key}")
    assert "left_out" not in found.conditions()
    assert len(computed(0).rows("white-box")) == 4
    with pytest.raises(InputError, match="no part transfer"):
        found.rows("transfer")
    with pytest.raises(InputError, match="no part transfer"):
        found.rows("transfer")


def test_results_go_to_the_caller_or_where_one_says_and_never_beside_the_notebooks(
    book: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(book / "notebooks")
    assert computed(1).store.folder == book / "_build" / "results"
    monkeypatch.setenv("SIMLIB_RESULTS", "given")
    assert computed(1).store.folder == book / "notebooks" / "given"
    assert not (book / "notebooks" / "results").exists()


def test_a_store_is_read_by_path_or_as_reference(book: Path) -> None:
    made = computed(2)
    made.store.folder.rename(book / "notebooks" / "results")
    for store in ("reference", str(book / "notebooks" / "results")):
        found = results_for(store, "photos", n=0, data="photos", device="auto")
        assert not found.computed
        assert found.record == made.record
        assert len(found.rows("white-box")) == 2
    assert not (book / "_build" / "run" / "results").exists()


def test_of_several_runs_the_named_one_is_read_else_the_newest(book: Path) -> None:
    folder = book / "notebooks" / "params"
    (folder / "other.toml").write_text(PLAN)
    for number, (name, n) in enumerate((("tiny", 1), ("other", 2), ("tiny", 3))):
        made = computed(n, name)
        created = {"created": f"2024-01-0{number + 1}T00:00:00+00:00"}
        made.store.write_record(made.record.model_copy(update=created))
    store = str(book / "_build" / "run" / "results")
    for name, n in {"other": 2, "tiny": 3, "photos": 3}.items():
        assert len(results_for(store, name, 0, "", "").rows("white-box")) == n


def test_unknown_plans_and_folders_that_are_no_store(book: Path) -> None:
    with pytest.raises(UnknownNameError, match="photos"):
        results_for("", "photo", n=1, data="photos", device="cpu")
    with pytest.raises(InputError, match="absent"):
        computed(1, "absent")
    with pytest.raises(InputError):
        results_for(str(book / "notebooks"), "photos", 0, "", "")


def test_without_weights_metrics_are_left_out_and_another_stands_in(
    book: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SIMLIB_WEIGHTS", str(book / "weights"))
    monkeypatch.setenv("TORCH_HOME", str(book / "hub"))
    for variable in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        # nothing listens there, so that every download fails at once
        monkeypatch.setenv(variable, "http://127.0.0.1:9")
    attacks = '[[{}.attacks]]\ntitle = "PGD"\nattack = "pgd"\nsteps = 8\n'
    (book / "plan.toml").write_text(
        '[data]\nn = 1\n[white_box]\nmetrics = ["lpips-alex", "l2"]\n'
        + attacks.format("white_box")
        + '[transfer]\nsources = ["lpips-alex"]\ntargets = ["lpips-squeeze", "l2"]\n'
        + attacks.format("transfer")
    )
    found = results_for("", str(book / "plan.toml"), n=1, data="photos", device="cpu")
    assert found.note == (
        "Left out for want of weights: LPIPS (Alex) and LPIPS (Squeeze). "
        "ST-LPIPS (Alex) stands in as the metric that images are made on."
    )
    assert set(found.rows("white-box")["source"]) == {"l2"}
    transfer = found.rows("transfer")
    pairs = set(zip(transfer["source"], transfer["target"], strict=True))
    assert pairs == {("st-lpips-alex", "st-lpips-alex"), ("st-lpips-alex", "l2")}


def test_a_sample_counts_every_triplet_once() -> None:
    judge = [1.0, NAN, 0.0, NAN]
    rows = joined(*(rows_of("a", "PGD", target, judge=judge) for target in ("a", "b")))
    own = sample_of(rows)
    assert (own.n, own.photographs, own.labelled, own.constructed) == (4, None, 2, True)
    assert str(own) == "4 triplets"
    shared = sample_of(rows_of("a", "PGD", photograph=["x", "x", "y", "y"], label_source="human"))
    assert (shared.photographs, shared.constructed) == (2, False)
    assert str(shared) == "4 triplets from 2 photographs"
