"""The metrics of pyiqa: the real ones where the package is installed, and the messages where it is not."""

from __future__ import annotations

import importlib.util
import os
import sys
import warnings
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import torch
import torchvision
from torch import Tensor, nn

from simlib import metrics
from simlib.attacks import PGD, RankFlip
from simlib.errors import (
    AbsentPackageError,
    AbsentWeightsError,
    InputError,
    NoGradientError,
    UnknownNameError,
    WeightsError,
)
from simlib.triplets import photos
from tests.support import any_weights, random_triplets

CONFIGS = {
    "ssim": {"metric_mode": "FR", "score_range": "0, 1"},
    "vif": {"metric_mode": "FR", "score_range": "0, ~1"},
    "psnr": {"metric_mode": "FR", "score_range": "~0, ~40"},
    "gmsd": {"metric_mode": "FR", "lower_better": True, "score_range": "0, ~1"},
    "dmm": {"metric_mode": "FR", "score_range": "0, ~"},
    "niqe": {"metric_mode": "NR", "lower_better": True, "score_range": "~0, ~100"},
}


class Closeness(nn.Module):
    """Takes the reference second, as pyiqa does, and is not symmetric, so that swapped images show."""

    def forward(self, x: Tensor, ref: Tensor) -> Tensor:
        return 1 - (x - ref).square().mean(dim=(1, 2, 3)) / (1 + x.mean(dim=(1, 2, 3)))


@pytest.fixture
def create(monkeypatch: pytest.MonkeyPatch) -> mock.Mock:
    """Replace pyiqa by a package whose metrics are made by this function."""
    create = mock.Mock(side_effect=lambda *_, **__: Closeness())
    package, configs = mock.Mock(create_metric=create), mock.Mock(DEFAULT_CONFIGS=CONFIGS)
    package.__spec__ = ModuleSpec("pyiqa", None)
    monkeypatch.setitem(sys.modules, "pyiqa", package)
    monkeypatch.setitem(sys.modules, "pyiqa.default_model_configs", configs)
    return create


def load(name: str) -> metrics.Metric:
    with pytest.warns(UserWarning, match="Noncommercial"):
        return metrics.load(name)


def test_a_metric_of_pyiqa_is_given_the_images_in_its_order(create: mock.Mock) -> None:
    metric, batch = load("pyiqa:ssim"), random_triplets(2, 64)
    create.assert_called_once_with("ssim", as_loss=True, loss_reduction="none", device="cpu")
    torch.testing.assert_close(metric(batch.ref, batch.p0), 1 - Closeness()(batch.p0, batch.ref))
    assert metric.spec.name == "pyiqa:ssim"
    assert not metric.spec.symmetric


@pytest.mark.usefixtures("create")
def test_specs_say_the_direction_and_the_licence() -> None:
    found = {name: metrics.spec_of(f"pyiqa:{name}") for name in CONFIGS if name != "niqe"}
    assert {name: spec.values for name, spec in found.items()} == {
        "ssim": "1 - s, s about 0 to 1",
        "vif": "1 - s, s about 0 to ~1",
        "psnr": "-s, s about ~0 to ~40",
        "gmsd": "about 0 to ~1",
        "dmm": "about 0 to ~",
    }
    assert [name for name, spec in found.items() if spec.may_be_negative] == ["vif", "psnr"]
    assert all("Noncommercial" in spec.licence and spec.extra == "pyiqa" for spec in found.values())
    with pytest.warns(UserWarning), pytest.raises(InputError, match="farther apart"):
        metrics.load("pyiqa:gmsd")


@pytest.mark.usefixtures("create")
def test_names_that_pyiqa_does_not_compare_images_by() -> None:
    with pytest.raises(UnknownNameError, match="Did you mean pyiqa:gmsd"):
        metrics.load("pyiqa:gsmd")
    with pytest.raises(InputError, match="without a reference"):
        metrics.load("pyiqa:niqe")


@pytest.mark.parametrize(
    ("error", "kind", "message"),
    [
        (OSError("no route\nto host"), AbsentWeightsError, r"ssim \(pyiqa\).*weights: no route\. Load"),
        (ModuleNotFoundError("No module transformers"), AbsentPackageError, r"transformers.*'\.\[pyiqa\]'"),
    ],
)
def test_what_pyiqa_needs_and_is_not_here(
    error: Exception, kind: type[Exception], message: str, create: mock.Mock
) -> None:
    create.side_effect = error
    with pytest.warns(UserWarning), pytest.raises(kind, match=message) as caught:
        metrics.load("pyiqa:ssim")
    assert "\n" not in str(caught.value)
    with pytest.warns(UserWarning):
        assert metrics.load_available(["pyiqa:ssim", "l2"])[1] == ["ssim (pyiqa)"]


