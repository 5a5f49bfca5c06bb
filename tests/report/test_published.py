"""Figures that others have published."""

from __future__ import annotations

from simlib.metrics import spec_of
from simlib.report.published import TRANSFER, TRANSFER_N, WHITE_BOX_PGD


def test_published_counts_hang_together() -> None:
    for judge in TRANSFER:
        spec_of(judge.metric)
        assert all(0 < count < judge.accurate < TRANSFER_N for count in judge.flipped.values())
        combined = [count for attack, count in judge.flipped.items() if attack.startswith("stAdv")]
        assert combined == sorted(combined)
    by_judge = {judge.metric: judge.flipped for judge in TRANSFER}
    assert (by_judge["ssim"]["PGD(20)"], by_judge["st-lpips-alex"]["stAdv+PGD(20)"]) == (442, 310)


def test_the_published_white_box_attack_hangs_together() -> None:
    within = WHITE_BOX_PGD.flipped_within
    assert sorted(within.values()) == list(within.values())
    assert round(WHITE_BOX_PGD.rate.value, 3) == within[29]
    assert round(WHITE_BOX_PGD.flipped_within_three / WHITE_BOX_PGD.n, 3) == within[3]
