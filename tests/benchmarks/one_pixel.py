"""One-pixel: batched against SciPy's differential evolution one triplet at a time, equal evaluations."""

from __future__ import annotations

import statistics
from typing import Any

import torch
from scipy.optimize import differential_evolution
from tqdm import tqdm

from simlib.attacks import OnePixel, RankFlip
from simlib.kernels.images import LEVELS
from simlib.metrics import Metric
from simlib.metrics.deep import FeatureDistance
from simlib.triplets import Triplets, photos
from tests.benchmarks.alone import as_published
from tests.benchmarks.timing import circumstances, faster_thread_count, seconds
from tests.oracles import Distance

ROUNDS = 5
TRIPLETS_ON_CPU, TRIPLETS_ON_GPU = 12, 256
"""Attacked at once by ours; a GPU needs more to be busy."""

MEMBERS_A_COORDINATE = 10
POPULATION = 5 * MEMBERS_A_COORDINATE
GENERATIONS = 4
EVALUATIONS = POPULATION * (GENERATIONS + 1)
"""Candidates of every triplet on both sides: neither stops at a flip, nor where a population has met."""


def measure(metric: Metric, device: torch.device) -> dict[str, Any]:
    """Return the figures of the one-pixel attack as they stand in ``bench.json``."""
    assert isinstance(metric, FeatureDistance)
    threads = torch.get_num_threads()
    triplets = photos(TRIPLETS_ON_GPU if device.type == "cuda" else TRIPLETS_ON_CPU).to(device=device)
    problem = RankFlip(metric, triplets)
    distance = as_published(metric).to(device)
    slow_threads = faster_thread_count(lambda: flips_alone(distance, triplets[0], generations=1), threads)
    attack = OnePixel(population=POPULATION, generations=GENERATIONS, early_stop=False)
    seconds(lambda: attack(problem))
    results, alone, ratios = [], list[bool](), []
    for index in tqdm(range(ROUNDS), desc="one-pixel, batched and one by one", unit="round"):
        torch.set_num_threads(slow_threads)
        one_by_one = seconds(lambda i=index: alone.append(flips_alone(distance, triplets[i])))
        torch.set_num_threads(threads)
        batched = seconds(lambda: results.append(attack(problem))) / len(triplets)
        ratios.append(one_by_one / batched)
    assert all((result.forwards == EVALUATIONS).all() for result in results)
    return {
        "ratio": statistics.median(ratios),
        "ratios": ratios,
        "evaluations": EVALUATIONS,
        "flipped_one_by_one": sum(alone),
        "flipped": int(results[-1].flipped[:ROUNDS].sum()),
        "triplets_one_by_one": ROUNDS,
        "triplets": len(triplets),
        "milliseconds_per_triplet": 1e3
        * statistics.median(result.seconds for result in results)
        / len(triplets),
        **circumstances(metric, device),
        "threads_one_by_one": slow_threads,
    }


@torch.no_grad()
def flips_alone(distance: Distance, triplet: Triplets, *, generations: int = GENERATIONS) -> bool:
    """Attack one triplet in [-1, 1], with two distances for every candidate, and say whether it flips."""
    ref, p0, p1 = (image * 2 - 1 for image in (triplet.ref, triplet.p0, triplet.p1))
    attacked, other = (p1, p0) if distance(ref, p0) > distance(ref, p1) else (p0, p1)
    height, width = ref.shape[-2:]

    def loss(candidate: Any) -> float:
        row, column, *color = candidate.tolist()
        image = attacked.clone()
        place = (0, slice(None), min(int(row), height - 1), min(int(column), width - 1))
        image[place] = image.new_tensor([round(value * LEVELS) / LEVELS * 2 - 1 for value in color])
        return float(distance(ref, other) - distance(ref, image))

    found = differential_evolution(
        loss,
        [(0, height), (0, width), (0, 1), (0, 1), (0, 1)],
        popsize=MEMBERS_A_COORDINATE,
        maxiter=generations,
        tol=0,
        polish=False,
        updating="deferred",
        seed=0,  # pyright: ignore[reportCallIssue]
    )
    assert found.nfev == POPULATION * (generations + 1)
    return bool(found.fun < 0)
