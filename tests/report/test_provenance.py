"""The provenance box."""

from __future__ import annotations

from simlib.provenance import code_hash
from simlib.report.provenance import Provenance, provenance


def test_all_conditions_are_in_the_box() -> None:
    box = str(provenance(device="cpu", n=12, seed=3, metric="L2"))
    expected = ("profile: ", "triplets: 12", "seed: 3", "metric: L2", "device: cpu", "torch ")
    assert all(text in box for text in (*expected, code_hash()[:16]))


def test_html_is_escaped() -> None:
    assert "<b>" not in Provenance((("metric", "<b>"),))._repr_html_()
