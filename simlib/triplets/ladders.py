"""Harder ladders, and the triplets with labels that metrics are held against.

In a ladder both images underwent the same distortion with the same draw, one of them more strongly. In those
of :func:`simlib.triplets.photos.photos` it is at least twice as strong; in those made here the factor is
closer to one.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch

from simlib.errors import InputError
from simlib.kernels.checks import require_count
from simlib.kernels.projection import round_to_8bit
from simlib.triplets.distortions import DISTORTIONS, apply, describe
from simlib.triplets.photos import photos
from simlib.triplets.sources import open_triplets
from simlib.triplets.triplets import Triplets

_MILDER = (0.15, 0.45)
_MOST = 1 / _MILDER[1]
# Between the name of a triplet and the factor, in the name of the ladder that is made from its reference.
_HARDER = "-harder-by-"


def labelled(data: str | os.PathLike[str], n: int, *, seed: int = 0, ratios: Sequence[float]) -> Triplets:
    """Return triplets to hold metrics against: votes of all kinds, and ladders where nobody voted.

    Unlike :func:`simlib.triplets.draw`, this does not keep to the clear winners of BAPPS, for a score on them
    alone would be too high.

    Args:
        data: ``"photos"`` takes the ladders among n triplets of the embedded set, and after them a harder
            ladder from each of the n references; ``"bapps"`` and paths draw from all that
            :func:`simlib.triplets.open_triplets` finds there.
        n: how many are drawn, at least 1; fewer if a path holds fewer.
        seed: chooses another draw, at least 0.
        ratios: as for :func:`harder_ladders`.

    Raises:
        AbsentError, InputError, UnknownNameError: as for these functions.
    """
    require_count("n", n)
    require_count("seed", seed, 0)
    if data == "photos":
        drawn = photos(n, seed=seed)
        return Triplets.concatenate(
            [drawn[~drawn.judge.isnan()], harder_ladders(drawn, ratios=ratios, seed=seed)]
        )
    stored = open_triplets(data)
    return stored[np.random.default_rng(seed).permutation(len(stored))[:n]]


def harder_ladders(drawn: Triplets, *, ratios: Sequence[float], seed: int = 0) -> Triplets:
    """Distort each reference twice, by one distortion and the same draw; the second image is the milder.

    Args:
        drawn: whose references are taken, one after the other; their distorted images are not looked at.
        ratios: how many times as strong the stronger image is, above 1 and at most 2.2; taken in turn.
        seed: of the strengths and of the draws.

    Returns:
        As many triplets, of 8 bits; judge is 1, and :func:`ladder_ratio` knows their ratios.

    Raises:
        InputError: no ratio, or one out of its range.
    """
    require_count("seed", seed, 0)
    wrong = [ratio for ratio in ratios if not 1 < ratio <= _MOST]
    if wrong or not ratios:
        raise InputError(f"ratios: {wrong or 'none'}. Give numbers above 1, and at most {_MOST:.2g}.")
    pairs, images, names = [], [], []
    for i, ref in enumerate(drawn.ref.cpu()):
        name, ratio = list(DISTORTIONS)[i // len(ratios) % len(DISTORTIONS)], ratios[i % len(ratios)]
        milder = float(np.random.default_rng([seed, i]).uniform(*_MILDER))
        steps = [[(name, ratio * milder)], [(name, milder)]]
        patch = ref.permute(1, 2, 0).double().numpy()
        images.append([apply(patch, each, np.random.default_rng([seed, i, 1])) for each in steps])
        pairs.append((describe(steps[0]), describe(steps[1])))
        names.append(f"{drawn.names[i]}{_HARDER}{ratio:g}")
    distorted = torch.from_numpy(np.stack(images)).permute(1, 0, 4, 2, 3).to(drawn.ref)
    p0, p1 = map(round_to_8bit, distorted)
    judge = torch.ones_like(drawn.judge)
    return replace(
        drawn,
        p0=p0,
        p1=p1,
        judge=judge,
        names=tuple(names),
        distortions=tuple(pairs),
        label_source="constructed",
    )


def ladder_ratio(name: str) -> float | None:
    """Return how many times as strong the stronger image of a harder ladder is, from the triplet's name.

    None is returned for all other triplets.
    """
    _, harder, ratio = name.rpartition(_HARDER)
    return float(ratio) if harder else None
