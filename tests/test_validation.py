"""What keeps a plan from running is found before any work, all of it at once."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from simlib import attacks
from simlib.attacks import ATTACKS, RankFlip
from simlib.benchmark.plan import Data, Plan, PlannedAttack, TransferSet, WhiteBox
from simlib.benchmark.plan_file import read_plan
from simlib.benchmark.validation import WITHOUT_GRADIENT, leave_out_absent, problems_of, validate
from simlib.errors import InputError, NoGradientError
from simlib.metrics import Metric, MetricSpec, registry
from tests.stored_triplets import save_folder, save_image
from tests.support import random_triplets

PGD = PlannedAttack("PGD", "pgd", "strict")
STADV = PlannedAttack("stAdv", "stadv", "paper")
GOOD = Plan(
    "good",
    Data("photos", 4),
    white_box=WhiteBox(("l2", "ssim"), (PGD,)),
    transfer=TransferSet(("l2",), ("ssim", "gmsd"), (PGD, STADV), "stAdv"),
    device="cpu",
)


class Blind(Metric):
    """Counts levels, which gives no gradient."""

    spec = MetricSpec("blind", "Blind", differentiable=False)

    def compare(self, reference: tuple[Tensor, ...], features: tuple[Tensor, ...]) -> Tensor:
        return (reference[0] - features[0]).detach().abs().mean(dim=(1, 2, 3))


@pytest.fixture
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine without weights and data but those in packages."""
    monkeypatch.setenv("SIMLIB_WEIGHTS", str(tmp_path / "weights"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "hub"))
    monkeypatch.setenv("SIMLIB_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "weights").mkdir()
    return tmp_path


def planned(attack: str, **parameters: object) -> PlannedAttack:
    return PlannedAttack("it", attack, "strict", parameters=parameters)


def attacking(*attacks: PlannedAttack, metrics: tuple[str, ...] = ("l2",), data: Data = GOOD.data) -> Plan:
    return Plan("x", data, WhiteBox(metrics, attacks), device="cpu")


def test_a_plan_that_can_run_is_let_through() -> None:
    assert problems_of(GOOD) == []
    validate(GOOD)
    assert problems_of(replace(read_plan("smoke"), device="cpu")) == []


@pytest.mark.parametrize("name", sorted(ATTACKS))
@pytest.mark.parametrize("protocol", ["paper", "strict"])
def test_every_attack_can_be_planned_as_it_is(name: str, protocol: Any) -> None:
    assert problems_of(attacking(PlannedAttack("it", name, protocol))) == []


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"seed": -1}, "seed is -1. It must be a whole number, at least 0."),
        ({"shard_size": 0}, "shard_size is 0. It must be a whole number, at least 1."),
        ({"device": "gpu"}, "There is no device 'gpu' here"),
        ({"data": Data("photos", None)}, "[data]: There is no end to the triplets of photos."),
        ({"data": Data("photos", 0)}, "[data]: n is 0."),
        ({"data": Data("photos", 4, -1)}, "[data]: seed is -1."),
        ({"data": Data("nowhere", 4)}, "[data]: There are no data 'nowhere'."),
        ({"white_box": None, "transfer": None}, "There is nothing to compute."),
        ({"white_box": WhiteBox(("l2", "sim"), (PGD,))}, "Unknown metric 'sim'. Did you mean ssim"),
        ({"white_box": WhiteBox((), (PGD,))}, "[white_box]: metrics is empty."),
        ({"white_box": WhiteBox(("l2",), ())}, "[white_box]: attacks is empty."),
        ({"white_box": WhiteBox(("l2", "l2"), (PGD,))}, "[white_box]: metrics: 'l2' is there twice."),
        ({"white_box": WhiteBox(("l2",), (PGD, PGD))}, "[white_box]: attacks: 'PGD' is there twice."),
        (
            {"transfer": replace(GOOD.transfer, chosen_by="stadv")},  # pyright: ignore[reportArgumentType]
            "[transfer]: Unknown title of an attack in chosen_by 'stadv'.",
        ),
        ({"transfer": TransferSet(("l2",), (), (PGD,))}, "[transfer]: targets is empty."),
        (
            {"transfer": TransferSet(("l2",), ("iw-ssim",), (PGD,))},
            "iw-ssim: IW-SSIM needs images of at least",
        ),
    ],
)
def test_what_is_wrong_is_told(changed: dict[str, Any], message: str) -> None:
    (problem,) = problems_of(replace(GOOD, **changed))
    assert problem.startswith(message)


@pytest.mark.parametrize(
    ("attack", "messages"),
    [
        (planned("pdg"), ["Unknown attack 'pdg'. Did you mean pgd"]),
        (planned("pgd", epss=0.1), ["Unknown parameter of pgd 'epss'. Did you mean eps"]),
        (planned("pgd", seed=1), ["Unknown parameter of pgd 'seed'."]),
        (planned("pgd", start=1), ["Unknown parameter of pgd 'start'."]),
        (planned("strongest", attacks=("pgd",)), ["strongest has no parameters, so no attacks."]),
        (planned("pgd", eps=2), ["eps is 2. Changes are stated in the units of [0, 1]"]),
        (planned("pgd", eps=True), ["eps is True. It must not be true or false."]),
        (planned("pgd", early_stop=0), ["early_stop is 0. It must be true or false."]),
        (planned("pgd", steps=0, step="x"), ["step is 'x'.", "steps is 0."]),
        (planned("apgd", norm="l3", steps=1.5), ["Unknown norm 'l3'.", "steps is 1.5."]),
        (planned("apgd", norm="l2", eps=3.0), []),
        (planned("fgsm", grid=3), ["fgsm cannot be called with grid = 3"]),
        (planned("fgsm", grid=(0.2, 0.1)), ["grid is (0.2, 0.1). It must hold"]),
        (planned("few-pixel", pixels=4097), ["pixels is 4097, and the images have 4096."]),
        (replace(PGD, protocol="strikt"), ["Unknown protocol 'strikt'. Did you mean strict"]),  # pyright: ignore[reportArgumentType]
        (replace(PGD, target="nearer"), ["Unknown target 'nearer'."]),  # pyright: ignore[reportArgumentType]
    ],
)
def test_the_attack_itself_says_what_it_does_not_accept(attack: PlannedAttack, messages: list[str]) -> None:
    problems = problems_of(attacking(attack))
    assert len(problems) == len(messages)
    for problem, message in zip(problems, messages, strict=True):
        assert problem.startswith(f"[white_box]: {attack.title}: {message}")


