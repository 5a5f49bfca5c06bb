"""Tests of simlib.triplets.stored, .layout, .table and .sources: triplets in files."""

from __future__ import annotations

import io
import math
import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from simlib.errors import AbsentError, InputError, UnknownNameError
from simlib.triplets import TripletFiles, Triplets, draw, open_triplets, photos, stored
from simlib.triplets.layout import read_judge
from simlib.triplets.sources import drawn
from tests.triplets.stored_triplets import (
    assert_same,
    levels,
    save_folder,
    save_image,
    save_judge,
    save_split,
)

SHARES = (0.0, 0.2, 1.0, 0.6, 1.0, 0.0)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    save_folder(tmp_path / "mine", SHARES)
    return tmp_path / "mine"


def expected_images(part: int, numbers: list[int], first: int = 0) -> torch.Tensor:
    images = np.stack([levels(first, number, part) for number in numbers])
    return torch.from_numpy(images).permute(0, 3, 1, 2) / 255


# What is listed, chosen and read.


def test_a_folder_gives_its_images_exactly_and_its_votes(folder: Path) -> None:
    (folder / "README.txt").write_text("mine")
    (folder / "ref" / ".DS_Store").write_text("")
    (folder / "ref" / "Thumbs.db").write_text("")
    (folder / "p0" / "._000000.png").write_text("")
    files = open_triplets(folder)
    assert len(files) == 6
    assert files.names == tuple(f"mine/{number:06d}" for number in range(6))
    assert torch.equal(files.judge, torch.tensor(SHARES))
    assert repr(files) == "TripletFiles(6, human labels, 1 folders)"
    read = files[:]
    for part, images in enumerate((read.ref, read.p0, read.p1)):
        assert images.dtype == torch.float32
        assert torch.equal(images, expected_images(part, list(range(6))))
    assert torch.equal(read.judge, files.judge)
    assert read.photographs == read.names == files.names
    assert read.distortions == (("mine", "mine"),) * 6
    assert read.label_source == "human"


