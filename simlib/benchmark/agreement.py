"""How well a metric agrees with labels, and how well anything could.

``judge`` is the share of people who find p1 more similar. NaN, where nobody was asked, is left out; the n of
a result says how many stayed. Where labels are constructed, the same numbers say how well a metric agrees
with the construction, and nothing about people. Intervals are over photographs, as by
:func:`simlib.benchmark.statistics.rate`.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from simlib.attacks.driver import BATCH_SIZE
from simlib.attacks.ranking import Ranking
from simlib.benchmark.statistics import Mean, Rate, Values, grouped, mean, rate
from simlib.errors import InputError, UndefinedDistanceError
from simlib.kernels.checks import require_count
from simlib.kernels.images import validate_alike
from simlib.metrics import Metric, require_metric
from simlib.progress import PATIENCE, Bar
from simlib.triplets import Triplets, require_triplets


def distances(metric: Metric, triplets: Triplets, batch_size: int = BATCH_SIZE) -> tuple[Tensor, Tensor]:
    """Return the distances (N,) of p0 and of p1 from the reference, so many triplets at once.

    Raises:
        InputError: if there is no metric or no triplet, the metric refuses them, or the batch size is no
            count.
        UndefinedDistanceError: if the distances of a triplet cannot be compared.
    """
    require_metric(metric, "metric")
    require_triplets(triplets)
    if len(triplets) == 0:
        raise InputError("There is no triplet to measure. Give at least one.")
    require_count("batch_size", batch_size)
    metric.validate(triplets.ref)
    first, second = [], []
    with Bar(total=len(triplets), desc=metric.spec.title, unit="triplet", delay=PATIENCE, leave=False) as bar:
        for start in range(0, len(triplets), batch_size):
            ranking = Ranking.look(metric, triplets[start : start + batch_size])
            first.append(ranking.distance0)
            second.append(ranking.distance1)
            bar.update(len(ranking))
    return torch.cat(first), torch.cat(second)


def two_afc_score(distance0: Values, distance1: Values, judge: Values, photographs: Values | None) -> Mean:
    """Return the share of votes that the metric's choice gets, on average over the samples.

    A sample counts judge where the metric finds p1 closer, 1 - judge where it finds p0 closer, and one half
    where it finds them equally close. Source: Zhang et al. 2018, two alternative forced choice.
    Instead of tensors, arrays and lists will do.

    Args:
        distance0: distances (N,) of p0 from the references.
        distance1: distances (N,) of p1, likewise.
        judge: (N,) share of votes for p1 in [0, 1], or NaN.
        photographs: (N,), by name or number; None where samples are independent.

    Raises:
        InputError: if no sample has votes, or the arguments are not as above.
        UndefinedDistanceError: if a distance is NaN, or both of a sample are the same infinity.
    """
    choice, votes, asked = _choices(distance0, distance1, judge)
    return mean(0.5 + choice * (votes - 0.5), _of(photographs, asked))


def majority_accuracy(
    distance0: Values, distance1: Values, judge: Values, photographs: Values | None
) -> Rate:
    """Return the share of samples that the metric ranks as the majority does.

    Samples whose votes are split evenly have no majority and are left out. Where the metric finds both
    images equally close, that counts as wrong. Arguments are as of :func:`two_afc_score`.

    Raises:
        InputError: if no sample has a majority, or the arguments are not as above.
    """
    choice, votes, asked = _choices(distance0, distance1, judge)
    majority = (votes - 0.5).sign()
    if not bool(majority.any()):
        raise InputError("The votes are split evenly on every sample. Give samples with a majority.")
    return rate(choice == majority, _of(photographs, asked), majority != 0)


def accurate_split(distance0: Values, distance1: Values, judge: Values) -> tuple[Tensor, Tensor]:
    """Separate the samples that the metric ranks as labelled from those that it does not.

    As released with Ghildyal & Liu 2023: the rank is distance0 > distance1, the label is judge > 1/2, and a
    sample is accurate where they are equal. So a tie, of the metric or of the votes, counts as p0.

    Returns:
        Two masks (N,) on the processor, accurate and inaccurate; samples without votes are in neither.

    Raises:
        InputError: as :func:`two_afc_score`, whose arguments these are.
    """
    choice, votes, asked = _choices(distance0, distance1, judge)
    accurate = asked.clone()
    accurate[asked] = (choice > 0) == (votes > 0.5)
    return accurate, asked & ~accurate


def human_ceiling(judge: Values, photographs: Values | None) -> Mean:
    """Return the best 2AFC score that is possible on these votes: always to choose with the majority."""
    votes, asked = _votes(judge)
    return mean(torch.maximum(votes, 1 - votes), _of(photographs, asked))


def one_person_score(judge: Values, photographs: Values | None) -> Mean:
    """Return the 2AFC score to expect of one more person, who chooses p1 as often as those who were asked.

    That is judge^2 + (1 - judge)^2, the human score of Zhang et al. 2018. Shares of few votes scatter about
    the share p among everybody, which makes this a little too high: by 2 p (1 - p) / k on average, for k
    votes on a sample.
    """
    votes, asked = _votes(judge)
    return mean(votes.square() + (1 - votes).square(), _of(photographs, asked))


def _votes(judge: Values) -> tuple[Tensor, Tensor]:
    """Return the votes of the samples that have some, and the mask (N,) of these; on the processor."""
    judge = _tensor_of(judge, "judge").detach().cpu()
    asked = ~judge.isnan()
    votes = judge[asked].double()
    if len(votes) == 0:
        raise InputError("judge is NaN on every sample: nobody was asked. Give samples with votes.")
    if float(votes.min()) < 0 or float(votes.max()) > 1:
        raise InputError("judge leaves [0, 1]. Give the share of votes for p1, NaN where nobody was asked.")
    return votes, asked


def _of(photographs: Values | None, asked: Tensor) -> Values | None:
    """Return the photographs of the samples that have votes."""
    return None if photographs is None else grouped(photographs, len(asked))[asked.numpy()]


def _choices(distance0: Values, distance1: Values, judge: Values) -> tuple[Tensor, Tensor, Tensor]:
    """Return what the metric chooses, +1 for p1, -1 for p0, 0 for neither; and what :func:`_votes` does."""
    distance0, distance1 = _tensor_of(distance0, "distance0"), _tensor_of(distance1, "distance1")
    judge = _tensor_of(judge, "judge")
    validate_alike(distance0, "distance0", distance1, "distance1")
    if judge.shape != distance0.shape or judge.ndim != 1:
        raise InputError(
            f"judge has shape {tuple(judge.shape)}, the distances {tuple(distance0.shape)}. Give (N,) each."
        )
    bad = (distance0 - distance1).isnan().nonzero().flatten().tolist()
    if bad:
        first, second = (float(each[bad[0]]) for each in (distance0, distance1))
        raise UndefinedDistanceError(
            f"Sample {bad[0]} has distances that cannot be compared, {first} and {second}. Find where they "
            "arise; leave the sample out."
        )
    votes, asked = _votes(judge)
    choice = (distance0 > distance1).int() - (distance0 < distance1).int()
    return choice.cpu()[asked], votes, asked


def _tensor_of(values: Values, name: str) -> Tensor:
    """Return numbers as a tensor of floats; those of a list are doubles, as they are in Python."""
    try:
        tensor = values if isinstance(values, Tensor) else torch.as_tensor(np.array(values))
    except (TypeError, ValueError, RuntimeError):
        tensor = None
    if tensor is None or tensor.is_complex():
        raise InputError(
            f"{name} is a {type(values).__name__} that holds something else than real numbers. Give a "
            "tensor, an array or a list of N numbers."
        )
    return tensor if tensor.is_floating_point() else tensor.double()
