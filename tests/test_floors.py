"""The structure: imports go down only, and importing the package is light."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import simlib

ROOT = Path(simlib.__file__).parent
FLOORS = {
    "errors": 0,
    "code": 1,
    "files": 1,
    "downloads": 1,
    "archives": 1,
    "kernels": 1,
    "metrics": 2,
    "triplets": 2,
    "attacks": 3,
    "benchmark": 4,
    "report": 4,
    "book": 4,
    "cli": 4,
}


def imports_of(path: Path) -> set[str]:
    """Name the parts of simlib that a file imports, at its top or inside a function."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("simlib"):
            parts = node.module.split(".")
            found |= {parts[1]} if len(parts) > 1 else {alias.name for alias in node.names}
        elif isinstance(node, ast.Import):
            found |= {alias.name.split(".")[1] for alias in node.names if alias.name.startswith("simlib.")}
    return found & FLOORS.keys()


@pytest.mark.parametrize("path", sorted(ROOT.rglob("*.py")), ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_go_down_only(path: Path) -> None:
    own = path.relative_to(ROOT).with_suffix("").parts[0]
    if own == "__init__":
        assert not imports_of(path)
        return
    higher = {name for name in imports_of(path) if FLOORS[name] > FLOORS[own]}
    beside = {name for name in imports_of(path) if FLOORS[name] == FLOORS[own] < 4 and name != own}
    assert not higher | beside, f"{path} reaches up or sideways to {higher | beside}"


def test_every_part_has_a_floor() -> None:
    parts = {path.stem for path in ROOT.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()}
    assert parts - {"__init__"} == FLOORS.keys()


@pytest.mark.parametrize("module", ["simlib", "simlib.cli", "simlib.errors"])
def test_import_loads_nothing_heavy(module: str) -> None:
    ask = f"import sys, {module}; print([m for m in ('torch', 'numpy', 'scipy') if m in sys.modules])"
    assert subprocess.check_output([sys.executable, "-c", ask], text=True).strip() == "[]"
