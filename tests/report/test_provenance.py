"""The provenance box."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from simlib.provenance import code_hash, fingerprints
from simlib.report.provenance import RUN, Provenance, provenance


def test_all_conditions_are_in_the_box() -> None:
    box = str(provenance(device="cpu", n=12, seed=3, metric="L2"))
    expected = ("profile: ", "triplets: 12", "seed: 3", "metric: L2", "device: cpu", "torch ")
    assert all(text in box for text in (*expected, code_hash()[:16]))


def test_html_is_escaped() -> None:
    assert "<b>" not in Provenance((("metric", "<b>"),), "smoke", {})._repr_html_()


def test_a_program_reads_the_profile_and_the_code_that_the_cells_have_reached(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cells = ["", "from simlib.kernels.flow import warp", "this is no Python", "import os"]
    shell = SimpleNamespace(user_ns={"In": cells})
    monkeypatch.setattr("IPython.core.getipython.get_ipython", lambda: shell)
    monkeypatch.setenv("SIMLIB_PROFILE", "smoke")
    run = provenance(device="cpu", n=1, seed=0)._repr_mimebundle_()[RUN]
    assert run["profile"] == "smoke"
    assert run["code"] == fingerprints(["simlib", "simlib.kernels.flow"])
    assert "simlib.metrics.pixel" not in run["code"]
