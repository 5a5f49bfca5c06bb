"""Addresses of results: hashes of everything that determines them.

A row is addressed twice: by its recipe (code, versions, weights, attack, parameters, source, target, kind of
device) and by its shard (the pixels, names and labels of the triplets). Results that stand at an address
need not be computed again.
"""

from __future__ import annotations

import hashlib
import inspect
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import PackageNotFoundError, version

import torch

from simlib import metrics
from simlib.attacks import ATTACKS
from simlib.benchmark.plan import Part, Plan, PlannedAttack
from simlib.code import code_hash
from simlib.kernels.images import to_8bit
from simlib.metrics import MetricSpec
from simlib.metrics.weights import digest_of
from simlib.triplets import Triplets

_CODE = ("kernels", "metrics", "triplets", "attacks", "benchmark/shard.py")
"""The code that decides what a row holds; other code may change without new results."""

_LETTERS = 16


@dataclass(frozen=True)
class Recipe:
    """How rows are made, for any triplets.

    Attributes:
        key: the address, 16 hexadecimal digits.
        images_key: address of the attacked images, which all targets share.
        attack: the attack.
        seed: of the attack.
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

    Args:
        plan: a plan that is valid and whose weights are on this machine.
        device: where it is computed; only its kind counts.

    Raises:
        AbsentWeightsError: if weights are not on this machine.
    """
    return {
        part: [
            _recipe(attack, plan.seed, source, target, device)
            for attack, source, targets in pairs
            for target in targets
        ]
        for part, pairs in plan.parts().items()
    }


def _recipe(attack: PlannedAttack, seed: int, source: str, target: str, device: torch.device) -> Recipe:
    images = {
        "attack": attack.attack,
        "protocol": attack.protocol,
        "attacked": attack.target,
        "parameters": all_parameters(attack),
        "seed": seed,
        "source": _identity(source),
        "device": device.type,
        "code": code_hash(*_CODE),
        "torch": torch.__version__,
    }
    key = address({**images, "target": _identity(target)})
    return Recipe(key, address(images), attack, seed, source, target)


def shard_key(triplets: Triplets) -> str:
    """Return the address of triplets: of their pixels (8 bits), names, photographs, distortions, labels."""
    digest = hashlib.sha256()
    for images in (triplets.ref, triplets.p0, triplets.p1):
        digest.update(str(tuple(images.shape)).encode())
        digest.update(to_8bit(images).cpu().numpy().tobytes())
    digest.update(triplets.judge.cpu().numpy().tobytes())
    text = [triplets.names, triplets.photographs, triplets.distortions, triplets.label_source]
    digest.update(json.dumps(text).encode())
    return digest.hexdigest()[:_LETTERS]


def address(content: Mapping[str, object]) -> str:
    """Return the hash of a description made of texts, numbers, lists and mappings."""
    text = json.dumps(content, sort_keys=True, default=list)
    return hashlib.sha256(text.encode()).hexdigest()[:_LETTERS]


def all_parameters(attack: PlannedAttack) -> dict[str, object]:
    """Return the parameters of an attack, those that were not given with their defaults.

    Left out is what decides nothing (how many triplets are attacked at once, whether a bar is shown), and
    seed and protocol, which have a place of their own.
    """
    signature = inspect.signature(ATTACKS[attack.attack]).parameters
    apart = {"problem", "seed", "protocol", "batch_size", "progress", "start"}
    defaults = {name: each.default for name, each in signature.items() if name not in apart}
    return {**defaults, **attack.parameters}


def versions_of(spec: MetricSpec) -> dict[str, str]:
    """Return the versions of the packages that compute a metric, by name; empty where it is none."""
    found: dict[str, str] = {}
    for name in spec.library.split(", "):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = ""
    return found


@cache
def _identity(name: str) -> list[object]:
    """Describe what decides the values of a metric: its name, libraries, and the hashes of its weights."""
    spec = metrics.spec_of(name)
    return [name, versions_of(spec), [digest_of(each) for each in spec.weights]]
