"""What a result was computed with: profile, device, n, seed, versions, and a hash of the code."""

from __future__ import annotations

import html
import os
import platform
from dataclasses import dataclass

from simlib.checkout import PROFILE_VARIABLE
from simlib.provenance import code_hash, describe_device, versions

_LIBRARIES = ("torch", "torchvision", "lpips", "stlpips_pytorch", "piq", "scikit-image", "numpy", "scipy")


@dataclass(frozen=True, repr=False)
class Provenance:
    """The conditions of a run and their values, shown as a folded box in the book and as text elsewhere."""

    rows: tuple[tuple[str, str], ...]

    def __repr__(self) -> str:
        return "\n".join(f"{name}: {value}" for name, value in self.rows)

    def _repr_html_(self) -> str:
        pairs = (tuple(map(html.escape, row)) for row in self.rows)
        cells = "".join(f"<dt>{name}</dt><dd>{value}</dd>" for name, value in pairs)
        summary = "<summary>How these numbers were made</summary>"
        return f'<details class="provenance">{summary}<dl>{cells}</dl></details>'


def provenance(*, device: object, n: int, seed: int, **more: object) -> Provenance:
    """Collect the conditions of this run.

    Args:
        device: the device that computed.
        n: number of triplets.
        seed: the seed they were drawn with.
        more: further conditions, such as ``metric="LPIPS (Alex)"``.
    """
    # Imported here because torch takes seconds.
    import torch

    libraries = ", ".join(f"{name} {number}" for name, number in versions(_LIBRARIES).items())
    computed = describe_device(torch.device(str(device).partition(" ")[0]))
    rows = {
        "profile": os.environ.get(PROFILE_VARIABLE, "interactive"),
        "triplets": str(n),
        "seed": str(seed),
        **{name.replace("_", " "): str(value) for name, value in more.items()},
        "device": f"{computed['device']}, {computed['threads']} threads",
        "versions": f"Python {platform.python_version()}, {libraries}",
        "code": code_hash()[:16],
    }
    return Provenance(tuple(rows.items()))
