"""The provenance box."""

from __future__ import annotations

from simlib.code import code_hash
from simlib.report.provenance import Provenance, provenance


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