@settings(deadline=None, max_examples=30)
@given(data=st.data())
def test_a_selection_is_that_of_the_whole(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.getbasetemp() / "kept"
    if not folder.exists():
        save_folder(folder, SHARES)
    files = open_triplets(folder)
    whole = files[:]
    rows = data.draw(st.lists(st.integers(-6, 5), unique_by=lambda row: row % 6, min_size=1))
    mask = torch.zeros(6, dtype=torch.bool)
    mask[rows] = True
    for index in (rows, torch.tensor(rows), mask, rows[0]):
        assert_same(files[index], whole[index])
        assert files.select(index).names == whole[index].names


def test_only_the_images_asked_for_are_read(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []
    original = stored.read_levels

    def note(path: Path) -> Any:
        seen.append(f"{path.parent.name}/{path.name}")
        return original(path)

    monkeypatch.setattr(stored, "read_levels", note)
    files = open_triplets(folder)
    clear = files.clear_winners()
    assert clear.names == tuple(f"mine/{number:06d}" for number in (0, 2, 4, 5))
    assert (clear.judge.tolist(), len(files.select([1]))) == ([0, 1, 1, 0], 1)
    assert seen == []
    assert clear[1].names == ("mine/000002",)
    assert sorted(seen) == ["p0/000002.png", "p1/000002.png", "ref/000002.png"]


def test_batches_and_iteration_read_everything_once(folder: Path) -> None:
    files = open_triplets(folder)
    batches = list(files.batches(4))
    assert [len(batch) for batch in batches] == [4, 2]
    assert_same(Triplets.concatenate(batches), files[:])
    assert_same(Triplets.concatenate(list(files)), files[:])


@pytest.mark.parametrize(
    ("index", "message"), [([0, 9], "positions from 0 to 5"), ([1, 1], "its own name"), ([], "No trip")]
)
def test_selections_that_make_no_set_are_refused(folder: Path, index: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        open_triplets(folder)[index]


def test_folders_within_a_folder_are_read_in_order_and_chosen_by_name(tmp_path: Path) -> None:
    save_folder(tmp_path / "set" / "blur", (0.0, 0.5), first=1)
    save_folder(tmp_path / "set" / "noise", (1.0,), first=2)
    (tmp_path / "set" / "notes").mkdir()
    files = open_triplets(tmp_path / "set")
    assert files.names == ("set/blur/000000", "set/blur/000001", "set/noise/000000")
    assert files.folders == ("blur", "blur", "noise")
    assert torch.equal(files.of_folders("noise")[:].p1, expected_images(2, [0], first=2))
    assert files.of_folders("noise", "blur").names == files.names
    with pytest.raises(UnknownNameError, match="Did you mean noise"):
        files.of_folders("nois")


def test_a_folder_has_its_name_however_it_is_reached(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder / "ref")
    assert open_triplets("..").names == open_triplets(folder).names


def test_without_votes_nobody_was_asked(folder: Path) -> None:
    shutil.rmtree(folder / "judge")
    files = open_triplets(folder)
    assert files.judge.isnan().all()
    assert len(files.clear_winners()) == 0


def test_formats_may_be_mixed(folder: Path) -> None:
    (folder / "p0" / "000000.png").unlink()
    (folder / "p1" / "000000.png").unlink()
    Image.fromarray(levels(0, 0, 1)).save(folder / "p0" / "000000.webp", lossless=True)
    Image.fromarray(levels(0, 0, 2)).save(folder / "p1" / "000000.JPG", quality=95)
    read = open_triplets(folder)[0]
    assert torch.equal(read.p0, expected_images(1, [0]))
    assert float((read.p1 - expected_images(2, [0])).abs().mean()) < 0.2


# Sizes.


def test_sizes_that_differ_are_named_and_can_be_scaled(folder: Path) -> None:
    save_image(folder / "p1" / "000003.png", 9, height=12, width=10)
    files = open_triplets(folder)
    with pytest.raises(
        InputError, match=r"p1/000003\.png is 10 x 12, but .*ref/000000\.png is 8 x 8.*side=64"
    ):
        files[:]
    assert len(files[:3]) == 3
    scaled = open_triplets(folder, side=4)[:]
    assert scaled.p1.shape == (6, 3, 4, 4)
    with Image.open(folder / "p1" / "000003.png") as opened:
        expected = np.asarray(opened.resize((4, 4), Image.Resampling.LANCZOS))
    assert np.array_equal(scaled.p1[3].permute(1, 2, 0).mul(255).round().numpy(), expected)
    assert torch.equal((scaled.ref * 255).round() / 255, scaled.ref)
    with pytest.raises(InputError, match="side is 0"):
        open_triplets(folder, side=0)


def test_scaling_down_averages(tmp_path: Path) -> None:
    stripes = np.zeros((64, 64, 3), dtype=np.uint8)
    stripes[:, ::2] = 255
    for part in ("ref", "p0", "p1"):
        (tmp_path / part).mkdir()
        Image.fromarray(stripes).save(tmp_path / part / "a.png")
    inner = open_triplets(tmp_path, side=8)[0].ref[..., 2:-2]
    assert float((inner - 0.5).abs().max()) < 0.02


# Folders with faults.


def remove(*names: str) -> Callable[[Path], None]:
    def act(folder: Path) -> None:
        for name in names:
            (folder / name).unlink()

    return act


FAULTS: dict[str, tuple[Callable[[Path], Any], str]] = {
    "image missing": (
        remove("p0/000002.png", "p0/000004.png"),
        r"p0 lacks 2 of the names in ref, the first '000002'",
    ),
    "image too many": (remove("ref/000005.png"), r"ref lacks 1 of the names in p0, the first '000005'"),
    "vote missing": (remove("judge/000001.npy"), r"judge lacks 1 of the names in ref, the first '000001'"),
    "all votes missing": (
        remove(*(f"judge/{number:06d}.npy" for number in range(6))),
        r"judge lacks 6 of the names in ref, the first '000000'",
    ),
    "folder missing": (lambda folder: shutil.rmtree(folder / "p1"), r"p1 cannot be read: No such file"),
    "references missing": (lambda folder: shutil.rmtree(folder / "ref"), r"ref cannot be read: No such file"),
    "nothing known": (
        lambda folder: [shutil.rmtree(folder / part) for part in ("ref", "p0", "p1")],
        "neither the folders ref, p0 and p1 nor",
    ),
    "no images": (
        remove(*(f"ref/{number:06d}.png" for number in range(6))),
        "holds no image. Put PNG, JPG, JPEG, WEBP files there",
    ),
    "one name twice": (
        lambda folder: save_image(folder / "ref" / "000003.jpg", 1),
        r"holds both 000003\.jpg and 000003\.png",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_folder_with_a_fault_is_refused_with_its_place(folder: Path, fault: str) -> None:
    act, message = FAULTS[fault]
    act(folder)
    with pytest.raises(InputError, match=message) as caught:
        open_triplets(folder)
    assert str(folder) in str(caught.value)


@pytest.mark.parametrize("name", ["scan.tif", "phone.heic", "clip.gif"])
def test_images_of_a_format_that_is_not_read_are_told(folder: Path, name: str) -> None:
    (folder / "p0" / "000003.png").rename(folder / "p0" / f"000003{Path(name).suffix}")
    message = rf"p0 holds images that cannot be read. Its \{Path(name).suffix} files are not read: save them"
    with pytest.raises(InputError, match=message):
        open_triplets(folder)
    # A triplet of such files alone is no triplet less without a word.
    for part in ("ref", "p1"):
        (folder / part / "000003.png").rename(folder / part / f"000003{Path(name).suffix}")
    with pytest.raises(InputError, match="ref holds images that cannot be read"):
        open_triplets(folder)
    for part in ("ref", "p0", "p1"):
        for path in (folder / part).iterdir():
            path.rename(path.with_suffix(Path(name).suffix))
    with pytest.raises(InputError, match=r"ref holds no image.* are not read: save them as PNG\."):
        open_triplets(folder)


def test_a_pointer_to_a_vote_or_table_is_named(folder: Path) -> None:
    pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n"
    for path in (folder / "votes.csv", folder / "judge" / "000003.npy"):
        path.write_text(pointer)
        with pytest.raises(InputError, match=rf"{path.name} .*pointer of Git LFS"):
            open_triplets(folder / "votes.csv" if path.suffix == ".csv" else folder)


def test_a_broken_image_is_named_when_it_is_read(folder: Path) -> None:
    (folder / "p0" / "000001.png").write_bytes(b"")
    files = open_triplets(folder)
    assert len(files[[0, 2]]) == 2
    with pytest.raises(InputError, match=r"p0/000001\.png cannot be read"):
        files[1]


class Trap:
    """Would leave a file behind if it were ever unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


def saved(array: Any, **options: Any) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array, **options)
    return buffer.getvalue()


def zipped() -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, np.float32(1))
    return buffer.getvalue()


HUGE = saved(np.float32(1)).replace(b"'shape': ()", b"'shape': (9999999999,)")[:128]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"0.4",
        saved(np.float32(1))[:-1],
        saved(np.zeros(2)),
        saved(np.zeros(0)),
        saved(np.zeros(1000)),
        saved(np.array(["1"])),
        saved(np.array([1j])),
        saved(np.array([None]), allow_pickle=True),
        zipped(),
        HUGE,
    ],
)
def test_a_judge_file_of_another_kind_is_refused_by_name(folder: Path, content: bytes) -> None:
    (folder / "judge" / "000001.npy").write_bytes(content)
    with pytest.raises(InputError, match=r"judge/000001\.npy is not a NumPy file of one number"):
        open_triplets(folder)


def test_a_pickle_is_never_executed(folder: Path, tmp_path: Path) -> None:
    trap = Trap(tmp_path / "executed")
    for content in (pickle.dumps(trap), saved(np.array([trap], dtype=object), allow_pickle=True)):
        (folder / "judge" / "000001.npy").write_bytes(content)
        with pytest.raises(InputError, match=r"000001\.npy .* a pickle is not read"):
            open_triplets(folder)
    assert not (tmp_path / "executed").exists()


def test_a_vote_is_any_one_number_from_0_to_1(tmp_path: Path) -> None:
    for array in (np.float64(0.25), np.array([[0.25]], dtype=np.float16), np.array([1])):
        np.save(tmp_path / "vote.npy", array)
        assert read_judge(tmp_path / "vote.npy") == float(array.item())
    for share in (-0.1, 1.01, math.inf, -math.inf):
        save_judge(tmp_path / "vote.npy", share)
        with pytest.raises(InputError, match=r"vote\.npy holds .* in \[0, 1\]"):
            read_judge(tmp_path / "vote.npy")


@settings(deadline=None, max_examples=200)
@given(data=st.data())
def test_a_damaged_vote_is_read_or_refused_and_nothing_else(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    content = bytearray(saved(np.array([0.2], dtype=np.float32)))
    for place in data.draw(st.lists(st.integers(0, len(content) - 1), min_size=1, max_size=6)):
        content[place] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.getbasetemp() / "damaged.npy"
    path.write_bytes(content)
    try:
        share = read_judge(path)
    except InputError as error:
        assert "damaged.npy" in str(error)
    else:
        assert math.isnan(share) or 0 <= share <= 1


# Tables.


@pytest.fixture
def table(folder: Path) -> Callable[[str], Path]:
    def write(text: str, encoding: str = "utf-8") -> Path:
        path = folder / "votes.csv"
        path.write_bytes(text.encode(encoding))
        return path

    return write


ROW = "ref/000000.png,p0/000000.png,p1/000000.png"
OTHER = "ref/000001.png,p0/000001.png,p1/000001.png"


def test_a_table_lists_paths_from_its_folder_and_votes(table: Callable[..., Path], tmp_path: Path) -> None:
    absolute = (tmp_path / "mine" / "p0" / "000004.png").as_posix()
    path = table(
        f"ref,p0,p1,judge\n{ROW},0.25\n{OTHER},\n\nref/000000.png,{absolute},../mine/p1/000002.png, 1\n"
    )
    files = open_triplets(path)
    assert files.names == ("votes/000000", "votes/000001", "votes/000002")
    assert files.judge.nan_to_num(-1).tolist() == [0.25, -1, 1]
    read = files[:]
    assert torch.equal(read.p0, expected_images(1, [0, 1, 4]))
    assert torch.equal(read.p1, expected_images(2, [0, 1, 2]))
    # What is cut from one reference is not independent.
    assert read.photographs == ("ref/000000.png", "ref/000001.png", "ref/000000.png")
    assert read.distortions == (("unknown", "unknown"),) * 3
    assert read.label_source == "human"


def test_a_table_may_name_more_and_in_any_order(table: Callable[..., Path]) -> None:
    path = table(
        "label_source,judge,photograph,name,p1,p0,ref\r\n"
        'constructed,1,"cat, asleep",first,p1/000000.png,p0/000000.png,ref/000000.png\r\n'
        "constructed,0,,,p1/000001.png,p0/000001.png,ref/000001.png\r\n",
        encoding="utf-8-sig",
    )
    read = open_triplets(path)[:]
    assert read.names == ("first", "votes/000001")
    assert read.photographs == ("cat, asleep", "ref/000001.png")
    assert read.label_source == "constructed"
    assert torch.equal(read.ref, expected_images(0, [0, 1]))


def test_a_table_of_a_windows_editor_in_utf_16_is_named(table: Callable[..., Path]) -> None:
    with pytest.raises(InputError, match="seems to be UTF-16"):
        open_triplets(table(f"ref,p0,p1,judge\n{ROW},1\n", encoding="utf-16"))


def test_data_of_the_home_folder_are_found(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(folder.parent))
    assert open_triplets("~/mine").names == open_triplets(folder).names
    table = folder / "votes.csv"
    table.write_text("ref,p0,p1,judge\n~/mine/ref/000001.png,p0/000001.png,p1/000001.png,1\n")
    assert torch.equal(draw("~/mine/votes.csv", 1).ref, expected_images(0, [1]))


def litter(folder: Path) -> None:
    """Leave in a folder what macOS, Windows and Jupyter leave there."""
    for name in (".DS_Store", "Thumbs.db", "desktop.ini"):
        (folder / name).write_bytes(b"\0\5\x16\7")
    for name in ("__MACOSX", ".ipynb_checkpoints"):
        for part in ("ref", "p0", "p1", "judge"):
            (folder / name / part).mkdir(parents=True)
            (folder / name / part / "._000000.png").write_bytes(b"\0\5\x16\7")


@pytest.mark.parametrize("inside", ["", "cnn"])
def test_what_a_system_leaves_in_a_set_is_passed_over(tmp_path: Path, inside: str) -> None:
    save_folder(tmp_path / "mine" / inside, SHARES)
    expected = open_triplets(tmp_path / "mine").names
    for place in {tmp_path / "mine", tmp_path / "mine" / inside}:
        litter(place)
    for part, ending in (("ref", "png"), ("p0", "png"), ("p1", "png"), ("judge", "npy")):
        beside = tmp_path / "mine" / inside / part
        litter(beside)
        (beside / f"._000000.{ending}").write_bytes(b"\0\5\x16\7")
    files = open_triplets(tmp_path / "mine")
    assert files.names == expected
    assert len(files[:]) == len(SHARES)


BAD_TABLES = {
    "ref,p0,p1,judge\n": "lists no triplet",
    "": "must name the column ref once",
    f"ref,p0,p1\n{ROW}\n": "must name the column judge once",
    f"ref;p0;p1;judge\n{ROW},1\n": "separated by commas",
    f"ref,p0,p1,judge,ref\n{ROW},1,a\n": "must name the column ref once",
    f"ref,p0,p1,judge,name,name\n{ROW},1,a,b\n": "must name the column name once",
    f"ref,p0,p1,judge\n{ROW},1\n{ROW},1,2\n": r"votes\.csv, line 3: 5 entries for 4 columns",
    f"ref,p0,p1,judge\n{ROW}\n": r"votes\.csv, line 2: 3 entries for 4 columns",
    f"ref,p0,p1,judge\n{ROW},two\n": r"votes\.csv, line 2: judge is 'two'",
    f"ref,p0,p1,judge\n{ROW},3\n": r"votes\.csv, line 2: judge is '3'",
    f"ref,p0,p1,judge\n{ROW},-0.5\n": r"line 2: judge is '-0\.5'",
    "ref,p0,p1,judge\nref/9.png,p0/000000.png,p1/000000.png,1\n": r"line 2: ref is 'ref/9\.png'",
    "ref,p0,p1,judge\nref/000000.png,,p1/000000.png,1\n": "line 2: p0 is ''",
    "ref,p0,p1,judge\nref/000000.png,p0,p1/000000.png,1\n": "line 2: p0 is 'p0'",
    "ref,p0,p1,judge\nref/000000.png,p0/\0.png,p1/000000.png,1\n": r"votes\.csv",
    f"ref,p0,p1,judge,name\n{ROW},1,a\n{OTHER},1,a\n": r"line 3: the name 'a' is that of .*line 2",
    f"ref,p0,p1,judge,name\n{ROW},1,votes/000001\n{OTHER},1,\n": r"line 3: the name 'votes/000001'",
    f"ref,p0,p1,judge,label_source\n{ROW},1,guessed\n": "line 2: label_source is 'guessed'",
    f"ref,p0,p1,judge,label_source\n{ROW},1,human\n{OTHER},1,constructed\n": "constructed and human",
    f'ref,p0,p1,judge\n"{ROW},1\n': "cannot be read as a CSV",
}


@pytest.mark.parametrize("text", BAD_TABLES, ids=range(len(BAD_TABLES)))
def test_a_table_with_a_fault_is_refused_with_its_line(table: Callable[..., Path], text: str) -> None:
    with pytest.raises(InputError, match=BAD_TABLES[text]):
        open_triplets(table(text))


def test_a_table_in_another_encoding_or_with_an_unknown_column_is_refused(table: Callable[..., Path]) -> None:
    with pytest.raises(InputError, match="UTF-8"):
        open_triplets(table(f"ref,p0,p1,judge,name\n{ROW},1,Müller\n", encoding="latin-1"))
    with pytest.raises(UnknownNameError, match=r"column of .*votes\.csv.* Did you mean photograph"):
        open_triplets(table(f"ref,p0,p1,judge,photographs\n{ROW},1,a\n"))


@settings(deadline=None, max_examples=150)
@given(text=st.text(alphabet='refp01judge,"\n\r\0;é\x1f', max_size=80))
def test_any_text_is_a_table_or_refused_and_nothing_else(
    tmp_path_factory: pytest.TempPathFactory, text: str
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.csv"
    path.write_text("ref,p0,p1,judge\n" + text, encoding="utf-8")
    with pytest.raises(InputError, match=r"any\.csv"):
        open_triplets(path)


# Sources by name.


@settings(deadline=None, max_examples=20)
@given(seed=st.integers(0, 2**40), short=st.integers(1, 5), more=st.integers(0, 1))
def test_a_short_draw_begins_a_longer_one(
    tmp_path_factory: pytest.TempPathFactory, seed: int, short: int, more: int
) -> None:
    folder = tmp_path_factory.getbasetemp() / "drawn"
    if not folder.exists():
        save_folder(folder, SHARES)
    longer = draw(folder, short + more, seed=seed)
    assert_same(draw(str(folder), short, seed=seed), longer[:short])
    assert set(longer.names) <= set(open_triplets(folder).names)


def test_parts_of_what_is_drawn_are_parts_of_the_draw(folder: Path) -> None:
    for data in (folder, "photos"):
        parts = drawn(data, 5, seed=3)
        assert len(parts) == 5
        joined = Triplets.concatenate([parts[:2], parts[2:3], parts[3:9]])
        assert_same(joined, draw(data, 5, seed=3))
    assert_same(joined, photos(5, seed=3))
    assert len(drawn(folder, None)) == len(open_triplets(folder))


def test_seeds_make_other_draws_and_none_is_preferred(folder: Path) -> None:
    draws = [draw(folder, 1, seed=seed).names[0] for seed in range(120)]
    counts = [draws.count(name) for name in open_triplets(folder).names]
    # 20 are expected of each; the bounds are four standard deviations away.
    assert min(counts) >= 4
    assert max(counts) <= 36


@pytest.mark.parametrize(
    ("data", "arguments", "message"),
    [
        ("mine", {"n": 7}, r"mine has 6 triplets, fewer than the 7 asked for. Set n to 6"),
        ("mine", {"n": 0}, "n is 0. It must be a whole number"),
        ("mine", {"n": True}, "n is True"),
        ("mine", {"n": 1, "seed": -1}, "seed is -1"),
        ("photos", {"n": None}, "photos has no fixed number of triplets"),
        ("nowhere", {"n": 1}, r"no data .*nowhere.*photos, bapps, or the path"),
    ],
)
def test_draws_that_cannot_be_made_are_refused(
    folder: Path, monkeypatch: pytest.MonkeyPatch, data: str, arguments: dict[str, Any], message: str
) -> None:
    monkeypatch.chdir(folder.parent)
    with pytest.raises(InputError, match=message):
        drawn(data, **arguments)


def test_bapps_is_drawn_from_the_clear_winners(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIMLIB_DATA", str(tmp_path))
    save_split(tmp_path / "2afc" / "val", (0.0, 0.4, 1.0))
    every = draw("bapps", 12)
    assert set(every.judge.tolist()) == {0.0, 1.0}
    assert len({name.split("/")[1] for name in every.names}) == 6
    assert_same(draw("bapps", 5), every[:5])
    assert draw("bapps", 12, seed=1).names != every.names
    with pytest.raises(InputError, match="bapps has 12 clear winners, fewer than the 13 asked for"):
        draw("bapps", 13)


def test_absent_bapps_says_in_a_line_how_to_fetch_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIMLIB_DATA", str(tmp_path / "named"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with pytest.raises(AbsentError, match="`simlib data bapps`") as caught:
        draw("bapps", 1)
    assert str(tmp_path / "named") in str(caught.value)
    assert str(tmp_path / "cache" / "simlib") in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_empty_set_has_no_labels() -> None:
    assert TripletFiles((), "human").judge.shape == (0,)


@pytest.mark.parametrize("name", ["a\udcff", "a\nb", "a\x1b[2Jb", "a\u2028b"])
def test_a_name_that_is_no_text_is_refused(name: str) -> None:
    file = Path(name)
    row = stored.StoredTriplet(file, file, file, 0.5, name, name, "", ("", ""))
    with pytest.raises(InputError, match="no readable text"):
        TripletFiles((row,), "human")


@pytest.mark.parametrize("name", ["1:05\u202fPM", "caf\u00e9", "\u6728 \u00a0"])
def test_a_name_of_any_language_is_a_name(name: str) -> None:
    file = Path(name)
    row = stored.StoredTriplet(file, file, file, 0.5, name, name, "", ("", ""))
    assert TripletFiles((row,), "human").names == (name,)


def test_files_whose_names_are_bytes_are_refused_before_any_image_is_read(folder: Path) -> None:
    names = {part: folder / part / os.fsdecode(b"caf\xe9.png") for part in ("ref", "p0", "p1")}
    try:
        for path in names.values():
            path.write_bytes(b"no image")
    except OSError:
        pytest.skip("names of files are text on this system")
    save_judge(folder / "judge" / os.fsdecode(b"caf\xe9.npy"), 1.0)
    with pytest.raises(InputError, match=r"The name of '.*caf\\udce9\.png' is no readable text"):
        open_triplets(folder)
