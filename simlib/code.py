"""Which code this is: a hash of the source files."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

_ROOT = Path(__file__).resolve().parent


def _read() -> Mapping[str, bytes]:
    return {path.relative_to(_ROOT).as_posix(): path.read_bytes() for path in sorted(_ROOT.rglob("*.py"))}


# Taken when the code is loaded: it may change on disk while a long run goes on.
_AT_IMPORT = _read()


def code_hash(*parts: str) -> str:
    """Return the SHA-256 of source files of simlib, names and contents, as 64 hex digits.

    Args:
        parts: packages and modules whose files count, such as ``"kernels"`` or ``"benchmark/shard.py"``;
            all of simlib if none is given.
    """
    digest = hashlib.sha256()
    for name, source in _AT_IMPORT.items():
        if not parts or any(name == part or name.startswith(f"{part}/") for part in parts):
            digest.update(f"{name}\n{len(source)}\n".encode())
            digest.update(source)
    return digest.hexdigest()
