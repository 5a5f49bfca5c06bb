"""What keeps a plan from running on this machine is found before any work, all of it at once."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

import pytest

from simlib.attacks import ATTACKS, PGD, FewPixel, Protocol, StAdv
from simlib.benchmark.plan import Data, Plan, PlannedAttack, TransferSet, WhiteBox
from simlib.benchmark.plan_check import require_runnable, without_absent
from simlib.benchmark.plan_file import read_plan
from simlib.errors import InputError
from simlib.triplets import Triplets
from tests.support import random_triplets

ATTACK = PlannedAttack.of(PGD(steps=10**12, early_stop=False))
"""What would never end, if an attack were run to find out."""


def attacking(*metrics: str, attacks: tuple[PlannedAttack, ...] = (ATTACK,), **more: Any) -> Plan:
    return Plan(
        name="mine",
        data=Data(n=4),
        white_box=WhiteBox(metrics=metrics, attacks=attacks) if metrics else None,
        **{"device": "cpu", **more},
    )


def showing(sources: tuple[str, ...], targets: tuple[str, ...]) -> TransferSet:
    return TransferSet(sources=sources, targets=targets, attacks=(ATTACK,))


def problems_of(plan: Plan, example: Triplets | None = None) -> list[str]:
    with pytest.raises(InputError) as caught:
        require_runnable(plan, example or random_triplets(1, side=64))
    first, *problems = str(caught.value).split("\n  ")
    assert first == "The plan mine cannot run:"
    return problems


@pytest.fixture
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine without weights but those in packages."""
    monkeypatch.setenv("SIMLIB_WEIGHTS", str(tmp_path / "weights"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "hub"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "weights").mkdir()
    return tmp_path


def test_a_plan_that_can_run_is_let_through() -> None:
    smoke = read_plan("smoke").model_copy(update={"device": "cpu"})
    every = tuple(
        PlannedAttack.of(attack(), f"{attack.title}, {protocol}", protocol=protocol)
        for attack in ATTACKS.values()
        for protocol in get_args(Protocol)
    )
    for plan in (smoke, attacking("l2", attacks=every, transfer=showing(("l2",), ("ssim", "gmsd")))):
        require_runnable(plan, random_triplets(1, side=64))


def test_all_that_is_missing_is_said_at_once(bare: Path) -> None:
    (bare / "weights" / "alexnet_features.pth").write_bytes(b"cut short")
    too_many = PlannedAttack.of(FewPixel(pixels=4097))
    plan = attacking(
        "l2",
        "lpips-alex",
        attacks=(ATTACK, too_many),
        transfer=showing(("dists",), ("iw-ssim",)),
        device="gpu",
    )
    device, alex, dists, iw_ssim, pixels = problems_of(plan)
    assert device.startswith("There is no device 'gpu' here")
    assert "alexnet_features.pth is not the file it should be" in alex
    assert dists == "dists: weights absent: simlib weights fetch vgg16 dists"
    assert iw_ssim.startswith("iw-ssim: IW-SSIM needs images of at least 161x161 pixels, and these are 64x64")
    assert pixels == "[white_box]: Few-pixel: pixels is 4097, and the images have 4096. Change fewer."


def test_images_that_no_flow_fits_in() -> None:
    plan = attacking("l2", attacks=(ATTACK, PlannedAttack.of(StAdv())))
    (problem,) = problems_of(plan, random_triplets(1, side=3))
    assert problem.startswith("[white_box]: stAdv: The images are 3x3, and a flow needs at least 4x4")


def test_absent_metrics_can_be_left_out(bare: Path) -> None:
    plan = attacking("dists", "l2", transfer=showing(("ssim", "dists"), ("lpips-alex", "l2")))
    left, lines = without_absent(plan)
    assert left == attacking("l2", transfer=showing(("ssim",), ("l2",)))
    assert [line.partition(":")[0] for line in lines] == ["dists", "lpips-alex"]
    there = attacking("l2", transfer=showing(("ssim",), ("l2",)))
    assert without_absent(there) == (there, [])


def test_a_part_that_loses_all_it_attacks_or_shows_is_left_out(bare: Path) -> None:
    for transfer in (showing(("dists",), ("l2",)), showing(("l2",), ("dists",))):
        left, _ = without_absent(attacking("l2", transfer=transfer))
        assert left == attacking("l2")
        with pytest.raises(InputError, match="Nothing is left of the plan mine:\n  dists: weights absent"):
            without_absent(attacking("dists", transfer=transfer))


def test_dials_that_are_powerless_together() -> None:
    weak = PlannedAttack.of(PGD(eps=0.003))
    (problem,) = problems_of(attacking("l2", attacks=(weak,)))
    assert problem.startswith("[white_box]: PGD: PGD with eps=0.003") and "changes no image" in problem
