"""The code of the how-to page, run as a reader would run it."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from typing import Any
from unittest import mock

import pytest
import torch

from simlib import metrics
from simlib.attacks import pgd
from simlib.errors import NoGradientError
from simlib.metrics import registry
from tests.conftest import ROOT
from tests.support import random_triplets

PAGE = ROOT / "book" / "how-to-add-a-metric.md"


@pytest.fixture(scope="module")
def page() -> Iterator[dict[str, Any]]:
    """Run all blocks in one namespace; what they register is there for these tests only."""
    blocks = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    names: dict[str, Any] = {}
    with mock.patch.object(registry, "_REGISTER", dict(registry._REGISTER)):
        with warnings.catch_warnings(record=True) as seen:
            warnings.simplefilter("always")
            for block in blocks:
                exec(block, names)
        yield {**names, "seen": seen}


def test_the_function_and_the_class_are_the_same_metric(page: dict[str, Any]) -> None:
    batch = random_triplets(3)
    function, whole = metrics.load("edges"), metrics.load("edges-twice")
    torch.testing.assert_close(whole(batch.ref, batch.p0), function(batch.ref, batch.p0))
    torch.testing.assert_close(whole.anchor(batch.ref)(batch.p0), function(batch.ref, batch.p0))
    assert function.spec == page["spec"]


@pytest.mark.parametrize("name", ["metric", "similar"])
def test_the_metrics_point_the_right_way_and_have_a_gradient(name: str, page: dict[str, Any]) -> None:
    metric, batch = page[name], random_triplets(3)
    x = batch.p0.clone().requires_grad_()
    distance = metric(batch.ref, x)
    (gradient,) = torch.autograd.grad(distance.sum(), x)
    assert (metric(batch.ref, batch.ref).abs() < 1e-6).all()
    assert (distance > 0).all()
    assert (distance < metric(batch.ref, batch.p1)).all()
    assert gradient.flatten(1).any(dim=1).all()
    assert metric.spec.differentiable


def test_the_function_without_a_gradient_is_the_only_one_reported(page: dict[str, Any]) -> None:
    assert not page["stepwise"].spec.differentiable
    (said,) = [str(each.message) for each in page["seen"] if "gradient" in str(each.message)]
    assert said.startswith("Coarse")
    with pytest.raises(NoGradientError, match="Coarse"):
        pgd(page["RankFlip"](page["stepwise"], random_triplets(1)))


def test_the_attack_flips_ranks(page: dict[str, Any]) -> None:
    problem, result = page["problem"], page["result"]
    assert result.flipped.any()
    assert torch.equal(problem.margin(result.images) > 0, result.flipped)


def test_what_is_said_of_pyiqa_holds_here(page: dict[str, Any]) -> None:
    assert page["reason"] == metrics.why_absent("pyiqa:cw_ssim")
