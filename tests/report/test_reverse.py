"""The other two images: a straight line where the margin is one, and references beside their distances."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from simlib.attacks import PGD, RankFlip, Target
from simlib.report.reverse import levels_of_a_straight_line, reference_slider
from tests.report.test_pictures import shown
from tests.support import any_weights, grey_triplets, random_triplets


@pytest.mark.parametrize("target", ["closer", "farther"])
def test_a_straight_line_is_right_where_the_margin_is_one(target: Target) -> None:
    # The mean absolute error is linear until a value meets that of the reference, so one value alone moves.
    grey = grey_triplets(3, seed=0)
    p0, p1 = grey.ref.clone(), grey.ref.clone()
    p0[:, 0, 0, 0] += 8 / 255
    p1[:, 0, 0, 0] += 20 / 255
    problem = RankFlip(any_weights("l1", torch.float64), replace(grey, p0=p0, p1=p1), target)
    levels = levels_of_a_straight_line(problem)
    torch.testing.assert_close(levels, torch.full_like(levels, 12))


@pytest.mark.parametrize(("target", "away"), [("closer", 1), ("farther", -1)])
def test_the_line_of_the_square_error_errs_by_the_square_of_the_step(target: Target, away: int) -> None:
    # More triplets than are looked at together, so that the parts are seen to be joined.
    problem = RankFlip(any_weights("l2", torch.float64), grey_triplets(70, seed=1), target)
    batch = problem.batch()
    step = (levels_of_a_straight_line(problem) / 255).view(-1, 1, 1, 1)
    change = away * step * (batch.original - problem.triplets.ref).sign()
    missed = away * change.square().mean(dim=(1, 2, 3))
    torch.testing.assert_close(batch.margin(batch.original + change), missed)


def test_slider_shows_references_and_the_distances_to_both() -> None:
    problem = RankFlip(any_weights("l2"), random_triplets(4), "reference")
    result = PGD(eps=0.1, step=0.01)(problem)
    assert result.flipped.all()
    figure: Any = reference_slider(problem, result, [3, 1])
    assert [frame.name for frame in figure.frames] == ["1", "2"]
    for frame, place in zip(figure.frames, (3, 1), strict=True):
        pictures = [shown(trace.source) for trace in frame.data]
        assert torch.equal(pictures[0], problem.triplets.ref[place])
        assert torch.equal(pictures[1], result.images[place])
        captions = [frame.layout[axis].title.text for axis in ("xaxis4", "xaxis5")]
        told = [[float(line.split()[-1]) for line in each.split(",<br>")] for each in captions]
        expected = [[float((ref - side).square().mean()) for ref in pictures[:2]] for side in pictures[3:]]
        torch.testing.assert_close(torch.tensor(told), torch.tensor(expected), atol=6e-5, rtol=0)
        (closer, closer_then), (farther, farther_then) = expected
        assert closer < farther
        assert closer_then > farther_then
    assert "2 triplets" in figure.layout.meta["alt"]
