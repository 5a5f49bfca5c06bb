"""Plans as files: what is read, what is refused, and the plans that are shipped."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from simlib.attacks import PAPER_EPS, PAPER_STEP, PAPER_STEPS
from simlib.benchmark.plan import SHARD_SIZE, Data, Plan, PlannedAttack, TransferSet, WhiteBox
from simlib.benchmark.plan_file import plan_from_dict, plan_to_dict, read_plan, shipped
from simlib.benchmark.published import TRANSFER, TRANSFER_ATTACKS
from simlib.errors import InputError, UnknownNameError

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
    data=Data("some/folder", 20, 1),
    white_box=WhiteBox(
        ("l2", "ssim"), (PlannedAttack("fgsm", "fgsm", "strict", parameters={"grid": (0.01, 0.02)}),)
    ),
    transfer=TransferSet(
        ("l2",),
        ("ssim", "gmsd"),
        (PlannedAttack("ours", "pgd", "paper", "farther", {"steps": 4, "early_stop": False}),),
        "ours",
    ),
    seed=3,
    shard_size=16,
    device="cpu",
    keep_images=True,
)


def test_every_key_is_read(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text(TEXT)
    assert read_plan(tmp_path / "mine.toml") == READ


def test_what_is_not_said_has_a_default(tmp_path: Path) -> None:
    (tmp_path / "short.toml").write_text('[white_box]\nmetrics = ["l2"]\nattacks = [{ attack = "pgd" }]\n')
    attack = PlannedAttack("pgd", "pgd", "strict", "closer", {})
    expected = Plan("short", Data("photos", None, 0), WhiteBox(("l2",), (attack,)), shard_size=SHARD_SIZE)
    assert read_plan(tmp_path / "short.toml") == expected


values = some.recursive(
    some.text(max_size=3) | some.integers(-9, 9) | some.floats(-9, 9) | some.booleans(),
    lambda inner: some.lists(inner, max_size=3).map(tuple),
    max_leaves=4,
)
names = some.sampled_from(["l2", "ssim", "x:y"])
lists = some.lists(names, max_size=3).map(tuple)
attacks = some.lists(
    some.builds(
        PlannedAttack,
        title=names,
        attack=names,
        protocol=some.sampled_from(["paper", "strict"]),
        target=some.sampled_from(["closer", "farther", "reference"]),
        parameters=some.dictionaries(some.sampled_from(["eps", "grid", "steps"]), values),
    ),
    max_size=3,
).map(tuple)
plans = some.builds(
    Plan,
    name=names,
    data=some.builds(Data, source=names, n=some.none() | some.integers(0, 9), seed=some.integers(0, 9)),
    white_box=some.none() | some.builds(WhiteBox, metrics=lists, attacks=attacks),
    transfer=some.none() | some.builds(TransferSet, lists, lists, attacks, names),
    seed=some.integers(0, 9),
    shard_size=some.integers(1, 9),
    device=names,
    keep_images=some.booleans(),
)


@settings(deadline=None, max_examples=60)
@given(plans)
def test_a_plan_survives_its_way_through_a_file(plan: Plan) -> None:
    text = json.dumps(plan_to_dict(plan))
    assert "null" not in text, "TOML has no null"
    assert plan_from_dict(json.loads(text), "here") == plan


def test_all_that_is_wrong_is_told_at_once_and_where(tmp_path: Path) -> None:
    path = tmp_path / "wrong.toml"
    path.write_text(
        """
        sed = 1
        keep_images = 1
        [data]
        sorce = "photos"
        n = "8"
        [white_box]
        metric = ["l2"]
        [[white_box.attacks]]
        attack = "pgd"
        eps = { a = 1 }
        [[white_box.attacks]]
        titel = "x"
        [transfer]
        sources = "l2"
        targets = [1]
        attacks = "pgd"
        """
    )
    with pytest.raises(InputError) as caught:
        read_plan(path)
    first, *problems = str(caught.value).split("\n  ")
    assert first == f"{path} is not a plan:"
    assert sorted(problem.split(" Known:")[0] for problem in problems) == sorted(
        [
            "Unknown key 'sed'. Did you mean seed?",
            "keep_images is 1. It must be true or false.",
            "[data]: Unknown key 'sorce'. Did you mean source?",
            "[data]: n is '8'. It must be a whole number.",
            "[white_box]: metrics is missing. It must be a list of texts in quotes.",
            "[white_box]: Unknown key 'metric'. Did you mean metrics?",
            "[[white_box.attacks]] number 1: eps is {'a': 1}. "
            "It must be a number, a text, true or false, or a list of such.",
            "[[white_box.attacks]] number 2: attack is missing. It must be a text in quotes.",
            "[transfer]: sources is 'l2'. It must be a list of texts in quotes.",
            "[transfer]: targets is [1]. It must be a list of texts in quotes.",
            "[transfer]: attacks is 'pgd'. It must be a list of tables, [[transfer.attacks]].",
        ]
    )


@pytest.mark.parametrize("part", ["data", "white_box", "transfer"])
def test_a_part_that_is_no_table_is_told_alone(part: str) -> None:
    with pytest.raises(InputError) as caught:
        plan_from_dict({"name": "x", part: 5}, "here")
    assert str(caught.value) == f"here is not a plan:\n  {part} is 5. It must be a table, [{part}]."


def test_an_empty_part_is_no_part() -> None:
    with pytest.raises(InputError, match=r"\[transfer\]: sources is missing"):
        plan_from_dict({"name": "x", "transfer": {}}, "here")


def test_a_plan_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match=r"Did you mean smoke\?"):
        read_plan("smok")
    with pytest.raises(InputError, match=r"There is no file .*mine\.toml"):
        read_plan(tmp_path / "mine.toml")
    (tmp_path / "mine.toml").write_text("n = ")
    with pytest.raises(InputError, match="is not valid TOML"):
        read_plan(tmp_path / "mine.toml")
    (tmp_path / "mine.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(InputError, match="cannot be read"):
        read_plan(tmp_path / "mine.toml")


def test_three_plans_are_shipped_by_their_names() -> None:
    assert shipped() == ["bapps", "photos", "smoke"]
    assert [read_plan(name).name for name in shipped()] == shipped()


def test_the_plan_bapps_is_that_of_the_paper() -> None:
    plan = read_plan("bapps")
    assert plan.data == Data("bapps", None, 0)
    assert plan.white_box and plan.transfer
    (white_box,) = plan.white_box.attacks
    assert (white_box.attack, white_box.protocol, white_box.target) == ("pgd", "paper", "closer")
    assert white_box.parameters == {"eps": PAPER_EPS, "step": PAPER_STEP, "steps": PAPER_STEPS}
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
        attack, parameters = attacks[title], attacks[title].parameters
        assert (attack.protocol, attack.target) == ("paper", "closer")
        if title == "stAdv":
            assert (attack.attack, parameters) == ("stadv", {})
            continue
        steps = int(title.partition("(")[2].rstrip(")"))
        assert parameters["steps"] == steps
        assert (parameters["eps"], parameters["step"]) == (PAPER_EPS, PAPER_STEP)
        assert attack.attack == ("stadv-pgd" if title.startswith("stAdv") else "pgd")
        # stAdv+PGD always takes all steps; PGD only if it is told to.
        assert attack.attack == "stadv-pgd" or parameters["early_stop"] is False


def test_the_plan_photos_has_twelve_targets() -> None:
    plan = read_plan("photos")
    assert plan.data.n == 512
    assert plan.transfer and len(plan.transfer.targets) == 12
    assert plan.transfer.sources[0] == "lpips-alex"
    # Judges that took part in making the images would prove nothing.
    assert not {"l1", "gmsd", "lpips-alex"} & {*plan.transfer.targets}
