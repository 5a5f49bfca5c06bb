"""The provenance box and the hash of the code."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import simlib
from simlib.report.provenance import Provenance, code_hash, provenance


def test_hash_changes_with_any_source_file(tmp_path: Path) -> None:
    copy = tmp_path / "simlib"
    shutil.copytree(Path(simlib.__file__).parent, copy, ignore=shutil.ignore_patterns("__pycache__"))
    ask = "from simlib.report.provenance import code_hash; print(code_hash())"

    def hash_of_copy() -> str:
        return subprocess.check_output([sys.executable, "-c", ask], cwd=tmp_path, text=True).strip()

    assert hash_of_copy() == code_hash()
    with (copy / "errors.py").open("a") as stream:
        stream.write("# changed\n")
    assert hash_of_copy() != code_hash()


def test_tells_all_conditions() -> None:
    box = str(provenance(device="cpu", n=12, seed=3, metric="L2"))
    for expected in (
        "profile: ",
        "triplets: 12",
        "seed: 3",
        "metric: L2",
        "device: cpu",
        "torch ",
        code_hash()[:16],
    ):
        assert expected in box


def test_html_is_escaped() -> None:
    assert "<b>" not in Provenance((("metric", "<b>"),))._repr_html_()
