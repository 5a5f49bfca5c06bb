"""Plans as files: what is read, what is refused, and the plans that are shipped."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from simlib.attacks import APGD, FGSM, FMN, PAPER_EPS, PAPER_STEP, PAPER_STEPS, PGD, StAdv, Strongest
from simlib.benchmark.plan import SHARD_SIZE, Data, Plan, PlannedAttack, TransferSet, WhiteBox
from simlib.benchmark.plan_file import plan_from_dict, plan_to_dict, read_plan, shipped
from simlib.errors import InputError, UnknownNameError
from simlib.metrics import Metric, MetricSpec, registry
from simlib.report.published import TRANSFER, TRANSFER_ATTACKS

TEXT = """
name = "mine"
seed = 3
shard_size = 16
device = "cpu"
keep_images = true
protocol = "paper"

[data]
source = "some/folder"
n = 20
seed = 1

[white_box]
metrics = ["l2", "ssim"]

[[white_box.attacks]]
attack = "fgsm"
protocol = "strict"
grid = [0.01, 0.02]

[transfer]
sources = ["l2"]
targets = ["ssim", "gmsd"]
chosen_by = "ours"

[[transfer.attacks]]
title = "ours"
attack = "pgd"
target = "farther"
steps = 4
early_stop = false
"""

READ = Plan(
    name="mine",
    data=Data(source="some/folder", n=20, seed=1),
    white_box=WhiteBox(
        metrics=("l2", "ssim"),
        attacks=(PlannedAttack(title="fgsm", attack="fgsm", dials={"grid": [0.01, 0.02]}),),
    ),
    transfer=TransferSet(
        sources=("l2",),
        targets=("ssim", "gmsd"),
        attacks=(
            PlannedAttack(
                title="ours",
                attack="pgd",
                protocol="paper",
                target="farther",
                dials={"steps": 4, "early_stop": False},
            ),
        ),
        chosen_by="ours",
    ),
    seed=3,
    shard_size=16,
    device="cpu",
    keep_images=True,
)


def test_every_key_is_read(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text(TEXT)
    assert read_plan(tmp_path / "mine.toml") == READ


@pytest.mark.parametrize("ends", ["\n", "\r\n"])
def test_a_plan_of_a_windows_editor_is_read(tmp_path: Path, ends: str) -> None:
    (tmp_path / "mine.toml").write_text(TEXT, encoding="utf-8-sig", newline=ends)
    assert read_plan(tmp_path / "mine.toml") == READ


def test_a_file_whose_name_is_no_text_makes_no_plan_of_that_name(tmp_path: Path) -> None:
    path = tmp_path / "a\nb.toml"
    path.write_text('[white_box]\nmetrics = ["l2"]\nattacks = [{ attack = "pgd" }]\n')
    with pytest.raises(InputError, match=r"name is 'a\\nb'"):
        read_plan(path)


def test_a_plan_of_the_home_folder_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "mine.toml").write_text(TEXT)
    assert read_plan("~/mine.toml") == READ


def test_what_is_not_said_has_a_default(tmp_path: Path) -> None:
    (tmp_path / "short.toml").write_text('[white_box]\nmetrics = ["l2"]\nattacks = [{ attack = "pgd" }]\n')
    attack = PlannedAttack(title="pgd", attack="pgd", protocol="strict", target="closer", dials={})
    expected = Plan(
        name="short",
        data=Data(source="photos", n=None, seed=0),
        white_box=WhiteBox(metrics=("l2",), attacks=(attack,)),
        shard_size=SHARD_SIZE,
    )
    assert read_plan(tmp_path / "short.toml") == expected


@pytest.mark.parametrize("plan", [READ, *map(read_plan, shipped())], ids=lambda plan: plan.name)
def test_a_plan_survives_its_way_through_a_file(plan: Plan) -> None:
    text = json.dumps(plan_to_dict(plan))
    assert "null" not in text, "TOML has no null"
    assert plan_from_dict(json.loads(text), "here") == plan


def test_every_attack_survives_its_way_through_a_file() -> None:
    attacks = [
        PGD(eps=0.1),
        FGSM(grid=[0.1]),
        APGD(norm="l2"),
        Strongest(attacks=[FMN(), StAdv(weight_flow=0)]),
    ]
    planned = tuple(map(PlannedAttack.of, attacks))
    plan = Plan(name="x", white_box=WhiteBox(metrics=("l2",), attacks=planned))
    again = plan_from_dict(json.loads(json.dumps(plan_to_dict(plan))), "here")
    assert [attack.made for attack, _, _ in again.parts()["white-box"]] == attacks


def problems_of(content: Mapping[str, object]) -> list[str]:
    with pytest.raises(InputError) as caught:
        plan_from_dict({"name": "x", **content}, "here")
    first, *problems = str(caught.value).split("\n  ")
    assert first == "here is not a plan:"
    return [problem.partition(" Known:")[0] for problem in problems]


WRONG = """
    sed = 1
    keep_images = 1
    shard_size = 0
    [data]
    sorce = "photos"
    n = "8"
    [white_box]
    metric = ["l2"]
    [[white_box.attacks]]
    attack = "pgd"
    eps = { a = 1 }
    steps = 0
    epsilon = 1
    [[white_box.attacks]]
    titel = "x"
    [[white_box.attacks]]
    attack = "pdg"
    protocol = "strikt"
    target = "nearer"
    [transfer]
    sources = "l2"
    targets = [1, "sim"]
    attacks = "pgd"
