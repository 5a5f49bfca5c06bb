"""Agreement with labels: cases by hand, a slow loop, what must hold for any votes, and real metrics."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any, cast

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from torch import Tensor

from simlib.benchmark.agreement import (
    accurate_split,
    distances,
    human_ceiling,
    majority_accuracy,
    one_person_score,
    two_afc_score,
)
from simlib.benchmark.statistics import mean, rate, wilson
from simlib.errors import InputError
from simlib.triplets import TripletFiles
from tests.rounding import assert_within_rounding
from tests.support import any_weights, random_triplets

NAN = math.nan

votes = st.one_of(st.sampled_from([0.0, 0.2, 0.5, 0.8, 1.0, NAN]), st.floats(0, 1, width=32))
levels = st.integers(0, 4).map(float)
rows = st.lists(st.tuples(levels, levels, votes), min_size=1, max_size=30)


def measured(rows: list[tuple[float, float, float]]) -> tuple[Tensor, Tensor, Tensor]:
    distance0, distance1, judge = torch.tensor(rows).unbind(dim=1)
    assume(not judge.isnan().all())
    return distance0, distance1, judge


def test_by_hand() -> None:
    # p1 closer, p0 closer, a tie, against the majority, split votes, nobody asked
    distance0 = torch.tensor([2.0, 1.0, 3.0, 2.0, 2.0, 2.0])
    distance1 = torch.tensor([1.0, 2.0, 3.0, 1.0, 1.0, 1.0])
    judge = torch.tensor([0.8, 0.4, 0.2, 0.0, 0.5, NAN])
    score = two_afc_score(distance0, distance1, judge, None)
    assert score.value == pytest.approx((0.8 + 0.6 + 0.5 + 0.0 + 0.5) / 5)
    assert score.n == 5
    assert majority_accuracy(distance0, distance1, judge, None) == wilson(2, 4)
    accurate, inaccurate = accurate_split(distance0, distance1, judge)
    assert accurate.tolist() == [True, True, True, False, False, False]
    assert inaccurate.tolist() == [False, False, False, True, True, False]
    assert human_ceiling(judge, None).value == pytest.approx((0.8 + 0.6 + 0.8 + 1.0 + 0.5) / 5)
    assert one_person_score(judge, None).value == pytest.approx((0.68 + 0.52 + 0.68 + 1.0 + 0.5) / 5)


@given(rows)
def test_a_slow_loop_finds_the_same(rows: list[tuple[float, float, float]]) -> None:
    distance0, distance1, judge = measured(rows)
    scores, right, decided, split = [], 0, 0, []
    for first, second, share in zip(distance0.tolist(), distance1.tolist(), judge.tolist(), strict=True):
        if math.isnan(share):
            split.append([False, False])
            continue
        # the released evaluation of BAPPS, term by term
        scores.append((first < second) * (1 - share) + (second < first) * share + (second == first) * 0.5)
        if share != 0.5:
            decided += 1
            right += second < first if share > 0.5 else first < second
        agrees = (first > second) == (share > 0.5)
        split.append([agrees, not agrees])
    score = two_afc_score(distance0, distance1, judge, None)
    assert (score.value, score.n) == (pytest.approx(sum(scores) / len(scores)), len(scores))
    assert torch.stack(accurate_split(distance0, distance1, judge), dim=1).tolist() == split
    if decided:
        assert majority_accuracy(distance0, distance1, judge, None) == wilson(right, decided)


@given(rows)
def test_the_two_images_can_change_places(rows: list[tuple[float, float, float]]) -> None:
    distance0, distance1, judge = measured(rows)
    judge = judge.double()
    score = two_afc_score(distance0, distance1, judge, None)
    swapped = two_afc_score(distance1, distance0, 1 - judge, None)
    assert (swapped.value, swapped.low, swapped.high) == pytest.approx((score.value, score.low, score.high))
    assert human_ceiling(1 - judge, None).value == pytest.approx(human_ceiling(judge, None).value)
    assert one_person_score(1 - judge, None).value == pytest.approx(one_person_score(judge, None).value)
    # far enough from one half that 1 - judge does not round to it
    if ((judge - 0.5).abs() > 1e-9).any():
        clear = torch.where((judge - 0.5).abs() > 1e-9, judge, torch.nan)
        right = majority_accuracy(distance0, distance1, clear, None)
        assert right == majority_accuracy(distance1, distance0, 1 - clear, None)


@given(rows)
def test_no_choice_scores_above_the_ceiling_and_a_person_lies_between(
    rows: list[tuple[float, float, float]],
) -> None:
    distance0, distance1, judge = measured(rows)
    ceiling, person = human_ceiling(judge, None).value, one_person_score(judge, None).value
    assert two_afc_score(distance0, distance1, judge, None).value <= ceiling + 1e-12
    assert 0.5 <= person + 1e-12 <= ceiling + 2e-12
    # the metric that knows the votes reaches the ceiling
    known = judge.nan_to_num()
    assert two_afc_score(known, 1 - known, judge, None).value == pytest.approx(ceiling, abs=1e-6)


@given(st.lists(st.tuples(levels, levels, st.sampled_from([0.0, 1.0])), min_size=1, max_size=30))
def test_votes_that_agree_make_all_scores_one_rate(rows: list[tuple[float, float, float]]) -> None:
    distance0, distance1, judge = measured([row for row in rows if row[0] != row[1]] or [(0.0, 1.0, 0.0)])
    score = two_afc_score(distance0, distance1, judge, None)
    known = majority_accuracy(distance0, distance1, judge, None)
    accurate, inaccurate = accurate_split(distance0, distance1, judge)
    assert (score.value, score.low, score.high) == pytest.approx((known.value, known.low, known.high))
    assert (int(accurate.sum()), int((accurate | inaccurate).sum())) == (known.successes, known.n)
    assert human_ceiling(judge, None).value == one_person_score(judge, None).value == 1


def test_one_person_of_few_scores_too_high_by_the_term_of_the_docstring() -> None:
    share, count, n = 0.7, 5, 40_000
    counts = torch.binomial(
        torch.full((n,), float(count)), torch.tensor(share), generator=torch.Generator().manual_seed(0)
    )
    everybody = share**2 + (1 - share) ** 2
    expected = everybody + 2 * share * (1 - share) / count
    person = one_person_score(counts / count, None)
    assert person.low < expected < person.high
    assert person.low > everybody


def test_intervals_are_over_the_photographs_of_the_samples_with_votes() -> None:
    distance0, distance1 = torch.tensor([[2.0, 1.0]] * 12).T
    judge = torch.tensor([1.0, 0.8, NAN, 0.2, 0.6, 0.5]).repeat(2)
    photographs = [f"photograph {number // 3}" for number in range(12)]
    shares, names = (
        judge[~judge.isnan()].double(),
        [photographs[place] for place in (0, 1, 3, 4, 5, 6, 7, 9, 10, 11)],
    )
    assert two_afc_score(distance0, distance1, judge, photographs) == mean(shares, names)
    best = torch.maximum(shares, 1 - shares)
    assert human_ceiling(judge, photographs) == mean(best, names)
    assert one_person_score(judge, photographs).photographs == 4
    majority = majority_accuracy(distance0, distance1, judge, photographs)
    decided = [place for place in range(10) if shares[place] != 0.5]
    assert majority == rate(shares[decided] > 0.5, [names[place] for place in decided])
    with pytest.raises(InputError, match="photographs has shape"):
        human_ceiling(judge, photographs[1:])


def test_distances_are_those_of_the_metric_whatever_the_batch() -> None:
    metric, triplets = any_weights("lpips-squeeze"), random_triplets(7)
    expected = metric(triplets.ref, triplets.p0), metric(triplets.ref, triplets.p1)
    for batch_size in (1, 3, 256):
        for distance, known in zip(distances(metric, triplets, batch_size), expected, strict=True):
            assert not distance.requires_grad
            assert_within_rounding("lpips-squeeze", distance, known)


def test_l2_finds_the_milder_noise_closer() -> None:
    triplets = replace(random_triplets(64), judge=torch.zeros(64))
    assert majority_accuracy(*distances(any_weights("l2"), triplets), triplets.judge, None) == wilson(64, 64)


@pytest.mark.parametrize("function", [two_afc_score, majority_accuracy, accurate_split])
@pytest.mark.parametrize(
    ("distance0", "distance1", "judge", "message"),
    [
        ([1.0], [2.0], [NAN], "nobody was asked"),
        ([1.0], [2.0], [1.5], "judge leaves"),
        ([1.0], [2.0], [-0.1], "judge leaves"),
        ([1.0], [2.0, 3.0], [1.0], "differ in shape"),
        ([1.0, 2.0], [2.0, 3.0], [1.0], "judge has shape"),
        ([1.0, 2.0], [2.0, NAN], [1.0, 0.0], "Sample 1 has distances that cannot be compared, 2.0 and nan"),
        ([1.0, math.inf], [2.0, math.inf], [1.0, 0.0], "Sample 1 .* compared, inf and inf"),
        ([1.0, -math.inf], [2.0, -math.inf], [1.0, 0.0], "Sample 1 .* compared, -inf and -inf"),
        ([], [], [], "nobody was asked"),
    ],
)
def test_refused(function, distance0, distance1, judge, message: str) -> None:
    with pytest.raises(InputError, match=message):
        function(
            torch.tensor(distance0),
            torch.tensor(distance1),
            torch.tensor(judge),
            *([] if function is accurate_split else [None]),
        )


def test_nothing_to_agree_with() -> None:
    one = torch.ones(2)
    with pytest.raises(InputError, match="split evenly"):
        majority_accuracy(one, 2 * one, one / 2, None)
    for score in (human_ceiling, one_person_score):
        with pytest.raises(InputError, match="nobody was asked"):
            score(torch.full((2,), NAN), None)
    with pytest.raises(InputError, match="no triplet to measure"):
        distances(any_weights("l2"), random_triplets(2)[[]])
    with pytest.raises(InputError, match="batch_size is 0"):
        distances(any_weights("l2"), random_triplets(2), 0)


def test_one_infinite_distance_is_ranked() -> None:
    distance0, distance1 = torch.tensor([math.inf, -math.inf, math.inf]), torch.tensor([1.0, 1.0, -math.inf])
    score = two_afc_score(distance0, distance1, torch.tensor([1.0, 0.0, 1.0]), None)
    assert score == mean(torch.tensor([1.0, 1.0, 1.0]), None)


@pytest.mark.parametrize("function", [two_afc_score, majority_accuracy, accurate_split])
@pytest.mark.parametrize("given", [list, np.array, lambda values: np.array(values[::-1], np.float32)[::-1]])
def test_arrays_and_lists_do_as_tensors_do(function: Any, given: Any) -> None:
    # The second two differ by less than float32 tells apart, which no list is rounded to.
    columns: Any = ([1.0, 0.1, 3.0], [2.0, 0.1 + 1e-12, 1.0], [0.0, 0.2, 1.0])
    more = [] if function is accurate_split else [None]
    known = function(*(torch.as_tensor(np.array(given(each))) for each in columns), *more)
    assert str(function(*map(given, columns), *more)) == str(known)
    if function is majority_accuracy and given is list:
        assert known == wilson(3, 3)
    assert function([1, 2], [2, 1], [0, True], *more) is not None
    for other in (None, ["a", "b"], [1.0, None], [[1.0], [1.0, 2.0]], [1j, 2.0]):
        for place, name in enumerate(("distance0", "distance1", "judge")):
            three: list[Any] = [[1.0, 2.0], [2.0, 1.0], [0.0, 1.0]]
            three[place] = other
            with pytest.raises(InputError, match=f"{name} is a .* Give a tensor, an array or a list"):
                function(*three, *more)


def test_votes_may_be_an_array_or_a_list() -> None:
    for score in (human_ceiling, one_person_score):
        assert score([1.0, NAN, 0.0], None) == score(np.array([1.0, NAN, 0.0]), None) == score([1, 0], None)


def test_distances_need_a_metric_and_triplets() -> None:
    triplets, other = random_triplets(2), cast(Any, torch.nn.MSELoss())
    with pytest.raises(InputError, match=r"^metric is a MSELoss, .*from_callable"):
        distances(other, triplets)
    for other in (None, triplets.ref, TripletFiles((), "human")):
        with pytest.raises(InputError, match=r"^triplets is a .*open_triplets\(path\)\[:100\]"):
            distances(any_weights("l2"), cast(Any, other))
