"""Attacks that move pixels instead of changing their colours: stAdv, and stAdv followed by PGD."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import get_args

import torch
from torch import Tensor

from simlib.attacks.driver import Found, require_budget, require_positive, run_in_batches
from simlib.attacks.gradient import PAPER_EPS, PAPER_STEP, pgd_from
from simlib.attacks.objective import closer_share, gradient_of, require_gradient
from simlib.attacks.problem import FlipBatch, RankFlip
from simlib.attacks.result import AttackResult, Protocol
from simlib.attacks.survivors import Survivors
from simlib.errors import InputError, unknown_name
from simlib.kernels.checks import require_count
from simlib.kernels.flow import Smoothness, smoothness, warp
from simlib.kernels.images import within_range
from simlib.kernels.lbfgs import BatchedLBFGS
from simlib.kernels.noise import random_signs
from simlib.kernels.projection import per_sample, round_to_8bit, truncate_to_8bit

PAPER_WEIGHT_RANK, PAPER_WEIGHT_FLOW, PAPER_ITERATIONS = 50.0, 0.05, 50
"""Weights and most iterations of the paper's stAdv."""

_TITLE = "stAdv"

_LEAST_SIDE = 4

_NUDGE = 1e-3
"""Slope, and so first step in pixels, of a sample that has none of its own."""

_LEAST_SHARE = 1e-6
"""Share of the two distances below which an image is taken for equal to the reference."""


def stadv(
    problem: RankFlip,
    *,
    weight_rank: float = PAPER_WEIGHT_RANK,
    weight_flow: float = PAPER_WEIGHT_FLOW,
    form: Smoothness = "squared",
    iterations: int = PAPER_ITERATIONS,
    protocol: Protocol = "strict",
    seed: int = 0,
    batch_size: int | None = None,
    progress: bool = False,
) -> AttackResult:
    """Move the pixels of an image along a smooth flow until the rank flips (Xiao et al. 2018).

    As released by Ghildyal & Liu (2023), L-BFGS minimises ``weight_rank`` times the farther image's share
    of the two distances plus ``weight_flow`` times the smoothness of the flow, from no flow at all; nothing
    bounds the flow. A sample stops at the first point evaluated at which its rank is flipped. Under the
    strict protocol that is looked at in the image rounded to 8 bits, which costs one evaluation more where
    the float image is flipped. An image that the metric cannot tell from the reference has no slope to
    follow: it comes back as it is under the paper's protocol; under the strict one it is first shifted in
    a random direction, from where the smoothness may still call it back.

    Args:
        problem: what is attacked.
        weight_rank: weight of the share of distances in the objective.
        weight_flow: weight of the smoothness; 0 lets every pixel move by itself.
        form: how smoothness is measured, see :data:`simlib.kernels.flow.Smoothness`.
        iterations: most steps of L-BFGS.
        protocol: how success is counted, see :data:`simlib.attacks.Protocol`.
        seed: decides the random direction.
        batch_size: triplets attacked at once; ``None`` for 256.
        progress: show a bar when it takes longer than two seconds.

    Returns:
        The result; ``details["flow"]`` (N, 2, H, W) is the flow in pixels, rows then columns: where each
        pixel of the attacked image comes from, relative to its place. ``steps`` counts iterations completed.

    Raises:
        InputError: if a weight or the iterations lie outside their meaning, or a side is below 4 pixels.
        NoGradientError: if the metric gives no gradient.
    """
    settings = _Settings(weight_rank, weight_flow, form, iterations)
    _require_room(problem)
    return run_in_batches(
        problem,
        lambda batch: _stadv_batch(batch, settings, protocol, seed),
        attack=_TITLE,
        protocol=protocol,
        parameters={**asdict(settings), "seed": seed},
        batch_size=batch_size,
        progress=progress,
    )