"""


def test_all_that_is_wrong_is_said_at_once_and_where() -> None:
    assert sorted(problems_of(tomllib.loads(WRONG))) == sorted(
        [
            "Unknown key 'sed'. Did you mean seed?",
            "keep_images is 1. Input should be a valid boolean.",
            "shard_size is 0. Input should be greater than or equal to 1.",
            "[data]: Unknown key 'sorce'. Did you mean source?",
            "[data]: n is '8'. Input should be a valid integer.",
            "[white_box]: metrics is missing.",
            "[white_box]: Unknown key 'metric'. Did you mean metrics?",
            "[[white_box.attacks]] number 1: pgd: Unknown dial of pgd 'epsilon'. Did you mean eps, steps?",
            "[[white_box.attacks]] number 1: pgd: eps is {'a': 1}. It must be a finite number above 0.",
            "[[white_box.attacks]] number 1: pgd: steps is 0. It must be a whole number, at least 1.",
            "[[white_box.attacks]] number 2: attack is missing.",
            "[[white_box.attacks]] number 3: pdg: Unknown attack 'pdg'. Did you mean pgd, apgd?",
            "[[white_box.attacks]] number 3: protocol is 'strikt'. Input should be 'paper' or 'strict'.",
            "[[white_box.attacks]] number 3: target is 'nearer'. "
            "Input should be 'closer', 'farther' or 'reference'.",
            "[transfer]: sources is 'l2'. It must be a list.",
            "[transfer]: targets is 1. Input should be a valid string.",
            "[transfer]: Unknown metric 'sim'. Did you mean ssim, fsim, fsimc?",
            "[transfer]: attacks is 'pgd'. It must be a list.",
        ]
    )


@pytest.mark.parametrize("part", ["data", "white_box", "transfer"])
def test_a_part_that_is_no_table(part: str) -> None:
    assert problems_of({part: 5}) == [f"[{part}]: {part} is 5. It must be a table of keys and values."]


GOOD = {"metrics": ["l2"], "attacks": [{"attack": "pgd"}]}
SHOWN = {"sources": ["l2"], "targets": ["ssim"], "attacks": [{"attack": "pgd"}]}
NESTED = {"attack": "strongest", "attacks": [{"attack": "pgd", "eps": 3}]}


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ({}, "There is nothing to compute."),
        ({"white_box": {**GOOD, "metrics": []}}, "[white_box]: metrics: It is empty."),
        ({"white_box": {**GOOD, "metrics": ["l2", "l2"]}}, "[white_box]: metrics: 'l2' is there twice."),
        ({"white_box": {**GOOD, "metrics": ["committee:l2+ssim"]}}, "[white_box]: 'committee:l2+ssim' is an"),
        ({"white_box": {**GOOD, "attacks": []}}, "[white_box]: attacks: It is empty."),
        ({"white_box": {**GOOD, "attacks": 2 * GOOD["attacks"]}}, "[white_box]: attacks: 'pgd' is there tw"),
        ({"white_box": {**GOOD, "attacks": [NESTED]}}, "[[white_box.attacks]] number 1: strongest: eps is 3"),
        ({"white_box": GOOD, "protocol": "both"}, "[[white_box.attacks]] number 1: protocol is 'both'."),
        ({"transfer": {**SHOWN, "targets": []}}, "[transfer]: targets: It is empty."),
        (
            {"transfer": {**SHOWN, "chosen_by": "stAdv"}},
            "[transfer]: Unknown title of an attack in chosen_by",
        ),
        ({"white_box": GOOD, "data": {"n": 0}}, "[data]: n is 0."),
        ({"white_box": GOOD, "data": {"seed": -1}}, "[data]: seed is -1."),
        ({"white_box": GOOD, "seed": True}, "seed is True."),
        ({"white_box": GOOD, "name": "a\nb"}, "name is 'a\\nb'. It must be a line of text"),
        ({"white_box": GOOD, "name": "a\x1b[31m"}, "name is 'a\\x1b[31m'."),
        ({"white_box": GOOD, "name": "caf\udce9"}, "name is 'caf\\udce9'."),
        ({"white_box": GOOD, "data": {"source": "a\u2028b"}}, "[data]: source is "),
        (
            {"white_box": {**GOOD, "attacks": [{"attack": "pgd", "title": "a\nb"}]}},
            "[[white_box.attacks]] number 1: title is 'a\\nb'.",
        ),
    ],
)
def test_what_is_wrong_alone(content: dict[str, object], problem: str) -> None:
    (found,) = problems_of(content)
    assert found.startswith(problem)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x = " + 20_000 * "[", "not valid TOML"),
        ("x = 1" + 5_000 * "0", "not valid TOML"),
        (f'[white_box]\nmetrics = ["{3000 * "transformed:"}l2"]\nattacks = []', "nested too deeply"),
        ("[data]\nn = 1" + 30 * "0", "n is 1000"),
        *(
            (f'[white_box]\nmetrics = ["l2"]\nattacks = [{{ attack = {attack} }}]', message)
            for attack, message in {
                '"pgd", dials = 5': "dials is 5",
                '"pgd", eps = 1' + 400 * "0": "must be a finite number",
                '"strongest", attacks = [{ attack = ["x"] }]': "an entry without a name",
                '""': "Unknown attack ''",
            }.items()
        ),
    ],
)
def test_a_hostile_plan_has_a_message(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "hostile.toml").write_text(text)
    with pytest.raises(InputError, match=message):
        read_plan(tmp_path / "hostile.toml")


def test_dials_become_plain_numbers() -> None:
    planned = PlannedAttack(title="a", attack="pgd", dials={"steps": np.int64(3), "eps": np.float64(0.1)})
    plan = Plan(name="x", white_box=WhiteBox(metrics=("l2",), attacks=(planned,)))
    assert plan_to_dict(plan)["white_box"]["attacks"][0]["steps"] == 3


def test_an_attack_by_gradient_on_a_metric_without_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    blind = MetricSpec("blind", "Blind", differentiable=False)
    monkeypatch.setitem(registry._REGISTER, "blind", (blind, Metric))
    by_value, by_gradient = {"attack": "square"}, {"title": "PGD", "attack": "pgd"}
    part = {"metrics": ["l2", "blind"], "attacks": [by_value, by_gradient]}
    (problem,) = problems_of({"white_box": part})
    assert problem.startswith("[white_box]: PGD: pgd needs a gradient, and blind gives none. Use one of few-")
    # To judge, none is needed.
    plan_from_dict({"name": "x", "transfer": {**SHOWN, "targets": ["blind"]}}, "here")


def test_a_plan_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match=r"Did you mean smoke\?"):
        read_plan("smok")
    with pytest.raises(InputError, match=r"There is no file .*mine\.toml"):
        read_plan(tmp_path / "mine.toml")
    (tmp_path / "mine.toml").write_text("n = ")
    with pytest.raises(InputError, match="is not valid TOML"):
        read_plan(tmp_path / "mine.toml")
    (tmp_path / "mine.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(InputError, match="no text in UTF-8"):
        read_plan(tmp_path / "mine.toml")


def test_three_plans_are_shipped_by_their_names() -> None:
    assert shipped() == ["bapps", "photos", "smoke"]
    assert [read_plan(name).name for name in shipped()] == shipped()


def test_the_plan_bapps_is_that_of_the_paper() -> None:
    plan = read_plan("bapps")
    assert plan.data == Data(source="bapps")
    assert plan.white_box and plan.transfer
    (white_box,) = plan.white_box.attacks
    assert (white_box.attack, white_box.protocol, white_box.target) == ("pgd", "paper", "closer")
    assert white_box.dials == {"eps": PAPER_EPS, "step": PAPER_STEP, "steps": PAPER_STEPS}
    assert plan.transfer.sources == ("lpips-alex",)
    assert {each.metric for each in TRANSFER} <= {*plan.transfer.targets}
    assert plan.transfer.chosen_by == "stAdv"
    assert tuple(attack.title for attack in plan.transfer.attacks) == TRANSFER_ATTACKS


@pytest.mark.parametrize("name", ["photos", "bapps"])
def test_published_columns_are_made_as_published(name: str) -> None:
    transfer = read_plan(name).transfer
    assert transfer
    attacks = {attack.title: attack for attack in transfer.attacks}
    assert {*TRANSFER_ATTACKS} <= attacks.keys()
    for title in TRANSFER_ATTACKS:
        attack, dials = attacks[title], attacks[title].dials
        assert (attack.protocol, attack.target) == ("paper", "closer")
        if title == "stAdv":
            assert (attack.attack, dials) == ("stadv", {})
            continue
        steps = int(title.partition("(")[2].rstrip(")"))
        assert dials["steps"] == steps
        assert (dials["eps"], dials["step"]) == (PAPER_EPS, PAPER_STEP)
        assert attack.attack == ("stadv-pgd" if title.startswith("stAdv") else "pgd")
        # stAdv+PGD always takes all steps; PGD only if its dial says so.
        assert attack.attack == "stadv-pgd" or dials["early_stop"] is False


def test_the_plan_photos_has_twelve_targets() -> None:
    plan = read_plan("photos")
    assert plan.data.n == 512
    assert plan.transfer and len(plan.transfer.targets) == 12
    assert plan.transfer.sources[0] == "lpips-alex"
    # Judges that took part in making the images would prove nothing.
    assert not {"l1", "gmsd", "lpips-alex"} & {*plan.transfer.targets}
