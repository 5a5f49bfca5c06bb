"""Hashes of code: what they cover, and that sentences do not count."""

from __future__ import annotations

import importlib
import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import numpy
import pytest
import torch

import simlib
from simlib import provenance
from simlib.attacks import PGD, Square
from simlib.benchmark.plan import PlannedAttack
from simlib.benchmark.recipe import recipe_of
from simlib.errors import InputError
from simlib.provenance import code_hash, describe_device, imports_in, reached, versions

CPU = torch.device("cpu")
GRADIENT, SQUARE = "simlib.attacks.gradient", "simlib.attacks.square"
Edit = Callable[[str, str, str], None]


def forget() -> None:
    for each in (provenance._imports_of, provenance._fingerprint):
        each.cache_clear()


@pytest.fixture
def edit(monkeypatch: pytest.MonkeyPatch) -> Iterator[Edit]:
    """Give a function that replaces text in a module's source, as if it had been loaded so."""

    def replace(module: str, old: str, new: str) -> None:
        source = provenance._SOURCES.get(module, b"").decode()
        assert old in source
        edited = (source.replace(old, new, 1) if old else source + new).encode()
        monkeypatch.setattr(provenance, "_SOURCES", {**provenance._SOURCES, module: edited})
        forget()

    yield replace
    monkeypatch.undo()
    forget()


def keys() -> dict[str, str]:
    """Return the addresses of rows of some attacks and metrics."""
    rows = {
        "PGD on L2": (PGD(), "l2"),
        "PGD on SSIM": (PGD(), "ssim"),
        "Square on L2": (Square(), "l2"),
        "Square on SSIM": (Square(), "ssim"),
    }
    return {
        name: recipe_of(PlannedAttack.of(attack), 0, metric, metric, CPU).key
        for name, (attack, metric) in rows.items()
    }


def changed(before: dict[str, str]) -> set[str]:
    return {name for name, key in keys().items() if key != before[name]}


PGD_ROWS, SQUARE_ROWS = {"PGD on L2", "PGD on SSIM"}, {"Square on L2", "Square on SSIM"}


@pytest.mark.parametrize(
    ("module", "old", "new", "expected"),
    [
        (GRADIENT, "0.001 / 2", "0.002 / 2", PGD_ROWS),
        (SQUARE, "(10, 50, 200", "(11, 50, 200", SQUARE_ROWS),
        ("simlib.attacks.sparse", "_LEAST_CHUNK = 32", "_LEAST_CHUNK = 16", set()),
        ("simlib.metrics.pixel", "_LEAST_ERROR = 1e-8", "_LEAST_ERROR = 1e-7", {"PGD on L2", "Square on L2"}),
        ("simlib.metrics.deep", "", "\nx = 1\n", set()),
        ("simlib.benchmark.rows", "", "\nx = 1\n", PGD_ROWS | SQUARE_ROWS),
        ("simlib.benchmark.shard", "", "\nx = 1\n", PGD_ROWS | SQUARE_ROWS),
        ("simlib.kernels.projection", "", "\nx = 1\n", PGD_ROWS | SQUARE_ROWS),
        ("simlib.benchmark.statistics", "", "\nx = 1\n", set()),
        ("simlib.report.tables", "", "\nx = 1\n", set()),
    ],
)
def test_code_counts_for_the_rows_that_reach_it(
    module: str, old: str, new: str, expected: set[str], edit: Edit
) -> None:
    before = keys()
    edit(module, old, new)
    assert changed(before) == expected


def test_a_new_metric_counts_for_no_other(edit: Edit) -> None:
    before = keys()
    edit("simlib.metrics.newest", "", "from simlib.metrics.metric import Metric\n")
    edit("simlib.metrics", "", "\nfrom simlib.metrics import newest\n")
    assert not changed(before)
    assert code_hash("simlib.metrics.newest") != code_hash("simlib.metrics.metric")


SENTENCES = [
    ('"""', '"""New words. '),
    ('class PGD(Attack):\n    """', 'class PGD(Attack):\n    """New words. '),
    ("import torch\n", "import torch\n\n# A comment.\n"),
    ("", '\n"""A text that nothing uses."""\n'),
]


def test_sentences_do_not_count(edit: Edit) -> None:
    before = keys(), code_hash()
    for old, new in SENTENCES:
        edit(GRADIENT, old, new)
    assert (keys(), code_hash()) == before


def test_a_text_that_is_used_counts(edit: Edit) -> None:
    before = code_hash(GRADIENT)
    edit(GRADIENT, 'title: ClassVar[str] = "PGD"', 'title: ClassVar[str] = "Pgd"')
    assert code_hash(GRADIENT) != before


