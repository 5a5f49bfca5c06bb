"""Where weights are looked for, and what happens to files that are not what they should be."""

from __future__ import annotations

import hashlib
import io
import os
import pickle
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import piq
import pytest
import torch
import torchvision
from torch import Tensor, nn

from simlib.errors import AbsentWeightsError, DownloadError, UnknownNameError, WeightsError
from simlib.metrics import weights
from simlib.metrics.weights import WeightsFile
from tests.file_server import FileServer, Reply, serving


@pytest.fixture
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine without weights and without network."""
    monkeypatch.setenv("SIMLIB_WEIGHTS", str(tmp_path / "weights"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "hub"))

    monkeypatch.setattr(weights, "download", mock.Mock(side_effect=DownloadError("no network")))
    return tmp_path


@pytest.fixture
def host() -> Iterator[FileServer]:
    """A server of the weights of ``nn.Linear(2, 1)``."""
    stream = io.BytesIO()
    torch.save({"weight": torch.tensor([[2.0, 3.0]]), "bias": torch.tensor([5.0])}, stream)
    with serving(stream.getvalue()) as served:
        yield served


@pytest.fixture
def enter(host: FileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Enter what the server has in the catalogue, its SHA-256 "known" or "unknown"."""
    monkeypatch.setenv("SIMLIB_WEIGHTS", str(tmp_path))
    monkeypatch.setattr("simlib.fetch.PAUSES", (0.0,))
    for name, digest in (("known", hashlib.sha256(host.body).hexdigest()), ("unknown", "")):
        file = WeightsFile(name, f"The {name} layer", {f"{name}.pth": digest}, host.url, "", "MIT")
        monkeypatch.setitem(weights.WEIGHTS, name, file)
    return tmp_path


def test_absent_and_offline_says_which_file_where_and_what_to_do(nowhere: Path) -> None:
    with pytest.raises(WeightsError) as caught:
        weights.load("alexnet")
    looked = (nowhere / "weights", nowhere / "hub" / "hub" / "checkpoints")
    for part in ("alexnet-owt-7be5be79.pth", *map(str, looked), "simlib weights fetch alexnet"):
        assert part in str(caught.value)
    assert not list(nowhere.rglob("*.pth"))


def test_any_accepted_file_is_found_and_the_named_folder_comes_before_the_cache(nowhere: Path) -> None:
    cached = nowhere / "hub" / "hub" / "checkpoints" / "alexnet-owt-7be5be79.pth"
    named = nowhere / "weights" / "alexnet_features.pth"
    for path in (cached, named):
        path.parent.mkdir(parents=True)
        path.write_bytes(b"cut short")
    for found in (named, cached):
        assert weights.locate("alexnet") == found
        for get in (weights.load, weights.fetch):
            with pytest.raises(WeightsError, match=rf"{found}.*SHA-256.*simlib weights fetch alexnet"):
                get("alexnet")
        found.unlink()
    assert weights.locate("alexnet") is None


