"""LPIPS, its plain-feature baseline and ST-LPIPS against the packages that brought them."""

from __future__ import annotations

import importlib

import pytest
import torch
from torch import Tensor

from simlib import metrics
from simlib.errors import WeightsError
from simlib.metrics import weights
from simlib.metrics.deep import FeatureDistance
from tests.random_weights import random_backbone
from tests.support import any_weights

NETS = ["alex", "squeeze", "vgg"]


def images(seed: int) -> Tensor:
    return torch.rand((3, 3, 64, 64), generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("net", NETS)
def test_plain_features_agree_with_the_package(net: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights, "load", random_backbone)
    ours = metrics.load(f"features-{net}")
    assert isinstance(ours, FeatureDistance)
    theirs = importlib.import_module("lpips").LPIPS(net=net, lpips=False, pnet_rand=True, verbose=False)
    theirs.net.load_state_dict(ours.backbone.state_dict())
    ref, x = images(0), images(1)
    expected = theirs(ref * 2 - 1, x * 2 - 1).flatten()
    torch.testing.assert_close(ours(ref, x), expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("net", NETS)
def test_plain_features_stay_in_the_range_that_their_spec_tells(
    net: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(weights, "load", random_backbone)
    metric = metrics.load(f"features-{net}")
    assert isinstance(metric, FeatureDistance)
    largest = 2 * len(metric.channel_weights)
    assert metric.spec.values == f"0 to {largest}"
    distance = metric(torch.zeros(1, 3, 64, 64), torch.ones(1, 3, 64, 64))
    assert 0 < float(distance) < largest


def test_the_part_of_a_backbone_that_is_not_used_may_be_there_and_the_other_not_be_absent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    state = random_backbone("alexnet")
    monkeypatch.setattr(weights, "load", lambda name: {**state, "classifier.6.bias": torch.zeros(1000)})
    metrics.load("features-alex")
    del state["features.10.bias"]
    with pytest.raises(WeightsError, match=r"'alexnet'.*missing.*10\.bias"):
        metrics.load("features-alex")


@pytest.mark.parametrize("net", NETS)
def test_lpips_agrees_with_its_package(net: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights, "load", random_backbone)
    ours = metrics.load(f"lpips-{net}")
    lpips = importlib.import_module("lpips")
    theirs = lpips.LPIPS(net=net, pnet_rand=True, verbose=False)
    assert isinstance(ours, FeatureDistance)
    theirs.net.load_state_dict(ours.backbone.state_dict())
    ref, x = images(0), images(1)
    torch.testing.assert_close(ours(ref, x), theirs(ref * 2 - 1, x * 2 - 1).flatten(), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("net", ["alex", "vgg"])
def test_st_lpips_agrees_with_its_package(net: str) -> None:
    package = importlib.import_module("stlpips_pytorch.stlpips")
    theirs = package.LPIPS(net=net, variant="shift_tolerant", verbose=False)
    ref, x = images(0), images(1)
    expected = theirs(ref * 2 - 1, x * 2 - 1).flatten()
    torch.testing.assert_close(any_weights(f"st-lpips-{net}")(ref, x), expected, rtol=1e-4, atol=1e-6)
