"""An attack as a value: its dials are checked when it is made, and it says all that others ask of it."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, fields
from fractions import Fraction
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch

from simlib.attacks import (
    APGD,
    ATTACKS,
    FGSM,
    FMN,
    PGD,
    Attack,
    Conditions,
    FewPixel,
    FlipBatch,
    FlipRadius,
    Found,
    Norm,
    OnePixel,
    RankFlip,
    StAdv,
    StAdvPGD,
    Strongest,
    make,
    meanings,
    register,
)
from simlib.attacks.dials import RULE, budget, choice, count, not_negative, positive, share, switch
from simlib.errors import InputError, UnknownNameError
from tests.support import any_weights, random_triplets

every_attack = pytest.mark.parametrize("attack", ATTACKS.values(), ids=ATTACKS.keys())
NAN = float("nan")


@dataclass(frozen=True, kw_only=True)
class Dialled(Attack):
    """An attack with a dial of every kind, which does nothing.

    Attributes:
        first: a number
            of two lines.
        other: 12: a word.
    """

    name: ClassVar[str] = "dialled"
    title: ClassVar[str] = "Dialled"
    bounded_by: ClassVar[str] = "nothing"

    first: int = count(5, 2)
    on: bool = switch(False)
    other: str = choice("linf", Norm)
    above: float = positive(1.0)
    least: float = not_negative(0.0)
    part: float = share(0.5)
    eps: float = budget(0.01)

    def search(self, batch: FlipBatch, conditions: Conditions) -> Found:
        raise NotImplementedError


@pytest.mark.parametrize(
    ("dial", "wrong", "message"),
    [
        ("first", (1, 2.0, True, "3", None, NAN), "must be a whole number, at least 2"),
        ("on", (0, "yes", None), "must be true or false"),
        ("other", ("l1", None, 2), "Known: l2, linf"),
        ("above", (0, -1.0, NAN, float("inf"), "1", True, None), "must be a finite number above 0"),
        ("least", (-0.1, NAN, float("inf"), False, None), "must be a finite number, at least 0"),
        ("part", (1.5,), "is a share, and must be at most 1"),
        ("part", (0, NAN), "must be a finite number above 0"),
        ("eps", (4, 1.01), r"units of \[0, 1\]: four levels of 8 bits are 4 / 255"),
        ("eps", (0, -0.1, NAN, "4/255"), "must be a finite number above 0"),
    ],
)
def test_a_dial_says_what_it_does_not_accept(dial: str, wrong: tuple[Any, ...], message: str) -> None:
    for value in wrong:
        with pytest.raises((InputError, UnknownNameError), match=message) as caught:
            Dialled(**{dial: value})
        assert dial in str(caught.value)
        assert str(value) in str(caught.value)


def test_the_ends_of_what_is_accepted() -> None:
    dials = {"first": 2, "on": True, "other": "l2", "above": 1e-30, "least": 0, "part": 1, "eps": 1}
    assert Dialled(**dials).dials() == dials


def test_all_problems_come_in_one_error() -> None:
    with pytest.raises(InputError) as caught:
        Dialled(first=0, other="l3", eps=2)
    assert [line.split(" ")[0] for line in str(caught.value).splitlines()] == ["first", "Unknown", "eps"]
    with pytest.raises(UnknownNameError, match=r"Unknown attack 'pgdd'. Did you mean pgd"):
        make("pgdd", {})
    with pytest.raises(InputError) as caught:
        make("pgd", {"epss": 0.1, "steps": 0, "step": "x", "seed": 1})
    problems = str(caught.value).splitlines()
    assert [problem.split(" Known")[0] for problem in problems] == [
        "Unknown dial of pgd 'epss'. Did you mean eps, steps, step?",
        "Unknown dial of pgd 'seed'. Did you mean step?",
        "step is 'x'. It must be a finite number above 0.",
        "steps is 0. It must be a whole number, at least 1.",
    ]


@pytest.mark.parametrize(
    ("attack", "wrong", "message"),
    [
        (FGSM, {"grid": []}, "must be a list that holds at least one size"),
        (FGSM, {"grid": "12"}, "must be a list that holds at least one size"),
        (FGSM, {"grid": 0.1}, "must be a list that holds at least one size"),
        (FGSM, {"grid": [0.2, 0.1]}, "Each size must be larger than the last"),
        (FGSM, {"grid": [0.1, 0.1]}, "Each size must be larger than the last"),
        (FGSM, {"grid": [0.0, 0.1]}, "a size of grid is 0.0"),
        (APGD, {"eps": 4, "norm": "linf"}, "eps is 4"),
        (APGD, {"eps": 0, "norm": "l2"}, "eps is 0"),
        (FlipRadius, {"largest": 2, "norm": "linf"}, "largest is 2"),
        (FlipRadius, {"largest": 0}, "largest is 0"),
        (OnePixel, {"population": 2}, "population is 2. It must be a whole number, at least 3"),
        (Strongest, {"attacks": ()}, "Give at least one attack"),
        (Strongest, {"attacks": PGD()}, "Give at least one attack"),
        (Strongest, {"attacks": ["pgd"]}, "Give at least one attack"),
        (Strongest, {"attacks": [{"eps": 0.1}]}, "attacks has an entry without a name"),
        (Strongest, {"attacks": [{"attack": "pgd", "eps": 2}]}, "eps is 2"),
        (Strongest, {"attacks": [{"attack": "pdg"}]}, "Did you mean pgd"),
    ],
)
def test_what_attacks_do_not_accept(attack: type[Attack], wrong: dict[str, Any], message: str) -> None:
    with pytest.raises((InputError, UnknownNameError), match=message):
        attack(**wrong)


def test_the_norm_decides_which_budget_is_meant() -> None:
    assert (APGD().eps, APGD(norm="l2").eps, APGD(norm="l2", eps=7).eps) == (4 / 255, 3.0, 7.0)
    assert FlipRadius(norm="l2", largest=7).largest == 7


@every_attack
def test_every_dial_has_a_rule_and_an_explanation_and_the_attack_a_name(
    attack: type[Attack], root: Path
) -> None:
    for each in fields(attack):
        assert each.metadata[RULE]
        for wrong in (object(), NAN, {"a": 1}):
            with pytest.raises((InputError, UnknownNameError), match=each.name):
                attack(**{each.name: wrong})
    explained = meanings(attack)
    assert explained.keys() == {each.name for each in fields(attack)}
    assert all(len(meaning) > 10 for meaning in explained.values())
    assert meanings(Dialled) == {"first": "a number of two lines.", "other": "12: a word."}
    assert attack.title and attack.bounded_by
    assert f"{{{attack.citation}," in (root / "book" / "references.bib").read_text("utf-8")


@every_attack
def test_dials_are_json_from_which_the_attack_is_made_again(attack: type[Attack]) -> None:
    made = attack()
    text = json.dumps(made.dials(), allow_nan=False)
    again = make(attack.name, json.loads(text))
    assert again == made and hash(again) == hash(made)
    assert json.dumps(again.dials()) == text


def test_attacks_are_equal_when_all_their_dials_are() -> None:
    assert PGD(eps=0.1) == PGD(eps=np.float64(0.1), steps=30)
    assert len({PGD(eps=0.1), PGD(eps=0.1), PGD(eps=0.2), FMN(), FMN(steps=50), StAdv()}) == 4
    assert Strongest(attacks=[PGD()]) == Strongest(attacks=(PGD(),)) != Strongest(attacks=(PGD(), FMN()))
    for name in ("eps", "new"):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(PGD(), name, 0.1)


def test_numbers_of_other_kinds_become_plain_ones() -> None:
    made = PGD(eps=Fraction(4, 255), step=np.float32(0.5), steps=np.int64(7))  # pyright: ignore
    assert [type(value) for value in made.dials().values()] == [float, float, int, bool]
    assert made.eps == 4 / 255
    for grid in (
        [np.float64(0.1), Fraction(1, 5)],
        np.array([0.1, 0.2]),
        torch.tensor([0.1, 0.2], dtype=torch.float64),
    ):
        assert FGSM(grid=grid).dials() == {"grid": [0.1, 0.2]}  # pyright: ignore


def test_a_start_of_something_else_is_refused() -> None:
    problem = RankFlip(any_weights("l2"), random_triplets(2))
    attack = StAdvPGD(iterations=3)
    assert attack.starts_from == StAdv(iterations=3)
    stadv = attack.starts_from
    others = [StAdv(iterations=2)(problem), PGD(steps=8)(problem)]
    starts = [*others, stadv(problem, seed=1), stadv(problem, protocol="paper"), stadv(problem[:1])]
    for start in starts:
        with pytest.raises(InputError, match=r"(?s)start is .* Give the result of StAdv\(.*iterations=3\)"):
            attack(problem, start=start)
    for other in (PGD(steps=8), Strongest(attacks=[PGD(steps=8)])):
        with pytest.raises(InputError, match="Leave start out"):
            other(problem, start=starts[0])


def test_a_taken_name_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ATTACKS, "dialled", Dialled)
    # As in a notebook, a cell of which is run again.
    assert register(Dialled) is Dialled
    with pytest.raises(InputError, match="An attack named 'pgd' is registered already"):
        register(type("Other", (Dialled,), {"name": "pgd"}))
    assert ATTACKS["pgd"] is PGD


def test_more_pixels_than_an_image_has() -> None:
    with pytest.raises(InputError, match="pixels is 1025, and the images have 1024"):
        FewPixel(pixels=1025)(RankFlip(any_weights("l2"), random_triplets(1)))
