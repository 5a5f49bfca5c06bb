"""stAdv: move the pixels of an image along a smooth flow until the rank flips."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from simlib.attacks.attack import Attack, Conditions, register
from simlib.attacks.dials import choice, count, not_negative, positive
from simlib.attacks.objective import closer_share, gradient_of, require_gradient
from simlib.attacks.problem import FlipBatch, RankFlip
from simlib.attacks.result import Found
from simlib.attacks.survivors import Survivors
from simlib.errors import InputError
from simlib.kernels.flow import Smoothness, smoothness, warp
from simlib.kernels.images import within_range
from simlib.kernels.lbfgs import BatchedLBFGS
from simlib.kernels.noise import random_signs
from simlib.kernels.projection import per_sample, round_to_8bit

PAPER_WEIGHT_RANK, PAPER_WEIGHT_FLOW, PAPER_ITERATIONS = 50.0, 0.05, 50
"""Weights and most iterations of the paper's stAdv."""

_NUDGE = 1e-3
"""Slope, and so first step in pixels, of a sample that has none of its own."""

_LEAST_SHARE = 1e-6
"""Share of the two distances below which an image is taken for equal to the reference."""


@register
@dataclass(frozen=True, kw_only=True)
class StAdv(Attack):
    """Move the pixels of an image along a smooth flow until the rank flips (Xiao et al. 2018).

    As released by Ghildyal & Liu (2023), L-BFGS minimises ``weight_rank`` times the farther image's share
    of the two distances plus ``weight_flow`` times the smoothness of the flow, from no flow at all; nothing
    bounds the flow. A sample stops at the first point evaluated at which its rank is flipped. Under the
    strict protocol that is looked at in the image rounded to 8 bits, which costs one evaluation more where
    the float image is flipped. An image that the metric cannot tell from the reference has no slope to
    follow: it comes back as it is under the paper's protocol; under the strict one it is first shifted in
    a random direction, from where the smoothness may still call it back.

    In the result, ``details["flow"]`` (N, 2, H, W) is the flow in pixels, rows then columns: where each
    pixel of the attacked image comes from, relative to its place. ``steps`` counts iterations completed.

    Attributes:
        weight_rank: weight of the share of distances in the objective.
        weight_flow: weight of the smoothness; 0 lets every pixel move by itself.
        form: how smoothness is measured, see :data:`simlib.kernels.flow.Smoothness`.
        iterations: most steps of L-BFGS.
    """

    name: ClassVar[str] = "stadv"
    title: ClassVar[str] = "stAdv"
    bounded_by: ClassVar[str] = "nothing; a smooth flow"
    citation: ClassVar[str] = "xiao2018spatially"

    weight_rank: float = positive(PAPER_WEIGHT_RANK)
    weight_flow: float = not_negative(PAPER_WEIGHT_FLOW)
    form: Smoothness = choice("squared", Smoothness)
    iterations: int = count(PAPER_ITERATIONS)

    def validate(self, problem: RankFlip) -> None:
        """Refuse images in which a flow has no room to be smooth or not."""
        height, width = problem.triplets.ref.shape[-2:]
        if min(height, width) < 4:
            raise InputError(
                f"The images are {height}x{width}, and a flow needs at least 4x4 pixels to be smooth or not. "
                "Use larger images or an attack on colours, such as PGD."
            )

    def search(self, batch: FlipBatch, conditions: Conditions) -> Found:
        """Minimise the objective of each sample, until it flips or L-BFGS has finished."""
        n, _, *sides = batch.original.shape
        start = batch.original.new_zeros((n, 2, *sides))
        survivors = Survivors(batch, start)
        optimiser = BatchedLBFGS(start.flatten(1), most_iterations=self.iterations)
        forwards, backwards = (torch.zeros(n, dtype=torch.long, device=start.device) for _ in range(2))
        where_blind = torch.zeros_like(start)
        if conditions.strict:
            # A shift of the whole image, because a rough flow would cost more than it could gain.
            signs = random_signs(batch.names, start[..., :1, :1], conditions.seed)
            where_blind = (signs * _NUDGE).expand_as(start)
        while len(survivors):
            active, position = survivors.batch, survivors.position
            flow = optimiser.ask().view(-1, 2, *sides)
            flips, blind, value, gradient = _objective(active, flow, self)
            gradient = torch.where(per_sample(blind, gradient), where_blind[position], gradient)
            forwards[position] += survivors.here
            backwards[position] += survivors.here
            if conditions.strict:
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
        # Sampling where nothing moves is exact to the last digit or so only; truncation would cut that off.
        still = (flow == 0).flatten(1).all(dim=1)
        images = torch.where(per_sample(still, flow), batch.original, _moved(batch, flow))
        if conditions.strict:
            return Found(round_to_8bit(images), None, steps, forwards, backwards, {"flow": flow})
        return Found(images, flipped, steps, forwards, backwards, {"flow": flow})


def _objective(batch: FlipBatch, flow: Tensor, dials: StAdv) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return who is flipped and who is blind (N,), the objective (N,) and its gradient, shaped like the flow.

    A sample is blind whose images look alike to the metric: what is left of the slope is noise of rounding.
    """
    flow = flow.detach().requires_grad_()
    with torch.enable_grad():
        closer, farther = batch.distances(_moved(batch, flow))
        share = closer_share(closer, farther)
        require_gradient(share, batch)
        roughness = smoothness(flow, dials.form)
        value = dials.weight_rank * (1 - share) + dials.weight_flow * roughness
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
