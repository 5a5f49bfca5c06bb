"""Where weights are looked for, and what happens to files that are not what they should be."""

from __future__ import annotations

import hashlib
import io
import os
import pickle
from collections.abc import Iterator
from pathlib import Path

import piq
import pytest
import torch
import torchvision
from torch import nn

from simlib.downloads import transfer
from simlib.errors import AbsentWeightsError, DownloadError, UnknownNameError, WeightsError
from simlib.metrics import weights
from simlib.metrics.weights import WeightsFile
from tests.file_server import FileServer, Reply, serving


@pytest.fixture
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine without weights and without network."""
    monkeypatch.setenv("SIMLIB_WEIGHTS", str(tmp_path / "weights"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "hub"))

    def refuse(*_: object, **__: object) -> None:
        raise DownloadError("no network")

    monkeypatch.setattr(weights, "download", refuse)
    return tmp_path


def linear_layer() -> bytes:
    """Return a file of the weights of ``nn.Linear(2, 1)``."""
    stream = io.BytesIO()
    torch.save({"weight": torch.tensor([[2.0, 3.0]]), "bias": torch.tensor([5.0])}, stream)
    return stream.getvalue()


@pytest.fixture
def host() -> Iterator[FileServer]:
    with serving(linear_layer()) as served:
        yield served


@pytest.fixture
def enter(host: FileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Enter what the server has in the catalogue: as "known" and as "unknown", by its SHA-256."""
    monkeypatch.setenv("SIMLIB_WEIGHTS", str(tmp_path))
    monkeypatch.setattr(transfer, "_PAUSES", (0.0,))
    for name, digest in (("known", hashlib.sha256(host.body).hexdigest()), ("unknown", "")):
        file = WeightsFile(name, f"The {name} layer", {f"{name}.pth": digest}, host.url, "", "MIT")
        monkeypatch.setitem(weights.WEIGHTS, name, file)
    return tmp_path


def test_absent_and_offline_says_which_file_where_and_what_to_do(nowhere: Path) -> None:
    with pytest.raises(WeightsError) as caught:
        weights.load("alexnet")
    message = str(caught.value)
    assert "alexnet-owt-7be5be79.pth" in message
    assert str(nowhere / "weights") in message
    assert str(nowhere / "hub" / "hub" / "checkpoints") in message
    assert "simlib weights fetch alexnet" in message
    assert not list(nowhere.rglob("*.pth"))


def test_named_folder_comes_before_the_cache(nowhere: Path) -> None:
    cached = nowhere / "hub" / "hub" / "checkpoints" / "alexnet-owt-7be5be79.pth"
    named = nowhere / "weights" / "alexnet_features.pth"
    for path in (cached, named):
        path.parent.mkdir(parents=True)
        path.touch()
    assert weights.locate("alexnet") == named
    named.unlink()
    assert weights.locate("alexnet") == cached
    cached.unlink()
    assert weights.locate("alexnet") is None


def test_wrong_hash_is_refused(nowhere: Path) -> None:
    path = nowhere / "weights" / "alexnet_features.pth"
    path.parent.mkdir()
    path.write_bytes(b"cut short")
    with pytest.raises(WeightsError, match=r"SHA-256.*simlib weights fetch alexnet"):
        weights.load("alexnet")


def test_fetch_verifies_what_is_already_there(tmp_path: Path) -> None:
    (tmp_path / "alexnet-owt-7be5be79.pth").write_bytes(b"cut short")
    with pytest.raises(WeightsError, match="SHA-256"):
        weights.fetch("alexnet", tmp_path)


