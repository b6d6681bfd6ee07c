"""A signing key in this process's memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from cryptography.hazmat.primitives.asymmetric import ec, padding
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.hashes import SHA256

from ca.keys.model import KeyUnusable, curve_hash

if TYPE_CHECKING:
    from collections.abc import Callable

    from ca.proof.model import PublicKey

PrivateKey = ec.EllipticCurvePrivateKey | RSAPrivateKey | Ed25519PrivateKey

_ECDSA: Final = {
    "secp256r1": bytes.fromhex("300a06082a8648ce3d040302"),  # ecdsa-with-SHA256, RFC 5758 §3.2
    "secp384r1": bytes.fromhex("300a06082a8648ce3d040303"),  # ecdsa-with-SHA384
    "secp521r1": bytes.fromhex("300a06082a8648ce3d040304"),  # ecdsa-with-SHA512
}
_RSA: Final = bytes.fromhex("300d06092a864886f70d01010b0500")  # sha256WithRSAEncryption, RFC 4055 §5
_ED25519: Final = bytes.fromhex("300506032b6570")  # RFC 8410 §3


@dataclass(frozen=True, slots=True, repr=False)
class LocalKey:
    """Signs at once: OpenSSL needs 30 µs for P-256, and no thread would make it sooner."""

    public_key: PublicKey
    signature_algorithm: bytes
    _sign: Callable[[bytes], bytes]

    @classmethod
    def of(cls, private_key: object) -> LocalKey:
        """Raises KeyUnusable for kinds of key that sign no certificates here."""
        match private_key:
            case ec.EllipticCurvePrivateKey():
                ecdsa = ec.ECDSA(curve_hash(private_key.curve))
                algorithm = _ECDSA[private_key.curve.name]
                return cls(private_key.public_key(), algorithm, lambda message: private_key.sign(message, ecdsa))
            case RSAPrivateKey():
                pkcs1 = padding.PKCS1v15()
                return cls(private_key.public_key(), _RSA, lambda message: private_key.sign(message, pkcs1, SHA256()))
            case Ed25519PrivateKey():
                return cls(private_key.public_key(), _ED25519, private_key.sign)
        raise KeyUnusable("no ECDSA, RSA or Ed25519 key; use P-256 or P-384")

    async def sign(self, message: bytes) -> bytes:
        return self._sign(message)
