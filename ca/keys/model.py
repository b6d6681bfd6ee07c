"""A CA key: something that signs, and the chain that says so."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec, padding
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA256, SHA384, SHA512, HashAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from ca.certificate.chain import ChainInvalid
from ca.errors import KeyWeak, SignerUnavailable
from ca.proof.model import PublicKey
from ca.proof.weak import strong_kind

if TYPE_CHECKING:
    from datetime import datetime

    from ca.certificate.chain import Chain

_CURVE_HASHES: Final[dict[str, HashAlgorithm]] = {"secp256r1": SHA256(), "secp384r1": SHA384(), "secp521r1": SHA512()}

_TRIAL: Final = b"dayfly: does this key sign for this certificate?"


class KeyUnusable(Exception):
    """What is wrong with a CA key, in words. At load it becomes a ConfigurationError."""


class SigningKey(Protocol):
    """The private half of an issuing key, wherever it is kept.

    `sign` returns the signature as a certificate carries it (DER for ECDSA), made with `signature_algorithm`; the
    same message may give other bytes the next time. It may be called concurrently. It raises SignerUnavailable if
    the key does not answer, and never hangs.
    """

    @property
    def public_key(self) -> PublicKey: ...

    @property
    def signature_algorithm(self) -> bytes:
        """DER AlgorithmIdentifier."""

    async def sign(self, message: bytes) -> bytes: ...


@dataclass(frozen=True, slots=True)
class CAKey:
    """A signing key with its chain, shown to belong together. Only `prove` makes one."""

    signing_key: SigningKey
    chain: Chain

    def require_valid(self, now: datetime) -> None:
        """Raises SignerUnavailable while a certificate of the chain is expired or not yet valid."""
        try:
            self.chain.check_time(now)
        except ChainInvalid as problem:
            raise SignerUnavailable(f"the CA cannot issue: {problem}") from problem


@dataclass(frozen=True, slots=True)
class RetiredChain:
    """A chain that nothing valid leads to any more."""

    chain: Chain
    end: datetime
    """From when on no signature can have been made with one of its certificates."""


class CAKeys(Protocol):
    """Where the CA key in use comes from.

    What `current` returns stays usable by whoever holds it, whatever is loaded later: one issuance, one CA key.
    """

    def current(self, now: datetime) -> CAKey:
        """The key to issue with at `now`. Raises SignerUnavailable while its chain is not valid."""

    def chains(self) -> list[Chain]:
        """For the trust bundle: every chain that certificates in use, or issued from here on, may lead to.

        The one that issues comes first; never empty.
        """

    def retired(self) -> list[RetiredChain]:
        """For the trusted root alone: chains that what was signed before leads to."""

    @property
    def last_reload_error(self) -> str | None:
        """Why the key's source cannot be loaded now while an older key is in use; None if all is well."""


async def prove(signing_key: SigningKey, chain: Chain, now: datetime) -> CAKey:
    """Hold key and chain against each other, and both against what may issue at `now`.

    Raises KeyUnusable or ChainInvalid.
    """
    public_key = signing_key.public_key
    chain.check(now)
    _check_strength(public_key)
    if spki(public_key) != chain.spki:
        raise KeyUnusable(
            "the private key's and the issuing certificate's public keys are not equal: they are not a pair"
        )
    try:
        verify(public_key, await signing_key.sign(_TRIAL), _TRIAL)
    except InvalidSignature as problem:
        raise KeyUnusable("a trial signature does not verify with the key's own public half") from problem
    return CAKey(signing_key, chain)


def spki(public_key: PublicKey) -> bytes:
    """DER SubjectPublicKeyInfo."""
    return public_key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def verify(public_key: PublicKey, signature: bytes, message: bytes) -> None:
    """A CA key's signature, with the hash of its kind. Raises cryptography's InvalidSignature."""
    match public_key:
        case ec.EllipticCurvePublicKey():
            public_key.verify(signature, message, ec.ECDSA(curve_hash(public_key.curve)))
        case RSAPublicKey():
            public_key.verify(signature, message, padding.PKCS1v15(), SHA256())
        case Ed25519PublicKey():
            public_key.verify(signature, message)


def curve_hash(curve: ec.EllipticCurve) -> HashAlgorithm:
    """Each curve signs with the hash of its size, as clients expect. Raises KeyUnusable for other curves."""
    if curve.name not in _CURVE_HASHES:
        name = "P-224" if curve.name == "secp224r1" else curve.name
        raise KeyUnusable(f"ECDSA curve {name} not allowed; use P-256 or P-384")
    return _CURVE_HASHES[curve.name]


def _check_strength(public_key: PublicKey) -> None:
    if isinstance(public_key, ec.EllipticCurvePublicKey):
        curve_hash(public_key.curve)
    try:
        strong_kind(public_key)
    except KeyWeak as problem:
        raise KeyUnusable(f"the CA key is weak: {problem.detail}") from problem
