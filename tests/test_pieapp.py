"""PieAPP against the package piq, both with the same random weights."""

from __future__ import annotations

import piq
import pytest
import torch
from torch import Tensor

from simlib import metrics
from simlib.errors import WeightsError
from simlib.metrics import pieapp as module
from simlib.metrics import weights
from tests.random_weights import random_backbone


@pytest.fixture(autouse=True)
def random_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights, "load", random_backbone)


def images(seed: int, height: int = 64, width: int = 64) -> Tensor:
    return torch.rand((2, 3, height, width), generator=torch.Generator().manual_seed(seed))


def published(state: dict[str, Tensor], monkeypatch: pytest.MonkeyPatch) -> piq.PieAPP:
    """Have piq build its own loss; its download is answered with these weights."""
    monkeypatch.setattr(torch.hub, "load_state_dict_from_url", lambda *a, **k: dict(state))
    return piq.PieAPP(reduction="none", enable_grad=True)


@pytest.mark.parametrize("size", [(64, 64), (91, 120)])
def test_values_and_gradients_agree_with_piq(size: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    ours, theirs = metrics.load("pieapp"), published(random_backbone("pieapp"), monkeypatch)
    ref, x = images(0, *size), images(1, *size).requires_grad_()
    found, expected = ours(ref, x), theirs(x, ref)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-6)
    slopes = [torch.autograd.grad(value.sum(), x)[0] for value in (found, expected)]
    torch.testing.assert_close(slopes[0], slopes[1], rtol=1e-3, atol=1e-4 * float(slopes[1].abs().max()))


def test_scores_below_zero_are_told_as_piq_tells_them(monkeypatch: pytest.MonkeyPatch) -> None:
    state = random_backbone("pieapp")
    state = {**state, "fc2_score.weight": -state["fc2_score.weight"]}
    monkeypatch.setattr(weights, "load", lambda name: state)
    ref, x = images(0), images(1)
    found = metrics.load("pieapp")(ref, x)
    assert (found < 0).all()
    torch.testing.assert_close(found, published(state, monkeypatch)(x, ref), rtol=1e-4, atol=1e-6)


def test_what_no_patch_reaches_is_not_looked_at() -> None:
    metric, ref = metrics.load("pieapp"), images(0, 64, 90)
    x, y = ref.clone(), ref.clone()
    x[:, :, :, 64:] = 0
    y[:, :, :, 63:] = 0
    assert torch.equal(metric(ref, x), metric(ref, ref))
    assert not torch.equal(metric(ref, y), metric(ref, ref))


def test_nothing_is_downloaded_and_features_keep_batch_and_device(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object, **options: object) -> None:
        pytest.fail("a download was tried")

    monkeypatch.setattr(torch.hub, "load_state_dict_from_url", refuse)
    metric = metrics.load("pieapp")
    assert isinstance(metric, module.PreferenceScore)
    assert [tuple(tensor.shape) for tensor in metric.embed(images(0, 91, 64))] == [
        (2, 2, 120832),
        (2, 2, 2048),
    ]
    # The device that only knows shapes refuses to mix with any other.
    elsewhere = metric.to("meta").embed(images(0).to("meta"))
    assert metric.compare(elsewhere, elsewhere).device.type == "meta"


def test_wrong_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    state = random_backbone("pieapp")
    del state["ref_score_subtract.weight"]
    monkeypatch.setattr(weights, "load", lambda name: state)
    with pytest.raises(WeightsError, match=r"missing.*ref_score_subtract\.weight"):
        metrics.load("pieapp")
