"""The ASN.1 of RFC 5280 §4.1, as far as a code signing certificate goes, and two ways to DER.

Declared with `cryptography.hazmat.asn1`.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from cryptography.hazmat import asn1
from cryptography.x509 import ObjectIdentifier

BIT_STRING: Final = 0x03
OCTET_STRING: Final = 0x04
UTF8_STRING: Final = 0x0C
SEQUENCE: Final = 0x30
EXPLICIT_3: Final = 0xA3

TLV = asn1.TLV
Time = asn1.UTCTime | asn1.GeneralizedTime


@asn1.sequence
class Validity:
    not_before: Time
    not_after: Time


@asn1.sequence
class Extension:
    oid: ObjectIdentifier
    critical: Annotated[bool, asn1.Default(False)]
    value: bytes


@asn1.sequence
class TBSCertificate:
    """Version 3, without the unique identifiers that RFC 5280 §4.1.2.8 forbids."""

    version: Annotated[int, asn1.Explicit(0)]
    serial_number: int
    signature: TLV
    issuer: TLV
    validity: Validity
    subject: TLV
    subject_public_key_info: TLV
    extensions: Annotated[list[Extension], asn1.Explicit(3)]


@asn1.sequence
class Certificate:
    tbs_certificate: TLV
    signature_algorithm: TLV
    signature: asn1.BitString


@asn1.sequence
class SubjectPublicKeyInfo:
    algorithm: TLV
    subject_public_key: asn1.BitString


@asn1.sequence
class OtherName:
    """RFC 5280 §4.2.1.6, where the value is a UTF8String."""

    type_id: ObjectIdentifier
    value: Annotated[str, asn1.Explicit(0)]


@asn1.sequence
class GeneralNames:
    """A SubjectAltName of exactly one GeneralName, RFC 5280 §4.2.1.6."""

    name: (
        Annotated[asn1.Variant[OtherName, Literal["otherName"]], asn1.Implicit(0)]
        | Annotated[asn1.Variant[asn1.IA5String, Literal["rfc822Name"]], asn1.Implicit(1)]
        | Annotated[asn1.Variant[asn1.IA5String, Literal["uniformResourceIdentifier"]], asn1.Implicit(6)]
    )


@asn1.sequence
class AuthorityKeyIdentifier:
    key_identifier: Annotated[bytes, asn1.Implicit(0)]


def encode(value: Any) -> bytes:
    """DER of one of the structures above, or of `str` (UTF8String) or `bytes` (OCTET STRING)."""
    return asn1.encode_der(value)


def element(tag: int, content: bytes) -> bytes:
    """DER of one element whose content is DER already, X.690 §8.1, §10.1: much sooner than by `encode`."""
    size = len(content)
    if size < 0x80:
        return bytes((tag, size)) + content
    octets = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes((tag, 0x80 | len(octets))) + octets + content
