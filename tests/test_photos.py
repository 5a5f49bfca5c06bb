"""Tests of simlib.triplets.photos."""

from __future__ import annotations

import urllib.request
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from simlib.errors import InputError
from simlib.triplets import Triplets, photograph_names, photos


@pytest.fixture(scope="module")
def embedded() -> Triplets:
    return photos(128)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for number, name in enumerate(("b.png", "a.jpg", "c d.webp")):
        save_noise(tmp_path / name, number)
    (tmp_path / "README.txt").write_text("no photograph")
    return tmp_path


def save_noise(path: Path, seed: int = 0, size: tuple[int, int] = (90, 80)) -> None:
    width, height = size
    levels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    Image.fromarray(levels).save(path)


def assert_same(first: Triplets, second: Triplets) -> None:
    for field in ("ref", "p0", "p1"):
        assert torch.equal(getattr(first, field), getattr(second, field))
    assert torch.equal(first.judge.nan_to_num(-1), second.judge.nan_to_num(-1))
    assert first.names == second.names
    assert first.photographs == second.photographs
    assert first.distortions == second.distortions


def test_the_set_is_what_it_says(embedded: Triplets) -> None:
    assert embedded.ref.shape == (128, 3, 64, 64)
    assert embedded.ref.dtype == torch.float32
    assert embedded.label_source == "constructed"
    assert embedded.names[12] == f"photos-s0-000012-{embedded.photographs[12]}"
    assert set(embedded.photographs) == set(photograph_names())
    assert len(photograph_names()) == 8


@settings(deadline=None, max_examples=8)
@given(seed=st.integers(0, 2**40), short=st.integers(1, 5), more=st.integers(1, 4))
def test_a_short_set_begins_a_longer_one(seed: int, short: int, more: int) -> None:
    assert_same(photos(short, seed=seed, side=32), photos(short + more, seed=seed, side=32)[:short])


def test_seeds_make_other_sets() -> None:
    assert not torch.equal(photos(4, seed=1).ref, photos(4, seed=2).ref)


def test_sets_of_other_seeds_and_sides_have_other_names(folder: Path) -> None:
    sets = [photos(4), photos(4, seed=1), photos(4, side=32), photos(4, side=32, folder=folder)]
    names = [name for each in sets for name in each.names]
    assert len(set(names)) == len(names)


def test_every_image_is_exactly_8_bit(embedded: Triplets) -> None:
    for images in (embedded.ref, embedded.p0, embedded.p1):
        assert torch.equal((images * 255).round() / 255, images)


def test_the_three_images_of_a_triplet_differ(embedded: Triplets) -> None:
    pairs = ((embedded.ref, embedded.p0), (embedded.ref, embedded.p1), (embedded.p0, embedded.p1))
    for first, second in pairs:
        assert float(255 * (first - second).square().flatten(1).mean(1).sqrt().min()) >= 0.999


def test_even_triplets_are_ladders_with_the_stronger_farther_by_l2(embedded: Triplets) -> None:
    ladders = embedded[::2]
    far0, far1 = ((ladders.ref - each).square().flatten(1).sum(1) for each in (ladders.p0, ladders.p1))
    assert set(ladders.judge.tolist()) == {0.0, 1.0}
    assert float(((far1 < far0).float() == ladders.judge).float().mean()) >= 0.95


def steps(text: str) -> list[tuple[str, float]]:
    return [(step.rsplit(" ", 1)[0], float(step.rsplit(" ", 1)[1])) for step in text.split(", then ")]


def test_a_ladder_has_one_kind_of_distortion_at_twice_the_strength(embedded: Triplets) -> None:
    for judge, pair in zip(embedded.judge[::2].tolist(), embedded.distortions[::2], strict=True):
        of_p0, of_p1 = (steps(text) for text in pair)
        weaker, stronger = (of_p1, of_p0) if judge == 1 else (of_p0, of_p1)
        assert [name for name, _ in weaker] == [name for name, _ in stronger]
        # Both strengths are given with two digits.
        assert all(high >= 2 * low - 0.015 for (_, low), (_, high) in zip(weaker, stronger, strict=True))


def test_both_strengths_of_a_ladder_share_the_random_draw(embedded: Triplets) -> None:
    noisy = [
        number
        for number, (text, _) in enumerate(embedded.distortions)
        if number % 2 == 0 and text.startswith("Gaussian noise") and "then" not in text
    ]
    assert noisy
    for triplet in embedded[noisy]:
        noise = torch.stack([(each - triplet.ref).flatten() for each in (triplet.p0, triplet.p1)])
        assert float(torch.corrcoef(noise)[0, 1]) > 0.8


