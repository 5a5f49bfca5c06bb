"""Messages name the nearest names."""

from __future__ import annotations

from simlib.errors import unknown_name


def test_nearest_names() -> None:
    message = str(unknown_name("metric", "LPIPS-Alx", ["lpips-alex", "ssim", "l2"]))
    assert "Unknown metric 'LPIPS-Alx'. Did you mean lpips-alex?" in message
    assert message.endswith("Known: l2, lpips-alex, ssim.")


def test_nothing_near() -> None:
    assert "Did you mean" not in str(unknown_name("metric", "zzz", ["ssim"]))
