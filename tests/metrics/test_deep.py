"""LPIPS, its plain-feature baseline and ST-LPIPS against the packages that brought them."""

from __future__ import annotations

import importlib

import pytest
import torch

from simlib import metrics
from simlib.errors import WeightsError
from simlib.metrics import weights
from simlib.metrics.deep import FeatureDistance
from tests.random_weights import random_backbone
from tests.support import any_weights, draw

REF, X = draw(0, 2, 40, 33), draw(1, 2, 40, 33)


@pytest.mark.filterwarnings("ignore:The parameter 'pretrained':UserWarning")
@pytest.mark.filterwarnings("ignore:Arguments other than a weight:UserWarning")
@pytest.mark.parametrize(
    ("net", "layers", "kinds"),
    # VGG takes seconds, and its two metrics differ from each other as those of the small networks do.
    [("alex", 5, ("lpips", "features")), ("squeeze", 7, ("lpips", "features")), ("vgg", 5, ("lpips",))],
)
def test_lpips_and_plain_features_agree_with_the_package(
    net: str, layers: int, kinds: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(weights, "load", random_backbone)
    theirs = importlib.import_module("lpips").LPIPS(net=net, pnet_rand=True, verbose=False)
    for kind in kinds:
        ours = metrics.load(f"{kind}-{net}")
        assert isinstance(ours, FeatureDistance)
        theirs.net.load_state_dict(ours.backbone.state_dict())
        theirs.lpips = kind == "lpips"
        expected = theirs(REF * 2 - 1, X * 2 - 1).flatten()
        torch.testing.assert_close(ours(REF, X), expected, rtol=1e-4, atol=1e-6)
    assert metrics.spec_of(f"features-{net}").values == f"0 to {2 * layers}"


def test_a_backbone_may_have_layers_that_are_not_used_but_must_have_the_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    state = random_backbone("alexnet")
    monkeypatch.setattr(weights, "load", lambda name: {**state, "classifier.6.bias": torch.zeros(1000)})
    metrics.load("features-alex")
    del state["features.10.bias"]
    with pytest.raises(WeightsError, match=r"'alexnet'.*missing.*10\.bias"):
        metrics.load("features-alex")


@pytest.mark.parametrize("net", ["alex", "vgg"])
def test_st_lpips_agrees_with_its_package(net: str) -> None:
    package = importlib.import_module("stlpips_pytorch.stlpips")
    theirs = package.LPIPS(net=net, variant="shift_tolerant", verbose=False)
    expected = theirs(REF * 2 - 1, X * 2 - 1).flatten()
    torch.testing.assert_close(any_weights(f"st-lpips-{net}")(REF, X), expected, rtol=1e-4, atol=1e-6)
