"""What make bench has measured: a reader sees the figures of the file, and whether they are old."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from simlib.errors import InputError
from simlib.provenance import code_hash
from simlib.report.speed import growth_figure, losses_as_table, older_code, ratios_as_table, read_bench

LOSSES: dict[str, Any] = {"growth": 0.5, "overhead_512": 0.2, "overhead_8192": 0.125}


def compared(ratios: list[float]) -> dict[str, Any]:
    return {
        "milliseconds_per_triplet": 2.5,
        "ratio": sorted(ratios)[len(ratios) // 2],
        "ratios": ratios,
        "threads_one_by_one": 2,
    }


def test_a_file_that_is_none_of_make_bench_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mine.json").write_text('{"a": 1}', encoding="utf-8-sig")
    assert read_bench(str(tmp_path / "mine.json")) == {"a": 1}
    (tmp_path / "mine.json").write_text("no figures")
    with pytest.raises(InputError, match=r"mine\.json is not JSON"):
        read_bench(str(tmp_path / "mine.json"))


def test_the_slow_side_takes_the_ratio_times_as_long() -> None:
    bench = {name: compared([8.0, 40.0, 10.0]) for name in ("pgd", "stadv", "one_pixel")}
    table = ratios_as_table(bench)
    assert table.rows[0] == ("PGD", 25, 2.5, 10.0, "8.0 to 40.0", 2)
    assert [row[0] for row in table.rows] == ["PGD", "stAdv", "One-pixel"]


def test_figures_of_other_code_are_told_apart() -> None:
    now = code_hash()[:16]
    bench = {"code": "old", "pgd": {}, "scaling": {"code": now}, "benchmark": {"code": "older"}}
    assert older_code(bench, "scaling", "absent") == ""
    told = older_code(bench, "pgd", "scaling", "benchmark")
    assert "measured with older code**: old, older, where this page has " + now in told
    assert older_code({"code": now, "pgd": {}}, "pgd") == ""


def test_the_line_shows_the_times_and_tells_them() -> None:
    figure: Any = growth_figure({"milliseconds_per_triplet": {"256": 6.5, "4096": 5.75}})
    (line,) = figure.data
    assert list(zip(line.x, line.y, strict=True)) == [(256, 6.5), (4096, 5.75)]
    assert figure.layout.meta["alt"] == "Milliseconds a triplet: 256 triplets 6.50; 4,096 triplets 5.75."


@pytest.mark.parametrize(
    ("more", "workers"), [({}, "not measured"), ({"two_workers_against_one": 1.75}, "1.75 times")]
)
def test_losses_are_those_of_the_larger_run(more: dict[str, Any], workers: str) -> None:
    rows = losses_as_table(LOSSES | more).rows
    assert rows[0] == ("time for a triplet, of 8,192 triplets against that of 512", "0.50 times")
    assert rows[1] == ("share of the time for store and scheduling, 8,192 triplets", "12.5%")
    assert rows[2][1] == workers


def test_what_was_not_measured_is_said() -> None:
    assert losses_as_table({}).rows == (("nothing yet", ""),)


def test_the_committed_file_has_what_the_chapters_show() -> None:
    bench = read_bench("bench.json")
    assert len(ratios_as_table(bench).rows) == 3
    assert len(losses_as_table(bench["benchmark"]).rows) == 3
    assert growth_figure(bench["scaling"]).data
