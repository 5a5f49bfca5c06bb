"""PieAPP against the package piq, both with the same random weights."""

from __future__ import annotations

import piq
import pytest
import torch
from torch import Tensor

from simlib import metrics
from simlib.errors import WeightsError
from simlib.metrics import weights
from tests.random_weights import random_backbone
from tests.support import assert_equal_values_and_gradients, draw


@pytest.fixture(autouse=True)
def random_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights, "load", random_backbone)


def published(state: dict[str, Tensor], monkeypatch: pytest.MonkeyPatch) -> piq.PieAPP:
    """Let piq build its own loss, with these weights instead of a download."""
    monkeypatch.setattr(torch.hub, "load_state_dict_from_url", lambda *a, **k: dict(state))
    return piq.PieAPP(reduction="none", enable_grad=True)


def test_values_and_gradients_agree_with_piq(monkeypatch: pytest.MonkeyPatch) -> None:
    tried = "a download was tried"
    monkeypatch.setattr(torch.hub, "load_state_dict_from_url", lambda *_, **__: pytest.fail(tried))
    ours, theirs = metrics.load("pieapp"), published(random_backbone("pieapp"), monkeypatch)
    ref, x = draw(0, 2, 91, 64), draw(1, 2, 91, 64).requires_grad_()
    assert_equal_values_and_gradients(ours(ref, x), theirs(x, ref), x)


def test_scores_below_zero_are_those_of_piq(monkeypatch: pytest.MonkeyPatch) -> None:
    state = random_backbone("pieapp")
    state = {**state, "fc2_score.weight": -state["fc2_score.weight"]}
    monkeypatch.setattr(weights, "load", lambda name: state)
    ref, x = draw(0), draw(1)
    found = metrics.load("pieapp")(ref, x)
    assert (found < 0).all()
    torch.testing.assert_close(found, published(state, monkeypatch)(x, ref), rtol=1e-4, atol=1e-6)


def test_pixels_that_no_patch_reaches_are_ignored() -> None:
    metric, ref = metrics.load("pieapp"), draw(0, 2, 64, 90)
    x, y = ref.clone(), ref.clone()
    x[:, :, :, 64:] = 0
    y[:, :, :, 63:] = 0
    assert torch.equal(metric(ref, x), metric(ref, ref))
    assert not torch.equal(metric(ref, y), metric(ref, ref))


def test_features_keep_the_batch_and_the_device() -> None:
    metric = metrics.load("pieapp")
    shapes = [tuple(tensor.shape) for tensor in metric.embed(draw(0, 2, 91, 64))]
    assert shapes == [(2, 2, 120832), (2, 2, 2048)]
    # The device that only knows shapes refuses to mix with any other.
    elsewhere = metric.to("meta").embed(draw(0).to("meta"))
    assert metric.compare(elsewhere, elsewhere).device.type == "meta"


def test_wrong_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    state = random_backbone("pieapp")
    del state["ref_score_subtract.weight"]
    monkeypatch.setattr(weights, "load", lambda name: state)
    with pytest.raises(WeightsError, match=r"missing.*ref_score_subtract\.weight"):
        metrics.load("pieapp")
