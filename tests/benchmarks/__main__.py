"""Measure, print, and write ``_build/bench.json``."""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import torch

from simlib import metrics
from simlib.code import code_hash
from simlib.files import written_whole
from simlib.kernels.device import pick_device
from tests.benchmarks import one_pixel, pgd, scaling, stadv

TARGET = Path("_build/bench.json")


def import_seconds() -> float:
    """Return the median time of ``import simlib`` in a fresh process, the interpreter's start left out."""
    ask = "import time; t = time.perf_counter(); import simlib; print(time.perf_counter() - t)"
    return statistics.median(
        float(subprocess.check_output([sys.executable, "-c", ask], text=True)) for _ in range(5)
    )


def main() -> None:
    """Run every benchmark on the best device of this machine."""
    device = pick_device()
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", min(4, os.cpu_count() or 1))))
    metric, reason = metrics.load_first("lpips-alex", "st-lpips-alex", device=device)
    if reason:
        print(reason)
    figures = {
        "import_seconds": import_seconds(),
        "pgd": pgd.measure(metric, device),
        "stadv": stadv.measure(metric, device),
        "one_pixel": one_pixel.measure(metric, device),
        "scaling": scaling.measure(metric, device),
        "code": code_hash()[:16],
        "versions": {
            "python": platform.python_version(),
            "torch": version("torch"),
            "scipy": version("scipy"),
        },
    }
    TARGET.parent.mkdir(exist_ok=True)
    with written_whole(TARGET) as temporary:
        temporary.write_text(json.dumps(figures, indent=2) + "\n")
    print(json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()