class Surprise:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.path,))


@pytest.mark.parametrize("before", [None, "0"])
def test_weights_that_are_a_pickle_are_not_run(
    before: str | None, create: mock.Mock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    variable = "TORCH_FORCE_WEIGHTS_ONLY_LOAD"
    monkeypatch.delenv(variable, raising=False)
    if before:
        monkeypatch.setenv(variable, before)
    ran, file = tmp_path / "ran", tmp_path / "weights.pth"
    torch.save(Surprise(ran), file)

    create.side_effect = lambda *_, **__: torch.load(file, weights_only=False)
    with pytest.warns(UserWarning), pytest.raises(WeightsError, match="more than tensors"):
        metrics.load("pyiqa:ssim")
    assert os.environ.get(variable) == before
    assert not ran.exists()
    torch.load(file, weights_only=False)
    assert ran.exists()


def test_without_the_package_every_name_has_a_spec_and_the_register_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert metrics.spec_of("pyiqa:anything").name == "pyiqa:anything"
    assert "pip install -e '.[pyiqa]'" in metrics.why_absent("pyiqa:ssim")
    with pytest.raises(AbsentPackageError, match=r"'\.\[pyiqa\]'.*Noncommercial"):
        metrics.load("pyiqa:ssim")
    assert metrics.load_available(["pyiqa:ssim", "l2"])[1] == ["ssim (pyiqa)"]


@pytest.mark.parametrize(
    "name", ["psnr", "ssim", "ssimc", "ms_ssim", "gmsd", "fsim", "vsi", "vif", "nlpd", "mad", "cw_ssim"]
)
def test_real_metrics_keep_the_contract(name: str) -> None:
    pytest.importorskip("pyiqa")
    metric = load(f"pyiqa:{name}")
    # Photographs, because MAD knows that noise is not visible in noise.
    ref = photos(2, side=metric.spec.least_side).ref
    noise = torch.randn(ref.shape, generator=torch.Generator().manual_seed(0))
    near, far = ((ref + strength * noise).clamp(0, 1) for strength in (0.05, 0.2))
    assert (metric(ref, ref) < metric(ref, near)).all()
    assert (metric(ref, near) < metric(ref, far)).all()
    (gradient,) = torch.autograd.grad(metric(ref, near.requires_grad_()).sum(), near)
    assert metric.spec.differentiable
    assert gradient.isfinite().all() and gradient.flatten(1).any(dim=1).all()


@pytest.mark.parametrize(("theirs", "ours"), [("fsim", "fsimc"), ("vsi", "vsi")])
def test_real_metrics_agree_with_those_of_another_library(theirs: str, ours: str) -> None:
    pytest.importorskip("pyiqa")
    batch = random_triplets(3, 64)
    expected = any_weights(ours)(batch.ref, batch.p0)
    torch.testing.assert_close(load(f"pyiqa:{theirs}")(batch.ref, batch.p0), expected, rtol=1e-4, atol=1e-6)


def test_the_real_psnr_in_closed_form() -> None:
    pytest.importorskip("pyiqa")
    black = torch.zeros(1, 3, 64, 64)
    assert load("pyiqa:psnr")(black, black + 0.1).item() == pytest.approx(-20, abs=1e-4)


@pytest.mark.slow
def test_a_gradient_that_the_real_package_blocks_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("pyiqa")
    monkeypatch.setattr(torchvision.models.VGG19_Weights, "get_state_dict", lambda *_, **__: {})
    monkeypatch.setattr(nn.Module, "load_state_dict", lambda *_, **__: None)
    before = torch.random.get_rng_state()
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        metric = metrics.load("pyiqa:deepdc")
    assert torch.equal(before, torch.random.get_rng_state())
    assert any("no usable gradient" in str(each.message) for each in seen)
    assert not metric.spec.differentiable
    with pytest.raises(NoGradientError, match="deepdc"):
        PGD(steps=8)(RankFlip(metric, random_triplets(1, 64)))
