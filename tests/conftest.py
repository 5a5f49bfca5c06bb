"""What all tests share: where weights lie, and a browser."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.browser import find_chromium, in_ci

ROOT = Path(__file__).resolve().parents[1]

# Tests run side by side, one to a core; threads of one that wait for those of another cost many times over.
os.environ.setdefault("OMP_NUM_THREADS", "1")

_weights = ROOT.parent / "shared" / "data" / "weights"
if "SIMLIB_WEIGHTS" not in os.environ and _weights.is_dir():
    os.environ["SIMLIB_WEIGHTS"] = str(_weights)


@pytest.fixture(scope="session")
def root() -> Path:
    return ROOT


@pytest.fixture(scope="session")
def chromium() -> str:
    path = find_chromium()
    if path is None:
        message = "no Chromium or Chrome on this machine: run `python -m tests.browser` to install one"
        if in_ci():
            pytest.fail(message)
        pytest.skip(message)
    return path
