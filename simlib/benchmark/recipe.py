"""Recipes: how rows are made, and the addresses under which they are stored.

A row is addressed twice: by its recipe (code, versions, weights, attack, dials, source, target, kind of
device) and by its shard (the pixels, names and labels of the triplets). Results that stand at an address
need not be computed again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from functools import cache

import torch

from simlib.attacks import Attack
from simlib.benchmark.plan import Part, Plan, PlannedAttack
from simlib.errors import InputError
from simlib.kernels.images import from_8bit, to_8bit
from simlib.metrics.metric import MetricSpec
from simlib.metrics.registry import modules_of, spec_of
from simlib.metrics.weights import digest_of
from simlib.provenance import code_hash, versions
from simlib.triplets import Triplets

_WORK = ("simlib.benchmark.shard", "simlib.benchmark.rows")
"""The modules that make rows, whatever the attack and the metrics."""

_LETTERS = 16


@dataclass(frozen=True)
class Recipe:
    """How rows are made, for any triplets.

    Attributes:
        key: the address, 16 hexadecimal digits.
        images_key: address of the attacked images, which all targets share.
        source: name of the metric that is attacked.
        target: name of the metric that judges; the source itself for the white-box row.
    """

    key: str
    images_key: str
    attack: PlannedAttack = field(compare=False)
    seed: int
    source: str
    target: str

    @property
    def white_box(self) -> bool:
        """Whether the judge is the metric that was attacked."""
        return self.source == self.target


def recipes_of(plan: Plan, device: torch.device) -> dict[Part, list[Recipe]]:
    """List what each table of a plan holds for each triplet; a source is its own first target.

    Of the device only the kind counts. Raises AbsentWeightsError if weights are not on this machine.
    """
    return {
        part: [
            recipe_of(attack, plan.seed, source, target, device)
            for attack, source, targets in attacked
            for target in targets
        ]
        for part, attacked in plan.parts().items()
    }


def recipe_of(planned: PlannedAttack, seed: int, source: str, target: str, device: torch.device) -> Recipe:
    """Return how the images of an attack on one metric are judged by another; see :func:`recipes_of`."""
    modules = (*_WORK, *_modules_of(planned.made), *modules_of(source))
    images = {
        "attack": planned.attack,
        "protocol": planned.protocol,
        "attacked": planned.target,
        "dials": planned.made.dials(),
        "seed": seed,
        "source": _identity(source),
        "device": device.type,
        "code": code_hash(*modules),
        "torch": torch.__version__,
    }
    judged = {**images, "target": _identity(target), "code": code_hash(*modules, *modules_of(target))}
    return Recipe(address(judged), address(images), planned, seed, source, target)


def shard_key(triplets: Triplets) -> str:
    """Return the address of triplets: of their pixels, names, photographs, distortions, labels.

    Raises:
        InputError: if the pixels are not levels of 8 bits.
    """
    digest = hashlib.sha256()
    for images in (triplets.ref, triplets.p0, triplets.p1):
        levels = to_8bit(images)
        if (from_8bit(levels) - images).abs().max() > 1e-6:
            raise InputError("A benchmark is of images of 8 bits. Round these to whole levels of 255.")
        digest.update(str(tuple(images.shape)).encode())
        digest.update(levels.cpu().numpy().tobytes())
    digest.update(triplets.judge.cpu().numpy().tobytes())
    text = [triplets.names, triplets.photographs, triplets.distortions, triplets.label_source]
    digest.update(json.dumps(text).encode())
    return digest.hexdigest()[:_LETTERS]


def address(content: Mapping[str, object]) -> str:
    """Return the hash of a description made of texts, numbers, lists and mappings."""
    text = json.dumps(content, sort_keys=True, default=list)
    return hashlib.sha256(text.encode()).hexdigest()[:_LETTERS]


def libraries_of(spec: MetricSpec) -> dict[str, str]:
    """Return the versions of the packages that compute a metric, by name; empty for one that is absent."""
    return versions(spec.library.split(", "))


def _modules_of(attack: Attack) -> Iterator[str]:
    """List the modules that define an attack, the attacks it consists of, and the one it starts from."""
    yield type(attack).__module__
    for value in (attack.starts_from, *(getattr(attack, each.name) for each in fields(attack))):
        for part in value if isinstance(value, tuple) else (value,):
            if isinstance(part, Attack):
                yield from _modules_of(part)


@cache
def _identity(name: str) -> list[object]:
    """Describe what decides the values of a metric: its name, libraries, and the hashes of its weights."""
    spec = spec_of(name)
    return [name, libraries_of(spec), [digest_of(each) for each in spec.weights]]