def test_nothing_is_attacked_to_find_out() -> None:
    """It would never end."""
    assert problems_of(attacking(planned("pgd", steps=10**12, early_stop=False))) == []


def test_all_problems_come_in_one_error() -> None:
    plan = replace(GOOD, seed=-1, data=Data("nowhere"), white_box=WhiteBox(("l3", "l4"), (planned("x"),)))
    with pytest.raises(InputError) as caught:
        validate(plan)
    first, *problems = str(caught.value).split("\n  ")
    assert first == "The plan good cannot run:"
    assert problems == problems_of(plan)
    told = " ".join(problems)
    assert all(each in told for each in ("seed is -1", "nowhere", "'l3'", "'l4'", "Unknown attack 'x'"))
    assert len(problems) == 5


def test_attacks_that_need_no_gradient_are_those_that_take_a_blind_metric() -> None:
    problem = RankFlip(Blind(), random_triplets(2, side=16))
    refused = set()
    for name in ATTACKS:
        small = {"generations": 2} if "pixel" in name else {}
        try:
            with pytest.warns() if name == "strongest" else torch.no_grad():
                attacks.run(name, problem, **small)
        except NoGradientError:
            refused.add(name)
    assert ATTACKS.keys() - refused == WITHOUT_GRADIENT


def test_an_attack_by_gradient_on_a_metric_without_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(registry._REGISTER, "blind", (Blind.spec, Blind))
    plan = attacking(PGD, planned("square"), metrics=("l2", "blind"))
    (problem,) = problems_of(plan)
    assert problem.startswith("[white_box]: PGD: pgd needs a gradient, and blind gives none. Use one of few-")
    # To judge, none is needed.
    assert problems_of(Plan("x", GOOD.data, transfer=TransferSet(("l2",), ("blind",), (PGD,)))) == []


def test_images_that_are_too_small_or_too_few_are_told(tmp_path: Path) -> None:
    save_folder(tmp_path / "small", [0.0, 1.0])
    plan = attacking(PGD, STADV, metrics=("l2", "ssim"), data=Data(str(tmp_path / "small")))
    (problem,) = problems_of(plan)
    assert problem.startswith("ssim: SSIM needs images of at least 11x11 pixels, and these are 8x8.")
    (problem,) = problems_of(attacking(PGD, data=Data(str(tmp_path / "small"), 3)))
    assert "has 2 triplets, fewer than the 3 asked for" in problem


def test_images_that_no_flow_fits_in_are_told(tmp_path: Path) -> None:
    save_folder(tmp_path / "flat", [0.0])
    for part in ("ref", "p0", "p1"):
        save_image(tmp_path / "flat" / part / "000000.png", 0, height=3, width=20)
    (problem,) = problems_of(attacking(PGD, STADV, data=Data(str(tmp_path / "flat"))))
    assert problem.startswith("[white_box]: stAdv: The images are 3x20, and a flow needs at least 4x4")


def test_absent_weights_and_data_are_told_with_the_remedy(bare: Path) -> None:
    plan = Plan("x", Data("bapps"), transfer=TransferSet(("dists",), ("l2", "lpips-alex"), (PGD,)))
    problems = problems_of(plan)
    assert problems[0].startswith("[data]: BAPPS (val) is not in")
    assert problems[1:] == [
        "dists: weights absent: simlib weights fetch vgg16 dists",
        "lpips-alex: weights absent: simlib weights fetch alexnet",
    ]


def test_weights_that_are_not_what_they_should_be_are_told(bare: Path) -> None:
    (bare / "weights" / "alexnet_features.pth").write_bytes(b"cut short")
    (problem,) = problems_of(attacking(PGD, metrics=("l2", "lpips-alex")))
    assert "alexnet_features.pth is not the file it should be" in problem


def test_absent_metrics_can_be_left_out(bare: Path) -> None:
    plan = replace(
        GOOD,
        white_box=WhiteBox(("dists", "l2", "nothing"), (PGD,)),
        transfer=TransferSet(("ssim", "dists"), ("lpips-alex", "l2"), (PGD,)),
    )
    left, lines = leave_out_absent(plan)
    assert left.white_box == WhiteBox(("l2", "nothing"), (PGD,)), "what does not exist stays, to be refused"
    assert left.transfer == TransferSet(("ssim",), ("l2",), (PGD,))
    assert [line.partition(":")[0] for line in lines] == ["dists", "lpips-alex"]
    assert leave_out_absent(GOOD) == (GOOD, [])


def test_a_part_that_loses_all_it_attacks_or_shows_is_left_out(bare: Path) -> None:
    for transfer in (TransferSet(("dists",), ("l2",), (PGD,)), TransferSet(("l2",), ("dists",), (PGD,))):
        left, _ = leave_out_absent(Plan("x", GOOD.data, WhiteBox(("dists",), (PGD,)), transfer))
        assert (left.white_box, left.transfer) == (None, None)
