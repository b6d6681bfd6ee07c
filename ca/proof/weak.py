"""Keys that anybody could have, or compute, the private half of.

The checks of Boulder's `goodkey`, which Fulcio runs up to v1.8.8, and those of Ed25519 that it lacks.
"""

from __future__ import annotations

import math

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from ca.errors import KeyWeak
from ca.proof.algorithms import KeyKind, kind_of
from ca.proof.model import PublicKey

_SMALL_PRIMES = tuple(n for n in range(2, 752) if all(n % d for d in range(2, math.isqrt(n) + 1)))
_SMALL_PRIMES_PRODUCT = math.prod(_SMALL_PRIMES)

_FERMAT_ROUNDS = 100
_SQUARES_MODULUS = 5040
_SQUARES = frozenset(n * n % _SQUARES_MODULUS for n in range(_SQUARES_MODULUS))
"""Of the residues modulo 5040 only these 4 % are squares: the rest need no square root."""

_ED25519_PRIME = 2**255 - 19
_ED25519_SIGN_BIT = 1 << 255
_ED25519_ORDER_8_Y = 0x7A03AC9277FDC74EC6CC392CFA53202A0F67100D760B3CBA4FD84D3D706A17C7
_ED25519_SMALL_ORDER_Y = frozenset({0, 1, _ED25519_PRIME - 1, _ED25519_ORDER_8_Y, _ED25519_PRIME - _ED25519_ORDER_8_Y})
"""y of the eight points whose order divides the cofactor (RFC 7748 §6.1 names their images on Curve25519)."""


def strong_kind(public_key: PublicKey) -> KeyKind:
    """The kind of a key that is strong enough to certify; its point is on its curve, or it would not exist.

    Raises KeyWeak.
    """
    kind = kind_of(public_key)
    if kind is None:
        raise KeyWeak(
            f"{_described(public_key)} is not permitted; use P-256, P-384, P-521, RSA-2048, 3072, 4096 or Ed25519"
        )
    if isinstance(public_key, RSAPublicKey):
        _refuse_weak_rsa(public_key)
    elif isinstance(public_key, Ed25519PublicKey):
        _refuse_small_order(public_key)
    return kind


def _described(public_key: PublicKey) -> str:
    match public_key:
        case RSAPublicKey():
            return f"an RSA modulus of {public_key.key_size} bits"
        case EllipticCurvePublicKey():
            return f"the curve {public_key.curve.name}"
        case _:
            return "this type of key"


def _refuse_weak_rsa(public_key: RSAPublicKey) -> None:
    numbers = public_key.public_numbers()
    if numbers.e != 65537:
        raise KeyWeak("the RSA exponent has to be 65537")
    if math.gcd(numbers.n, _SMALL_PRIMES_PRODUCT) != 1:
        raise KeyWeak("the RSA modulus has a prime factor below 752; make a new key")
    if _has_roca_fingerprint(numbers.n):
        raise KeyWeak("the RSA key was made by an Infineon chip with CVE-2017-15361 (ROCA); make it elsewhere")
    if _has_close_factors(numbers.n):
        raise KeyWeak("the RSA modulus has two prime factors that are too close together; make a new key")


def _roca_subgroups() -> dict[int, frozenset[int]]:
    """For the primes to 167, which are factors of M for every key size, the residues that 65537 generates.

    Nemec et al., "The Return of Coppersmith's Attack", CCS 2017, §2: p = k·M + (65537^a mod M), so that the
    product of two such primes is, modulo each factor of M, a power of 65537.
    """
    subgroups = {}
    for prime in (p for p in _SMALL_PRIMES if p <= 167):
        powers = frozenset(pow(65537, exponent, prime) for exponent in range(prime - 1))
        if len(powers) < prime - 1:  # where 65537 generates everything, nothing can be told
            subgroups[prime] = powers
    return subgroups


_ROCA_SUBGROUPS = _roca_subgroups()
_ROCA_MODULUS = math.prod(_ROCA_SUBGROUPS)


def _has_roca_fingerprint(modulus: int) -> bool:
    """False positives: one key in 2^27 (§2.2)."""
    residue = modulus % _ROCA_MODULUS
    return all(residue % prime in powers for prime, powers in _ROCA_SUBGROUPS.items())


def _has_close_factors(modulus: int) -> bool:
    """Fermat's factorisation: n = a² - b² with `a` from ⌈√n⌉ on (CA/B Forum BRs §6.1.1.3)."""
    a = math.isqrt(modulus - 1) + 1
    difference = a * a - modulus
    low_a, low_difference = a % _SQUARES_MODULUS, difference % _SQUARES_MODULUS
    for round_ in range(_FERMAT_ROUNDS):
        if low_difference in _SQUARES:
            b_squared = difference + round_ * (2 * a + round_)
            if math.isqrt(b_squared) ** 2 == b_squared:
                return True
        low_difference = (low_difference + 2 * low_a + 1) % _SQUARES_MODULUS
        low_a += 1
    return False


def _refuse_small_order(public_key: Ed25519PublicKey) -> None:
    """With a key of small order, one signature is valid for every message or for one in eight."""
    encoded = int.from_bytes(public_key.public_bytes(Encoding.Raw, PublicFormat.Raw), "little")
    y = encoded & ~_ED25519_SIGN_BIT
    if y >= _ED25519_PRIME:  # RFC 8032 §5.1.3 step 1
        raise KeyWeak("the Ed25519 key is not a canonical encoding of a point")
    if y in _ED25519_SMALL_ORDER_Y:
        raise KeyWeak("the Ed25519 key is a point of small order, which anybody can sign for")
