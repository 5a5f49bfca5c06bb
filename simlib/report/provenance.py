"""What a result was computed with: profile, device, n, seed, versions, and the code that was reached."""

from __future__ import annotations

import html
import os
import platform
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from simlib.checkout import PROFILE_VARIABLE
from simlib.provenance import code_hash, describe_device, fingerprints, imports_in, versions

RUN = "application/vnd.simlib.run+json"
"""The type by which a program reads from a notebook what its outputs were made with."""

_LIBRARIES = ("torch", "torchvision", "lpips", "stlpips_pytorch", "piq", "scikit-image", "numpy", "scipy")


@dataclass(frozen=True, repr=False)
class Provenance:
    """The conditions of a run and their values, shown as a folded box in the book and as text elsewhere.

    ``code`` holds a hash of each module that the cells run so far have reached, by name; ``dials`` what the
    dials of the chapter were set to.
    """

    rows: tuple[tuple[str, str], ...]
    profile: str
    code: Mapping[str, str]
    dials: Mapping[str, Any] = field(default_factory=dict)

    def __repr__(self) -> str:
        return "\n".join(f"{name}: {value}" for name, value in self.rows)

    def _repr_html_(self) -> str:
        pairs = (tuple(map(html.escape, row)) for row in self.rows)
        cells = "".join(f"<dt>{name}</dt><dd>{value}</dd>" for name, value in pairs)
        summary = "<summary>How these numbers were made</summary>"
        return f'<details class="provenance">{summary}<dl>{cells}</dl></details>'

    def _repr_mimebundle_(self, **_: Any) -> dict[str, Any]:
        run = {"profile": self.profile, "code": dict(self.code), "dials": dict(self.dials)}
        return {"text/html": self._repr_html_(), "text/plain": repr(self), RUN: run}


def provenance(
    *, device: object, n: int, seed: int, dials: Mapping[str, Any] | None = None, **more: object
) -> Provenance:
    """Collect the conditions of this run.

    Args:
        device: the device that computed.
        n: number of triplets.
        seed: the seed they were drawn with.
        dials: of the chapter, by name, for programs.
        more: further conditions, such as ``metric="LPIPS (Alex)"``.
    """
    # Imported here because torch takes seconds.
    import torch

    libraries = ", ".join(f"{name} {number}" for name, number in versions(_LIBRARIES).items())
    computed = describe_device(torch.device(str(device).partition(" ")[0]))
    profile = os.environ.get(PROFILE_VARIABLE, "interactive")
    rows = {
        "profile": profile,
        "triplets": str(n),
        "seed": str(seed),
        **{name.replace("_", " "): str(value) for name, value in more.items()},
        "device": f"{computed['device']}, {computed['threads']} threads",
        "versions": f"Python {platform.python_version()}, {libraries}",
        "code": code_hash()[:16],
    }
    code = fingerprints({"simlib", *_imported_here()})
    return Provenance(tuple(rows.items()), profile, code, dials or {})


def _imported_here() -> set[str]:
    """Return the modules of simlib that the cells run so far have imported; none outside a notebook."""
    from IPython.core.getipython import get_ipython

    shell = get_ipython()
    # commands of IPython stand there as the Python that they become
    cells = shell.user_ns.get("In", []) if shell else []
    imported: set[str] = set()
    for cell in cells:
        try:
            imported |= imports_in(cell)
        except SyntaxError:
            continue
    return imported
