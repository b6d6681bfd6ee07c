"""What we write: Fulcio's leaf profile, to the byte. Nothing else in Dayfly writes certificates for clients.

https://github.com/sigstore/fulcio/blob/main/docs/certificate-specification.md
"""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

from cryptography.hazmat import asn1
from cryptography.x509 import ObjectIdentifier
from cryptography.x509.oid import ExtensionOID

from ca.certificate.structures import (
    TLV,
    AuthorityKeyIdentifier,
    Certificate,
    Extension,
    GeneralNames,
    OtherName,
    SubjectPublicKeyInfo,
    TBSCertificate,
    Time,
    Validity,
    encode,
    tlv,
)
from ca.errors import Misissuance, SignerUnavailable
from ca.identity.model import EmailName, Identity, URIName, UserName
from ca.identity.model import Extension as Fulcio

if TYPE_CHECKING:
    from ca.certificate.chain import Chain
    from ca.identity.model import SubjectAlternativeName
    from ca.proof.model import ProvenKey

MAX_LIFETIME: Final = timedelta(minutes=10)
MIN_LIFETIME: Final = timedelta(seconds=1)

_SERIAL_BITS: Final = 159
"""RFC 5280 §4.1.2.2: positive and at most 20 octets, so that the top bit stays clear."""
_VERSION_3: Final = 2
_EMPTY_NAME: Final = tlv(bytes.fromhex("3000"))
_GENERALIZED_TIME_FROM: Final = 2050  # RFC 5280 §4.1.2.5

_USER_NAME: Final = ObjectIdentifier("1.3.6.1.4.1.57264.1.7")
_FULCIO: Final = tuple((number, ObjectIdentifier(number.oid), number.raw) for number in sorted(Fulcio))

_KEY_USAGE: Final = Extension(  # digitalSignature alone
    oid=ExtensionOID.KEY_USAGE, critical=True, value=bytes.fromhex("03020780")
)
_EXTENDED_KEY_USAGE: Final = Extension(  # id-kp-codeSigning alone; sigstore-python refuses it critical
    oid=ExtensionOID.EXTENDED_KEY_USAGE, critical=False, value=bytes.fromhex("300a06082b06010505070303")
)
_POISON: Final = Extension(  # RFC 6962 §3.1: critical, NULL
    oid=ExtensionOID.PRECERT_POISON, critical=True, value=bytes.fromhex("0500")
)


@dataclass(frozen=True, slots=True)
class Profile:
    """How certificates are written; all that may be chosen is how long they live."""

    lifetime: timedelta = MAX_LIFETIME

    def __post_init__(self) -> None:
        """Raises ValueError for a lifetime that is no whole number of seconds from 1 to 600."""
        if not MIN_LIFETIME <= self.lifetime <= MAX_LIFETIME or self.lifetime.microseconds:
            given = self.lifetime.total_seconds()
            raise ValueError(f"a certificate's lifetime is a whole number of seconds from 1 to 600, not {given}")

    def draft(
        self,
        identity: Identity,
        key: ProvenKey,
        chain: Chain,
        signature_algorithm: bytes,
        serial: int,
        now: datetime,
    ) -> Draft:
        """Everything of one certificate but its last extension and its signature.

        `signature_algorithm` is the DER AlgorithmIdentifier of the CA key. Raises SignerUnavailable if the chain
        leaves no time to live, and Misissuance for an identity that cannot be written.
        """
        try:
            extensions = _extensions(identity, key, chain)
        except ValueError as problem:
            raise Misissuance("the identity has a name or value that has no encoding") from problem
        return Draft(
            serial=serial,
            signature_algorithm=tlv(signature_algorithm),
            issuer=tlv(chain.issuer),
            validity=self._validity(chain, now),
            spki=tlv(key.spki),
            extensions=extensions,
        )

    def _validity(self, chain: Chain, now: datetime) -> Validity:
        start = now.replace(microsecond=0)
        end = min(start + self.lifetime, chain.not_after)
        if not chain.not_before <= start < end:
            raise SignerUnavailable(
                f"the CA's chain is valid from {chain.not_before:%FT%TZ} to {chain.not_after:%FT%TZ}: no certificate "
                f"can begin at {start:%FT%TZ}"
            )
        return Validity(not_before=_time(start), not_after=_time(end))


