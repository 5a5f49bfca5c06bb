"""Tables of attacks and of their dials, from what the attacks say of themselves."""

from __future__ import annotations

from collections.abc import Sequence

from simlib.attacks import Attack, meanings
from simlib.report.tables import Name, Table


def attacks_as_table(attacks: Sequence[type[Attack]]) -> Table:
    """Show what attacks need, and what bounds the change they make."""
    return Table(
        ("attack", "name", "class", "needs", "bounded by", "citation"),
        tuple(
            (
                Name(attack.name, attack.title),
                attack.name,
                attack.__name__,
                "gradient" if attack.needs_gradient else "values only",
                attack.bounded_by,
                attack.citation,
            )
            for attack in attacks
        ),
        notes=("name: in plans; class: in simlib.attacks; citation: the key in book/references.bib",),
    )


def dials_as_table(attack: Attack) -> Table:
    """Show the dials of an attack, as it has them set."""
    explained = meanings(type(attack))
    rows = ((dial, _short(value), explained.get(dial, "")) for dial, value in attack.dials().items())
    return Table(("dial", "value", "meaning"), tuple(rows))


def _short(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, list):
        return ", ".join(str(each["attack"]) if isinstance(each, dict) else _short(each) for each in value)
    return str(value)
