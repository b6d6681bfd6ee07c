"""Public keys, certificate requests, and proofs of possession: which are taken, and how others are refused."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, padding, rsa, x25519
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from cryptography.x509.oid import NameOID

from tests.e2e.against_fulcio.cases import (
    CSR,
    EMAIL,
    INSECURE,
    KEY,
    PROOF,
    TOKEN,
    Different,
    Same,
    key,
    person,
    post,
    with_csr,
    with_key,
    with_v1_key,
)
from tests.e2e.against_fulcio.comparison import summary, visible
from tests.proof.builders import pem, pkcs1, sign, spki

SHA1, SHA224, SHA256, SHA384, SHA512 = (
    hashes.SHA1(), hashes.SHA224(), hashes.SHA256(), hashes.SHA384(), hashes.SHA512(),
)  # fmt: skip
CHALLENGE = EMAIL.encode()


@cache
def made(kind: str) -> Any:
    match kind.split("-"):
        case ["RSA", size]:
            return rsa.generate_private_key(65537, int(size))
        case ["RSA", size, exponent]:
            return rsa.generate_private_key(int(exponent), int(size))
    return {
        "P-224": lambda: ec.generate_private_key(ec.SECP224R1()),
        "P-256": key,
        "P-384": lambda: ec.generate_private_key(ec.SECP384R1()),
        "P-521": lambda: ec.generate_private_key(ec.SECP521R1()),
        "secp256k1": lambda: ec.generate_private_key(ec.SECP256K1()),
        "brainpoolP256r1": lambda: ec.generate_private_key(ec.BrainpoolP256R1()),
        "Ed25519": ed25519.Ed25519PrivateKey.generate,
        "Ed448": ed448.Ed448PrivateKey.generate,
        "X25519": x25519.X25519PrivateKey.generate,
        "DSA": lambda: dsa.generate_private_key(2048),
    }[kind]()


def der(kind: str) -> bytes:
    return spki(made(kind).public_key())


def proof(kind: str, hash_: hashes.HashAlgorithm | None = SHA256) -> bytes:
    return b"proof" if kind in {"X25519", "DSA", "Ed448"} else sign(made(kind), CHALLENGE, hash_)


# ---- a public key and a proof --------------------------------------------------------------------------------------


def proven(kind: str, hash_: hashes.HashAlgorithm | None = SHA256):
    return lambda issuers: with_key(issuers, pem("PUBLIC KEY", der(kind)).decode(), proof(kind, hash_))


def over(signature: bytes):
    """A P-256 key with this proof."""
    return lambda issuers: with_key(issuers, pem("PUBLIC KEY", der("P-256")).decode(), signature)


def raw(signature: bytes, size: int = 32) -> bytes:
    r, s = decode_dss_signature(signature)
    return r.to_bytes(size) + s.to_bytes(size)


def pss() -> bytes:
    return made("RSA-2048").sign(CHALLENGE, padding.PSS(padding.MGF1(SHA256), 32), SHA256)


def negative(signature: bytes) -> bytes:
    """The other signature that ECDSA allows: n - s in the place of s."""
    order = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
    r, s = decode_dss_signature(signature)
    return encode_dss_signature(r, order - s)


KEYS = {
    "P-256": Same(proven("P-256")),
    "P-384": Same(proven("P-384", SHA384)),
    "P-521": Same(proven("P-521", SHA512)),
    "RSA-2048": Same(proven("RSA-2048")),
    "RSA-3072": Same(proven("RSA-3072")),
    "RSA-4096": Same(proven("RSA-4096")),
    "Ed25519": Same(proven("Ed25519")),
    "P-256 with SHA-384": Same(proven("P-256", SHA384), PROOF),
    "P-256 with SHA-1": Same(proven("P-256", SHA1), PROOF),
    "P-384 with SHA-256": Same(proven("P-384", SHA256), PROOF),
    "P-384 with SHA-512": Same(proven("P-384", SHA512), PROOF),
    "P-521 with SHA-256": Same(proven("P-521", SHA256), PROOF),
    "RSA with SHA-1": Same(proven("RSA-2048", SHA1), PROOF),
    "RSA with SHA-512": Same(proven("RSA-2048", SHA512), PROOF),
    "RSA with PSS": Same(
        lambda issuers: with_key(issuers, pem("PUBLIC KEY", der("RSA-2048")).decode(), pss()), PROOF
    ),
    "P-224": Same(proven("P-224"), INSECURE),
    "RSA-1024": Same(proven("RSA-1024"), INSECURE),
    "RSA-2056": Same(proven("RSA-2056"), INSECURE),
    "RSA with exponent 3": Same(proven("RSA-2048-3"), INSECURE),
    "X25519": Same(proven("X25519"), INSECURE),
    "DSA": Same(proven("DSA"), INSECURE),
    "secp256k1": Same(proven("secp256k1"), KEY),
    "brainpoolP256r1": Same(proven("brainpoolP256r1"), KEY),
    "Ed448": Same(proven("Ed448"), KEY),
    "no proof": Same(over(b""), PROOF),
    "a proof that is no signature": Same(over(b"\0\0\0"), PROOF),
    "over another address": Same(over(sign(key(), b"eve@example.com", SHA256)), PROOF),
    "over nothing": Same(over(sign(key(), b"", SHA256)), PROOF),
    "over another case": Same(over(sign(key(), EMAIL.upper().encode(), SHA256)), PROOF),
    "over a line": Same(over(sign(key(), CHALLENGE + b"\n", SHA256)), PROOF),
    "over the subject": Same(over(sign(key(), b"117", SHA256)), PROOF),
    "by another key": Same(over(sign(made("P-384"), CHALLENGE, SHA384)), PROOF),
    "with a byte after it": Same(over(sign(key(), CHALLENGE, SHA256) + b"\0"), PROOF),
    "with the other s": Same(over(negative(sign(key(), CHALLENGE, SHA256)))),
    "as browsers write it": Same(over(raw(sign(key(), CHALLENGE, SHA256)))),
    "as browsers write it, over another address": Same(over(raw(sign(key(), b"eve@example.com", SHA256))), PROOF),
    "as browsers write it, cut short": Same(over(raw(sign(key(), CHALLENGE, SHA256))[:-1]), PROOF),
}  # fmt: skip

# ---- PEM -----------------------------------------------------------------------------------------------------------

GOOD = pem("PUBLIC KEY", der("P-256"))
COMPRESSED = bytes.fromhex("3039301306072a8648ce3d020106082a8648ce3d030107032200") + key().public_key().public_bytes(
    Encoding.X962, PublicFormat.CompressedPoint
)
PRIVATE = key().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
LABEL = b"-----BEGIN PUBLIC KEY-----\n"

READ = {
    "base64 on one line": pem("PUBLIC KEY", der("P-256"), width=1000),
    "a character a line": pem("PUBLIC KEY", der("P-256"), width=1),
    "no newline at the end": GOOD.strip(),
    "CRLF": GOOD.replace(b"\n", b"\r\n"),
    "empty lines": GOOD.replace(b"\n", b"\n\n"),
    "spaces at line ends": GOOD.replace(b"\n", b" \n"),
    "tabs at line ends": GOOD.replace(b"\n", b"\t\n"),
    "text before": b"a key:\n" + GOOD,
    "text after": GOOD + b"that was it",
    "another key after": GOOD + pem("PUBLIC KEY", der("P-384")),
    "a broken block before": LABEL + b"!!\n-----END PUBLIC KEY-----\n" + GOOD,
    "BEGIN twice": LABEL + GOOD,
    "header lines": GOOD.replace(LABEL, LABEL + b"Proc-Type: 4,ENCRYPTED\nComment: mine\n"),
    "header lines and an empty one": GOOD.replace(LABEL, LABEL + b"Comment: mine\n\n"),
}
UNREAD = {
    "nothing": b"",
    "blank": b"  ",
    "garbage": b"garbage",
    "base64 alone": b"".join(GOOD.splitlines()[1:-1]),
    "no END": GOOD[: GOOD.index(b"-----END")],
    "CR alone": GOOD.replace(b"\n", b"\r"),
    "one line": GOOD.replace(b"\n", b" "),
    "indented": b"\n".join(b"  " + line for line in GOOD.splitlines()),
    "text on the line of BEGIN": b"key: " + GOOD,
    "END on the last line": GOOD.replace(b"\n-----END", b"-----END"),
    "another END": GOOD.replace(b"END PUBLIC", b"END RSA PUBLIC"),
    "four dashes": GOOD.replace(b"-----", b"----"),
    "no padding": GOOD.replace(b"=", b""),
    "a NUL before": b"\0" + GOOD,
    "empty block": pem("PUBLIC KEY", b""),
    "certificate first": pem("CERTIFICATE", b"\x30\x00") + GOOD,
    "private key": PRIVATE,
    "EC PUBLIC KEY": pem("EC PUBLIC KEY", der("P-256")),
    "label in lower case": pem("public key", der("P-256")),
    "no label": pem("", der("P-256")),
    "a byte after the DER": pem("PUBLIC KEY", der("P-256") + b"\0"),
    "compressed point": pem("PUBLIC KEY", COMPRESSED),
    "point off the curve": pem("PUBLIC KEY", der("P-256")[:-1] + bytes([der("P-256")[-1] ^ 1])),
    "PKCS#1 under the other label": pem("PUBLIC KEY", pkcs1(made("RSA-2048").public_key())),
    "the other under PKCS#1's label": pem("RSA PUBLIC KEY", der("P-256")),
}


def rsa_in_pkcs1(issuers):
    return with_key(issuers, pem("RSA PUBLIC KEY", pkcs1(made("RSA-2048").public_key())).decode(), proof("RSA-2048"))


PEM = {
    **{case: Same(lambda issuers, text=text: with_key(issuers, text.decode(), proof("P-256"))) for case, text in READ.items()},
    **{case: Same(lambda issuers, text=text: with_key(issuers, text.decode(), proof("P-256")), KEY) for case, text in UNREAD.items()},
    "PKCS#1": Same(rsa_in_pkcs1),
    "DER in base64": Same(lambda issuers: with_key(issuers, "MFkw", proof("P-256")), KEY),
}  # fmt: skip

V1 = {
    **{f"v1, {case}": Same(lambda issuers, text=text: with_v1_key(issuers, text, proof("P-256")), "201") for case, text in READ.items()},
    **{f"v1, {case}": Same(lambda issuers, text=text: with_v1_key(issuers, text, proof("P-256")), KEY) for case, text in UNREAD.items()},
    **{
        f"v1, {kind} in DER": Same(lambda issuers, kind=kind, hash_=hash_: with_v1_key(issuers, der(kind), proof(kind, hash_)), answer)
        for kind, hash_, answer in [
            ("P-256", SHA256, "201"),
            ("P-384", SHA384, "201"),
            ("P-521", SHA512, "201"),
            ("RSA-2048", SHA256, "201"),
            ("Ed25519", None, "201"),
            ("P-224", SHA256, INSECURE),
            ("RSA-1024", SHA256, INSECURE),
            ("X25519", None, INSECURE),
            ("DSA", None, INSECURE),
            ("secp256k1", SHA256, KEY),
            ("Ed448", None, KEY),
        ]
    },
    "v1, PKCS#1 in DER": Same(
        lambda issuers: with_v1_key(issuers, pkcs1(made("RSA-2048").public_key()), proof("RSA-2048")), KEY
    ),
}  # fmt: skip

# ---- certificate requests ------------------------------------------------------------------------------------------


def request(kind: str, hash_: hashes.HashAlgorithm | None = SHA256, rsa_padding: Any = None) -> bytes:
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    return builder.sign(made(kind), hash_, rsa_padding=rsa_padding).public_bytes(Encoding.DER)


def csr(kind: str, hash_: hashes.HashAlgorithm | None = SHA256, rsa_padding: Any = None):
    return lambda issuers: with_csr(issuers, pem("CERTIFICATE REQUEST", request(kind, hash_, rsa_padding)))


def text(content: bytes):
    return lambda issuers: with_csr(issuers, content)


def full_of_wishes() -> bytes:
    names = [
        x509.NameAttribute(NameOID.COMMON_NAME, "eve"),
        x509.NameAttribute(NameOID.EMAIL_ADDRESS, "eve@example.com"),
    ]
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name(names))
    builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName("evil.example")]), critical=True)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    return builder.sign(key(), SHA256).public_bytes(Encoding.PEM)


def salted(length: int) -> padding.PSS:
    return padding.PSS(padding.MGF1(SHA256), length)


DER = request("P-256")
REQUEST = pem("CERTIFICATE REQUEST", DER)
NOT_PERMITTED = "400 signing algorithm not permitted: "
UNRECOGNIZED = "400 unrecognized signature algorithm: "


def off_curve() -> bytes:
    last = DER.find(der("P-256")) + len(der("P-256")) - 1
    return DER[:last] + bytes([DER[last] ^ 1]) + DER[last + 1 :]


CSRS = {
    "CSR, P-256 with SHA-256": Same(csr("P-256")),
    "CSR, P-384 with SHA-384": Same(csr("P-384", SHA384)),
    "CSR, P-521 with SHA-512": Same(csr("P-521", SHA512)),
    "CSR, RSA-2048": Same(csr("RSA-2048")),
    "CSR, RSA-4096": Same(csr("RSA-4096")),
    "CSR, Ed25519": Same(csr("Ed25519", None)),
    "CSR, P-256 with SHA-384": Same(csr("P-256", SHA384), NOT_PERMITTED + "*ecdsa.PublicKey, SHA-384"),
    "CSR, P-256 with SHA-512": Same(csr("P-256", SHA512), NOT_PERMITTED + "*ecdsa.PublicKey, SHA-512"),
    "CSR, P-384 with SHA-256": Same(csr("P-384"), NOT_PERMITTED + "*ecdsa.PublicKey, SHA-256"),
    "CSR, P-521 with SHA-256": Same(csr("P-521"), NOT_PERMITTED + "*ecdsa.PublicKey, SHA-256"),
    "CSR, RSA with SHA-384": Same(csr("RSA-2048", SHA384), NOT_PERMITTED + "*rsa.PublicKey, SHA-384"),
    "CSR, RSA with SHA-512": Same(csr("RSA-2048", SHA512), NOT_PERMITTED + "*rsa.PublicKey, SHA-512"),
    "CSR, RSA with PSS": Same(csr("RSA-2048", SHA256, salted(32)), UNRECOGNIZED + "SHA256-RSAPSS"),
    "CSR, P-256 with SHA-224": Same(csr("P-256", SHA224), PROOF),
    "CSR, RSA with SHA-3": Same(csr("RSA-2048", hashes.SHA3_256()), PROOF),
    "CSR, P-224": Same(csr("P-224"), INSECURE),
    "CSR, RSA-1024": Same(csr("RSA-1024"), INSECURE),
    "CSR, RSA with exponent 3": Same(csr("RSA-2048-3"), INSECURE),
    "CSR, DSA": Same(csr("DSA"), INSECURE),
    "CSR, Ed448": Same(csr("Ed448", None), INSECURE),
    "CSR, secp256k1": Same(csr("secp256k1"), CSR),
    "CSR, names and extensions are ignored": Same(text(full_of_wishes())),
    "CSR, NEW": Same(text(pem("NEW CERTIFICATE REQUEST", DER))),
    "CSR, CRLF": Same(text(REQUEST.replace(b"\n", b"\r\n"))),
    "CSR, base64 on one line": Same(text(pem("CERTIFICATE REQUEST", DER, width=1000))),
    "CSR, text before": Same(text(b"a request:\n" + REQUEST)),
    "CSR, in DER": Same(text(DER), CSR),
    "CSR, garbage": Same(text(b"garbage"), CSR),
    "CSR, empty": Same(
        lambda i: post({"credentials": {"oidcIdentityToken": person(i)}, "certificateSigningRequest": ""}), KEY
    ),
    "CSR, a key instead": Same(text(GOOD), CSR),
    "CSR, label of a certificate": Same(text(pem("CERTIFICATE", DER)), CSR),
    "CSR, a byte after the DER": Same(text(pem("CERTIFICATE REQUEST", DER + b"\0")), CSR),
    "CSR, point off the curve": Same(text(pem("CERTIFICATE REQUEST", off_curve())), CSR),
    "CSR, wrong signature": Same(text(pem("CERTIFICATE REQUEST", DER[:-1] + bytes([DER[-1] ^ 1]))), PROOF),
    "CSR, broken signature": Same(text(pem("CERTIFICATE REQUEST", DER[:-8] + bytes(8))), PROOF),
}

SAME = KEYS | PEM | V1 | CSRS


@pytest.mark.parametrize("case", SAME)
def test_a_key_is_answered_alike(pair, issuers, case):
    fulcio, dayfly = pair.ask(SAME[case].ask(issuers))
    assert summary(fulcio).startswith(SAME[case].answer)
    assert visible(dayfly, fulcio) == visible(fulcio)


def both_wrong(issuers):
    request = {"publicKey": {"content": "garbage"}, "proofOfPossession": ""}
    claims = {"sub": "repo:o/r"}
    return post({"credentials": {"oidcIdentityToken": issuers.token("github", claims)}, "publicKeyRequest": request})


DIFFERENT = {
    "PSS with a short salt": Different(
        csr("RSA-2048", SHA256, salted(20)), PROOF, UNRECOGNIZED + "SHA256-RSAPSS",
        "Go does not know it as PSS; it is refused by its right name",
    ),
    "a key and claims that are both wrong": Different(
        both_wrong, KEY, "400 template: ", "identity before key, so that whoever sends claims learns of them first"
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", DIFFERENT)
def test_what_differs_on_purpose_still_differs(pair, issuers, case):
    row = DIFFERENT[case]
    fulcio, dayfly = pair.ask(row.ask(issuers))
    assert summary(fulcio).startswith(row.fulcio)
    assert summary(dayfly).startswith(row.dayfly)


def test_the_token_is_looked_at_before_the_key(pair):
    fulcio, dayfly = pair.ask(post({"publicKeyRequest": {"publicKey": {"content": "garbage"}}}))
    assert summary(fulcio) == TOKEN
    assert visible(dayfly, fulcio) == visible(fulcio)


# ---- another allow-list --------------------------------------------------------------------------------------------

NARROW = {
    "P-256": Same(proven("P-256")),
    "P-384": Same(proven("P-384", SHA384), NOT_PERMITTED + "*ecdsa.PublicKey, SHA-384"),
    "RSA-2048": Same(proven("RSA-2048")),
    "RSA-4096": Same(proven("RSA-4096"), NOT_PERMITTED + "*rsa.PublicKey, SHA-256"),
    "Ed25519": Same(proven("Ed25519"), NOT_PERMITTED + "ed25519.PublicKey, "),
    "CSR, P-384 with SHA-256": Same(csr("P-384")),
    "CSR, Ed25519": Same(csr("Ed25519", None), NOT_PERMITTED + "ed25519.PublicKey, "),
}


@pytest.fixture(scope="module")
def narrow(setup):
    names = "ecdsa-sha2-256-nistp256,ecdsa-sha2-256-nistp384,rsa-sign-pss-2048-sha256"
    with replace(setup, algorithms=names).running("narrow") as pair:
        yield pair


@pytest.mark.parametrize("case", NARROW)
def test_under_another_allow_list_a_key_is_answered_alike(narrow, issuers, case):
    fulcio, dayfly = narrow.ask(NARROW[case].ask(issuers))
    assert summary(fulcio).startswith(NARROW[case].answer)
    assert visible(dayfly, fulcio) == visible(fulcio)