@pytest.mark.parametrize("name", ["known", "unknown"])
def test_weights_are_downloaded_once_and_fill_a_network(enter: Path, host: FileServer, name: str) -> None:
    host.replies = [Reply(stop_at=len(host.body) // 2)]
    layer = nn.Linear(2, 1)
    for _ in range(2):
        weights.fill(layer, weights.load(name), source=name)
    assert layer(torch.tensor([[7.0, 11.0]])).item() == 2 * 7 + 3 * 11 + 5
    assert len(host.asked) == 2
    assert weights.locate(name) == enter / f"{name}.pth"
    # The folder may be one of its own, for a machine without network.
    path = enter / "carried" / "over" / f"{name}.pth"
    assert weights.fetch(name, path.parent) == weights.locate(name, path.parent) == path


def test_what_was_downloaded_but_is_another_file_gets_no_name(enter: Path, host: FileServer) -> None:
    host.body = host.body[:-1]
    with pytest.raises(AbsentWeightsError, match=r"what came is another file.*simlib weights fetch known"):
        weights.load("known")
    assert not list(enter.iterdir())


def test_first_download_is_trusted_and_the_same_is_asked_of_every_later_one(
    enter: Path, host: FileServer
) -> None:
    path = weights.fetch("unknown")
    record = enter / "unknown.pth.sha256"
    assert record.read_text() == f"{hashlib.sha256(host.body).hexdigest()}  unknown.pth\n"
    path.write_bytes(host.body[:-1])
    with pytest.raises(WeightsError, match=rf"SHA-256.*recorded in {record}"):
        weights.load("unknown")
    path.unlink()
    host.body, good = host.body[:-1], host.body
    with pytest.raises(AbsentWeightsError, match=rf"another file.*recorded in {record}"):
        weights.load("unknown")
    host.body = good
    assert set(weights.load("unknown")) == {"weight", "bias"}


def test_file_of_unknown_checksum_that_was_put_there_by_hand_is_used(nowhere: Path, host: FileServer) -> None:
    path = nowhere / "weights" / "dists_weights.pt"
    path.parent.mkdir()
    path.write_bytes(host.body)
    assert set(weights.load("dists")) == {"weight", "bias"}
    assert list(path.parent.iterdir()) == [path]


def test_file_is_hashed_once_in_a_process_unless_it_changes(
    enter: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hash_it = mock.Mock(side_effect=weights.sha256_of)
    monkeypatch.setattr(weights, "sha256_of", hash_it)
    path = weights.fetch("known")
    for _ in range(3):
        weights.load("known")
    hash_it.assert_called_once_with(path)
    body = bytearray(path.read_bytes())
    body[-1] ^= 1
    path.write_bytes(body)
    os.utime(path, ns=(0, 1))
    with pytest.raises(WeightsError, match="SHA-256"):
        weights.load("known")


def test_catalogue_agrees_with_piq_and_torchvision() -> None:
    assert weights.WEIGHTS["dists"].url == piq.DISTS._weights_url
    assert weights.WEIGHTS["pieapp"].url == piq.PieAPP._weights_url
    builders = {
        "alexnet": torchvision.models.AlexNet_Weights,
        "squeezenet1_1": torchvision.models.SqueezeNet1_1_Weights,
        "vgg16": torchvision.models.VGG16_Weights,
    }
    for name, builder in builders.items():
        file, published = weights.WEIGHTS[name], builder.IMAGENET1K_V1
        file_name, digest = next(iter(file.digests.items()))
        assert file.url == published.url and file.url.endswith(file_name)
        assert file_name.removesuffix(".pth").rsplit("-", 1)[-1] == digest[:8]
        assert file.size is not None
        assert file.size / 2**20 == pytest.approx(published.meta["_file_size"], abs=1e-3)


def test_every_entry_of_the_catalogue_can_be_had_and_checked() -> None:
    for name, file in weights.WEIGHTS.items():
        assert file.name == name and file.licence
        assert bool(file.url) != bool(file.package)
        assert all(len(digest) in (0, 64) for digest in file.digests.values())
        if file.url:
            assert file.url.startswith("https://") and file.url.endswith(f"/{next(iter(file.digests))}")


def test_a_pickle_is_never_executed_and_anything_but_named_tensors_is_refused(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return (Path.touch, (tmp_path / "sprung",))  # pyright: ignore[reportReturnType]

    with pytest.raises(WeightsError, match="cannot be read"):
        weights.read(tmp_path)
    path = tmp_path / "file.pth"
    path.write_bytes(pickle.dumps({"a": Trap()}))
    with pytest.raises(WeightsError, match="cannot be read"):
        weights.read(path)
    assert not (tmp_path / "sprung").exists()
    torch.save([1, 2], path)
    with pytest.raises(WeightsError, match="something else"):
        weights.read(path)


@pytest.mark.parametrize(
    ("others", "expected"),
    [
        ({}, "missing.*bias"),
        ({"bias": torch.ones(2), "extra": torch.ones(1)}, "unexpected.*extra"),
        ({"bias": torch.ones(3)}, "another shape.*bias"),
    ],
)
def test_weights_that_do_not_fit_are_named(others: dict[str, Tensor], expected: str) -> None:
    with pytest.raises(WeightsError, match=expected):
        weights.fill(nn.Linear(4, 2), {"weight": torch.ones(2, 4), **others}, source="test")


def test_unknown_weights_name_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match="alexnet"):
        weights.fetch("alexnett")


def test_weights_of_a_package_are_verified(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert weights.fetch("st-lpips-alex") == weights.locate("st-lpips-alex")
    monkeypatch.setattr(weights, "folders", lambda file: [tmp_path])
    with pytest.raises(AbsentWeightsError, match="Install stlpips_pytorch again"):
        weights.load("st-lpips-alex")
    (tmp_path / "alex_shift_tolerant.pth").touch()
    with pytest.raises(WeightsError, match=r"SHA-256.*Install stlpips_pytorch again"):
        weights.load("st-lpips-alex")


def test_a_damaged_file_is_an_error_of_ours_and_recommends_nothing_unsafe(tmp_path: Path) -> None:
    path = tmp_path / "damaged.pth"
    torch.save({"a": torch.arange(64.0)}, path)
    content = path.read_bytes()
    for place in range(0, len(content), 7):
        path.write_bytes(content[:place] + bytes([content[place] ^ 0xFF]) + content[place + 1 :])
        try:
            weights.read(path)
        except WeightsError as error:
            assert "weights_only" not in str(error)


def test_only_tensors_are_read_for_a_while_whatever_the_environment_says(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    forced, forbidden = "TORCH_FORCE_WEIGHTS_ONLY_LOAD", "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD"
    monkeypatch.setenv(forbidden, "1")
    monkeypatch.delenv(forced, raising=False)
    with weights.tensors_only():
        assert (os.environ.get(forced), os.environ.get(forbidden)) == ("1", None)
    assert (os.environ.get(forced), os.environ.get(forbidden)) == (None, "1")


def test_a_pointer_to_weights_is_no_damaged_file(tmp_path: Path) -> None:
    (tmp_path / "large.pth").write_text("version https://git-lfs.github.com/spec/v1\nsize 9\n")
    file = WeightsFile("large", "A large layer", {"large.pth": "0" * 64}, "", "", "MIT")
    for ask in (
        lambda: weights.read(tmp_path / "large.pth"),
        lambda: weights.verified(file, tmp_path / "large.pth"),
    ):
        with pytest.raises(WeightsError, match=r"pointer of Git LFS.* git lfs pull\.$"):
            ask()
