from __future__ import annotations

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, x448, x25519
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from ca.errors import KeyUnparsable, KeyWeak
from ca.proof.model import KeyWithProof
from ca.proof.parse import parse_key
from ca.proof.weak import strong_kind
from tests.proof.builders import (
    csr_builder,
    der,
    ed,
    key_pem,
    oid,
    p256,
    p384,
    p521,
    pem,
    pkcs1,
    rsa_key,
    spki,
    unproven,
)

P256 = p256().public_key()
RSA = rsa_key().public_key()


def parsed(key: bytes, der_allowed: bool = False) -> bytes:
    return parse_key(unproven(key, der_allowed)).spki


def unparsable(key: bytes, der_allowed: bool = False) -> str:
    with pytest.raises(KeyUnparsable) as caught:
        parse_key(unproven(key, der_allowed))
    message = caught.value.public_message
    assert message.startswith("The public key supplied in the request could not be parsed: ")
    return message


# ---- what is taken ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", [p256, p384, p521, rsa_key, ed])
def test_a_public_key_in_pem_is_read(key):
    public_key = key().public_key()

    assert parsed(key_pem(public_key)) == spki(public_key)


def test_a_pkcs1_key_in_pem_becomes_a_subject_public_key_info():
    assert parsed(pem("RSA PUBLIC KEY", pkcs1(RSA))) == spki(RSA)


GOOD = key_pem(P256)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(pem("PUBLIC KEY", spki(P256), width=1000), id="base64 on one line"),
        pytest.param(pem("PUBLIC KEY", spki(P256), width=7), id="short lines"),
        pytest.param(pem("PUBLIC KEY", spki(P256), newline="\r\n"), id="CRLF"),
        pytest.param(GOOD.rstrip(b"\n"), id="no newline at the end"),
        pytest.param(GOOD + b"\n\n", id="empty lines after"),
        pytest.param(b"\n\n" + GOOD, id="empty lines before"),
        pytest.param(b"my key:\n" + GOOD + b"that was it", id="text around"),
        pytest.param(GOOD.replace(b"-----\n", b"----- \t\n"), id="spaces after the dashes"),
        pytest.param(GOOD.replace(b"\n", b" \n", 2), id="spaces in the base64"),
        pytest.param(GOOD + key_pem(p384().public_key()), id="another key after it"),
        pytest.param(GOOD + b"-----BEGIN CERTIFICATE-----\n", id="half a block after it"),
        pytest.param(b"-----BEGIN PUBLIC KEY-----\n" + GOOD, id="a repeated BEGIN line"),
        pytest.param(GOOD.replace(b"-----\n", b"-----\nComment: mine\nA:\n", 1), id="header lines"),
        pytest.param(GOOD.replace(b"-----\n", b"-----\nComment: mine\n\n", 1), id="header lines and an empty one"),
        pytest.param(b"-----BEGIN PUBLIC KEY-----\n!!\n-----END PUBLIC KEY-----\n" + GOOD, id="a broken block before"),
    ],
)
def test_pem_is_read_as_leniently_as_go_reads_it(text):
    assert parsed(text) == spki(P256)


@pytest.mark.parametrize("der_allowed", [True, False])
def test_pem_is_read_whether_or_not_der_is_allowed(der_allowed):
    assert parsed(GOOD, der_allowed) == spki(P256)


@pytest.mark.parametrize("key", [p256, p384, p521, rsa_key, ed])
def test_der_is_read_where_it_is_allowed(key):
    assert parsed(spki(key().public_key()), der_allowed=True) == spki(key().public_key())


# ---- what is not --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", [spki(P256), spki(RSA), pkcs1(RSA)], ids=["SPKI P-256", "SPKI RSA", "PKCS#1"])
def test_der_is_refused_where_it_is_not_allowed(key):
    assert "no PEM block was found" in unparsable(key)


@pytest.mark.parametrize("der_allowed", [True, False])
def test_pkcs1_der_is_refused(der_allowed):
    unparsable(pkcs1(RSA), der_allowed)


@pytest.mark.parametrize("der_allowed", [True, False])
def test_nothing_is_refused(der_allowed):
    assert "nothing was sent" in unparsable(b"", der_allowed)


