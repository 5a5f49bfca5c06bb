"""The explorer: one object that is a figure on a page and an instrument in a notebook."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import plotly.graph_objects as go
import torch

from simlib.attacks import PAPER_EPS, PAPER_STEP, PAPER_STEPS, PGD, AttackResult, RankFlip
from simlib.errors import InputError
from simlib.kernels.images import LEVELS
from simlib.report.display import PLOTLY, json_of
from simlib.report.pictures import (
    Panel,
    axis_of,
    flip_panels,
    flip_rows,
    picture_grid,
    picture_slider,
    png_source,
)

if TYPE_CHECKING:
    from ipywidgets import VBox


class FlipExplorer:
    """PGD on triplets of a problem, to be looked at one by one.

    It is a plotly figure with a slider over the triplets. In a live notebook ``show`` of
    :mod:`simlib.report.display` puts its ``instrument`` below, a widget whose dials run the attack again: the
    triplet, the budget, the number of steps.

    Args:
        problem: what is attacked.
        shown: positions of the triplets on offer.
        eps: of PGD, in the units of [0, 1]; where the dial stands at first.
        step: likewise.
        steps: likewise.
        gain: how much the change is amplified in the last picture.

    Raises:
        InputError: if no triplet is on offer.
    """

    def __init__(
        self,
        problem: RankFlip,
        shown: Sequence[int],
        *,
        eps: float = PAPER_EPS,
        step: float = PAPER_STEP,
        steps: int = PAPER_STEPS,
        gain: float = 20,
    ) -> None:
        if not shown:
            raise InputError("The explorer needs at least one triplet to show.")
        self.problem = RankFlip(problem.metric, problem.triplets[list(shown)], problem.target)
        self.eps, self.step, self.steps, self.gain = eps, step, steps, gain

    def attack(self, position: int, *, eps: float, steps: int) -> list[Panel]:
        """Attack one of the triplets on offer with PGD, strict protocol, and return its five panels."""
        triplet = self.problem.triplets[position]
        problem = RankFlip(self.problem.metric, triplet, self.problem.target)
        result = PGD(eps=eps, step=self.step, steps=steps)(problem)
        return result_panels(problem, result, 0, gain=self.gain)

    def _rows(self, position: int) -> list[list[Panel]]:
        return flip_rows(self.attack(position, eps=self.eps, steps=self.steps))

    @cached_property
    def figure(self) -> go.Figure:
        """The figure of a page: one stop of its slider for each triplet."""
        alt = (
            f"A slider over {len(self.problem)} triplets. Each shows the reference, the other image, the "
            f"image that the metric ranks {self.problem.target} before and after the attack, with their "
            f"distances, and the change between the two amplified {self.gain:g} times. "
            f"The metric is {self.problem.metric.spec.title}."
        )
        return picture_slider({str(i + 1): self._rows(i) for i in range(len(self.problem))}, alt=alt)

    @cached_property
    def instrument(self) -> VBox:
        """The instrument of a live notebook; its figure follows the dials."""
        import ipywidgets as widgets

        names = [(name, position) for position, name in enumerate(self.problem.triplets.names)]
        triplet = widgets.Dropdown(options=names, value=0, description="triplet")
        levels = self.eps * LEVELS
        scale = {"min": 0.125, "max": max(12, levels), "step": 0.125}
        budget = widgets.FloatSlider(levels, **scale, description="budget, levels")
        steps = widgets.IntSlider(self.steps, min=1, max=max(100, self.steps), description="steps")
        for dial in (budget, steps):
            dial.continuous_update = False
            dial.style = {"description_width": "initial"}
        picture: Any = go.FigureWidget(picture_grid(self._rows(0), alt="One flip"))

        def follow(_: object) -> None:
            panels = self.attack(int(triplet.value or 0), eps=budget.value / LEVELS, steps=steps.value)
            with picture.batch_update():
                for trace, panel in zip(picture.data, panels, strict=True):
                    trace.source = png_source(panel.image)
                    picture.layout[axis_of(trace)].title.text = panel.caption

        for dial in (triplet, budget, steps):
            dial.observe(follow, names="value")
        return widgets.VBox([widgets.HBox([triplet, budget, steps]), picture])

    def _repr_mimebundle_(self, **_: Any) -> dict[str, Any]:
        return {PLOTLY: json_of(self.figure), "text/plain": repr(self)}

    def __repr__(self) -> str:
        return f"FlipExplorer({self.problem.metric.spec.title}, {len(self.problem)} triplets)"


def result_panels(problem: RankFlip, result: AttackResult, position: int, *, gain: float) -> list[Panel]:
    """Return the five panels of one sample of a result, with the distances measured anew.

    The target must be the closer or the farther image.
    """
    triplet = problem.triplets[position]
    original, attacked = result.original[position : position + 1], result.images[position : position + 1]
    other = triplet.p0 if bool((original == triplet.p1).all()) else triplet.p1
    images = {"other": other, "original": original, "attacked": attacked}
    with torch.no_grad():
        distances = [float(problem.metric(triplet.ref, image)) for image in images.values()]
    shown = {name: image[0] for name, image in images.items()}
    return flip_panels(reference=triplet.ref[0], **shown, distances=distances, gain=gain)


def result_slider(
    problem: RankFlip, result: AttackResult, stops: Mapping[str, int], *, gain: float, told: str
) -> go.Figure:
    """Show samples of a result, one stop of a slider each, as :func:`result_panels` has them.

    Args:
        problem: its target is the closer or the farther image.
        result: of an attack on it.
        stops: positions of the samples, by the labels of their stops.
        gain: how much the change is amplified.
        told: a sentence on the samples, for the alternative text.
    """
    rows = {label: flip_rows(result_panels(problem, result, i, gain=gain)) for label, i in stops.items()}
    alt = (
        f"A slider over {len(rows)} triplets. {told} Each shows the reference, the other image, the attacked "
        f"image before and after, with distances, and the change amplified {gain:g} times."
    )
    return picture_slider(rows, alt=alt)
