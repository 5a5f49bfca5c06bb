"""The standard evaluation as shown: each flip is counted for the attack that made it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from simlib import metrics
from simlib.attacks import FGSM, PGD, AttackResult, RankFlip, Strongest, standard_attacks
from simlib.errors import InputError
from simlib.report import standard_evaluation as shown
from tests.support import random_triplets

PROBLEM = RankFlip(metrics.load("l2"), random_triplets(8, side=16))
STRONGEST = Strongest()
PHOTOGRAPHS = [str(i) for i in range(9)]


def result_of(*winner: int) -> AttackResult:
    """Return a result with these winners, whatever its images are."""
    found = FGSM(grid=[1 / 255])(PROBLEM[: len(winner)])
    places = torch.tensor(winner)
    return replace(found, attack=STRONGEST, flipped=places >= 0, details={"winner": places})


def test_the_list_is_explained_with_its_own_dials() -> None:
    rows = {row[0]: row for row in shown.list_as_table(standard_attacks(2 / 255)).rows}
    assert list(rows) == ["FGSM", "PGD", "APGD", "Square"]
    assert "of 1, 2 levels" in str(rows["FGSM"][1])
    assert "500 queries" in str(rows["Square"][1])
    with pytest.raises(InputError, match="Strongest of several is not in the standard evaluation"):
        shown.list_as_table([STRONGEST])


def test_bars_add_up_to_all_triplets() -> None:
    figure: Any = shown.winner_bars({"a": result_of(0, 0, 2, -1), "b": result_of(3, -1)}, PHOTOGRAPHS)
    shares = {bar.name: list(bar.x) for bar in figure.data}
    assert shares == {
        "FGSM": [0.5, 0],
        "PGD": [0, 0],
        "APGD": [0.25, 0],
        "Square": [0, 0.5],
        "not flipped": [0.25, 0.5],
    }
    assert list(figure.data[0].y) == ["a<br>n = 4", "b<br>n = 2"]
    assert "FGSM: a 50%, b 0%" in figure.layout.meta["alt"]


def test_flips_are_counted_by_what_the_attack_sees() -> None:
    table = shown.by_kind_of_attack({"a": result_of(0, 1, 2, 3, -1, -1, -1, -1)}, PHOTOGRAPHS)
    assert table.header[2:] == ("by FGSM, PGD or APGD", "by Square, after those", "in all")
    (row,) = table.rows
    assert [getattr(cell, "successes", cell) for cell in row] == ["a", 8, 3, 1, 4]


@pytest.mark.parametrize(
    ("winner", "positions", "sentence"),
    [
        ((2, 0, 2, 3, -1, 2), [3, 0, 2], "flipped by APGD or Square, after FGSM and PGD had failed."),
        ((1, 0, 1), [0, 2], "flipped by PGD, after FGSM had failed."),
        ((0, -1), [0], "flipped by FGSM."),
        ((-1, -1), [0, 1], "Nothing was flipped"),
    ],
)
def test_late_flips_are_those_of_the_last_attacks_in_turn(
    winner: tuple[int, ...], positions: list[int], sentence: str
) -> None:
    result = result_of(*winner)
    assert shown.late_flips(result, 3) == positions
    assert sentence in shown.who_flipped(result, positions)


def test_stops_of_the_slider_name_the_attack() -> None:
    result = result_of(3, -1)
    figure: Any = shown.flips_by_winner(PROBLEM[:2], result, [0, 1])
    assert [frame.name for frame in figure.frames] == ["1: Square", "2: not flipped"]
    assert "A slider over 2 triplets" in figure.layout.meta["alt"]


def test_a_result_of_another_attack_is_refused() -> None:
    with pytest.raises(InputError, match=r"The result is of PGD\. Give one of Strongest"):
        shown.winners(replace(result_of(0), attack=PGD()), PHOTOGRAPHS)
