"""What the standard evaluation has found: which attack of its list flipped what."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import plotly.graph_objects as go
from torch import Tensor

from simlib.attacks import APGD, FGSM, PGD, Attack, AttackResult, RankFlip, Square, Strongest
from simlib.benchmark.statistics import Rate, rate
from simlib.errors import InputError
from simlib.kernels.images import LEVELS
from simlib.report.display import listed
from simlib.report.explorer import result_slider
from simlib.report.figures import described
from simlib.report.style import COLORS
from simlib.report.tables import Cell, Table

NOT_FLIPPED = "not flipped"
"""What stands for an attack where none was successful."""

_GREY = "#C8C8C8"

_GAIN = 20
"""How much a change is amplified where it is shown."""


def list_as_table(attacks: Sequence[Attack]) -> Table:
    """Show how the attacks of the standard evaluation look for a flip, and what each is there for."""
    rows = tuple((attack.title, *_explained(attack)) for attack in attacks)
    return Table(("attack", "how it looks for a flip", "what it is there for"), rows)


def winners(result: AttackResult, photographs: Sequence[str]) -> dict[str, Rate]:
    """Return the share of triplets that each attack of the list flipped, and the share that none did.

    Args:
        result: of :class:`simlib.attacks.Strongest`.
        photographs: of its triplets, or of more that follow.

    Raises:
        InputError: if the result is of another attack.
    """
    winner, own = _winner(result), photographs[: len(result)]
    places = [*enumerate(_titles(result)), (-1, NOT_FLIPPED)]
    return {title: rate(winner == place, own) for place, title in places}


def winner_bars(results: Mapping[str, AttackResult], photographs: Sequence[str]) -> go.Figure:
    """Draw a bar for each metric, by its title, divided into what each attack flipped and what none did."""
    shares = {title: winners(result, photographs) for title, result in results.items()}
    names = [f"{title}<br>n = {len(result)}" for title, result in results.items()]
    series = {part: [each[part] for each in shares.values()] for part in next(iter(shares.values()))}
    figure = go.Figure()
    for color, (part, rates) in zip((*COLORS[: len(series) - 1], _GREY), series.items(), strict=True):
        figure.add_bar(
            y=names,
            x=[each.value for each in rates],
            orientation="h",
            name=part,
            marker_color=color,
            customdata=[str(each) for each in rates],
            hovertemplate="%{y}, " + part + "<br>%{customdata}<extra></extra>",
        )
    alt = f"Stacked bars of who flipped the triplets. {described(list(shares), series)}."
    return figure.update_layout(
        barmode="stack",
        xaxis={"tickformat": ".0%", "range": [0, 1], "title": "share of triplets"},
        yaxis={"autorange": "reversed", "automargin": True},
        legend={"orientation": "h", "traceorder": "normal", "yanchor": "bottom", "y": 1.02},
        margin={"t": 60},
        height=150 + 48 * len(shares),
        meta={"alt": alt},
    )


def by_kind_of_attack(results: Mapping[str, AttackResult], photographs: Sequence[str]) -> Table:
    """Show what attacks that follow the gradient flipped, and what was left to those that see values only.

    Args:
        results: of one list of attacks, by the name of their row.
        photographs: of their triplets, or of more that follow.
    """
    attacks = _members(next(iter(results.values())))
    kinds = [[i for i, each in enumerate(attacks) if each.needs_gradient is needs] for needs in (True, False)]
    rows = list[tuple[Cell, ...]]()
    for name, result in results.items():
        winner, own = _winner(result), photographs[: len(result)]
        flipped = [rate(sum(winner == place for place in kind) > 0, own) for kind in kinds]
        rows.append((name, len(result), *flipped, rate(winner >= 0, own)))
    first, then = (listed([attacks[place].title for place in kind], "or") for kind in kinds)
    return Table(("metric", "n", f"by {first}", f"by {then}, after those", "in all"), tuple(rows))


def late_flips(result: AttackResult, most: int) -> list[int]:
    """Return the positions of flips by the last two attacks of the list, in turn by each of them.

    If these flipped nothing, they are flips by the last attack that did; if none did, the first triplets.
    """
    winner = _winner(result)
    least = min(int(winner.max()), len(_titles(result)) - 2)
    turns = dict[int, int]()
    order = list[tuple[int, int, int]]()
    for position, place in enumerate(winner.tolist()):
        if place >= least:
            turns[place] = turns.get(place, 0) + 1
            order.append((turns[place], -place, position))
    return [position for *_, position in sorted(order)[:most]]


def who_flipped(result: AttackResult, shown: Sequence[int]) -> str:
    """Say in a sentence which attacks flipped the triplets at some positions, and which had failed before."""
    titles, places = _titles(result), sorted(set(_winner(result)[list(shown)].tolist()))
    if places[0] < 0:
        return "Nothing was flipped, so these are triplets as they were left."
    before = listed(titles[: places[0]])
    by = listed([titles[place] for place in places], "or")
    return f"These triplets were flipped by {by}" + (f", after {before} had failed." if before else ".")


def flips_by_winner(problem: RankFlip, result: AttackResult, shown: Sequence[int]) -> go.Figure:
    """Show triplets before and after the standard evaluation, and a slider whose stops say who flipped them.

    Args:
        problem: that was attacked.
        result: of it.
        shown: positions of the triplets.
    """
    titles, winner = _titles(result), _winner(result).tolist()
    stops = {
        f"{stop}: {titles[winner[i]] if winner[i] >= 0 else NOT_FLIPPED}": i
        for stop, i in enumerate(shown, start=1)
    }
    return result_slider(problem, result, stops, gain=_GAIN, told=who_flipped(result, shown))


def _explained(attack: Attack) -> tuple[str, str]:
    match attack:
        case FGSM():
            sizes = ", ".join(f"{size * LEVELS:g}" for size in attack.grid)
            return (
                f"one step along the sign of the gradient, of {sizes} levels",
                "takes the easy triplets for next to nothing, by the smallest whole step",
            )
        case PGD():
            return f"{attack.steps} steps of {attack.step * LEVELS:g} level", "follows a margin that bends"
        case APGD():
            return (
                f"{attack.steps} steps that begin at twice the budget and choose their own size",
                "no step size that might be the wrong one",
            )
        case Square():
            return (
                f"up to {attack.queries} queries: stripes first, then random squares, by values of the "
                "margin alone",
                "is not misled where a gradient is hidden, noisy or zero",
            )
        case _:
            raise InputError(f"{attack.title} is not in the standard evaluation. Leave it out.")


def _members(result: AttackResult) -> Sequence[Attack]:
    if not isinstance(result.attack, Strongest):
        raise InputError(f"The result is of {result.attack.title}. Give one of {Strongest.title}.")
    return result.attack.attacks


def _titles(result: AttackResult) -> list[str]:
    return [attack.title for attack in _members(result)]


def _winner(result: AttackResult) -> Tensor:
    return result.details["winner"].cpu()