def stadv_pgd(
    problem: RankFlip,
    *,
    eps: float = PAPER_EPS,
    step: float = PAPER_STEP,
    steps: int = 20,
    weight_rank: float = PAPER_WEIGHT_RANK,
    weight_flow: float = PAPER_WEIGHT_FLOW,
    form: Smoothness = "squared",
    iterations: int = PAPER_ITERATIONS,
    start: AttackResult | None = None,
    protocol: Protocol = "strict",
    seed: int = 0,
    batch_size: int | None = None,
    progress: bool = False,
) -> AttackResult:
    """Take all steps of PGD from the image that stAdv found, as images for transfer are made.

    As released by Ghildyal & Liu (2023): the image of stAdv is saved with 8 bits (by truncation; rounded
    under the strict protocol), and PGD starts there, but stays within ``eps`` of the original image. So the
    first step takes back what stAdv changed beyond that.

    Args:
        problem: what is attacked.
        eps: budget of PGD in the units of [0, 1].
        step: size of a step of PGD, same units.
        steps: steps of PGD, all of which are taken.
        weight_rank: of :func:`stadv`.
        weight_flow: of :func:`stadv`.
        form: of :func:`stadv`.
        iterations: of :func:`stadv`.
        start: what :func:`stadv` with the same parameters returned for this problem, to go on from; it is
            run anew if None. Its evaluations and seconds are counted in either case.
        protocol: how success is counted, see :data:`simlib.attacks.Protocol`.
        seed: decides the direction where the gradient is zero, under the strict protocol.
        batch_size: triplets attacked at once; ``None`` for 256.
        progress: show a bar when it takes longer than two seconds.

    Returns:
        The result; ``steps`` are those of PGD, ``details["flow"]`` is the flow of stAdv.

    Raises:
        InputError, NoGradientError: as :func:`stadv` and :func:`simlib.attacks.pgd`; InputError also if the
            start is not of stAdv with these parameters on these triplets.
    """
    settings = _Settings(weight_rank, weight_flow, form, iterations)
    _require_room(problem)
    if start is not None:
        _require_start(start, problem, {"seed": seed, **asdict(settings)}, protocol)
    require_budget("eps", eps)
    require_positive("step", step)
    require_count("steps", steps)

    def attack_batch(batch: FlipBatch) -> Found:
        moved = _part_of(start, batch.names) if start else _stadv_batch(batch, settings, protocol, seed)
        saved = truncate_to_8bit(moved.images) if protocol == "paper" else moved.images
        found = pgd_from(batch, saved, eps, step, steps, protocol, False, seed)
        return replace(
            found,
            forwards=found.forwards + moved.forwards,
            backwards=found.backwards + moved.backwards,
            details=moved.details,
        )

    result = run_in_batches(
        problem,
        attack_batch,
        attack="stAdv+PGD",
        protocol=protocol,
        parameters={"eps": eps, "step": step, "steps": steps, "seed": seed, **asdict(settings)},
        batch_size=batch_size,
        progress=progress,
    )
    return replace(result, seconds=result.seconds + start.seconds) if start else result


def _require_start(
    start: AttackResult, problem: RankFlip, parameters: Mapping[str, object], protocol: Protocol
) -> None:
    """Refuse a start that stAdv, called in this way, would not have returned."""
    described = (start.attack, start.protocol, dict(start.parameters), start.names)
    if described != (_TITLE, protocol, dict(parameters), problem.triplets.names):
        raise InputError(
            f"start is {start.attack} of {len(start)} triplets under the {start.protocol} protocol with "
            f"{dict(start.parameters)}. Give what stadv returned for these triplets under the {protocol} "
            f"protocol with {dict(parameters)}, or None."
        )


def _part_of(result: AttackResult, names: Sequence[str]) -> Found:
    """Return what stAdv found for these triplets."""
    places = {name: place for place, name in enumerate(result.names)}
    rows = torch.tensor([places[name] for name in names], device=result.images.device)
    return Found(
        images=result.images[rows],
        flipped=None,
        steps=result.steps[rows],
        forwards=result.forwards[rows],
        backwards=result.backwards[rows],
        details={name: values[rows] for name, values in result.details.items()},
    )


@dataclass(frozen=True)
class _Settings:
    """The parameters of stAdv, within their meaning."""

    weight_rank: float
    weight_flow: float
    form: Smoothness
    iterations: int

    def __post_init__(self) -> None:
        require_positive("weight_rank", self.weight_rank)
        if not (math.isfinite(self.weight_flow) and self.weight_flow >= 0):
            raise InputError(f"weight_flow is {self.weight_flow}. It must be a finite number, at least 0.")
        if self.form not in get_args(Smoothness):
            raise unknown_name("form of smoothness", str(self.form), get_args(Smoothness))
        require_count("iterations", self.iterations)


