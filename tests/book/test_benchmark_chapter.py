"""The set-up of chapters that read a benchmark: what they say of its rows, and what is wrong in a line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from simlib.benchmark.store import Store
from simlib.book.benchmark_chapter import BenchmarkChapter
from simlib.book.dials import DialError
from simlib.provenance import code_hash
from tests.benchmark.made_results import made_done, made_record

DIALS: dict[str, Any] = {"plan": "made", "n": 0, "data": "photos", "device": "cpu"}
CONDITIONS = {"device": "cpu (größer)", "threads": "1", "code": "f00"}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store(tmp_path / "store")
    for shard in ("s1", "s2"):
        store.write(made_done(shard))
    store.write_record(made_record(provenance=CONDITIONS))
    return store


def chapter_of(there: Store, **changed: Any) -> BenchmarkChapter:
    return BenchmarkChapter({**DIALS, "store": str(there.folder), "another": "name"} | changed)


def test_a_chapter_has_what_the_run_has(store: Store) -> None:
    chapter = chapter_of(store)
    assert chapter.results.record.plan.name == "made"
    assert (chapter.metrics, chapter.sources, chapter.targets) == (["l2", "ssim"], ["l2"], ["ssim"])
    assert chapter.attacks("white-box") == chapter.attacks("transfer") == ["PGD"]
    assert len(chapter.rows("white-box")) == len(chapter.rows("transfer")) == 12
    assert (chapter.sample.n, chapter.sample.labelled) == (6, 4)
    assert "another" not in chapter.dials


def test_it_says_where_its_rows_are_from_and_that_they_are_old(store: Store) -> None:
    told = chapter_of(store)._repr_markdown_()
    assert told.startswith(
        "The rows are read from a store of results: the plan `made` on data `photos`, seed 3"
    )
    assert "They are of 2024-05-06, and **the code has changed since**" in told
    assert "There are **6 triplets** from 3 photographs. Attacked white-box: L2 and SSIM, by PGD." in told
    assert told.endswith("Images for transfer are made on L2, by PGD; other metrics that judge them: 1.")
    assert "*" not in repr(chapter_of(store))


def test_rows_of_the_present_code_are_not_called_old(store: Store) -> None:
    store.write_record(made_record(provenance={**CONDITIONS, "code": code_hash()}))
    assert chapter_of(store).age == ""


def test_rows_that_were_computed_here_are_those_of_the_present_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SIMLIB_RESULTS", str(tmp_path / "results"))
    plan = tmp_path / "tiny.toml"
    attack = '[[{0}.attacks]]\ntitle = "PGD"\nattack = "pgd"\nsteps = 8\n'
    plan.write_text('[white_box]\nmetrics = ["l2"]\n' + attack.format("white_box"))
    chapter = BenchmarkChapter({**DIALS, "store": "", "plan": str(plan), "n": 2})
    assert (chapter.sample.n, chapter.metrics, chapter.sources) == (2, ["l2"], [])
    assert "were computed for this page" in chapter._repr_markdown_()
    assert "for transfer" not in chapter._repr_markdown_()
    # the package changes, and what decides the values does not
    monkeypatch.setattr("simlib.book.benchmark_chapter.code_hash", lambda: "another")
    assert chapter.age == ""
    with pytest.raises(DialError, match="no part transfer"):
        chapter.rows("transfer")


def test_the_box_at_the_end_tells_of_the_rows(store: Store) -> None:
    told = dict(chapter_of(store).provenance(chosen_by="stAdv").rows)
    assert (told["triplets"], told["seed"], told["labels"]) == ("6", "0", "4, votes of people")
    assert told["attacks"].startswith("PGD ")
    assert (told["rows code"], told["chosen by"]) == ("f00", "stAdv")
    assert told["plan"] == "made, key 0123, first run 2024-05-06T07:08:09+00:00"


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"n": -1, "device": "tpu"}, r"n is -1.*\n.*device"),
        ({"store": "/absent"}, "no store in /absent"),
        ({"store": "", "plan": "photo"}, "photos"),
        ({"data": "nowhere"}, "no such folder"),
    ],
)
def test_what_is_wrong_is_told_in_a_line_for_each_dial(
    store: Store, changed: dict[str, Any], message: str
) -> None:
    with pytest.raises(DialError, match=message) as caught:
        chapter_of(store, **changed)
    assert "Traceback" not in "".join(caught.value._render_traceback_())
    assert caught.value.__cause__ is None
