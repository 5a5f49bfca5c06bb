"""What a result was computed with: profile, device, n, seed, versions, and a hash of the code."""

from __future__ import annotations

import html
import os
import platform
from dataclasses import dataclass
from importlib.metadata import version

from simlib.code import code_hash

PROFILE_VARIABLE = "SIMLIB_PROFILE"
"""Names the profile to a notebook that is executed."""

HEADLESS_VARIABLE = "SIMLIB_HEADLESS"
"""Set where a program executes a notebook and nobody turns its dials."""

_LIBRARIES = ("torch", "torchvision", "lpips", "stlpips_pytorch", "piq", "scikit-image", "numpy", "scipy")


@dataclass(frozen=True, repr=False)
class Provenance:
    """The conditions of a run, shown as a folded box in the book and as text elsewhere.

    Attributes:
        rows: pairs of what and its value, in the order shown.
    """

    rows: tuple[tuple[str, str], ...]

    def __repr__(self) -> str:
        return "\n".join(f"{name}: {value}" for name, value in self.rows)

    def _repr_html_(self) -> str:
        cells = "".join(
            f"<dt>{html.escape(name)}</dt><dd>{html.escape(value)}</dd>" for name, value in self.rows
        )
        return (
            '<details class="provenance"><summary>How these numbers were made</summary>'
            f"<dl>{cells}</dl></details>"
        )


def provenance(*, device: object, n: int, seed: int, **more: object) -> Provenance:
    """Collect the conditions of this run.

    Args:
        device: the device that computed.
        n: number of triplets.
        seed: the seed they were drawn with.
        more: further conditions worth telling, such as ``metric="LPIPS (Alex)"``.
    """
    # Imported here because torch takes seconds, and the hash alone needs none of it.
    import torch

    libraries = ", ".join(f"{name} {version(name)}" for name in _LIBRARIES)
    told = {name.replace("_", " "): str(value) for name, value in more.items()}
    where = torch.cuda.get_device_name() if str(device).startswith("cuda") else platform.machine()
    rows = {
        "profile": os.environ.get(PROFILE_VARIABLE, "interactive"),
        "triplets": str(n),
        "seed": str(seed),
        **told,
        "device": f"{device} ({where}), {torch.get_num_threads()} threads",
        "versions": f"Python {platform.python_version()}, {libraries}",
        "code": code_hash()[:16],
    }
    return Provenance(tuple(rows.items()))
