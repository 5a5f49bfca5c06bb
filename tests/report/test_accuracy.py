"""Figures and tables of agreement: votes and distances by hand, and what a reader would see of them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from simlib import metrics
from simlib.benchmark.agreement import accurate_split, human_ceiling, one_person_score, two_afc_score
from simlib.benchmark.statistics import Share
from simlib.report.accuracy import (
    agreement_dots,
    agreement_matrix,
    agreement_table,
    by_clarity,
    by_kind,
    labelled_grid,
    missed_table,
)
from simlib.report.pictures import png_source
from simlib.triplets import DISTORTIONS, Triplets, photos
from simlib.triplets.ladders import labelled
from tests.support import random_triplets

L2, SSIM = (metrics.spec_of(name) for name in ("l2", "ssim"))
NAN = float("nan")

# five people each, and a triplet that nobody was asked about
VOTED = replace(
    random_triplets(5),
    judge=torch.tensor([1.0, 0.6, 0.0, 0.2, NAN]),
    label_source="human",
    photographs=tuple("abcde"),
    distortions=(
        ("cnn", "cnn"),
        ("cnn", "cnn"),
        ("deblur", "deblur"),
        ("deblur", "deblur"),
        ("color", "color"),
    ),
)
# L2 is always with the majority, SSIM finds p1 closer always
ONE, TWO = torch.tensor([1.0] * 5), torch.tensor([2.0] * 5)
P1_CLOSER = (TWO, ONE)
MEASURED = {
    SSIM: P1_CLOSER,
    L2: (torch.tensor([2.0, 2.0, 1.0, 1.0, 1.0]), torch.tensor([1.0, 1.0, 2.0, 2.0, 2.0])),
}
CONSTRUCTED = replace(
    VOTED, judge=(VOTED.judge > 0.5).float().where(~VOTED.judge.isnan(), NAN), label_source="constructed"
)


def value(cell: object) -> float:
    assert isinstance(cell, Share)
    return cell.value


def test_dots_stand_at_the_scores_best_on_top_and_lines_at_what_people_score() -> None:
    scores = {spec: two_afc_score(*pair, VOTED.judge, VOTED.photographs) for spec, pair in MEASURED.items()}
    figure: Any = agreement_dots(scores, VOTED)
    dots = {y: x for trace in figure.data[:4] for x, y in zip(trace.x, trace.y, strict=True)}
    # 1, 0.6, 1, 0.8 of the votes, against 1, 0.6, 0, 0.2
    assert dots == pytest.approx({"L2": 0.85, "SSIM": 0.45})
    assert figure.layout.yaxis.categoryarray == ("SSIM", "L2")
    assert [trace.name for trace in figure.data if trace.visible is not False][:2] == ["pixel", "structural"]
    person, ceiling = figure.data[4:]
    # the mean of 1, 0.36 + 0.16, 1, 0.04 + 0.64
    assert list(person.x) == pytest.approx([0.8, 0.8])
    assert list(ceiling.x) == pytest.approx([0.85, 0.85])
    assert person.name == "one more person, 80.0%"
    assert "people" in figure.layout.xaxis.title.text


def test_where_nobody_voted_nothing_is_said_of_people() -> None:
    judge = CONSTRUCTED.judge
    scores = {spec: two_afc_score(*pair, judge, None) for spec, pair in MEASURED.items()}
    figure: Any = agreement_dots(scores, CONSTRUCTED)
    assert len(figure.data) == 4
    assert figure.layout.xaxis.title.text == "agreement with the construction"
    assert agreement_table(MEASURED, CONSTRUCTED).header == (
        "metric",
        "agreement, constructed",
        "as labelled",
        "otherwise",
    )
    matrix: Any = agreement_matrix(MEASURED, CONSTRUCTED, by_kind(CONSTRUCTED), "kind").data[0]
    assert list(matrix.y) == ["L2", "SSIM"]


def test_the_table_has_scores_majorities_and_counts_best_on_top() -> None:
    first, second = agreement_table(MEASURED, VOTED).rows
    assert (first[0], *first[3:]) == ("L2", 4, 0)
    assert (second[0], *second[3:]) == ("SSIM", 2, 2)
    assert list(map(value, first[1:3])) == pytest.approx([0.85, 1.0])
    assert list(map(value, second[1:3])) == pytest.approx([0.45, 0.5])


def test_the_matrix_splits_the_scores_and_leaves_out_groups_without_votes() -> None:
    figure: Any = agreement_matrix(MEASURED, VOTED, by_kind(VOTED), "kind of triplet")
    (matrix,) = figure.data
    assert list(matrix.x) == ["cnn", "deblur"]
    assert list(matrix.y) == ["ceiling", "one more person", "L2", "SSIM"]
    expected = [[0.8, 0.9], [0.76, 0.84], [0.8, 0.9], [0.8, 0.1]]
    assert [value for row in matrix.z for value in row] == pytest.approx(
        [each for row in expected for each in row]
    )
    assert "SSIM: cnn 80, deblur 10" in figure.layout.meta["alt"]
    assert figure.layout.xaxis.title.text == "kind of triplet"
    votes = VOTED.judge[:2]
    assert matrix.z[0][0] == pytest.approx(human_ceiling(votes, None).value)
    assert matrix.z[1][0] == pytest.approx(one_person_score(votes, None).value)


def test_triplets_with_votes_are_grouped_by_folder_and_by_majority() -> None:
    kinds = {name: mask for name, mask in by_kind(VOTED).items() if any(mask)}
    assert kinds == {
        "cnn": [True, True, False, False, False],
        "deblur": [False, False, True, True, False],
        "color": [False, False, False, False, True],
    }
    assert by_clarity(VOTED) == {
        "up to 65 %": [False, True, False, False, False],
        "65 to 85 %": [False, False, False, True, False],
        "over 85 %": [True, False, True, False, False],
    }


def test_ladders_are_grouped_by_every_distortion_and_by_their_ratio() -> None:
    ladders = labelled("photos", 6, ratios=[1.5, 1.1])
    kinds = by_kind(ladders)
    assert list(kinds) == [each.title for each in DISTORTIONS.values()]
    for title, mask in kinds.items():
        assert mask == [title in first for first, _ in ladders.distortions]
    assert by_clarity(ladders) == {
        "1.1 times": [False] * 3 + [False, True] * 3,
        "1.5 times": [False] * 3 + [True, False] * 3,
        "2 times or more": [True] * 3 + [False] * 6,
    }


def test_misses_are_counted_over_metrics_and_named_by_what_was_done() -> None:
    drawn = replace(
        photos(4),
        judge=torch.tensor([1.0, 1.0, 0.0, NAN]),
        distortions=(
            ("JPEG 0.61", "JPEG 0.19"),
            ("JPEG 0.20, then Warp 0.30", "Contrast 0.40"),
            ("JPEG 0.10", "JPEG 0.30"),
            ("Warp 0.10", "Warp 0.30"),
        ),
    )
    pairs = {L2: (torch.tensor([1.0, 1, 2, 2]), torch.tensor([2.0, 2, 1, 1])), SSIM: (TWO[:4], ONE[:4])}
    missed = torch.stack([accurate_split(*pair, drawn.judge)[1] for pair in pairs.values()])
    assert missed_table(missed, list(pairs), drawn).rows == (
        ("JPEG", 2, "3 (75.0%)", "L2, 2 of 2"),
        ("Contrast against JPEG, then Warp", 1, "1 (50.0%)", "L2, 1 of 1"),
    )
    assert len(missed_table(missed, list(pairs), drawn, most=1).rows) == 1


@pytest.mark.parametrize(("triplets", "word"), [(VOTED, "voted"), (CONSTRUCTED, "labelled")])
def test_the_image_in_the_middle_is_the_closer_one_by_its_label(triplets: Triplets, word: str) -> None:
    figure: Any = labelled_grid(triplets, [0, 2])
    images = [
        triplets.ref[0],
        triplets.p1[0],
        triplets.p0[0],
        triplets.ref[2],
        triplets.p0[2],
        triplets.p1[2],
    ]
    assert [trace.source for trace in figure.data] == [png_source(image) for image in images]
    titles = ["reference", f"{word} closer", f"{word} farther"]
    assert [note.text for note in figure.layout.annotations] == titles * 2
