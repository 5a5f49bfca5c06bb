"""What a chapter starts from: its dials checked, its triplets drawn, its metrics loaded."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from typing import Any, TypeVar

import numpy as np

from simlib import metrics
from simlib.attacks import RankFlip
from simlib.benchmark.statistics import Rate, Values, booleans, counted, rate
from simlib.book.dials import DialError, checked, needed
from simlib.errors import SimlibError
from simlib.kernels.device import pick_device
from simlib.metrics import Metric
from simlib.progress import PATIENCE, Bar
from simlib.report.display import listed, with_bold_number
from simlib.report.provenance import Provenance, provenance
from simlib.triplets import Triplets, draw

Each = TypeVar("Each")


class Chapter:
    """The set-up of a chapter, ``chapter = Chapter(globals())`` right after its dials.

    Triplets are drawn and the metric is loaded at once, the metrics of tables when they are asked for. Shown
    as the last line of a cell, it says what is measured on what.

    Args:
        namespace: where the dials are, by their names.
        triplets: makes the triplets from dials that are known to be right, where they are not simply drawn.

    Attributes:
        dials: their values by name.
        device: where everything is computed.
        triplets: n of them, or what ``triplets`` made, on the device; none in a chapter that has neither that
            nor the dial ``data``.
        metric: the one that is looked at in detail; none in a chapter without the dial ``metric_name``.
        note: a sentence if that is not the one that was asked for.

    Raises:
        DialError: dials cannot be what they are set to, or cannot be had here; a line for each.
    """

    triplets: Triplets
    metric: Metric

    def __init__(self, namespace: Mapping[str, Any], triplets: Callable[[], Triplets] | None = None) -> None:
        self.dials = checked(namespace)
        self.device = pick_device(self.dials.get("device", "cpu"))
        self.n: int = self.dials.get("n", 0)
        self.seed: int = self.dials.get("seed", 0)
        self.note = ""
        self.absent: list[str] = []
        with in_a_line():
            self._load(triplets)

    def _load(self, triplets: Callable[[], Triplets] | None) -> None:
        if triplets is not None:
            self.triplets = triplets().to(device=self.device)
        elif "data" in self.dials:
            needed(self.dials, "n")
            self.triplets = draw(self.dials["data"], self.n, seed=self.seed).to(device=self.device)
        if "metric_name" in self.dials:
            needed(self.dials, "fallback")
            names = (self.dials["metric_name"], self.dials["fallback"])
            self.metric, self.note = metrics.load_first(*names, device=self.device)

    @property
    def photographs(self) -> tuple[str, ...]:
        """The photograph of each triplet."""
        return self.triplets.photographs

    @property
    def problem(self) -> RankFlip:
        """The metric of the chapter on all its triplets."""
        return RankFlip(self.metric, self.triplets)

    @cached_property
    def metrics(self) -> list[Metric]:
        """The metrics of the chapter's table, without those that cannot be had here; see ``left_out``.

        The dial ``heavy_weights`` names weights that are used where they are, and not downloaded. Judges are
        never the metric that is attacked.
        """
        lists = ("table_metrics", "judge_names", "metric_names")
        names = next((self.dials[each] for each in lists if self.dials.get(each)), None) or metrics.names()
        if "judge_names" in self.dials:
            names = [name for name in names if name != self.metric.spec.name]
        heavy = set(self.dials.get("heavy_weights", ()))
        far = [n for n in names if metrics.why_absent(n) and heavy & set(metrics.spec_of(n).weights)]
        near = [name for name in names if name not in far]
        found, absent = metrics.load_available(near, device=self.device)
        self.absent = [*absent, *(metrics.spec_of(name).title for name in far)]
        return found

    @property
    def left_out(self) -> str:
        """A sentence that names the metrics left out for want of weights or packages; empty if none is."""
        self.metrics  # noqa: B018 (loading finds out)
        return f"Left out for want of weights: {listed(self.absent)}." if self.absent else ""

    def part(self, size: int) -> Triplets:
        """Return the first triplets, as many as asked for and never more than n."""
        return self.triplets[: min(size, self.n)]

    def rate(self, happened: Values, among: Values | None = None) -> Rate | None:
        """Return how often something happened to the first triplets, with its interval over photographs.

        Args:
            happened: (M,) of booleans, for the first M triplets.
            among: (M,) of booleans, those that count; all of them if None.

        Returns:
            The rate; None if none counts.
        """
        flags = booleans(happened, "happened")
        counts = np.ones(len(flags), bool) if among is None else booleans(among, "among", len(flags))
        return rate(flags, self.photographs[: len(flags)], counts) if counts.any() else None

    def progress(self, work: Iterable[Each], what: str) -> Iterator[Each]:
        """Go through some work, with a bar if it takes more than two seconds."""
        yield from Bar(work, desc=what, delay=PATIENCE, leave=False)

    def provenance(self, **more: object) -> Provenance:
        """Return the box at the end of the chapter: dials that were used, device, versions, code.

        Args:
            more: further conditions, such as ``table="16 triplets"``.
        """
        told: dict[str, object] = {"data": self.dials["data"]} if "data" in self.dials else {}
        if hasattr(self, "metric"):
            told["metric"] = self.metric.spec.title
        if self.absent:
            told["left_out"] = ", ".join(self.absent)
        told |= more
        return provenance(device=self.device, n=self.n, seed=self.seed, dials=self.dials, **told)

    def _repr_markdown_(self) -> str:
        n, photographs = len(self.triplets), len(set(self.photographs))
        text = with_bold_number(counted(n, photographs if photographs < n else None, "triplets"))
        metric = f"The metric is **{self.metric.spec.title}**, on {text}." if hasattr(self, "metric") else ""
        return " ".join(filter(None, [metric or f"There are {text}.", self.note]))

    def __repr__(self) -> str:
        return self._repr_markdown_().replace("**", "")


@contextmanager
def in_a_line() -> Iterator[None]:
    """Let what is wrong with data or weights be told in a line, as what is wrong with a dial is."""
    try:
        yield
    except SimlibError as error:
        raise DialError(str(error)) from None
