"""Public keys as clients send them.

What is refused as unparsable and what as insecure follows Fulcio, whose parser is Go's `crypto/x509`.
"""

from __future__ import annotations

from typing import NamedTuple

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519, rsa, x25519
from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_public_key

from ca.errors import KeyUnparsable, KeyWeak
from ca.proof import pem
from ca.proof.model import KeyWithProof, PublicKey

_GO_CURVES = frozenset({"secp224r1", "secp256r1", "secp384r1", "secp521r1"})
_EXPECTED = "send a public key in PEM (`PUBLIC KEY`), P-256, P-384, P-521, RSA or Ed25519"


class ParsedKey(NamedTuple):
    """A key of a type that a certificate may carry; its strength is not known yet."""

    public_key: PublicKey
    spki: bytes
    """DER SubjectPublicKeyInfo, as pyca/cryptography encodes it."""


def parse_key(material: KeyWithProof) -> ParsedKey:
    """Read the first PEM block, or DER where it is allowed.

    Raises KeyUnparsable; KeyWeak for DSA and X25519, which Fulcio parses and then refuses.
    """
    key = material.unverified_key
    if block := pem.first_block(key):
        match block.label:
            case "PUBLIC KEY":
                return _parse_der(block.der, PublicFormat.SubjectPublicKeyInfo)
            case "RSA PUBLIC KEY":
                return _parse_der(block.der, PublicFormat.PKCS1)
            case _:
                raise KeyUnparsable(f"the PEM block is a {block.quoted_label}, not a public key; {_EXPECTED}")
    if key and material.der_allowed and b"-----BEGIN" not in key:
        return _parse_der(key, PublicFormat.SubjectPublicKeyInfo)
    raise KeyUnparsable(f"{pem.what_it_is(key)}; {_EXPECTED}")


def certifiable(public_key: PublicKeyTypes, spki: bytes) -> ParsedKey | None:
    """None for a key that Go's `crypto/x509` does not know.

    Raises KeyWeak for one that it knows but that no certificate carries.
    """
    match public_key:
        case ec.EllipticCurvePublicKey():
            return ParsedKey(public_key, spki) if public_key.curve.name in _GO_CURVES else None
        case rsa.RSAPublicKey() | ed25519.Ed25519PublicKey():
            return ParsedKey(public_key, spki)
        case dsa.DSAPublicKey() | x25519.X25519PublicKey():
            raise KeyWeak(f"unsupported public key type; {_EXPECTED}")
        case _:
            return None


def _parse_der(der: bytes, format_: PublicFormat) -> ParsedKey:
    try:
        public_key = load_der_public_key(der)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise KeyUnparsable(f"not the DER of a public key, or a point off its curve; {_EXPECTED}") from error
    spki = public_key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    key = certifiable(public_key, spki)
    if key is None:
        raise KeyUnparsable(f"unsupported elliptic curve or key type; {_EXPECTED}")
    # One key, one encoding: compressed points, explicit curve parameters and a format under the other's label
    # are refused, as they are by Go.
    if _encoded(key, format_) != der:
        raise KeyUnparsable("not the canonical DER of the key, with a named curve and an uncompressed point")
    return key


def _encoded(key: ParsedKey, format_: PublicFormat) -> bytes | None:
    if format_ is PublicFormat.SubjectPublicKeyInfo:
        return key.spki
    if isinstance(key.public_key, rsa.RSAPublicKey):
        return key.public_key.public_bytes(Encoding.DER, format_)
    return None
