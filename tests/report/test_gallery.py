"""The gallery of metrics: its tables hold what specs say, its figures what was measured."""

from __future__ import annotations

import math
import shutil
from pathlib import Path
from typing import Any, cast

import pytest
import torch
from PIL import Image

from simlib import metrics
from simlib.benchmark.statistics import disagreements
from simlib.errors import InputError
from simlib.metrics.timing import Timing
from simlib.report import gallery
from tests.support import random_triplets


def test_a_table_holds_the_columns_asked_for() -> None:
    table = gallery.specs_as_table([metrics.spec_of("ssim")], ["metric", "least side", "weights", "here now"])
    assert table.rows == (("SSIM", 11, "none", "yes"),)


def test_a_metric_whose_weights_are_absent_is_not_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SIMLIB_WEIGHTS", str(tmp_path))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    spec = metrics.spec_of("lpips-alex")
    assert gallery.described(spec, ["weights", "here now"]) == (", ".join(spec.weights), "no")


def test_costs_are_sorted_and_a_metric_without_gradient_has_one_dot() -> None:
    costs = {"slow": Timing(64, 5.0, 50.0), "none": Timing(64, 9.0, None), "fast": Timing(64, 1.0, 2.0)}
    figure: Any = gallery.cost_dots(costs)
    forward, both = figure.data
    assert list(forward.y) == ["fast", "none", "slow"]
    assert list(forward.x) == [1.0, 9.0, 5.0]
    assert list(both.x) == [2.0, None, 50.0]
    assert "fast is the cheapest, slow the dearest" in figure.layout.meta["alt"]


def test_the_example_is_measured_where_its_images_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "examples"
    folder.mkdir()
    monkeypatch.setenv("SIMLIB_WEIGHTS", str(tmp_path / "weights"))
    assert gallery.lpips_example() is None
    for part, level in {"ref": 0, "p0": 51, "p1": 102}.items():
        Image.new("RGB", (16, 16), (level,) * 3).save(folder / f"ex_{part}.png")
    example = gallery.lpips_example()
    assert example is not None
    shutil.move(folder, tmp_path / "elsewhere")
    assert gallery.lpips_example(str(tmp_path / "elsewhere")) is not None
    # Uniform images of a fifth and two fifths: L1 is the level itself, and MS-SSIM needs 21 pixels.
    table = gallery.example_as_table([metrics.load("l1"), metrics.load("ms-ssim")], example)
    ((title, first, _, second, _, closer),) = table.rows
    assert (title, closer) == ("L1", "first")
    assert (first, second) == (pytest.approx(0.2), pytest.approx(0.4))


def test_metrics_that_images_are_too_small_for_are_named() -> None:
    all_of_them = [metrics.load(name) for name in ("l2", "iw-ssim", "ssim")]
    fit, too_large = gallery.fitting(all_of_them, random_triplets(1))
    assert [metric.spec.name for metric in fit] == ["l2", "ssim"]
    assert too_large == ["IW-SSIM"]
    for ask in (gallery.fitting, gallery.example_as_table):
        with pytest.raises(InputError, match=r"^a metric is 'l2', which is no metric of simlib"):
            ask(cast(Any, ["l2"]), random_triplets(1))
        with pytest.raises(InputError, match=r"^triplets is a NoneType"):
            ask(all_of_them, cast(Any, None))


def test_ranges_are_quartiles_of_what_is_above_zero() -> None:
    pair = (torch.tensor([1.0, 2.0, 0.0]), torch.tensor([3.0, 4.0, 5.0]))
    zeros = (torch.zeros(3), -torch.ones(3))
    figure: Any = gallery.range_boxes({"a": pair, "none above zero": zeros})
    (box,) = figure.data
    assert list(box.y) == ["a"]
    parts = (box.lowerfence, box.q1, box.median, box.q3, box.upperfence)
    assert [list(part) for part in parts] == [[1], [2], [3], [4], [5]]
    assert "a 1 to 5" in figure.layout.meta["alt"]


# Metrics 0 and 2 rank alike, and so do 1 and 3; each of the first differs from each of the second.
RANKS = torch.tensor([[1, 1, 0, 0], [0, 0, 1, 0], [1, 1, 0, 0], [0, 0, 1, 0]], dtype=torch.bool)


def test_metrics_that_rank_alike_stand_beside_each_other() -> None:
    apart = disagreements(RANKS, None)
    order = gallery.alike_together(apart)
    assert {frozenset(order[:2]), frozenset(order[2:])} == {frozenset({0, 2}), frozenset({1, 3})}
    assert gallery.alike_together(disagreements(RANKS[:2], None)) == [0, 1]


def test_matrix_shows_the_share_of_each_pair_wherever_it_stands() -> None:
    apart = disagreements(RANKS, None)
    figure: Any = gallery.disagreement_matrix(list("abcd"), apart)
    (matrix,) = figure.data
    for row, name in enumerate(matrix.y):
        for column, other in enumerate(matrix.x):
            expected = math.nan if name == other else 0.0 if {name, other} in ({*"ac"}, {*"bd"}) else 0.75
            found = matrix.z[row][column]
            assert (math.nan if found is None else found) == pytest.approx(expected, nan_ok=True)
    assert "the least a and c, 0%" in figure.layout.meta["alt"].replace("c and a", "a and c")
    assert "75%" in figure.layout.meta["alt"]
