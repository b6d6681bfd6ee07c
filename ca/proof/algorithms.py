"""Sigstore's signature algorithms: which kinds of key there are, and which hash goes with each.

Names and defaults are those of the algorithm registry that Sigstore's services share:
https://github.com/sigstore/architecture-docs/blob/main/algorithm-registry.md
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from ca.proof.model import PublicKey


class KeyKind(StrEnum):
    """A type of key and its size; every key that is not weak is one of these."""

    P256 = "P-256"
    P384 = "P-384"
    P521 = "P-521"
    RSA2048 = "RSA-2048"
    RSA3072 = "RSA-3072"
    RSA4096 = "RSA-4096"
    ED25519 = "Ed25519"


class Hash(StrEnum):
    """What is hashed before signing; the values are how Go prints a `crypto.Hash`."""

    SHA256 = "SHA-256"
    SHA384 = "SHA-384"
    SHA512 = "SHA-512"
    NONE = "unknown hash value 0"
    """Ed25519 signs the message itself (RFC 8032 §5.1)."""


@dataclass(frozen=True, slots=True)
class Algorithm:
    """A row of the registry."""

    name: str
    kind: KeyKind
    hash: Hash


_DEFAULTS = (
    Algorithm("ecdsa-sha2-256-nistp256", KeyKind.P256, Hash.SHA256),
    Algorithm("ecdsa-sha2-384-nistp384", KeyKind.P384, Hash.SHA384),
    Algorithm("ecdsa-sha2-512-nistp521", KeyKind.P521, Hash.SHA512),
    Algorithm("rsa-sign-pkcs1-2048-sha256", KeyKind.RSA2048, Hash.SHA256),
    Algorithm("rsa-sign-pkcs1-3072-sha256", KeyKind.RSA3072, Hash.SHA256),
    Algorithm("rsa-sign-pkcs1-4096-sha256", KeyKind.RSA4096, Hash.SHA256),
    Algorithm("ed25519", KeyKind.ED25519, Hash.NONE),
)

DEFAULT_ALGORITHMS = tuple(algorithm.name for algorithm in _DEFAULTS)
"""What clients may use if the configuration does not say."""

DEFAULT_BY_KIND = {algorithm.kind: algorithm for algorithm in _DEFAULTS}
"""How a key of each kind signs a challenge."""

ALGORITHMS = {
    algorithm.name: algorithm
    for algorithm in (
        *_DEFAULTS,
        # Only a certificate request can be signed with these two: a challenge takes the kind's default.
        Algorithm("ecdsa-sha2-256-nistp384", KeyKind.P384, Hash.SHA256),
        Algorithm("ecdsa-sha2-256-nistp521", KeyKind.P521, Hash.SHA256),
    )
}
"""By name, what a request can be made with."""

_CURVES = {"secp256r1": KeyKind.P256, "secp384r1": KeyKind.P384, "secp521r1": KeyKind.P521}
_MODULI = {2048: KeyKind.RSA2048, 3072: KeyKind.RSA3072, 4096: KeyKind.RSA4096}


def kind_of(public_key: PublicKey) -> KeyKind | None:
    """None for a curve or size outside the registry, which `ca.proof.weak` refuses."""
    if isinstance(public_key, EllipticCurvePublicKey):
        return _CURVES.get(public_key.curve.name)
    if isinstance(public_key, RSAPublicKey):
        return _MODULI.get(public_key.key_size)
    return KeyKind.ED25519
