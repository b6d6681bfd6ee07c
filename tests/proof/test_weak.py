from __future__ import annotations

import math

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicNumbers

from ca.errors import KeyWeak
from ca.proof.algorithms import KeyKind
from ca.proof.weak import strong_kind
from tests.proof.builders import ed, p256, p384, p521, rsa_key


def rsa_public(modulus: int, exponent: int = 65537):
    return RSAPublicNumbers(exponent, modulus).public_key()


def weak(public_key) -> str:
    with pytest.raises(KeyWeak) as caught:
        strong_kind(public_key)
    message = caught.value.public_message
    assert message.startswith("The public key supplied in the request is insecure: ")
    return message


@pytest.mark.parametrize(
    ("private_key", "kind"),
    [
        (p256, KeyKind.P256),
        (p384, KeyKind.P384),
        (p521, KeyKind.P521),
        (lambda: rsa_key(2048), KeyKind.RSA2048),
        (lambda: rsa_key(3072), KeyKind.RSA3072),
        (lambda: rsa_key(4096), KeyKind.RSA4096),
        (ed, KeyKind.ED25519),
    ],
)
def test_a_sound_key_has_a_kind(private_key, kind):
    assert strong_kind(private_key().public_key()) is kind


@pytest.mark.parametrize("bits", [1024, 2046, 2047, 2049, 2056, 3071, 4095, 4104])
def test_an_rsa_modulus_of_another_size_is_weak(bits):
    modulus = (1 << (bits - 1)) + 1

    assert f"{bits} bits" in weak(rsa_public(modulus))


@pytest.mark.parametrize("exponent", [3, 17, 65535, 65539, 2**32 + 1, 2**64 + 1])
def test_another_rsa_exponent_is_weak(exponent):
    assert "exponent" in weak(rsa_public(rsa_key().public_key().public_numbers().n, exponent))


@pytest.mark.parametrize("curve", [ec.SECP224R1, ec.SECP256K1, ec.BrainpoolP256R1])
def test_another_curve_is_weak(curve):
    assert curve.name in weak(ec.generate_private_key(curve()).public_key())


# ---- moduli that anybody can factor -------------------------------------------------------------------------


def without_small_factors(start: int) -> int:
    product = math.prod(n for n in range(3, 2000, 2))
    candidate = start | 1
    while math.gcd(candidate, product) != 1:
        candidate += 2
    return candidate


