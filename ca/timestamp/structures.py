"""The ASN.1 of RFC 3161 §2.4, and of RFC 5652 (CMS) and RFC 5816 as far as a timestamp goes.

Declared with `cryptography.hazmat.asn1`. What is DER already enters a structure as a `TLV`.
"""

from __future__ import annotations

from typing import Annotated, Final

from cryptography.hazmat import asn1
from cryptography.x509 import ObjectIdentifier

TLV = asn1.TLV

SIGNED_DATA: Final = ObjectIdentifier("1.2.840.113549.1.7.2")
TST_INFO: Final = ObjectIdentifier("1.2.840.113549.1.9.16.1.4")
CONTENT_TYPE: Final = ObjectIdentifier("1.2.840.113549.1.9.3")
MESSAGE_DIGEST: Final = ObjectIdentifier("1.2.840.113549.1.9.4")
SIGNING_TIME: Final = ObjectIdentifier("1.2.840.113549.1.9.5")
SIGNING_CERTIFICATE_V2: Final = ObjectIdentifier("1.2.840.113549.1.9.16.2.47")


@asn1.sequence
class AlgorithmIdentifier:
    """Of a hash: RFC 5754 §2 writes no parameters and wants NULL understood."""

    algorithm: ObjectIdentifier
    parameters: asn1.Null | None


@asn1.sequence
class MessageImprint:
    hash_algorithm: AlgorithmIdentifier
    hashed_message: bytes


@asn1.sequence
class TimeStampReq:
    version: int
    message_imprint: MessageImprint
    req_policy: ObjectIdentifier | None
    nonce: int | None
    cert_req: Annotated[bool, asn1.Default(False)]
    extensions: Annotated[list[TLV] | None, asn1.Implicit(0)]


@asn1.sequence
class Accuracy:
    seconds: int


@asn1.sequence
class TSTInfo:
    version: int
    policy: ObjectIdentifier
    message_imprint: MessageImprint
    serial_number: int
    gen_time: asn1.GeneralizedTime
    accuracy: Accuracy
    nonce: int | None


@asn1.sequence
class EncapsulatedContentInfo:
    content_type: ObjectIdentifier
    content: Annotated[bytes, asn1.Explicit(0)]


@asn1.sequence
class IssuerAndSerialNumber:
    issuer: TLV
    serial_number: int


@asn1.sequence
class Attribute:
    type: ObjectIdentifier
    values: asn1.SetOf[TLV]


@asn1.sequence
class SignerInfo:
    version: int
    sid: IssuerAndSerialNumber
    digest_algorithm: AlgorithmIdentifier
    signed_attributes: Annotated[asn1.SetOf[Attribute], asn1.Implicit(0)]
    signature_algorithm: TLV
    signature: bytes


@asn1.sequence
class SignedData:
    version: int
    digest_algorithms: asn1.SetOf[AlgorithmIdentifier]
    content: EncapsulatedContentInfo
    certificates: Annotated[asn1.SetOf[TLV] | None, asn1.Implicit(0)]
    signer_infos: asn1.SetOf[SignerInfo]


@asn1.sequence
class ContentInfo:
    content_type: ObjectIdentifier
    content: Annotated[SignedData, asn1.Explicit(0)]


@asn1.sequence
class ESSCertIDv2:
    """RFC 5816 §2.2.1 and RFC 5035 §4: without a hash algorithm it is SHA-256."""

    cert_hash: bytes


@asn1.sequence
class SigningCertificateV2:
    certs: list[ESSCertIDv2]


@asn1.sequence
class PKIStatusInfo:
    status: int


@asn1.sequence
class TimeStampResp:
    status: PKIStatusInfo
    token: ContentInfo
