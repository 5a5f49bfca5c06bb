"""An attack is a class and nothing else: a toy one, defined here, goes all the way without another edit."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import pytest

from simlib.attacks import ATTACKS, Attack, Conditions, FlipBatch, Found, make, register
from simlib.attacks.dials import budget
from simlib.benchmark.plan_file import read_plan
from simlib.benchmark.run import run_plan
from simlib.benchmark.store import Store
from simlib.cli import main
from simlib.errors import InputError
from simlib.report.attacks import attacks_as_table, dials_as_table
from simlib.report.tables import Name


@dataclass(frozen=True, kw_only=True)
class Brighten(Attack):
    """Add the same to every value.

    Attributes:
        eps: how much, in the units of [0, 1].
    """

    name: ClassVar[str] = "brighten"
    title: ClassVar[str] = "Brighten"
    bounded_by: ClassVar[str] = "largest change of a value"
    needs_gradient: ClassVar[bool] = False

    eps: float = budget(12 / 255)

    def search(self, batch: FlipBatch, conditions: Conditions) -> Found:
        images = (batch.original + self.eps).clamp(0, 1)
        once = batch.other.new_ones(len(batch)).long()
        return Found(images, None, steps=once, forwards=once, backwards=0 * once)


PLAN = """
[data]
n = 6
[white_box]
metrics = ["l2", "gmsd"]
attacks = [{ attack = "brighten" }, { title = "brighter", attack = "brighten", eps = 0.2 }]
[transfer]
sources = ["l2"]
targets = ["ssim"]
attacks = [{ attack = "brighten" }]
"""


@pytest.fixture
def plan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setitem(ATTACKS, Brighten.name, Brighten)
    assert register(Brighten) is Brighten
    (tmp_path / "toy.toml").write_text(PLAN)
    return tmp_path / "toy.toml"


def test_through_plan_store_and_rows(plan: Path, tmp_path: Path) -> None:
    record = run_plan(read_plan(plan), tmp_path / "store", progress=False)
    rows: Any = Store(tmp_path / "store").rows(record)
    assert len(rows) == 6 * (2 * 2 + 1)
    assert set(rows["attack"]) == {"brighten", "brighter"}
    assert set(rows["parameters"]) == {f'{{"eps": {12 / 255}}}', '{"eps": 0.2}'}
    own = rows[rows["source"] == rows["target"]]
    assert (own["linf"] - own["attack"].map({"brighten": 12.0, "brighter": 51.0})).abs().max() < 1e-3


def test_through_the_command_line(plan: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", str(plan), "--store", str(tmp_path / "store")]) == 0
    for table in ("white-box", "transfer", "comparison", "strata", "trade-off"):
        assert main(["results", "--store", str(tmp_path / "store"), "--table", table]) == 0
        assert "brighten" in capsys.readouterr().out
    assert main(["attacks", "brighten"]) == 0
    assert "how much, in the units of [0, 1]." in capsys.readouterr().out


def test_wrong_dials_are_refused_by_the_plan(plan: Path) -> None:
    plan.write_text(PLAN.replace("eps = 0.2", "eps = 2"))
    with pytest.raises(InputError, match=r"number 2: brighter: eps is 2. Changes are stated in the units"):
        read_plan(plan)


def test_in_the_tables_of_attacks_and_dials(plan: Path) -> None:
    row = attacks_as_table(list(ATTACKS.values())).rows[-1]
    described = ("brighten", "Brighten", "values only", "largest change of a value", "")
    assert row == (Name("brighten", "Brighten"), *described)
    dials = dials_as_table(make("brighten", {"eps": 0.25}))
    assert dials.rows == (("eps", "0.25", "how much, in the units of [0, 1]."),)
