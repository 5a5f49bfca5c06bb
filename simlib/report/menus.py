"""Menus over a figure that exchange what it shows, without a server."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import plotly.graph_objects as go

_MENU, _GAP = 38, 10
"""Pixels for a menu over a figure, and between a menu and what is under it."""

_Shown = TypeVar("_Shown")

Choices = Mapping[str, _Shown] | Mapping[tuple[str, str], _Shown]
"""What a menu chooses among, by its labels; or two menus, by all pairs of theirs."""


def options(choices: Choices[Any]) -> str:
    """Say what menus offer, for the alternative text of a figure."""
    return "; ".join(key if isinstance(key, str) else ", ".join(key) for key in choices)


def with_menus(
    figure: go.Figure,
    traces: Mapping[Any, Sequence[Any]],
    changing: Sequence[str],
    layouts: Mapping[Any, Mapping[str, Any]] | None = None,
) -> go.Figure:
    """Add traces to a figure, and menus that exchange them for others.

    With pairs of labels there are two menus, each of which keeps what was chosen in the other. A menu with
    one label only is left out.

    Args:
        figure: without traces.
        traces: as many for each choice, by label or by all pairs of labels; the first are shown at first.
        changing: the attributes in which the traces of one choice differ from those of another.
        layouts: how the layout changes with a choice, by single labels only.
    """
    by_pair = {("", key) if isinstance(key, str) else key: each for key, each in traces.items()}
    uppers, lowers = (list(dict.fromkeys(key[place] for key in by_pair)) for place in (0, 1))
    # The upper menu chooses among traces that are all there, the lower one changes what all of them hold.
    for upper in uppers:
        for trace in by_pair[upper, lowers[0]]:
            figure.add_trace(trace)
            figure.update_traces({"visible": upper == uppers[0]}, selector=-1)
    owners = [upper for upper in uppers for _ in by_pair[upper, lowers[0]]]
    shown = {upper: {"visible": [upper == owner for owner in owners]} for upper in uppers}
    held: dict[str, dict[str, list[Any]]] = {}
    for lower in lowers:
        those = [trace for upper in uppers for trace in by_pair[upper, lower]]
        held[lower] = {
            name: [[] if trace[name] is None else list(trace[name]) for trace in those] for name in changing
        }
    menus = [
        [
            {"label": label, "method": "update", "args": [change, dict((layouts or {}).get(label, {}))]}
            for label, change in each.items()
        ]
        for each in (held, shown)
        if len(each) > 1
    ]
    return figure.update_layout(
        updatemenus=[_menu(buttons, place) for place, buttons in enumerate(menus)],
        margin={"t": _GAP + len(menus) * _MENU} if menus else None,
    )


def _menu(buttons: list[dict[str, Any]], place: int) -> dict[str, Any]:
    """Describe a menu over a figure, the lowest of them at place 0."""
    # It ends where the figure does: a long one reaches over the names at the side, and not out of the page.
    corner = {"x": 1, "xanchor": "right", "y": 1, "yanchor": "bottom", "pad": {"b": _GAP + place * _MENU}}
    return {"buttons": buttons, "font": {"size": 11}, **corner}