def test_odd_triplets_have_no_label_and_no_common_recipe(embedded: Triplets) -> None:
    mixed = embedded[1::2]
    assert mixed.judge.isnan().all()
    same_kind = [
        [name for name, _ in steps(first)] == [name for name, _ in steps(second)]
        for first, second in mixed.distortions
    ]
    assert np.mean(same_kind) < 0.5


def test_no_large_photograph_dominates(embedded: Triplets) -> None:
    counts = [embedded.photographs.count(name) for name in photograph_names()]
    # 16 are expected of each; the bounds are four standard deviations away.
    assert min(counts) >= 2
    assert max(counts) <= 31


def test_no_patch_is_flat(embedded: Triplets) -> None:
    assert float(embedded.ref.flatten(2).std(dim=2).mean(dim=1).min()) >= 0.04


def test_nothing_is_downloaded(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("the network was asked")

    monkeypatch.setattr(urllib.request, "urlopen", refuse)
    monkeypatch.setattr("socket.socket.connect", refuse)
    assert len(photos(4, seed=99)) == 4


def test_a_folder_of_photographs(folder: Path) -> None:
    assert photograph_names(folder) == ("a", "b", "c d")
    cut = photos(12, side=32, folder=folder)
    assert set(cut.photographs) <= {"a", "b", "c d"}
    assert_same(cut, photos(12, side=32, folder=str(folder)))
    assert all(" " not in name for name in cut.names)


def test_files_that_share_a_stem_stay_two_photographs(folder: Path) -> None:
    save_noise(folder / "a.png", 7)
    assert photograph_names(folder) == ("a.jpg", "a.png", "b", "c d")


def test_patches_are_cut_at_two_scales(tmp_path: Path) -> None:
    # Averaging 2 x 2 independent pixels halves the standard deviation, so the scale can be seen.
    save_noise(tmp_path / "noise.png")
    spread = photos(24, side=32, folder=tmp_path).ref.flatten(1).std(dim=1)
    full, half = spread > 0.25, spread < 0.18
    assert bool((full | half).all())
    assert full.any()
    assert half.any()


def test_a_photograph_too_small_for_the_second_scale_is_cut_at_the_first(tmp_path: Path) -> None:
    save_noise(tmp_path / "noise.png", size=(33, 32))
    assert float(photos(8, side=32, folder=tmp_path).ref.flatten(1).std(dim=1).min()) > 0.25


def test_a_changed_file_is_read_again(tmp_path: Path) -> None:
    save_noise(tmp_path / "noise.png", 1)
    before = photos(2, side=32, folder=tmp_path)
    save_noise(tmp_path / "noise.png", 2, size=(91, 80))
    assert not torch.equal(before.ref, photos(2, side=32, folder=tmp_path).ref)


def test_a_flat_photograph_is_refused_by_name(tmp_path: Path) -> None:
    Image.new("RGB", (80, 80), (10, 120, 200)).save(tmp_path / "sky.png")
    with pytest.raises(InputError, match=r"sky\.png is flat"):
        photos(1, side=32, folder=tmp_path)


def test_a_file_that_cannot_be_read_is_refused_by_name(folder: Path) -> None:
    (folder / "broken.jpg").write_bytes(b"not a photograph")
    with pytest.raises(InputError, match=r"broken\.jpg cannot be read"):
        photos(1, side=32, folder=folder)


def test_a_photograph_that_is_too_small_is_refused_with_its_size(folder: Path) -> None:
    save_noise(folder / "thumbnail.png", size=(70, 31))
    with pytest.raises(InputError, match=r"thumbnail\.png is 70 x 31"):
        photos(1, side=32, folder=folder)


def test_the_embedded_photographs_have_a_size_too() -> None:
    with pytest.raises(InputError, match="too small for patches of side 400"):
        photos(1, side=400)


def test_folders_that_are_absent_or_empty_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no folder"):
        photos(1, folder=tmp_path / "absent")
    with pytest.raises(InputError, match="holds no photograph"):
        photograph_names(tmp_path)


@pytest.mark.parametrize(
    "arguments", [{"n": 0}, {"n": 2.5}, {"n": True}, {"n": 1, "seed": -1}, {"n": 1, "side": 15}]
)
def test_numbers_out_of_their_range_are_refused(arguments: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="whole number"):
        photos(**arguments)


def test_a_draw_may_begin_later() -> None:
    whole, part = photos(6, seed=9, side=32), photos(2, seed=9, side=32, first=3)
    assert part.names == whole.names[3:5]
    assert torch.equal(part.ref, whole.ref[3:5])
    assert torch.equal(part.p1, whole.p1[3:5])
    with pytest.raises(InputError, match="first"):
        photos(2, first=-1)
