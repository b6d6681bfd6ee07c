"""What a client says about its key, and what it proved."""

from __future__ import annotations

from dataclasses import dataclass, field

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

PublicKey = EllipticCurvePublicKey | RSAPublicKey | Ed25519PublicKey


@dataclass(frozen=True, slots=True)
class KeyWithProof:
    """A public key and a signature over the challenge."""

    unverified_key: bytes
    """PEM; where `der_allowed`, DER SubjectPublicKeyInfo too (the v1 API)."""
    unverified_proof: bytes = field(repr=False)
    der_allowed: bool = False


@dataclass(frozen=True, slots=True)
class SigningRequestPEM:
    """A PKCS#10 request in PEM: of it the key counts, and the signature as proof of possession."""

    unverified_csr: bytes


KeyMaterial = KeyWithProof | SigningRequestPEM


@dataclass(frozen=True, slots=True)
class ProvenKey:
    """A key that is strong enough, permitted, and held by whoever sent the request.

    Only `ca.proof` makes one.
    """

    public_key: PublicKey
    spki: bytes
    """DER SubjectPublicKeyInfo, as pyca/cryptography encodes it."""
    algorithm: str
    """Fulcio's name, such as `ecdsa-sha2-256-nistp256`."""
