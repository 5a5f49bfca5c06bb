"""The structure: imports go down only, files stay small, and nothing heavy is loaded before it is needed."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import simlib

ROOT = Path(simlib.__file__).parent
FLOORS = (
    {"errors"},
    {"checkout", "given", "output"},
    {"provenance", "files", "progress"},
    {"archives"},
    {"fetch"},
    {"kernels"},
    {"metrics", "triplets"},
    {"attacks"},
    {"benchmark"},
    {"report"},
    {"book"},
    {"cli"},
)
"""From the lowest up. A part uses itself and what is below, never what stands beside it."""

MOST_LINES = 300
FLOOR_OF = {part: floor for floor, parts in enumerate(FLOORS) for part in parts}
SOURCES = sorted(ROOT.rglob("*.py"))
STRANGER = re.compile(
    r"\b(?:pip3?|pipx|uv|poetry|conda|mamba)\b(?:[^\n&|;]|\\\n)*"
    r"\b(?:install|add)\b(?:[^\n&|;]|\\\n)*?[ '\"`]simlib(?![\w/]|\.\w)"
    r"|^\s*-\s+simlib\s*(?:$|[\[=<>~])",
    re.MULTILINE,
)
"""What would install the package that has this name on the public index: it is somebody else's."""


def imports_of(path: Path) -> set[str]:
    """Name the parts of simlib that a file imports, at its top, in a function, or for type checkers."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("simlib"):
            parts = node.module.split(".")
            found |= {parts[1]} if len(parts) > 1 else {alias.name for alias in node.names}
        elif isinstance(node, ast.Import):
            found |= {alias.name.split(".")[1] for alias in node.names if alias.name.startswith("simlib.")}
    return found & FLOOR_OF.keys()


def part_of(path: Path) -> str:
    return path.relative_to(ROOT).with_suffix("").parts[0]


@pytest.mark.parametrize("part", sorted(FLOOR_OF))
def test_imports_go_down_only(part: str) -> None:
    below = {other for other, floor in FLOOR_OF.items() if floor < FLOOR_OF[part]}
    for path in SOURCES:
        if part_of(path) == part:
            assert imports_of(path) <= below | {part}, path


def test_every_part_has_a_floor_and_the_package_itself_imports_none() -> None:
    assert {part_of(path) for path in SOURCES} - {"__init__"} == FLOOR_OF.keys()
    assert not imports_of(ROOT / "__init__.py")


def test_no_module_is_long() -> None:
    lengths = {path: path.read_text("utf-8").count("\n") for path in SOURCES}
    assert not {path: length for path, length in lengths.items() if length > MOST_LINES}


def test_packages_only_pass_on_what_their_modules_define() -> None:
    for path in SOURCES:
        if path.name != "__init__.py" or path.parent == ROOT:
            continue
        docstring, *rest = ast.parse(path.read_text("utf-8")).body
        assert isinstance(docstring, ast.Expr), path
        for node in rest:
            passed_on = isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__"
            assert passed_on or isinstance(node, ast.Import | ast.ImportFrom), f"{path}: {ast.unparse(node)}"


@pytest.mark.parametrize("module", ["simlib", "simlib.cli", "simlib.errors", "simlib.provenance"])
def test_import_loads_nothing_heavy(module: str) -> None:
    ask = f"import sys, {module}; print({{'torch', 'numpy', 'scipy', 'pandas'}} & {{*sys.modules}})"
    assert subprocess.check_output([sys.executable, "-c", ask], text=True).strip() == "set()"


def test_no_text_would_install_the_package_of_a_stranger(root: Path) -> None:
    folders = [root / name for name in ("book", "notebooks", "simlib", "tests", ".ci")]
    files = [*root.iterdir(), *(path for folder in folders for path in folder.rglob("*"))]
    skipped = (".png", ".parquet", ".pyc")
    texts = [path for path in files if path.is_file() and path.suffix not in skipped]
    assert len(texts) > 200
    for path in texts:
        if path != Path(__file__):
            assert not (found := STRANGER.search(path.read_text("utf-8"))), f"{path}: {found}"
    assert tomllib.loads((root / "pyproject.toml").read_text())["project"]["name"] != "simlib"


@pytest.mark.parametrize(
    ("text", "installs"),
    [
        ("pip install simlib", True),
        ("python -m pip install --quiet 'simlib[ray]'", True),
        ("`pip install simlib`", True),
        ("uv pip install torch simlib==1", True),
        ("dependencies:\n  - simlib\n", True),
        ("pip install -e '.[ray]'", False),
        ("Run pip3 install simlib.", True),
        ("uv add simlib", True),
        ("pip install \\\n  simlib", True),
        ("pip install ./simlib", False),
        ("pip install -e . && simlib run", False),
        ("Say how to install an optional part of simlib", False),
    ],
)
def test_such_texts_are_recognised(text: str, installs: bool) -> None:
    assert bool(STRANGER.search(text)) is installs
