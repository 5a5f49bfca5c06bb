"""Differential evolution: against SciPy's at equal evaluations, and every sample on its own."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import differential_evolution
from torch import Tensor

from simlib.errors import InputError
from simlib.kernels.evolution import DifferentialEvolution, evaluate_in_chunks
from simlib.kernels.noise import Draws

Function = Callable[[Tensor], Tensor]


def sphere(x: Tensor) -> Tensor:
    return x.square().sum(dim=-1)


def rosenbrock(x: Tensor) -> Tensor:
    return (100 * (x[..., 1:] - x[..., :-1].square()).square() + (1 - x[..., :-1]).square()).sum(dim=-1)


def rastrigin(x: Tensor) -> Tensor:
    return (x.square() - 10 * (2 * math.pi * x).cos() + 10).sum(dim=-1)


def ackley(x: Tensor) -> Tensor:
    bowl = -20 * (-0.2 * x.square().mean(dim=-1).sqrt()).exp()
    return bowl - (2 * math.pi * x).cos().mean(dim=-1).exp() + 20 + math.e


def box(dimensions: int, side: float = 5.0) -> tuple[Tensor, Tensor]:
    upper = torch.full((dimensions,), side, dtype=torch.float64)
    return -upper + 0.3, upper


def started(names: str | list[str], population: int, dimensions: int, seed: int = 0) -> DifferentialEvolution:
    return DifferentialEvolution(*box(dimensions), Draws([*names], seed), population=population)


@pytest.mark.parametrize("function", [sphere, rosenbrock, rastrigin, ackley])
def test_as_good_as_scipy_at_equal_evaluations(function: Function) -> None:
    dimensions, population, generations, runs = 5, 50, 60, 15
    lower, upper = (bound.tolist() for bound in box(dimensions))
    scipys = []
    for seed in range(runs):
        found = differential_evolution(
            lambda x: function(torch.from_numpy(x.T)).numpy(),
            list(zip(lower, upper, strict=True)),
            popsize=population // dimensions,
            maxiter=generations,
            seed=seed,  # pyright: ignore[reportCallIssue]
            tol=0,
            polish=False,
            updating="deferred",
            vectorized=True,
        )
        # SciPy counts calls, each with a whole population.
        assert found.nfev == generations + 1
        scipys.append(found.fun)
    search = started([f"run {run}" for run in range(4 * runs)], population, dimensions)
    for _ in range(generations + 1):
        search.tell(function(search.ask()))
    ours, theirs = search.best_value.log10(), torch.tensor(scipys).log10()
    # Both spread over about an order of magnitude from run to run.
    assert abs(ours.median() - theirs.median()) < 0.5
    assert abs(ours.quantile(0.9) - theirs.quantile(0.9)) < 0.8


def test_each_sample_solves_its_own_problem() -> None:
    centres = torch.tensor([[1.0, -2.0], [3.0, 0.5], [-4.0, 4.0]], dtype=torch.float64)
    search = started("abc", 20, 2)
    for _ in range(60):
        search.tell(sphere(search.ask() - centres.unsqueeze(1)))
    torch.testing.assert_close(search.best, centres, atol=1e-4, rtol=0)


def test_best_is_the_best_of_all_that_were_asked() -> None:
    search = started("ab", 10, 3)
    assert torch.isinf(search.best_value).all()
    asked, told = [], []
    for _ in range(12):
        asked.append(search.ask())
        assert torch.equal(search.ask(), asked[-1])
        told.append(rastrigin(asked[-1]))
        search.tell(told[-1])
        values, candidates = torch.cat(told, dim=1), torch.cat(asked, dim=1)
        least, where = values.min(dim=1)
        assert torch.equal(search.best_value, least)
        assert torch.equal(search.best, candidates[torch.arange(2), where])


def test_start_is_a_latin_hypercube() -> None:
    population = 17
    search = started("abc", population, 4)
    lower, upper = box(4)
    strata = ((search.ask() - lower) / (upper - lower) * population).floor()
    ranks = torch.arange(population, dtype=strata.dtype).view(1, -1, 1).expand_as(strata)
    assert torch.equal(strata.sort(dim=1).values, ranks)
    assert not torch.equal(strata[0], strata[1])


@pytest.mark.parametrize("population", [3, 4, 11])
def test_partners_are_neither_the_target_nor_each_other_and_evenly_drawn(population: int) -> None:
    search = started([f"{index}" for index in range(2000)], population, 1)
    first, second = search._partners()  # pyright: ignore[reportPrivateUsage]
    own = torch.arange(population)
    assert ((first != own) & (second != own) & (first != second)).all()
    pairs = (population - 1) * (population - 2)
    for member in range(population):
        drawn = first[:, member] * population + second[:, member]
        counts = drawn.bincount(minlength=population**2)
        assert (counts > 0).sum() == pairs
        assert counts.max() < 2000 / pairs + 6 * math.sqrt(2000 / pairs)


def test_trials_are_the_best_plus_a_scaled_difference() -> None:
    # With three members the partners of each are the other two, so every mutant lies on a known line.
    search = DifferentialEvolution(*box(2, side=1e6), Draws(["a"], seed=3), population=3)
    members = search.ask()[0]
    search.tell(torch.tensor([[3.0, 1.0, 2.0]], dtype=torch.float64))
    trials = search.ask()[0]
    lower, upper = box(2, side=1e6)
    for target in range(3):
        a, b = (index for index in range(3) if index != target)
        for axis in range(2):
            scale = (trials[target, axis] - members[1, axis]) / (members[a, axis] - members[b, axis])
            kept = trials[target, axis] == members[target, axis]
            bred = 0.5 - 1e-9 <= abs(float(scale)) < 1 + 1e-9
            reach = (members[a, axis] - members[b, axis]).abs()
            redrawn = (members[1, axis] + reach > upper[axis]) | (members[1, axis] - reach < lower[axis])
            assert kept or bred or redrawn
        assert not torch.equal(trials[target], members[target])


def test_ties_are_won_by_the_newcomer() -> None:
    search = started("a", 5, 2)
    flat = torch.zeros(1, 5, dtype=torch.float64)
    search.tell(flat)
    trials = search.ask()
    search.tell(flat)
    assert torch.equal(search.best[0], trials[0, 0])


def test_samples_do_not_depend_on_each_other_and_leave_without_a_trace() -> None:
    whole, alone = started("abcd", 8, 3), started("c", 8, 3)
    kept = [0, 1, 2, 3]
    for generation in range(10):
        candidates, of_c = whole.ask(), alone.ask()
        torch.testing.assert_close(candidates[kept.index(2)], of_c[0], atol=1e-12, rtol=0)
        whole.tell(rosenbrock(candidates))
        alone.tell(rosenbrock(of_c))
        if generation in (3, 6):
            leaves = kept[0]
            whole.narrow(torch.tensor([kept.index(index) for index in kept if index != leaves]))
            kept.remove(leaves)
    torch.testing.assert_close(whole.best[0], alone.best[0], atol=1e-12, rtol=0)
    torch.testing.assert_close(whole.best_value[:1], alone.best_value, atol=1e-9, rtol=1e-9)


def test_seeds_and_names_decide() -> None:
    start, same, other = (started("ab", 20, 4, seed).ask() for seed in (0, 0, 1))
    assert torch.equal(start, same)
    assert not torch.equal(start, other)
    assert not torch.equal(start[0], start[1])


@given(
    lower=st.lists(st.floats(-1e3, 1e3, width=32), min_size=1, max_size=7),
    side=st.floats(1e-3, 1e3),
    population=st.integers(3, 12),
    samples=st.integers(1, 4),
    dtype=st.sampled_from([torch.float32, torch.float64]),
    seed=st.integers(0, 1000),
)
@settings(deadline=None, max_examples=60)
def test_candidates_never_leave_the_box(
    lower: list[float], side: float, population: int, samples: int, dtype: torch.dtype, seed: int
) -> None:
    low = torch.tensor(lower, dtype=dtype)
    high = low + side
    draws = Draws([f"{index}" for index in range(samples)], seed)
    search = DifferentialEvolution(low, high, draws, population=population)
    for _ in range(6):
        candidates = search.ask()
        assert candidates.shape == (samples, population, len(lower))
        assert candidates.dtype == dtype
        assert ((candidates >= low) & (candidates <= high)).all()
        # The least values lie in a corner, so that mutants keep jumping out of the box.
        search.tell((candidates - low).sum(dim=2))
    assert search.best.shape == (samples, len(lower))


@pytest.mark.parametrize(
    ("chunk", "room", "fits"),
    [(1, 99, 1), (4, 99, 4), (7, 99, 7), (100, 99, 100), (8, 1, 1), (8, 2, 2), (8, 5, 4)],
)
def test_chunks_know_their_samples_and_are_halved_where_memory_runs_out(
    chunk: int, room: int, fits: int
) -> None:
    candidates, sizes = torch.arange(3 * 5 * 2, dtype=torch.float64).view(3, 5, 2), []

    def evaluate(samples: Tensor, some: Tensor) -> Tensor:
        if len(some) > room:
            raise torch.OutOfMemoryError
        sizes.append(len(some))
        return 1000 * samples + some.sum(dim=1)

    values, used = evaluate_in_chunks(evaluate, candidates, chunk, 1)
    assert torch.equal(values, candidates.sum(dim=2) + 1000 * torch.arange(3).unsqueeze(1))
    assert used == fits
    assert max(sizes) <= fits
    assert sum(sizes) == 15


def test_chunks_are_not_halved_below_the_least() -> None:
    def evaluate(samples: Tensor, some: Tensor) -> Tensor:
        raise MemoryError(f"{len(samples)} of {len(some)}")

    with pytest.raises(torch.OutOfMemoryError, match="2 of 2"):
        evaluate_in_chunks(evaluate, torch.zeros(2, 3, 1), 4, 2)


@pytest.mark.parametrize("population", [2, 0, 4.5])
def test_population_too_small_for_partners(population: int) -> None:
    with pytest.raises(InputError, match="at least 3"):
        started("a", population, 2)  # pyright: ignore[reportArgumentType]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_same_candidates_on_a_gpu() -> None:
    lower, upper = box(5)
    searches = [
        DifferentialEvolution(
            lower.to(device), upper.to(device), Draws([*"ab"], 0, device=device), population=9
        )
        for device in ("cpu", "cuda")
    ]
    for _ in range(4):
        here, there = (search.ask() for search in searches)
        torch.testing.assert_close(there.cpu(), here, atol=1e-12, rtol=0)
        for search, candidates in zip(searches, (here, there), strict=True):
            search.tell(sphere(candidates))
