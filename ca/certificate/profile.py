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
    BIT_STRING,
    EXPLICIT_3,
    OCTET_STRING,
    SEQUENCE,
    UTF8_STRING,
    AuthorityKeyIdentifier,
    Extension,
    GeneralNames,
    OtherName,
    SubjectPublicKeyInfo,
    Time,
    Validity,
    element,
    encode,
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
_VERSION_3: Final = bytes.fromhex("a003020102")
_EMPTY_NAME: Final = bytes.fromhex("3000")
_GENERALIZED_TIME_FROM: Final = 2050  # RFC 5280 §4.1.2.5

_USER_NAME: Final = ObjectIdentifier("1.3.6.1.4.1.57264.1.7")
_FULCIO: Final = tuple((number, encode(ObjectIdentifier(number.oid)), number.raw) for number in sorted(Fulcio))

_CRITICAL: Final = encode(True)
_SUBJECT_KEY_IDENTIFIER: Final = encode(ExtensionOID.SUBJECT_KEY_IDENTIFIER)
_AUTHORITY: Final = encode(ExtensionOID.AUTHORITY_KEY_IDENTIFIER)
_NAME: Final = encode(ExtensionOID.SUBJECT_ALTERNATIVE_NAME)
_SCT_LIST: Final = encode(ExtensionOID.PRECERT_SIGNED_CERTIFICATE_TIMESTAMPS)

_USAGES: Final = encode(  # digitalSignature alone
    Extension(oid=ExtensionOID.KEY_USAGE, critical=True, value=bytes.fromhex("03020780"))
) + encode(  # id-kp-codeSigning alone; sigstore-python refuses it critical
    Extension(oid=ExtensionOID.EXTENDED_KEY_USAGE, critical=False, value=bytes.fromhex("300a06082b06010505070303"))
)
_POISON: Final = encode(  # RFC 6962 §3.1: critical, NULL
    Extension(oid=ExtensionOID.PRECERT_POISON, critical=True, value=bytes.fromhex("0500"))
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
        start, end = self._validity(chain, now)
        fields = (
            _VERSION_3,
            encode(serial),
            signature_algorithm,
            chain.issuer,
            encode(Validity(not_before=_time(start), not_after=_time(end))),
            _EMPTY_NAME,
            key.spki,
        )
        return Draft(b"".join(fields), extensions, end)

    def _validity(self, chain: Chain, now: datetime) -> tuple[datetime, datetime]:
        start = now.replace(microsecond=0)
        end = min(start + self.lifetime, chain.not_after)
        if not chain.not_before <= start < end:
            raise SignerUnavailable(
                f"the CA's chain is valid from {chain.not_before:%FT%TZ} to {chain.not_after:%FT%TZ}: no certificate "
                f"can begin at {start:%FT%TZ}"
            )
        return start, end


@dataclass(frozen=True, slots=True)
class Draft:
    """One certificate to be. Its TBSCertificates differ in nothing but the last extension (RFC 6962 §3.1)."""

    fields: bytes
    """DER of a TBSCertificate's fields before the extensions, end to end."""
    extensions: bytes
    """DER of each extension, end to end."""
    not_after: datetime

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
        return self._tbs(_extension(_SCT_LIST, element(OCTET_STRING, sct_list)))

    def _tbs(self, last: bytes = b"") -> bytes:
        return element(SEQUENCE, self.fields + element(EXPLICIT_3, element(SEQUENCE, self.extensions + last)))


def new_serial() -> int:
    """158.99 random bits, never zero."""
    return secrets.randbelow(2**_SERIAL_BITS - 1) + 1


def assemble(tbs: bytes, signature_algorithm: bytes, signature: bytes) -> bytes:
    """DER Certificate of a DER TBSCertificate, the DER AlgorithmIdentifier within it, and the signature over it."""
    return element(SEQUENCE, tbs + signature_algorithm + element(BIT_STRING, b"\0" + signature))


def _extensions(identity: Identity, key: ProvenKey, chain: Chain) -> bytes:
    """In Fulcio's order."""
    bits = asn1.decode_der(SubjectPublicKeyInfo, key.spki).subject_public_key.as_bytes()
    subject_key_identifier = hashlib.sha1(bits, usedforsecurity=False).digest()  # RFC 5280 §4.2.1.2 (1)
    authority = b""
    if chain.key_identifier is not None:
        authority = _extension(_AUTHORITY, encode(AuthorityKeyIdentifier(key_identifier=chain.key_identifier)))
    return b"".join(
        (
            _USAGES,
            _extension(_SUBJECT_KEY_IDENTIFIER, element(OCTET_STRING, subject_key_identifier)),
            authority,
            # Critical because the subject is empty, RFC 5280 §4.2.1.6.
            _extension(_NAME, encode(_general_names(identity.subject_alt_name)), critical=True),
            *_fulcio_extensions(identity),
        )
    )


def _fulcio_extensions(identity: Identity) -> list[bytes]:
    """https://github.com/sigstore/fulcio/blob/main/docs/oid-info.md"""
    values = {
        **identity.extensions,
        Fulcio.ISSUER: identity.issuer,
        Fulcio.ISSUER_V2: identity.issuer,
        Fulcio.TOKEN_SUBJECT: identity.subject,
    }
    return [
        _extension(oid, value.encode() if raw else element(UTF8_STRING, value.encode()))
        for number, oid, raw in _FULCIO
        if (value := values.get(number))
    ]


def _extension(oid: bytes, value: bytes, *, critical: bool = False) -> bytes:
    """RFC 5280 §4.1; `oid` and `value` are DER, DEFAULT FALSE is not written."""
    return element(SEQUENCE, oid + (_CRITICAL if critical else b"") + element(OCTET_STRING, value))


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
