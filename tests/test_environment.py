"""pyproject.toml, constraints.txt and environment.yml describe one set of packages."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name


def _project(root: Path) -> dict:
    return tomllib.loads((root / "pyproject.toml").read_text())["project"]


def _direct(root: Path) -> list[Requirement]:
    project = _project(root)
    extras = project["optional-dependencies"].values()
    return [
        Requirement(text)
        for text in [*project["dependencies"], *(text for extra in extras for text in extra)]
    ]


def _pins(root: Path) -> dict[str, str]:
    lines = (root / "constraints.txt").read_text().splitlines()
    pairs = (line.split("==") for line in lines if line and not line.startswith("#"))
    return {canonicalize_name(name): version for name, version in pairs}


def test_every_direct_dependency_has_a_pin_within_its_bounds(root: Path) -> None:
    pins = _pins(root)
    for requirement in _direct(root):
        version = pins.get(canonicalize_name(requirement.name))
        assert version is not None, f"{requirement.name} has no pin in constraints.txt"
        assert requirement.specifier.contains(version, prereleases=True), f"{requirement} against {version}"


def test_direct_dependencies_have_lower_bounds_and_no_exact_ones(root: Path) -> None:
    for requirement in _direct(root):
        operators = {part.operator for part in requirement.specifier}
        assert ">=" in operators, requirement
        assert "==" not in operators, requirement


def test_constraints_name_versions_only(root: Path) -> None:
    for line in (root / "constraints.txt").read_text().splitlines():
        assert line.startswith("#") or re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.+!]+", line), line


def test_conda_installs_what_make_installs(root: Path) -> None:
    environment = yaml.safe_load((root / "environment.yml").read_text())
    python = next(
        part for part in environment["dependencies"] if isinstance(part, str) and part.startswith("python=")
    )
    assert python == "python=3.11"
    assert _project(root)["requires-python"] == ">=3.11.4"
    pip = next(part["pip"] for part in environment["dependencies"] if isinstance(part, dict))
    assert pip == ["-c constraints.txt", "-e .[book,dev]"]
    makefile = (root / "Makefile").read_text()
    assert "--constraint constraints.txt" in makefile
    assert "--editable '.[book,dev]'" in makefile


def test_ci_runs_make_test(root: Path) -> None:
    commands = (root / ".ci" / "run").read_text().splitlines()
    assert "set -euo pipefail" in commands
    assert [line for line in commands if line.startswith("make")] == ["make test"]


def test_make_alone_lists_every_target(root: Path) -> None:
    listed = subprocess.run(["make", "--silent"], cwd=root, capture_output=True, text=True, check=True).stdout
    for target in ("book", "test", "lab", "results", "reference", "publish", "bench", "clean"):
        assert f"make {target} " in listed


def test_make_refuses_an_old_python_clearly(root: Path, tmp_path: Path) -> None:
    old = tmp_path / "python"
    old.write_text("#!/bin/sh\nexit 1\n")
    old.chmod(0o755)
    command = ["make", f"PYTHON={old}", f"VENV={tmp_path / 'venv'}", f"{tmp_path / 'venv'}/made.stamp"]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "Python 3.11.4 or newer is needed" in done.stdout


@pytest.mark.parametrize("module", ["simlib", "simlib.cli", "simlib.book"])
def test_imports_load_nothing_heavy(module: str) -> None:
    code = (
        f"import sys, {module}; sys.exit(any(name in sys.modules for name in ('torch', 'sphinx', 'numpy')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