@pytest.mark.parametrize(
    "key",
    [
        b"garbage",
        b"\0",
        b"\xff" * 100,
        spki(P256).hex().encode(),
        GOOD.split(b"\n", 1)[1],
        GOOD.replace(b"\n", b""),
        GOOD.replace(b"-----BEGIN", b"----BEGIN"),
        GOOD.replace(b"END PUBLIC KEY", b"END PRIVATE KEY"),
        GOOD.replace(b"END PUBLIC KEY-----", b"END PUBLIC KEY----"),
        GOOD[:60],
        b" " + GOOD,
        GOOD.replace(b"\n-----END", b"-----END"),
        GOOD.replace(b"-----\n", b"-----\nComment\n", 1),
        GOOD.replace(b"\n-----END", b"\nComment: mine\n-----END"),
        GOOD.replace(b"\n-----END", b"=\n-----END"),
        GOOD.replace(b"\nM", b"\n!M"),
        GOOD.rstrip(b"\n") + b" tail",
        b"-----BEGIN PUBLIC KEY-----\n-----END PUBLIC KEY-----\n",
    ],
)
@pytest.mark.parametrize("der_allowed", [True, False])
def test_broken_pem_is_refused(key, der_allowed):
    unparsable(key, der_allowed)


def private_pem(encryption) -> bytes:
    return p256().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption)


@pytest.mark.parametrize(
    ("key", "label"),
    [
        (private_pem(NoEncryption()), "PRIVATE KEY"),
        (private_pem(BestAvailableEncryption(b"x")), "ENCRYPTED PRIVATE KEY"),
        (p256().private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()), "EC PRIVATE KEY"),
        (rsa_key().private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()), "RSA PRIVATE KEY"),
        (csr_builder().sign(p256(), hashes.SHA256()).public_bytes(Encoding.PEM), "CERTIFICATE REQUEST"),
        (pem("CERTIFICATE", spki(P256)), "CERTIFICATE"),
        (pem("EC PUBLIC KEY", spki(P256)), "EC PUBLIC KEY"),
        (pem("", spki(P256)), ""),
    ],
)
@pytest.mark.parametrize("der_allowed", [True, False])
def test_another_kind_of_pem_is_refused_by_name(key, label, der_allowed):
    message = unparsable(key, der_allowed)

    assert f"the PEM block is a {label!r}, not a public key" in message
    assert key.split(b"\n")[1].decode() not in message


def test_only_the_first_block_counts():
    unparsable(pem("CERTIFICATE", spki(P256)) + GOOD)


def test_a_key_under_the_label_of_the_other_format_is_refused():
    unparsable(pem("PUBLIC KEY", pkcs1(RSA)))
    unparsable(pem("RSA PUBLIC KEY", spki(RSA)))
    unparsable(pem("RSA PUBLIC KEY", spki(P256)))


EC_P256 = der(0x30, oid("1.2.840.10045.2.1"), oid("1.2.840.10045.3.1.7"))
NULL = der(0x05)


def point(form: PublicFormat) -> bytes:
    return P256.public_bytes(Encoding.X962, form)


def ec_spki(encoded_point: bytes, algorithm: bytes = EC_P256) -> bytes:
    return der(0x30, algorithm, der(0x03, b"\0", encoded_point))


UNCOMPRESSED = point(PublicFormat.UncompressedPoint)
RSA_BITS = der(0x03, b"\0", pkcs1(RSA))


def test_the_hand_made_encoding_is_the_canonical_one():
    assert ec_spki(UNCOMPRESSED) == spki(P256)
    assert der(0x30, der(0x30, oid("1.2.840.113549.1.1.1"), NULL), RSA_BITS) == spki(RSA)


