"""Row 14: public keys that are weak, broken, private, or not the client's to have certified.

Expected: 400 with a stable reason, never a 5xx, no certificate; a refused key costs no more than others do.
"""

from __future__ import annotations

import asyncio
import hashlib
import math

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed448, rsa, x25519
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from ca.keys.ephemeral import EphemeralKeys, ephemeral_ca_key
from ca.main import clock
from tests.api.another import another_ca
from tests.api.server import CA, p256, pem
from tests.faults.asking import CHALLENGE, refused, with_key
from tests.proof.builders import der, ed, key_pem, oid, rsa_key, sign
from tests.proof.builders import pem as pem_of
from tests.proof.builders import spki as spki_of
from tests.proof.test_weak import (
    P,
    close_factors,
    encode,
    infineon_prime,
    rsa_public,
    small_order_points,
    without_small_factors,
)

RSA_OID, EC_OID, ED25519_OID = "1.2.840.113549.1.1.1", "1.2.840.10045.2.1", "1.3.101.112"
P256_OID = "1.2.840.10045.3.1.7"


def spki(algorithm: bytes, bits: bytes) -> bytes:
    return pem_of("PUBLIC KEY", der(0x30, der(0x30, algorithm), der(0x03, b"\0" + bits)))


def rsa_pem(modulus: int, exponent: int = 65537) -> bytes:
    """Whatever the numbers are."""

    def integer(number: int) -> bytes:
        return der(0x02, number.to_bytes(number.bit_length() // 8 + 1, "big"))

    return spki(oid(RSA_OID) + der(0x05), der(0x30, integer(modulus), integer(exponent)))


def point(octets: bytes, curve: str = P256_OID) -> bytes:
    return spki(oid(EC_OID) + oid(curve), octets)


def sized(bits: int) -> bytes:
    return rsa_pem((1 << (bits - 1)) + 1)


def private(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey, form: PrivateFormat) -> bytes:
    return key.private_bytes(Encoding.PEM, form, NoEncryption())


MODULUS = rsa_key().public_key().public_numbers().n
ON_CURVE = p256().public_key().public_numbers()
X, Y = ON_CURVE.x.to_bytes(32, "big"), ON_CURVE.y.to_bytes(32, "big")
GOOD = key_pem(p256().public_key())

WEAK = {
    **{f"RSA of {bits} bits": sized(bits) for bits in (512, 1024, 2047, 2049)},
    **{f"RSA exponent {e}": rsa_pem(MODULUS, e) for e in (3, 17, 65539)},
    "RSA divisible by 3": key_pem(rsa_public(3 * without_small_factors((1 << 2047) // 3 + (1 << 1000)))),
    "RSA divisible by 751": key_pem(rsa_public(751 * without_small_factors((1 << 2047) // 751 + (1 << 1000)))),
    "RSA with ROCA's structure": key_pem(
        rsa_public(math.prod(infineon_prime(1024, 71, e) for e in (0xC0FFEE, 0xBADC0DE)))
    ),
    "RSA with close primes": key_pem(rsa_public(close_factors(50))),
    "P-224": key_pem(ec.generate_private_key(ec.SECP224R1()).public_key()),
    "X25519": key_pem(x25519.X25519PrivateKey.generate().public_key()),
    **{
        f"Ed25519 of small order {number}": spki(oid(ED25519_OID), encode(*small))
        for number, small in enumerate(small_order_points())
    },
    "Ed25519 not reduced": spki(oid(ED25519_OID), encode(0, P + 1)),
}
EITHER = {
    "RSA of 16384 bits": sized(16384),
    "RSA exponent 1": rsa_pem(MODULUS, 1),
    "RSA exponent 2": rsa_pem(MODULUS, 65538),
    "RSA exponent 0": rsa_pem(MODULUS, 0),
    "RSA exponent of 2048 bits": rsa_pem(MODULUS, MODULUS - 2),
    "RSA modulus even": rsa_pem(MODULUS + 1),
    "RSA modulus 0": rsa_pem(0),
}
UNPARSABLE = {
    "secp256k1": key_pem(ec.generate_private_key(ec.SECP256K1()).public_key()),
    "Ed448": key_pem(ed448.Ed448PrivateKey.generate().public_key()),
    "point at infinity": point(b"\0"),
    "point off the curve": point(b"\4" + X + Y[:-1] + bytes([Y[-1] ^ 1])),
    "point (0, 0)": point(b"\4" + bytes(64)),
    "point beyond the field": point(b"\4" + b"\xff" * 64),
    "short point": point(b"\4" + X),
    "point of another curve": point(b"\4" + X + Y, "1.3.132.0.34"),
    "curve without a name": point(b"\4" + X + Y, "1.2.3.4"),
    "Ed25519 of 31 bytes": spki(oid(ED25519_OID), bytes(31)),
    "Ed25519 of 33 bytes": spki(oid(ED25519_OID), bytes(33)),
    "private key PKCS#8": private(p256(), PrivateFormat.PKCS8),
    "private key SEC1": private(p256(), PrivateFormat.TraditionalOpenSSL),
    "private key PKCS#1": private(rsa_key(), PrivateFormat.TraditionalOpenSSL),
    "private key under a public label": private(p256(), PrivateFormat.PKCS8).replace(b"PRIVATE", b"PUBLIC"),
    "bytes after the DER": pem_of("PUBLIC KEY", spki_of(p256().public_key()) + b"\0"),
    "truncated": GOOD.replace(b"A", b"", 1),
    "nothing": b"",
    "nothing but a label": b"-----BEGIN PUBLIC KEY-----\n-----END PUBLIC KEY-----\n",
    "NUL bytes": b"\0" * 100,
    "60 kB of one letter": b"A" * 60_000,
    "a certificate's label": GOOD.replace(b"PUBLIC KEY", b"CERTIFICATE"),
}  # fmt: skip


@pytest.mark.parametrize("content", WEAK.values(), ids=WEAK)
def test_a_weak_key_is_refused(ca: CA, content: bytes) -> None:
    refused(with_key(ca, content), "KEY_WEAK")


@pytest.mark.parametrize("content", EITHER.values(), ids=EITHER)
def test_numbers_that_are_no_rsa_key_are_refused(ca: CA, content: bytes) -> None:
    refused(with_key(ca, content), "KEY_WEAK", "KEY_UNPARSABLE")


@pytest.mark.parametrize("content", UNPARSABLE.values(), ids=UNPARSABLE)
def test_what_is_no_public_key_is_refused(ca: CA, content: bytes) -> None:
    refused(with_key(ca, content), "KEY_UNPARSABLE")


@pytest.mark.parametrize("name", ["private key PKCS#8", "private key SEC1", "private key PKCS#1"])
def test_a_private_key_sent_by_mistake_is_not_sent_back(ca: CA, name: str) -> None:
    answer = with_key(ca, UNPARSABLE[name])
    assert not any(line in answer.text for line in UNPARSABLE[name].decode().splitlines()[1:-1])


def test_of_two_blocks_the_second_is_certified_by_nobody(ca: CA) -> None:
    first, second = p256(), p256()
    both = pem(first) + pem(second)
    refused(with_key(ca, both, sign(second, CHALLENGE.encode(), SHA256())), "PROOF_FAILED", "KEY_UNPARSABLE")


def test_a_blocked_key_is_refused_though_its_proof_is_good(ca: CA) -> None:
    key = ed()
    blocked = frozenset({hashlib.sha256(spki_of(key.public_key())).digest()})
    keys = EphemeralKeys(asyncio.run(ephemeral_ca_key(clock())))
    with another_ca(ca, keys, blocked=blocked) as strict:
        refused(with_key(strict, key_pem(key.public_key()), sign(key, CHALLENGE.encode(), SHA256())), "KEY_BLOCKED")


def test_the_ca_s_own_keys_are_refused_though_their_proof_is_good(ca: CA) -> None:
    own = load_pem_private_key((ca.directory / "ca/intermediate.key.pem").read_bytes(), None)
    assert isinstance(own, ec.EllipticCurvePrivateKey)
    proof = sign(own, CHALLENGE.encode(), SHA256())
    answer = with_key(ca, key_pem(own.public_key()), proof)
    refused(answer, "KEY_BLOCKED")
    assert "a key of this CA" in answer.json()["message"]
