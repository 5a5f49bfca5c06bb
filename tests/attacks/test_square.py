"""The Square attack: squares of the published sizes, within the budget, accepted only if they help."""

from __future__ import annotations

from typing import get_args

import pytest
import torch
from torch import Tensor

from simlib.attacks import Protocol, RankFlip, Square
from simlib.attacks.square import square_side
from simlib.triplets import Triplets, photos
from tests.support import Watched, any_weights, random_triplets

every_protocol = pytest.mark.parametrize("protocol", get_args(Protocol))


@pytest.fixture(scope="module")
def triplets() -> Triplets:
    return photos(10, seed=5, side=32)


def candidates_of(metric: Watched, protocol: Protocol) -> list[Tensor]:
    """Return what the attack looked at, without what was looked at before it and to measure it."""
    return metric.seen[3 : -1 if protocol == "strict" else -2]


def resistant(n: int) -> Triplets:
    """Triplets that no change of a few levels flips; p0 is attacked."""
    triplets = random_triplets(n)
    # Away from black and white, where a budget has two ends.
    near = (triplets.p0 * 127).round().add(64).div(255)
    return Triplets(**{**vars(triplets), "ref": near, "p0": near, "p1": 1 - near})


@every_protocol
def test_one_square_a_query_and_kept_only_if_the_margin_rises(protocol: Protocol) -> None:
    metric, triplets, eps, queries = Watched(blind=True), resistant(3), 6 / 255, 60
    problem = RankFlip(metric, triplets)
    result = Square(eps=eps, queries=queries, p_init=0.3)(problem, protocol=protocol)
    candidates = candidates_of(metric, protocol)
    assert len(candidates) == queries
    assert (result.forwards == queries).all()
    with torch.no_grad():
        margins = [problem.margin(candidate) for candidate in candidates]
    start = candidates[0]
    assert torch.equal((start > result.original)[:, :, :1].expand_as(start), start > result.original)
    best, best_margin = start, margins[0]
    places = set()
    for query in range(1, queries):
        side = square_side(query, queries, 0.3, 32, 32)
        for sample in range(3):
            changed = (candidates[query][sample] != best[sample]).any(dim=0).nonzero()
            if len(changed):
                extent = changed.amax(dim=0) - changed.amin(dim=0) + 1
                assert extent.max() <= side
                places.add((query, sample, *changed.amin(dim=0).tolist()))
        rises = margins[query] > best_margin
        best = torch.where(rises.view(-1, 1, 1, 1), candidates[query], best)
        best_margin = torch.where(rises, margins[query], best_margin)
    assert torch.equal(result.images, best)
    torch.testing.assert_close(result.margin, torch.stack(margins).amax(dim=0))
    assert len({place[1:] for place in places}) > queries


@every_protocol
def test_every_value_lies_at_an_end_of_its_budget(protocol: Protocol) -> None:
    metric, triplets, eps = Watched(blind=True), resistant(4), 5 / 255
    Square(eps=eps, queries=20)(RankFlip(metric, triplets), protocol=protocol)
    low, high = (triplets.p0 - eps).clamp(0, 1), (triplets.p0 + eps).clamp(0, 1)
    for candidate in candidates_of(metric, protocol):
        nearest = torch.minimum((candidate - low).abs(), (candidate - high).abs())
        assert nearest.max() < 1e-6


@every_protocol
def test_flipped_samples_leave_and_queries_are_counted(triplets: Triplets, protocol: Protocol) -> None:
    metric = Watched(blind=True)
    result = Square(eps=12 / 255, queries=40)(RankFlip(metric, triplets), protocol=protocol)
    assert result.flipped.any()
    assert len(result.forwards.unique()) > 2
    assert torch.equal(result.steps, result.forwards)
    sizes = [len(candidate) for candidate in candidates_of(metric, protocol)]
    assert sizes == [int((result.forwards >= query).sum()) for query in range(1, len(sizes) + 1)]
    assert (result.backwards == 0).all()


def test_strict_rounds_towards_the_original() -> None:
    problem = RankFlip(any_weights("l2"), resistant(2))
    result = Square(eps=2.9 / 255, queries=5)(problem)
    assert round(float(result.linf.max()) * 255, 3) == 2


def test_sides_follow_the_published_schedule() -> None:
    # 10,000 queries are the published schedule itself: the share halves after these.
    shares = {0: 0.8, 10: 0.8, 11: 0.4, 50: 0.4, 51: 0.2, 201: 0.1, 501: 0.05, 1001: 0.025, 2001: 0.0125}
    for query, share in shares.items():
        assert square_side(query, 10_000, 0.8, 64, 64) == round((share * 64 * 64) ** 0.5)
        assert square_side(query // 10, 1000, 0.8, 64, 64) >= square_side(query, 10_000, 0.8, 64, 64)
    assert square_side(9_999, 10_000, 0.8, 64, 64) == 3
    assert square_side(9_999, 10_000, 0.05, 64, 64) == 1
    assert square_side(0, 100, 1.0, 32, 200) == 32


def test_places_are_drawn_evenly_up_to_the_edges() -> None:
    metric, triplets = Watched(blind=True), resistant(256)
    Square(eps=4 / 255, queries=2, p_init=0.5)(RankFlip(metric, triplets))
    start, candidate = candidates_of(metric, "strict")
    changed = (start != candidate).any(dim=1)
    side = square_side(1, 2, 0.5, 32, 32)
    assert changed.any(dim=(0, 1)).all()
    assert changed.any(dim=(0, 2)).all()
    corners = torch.stack([changed[:, 0].any(dim=1), changed[:, -1].any(dim=1)]).sum(dim=1)
    expected = 256 / (32 - side + 1)
    assert ((corners > 0.3 * expected) & (corners < 3 * expected)).all()
