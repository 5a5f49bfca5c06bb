"""The numerical tests once more, as on processors with other instructions and another number of threads."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest
import torch

SETTINGS = {
    "no vectors, two threads": ("default", {"ATEN_CPU_CAPABILITY": "default", "OMP_NUM_THREADS": "2"}),
    "AVX2, one thread": (
        "avx2",
        {"ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2", "OMP_NUM_THREADS": "1"},
    ),
}
_ASK = "import torch; print(torch.backends.cpu.get_cpu_capability(), torch.get_num_threads())"
_FLOORS = [f"tests/{floor}" for floor in ("kernels", "metrics", "attacks", "benchmark")]
_SLOW = (
    "iw-ssim",
    "vgg",
    "dists",
    "content",
    "style",
    "pieapp",
    "dreamsim",
    "transformed",
    "smoothed",
    "vsi",
)
"""Metrics that are left out, because they take more time than all others together."""


@pytest.mark.slow
@pytest.mark.skipif(
    platform.machine() not in ("x86_64", "AMD64"), reason="torch has these settings on x86 only"
)
@pytest.mark.parametrize(("capability", "setting"), SETTINGS.values(), ids=SETTINGS.keys())
def test_numerical_tests_pass_under_other_instructions_and_threads(
    capability: str, setting: dict[str, str], root: Path
) -> None:
    if capability == "avx2" and not torch.cpu._is_avx2_supported():
        pytest.skip("this processor has no AVX2")
    # Threads that wait must not keep those of other tests from working.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    environment |= {"OMP_WAIT_POLICY": "PASSIVE", **setting}
    ask = [sys.executable, "-c", _ASK]
    said = subprocess.run(ask, env=environment, capture_output=True, text=True, check=True).stdout
    assert said.split() == [capability.upper(), setting["OMP_NUM_THREADS"]]
    left_out = " and ".join(f"not {name}" for name in _SLOW)
    options = ["-q", "-p", "no:cacheprovider", "-m", "numerical", "-k", left_out]
    run = [sys.executable, "-m", "pytest", *options, *_FLOORS]
    done = subprocess.run(run, cwd=root, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert int(done.stdout.rsplit(" passed", 1)[0].split()[-1]) > 100
