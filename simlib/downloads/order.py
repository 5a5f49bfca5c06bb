"""What is asked for, what of it has arrived, and whether it is what was asked for."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from simlib.errors import DownloadError


@dataclass(frozen=True)
class Order:
    """A file that is wanted; the attributes are the parameters of :func:`simlib.downloads.download`.

    What has arrived of it lies beside the target as ``.NAME.part``, and what the server calls the version
    of the file that it belongs to in ``.NAME.version``.
    """

    url: str
    target: Path
    title: str
    sha256: str
    size: int | None

    def beside(self, ending: str) -> Path:
        """Return a hidden name beside the target."""
        return self.target.with_name(f".{self.target.name}.{ending}")

    @property
    def part(self) -> Path:
        """Where the bytes that have arrived are kept."""
        return self.beside("part")

    @property
    def version(self) -> str:
        """What the server calls the version that the part belongs to; empty if it says nothing."""
        path = self.beside("version")
        return path.read_text(encoding="latin-1") if path.is_file() else ""

    def begin(self, version: str = "") -> None:
        """Forget what has arrived; what comes next belongs to this version."""
        self.part.unlink(missing_ok=True)
        self.beside("version").unlink(missing_ok=True)
        if version:
            self.beside("version").write_text(version, encoding="latin-1")

    def arrived(self) -> int:
        """Count the bytes to build on; forget them if nothing could tell whether the rest fits them."""
        if not (self.sha256 or self.version):
            self.begin()
        return self.part.stat().st_size if self.part.is_file() else 0

    def difference(self, path: Path) -> str:
        """Say in what a file differs from the wanted one; empty if in nothing that is known of it."""
        size = path.stat().st_size
        if self.size not in (None, size):
            return f"it has {size} bytes, expected are {self.size}"
        digest = sha256_of(path) if self.sha256 else ""
        return "" if digest.startswith(self.sha256) else f"its SHA-256 is {digest}, expected is {self.sha256}"

    def refusal(self, reason: str) -> DownloadError:
        """Build the error for a file that cannot be had."""
        return DownloadError(
            f"{self.title} could not be downloaded from {self.url}: {reason}. Try again, or fetch the file "
            f"by other means and save it as {self.target}."
        )


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file in hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