def _require_room(problem: RankFlip) -> None:
    height, width = problem.triplets.ref.shape[-2:]
    if min(height, width) < _LEAST_SIDE:
        raise InputError(
            f"The images are {height}x{width}, and a flow needs at least {_LEAST_SIDE}x{_LEAST_SIDE} pixels "
            "to be smooth or not. Use larger images or an attack on colours, such as pgd."
        )


def _stadv_batch(batch: FlipBatch, settings: _Settings, protocol: Protocol, seed: int) -> Found:
    n, _, *sides = batch.original.shape
    start = batch.original.new_zeros((n, 2, *sides))
    survivors = Survivors(batch, start)
    optimiser = BatchedLBFGS(start.flatten(1), most_iterations=settings.iterations)
    forwards, backwards = (torch.zeros(n, dtype=torch.long, device=start.device) for _ in range(2))
    where_blind = torch.zeros_like(start)
    if protocol == "strict":
        # A shift of the whole image, because a rough flow would cost more than it could gain.
        where_blind = (random_signs(batch.names, start[..., :1, :1], seed) * _NUDGE).expand_as(start)
    while len(survivors):
        active, position = survivors.batch, survivors.position
        flow = optimiser.ask().view(-1, 2, *sides)
        flips, blind, value, gradient = _objective(active, flow, settings)
        gradient = torch.where(per_sample(blind, gradient), where_blind[position], gradient)
        forwards[position] += survivors.here
        backwards[position] += survivors.here
        if protocol == "strict":
            # This waits for an accelerator; looking at every image twice would cost more.
            asked = (flips * survivors.here).nonzero().squeeze(1)
            forwards[position[asked]] += 1
            flips = _flips_in_8bit(active, flow, asked)
        optimiser.tell(value, gradient.flatten(1))
        flow = torch.where(per_sample(flips, flow), flow, optimiser.point.view_as(flow))
        stay = survivors.release(flips, flow, optimiser.iterations, ended=optimiser.finished)
        if stay is not None:
            optimiser.narrow(stay)
    flow, flipped, steps = survivors.finish(start[:0], 0)
    # Sampling where nothing moves is exact to the last digit or so only, and truncation would cut that off.
    still = (flow == 0).flatten(1).all(dim=1)
    images = torch.where(per_sample(still, flow), batch.original, _moved(batch, flow))
    return Found(
        images=round_to_8bit(images) if protocol == "strict" else images,
        flipped=None if protocol == "strict" else flipped,
        steps=steps,
        forwards=forwards,
        backwards=backwards,
        details={"flow": flow},
    )


def _objective(batch: FlipBatch, flow: Tensor, settings: _Settings) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return who is flipped and who is blind (N,), the objective (N,) and its gradient, shaped like the flow.

    Where both images look alike to the metric, what is left of the slope is the noise of rounding: such a
    sample is blind.
    """
    flow = flow.detach().requires_grad_()
    with torch.enable_grad():
        closer, farther = batch.distances(_moved(batch, flow))
        share = closer_share(closer, farther)
        require_gradient(share, batch)
        roughness = smoothness(flow, settings.form)
        value = settings.weight_rank * (1 - share) + settings.weight_flow * roughness
        gradient = gradient_of(value.sum(), flow, batch)
    return (closer > farther).detach(), share < _LEAST_SHARE, value.detach(), gradient


@torch.no_grad()
def _flips_in_8bit(batch: FlipBatch, flow: Tensor, asked: Tensor) -> Tensor:
    """Say who of the samples asked for is flipped when the moved image is rounded to 8 bits, (N,)."""
    flips = torch.zeros(len(batch), dtype=torch.bool, device=flow.device)
    if len(asked):
        some = batch.narrow(asked)
        flips[asked] = some.flips(round_to_8bit(_moved(some, flow[asked])))
    return flips


def _moved(batch: FlipBatch, flow: Tensor) -> Tensor:
    """Warp the original images; rounding may leave the box by a hair, which some metrics refuse."""
    return within_range(warp(batch.original, flow))
