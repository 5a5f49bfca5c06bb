"""Measure, print, and write ``_build/bench.json``; names as arguments choose what is measured."""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from simlib import metrics
from simlib.files import written_whole
from simlib.kernels.device import pick_device
from simlib.provenance import code_hash
from tests.benchmarks import benchmark, one_pixel, pgd, scaling, stadv

TARGET = Path("_build/bench.json")
BENCHMARKS = {
    "pgd": pgd.measure,
    "stadv": stadv.measure,
    "one_pixel": one_pixel.measure,
    "scaling": scaling.measure,
    "benchmark": benchmark.measure,
}


def import_seconds() -> float:
    """Return the median time of ``import simlib`` in a fresh process, the interpreter's start left out."""
    ask = "import time; t = time.perf_counter(); import simlib; print(time.perf_counter() - t)"
    return statistics.median(
        float(subprocess.check_output([sys.executable, "-c", ask], text=True)) for _ in range(5)
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Run benchmarks on the best device of this machine.

    What is measured alone takes the place of what the file holds of it, and tells its own code; all else
    stays.
    """
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"{', '.join(BENCHMARKS)} (default: all)")
    names = parser.parse_args(arguments).names
    unknown = set(names) - BENCHMARKS.keys()
    if unknown:
        parser.error(f"there is no {', '.join(sorted(unknown))}; there are {', '.join(BENCHMARKS)}")
    device = pick_device()
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", min(4, os.cpu_count() or 1))))
    metric, reason = metrics.load_first("lpips-alex", "st-lpips-alex", device=device)
    if reason:
        print(reason)
    figures = before() if names else {}
    if not figures:
        figures = {"import_seconds": import_seconds(), "code": code_hash()[:16], "versions": versions()}
    for name in names or BENCHMARKS:
        figures[name] = {**BENCHMARKS[name](metric, device), "code": code_hash()[:16]}
        write(figures)
    print(json.dumps(figures, indent=2))


def before() -> dict[str, Any]:
    """Return what the file holds; nothing if there is none."""
    return json.loads(TARGET.read_text()) if TARGET.exists() else {}


def versions() -> dict[str, str]:
    """Return the versions that speed depends on."""
    return {"python": platform.python_version(), "torch": version("torch"), "scipy": version("scipy")}


def write(figures: dict[str, Any]) -> None:
    """Write the file, whole or not at all."""
    TARGET.parent.mkdir(exist_ok=True)
    with written_whole(TARGET) as temporary:
        temporary.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
