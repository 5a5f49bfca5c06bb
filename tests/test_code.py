"""The hash of the code."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import simlib
from simlib.code import code_hash


def test_hash_changes_with_any_source_file(tmp_path: Path) -> None:
    copy = tmp_path / "simlib"
    shutil.copytree(Path(simlib.__file__).parent, copy, ignore=shutil.ignore_patterns("__pycache__"))
    ask = "from simlib.code import code_hash; print(code_hash())"

    def hash_of_copy() -> str:
        return subprocess.check_output([sys.executable, "-c", ask], cwd=tmp_path, text=True).strip()

    assert hash_of_copy() == code_hash()
    with (copy / "errors.py").open("a") as stream:
        stream.write("# changed\n")
    assert hash_of_copy() != code_hash()


def test_a_part_has_a_hash_of_its_own() -> None:
    assert len({code_hash(), code_hash("kernels"), code_hash("attacks"), code_hash("files.py")}) == 4
    assert code_hash("kernels", "attacks") == code_hash("attacks", "kernels")
    assert code_hash("kern") == code_hash("nothing")