@pytest.mark.parametrize(
    "broken",
    [
        pytest.param(spki(P256) + b"\0", id="trailing byte"),
        pytest.param(spki(P256) + spki(P256), id="two keys"),
        pytest.param(spki(RSA) + b"\0", id="trailing byte after RSA"),
        pytest.param(spki(P256)[:-1], id="cut short"),
        pytest.param(ec_spki(point(PublicFormat.CompressedPoint)), id="compressed point"),
        pytest.param(ec_spki(bytes([6 | UNCOMPRESSED[-1] & 1]) + UNCOMPRESSED[1:]), id="hybrid point"),
        pytest.param(ec_spki(UNCOMPRESSED[:-1] + bytes([UNCOMPRESSED[-1] ^ 1])), id="off the curve"),
        pytest.param(ec_spki(b"\0"), id="point at infinity"),
        pytest.param(ec_spki(b"\4" + bytes(64)), id="(0, 0)"),
        pytest.param(ec_spki(b"\4" + b"\xff" * 64), id="coordinates above the prime"),
        pytest.param(ec_spki(b""), id="no point"),
        pytest.param(ec_spki(UNCOMPRESSED, der(0x30, oid("1.2.840.10045.2.1"))), id="no curve"),
        pytest.param(ec_spki(UNCOMPRESSED, der(0x30, oid("1.2.840.10045.2.1"), NULL)), id="NULL curve"),
        pytest.param(
            ec_spki(UNCOMPRESSED, der(0x30, oid("1.3.132.0.34"), oid("1.2.840.10045.3.1.7"))), id="unknown type"
        ),
        pytest.param(der(0x30, der(0x30, oid("1.2.840.113549.1.1.1")), RSA_BITS), id="RSA without NULL"),
        pytest.param(der(0x30, der(0x30, oid("1.2.840.113549.1.1.10")), RSA_BITS), id="RSASSA-PSS"),
        pytest.param(der(0x30, der(0x30, oid("1.2.840.113549.1.1.7")), RSA_BITS), id="RSAES-OAEP"),
        pytest.param(
            der(0x30, der(0x30, oid("1.3.101.112"), NULL), der(0x03, b"\0" + bytes(32))), id="Ed25519 with NULL"
        ),
        pytest.param(der(0x30, der(0x30, oid("1.3.101.112")), der(0x03, b"\0" + bytes(31))), id="short Ed25519"),
        pytest.param(b"\x30\x80" + spki(P256)[2:] + b"\0\0", id="indefinite length"),
        pytest.param(b"\x30\x81" + spki(P256)[1:], id="long form of a short length"),
        pytest.param(b"", id="empty"),
    ],
)
def test_der_that_is_not_the_one_encoding_of_a_key_is_refused(broken):
    unparsable(pem("PUBLIC KEY", broken))
    unparsable(broken or b"\0", der_allowed=True)


@pytest.mark.parametrize(
    "curve",
    [ec.SECP256K1, ec.SECP192R1, ec.BrainpoolP256R1, ec.BrainpoolP384R1, ec.BrainpoolP512R1],
)
def test_a_curve_that_go_does_not_know_is_unparsable(curve):
    unparsable(key_pem(ec.generate_private_key(curve()).public_key()))


@pytest.mark.parametrize("private_type", [ed448.Ed448PrivateKey, x448.X448PrivateKey])
def test_a_type_of_key_that_go_does_not_know_is_unparsable(private_type):
    unparsable(key_pem(private_type.generate().public_key()))


@pytest.mark.parametrize(
    "public_key",
    [
        pytest.param(dsa.generate_private_key(2048).public_key(), id="DSA"),
        pytest.param(x25519.X25519PrivateKey.generate().public_key(), id="X25519"),
    ],
)
def test_a_type_of_key_that_go_knows_but_nobody_certifies_is_insecure(public_key):
    with pytest.raises(KeyWeak, match="unsupported public key type"):
        parse_key(unproven(key_pem(public_key)))


def test_p224_is_insecure():
    key = parse_key(unproven(key_pem(ec.generate_private_key(ec.SECP224R1()).public_key())))

    with pytest.raises(KeyWeak):
        strong_kind(key.public_key)


def test_reading_hostile_text_takes_time_in_proportion_to_its_size():
    """64 KiB of half blocks: quadratic matching would take minutes, and the suite's timeout would end it."""
    for unit in (b"-----BEGIN A-----\n", b"-----BEGIN A-----\nAAAA\n", b"-----BEGIN ", b"\n-----END A-----", b"A\n"):
        unparsable(unit * (65536 // len(unit)))


def test_parsing_does_not_look_at_the_proof():
    assert parse_key(KeyWithProof(GOOD, b"")).spki == spki(P256)
