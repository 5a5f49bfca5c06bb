"""DreamSim against its package, both with the same random weights; needs the package."""

from __future__ import annotations

import contextlib
import importlib
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
from simlib.errors import WeightsError
from simlib.metrics import Metric, weights
from simlib.metrics.dreamsim import EmbeddingDistance
from tests.random_weights import random_archive
from tests.support import assert_equal_values_and_gradients, draw

BACKBONE = "open_clip_vitb32_pretrain.pth.tar"
TUNED = "open_clip_vitb32_single_lora/adapter_model.safetensors"


def load(archive: Path, monkeypatch: pytest.MonkeyPatch) -> Metric:
    """Load the metric from an archive; a connection to the network fails the test."""
    monkeypatch.setattr(weights, "obtain", lambda name: archive)
    monkeypatch.setattr(socket.socket, "connect", lambda *_: pytest.fail("the network was asked for"))
    return metrics.load("dreamsim")


@pytest.fixture(scope="module")
def archive() -> Path:
    pytest.importorskip("dreamsim")
    return random_archive("dreamsim")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Already found a `peft_config`:UserWarning")
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
        ref, x = draw(0, n, 224), draw(1, n, 224).requires_grad_()
        assert_equal_values_and_gradients(metric(ref, x), theirs(ref, x), x, steepest=1e-3)


def test_tensors_are_resized_as_the_package_resizes_files(archive: Path) -> None:
    transforms = importlib.import_module("dreamsim.model").transforms
    # Away from black and white: Pillow clips after the rows and again after the columns.
    levels = (draw(0, 1) * 127 + 64).round()
    photograph = transforms.ToPILImage()(levels[0].byte())
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


def repacked(archive: Path, target: Path, *, without: str = "", **replaced: bytes) -> Path:
    """Copy an archive without one of its files, or with other content of a file."""
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
    shapes, harmful = io.BytesIO(), pickle.dumps(Harmful(), protocol=2)
    torch.save({"state_dict": {"proj": torch.zeros(768, 512)}}, shapes)
    wrong = {
        "no item named.*pretrain": lambda: repacked(archive, target, without=BACKBONE),
        "no item named.*adapter_model": lambda: repacked(archive, target, without=TUNED),
        "missing adapter keys": lambda: repacked(archive, target, adapter_model=partial_tuning(archive)),
        "state_dict": lambda: repacked(archive, target, open_clip_vitb32_pretrain=shapes.getvalue()),
        "load failed": lambda: repacked(archive, target, open_clip_vitb32_pretrain=harmful),
        "not a zip": lambda: Path(shutil.copy(__file__, target)),
    }
    for message, make in wrong.items():
        with pytest.raises(WeightsError, match=f"DreamSim.*{message}") as caught:
            load(make(), monkeypatch)
        assert "weights_only" not in str(caught.value)
