"""A timestamp authority (RFC 3161): signs that a digest existed at a time."""

from __future__ import annotations

import secrets
from hashlib import sha256
from typing import TYPE_CHECKING, Final

from cryptography.hazmat import asn1
from cryptography.hazmat.primitives.asymmetric.ec import SECP384R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.hashes import SHA256, SHA384, Hash

from ca.certificate.chain import ChainInvalid
from ca.errors import SignerUnavailable
from ca.timestamp.query import HASHES, POLICY
from ca.timestamp.structures import (
    CONTENT_TYPE,
    MESSAGE_DIGEST,
    SIGNED_DATA,
    SIGNING_CERTIFICATE_V2,
    SIGNING_TIME,
    TLV,
    TST_INFO,
    Accuracy,
    AlgorithmIdentifier,
    Attribute,
    ContentInfo,
    EncapsulatedContentInfo,
    ESSCertIDv2,
    IssuerAndSerialNumber,
    PKIStatusInfo,
    SignedData,
    SignerInfo,
    SigningCertificateV2,
    TimeStampResp,
    TSTInfo,
)

if TYPE_CHECKING:
    from datetime import datetime

    from cryptography.x509 import ObjectIdentifier

    from ca.certificate.chain import Chain
    from ca.keys.model import SigningKey
    from ca.timestamp.query import Query

_ACCURACY: Final = Accuracy(seconds=1)
_GRANTED: Final = 0
_SERIAL_BITS: Final = 159


class TimestampAuthority:
    """Answers queries with one key."""

    def __init__(self, signing_key: SigningKey, chain: Chain) -> None:
        """Key and chain belong together, the authority's own certificate first: see `ca.timestamp.file`."""
        self.chain = chain
        self._signing_key = signing_key
        certificate = chain.certificates[0]
        # The digest that ECDSA with this curve is used with, for the content as for the attributes.
        wide = isinstance(key := signing_key.public_key, EllipticCurvePublicKey) and isinstance(key.curve, SECP384R1)
        self._hash = SHA384() if wide else SHA256()
        oid, _ = HASHES["sha384" if wide else "sha256"]
        self._digest_algorithm = AlgorithmIdentifier(algorithm=oid, parameters=None)
        self._signer = IssuerAndSerialNumber(
            issuer=_tlv(certificate.issuer.public_bytes()), serial_number=certificate.serial_number
        )
        essential = SigningCertificateV2(certs=[ESSCertIDv2(cert_hash=sha256(chain.ders[0]).digest())])
        self._fixed_attributes = [
            _attribute(CONTENT_TYPE, asn1.encode_der(TST_INFO)),
            # RFC 5816 §2.2.1: names the certificate under the signature.
            _attribute(SIGNING_CERTIFICATE_V2, asn1.encode_der(essential)),
        ]

    async def stamp(self, query: Query, now: datetime) -> bytes:
        """DER TimeStampResp. Raises SignerUnavailable while the chain is not valid."""
        try:
            self.chain.check_time(now)
        except ChainInvalid as problem:
            raise SignerUnavailable(f"the timestamp authority cannot sign: {problem}") from problem
        now = now.replace(microsecond=0)
        content = asn1.encode_der(
            TSTInfo(
                version=1,
                policy=POLICY,
                message_imprint=query.imprint,
                serial_number=secrets.randbelow(2**_SERIAL_BITS - 1) + 1,
                gen_time=asn1.GeneralizedTime(now),
                accuracy=_ACCURACY,
                nonce=query.nonce,
            )
        )
        token = ContentInfo(
            content_type=SIGNED_DATA,
            content=SignedData(
                version=3,  # RFC 5652 §5.1: the content is not plain data
                digest_algorithms=asn1.SetOf([self._digest_algorithm]),
                content=EncapsulatedContentInfo(content_type=TST_INFO, content=content),
                certificates=asn1.SetOf([_tlv(self.chain.ders[0])]) if query.certificates else None,
                signer_infos=asn1.SetOf([await self._signer_info(content, now)]),
            ),
        )
        return asn1.encode_der(TimeStampResp(status=PKIStatusInfo(status=_GRANTED), token=token))

    async def _signer_info(self, content: bytes, now: datetime) -> SignerInfo:
        """RFC 5652 §5.4: the signature is over the attributes, and they hold the content's digest."""
        digest = Hash(self._hash)
        digest.update(content)
        attributes = asn1.SetOf(
            [
                *self._fixed_attributes,
                _attribute(MESSAGE_DIGEST, asn1.encode_der(digest.finalize())),
                _attribute(SIGNING_TIME, asn1.encode_der(asn1.UTCTime(now))),
            ]
        )
        return SignerInfo(
            version=1,
            sid=self._signer,
            digest_algorithm=self._digest_algorithm,
            signed_attributes=attributes,
            signature_algorithm=_tlv(self._signing_key.signature_algorithm),
            signature=await self._signing_key.sign(asn1.encode_der(attributes)),
        )


def _attribute(oid: ObjectIdentifier, value: bytes) -> Attribute:
    return Attribute(type=oid, values=asn1.SetOf([_tlv(value)]))


def _tlv(der: bytes) -> TLV:
    return asn1.decode_der(TLV, der)
