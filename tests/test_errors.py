"""Messages name the nearest names."""

from __future__ import annotations

from simlib.errors import unknown_name


def test_an_unknown_name_comes_with_the_nearest() -> None:
    message = str(unknown_name("metric", "LPIPS-Alx", ["lpips-alex", "ssim", "l2"]))
    assert message == "Unknown metric 'LPIPS-Alx'. Did you mean lpips-alex? Known: l2, lpips-alex, ssim."
    assert str(unknown_name("metric", "zzz", ["ssim"])) == "Unknown metric 'zzz'. Known: ssim."
