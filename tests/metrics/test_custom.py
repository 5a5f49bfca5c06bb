"""Metrics made from a function of the user: what the trial accepts, refuses and finds out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import piq
import pytest
import torch
from torch import Tensor, nn

from simlib import metrics
from simlib.attacks import PGD, RankFlip, Square
from simlib.errors import InputError, NoGradientError
from simlib.metrics import MetricSpec, registry
from simlib.metrics.custom import CallableMetric, from_callable
from tests.support import any_weights, draw, random_triplets

SPEC = MetricSpec("mine", "Mine")

Function = Callable[[Tensor, Tensor], Tensor]


def squared(ref: Tensor, x: Tensor) -> Tensor:
    return (ref - x).square().mean(dim=(1, 2, 3))


def pair() -> tuple[Tensor, Tensor]:
    return draw(0, 3, 32), draw(1, 3, 32)


@pytest.mark.parametrize("shape", [(-1,), (-1, 1), (-1, 1, 1, 1)])
def test_one_value_for_each_sample_in_any_usual_shape(shape: tuple[int, ...]) -> None:
    metric = from_callable(lambda ref, x: squared(ref, x).view(shape), SPEC)
    assert metric.spec == SPEC
    torch.testing.assert_close(metric(*pair()), any_weights("l2")(*pair()))
    torch.testing.assert_close(metric.anchor(pair()[0])(pair()[1]), metric(*pair()))


def test_a_similarity_becomes_a_distance() -> None:
    def similarity(ref: Tensor, x: Tensor) -> Any:
        return piq.ssim(ref, x, reduction="none")

    spec = replace(SPEC, least_side=11)
    bounded = from_callable(similarity, spec, higher_is_closer=True, best=1.0)
    torch.testing.assert_close(bounded(*pair()), 2 * any_weights("ssim")(*pair()))
    assert not bounded.spec.may_be_negative
    unbounded = from_callable(similarity, spec, higher_is_closer=True)
    torch.testing.assert_close(unbounded(*pair()), bounded(*pair()) - 1)
    assert unbounded.spec.may_be_negative


@pytest.mark.parametrize(("low", "high"), [(-1.0, 1.0), (0.0, 255.0)])
def test_images_come_in_the_range_that_the_function_wants(low: float, high: float) -> None:
    seen: list[Tensor] = []

    def looks(ref: Tensor, x: Tensor) -> Tensor:
        seen[:] = ref, x
        return squared(ref, x)

    black, white = torch.zeros(2, 3, 4, 4), torch.ones(2, 3, 4, 4)
    from_callable(looks, SPEC, image_range=(low, high))(black, white)
    assert torch.equal(seen[0], black + low)
    assert torch.equal(seen[1], white * high)


REFUSED: dict[str, tuple[Function, str]] = {
    "one value for the batch": (lambda ref, x: squared(ref, x).mean(), r"returned \(\).*mean\(dim="),
    "one value for each channel": (lambda ref, x: (ref - x).square().mean(dim=(2, 3)), r"\(3, 3\)"),
    "no tensor": (lambda ref, x: 0.5, "returned float"),  # pyright: ignore[reportAssignmentType]
    "not finite": (lambda ref, x: squared(ref, x).log(), "inf"),
    "scaled over the batch": (lambda ref, x: squared(ref, x) * squared(ref, x).sum(), "in one batch"),
    "in place": (lambda ref, x: squared(ref, x.detach().clamp_(0.2, 0.8)), "changes the images"),
    "complex": (lambda ref, x: torch.fft.fft2(ref - x).square().mean((1, 2, 3)), "complex numbers"),
    "infinite at equal images": (
        lambda ref, x: squared(ref, x).log10(),
        r"for identical images.*add a small number",
    ),
    "divided by the batch": (lambda ref, x: squared(ref, x) / len(x), "alone and"),
    "drawn towards the others": (
        lambda ref, x: squared(ref, x) + 1e-3 * squared(ref, x).mean(),
        "beside others and",
    ),
    "random": (lambda ref, x: squared(ref, x) + torch.rand(len(x)), "at random"),
    "a similarity": (lambda ref, x: 1 - squared(ref, x), "higher_is_closer=True"),
    "too small an image": (lambda ref, x: squared(*map(nn.AvgPool2d(11, 1), (ref, x))), "least_side"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_cannot_be_a_metric_is_refused_before_it_is_used(what: str) -> None:
    function, message = REFUSED[what]
    before = torch.random.get_rng_state()
    with pytest.raises(InputError, match=message):
        from_callable(function, SPEC)
    assert torch.equal(before, torch.random.get_rng_state())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"higher_is_closer": True}, "farther apart"),
        ({"best": 1.0}, "higher_is_closer"),
        ({"image_range": (1.0, 1.0)}, "image_range"),
    ],
)
def test_a_wrong_direction_or_range_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        from_callable(squared, SPEC, **options)


def test_the_least_side_is_tried() -> None:
    function, _ = REFUSED["too small an image"]
    assert from_callable(function, replace(SPEC, least_side=11)).spec.least_side == 11
    with pytest.raises(InputError, match="10, 10"):
        from_callable(function, replace(SPEC, least_side=10))


def by_numpy(ref: Tensor, x: Tensor) -> Tensor:
    return torch.from_numpy(np.square(ref.numpy() - x.numpy()).mean(axis=(1, 2, 3)))


class OneWay(torch.autograd.Function):
    @staticmethod
    def forward(context: Any, x: Tensor) -> Tensor:
        return x.clone()


BLOCKED: dict[str, tuple[Function, str]] = {
    "detached": (lambda ref, x: squared(ref, x.detach()), "cannot follow"),
    "numpy": (by_numpy, "numpy"),
    "rounded": (lambda ref, x: squared(ref, (x * 255).round() / 255), "zero everywhere"),
    "no backward": (lambda ref, x: squared(ref, OneWay.apply(x)), "torch says"),
    "not finite": (
        lambda ref, x: squared(ref, x) + (x * 0).rsqrt().reciprocal().sum((1, 2, 3)),
        "not finite",
    ),
}


@pytest.mark.parametrize("what", BLOCKED)
def test_a_gradient_that_is_not_there_is_reported_at_load(what: str) -> None:
    function, message = BLOCKED[what]
    with pytest.warns(UserWarning, match=message) as seen:
        metric = from_callable(function, SPEC)
    assert len(seen) == 1
    assert metric.spec == replace(SPEC, differentiable=False)
    problem = RankFlip(metric, random_triplets(2, 16))
    with pytest.raises(NoGradientError):
        PGD(steps=8)(problem)
    assert len(Square(queries=5)(problem).images) == 2


@pytest.mark.filterwarnings("error")
def test_a_gradient_that_nobody_promised_is_not_reported() -> None:
    assert not from_callable(by_numpy, replace(SPEC, differentiable=False)).spec.differentiable
    assert from_callable(squared, SPEC).spec.differentiable


@pytest.mark.filterwarnings("error")
def test_a_root_has_a_finite_gradient_at_identical_images() -> None:
    metric, ref = from_callable(lambda ref, x: squared(ref, x).sqrt(), SPEC), pair()[0]
    x = ref.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(metric(ref, x).sum(), x)
    assert (gradient == 0).all()


def test_a_gradient_that_is_lost_at_identical_images_is_reported() -> None:
    with pytest.warns(UserWarning, match="not finite at identical and black images"):
        metric = from_callable(lambda ref, x: squared(ref, x).rsqrt().reciprocal(), SPEC)
    assert metric.spec.differentiable


def test_what_the_trial_finds_of_symmetry_and_sign_is_in_the_spec() -> None:
    def relative(ref: Tensor, x: Tensor) -> Tensor:
        return squared(ref, x) / ref.square().mean(dim=(1, 2, 3)) - 1

    assert from_callable(relative, SPEC).spec == replace(SPEC, symmetric=False, may_be_negative=True)


class Features(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            self.layers = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.Dropout(0.5))

    def forward(self, ref: Tensor, x: Tensor) -> Tensor:
        return squared(self.layers(ref), self.layers(x))


def test_a_module_is_evaluated_and_moves_along() -> None:
    module = Features().train()
    metric = from_callable(module, SPEC)
    assert not module.training
    assert not any(parameter.requires_grad for parameter in metric.parameters())
    single, doubles = metric(*pair()), [each.double() for each in pair()]
    with pytest.raises(InputError, match="float64"):
        metric(*doubles)
    torch.testing.assert_close(metric.double()(*doubles), single.double(), rtol=1e-5, atol=1e-7)


def test_the_dtype_is_kept_and_an_empty_batch_is_a_batch() -> None:
    metric = from_callable(lambda ref, x: squared(ref.double(), x.double()), SPEC)
    assert metric(*pair()).dtype == torch.float32
    assert metric(*(each[:0] for each in pair())).shape == (0,)


def test_a_registered_function_keeps_its_spec_and_what_was_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_REGISTER", {})
    spec = MetricSpec("steps", "Steps", least_side=2, licence="MIT")

    @metrics.register(spec)
    def steps() -> metrics.Metric:
        return from_callable(BLOCKED["rounded"][0], spec)

    with pytest.warns(UserWarning, match="Steps"):
        metric = metrics.load("steps", dtype=torch.float64)
    assert isinstance(metric, CallableMetric)
    assert metric.spec == replace(spec, differentiable=False, symmetric=metric.spec.symmetric)


@pytest.mark.parametrize(
    ("function", "spec", "message"),
    [
        ("squared", SPEC, "function is 'squared'"),
        (nn.MSELoss, SPEC, "function is the class MSELoss"),
        (squared, "mine", r'spec is .mine.*MetricSpec\("mine", "Mine"\)'),
    ],
)
def test_what_is_no_function_or_no_spec(function: Any, spec: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        from_callable(function, spec)


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_a_gradient_is_found_also_where_the_caller_wants_none(mode: Any) -> None:
    with mode():
        metric = from_callable(squared, SPEC)
    assert metric.spec.differentiable


def test_a_metric_that_was_loaded_and_moved_in_inference_mode_works_outside_it() -> None:
    ref, x = torch.rand(2, 1, 3, 32, 32).double()
    with torch.inference_mode():
        metric = metrics.load("st-lpips-alex").double()
    (gradient,) = torch.autograd.grad(metric(ref, x.requires_grad_()).sum(), x)
    assert gradient.any()


def test_a_module_that_was_made_in_inference_mode_has_a_gradient() -> None:
    with torch.inference_mode():
        features = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), nn.Softplus())
        metric = from_callable(Compared(features), SPEC)
    problem = RankFlip(metric, random_triplets(2, 16))
    assert metric.spec.differentiable and PGD(steps=8)(problem).backwards.min() > 0


class Compared(nn.Module):
    def __init__(self, features: nn.Module) -> None:
        super().__init__()
        self.features = features

    def forward(self, ref: Tensor, x: Tensor) -> Tensor:
        return squared(self.features(ref), self.features(x))


def test_a_metric_stays_in_evaluation_mode() -> None:
    metric = from_callable(Compared(nn.Sequential(nn.BatchNorm2d(3), nn.Dropout())), SPEC)
    ref, x = draw(0, 2, 16), draw(1, 2, 16)
    expected = metric(ref, x)
    nn.ModuleDict({"loss": metric}).train()
    assert not any(module.training for module in metric.modules())
    assert torch.equal(metric(ref, x), expected)


def test_weights_of_half_precision_are_told_as_such() -> None:
    with pytest.raises(InputError, match=r"Mine is of torch.float16.*convert by .float"):
        from_callable(Compared(nn.Conv2d(3, 4, 3)).half(), SPEC)
    metric, images = metrics.load("st-lpips-alex"), draw(0, 1, 32)
    with pytest.raises(InputError, match=r"ST-LPIPS \(Alex\) is of torch.float16"):
        metric.half()(images, images)
