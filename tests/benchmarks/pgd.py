"""PGD with the paper's settings: batched against one triplet at a time, and a step against the network."""

from __future__ import annotations

import statistics
from functools import partial
from typing import Any

import torch
from tqdm import tqdm

from simlib.attacks import PGD, AttackResult, RankFlip
from simlib.attacks.gradient import PAPER_EPS, PAPER_STEP
from simlib.attacks.objective import margin_and_gradient
from simlib.kernels.projection import project_linf
from simlib.metrics import Metric
from simlib.metrics.deep import FeatureDistance
from simlib.triplets import Triplets, photos
from tests.benchmarks.alone import as_published, one_at_a_time, symmetric
from tests.benchmarks.timing import circumstances, faster_thread_count, median_ratio, seconds
from tests.oracles import Distance, OneByOne, pgd_one_by_one

TRIPLETS = 256
ROUNDS = 4


def measure(metric: Metric, device: torch.device) -> dict[str, Any]:
    """Return the figures of PGD as they stand in ``bench.json``."""
    assert isinstance(metric, FeatureDistance)
    threads = torch.get_num_threads()
    triplets = photos(TRIPLETS).to(device=device)
    problem = RankFlip(metric, triplets)
    distance = as_published(metric).to(device)
    slow_threads = faster_thread_count(lambda: attack_some(distance, triplets[:4]), threads)
    attack_all = partial(PGD(), problem, protocol="paper", batch_size=TRIPLETS)
    seconds(attack_all)
    share = TRIPLETS // ROUNDS
    ratios, alone, batched = [], list[OneByOne](), list[AttackResult]()
    for start in tqdm(range(0, TRIPLETS, share), desc="PGD, batched and one by one", unit="round"):
        torch.set_num_threads(slow_threads)
        one_by_one = seconds(lambda s=start: alone.extend(attack_some(distance, triplets[s : s + share])))
        torch.set_num_threads(threads)
        ratios.append((one_by_one / share) / (seconds(lambda: batched.append(attack_all())) / TRIPLETS))
    flips_alone = torch.tensor([found.flipped for found in alone])
    return {
        "ratio": statistics.median(ratios),
        "ratios": ratios,
        "overhead": step_overhead(distance.net, problem),
        "overhead_over_own_network": step_overhead(metric.backbone, problem),
        "same_flips": float((batched[-1].flipped.cpu() == flips_alone).float().mean()),
        "flipped": int(batched[-1].flipped.sum()),
        "triplets": TRIPLETS,
        "milliseconds_per_triplet": 1e3 * statistics.median(result.seconds for result in batched) / TRIPLETS,
        **circumstances(metric, device),
        "threads_one_by_one": slow_threads,
    }


def attack_some(distance: Distance, triplets: Triplets) -> list[OneByOne]:
    """Attack triplets one at a time, in [-1, 1]."""
    return [pgd_one_by_one(distance, *map(symmetric, images)) for images in one_at_a_time(triplets)]


def step_overhead(network: Any, problem: RankFlip) -> float:
    """Return the time of a step of PGD over that of a network alone, forward and backward."""
    batch = problem.batch()

    def step() -> torch.Tensor:
        _, gradient = margin_and_gradient(batch, batch.original, "share")
        return project_linf(batch.original.add(gradient.sign(), alpha=PAPER_STEP), batch.original, PAPER_EPS)

    def bare() -> torch.Tensor:
        images = batch.original.detach().requires_grad_()
        total = torch.stack([layer.sum() for layer in network(images)]).sum()
        return torch.autograd.grad(total, images)[0]

    return median_ratio(step, bare, rounds=15)
