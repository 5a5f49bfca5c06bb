"""Stored distances of the LPIPS example triplet; `python -m tests.metrics.example_values` writes them."""

from __future__ import annotations

import json
from pathlib import Path

from simlib import metrics
from simlib.files import written_whole
from simlib.metrics import Metric
from simlib.triplets import Triplets, example_triplet
from tests.support import shared_data, weights_are_here

FILE = Path(__file__).with_name("example_values.json")


def example() -> Triplets | None:
    folder = shared_data()
    return example_triplet(folder / "examples") if folder else None


def measurable(triplet: Triplets) -> list[str]:
    """List the registered metrics that can measure the triplet here, with their real weights."""
    side = min(triplet.ref.shape[-2:])
    return [
        spec.name
        for spec in metrics.specs()
        if spec.least_side <= side and not spec.extra and weights_are_here(spec.name)
    ]


def values(metric: Metric, triplet: Triplets) -> list[float]:
    return [float(metric(triplet.ref, image)) for image in (triplet.p0, triplet.p1)]


def main() -> None:
    triplet = example()
    if triplet is None:
        raise SystemExit("The images of the example triplet are not beside the repository.")
    before = json.loads(FILE.read_text()) if FILE.exists() else {}
    measured = {name: values(metrics.load(name), triplet) for name in measurable(triplet)}
    with written_whole(FILE) as temporary:
        temporary.write_text(json.dumps({**before, **measured}, indent=2) + "\n")
    print(FILE)


if __name__ == "__main__":
    main()
