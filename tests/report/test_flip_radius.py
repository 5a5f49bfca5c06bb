"""Flip radii in levels: units, curves that start and end where they must, and tables that tell the same."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from simlib.attacks import AttackResult, FlipRadius, Norm, Protocol, RankFlip
from simlib.benchmark.statistics import rate
from simlib.report import flip_radius
from tests.support import any_weights, random_triplets

PHOTOGRAPHS = ("a", "b", "c", "d")


@pytest.fixture(scope="module")
def problem() -> RankFlip:
    return RankFlip(any_weights("l2"), random_triplets(4))


def search(problem: RankFlip, protocol: Protocol) -> dict[Norm, AttackResult]:
    norms: tuple[Norm, Norm] = ("linf", "l2")
    return {norm: FlipRadius(norm=norm, steps=10)(problem, protocol=protocol) for norm in norms}


@pytest.fixture(scope="module")
def floats(problem: RankFlip) -> dict[Norm, AttackResult]:
    return search(problem, "paper")


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_a_change_of_three_levels_everywhere_is_three_levels_in_both_norms(norm: Norm) -> None:
    change = torch.full((2, 48), 3 / 255, dtype=torch.float64)
    sizes = change.amax(dim=1) if norm == "linf" else change.norm(dim=1)
    torch.testing.assert_close(flip_radius.in_levels(sizes, norm, 48), torch.full_like(sizes, 3))


def test_radii_are_those_of_the_images(floats: dict[Norm, AttackResult]) -> None:
    change = (floats["l2"].images - floats["l2"].original) * 255
    rms = change.square().mean(dim=(1, 2, 3)).sqrt()
    torch.testing.assert_close(flip_radius.radii_in_levels(floats["l2"], "l2"), rms)


def test_curves_count_a_radius_of_whole_levels_as_within_them() -> None:
    radius = torch.tensor([1.0000001, 2.0, 5.1, torch.inf])
    figure: Any = flip_radius.survival_curves({"all": radius, "two": radius[:2]}, PHOTOGRAPHS, "linf")
    left = {line.name: dict(zip(line.x, line.y, strict=True)) for line in figure.data if line.name}
    assert left["all"] == {x: 1 - (x >= 1) / 4 - (x >= 2) / 4 - (x >= 5.1) / 4 for x in left["all"]}
    assert (left["two"][0.75], left["two"][1], left["two"][2]) == (1, 0.5, 0)
    told = "all: 2 levels 50%, 4 levels 50%; two: 2 levels 0%, 4 levels 0%"
    assert told in figure.layout.meta["alt"]


def test_dots_lie_at_what_was_found_against_what_is_known() -> None:
    known: dict[Norm, torch.Tensor] = {"linf": torch.tensor([2.0, 4.0]), "l2": torch.tensor([])}
    found: dict[Norm, torch.Tensor] = {"linf": torch.tensor([2.0, 4.1]), "l2": torch.tensor([])}
    figure: Any = flip_radius.against_closed_form(known, found)
    dots, none, line = figure.data
    assert list(dots.x) == [2, 4]
    assert list(dots.y) == pytest.approx([2, 4.1])
    assert len(none.x) == 0
    assert list(line.x) == list(line.y) == pytest.approx([1, 4.1])
    assert "largest change: at most 2.50% off" in figure.layout.meta["alt"]
    assert "RMS" not in figure.layout.meta["alt"]


def test_table_tells_medians_and_the_rate(floats: dict[Norm, AttackResult]) -> None:
    table = flip_radius.radii_as_table({"L2": floats}, PHOTOGRAPHS)
    title, n, largest, rms, flipped, forwards = table.rows[0]
    assert (title, n, forwards) == ("L2", 4, round(float(floats["linf"].forwards.float().mean())))
    for told, (norm, result) in zip((largest, rms), floats.items(), strict=True):
        middle = float(flip_radius.radii_in_levels(result, norm).quantile(0.5))
        assert told == f"{middle:.2f} (too few)", "four values have no interval"
    assert flipped == rate(flip_radius.radii_in_levels(floats["linf"], "linf") <= 4, PHOTOGRAPHS)


def test_eight_bits_keep_what_they_keep(problem: RankFlip, floats: dict[Norm, AttackResult]) -> None:
    strict = search(problem, "strict")
    for row, norm in zip(flip_radius.bits_as_table(floats, strict, PHOTOGRAPHS).rows, floats, strict=True):
        assert row[3] == rate(floats[norm].flipped_8bit, PHOTOGRAPHS, floats[norm].flipped)
        assert row[5] == rate(strict[norm].flipped, PHOTOGRAPHS)
    whole = flip_radius.radii_in_levels(strict["linf"], "linf")
    torch.testing.assert_close(whole, whole.round(), atol=1e-3, rtol=0)


def test_edge_goes_from_the_smallest_radius_to_the_largest(
    problem: RankFlip, floats: dict[Norm, AttackResult]
) -> None:
    figure: Any = flip_radius.edge_slider(problem, floats["l2"])
    labels = [step.label for step in figure.layout.sliders[0].steps]
    radius = flip_radius.radii_in_levels(floats["l2"], "l2").sort().values
    assert labels == [f"{place}: {each:.2f}" for place, each in enumerate(radius.tolist(), start=1)]
    one: Any = flip_radius.edge_slider(problem[0], search(problem[0], "paper")["l2"])
    assert len(one.frames) == 1
