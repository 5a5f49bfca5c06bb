"""Where weights are looked for, and what happens to files that are not what they should be."""

from __future__ import annotations

import hashlib
import pickle
import urllib.error
from pathlib import Path

import pytest
import torch
from torch import nn

from simlib.errors import AbsentWeightsError, UnknownNameError, WeightsError
from simlib.metrics import weights
from simlib.metrics.weights import WeightsFile


@pytest.fixture
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine without weights and without network."""
    monkeypatch.setenv("SIMLIB_WEIGHTS", str(tmp_path / "weights"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "hub"))

    def refuse(*_: object, **__: object) -> None:
        raise urllib.error.URLError("no network")

    monkeypatch.setattr(torch.hub, "download_url_to_file", refuse)
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


def test_fetch_downloads_verifies_and_renames(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = tmp_path / "source.pth"
    torch.save({"a": torch.ones(1)}, source)
    digest = hashlib.sha256(source.read_bytes()).hexdigest()
    for name, prefix in (("good", digest[:8]), ("bad", "0" * 8)):
        file = WeightsFile(name, name, {f"{name}.pth": prefix}, source.as_uri(), "", "MIT")
        monkeypatch.setitem(weights.WEIGHTS, name, file)
    path = weights.fetch("good", tmp_path / "target", progress=False)
    assert torch.equal(weights.read(path)["a"], torch.ones(1))
    with pytest.raises(WeightsError, match="invalid hash"):
        weights.fetch("bad", tmp_path / "target", progress=False)
    assert [path.name for path in (tmp_path / "target").iterdir()] == ["good.pth"]


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
