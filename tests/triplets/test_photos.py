"""Tests of simlib.triplets.photos."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from simlib.errors import InputError
from simlib.triplets import EMBEDDED, Triplets, photos
from simlib.triplets.ladders import harder_ladders
from tests.ambient import AMBIENT
from tests.triplets.stored_triplets import assert_same


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


def test_the_set_is_what_it_says(embedded: Triplets) -> None:
    assert embedded.ref.shape == (128, 3, 64, 64)
    assert embedded.ref.dtype == torch.float32
    assert embedded.label_source == "constructed"
    assert embedded.names[12] == f"photos-s0-000012-{embedded.photographs[12]}"
    for images in (embedded.ref, embedded.p0, embedded.p1):
        assert torch.equal((images * 255).round() / 255, images)
    # No patch is flat.
    assert float(embedded.ref.flatten(2).std(dim=2).mean(dim=1).min()) >= 0.04


def test_photographs_are_drawn_alike_however_large_they_are(embedded: Triplets) -> None:
    counts = [embedded.photographs.count(name) for name in EMBEDDED]
    assert sum(counts) == 128
    # 16 are expected of each; the bounds are four standard deviations away.
    assert min(counts) >= 2
    assert max(counts) <= 31


@settings(deadline=None, max_examples=8)
@given(seed=st.integers(0, 2**40), first=st.integers(0, 3), short=st.integers(1, 3), more=st.integers(0, 2))
def test_a_short_set_is_part_of_a_longer_one(seed: int, first: int, short: int, more: int) -> None:
    longer = photos(first + short + more, seed=seed, side=32)
    assert_same(photos(short, seed=seed, side=32, first=first), longer[first : first + short])


def test_other_seeds_sides_and_folders_make_other_sets_with_other_names(folder: Path) -> None:
    sets = [photos(4), photos(4, seed=1), photos(4, side=32), photos(4, side=32, folder=folder)]
    names = [name for each in sets for name in each.names]
    assert len(set(names)) == len(names)
    assert not torch.equal(sets[0].ref, sets[1].ref)


def test_the_three_images_of_a_triplet_differ(embedded: Triplets) -> None:
    pairs = ((embedded.ref, embedded.p0), (embedded.ref, embedded.p1), (embedded.p0, embedded.p1))
    for first, second in pairs:
        assert float(255 * (first - second).square().flatten(1).mean(1).sqrt().min()) >= 0.999


def steps(text: str) -> list[tuple[str, float]]:
    return [(name, float(strength)) for name, strength in re.findall(r"(?:^|then )(.+?) ([\d.]+)", text)]


def test_even_triplets_are_ladders_with_the_stronger_farther_by_l2(embedded: Triplets) -> None:
    ladders = embedded[::2]
    far0, far1 = ((ladders.ref - each).square().flatten(1).sum(1) for each in (ladders.p0, ladders.p1))
    assert set(ladders.judge.tolist()) == {0.0, 1.0}
    assert float(((far1 < far0).float() == ladders.judge).float().mean()) >= 0.95
    for judge, pair in zip(ladders.judge.tolist(), ladders.distortions, strict=True):
        of_p0, of_p1 = (steps(text) for text in pair)
        weaker, stronger = (of_p1, of_p0) if judge == 1 else (of_p0, of_p1)
        assert [name for name, _ in weaker] == [name for name, _ in stronger]
        # Both strengths are given with two digits.
        assert all(high >= 2 * low - 0.015 for (_, low), (_, high) in zip(weaker, stronger, strict=True))


def test_both_strengths_of_a_ladder_share_the_random_draw(embedded: Triplets) -> None:
    ladders = embedded[::2]
    noisy = [
        i for i, pair in enumerate(ladders.distortions) if re.fullmatch(r"Gaussian noise [\d.]+", pair[0])
    ]
    assert noisy
    for triplet in ladders[noisy]:
        noise = torch.stack([(each - triplet.ref).flatten() for each in (triplet.p0, triplet.p1)])
        assert float(torch.corrcoef(noise)[0, 1]) > 0.8


def test_odd_triplets_have_no_label_and_distortions_of_their_own(embedded: Triplets) -> None:
    mixed = embedded[1::2]
    assert mixed.judge.isnan().all()
    pairs = [[[name for name, _ in steps(text)] for text in pair] for pair in mixed.distortions]
    assert np.mean([first == second for first, second in pairs]) < 0.5


def test_nothing_is_downloaded(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("the network was asked")

    monkeypatch.setattr("socket.socket.connect", refuse)
    assert len(photos(4, seed=99)) == 4


def test_a_folder_of_photographs(folder: Path) -> None:
    cut = photos(24, side=32, folder=folder)
    assert set(cut.photographs) == {"a", "b", "c d"}
    assert_same(cut, photos(24, side=32, folder=str(folder)))
    assert all(" " not in name for name in cut.names)
    # Files that share a stem are two photographs.
    save_noise(folder / "a.png", 7)
    assert set(photos(32, side=32, folder=folder).photographs) == {"a.jpg", "a.png", "b", "c d"}


def test_patches_are_cut_at_two_scales_where_the_photograph_is_large_enough(tmp_path: Path) -> None:
    # Averaging 2 x 2 independent pixels halves the standard deviation, so the scale can be seen.
    save_noise(tmp_path / "noise.png")
    spread = photos(24, side=32, folder=tmp_path).ref.flatten(1).std(dim=1)
    full, half = spread > 0.25, spread < 0.18
    assert bool((full | half).all())
    assert full.any()
    assert half.any()
    save_noise(tmp_path / "noise.png", size=(33, 32))
    assert float(photos(8, side=32, folder=tmp_path).ref.flatten(1).std(dim=1).min()) > 0.25


def test_a_changed_file_is_read_again(tmp_path: Path) -> None:
    save_noise(tmp_path / "noise.png", 1)
    before = photos(2, side=32, folder=tmp_path)
    save_noise(tmp_path / "noise.png", 2, size=(91, 80))
    assert not torch.equal(before.ref, photos(2, side=32, folder=tmp_path).ref)


def test_photographs_that_cannot_be_cut_from_are_refused_by_name(folder: Path) -> None:
    Image.new("RGB", (80, 80), (10, 120, 200)).save(folder / "sky.png")
    for name in ("a.jpg", "b.png", "c d.webp"):
        (folder / name).unlink()
    with pytest.raises(InputError, match=r"sky\.png is flat"):
        photos(1, side=32, folder=folder)
    save_noise(folder / "thumbnail.png", size=(70, 31))
    with pytest.raises(InputError, match=r"thumbnail\.png is 70 x 31"):
        photos(1, side=32, folder=folder)
    (folder / "broken.jpg").write_bytes(b"not a photograph")
    with pytest.raises(InputError, match=r"broken\.jpg cannot be read"):
        photos(1, side=32, folder=folder)


def test_folders_that_are_absent_or_empty_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no folder"):
        photos(1, folder=tmp_path / "absent")
    with pytest.raises(InputError, match="holds no photograph"):
        photos(1, folder=tmp_path)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n": 0}, "n is 0"),
        ({"n": 2.5}, "n is 2.5. It must be a whole number"),
        ({"n": True}, "n is True"),
        ({"n": 1, "seed": -1}, "seed is -1"),
        ({"n": 1, "side": 15}, "side is 15"),
        ({"n": 1, "side": 400}, "too small for patches of side 400"),
        ({"n": 1, "first": -1}, "first is -1"),
    ],
)
def test_numbers_out_of_their_range_are_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        photos(**arguments)


@pytest.mark.filterwarnings("ignore:Anomaly Detection has been enabled")
def test_nothing_that_a_caller_has_set_changes_a_triplet() -> None:
    expected, ladders = photos(2, side=16), harder_ladders(photos(2, side=16), ratios=[1.5])
    for name, ambient in AMBIENT.items():
        with ambient():
            found = photos(2, side=16)
            harder = harder_ladders(found, ratios=[1.5])
        for made, right in ((found, expected), (harder, ladders)):
            for part in ("ref", "p0", "p1", "judge"):
                tensor = getattr(made, part)
                assert torch.equal(tensor.nan_to_num(), getattr(right, part).nan_to_num()), name
                assert not tensor.is_inference()


def test_photographs_of_a_format_that_is_not_read_are_told(tmp_path: Path) -> None:
    (tmp_path / "a.tif").write_bytes(b"")
    with pytest.raises(InputError, match=r"no photograph.* Its \.tif files are not read: save them as PNG\."):
        photos(1, folder=tmp_path)


def test_what_a_system_leaves_among_photographs_is_passed_over(folder: Path) -> None:
    expected = photos(4, folder=folder)
    (folder / "._b.png").write_bytes(b"\0\5\x16\7")
    (folder / ".DS_Store").write_bytes(b"\0\5\x16\7")
    (folder / "__MACOSX").mkdir()
    assert_same(photos(4, folder=folder), expected)


def test_photographs_of_the_home_folder_are_found(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(folder.parent))
    assert_same(photos(2, folder=f"~/{folder.name}"), photos(2, folder=folder))


@pytest.mark.parametrize("name", ["a\nb.png", "a\x1b[2J.png"])
def test_a_photograph_whose_name_is_no_line_of_text_is_refused(folder: Path, name: str) -> None:
    save_noise(folder / name)
    with pytest.raises(InputError, match="no readable text"):
        photos(1, folder=folder)
