"""What a chapter on the benchmark starts from: its dials checked, its results found or computed."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

from simlib.benchmark.plan import Part
from simlib.book.chapter import in_a_line
from simlib.book.dials import DialError, checked, needed
from simlib.provenance import code_hash
from simlib.report.benchmark import titles_of
from simlib.report.display import listed, with_bold_number
from simlib.report.provenance import Provenance, provenance
from simlib.report.results import Results, Sample, results_for, sample_of

if TYPE_CHECKING:
    import pandas as pd


class BenchmarkChapter:
    """The set-up of a chapter that reads a benchmark, ``chapter = BenchmarkChapter(globals())``.

    Results are found, or computed, at once; rows are read when they are asked for. Shown as the last line of
    a cell, it says where the rows are from, and what was attacked by what.

    Args:
        namespace: where the dials are, by their names: ``store``, ``plan``, ``n``, ``data``, ``device``. A
            chapter that only reads has the first two.

    Attributes:
        dials: their values by name.
        results: the run that the chapter shows.
        metrics: names of the metrics that are attacked white-box.
        sources, targets: names of the metrics that images of transfer are made on, and of those that judge
            the images of others.

    Raises:
        DialError: dials cannot be what they are set to, or there are no such results; a line for each.
    """

    def __init__(self, namespace: Mapping[str, Any]) -> None:
        self.dials = checked(namespace)
        needed(self.dials, "store", "plan")
        if not self.dials["store"] and "data" not in self.dials:
            raise DialError(
                'store is empty. Give a folder of results, or "reference": this chapter only reads.'
            )
        asked = {"n": 0, "data": "", "device": "", **self.dials}
        with in_a_line():
            self.results: Results = results_for(
                **{name: asked[name] for name in ("store", "plan", "n", "data", "device")}
            )
        self.metrics = self._names("white-box", "source")
        self.sources = self._names("transfer", "source")
        self.targets = self._names("transfer", "target", of_others=True)

    def rows(self, part: Part) -> pd.DataFrame:
        """Return the rows of a part of the plan, columns as ``simlib.benchmark.rows.SCHEMA``.

        Raises:
            DialError: the plan has no such part, or rows are missing or damaged.
        """
        with in_a_line():
            return self.results.rows(part)

    def attacks(self, part: Part) -> list[str]:
        """Return the titles of the attacks of a part of the plan, in its order."""
        return self._names(part, "title")

    @cached_property
    def sample(self) -> Sample:
        """The triplets of the run, each counted once; all parts of a plan have the same."""
        return sample_of(self.rows(next(iter(self.results.record.plan.parts()))))

    @property
    def age(self) -> str:
        """A sentence if the rows are those of other code than the present one; else empty.

        Rows that were computed for this chapter are of the present code even if they were kept from before:
        their address holds the code that decides their values.
        """
        record = self.results.record
        if self.results.computed or record.provenance.get("code") == code_hash():
            return ""
        return (
            f"They are of {record.created[:10]}, and **the code has changed since**: what the present code "
            "would compute may differ."
        )

    def provenance(self, **more: object) -> Provenance:
        """Return the box at the end of the chapter: how the rows were made, and with what they are shown.

        Args:
            more: further conditions, such as ``chosen_by="stAdv"``.
        """
        record, sample = self.results.record, self.sample
        labels = f"{sample.labelled}, {'constructed' if sample.constructed else 'votes of people'}"
        parts = (self.rows(part) for part in record.plan.parts())
        attacks = dict.fromkeys(text for rows in parts for text in rows["attack"] + " " + rows["parameters"])
        return provenance(
            device=record.provenance["device"],
            n=sample.n,
            seed=record.plan.seed,
            dials=self.dials,
            labels=labels,
            attacks="; ".join(attacks),
            **self.results.conditions(),
            **more,
        )

    def _names(
        self, part: Part, kind: Literal["source", "target", "title"], *, of_others: bool = False
    ) -> list[str]:
        """List what the recipes of a part name, each once."""
        recipes = (each for each in self.results.record.recipes if each.part == part)
        chosen = (each for each in recipes if not of_others or each.source != each.target)
        return list(dict.fromkeys(getattr(each, kind) for each in chosen))

    def _repr_markdown_(self) -> str:
        told = [self.results.origin(), self.age, f"There are {with_bold_number(str(self.sample))}."]
        if self.metrics:
            attacks = listed(self.attacks("white-box"))
            told.append(f"Attacked white-box: {listed(titles_of(self.metrics))}, by {attacks}.")
        if self.sources:
            made = f"{listed(titles_of(self.sources))}, by {listed(self.attacks('transfer'))}"
            told.append(
                f"Images for transfer are made on {made}; other metrics that judge them: {len(self.targets)}."
            )
        return " ".join(filter(None, [*told, self.results.note]))

    def __repr__(self) -> str:
        return self._repr_markdown_().replace("**", "")
