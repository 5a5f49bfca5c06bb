"""Files from the network: resumed where they broke off, verified, and only then given their name."""

from simlib.downloads.order import sha256_of
from simlib.downloads.transfer import download

__all__ = ["download", "sha256_of"]
