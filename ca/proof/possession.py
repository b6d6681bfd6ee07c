"""From what a client says about its key to a key that it has proven to hold."""

from __future__ import annotations

from ca.proof.model import KeyMaterial, ProvenKey
from ca.proof.policy import KeyPolicy


def prove(material: KeyMaterial, challenge: str, policy: KeyPolicy) -> ProvenKey:
    """Check the key and the proof that whoever sent it holds it; `challenge` is what the proof signs.

    Raises KeyUnparsable, CSRUnparsable, KeyWeak, KeyBlocked, ProofFailed, AlgorithmUnknown, AlgorithmNotPermitted.
    """
    raise NotImplementedError