def test_all_code_counts_where_no_module_is_named(edit: Edit) -> None:
    before = code_hash()
    edit("simlib.report.tables", "", "\nx = 1\n")
    assert code_hash() != before


def test_names_are_followed_to_where_they_are_defined(edit: Edit) -> None:
    edit("simlib.here", "", "from simlib.attacks import PGD as Mine\n")
    edit("simlib.there", "", "from simlib import metrics\nimport simlib.errors\n")
    edit("simlib.inside", "", "def late():\n    from simlib.kernels import lbfgs\n    return lbfgs\n")
    assert GRADIENT in reached(["simlib.here"]) and SQUARE not in reached(["simlib.here"])
    # Of a whole package, all that it passes on may be used.
    assert {"simlib.metrics.deep", "simlib.errors"} <= reached(["simlib.there"])
    assert "simlib.kernels.lbfgs" in reached(["simlib.inside"])
    assert imports_in("import torch\nfrom simlib.attacks import FMN") == {"simlib.attacks.fmn"}


def test_code_for_type_checkers_only_is_not_followed(edit: Edit) -> None:
    edit(
        "simlib.typed",
        "",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from simlib.attacks.square import Square\n",
    )
    assert reached(["simlib.typed"]) == {"simlib.typed"}
    assert "simlib.attacks.attack" not in reached(["simlib.attacks.result"])


def test_a_module_of_a_user_counts_with_its_file_and_what_lies_beside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    file, helper = tmp_path / "mine.py", tmp_path / "helper_of_mine.py"
    hashes = list[str]()
    for x, y in ((1, 1), (2, 1), (2, 2)):
        file.write_text(f"import numpy\nfrom simlib.attacks import FMN\nimport helper_of_mine\nx = {x}\n")
        helper.write_text(f"y = {y}\n")
        importlib.import_module("mine")
        hashes += [code_hash("mine")]
        file.write_text(f"# a sentence\n{file.read_text()}")
        assert code_hash("mine") == hashes[-1]
    found = reached(["mine"])
    assert {"mine", "helper_of_mine", "simlib.attacks.fmn"} <= found and "numpy" not in found
    assert len(set(hashes)) == 3
    for name in ("mine", "helper_of_mine"):
        monkeypatch.delitem(sys.modules, name)


def test_code_without_a_file_has_no_hash(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "notebook", ModuleType("notebook"))
    with pytest.raises(InputError, match=r"code of the module notebook cannot be read.* into a \.py file"):
        code_hash("notebook")


def test_a_copy_of_the_package_has_the_same_hashes_until_its_code_changes(tmp_path: Path) -> None:
    copy = tmp_path / "simlib"
    shutil.copytree(Path(simlib.__file__).parent, copy, ignore=shutil.ignore_patterns("__pycache__"))
    modules = [(GRADIENT,), (SQUARE,), ()]
    ask = (
        "import json, sys; from simlib.provenance import code_hash;"
        f"print(json.dumps([code_hash(*each) for each in {modules}])); assert 'torch' not in sys.modules"
    )

    def hashes() -> list[str]:
        return json.loads(subprocess.check_output([sys.executable, "-c", ask], cwd=tmp_path, text=True))

    here = [code_hash(*each) for each in modules]
    assert hashes() == here
    source = (copy / "attacks" / "gradient.py").read_text()
    for old, new in SENTENCES:
        source = source.replace(old, new, 1) if old else source + new
    (copy / "attacks" / "gradient.py").write_text(source)
    assert hashes() == here
    (copy / "attacks" / "gradient.py").write_text(source.replace("0.03 / 2", "0.04 / 2"))
    assert [one == two for one, two in zip(hashes(), here, strict=True)] == [False, True, False]


def test_device_and_versions() -> None:
    assert describe_device(CPU).keys() == {"device", "threads", "torch"}
    assert describe_device(CPU)["device"].startswith("cpu (")
    found = versions(["numpy", "no-such-package"])
    assert found == {"numpy": numpy.__version__, "no-such-package": ""}


def test_what_jupyter_and_systems_leave_beside_the_code_is_no_code(tmp_path: Path) -> None:
    for name in ("a.py", "._a.py", ".ipynb_checkpoints/a-checkpoint.py", "__MACOSX/a.py", "b/c.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    assert provenance._modules_in(tmp_path) == [tmp_path / "a.py", tmp_path / "b" / "c.py"]
