"""Files from the network: resumed where they broke off, verified, and only then given their name."""

from simlib.downloads.lock import one_at_a_time
from simlib.downloads.order import sha256_of
from simlib.downloads.transfer import download

__all__ = ["download", "one_at_a_time", "sha256_of"]
