"""The code of the pages, run as a reader would run it."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from typing import Any
from unittest import mock

import pytest
import torch

from simlib import metrics
from simlib.attacks import ATTACKS, PGD, make, meanings
from simlib.errors import NoGradientError
from simlib.metrics import registry
from tests.conftest import ROOT
from tests.support import random_triplets


def run_blocks(page: str) -> dict[str, Any]:
    """Run all Python blocks of a page in one namespace, on few triplets."""
    blocks = re.findall(r"^```python\n(.*?)^```$", (ROOT / page).read_text(), re.MULTILINE | re.DOTALL)
    assert blocks
    names: dict[str, Any] = {"__name__": page}
    for block in blocks:
        code = block.replace("photos(64)", "photos(4)")
        # A reader's file has not imported the annotations of this one.
        exec(compile(code, page, "exec", dont_inherit=True), names)
    return names


@pytest.fixture(scope="module")
def page() -> Iterator[dict[str, Any]]:
    """Run the page on metrics; what it registers is there for these tests only."""
    with mock.patch.object(registry, "_REGISTER", dict(registry._REGISTER)):
        with warnings.catch_warnings(record=True) as seen:
            warnings.simplefilter("always")
            names = run_blocks("book/how-to-add-a-metric.md")
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
        PGD()(page["RankFlip"](page["stepwise"], random_triplets(1)))


def test_the_attack_flips_ranks(page: dict[str, Any]) -> None:
    problem, result = page["problem"], page["result"]
    assert result.flipped.any()
    assert torch.equal(problem.margin(result.images) > 0, result.flipped)


def test_what_is_said_of_pyiqa_holds_here(page: dict[str, Any]) -> None:
    assert page["reason"] == metrics.why_absent("pyiqa:cw_ssim")


def test_the_example_of_the_readme_attacks() -> None:
    names = run_blocks("README.md")
    assert len(names["result"]) == 4
    assert names["result"].attack == PGD(eps=4 / 255)


def test_the_attack_of_the_guide_is_an_attack_like_any_other() -> None:
    with mock.patch.dict(ATTACKS):
        names = run_blocks("CONTRIBUTING.md")
        noise, result = names["Noise"], names["result"]
        assert make("noise", {"eps": 0.1}) == noise(eps=0.1)
        assert meanings(noise).keys() == noise().dials().keys()
    change = (result.images - result.original).abs()
    assert result.flipped.any()
    assert change.max() == pytest.approx(16 / 255)
    assert "noise" not in ATTACKS


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md"])
def test_links_lead_to_files(page: str) -> None:
    links = re.findall(r"\]\(([^)#:]+)(?:#[\w-]+)?\)", (ROOT / page).read_text())
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []
