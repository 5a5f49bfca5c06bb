"""Tables of attacks: their dials, from what they say of themselves, and what they have found."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from torch import Tensor

from simlib.attacks import Attack, AttackResult, meanings
from simlib.benchmark.statistics import rate
from simlib.kernels.images import LEVELS
from simlib.report.tables import Cell, Name, Table


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


def results_as_table(
    results: Mapping[str, AttackResult],
    columns: Sequence[str],
    photographs: Sequence[str],
    *,
    first: str = "attack",
) -> Table:
    """Show what attacks have found, a row each.

    Args:
        results: by the name of their row.
        columns: of :data:`COLUMNS`, from left to right.
        photographs: of the triplets; a result may be one of the first of them.
        first: title of the column of names.
    """
    rows = (
        (name, *(COLUMNS[each](result, photographs) for each in columns)) for name, result in results.items()
    )
    return Table((first, *columns), tuple(rows))


def median(values: Tensor) -> float | None:
    """Return the median of some numbers; None of none."""
    return float(values.float().quantile(0.5)) if len(values) else None


Column = Callable[[AttackResult, Sequence[str]], Cell]


def _share(happened: Callable[[AttackResult], Tensor]) -> Column:
    return lambda result, photographs: rate(happened(result), photographs[: len(result)])


def _of_flipped(values: Callable[[AttackResult], Tensor], *, whole: bool = False) -> Column:
    def cell(result: AttackResult, _: Sequence[str]) -> Cell:
        middle = median(values(result)[result.flipped])
        return round(middle) if whole and middle is not None else middle

    return cell


def _ways(result: AttackResult) -> Tensor:
    """Return how far each pixel looks, (N, H W), by an attack that moves pixels."""
    return result.details["flow"].norm(dim=1).flatten(1)


COLUMNS: Mapping[str, Column] = {
    "n": lambda result, _: len(result),
    "flipped": _share(lambda result: result.flipped),
    "not flipped": _share(lambda result: ~result.flipped),
    "in 8 bits": _share(lambda result: result.flipped_8bit),
    "flipped, and in 8 bits": _share(lambda result: result.flipped & result.flipped_8bit),
    "steps": _of_flipped(lambda result: result.steps, whole=True),
    "largest change": _of_flipped(lambda result: result.linf * LEVELS),
    "RMSE": _of_flipped(lambda result: result.rmse),
    "mean way": _of_flipped(lambda result: _ways(result).mean(dim=1)),
    "longest way": _of_flipped(lambda result: _ways(result).amax(dim=1)),
    "evaluations": _of_flipped(lambda result: result.forwards, whole=True),
    "forwards": lambda result, _: round(float(result.forwards.float().mean())),
    "backwards": lambda result, _: round(float(result.backwards.float().mean())),
}
"""What can be told of a result. Steps, sizes (levels of 255), ways (pixels; of attacks that move pixels)
and evaluations are medians of the flipped."""


def _short(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, list):
        return ", ".join(str(each["attack"]) if isinstance(each, dict) else _short(each) for each in value)
    return str(value)