@pytest.mark.parametrize("name", ["known", "unknown"])
def test_weights_are_downloaded_once_and_fill_a_network(enter: Path, host: FileServer, name: str) -> None:
    host.replies = [Reply(stop_at=len(host.body) // 2)]
    layer = nn.Linear(2, 1)
    for _ in range(2):
        weights.fill(layer, weights.load(name), source=name)
    assert layer(torch.tensor([[7.0, 11.0]])).item() == 2 * 7 + 3 * 11 + 5
    assert len(host.asked) == 2
    assert weights.locate(name) == enter / f"{name}.pth"


def test_what_was_downloaded_but_is_another_file_gets_no_name(enter: Path, host: FileServer) -> None:
    host.body = host.body[:-1]
    with pytest.raises(AbsentWeightsError, match=r"what came is another file.*simlib weights fetch known"):
        weights.load("known")
    assert not list(enter.iterdir())


def test_fetch_goes_into_the_folder_it_is_given(enter: Path) -> None:
    path = weights.fetch("known", enter / "carried" / "over")
    assert path == enter / "carried" / "over" / "known.pth"
    assert weights.locate("known") is None
    assert weights.locate("known", path.parent) == path


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
    host.body, good = linear_layer()[:-1], host.body
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
    hashed: list[Path] = []
    usual = weights.sha256_of
    monkeypatch.setattr(weights, "sha256_of", lambda path: hashed.append(path) or usual(path))
    path = weights.fetch("known")
    for _ in range(3):
        weights.load("known")
    assert hashed == [path]
    body = bytearray(path.read_bytes())
    body[-1] ^= 1
    path.write_bytes(body)
    os.utime(path, ns=(0, 1))
    with pytest.raises(WeightsError, match="SHA-256"):
        weights.load("known")


def test_catalogue_names_the_files_that_piq_loads() -> None:
    assert weights.WEIGHTS["dists"].url == piq.DISTS._weights_url
    assert weights.WEIGHTS["pieapp"].url == piq.PieAPP._weights_url


def test_catalogue_agrees_with_torchvision() -> None:
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


def test_weights_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="cannot be read"):
        weights.read(tmp_path)


def test_a_pickle_is_never_executed(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return (Path.touch, (tmp_path / "sprung",))  # pyright: ignore[reportReturnType]

    path = tmp_path / "trap.pth"
    path.write_bytes(pickle.dumps({"a": Trap()}))
    with pytest.raises(WeightsError, match="cannot be read"):
        weights.read(path)
    assert not (tmp_path / "sprung").exists()


def test_anything_but_named_tensors_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "list.pth"
    torch.save([1, 2], path)
    with pytest.raises(WeightsError, match="something else"):
        weights.read(path)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda state: state.pop("bias"), "missing.*bias"),
        (lambda state: state.update(extra=torch.ones(1)), "unexpected.*extra"),
        (lambda state: state.update(bias=torch.ones(3)), "another shape.*bias"),
    ],
)
def test_weights_that_do_not_fit_are_named(change: object, expected: str) -> None:
    state = {"weight": torch.ones(2, 4), "bias": torch.ones(2)}
    assert callable(change)
    change(state)
    with pytest.raises(WeightsError, match=expected):
        weights.fill(nn.Linear(4, 2), state, source="test")


def test_unknown_weights_name_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match="alexnet"):
        weights.fetch("alexnett")


def test_weights_missing_from_their_package(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(weights, "folders", lambda file: [tmp_path])
    with pytest.raises(AbsentWeightsError, match="Install stlpips_pytorch again"):
        weights.load("st-lpips-alex")
    (tmp_path / "alex_shift_tolerant.pth").touch()
    with pytest.raises(WeightsError, match=r"SHA-256.*Install stlpips_pytorch again"):
        weights.load("st-lpips-alex")


def test_weights_of_a_package_are_verified() -> None:
    path = weights.fetch("st-lpips-alex")
    assert path == weights.locate("st-lpips-alex")


def test_any_accepted_file_in_any_folder_is_found_before_a_download(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = weights.weights_file("squeezenet1_1")
    other = list(file.digests)[1]
    (tmp_path / other).write_bytes(b"x")
    monkeypatch.setenv(weights.FOLDER_VARIABLE, str(tmp_path))
    monkeypatch.setattr(weights, "verified", lambda file, path: path)
    monkeypatch.setattr(weights, "download", lambda *args, **kwargs: pytest.fail("downloaded"))
    assert weights.fetch("squeezenet1_1") == tmp_path / other


def test_a_damaged_file_is_an_error_of_ours_and_recommends_nothing_unsafe(tmp_path: Path) -> None:
    whole = tmp_path / "whole.pth"
    torch.save({"a": torch.arange(64.0)}, whole)
    content = whole.read_bytes()
    path = tmp_path / "damaged.pth"
    for place in range(0, len(content), 7):
        path.write_bytes(content[:place] + bytes([content[place] ^ 0xFF]) + content[place + 1 :])
        try:
            weights.read(path)
        except WeightsError as error:
            assert "weights_only" not in str(error)


def test_only_tensors_are_read_for_a_while_whatever_the_environment_says(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")
    monkeypatch.delenv("TORCH_FORCE_WEIGHTS_ONLY_LOAD", raising=False)
    with weights.tensors_only():
        assert os.environ["TORCH_FORCE_WEIGHTS_ONLY_LOAD"] == "1"
        assert "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD" not in os.environ
    assert os.environ["TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD"] == "1"
    assert "TORCH_FORCE_WEIGHTS_ONLY_LOAD" not in os.environ
