"""How time and memory grow with the number of triplets, at a batch that stays the same."""

from __future__ import annotations

import ctypes
import gc
import statistics
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from simlib.attacks import PGD, RankFlip
from simlib.metrics import Metric
from simlib.triplets import photos
from tests.benchmarks.timing import circumstances, seconds

NUMBERS = (256, 1024, 4096)
ROUNDS = 3
BATCH, STEPS = 256, 2
MEGABYTE = 2**20
CLEAR, STATUS = Path("/proc/self/clear_refs"), Path("/proc/self/status")


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
    return PGD(step=1 / 255, steps=STEPS, early_stop=False)(problem, batch_size=BATCH)


def working_megabytes(problem: RankFlip, device: torch.device) -> float | None:
    """Return the most memory that an attack holds beyond its input and its result; None if unknown."""
    before = start_counting(device)
    result = attack(problem)
    peak = most_held(device)
    if before is None or peak is None:
        return None
    tensors = [value for value in vars(result).values() if isinstance(value, torch.Tensor)]
    return (peak - before - sum(tensor.nbytes for tensor in tensors)) / MEGABYTE


def start_counting(device: torch.device) -> int | None:
    """Give back what is free, forget the most held so far, and return the bytes held now."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)
        return torch.cuda.memory_allocated(device)
    if not CLEAR.exists():
        return None
    # The C library keeps what was freed, and would hand it out again unseen.
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
    CLEAR.write_text("5")
    return from_status("VmRSS")


def most_held(device: torch.device) -> int | None:
    """Return the most bytes held since counting started."""
    return torch.cuda.max_memory_allocated(device) if device.type == "cuda" else from_status("VmHWM")


def from_status(key: str) -> int | None:
    """Read one entry, in bytes, of what Linux tells of this process."""
    if not STATUS.exists():
        return None
    lines = dict(line.split(":", 1) for line in STATUS.read_text().splitlines())
    return int(lines[key].split()[0]) * 1024
