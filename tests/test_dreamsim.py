"""DreamSim against its package with random weights where the package is; its absence elsewhere."""

from __future__ import annotations

import contextlib
import importlib.util
import io
import pickle
import shutil
import socket
import zipfile
from pathlib import Path

import pytest
import torch
from torch import Tensor

from simlib import metrics
from simlib.errors import AbsentPackageError, WeightsError
from simlib.metrics import Metric, weights
from simlib.metrics.dreamsim import EmbeddingDistance
from tests.random_weights import random_archive

BACKBONE = "open_clip_vitb32_pretrain.pth.tar"
TUNED = "open_clip_vitb32_single_lora/adapter_model.safetensors"


def images(seed: int, n: int = 3, side: int = 64) -> Tensor:
    return torch.rand((n, 3, side, side), generator=torch.Generator().manual_seed(seed))


def load(archive: Path, monkeypatch: pytest.MonkeyPatch) -> Metric:
    """Load the metric from an archive; whoever asks for the network fails."""

    def refuse(*arguments: object) -> None:
        pytest.fail("the network was asked for")

    monkeypatch.setattr(weights, "obtain", lambda name: archive)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    return metrics.load("dreamsim")


@pytest.fixture(scope="module")
def archive() -> Path:
    pytest.importorskip("dreamsim")
    return random_archive("dreamsim")


def test_without_the_package_the_error_says_in_one_line_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(AbsentPackageError, match=r"pip install 'simlib\[dreamsim\]'") as caught:
        metrics.load("dreamsim")
    assert len(str(caught.value).splitlines()) == 1
    assert metrics.why_absent("dreamsim") == "package absent: pip install 'simlib[dreamsim]'"


@pytest.mark.slow
def test_values_and_gradients_agree_with_the_package(
    archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = torch.random.get_rng_state()
    metric = load(archive, monkeypatch)
    assert torch.equal(before, torch.random.get_rng_state())
    shutil.unpack_archive(archive, tmp_path)
    with contextlib.redirect_stdout(io.StringIO()):
        package = importlib.import_module("dreamsim")
        theirs, _ = package.dreamsim(device="cpu", cache_dir=str(tmp_path), dreamsim_type="open_clip_vitb32")
    for n in (1, 3):
        ref, x = images(0, n, side=224), images(1, n, side=224).requires_grad_()
        found, expected = metric(ref, x), theirs(ref, x)
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-6)
        slopes = [torch.autograd.grad(value.sum(), x)[0] for value in (found, expected)]
        scale = float(slopes[1].abs().max())
        torch.testing.assert_close(slopes[0], slopes[1], rtol=1e-3, atol=1e-3 * scale)


def test_tensors_are_resized_as_the_package_resizes_files(archive: Path) -> None:
    package = importlib.import_module("dreamsim.model")
    transforms, image_module = package.transforms, importlib.import_module("PIL.Image")
    # Away from black and white: Pillow clips after the rows and again after the columns.
    levels = (images(0, 1) * 127 + 64).round()
    photograph = image_module.fromarray(levels[0].permute(1, 2, 0).byte().numpy())
    resize = transforms.Resize((224, 224), interpolation=transforms.InterpolationMode.BICUBIC)
    theirs = transforms.ToTensor()(resize(photograph))
    seen: list[Tensor] = []

    class Model(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.extractor_list = torch.nn.ModuleList([torch.nn.Module()])
            self.extractor_list[0].proj = torch.zeros(1)

        def embed(self, resized: Tensor) -> Tensor:
            seen.append(resized)
            return resized.flatten(1)

    EmbeddingDistance(Model()).embed(levels / 255)
    # It rounds to 8 bits as often.
    torch.testing.assert_close(seen[0][0], theirs, rtol=0, atol=1.6 / 255)


@pytest.mark.slow
def test_float64_and_identical_images(archive: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    metric, ref, x = load(archive, monkeypatch), images(0), images(1)
    single = metric(ref, x)
    same = ref.clone().requires_grad_()
    distance = metric(ref, same)
    assert torch.equal(distance, torch.zeros(3))
    assert torch.autograd.grad(distance.sum(), same)[0].isfinite().all()
    double = metric.double()(ref.double(), x.double())
    torch.testing.assert_close(single.double(), double, rtol=1e-4, atol=1e-6)


def repacked(archive: Path, target: Path, *, without: str = "", **replaced: bytes) -> Path:
    """Copy an archive, less one of its files, or with another one in its place."""
    with zipfile.ZipFile(archive) as source, zipfile.ZipFile(target, "w") as copy:
        for name in source.namelist():
            if name != without:
                copy.writestr(name, replaced.get(Path(name).name.partition(".")[0], source.read(name)))
    return target


class Harmful:
    def __reduce__(self) -> tuple[object, ...]:
        return (pytest.fail, ("a pickle was executed",))


def partial_tuning(archive: Path) -> bytes:
    safetensors = importlib.import_module("safetensors.torch")
    with zipfile.ZipFile(archive) as packed:
        state = safetensors.load(packed.read(TUNED))
    state.pop(min(state))
    return safetensors.save(state)


@pytest.mark.slow
def test_wrong_archives(archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "wrong.zip"
    shapes = io.BytesIO()
    torch.save({"state_dict": {"proj": torch.zeros(768, 512)}}, shapes)
    wrong = {
        "no item named.*pretrain": lambda: repacked(archive, target, without=BACKBONE),
        "no item named.*adapter_model": lambda: repacked(archive, target, without=TUNED),
        "missing adapter keys": lambda: repacked(archive, target, adapter_model=partial_tuning(archive)),
        "state_dict": lambda: repacked(archive, target, open_clip_vitb32_pretrain=shapes.getvalue()),
        "load failed": lambda: repacked(archive, target, open_clip_vitb32_pretrain=pickle.dumps(Harmful())),
        "not a zip": lambda: Path(shutil.copy(__file__, target)),
    }
    for message, make in wrong.items():
        with pytest.raises(WeightsError, match=f"DreamSim.*{message}") as caught:
            load(make(), monkeypatch)
        assert "weights_only" not in str(caught.value)