@pytest.mark.parametrize("factor", [2, 3, 5, 7, 701, 743, 751])
def test_a_small_prime_factor_is_weak(factor):
    cofactor = without_small_factors((1 << 2047) // factor + (1 << 1000))
    modulus = factor * cofactor

    assert modulus.bit_length() == 2048
    assert "prime factor below 752" in weak(rsa_public(modulus) if factor != 2 else even(modulus))


def even(modulus: int):
    """pyca/cryptography makes no such key from numbers, but reads one."""
    from cryptography.hazmat.primitives.serialization import load_der_public_key

    from tests.proof.builders import der, oid

    numbers = der(0x30, der(0x02, b"\0" + modulus.to_bytes(256, "big")), der(0x02, b"\1\0\1"))
    algorithm = der(0x30, oid("1.2.840.113549.1.1.1"), der(0x05))
    return load_der_public_key(der(0x30, algorithm, der(0x03, b"\0" + numbers)))


def test_a_prime_factor_of_757_is_not_looked_for():
    """Boulder stops at 751: what lies above is as likely in a sound product as chance has it."""
    modulus = 757 * without_small_factors((1 << 2047) // 757 + (1 << 1000))

    assert strong_kind(rsa_public(modulus)) is KeyKind.RSA2048


def close_factors(rounds: int) -> int:
    """n = a² - b² with `a` that many steps above ⌈√n⌉."""
    a = math.isqrt(1 << 2047) + (1 << 1000)
    while True:
        a += 1
        b = math.isqrt(2 * a * (rounds + 1))
        modulus = a * a - b * b
        if a - math.isqrt(modulus) - 1 == rounds and modulus % 2 and without_small_factors(modulus) == modulus:
            return modulus


@pytest.mark.parametrize("rounds", [0, 1, 2, 50, 98, 99])
def test_close_prime_factors_are_weak(rounds):
    assert "too close together" in weak(rsa_public(close_factors(rounds)))


@pytest.mark.parametrize("rounds", [100, 101, 1000])
def test_fermat_gives_up_after_a_hundred_rounds(rounds):
    assert strong_kind(rsa_public(close_factors(rounds))) is KeyKind.RSA2048


def test_the_square_of_a_prime_is_weak():
    root = without_small_factors(math.isqrt(1 << 2047) + (1 << 1000))

    assert "too close together" in weak(rsa_public(root * root))


def is_prime(number: int) -> bool:
    """Miller-Rabin with the first bases; the numbers here are not made to fool it."""
    odd, twos = number - 1, 0
    while odd % 2 == 0:
        odd, twos = odd // 2, twos + 1
    for base in (2, 3, 5, 7):
        x = pow(base, odd, number)
        if x in (1, number - 1):
            continue
        if not any((x := x * x % number) == number - 1 for _ in range(twos - 1)):
            return False
    return True


def infineon_prime(bits: int, primes: int, exponent: int) -> int:
    """p = k·M + (65537^a mod M), M the product of the first `primes` primes (Nemec et al., CCS 2017, §2.1)."""
    product, count, candidate = 1, 0, 2
    while count < primes:
        if is_prime(candidate) if candidate > 7 else candidate in (2, 3, 5, 7):
            product, count = product * candidate, count + 1
        candidate += 1
    residue = pow(65537, exponent, product)
    multiple = (3 << (bits - 2)) // product
    while not is_prime(multiple * product + residue):
        multiple += 1
    return multiple * product + residue


@pytest.mark.parametrize(("bits", "primes"), [(1024, 71), (1536, 126)])
def test_a_key_with_infineons_structure_is_weak(bits, primes):
    modulus = infineon_prime(bits, primes, 0xC0FFEE) * infineon_prime(bits, primes, 0xBADC0DE)

    assert modulus.bit_length() == 2 * bits
    assert "CVE-2017-15361" in weak(rsa_public(modulus))


def test_one_infineon_prime_does_not_make_the_fingerprint():
    modulus = infineon_prime(1024, 71, 0xC0FFEE) * without_small_factors((7 << 1021) + 12345)

    assert strong_kind(rsa_public(modulus)) is KeyKind.RSA2048


# ---- points of small order ----------------------------------------------------------------------------------

P = 2**255 - 19
D = -121665 * pow(121666, -1, P) % P


def add(first, second):
    (x1, y1), (x2, y2) = first, second
    product = D * x1 * x2 * y1 * y2 % P
    x3 = (x1 * y2 + x2 * y1) * pow(1 + product, -1, P) % P
    y3 = (y1 * y2 + x1 * x2) * pow(1 - product, -1, P) % P
    return x3, y3


def encode(x: int, y: int) -> bytes:
    return (y | (x & 1) << 255).to_bytes(32, "little")


def small_order_points() -> list[tuple[int, int]]:
    """The subgroup of order 8, from a generator found by taking random points eight-torsion-ward (RFC 8032 §5.1)."""
    order = 2**252 + 27742317777372353535851937790883648493
    y = 2
    while True:
        y += 1
        x2 = (y * y - 1) * pow(D * y * y + 1, -1, P) % P
        x = pow(x2, (P + 3) // 8, P)
        if x * x % P != x2:
            x = x * pow(2, (P - 1) // 4, P) % P
        if x * x % P != x2:
            continue
        point, result, scalar = (x, y), (0, 1), order
        while scalar:
            if scalar & 1:
                result = add(result, point)
            point, scalar = add(point, point), scalar >> 1
        points = [(0, 1)]
        while (following := add(points[-1], result)) != (0, 1):
            points.append(following)
        if len(points) == 8:
            return points


def test_every_point_of_small_order_is_weak():
    points = small_order_points()

    assert len(set(points)) == 8
    for point in points:
        assert "small order" in weak(Ed25519PublicKey.from_public_bytes(encode(*point)))


@pytest.mark.parametrize("y", [0, 1, 2, 18])
@pytest.mark.parametrize("sign", [0, 1])
def test_a_coordinate_not_reduced_modulo_the_prime_is_weak(y, sign):
    assert "canonical" in weak(Ed25519PublicKey.from_public_bytes(encode(sign, P + y)))


@pytest.mark.parametrize("y", [0, 1, P - 1])
def test_a_small_order_point_with_the_wrong_sign_bit_is_weak(y):
    for sign in (0, 1):
        weak(Ed25519PublicKey.from_public_bytes(encode(sign, y)))
