"""The floor: what the signatures of one certificate cost OpenSSL alone, without a server around them."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256

ROUNDS = 15
OPERATIONS = 100


@dataclass(frozen=True, slots=True)
class Floor:
    """Microseconds of CPU."""

    rs256_verify: float
    p256_verify: float
    p256_sign: float

    @property
    def total(self) -> float:
        """One certificate without a log: the token, the proof of possession, the certificate's signature."""
        return self.rs256_verify + self.p256_verify + self.p256_sign


def measure() -> Floor:
    """The least of several rounds: everything that disturbs a measurement makes it longer."""
    message = b"x" * 1000
    rsa_key = rsa.generate_private_key(65537, 2048)
    rsa_public, pkcs1, sha256 = rsa_key.public_key(), padding.PKCS1v15(), SHA256()
    token = rsa_key.sign(message, pkcs1, sha256)
    key, ecdsa = ec.generate_private_key(ec.SECP256R1()), ec.ECDSA(SHA256())
    public, proof = key.public_key(), key.sign(message, ecdsa)
    return Floor(
        rs256_verify=_least(lambda: rsa_public.verify(token, message, pkcs1, sha256)),
        p256_verify=_least(lambda: public.verify(proof, message, ecdsa)),
        p256_sign=_least(lambda: key.sign(message, ecdsa)),
    )


def least(one: Floor, other: Floor) -> Floor:
    return Floor(
        min(one.rs256_verify, other.rs256_verify),
        min(one.p256_verify, other.p256_verify),
        min(one.p256_sign, other.p256_sign),
    )


def _least(operation: Callable[[], object]) -> float:
    rounds = []
    for _ in range(ROUNDS):
        started = time.process_time()
        for _ in range(OPERATIONS):
            operation()
        rounds.append(time.process_time() - started)
    return min(rounds) / OPERATIONS * 1e6
