"""A key, and the proof that whoever sent it holds it. Nothing else makes a `ProvenKey`."""

from ca.proof.possession import prove

__all__ = ["prove"]
