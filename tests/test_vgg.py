"""DISTS, content and style against the package piq, both with the same random weights."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import piq
import pytest
import torch
import torchvision
from torch import Tensor

from simlib import metrics
from simlib.errors import WeightsError
from simlib.metrics import vgg, weights
from tests.random_weights import random_backbone

THEIRS: dict[str, Callable[..., Any]] = {
    "dists": piq.DISTS,
    "content": piq.ContentLoss,
    "style": piq.StyleLoss,
}
each = pytest.mark.parametrize("name", THEIRS)


@pytest.fixture(autouse=True)
def random_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights, "load", random_backbone)


def images(seed: int, n: int = 2, side: int = 64, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.rand((n, 3, side, side), generator=torch.Generator().manual_seed(seed), dtype=dtype)


def published(name: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Have piq build its own loss; its downloads are answered with the random weights."""
    network = torchvision.models.vgg16()
    network.features.load_state_dict(
        {key.removeprefix("features."): value for key, value in random_backbone("vgg16").items()}
    )
    monkeypatch.setattr(torch.hub, "load_state_dict_from_url", lambda *a, **k: random_backbone("dists"))
    monkeypatch.setattr("piq.perceptual.vgg16", lambda *a, **k: network)
    return THEIRS[name](reduction="none")


@each
def test_values_and_gradients_agree_with_piq(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    ours, theirs = metrics.load(name), published(name, monkeypatch)
    ref, x = images(0), images(1).requires_grad_()
    found, expected = ours(ref, x), theirs(x, ref)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-6)
    slopes = [torch.autograd.grad(value.sum(), x)[0] for value in (found, expected)]
    torch.testing.assert_close(slopes[0], slopes[1], rtol=1e-3, atol=1e-4 * float(slopes[1].abs().max()))


def test_dists_resizes_large_images_as_piq_does(monkeypatch: pytest.MonkeyPatch) -> None:
    ref, x = images(0, 1, 300), images(1, 1, 300)
    expected = published("dists", monkeypatch)(x, ref)
    torch.testing.assert_close(metrics.load("dists")(ref, x), expected, rtol=1e-4, atol=1e-6)
    (pixels, *_) = metrics.load("dists").embed(ref)
    assert pixels.shape[-2:] == (256, 256)


@each
def test_nothing_is_downloaded_in_a_constructor(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object, **options: object) -> None:
        pytest.fail("a download was tried")

    monkeypatch.setattr(torch.hub, "load_state_dict_from_url", refuse)
    monkeypatch.setattr(torch.hub, "download_url_to_file", refuse)
    metrics.load(name)


@each
def test_everything_moves_along_to_another_dtype_and_device(name: str) -> None:
    metric, ref, x = metrics.load(name), images(0), images(1)
    single = metric(ref, x)
    double = metric.double()(ref.double(), x.double())
    assert {tensor.dtype for tensor in metric.embed(ref.double())} == {torch.float64}
    torch.testing.assert_close(double, single.double(), rtol=1e-4, atol=1e-6)
    # The device that only knows shapes refuses to mix with any other.
    elsewhere = metric.to("meta").embed(ref.double().to("meta"))
    assert metric.compare(elsewhere, elsewhere).device.type == "meta"


def test_style_does_not_depend_on_where_things_are() -> None:
    metric = metrics.load("style", dtype=torch.float64)
    assert isinstance(metric, vgg.StyleDistance)
    (features,) = vgg.ContentDistance.embed(metric, images(0, dtype=torch.float64))
    shuffled = features.flatten(2)[:, :, torch.randperm(features[0, 0].numel())].reshape(features.shape)
    grams = [piq.StyleLoss.gram_matrix(each) for each in (features, shuffled)]
    torch.testing.assert_close(metric.compare((grams[0],), (grams[1],)), torch.zeros(2, dtype=torch.float64))


def test_dists_does_not_look_at_where_texture_lies() -> None:
    metric = metrics.load("dists")
    ref = images(0, 1)
    moved, other = ref.roll(8, dims=3), images(1, 1) * 0.5
    assert metric(ref, moved) < metric(ref, other)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"alpha": torch.zeros(1, 1475, 1, 1)}, "missing.*beta"),
        ({"alpha": torch.zeros(1475), "beta": torch.zeros(1, 1475, 1, 1)}, "another shape.*alpha"),
    ],
)
def test_wrong_channel_weights(
    wrong: dict[str, Tensor], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(weights, "load", lambda name: wrong if name == "dists" else random_backbone(name))
    with pytest.raises(WeightsError, match=message):
        metrics.load("dists")
