"""stAdv with the paper's settings: batched against SciPy's L-BFGS-B one triplet at a time."""

from __future__ import annotations

import statistics
from functools import partial
from typing import Any

import torch
from tqdm import tqdm

from simlib.attacks import AttackResult, RankFlip, StAdv
from simlib.kernels.flow import smoothness
from simlib.metrics import Metric
from simlib.metrics.deep import FeatureDistance
from simlib.triplets import Triplets, photos
from tests.benchmarks.alone import as_published, one_at_a_time, symmetric
from tests.benchmarks.timing import circumstances, faster_thread_count, seconds
from tests.oracles import Distance, Moved, stadv_one_by_one

TRIPLETS = 256
ROUNDS = 4
SHARE = 16
"""Triplets attacked one by one in a round; all of them would take half an hour."""


def measure(metric: Metric, device: torch.device) -> dict[str, Any]:
    """Return the figures of stAdv as they stand in ``bench.json``."""
    assert isinstance(metric, FeatureDistance)
    threads = torch.get_num_threads()
    triplets = photos(TRIPLETS).to(device=device)
    problem = RankFlip(metric, triplets)
    distance = as_published(metric).to(device)
    slow_threads = faster_thread_count(lambda: attack_some(distance, triplets[:1]), threads)
    attack_all = partial(StAdv(), problem, protocol="paper", batch_size=TRIPLETS)
    seconds(attack_all)
    alone, times, batched = list[Moved](), [], list[AttackResult]()
    ratios = []
    for start in tqdm(range(0, ROUNDS * SHARE, SHARE), desc="stAdv, batched and one by one", unit="round"):
        # The shares are spread over the set, so that each holds easy and hard triplets alike.
        some = triplets[list(range(start // SHARE, TRIPLETS, TRIPLETS // SHARE))]
        torch.set_num_threads(slow_threads)
        one_by_one = seconds(lambda some=some: alone.extend(attack_some(distance, some))) / SHARE
        torch.set_num_threads(threads)
        times.append(seconds(lambda: batched.append(attack_all())) / TRIPLETS)
        ratios.append(one_by_one / times[-1])
    same = [index for start in range(ROUNDS) for index in range(start, TRIPLETS, TRIPLETS // SHARE)]
    flips_alone = torch.tensor([found.flipped for found in alone])
    flips, flows = batched[-1].flipped.cpu()[same], batched[-1].details["flow"].cpu()[same]
    return {
        "ratio": statistics.median(ratios),
        "ratios": ratios,
        "flipped_of_those": int(flips.sum()),
        "flipped_one_by_one": int(flips_alone.sum()),
        "triplets_one_by_one": len(alone),
        "smoothness_of_flipped": mean(smoothness(flows)[flips].tolist()),
        "smoothness_of_flipped_one_by_one": mean([found.smoothness for found in alone if found.flipped]),
        "flipped": int(batched[-1].flipped.sum()),
        "triplets": TRIPLETS,
        "milliseconds_per_triplet": 1e3 * statistics.median(times),
        **circumstances(metric, device),
        "threads_one_by_one": slow_threads,
    }


def attack_some(distance: Distance, triplets: Triplets) -> list[Moved]:
    """Attack triplets one at a time; the metric takes images in [-1, 1]."""
    return [stadv_one_by_one(distance, *images, to_metric=symmetric) for images in one_at_a_time(triplets)]


def mean(values: list[float]) -> float | None:
    """Return the mean, None of nothing."""
    return statistics.mean(values) if values else None
