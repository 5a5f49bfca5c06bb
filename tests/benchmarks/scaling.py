"""How time and memory grow with the number of triplets, at a batch that stays the same."""

from __future__ import annotations

import statistics
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from simlib.attacks import RankFlip, pgd
from simlib.metrics import Metric
from simlib.triplets import photos
from tests.benchmarks.timing import circumstances, seconds

NUMBERS = (256, 1024, 4096)
ROUNDS = 3
BATCH, STEPS = 256, 2
MEGABYTE = 2**20


def measure(metric: Metric, device: torch.device) -> dict[str, Any]:
    """Return time for each triplet, and working memory, by the number of triplets."""
    everything = photos(max(NUMBERS)).to(device=device)
    problems = {n: RankFlip(metric, everything[:n]) for n in NUMBERS}
    attack(problems[NUMBERS[0]])
    times: dict[int, list[float]] = {n: [] for n in NUMBERS}
    memory: dict[int, float | None] = {}
    for _ in tqdm(range(ROUNDS), desc="PGD on more and more triplets", unit="round"):
        for n, problem in problems.items():
            # The smaller numbers are repeated, so that each has about the same time to be disturbed.
            taken = [seconds(lambda problem=problem: attack(problem)) for _ in range(max(1, 1024 // n))]
            times[n].append(1e3 * statistics.median(taken) / n)
    for n, problem in problems.items():
        memory[n] = working_megabytes(problem, device)
    medians = {n: statistics.median(values) for n, values in times.items()}
    growth = statistics.median(
        last / first for first, last in zip(times[NUMBERS[0]], times[NUMBERS[-1]], strict=True)
    )
    return {
        "milliseconds_per_triplet": {str(n): value for n, value in medians.items()},
        "growth": growth,
        "working_megabytes": {str(n): value for n, value in memory.items()},
        "batch": BATCH,
        "steps": STEPS,
        **circumstances(metric, device),
    }


def attack(problem: RankFlip) -> Any:
    """Take all steps on all triplets, so that every batch costs the same."""
    return pgd(problem, steps=STEPS, early_stop=False, batch_size=BATCH)


def working_megabytes(problem: RankFlip, device: torch.device) -> float | None:
    """Return the most memory that an attack holds beyond its input and its result; None if unknown."""
    reset_peak(device)
    before = current_and_peak(device)[0]
    result = attack(problem)
    after, peak = current_and_peak(device)
    if peak is None or before is None or after is None:
        return None
    del result
    return (peak - max(before, after)) / MEGABYTE


def reset_peak(device: torch.device) -> None:
    """Forget the most memory held so far, where the system lets us."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    elif Path("/proc/self/clear_refs").exists():
        Path("/proc/self/clear_refs").write_text("5")


def current_and_peak(device: torch.device) -> tuple[int | None, int | None]:
    """Return bytes held now, and the most held since the last reset."""
    if device.type == "cuda":
        return torch.cuda.memory_allocated(device), torch.cuda.max_memory_allocated(device)
    status = Path("/proc/self/status")
    if not status.exists():
        return None, None
    lines = dict(line.split(":", 1) for line in status.read_text().splitlines())
    now, peak = (int(lines[key].split()[0]) * 1024 for key in ("VmRSS", "VmHWM"))
    return now, peak