@dataclass(frozen=True, slots=True)
class Draft:
    """One certificate to be. Its TBSCertificates differ in nothing but the last extension (RFC 6962 §3.1)."""

    serial: int
    signature_algorithm: TLV
    issuer: TLV
    validity: Validity
    spki: TLV
    extensions: tuple[Extension, ...]

    @property
    def not_after(self) -> datetime:
        return self.validity.not_after.as_datetime()

    @property
    def clean_tbs(self) -> bytes:
        """DER TBSCertificate with neither poison nor SCT list: what logs hash and sign."""
        return self._tbs()

    def precertificate_tbs(self) -> bytes:
        """DER TBSCertificate that ends with the poison."""
        return self._tbs(_POISON)

    def certificate_tbs(self, sct_list: bytes | None) -> bytes:
        """DER TBSCertificate that ends with the SCT list; None leaves it out, where CT is switched off.

        `sct_list` is a SignedCertificateTimestampList in TLS encoding.
        """
        if sct_list is None:
            return self._tbs()
        # RFC 6962 §3.3: an OCTET STRING within the extension's own.
        oid = ExtensionOID.PRECERT_SIGNED_CERTIFICATE_TIMESTAMPS
        return self._tbs(Extension(oid=oid, critical=False, value=encode(sct_list)))

    def _tbs(self, *last: Extension) -> bytes:
        return encode(
            TBSCertificate(
                version=_VERSION_3,
                serial_number=self.serial,
                signature=self.signature_algorithm,
                issuer=self.issuer,
                validity=self.validity,
                subject=_EMPTY_NAME,
                subject_public_key_info=self.spki,
                extensions=[*self.extensions, *last],
            )
        )


def new_serial() -> int:
    """158.99 random bits, never zero."""
    return secrets.randbelow(2**_SERIAL_BITS - 1) + 1


def assemble(tbs: bytes, signature_algorithm: bytes, signature: bytes) -> bytes:
    """DER Certificate of a DER TBSCertificate, the DER AlgorithmIdentifier within it, and the signature over it."""
    return encode(
        Certificate(
            tbs_certificate=tlv(tbs),
            signature_algorithm=tlv(signature_algorithm),
            signature=asn1.BitString(signature, 0),
        )
    )


def _extensions(identity: Identity, key: ProvenKey, chain: Chain) -> tuple[Extension, ...]:
    """In Fulcio's order."""
    bits = asn1.decode_der(SubjectPublicKeyInfo, key.spki).subject_public_key.as_bytes()
    subject_key_identifier = hashlib.sha1(bits, usedforsecurity=False).digest()  # RFC 5280 §4.2.1.2 (1)
    authority: tuple[Extension, ...] = ()
    if chain.key_identifier is not None:
        value = encode(AuthorityKeyIdentifier(key_identifier=chain.key_identifier))
        authority = (Extension(oid=ExtensionOID.AUTHORITY_KEY_IDENTIFIER, critical=False, value=value),)
    return (
        _KEY_USAGE,
        _EXTENDED_KEY_USAGE,
        Extension(oid=ExtensionOID.SUBJECT_KEY_IDENTIFIER, critical=False, value=encode(subject_key_identifier)),
        *authority,
        # Critical because the subject is empty, RFC 5280 §4.2.1.6.
        Extension(
            oid=ExtensionOID.SUBJECT_ALTERNATIVE_NAME,
            critical=True,
            value=encode(_general_names(identity.subject_alt_name)),
        ),
        *_fulcio_extensions(identity),
    )


def _fulcio_extensions(identity: Identity) -> list[Extension]:
    """https://github.com/sigstore/fulcio/blob/main/docs/oid-info.md"""
    values = {
        **identity.extensions,
        Fulcio.ISSUER: identity.issuer,
        Fulcio.ISSUER_V2: identity.issuer,
        Fulcio.TOKEN_SUBJECT: identity.subject,
    }
    return [
        Extension(oid=oid, critical=False, value=value.encode() if raw else encode(value))
        for number, oid, raw in _FULCIO
        if (value := values.get(number))
    ]


def _general_names(name: SubjectAlternativeName) -> GeneralNames:
    match name:
        case EmailName(value):
            return GeneralNames(name=asn1.Variant(asn1.IA5String(value), "rfc822Name"))
        case URIName(value):
            return GeneralNames(name=asn1.Variant(asn1.IA5String(value), "uniformResourceIdentifier"))
        case UserName(value):
            return GeneralNames(name=asn1.Variant(OtherName(type_id=_USER_NAME, value=value), "otherName"))


def _time(moment: datetime) -> Time:
    return asn1.GeneralizedTime(moment) if moment.year >= _GENERALIZED_TIME_FROM else asn1.UTCTime(moment)
