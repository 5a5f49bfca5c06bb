"""How fast the attacks are, against the same attack one triplet at a time; run by ``make bench``."""
