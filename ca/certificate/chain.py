"""The path from the issuing certificate to the root, with what leaves need to know of it."""

from __future__ import annotations

import hashlib
import ssl
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Final, TypeVar

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat import asn1
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, ExtensionOID

from ca.certificate import structures

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

T = TypeVar("T", bound=x509.ExtensionType)

_UNDERSTOOD: Final = frozenset(
    {ExtensionOID.BASIC_CONSTRAINTS, ExtensionOID.KEY_USAGE, ExtensionOID.EXTENDED_KEY_USAGE}
)


class ChainInvalid(Exception):
    """What is wrong with a chain, in words.

    Whoever catches it knows who must act: at load it becomes a ConfigurationError that names the file, during
    issuance a SignerUnavailable.
    """


@dataclass(frozen=True, slots=True)
class Chain:
    """The issuing certificate first, the root last; one self-signed certificate may be both."""

    certificates: tuple[x509.Certificate, ...]
    ders: tuple[bytes, ...]
    pems: tuple[str, ...]
    """With a newline at the end of each."""
    issuer: bytes
    """DER Name: the issuing certificate's subject, byte for byte."""
    key_identifier: bytes | None
    """The issuing certificate's SubjectKeyIdentifier; None where it has none."""
    spki: bytes
    """DER SubjectPublicKeyInfo of the issuing key."""
    spkis: frozenset[bytes]
    """DER SubjectPublicKeyInfo of every certificate: keys that are the CA's own."""
    issuer_key_hash: bytes
    """SHA-256 of `spki`, 32 bytes (RFC 6962 §3.2)."""
    not_before: datetime
    """From when to when every certificate of the chain is valid; both ends belong to it (RFC 5280 §4.1.2.5)."""
    not_after: datetime

    @classmethod
    def parse(cls, pem: bytes) -> Chain:
        """Read a PEM bundle. Raises ChainInvalid if there is anything but certificates that pyca can read.

        Says nothing about whether they form a path: see `check`.
        """
        if pem[:1] == b"\x30":
            raise ChainInvalid("is DER; expected PEM: convert it with `openssl x509 -inform DER -outform PEM`")
        if b"-----BEGIN CERTIFICATE-----" not in pem:
            raise ChainInvalid("certificate chain must contain at least one certificate, in PEM")
        try:
            certificates = x509.load_pem_x509_certificates(pem)
            for certificate in certificates:  # pyca reads a name when it is asked for
                _ = certificate.subject, certificate.issuer
            return cls.of(certificates)
        except (ValueError, TypeError, x509.InvalidVersion) as problem:
            raise ChainInvalid(f"cannot be read as PEM certificates: {problem}") from problem

    @classmethod
    def of(cls, certificates: Sequence[x509.Certificate]) -> Chain:
        """Raises ChainInvalid where the issuing certificate, or the key of another, cannot be read whole."""
        issuing = certificates[0]
        try:
            tbs = asn1.decode_der(structures.TBSCertificate, issuing.tbs_certificate_bytes)
        except ValueError as problem:
            raise ChainInvalid(f"{_name(issuing)} is no version 3 CA certificate: {problem}") from problem
        spki = _spki(issuing)
        if structures.encode(tbs.subject_public_key_info) != spki:
            # Clients hash either the bytes or what their library makes of them: one SCT cannot satisfy both.
            raise ChainInvalid(f"{_name(issuing)} holds its key in an unusual encoding, such as a compressed point")
        return cls(
            certificates=tuple(certificates),
            ders=tuple(certificate.public_bytes(Encoding.DER) for certificate in certificates),
            pems=tuple(certificate.public_bytes(Encoding.PEM).decode() for certificate in certificates),
            issuer=structures.encode(tbs.subject),
            key_identifier=_key_identifier(issuing),
            spki=spki,
            spkis=frozenset({spki, *map(_spki, certificates[1:])}),
            issuer_key_hash=hashlib.sha256(spki).digest(),
            not_before=max(certificate.not_valid_before_utc for certificate in certificates),
            not_after=min(certificate.not_valid_after_utc for certificate in certificates),
        )

    def check(self, now: datetime) -> None:
        """Raises ChainInvalid unless this is a path that may issue code signing certificates at `now`.

        What Fulcio asks of a chain at start (https://pkg.go.dev/github.com/sigstore/fulcio/pkg/ca/x509ca,
        `VerifyCertChain`), and what verifiers ask of it later.
        """
        self.check_path()
        for below, certificate in enumerate(self.certificates):
            _check_ca(certificate, below)
        usages = _extension(self.certificates[0], x509.ExtendedKeyUsage)
        if len(self.certificates) > 1 and (usages is None or ExtendedKeyUsageOID.CODE_SIGNING not in usages):
            raise ChainInvalid(
                "certificate must have extended key usage code signing set to sign code signing certificates: "
                f"{_name(self.certificates[0])} does not"
            )
        self.check_time(now)

    def check_time(self, now: datetime) -> None:
        """The part of `check` that changes as time passes; cheap enough for every issuance."""
        if self.not_before <= now <= self.not_after:
            return
        for certificate in self.certificates:
            start, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
            if now < start:
                raise ChainInvalid(
                    f"{_name(certificate)} is not yet valid: it is {now:%FT%TZ}, it begins {start:%FT%TZ}"
                )
            if now > end:
                raise ChainInvalid(f"{_name(certificate)} has expired: it is {now:%FT%TZ}, it ended {end:%FT%TZ}")

    def check_path(self) -> None:
        """Raises ChainInvalid unless each certificate was issued by the next, and the last by itself."""
        first, root = self.certificates[0], self.certificates[-1]
        if len(self.certificates) > 1 and first.subject == first.issuer:
            raise ChainInvalid(
                f"the first certificate, {_name(first)}, is a root; the issuing certificate comes first, the root last"
            )
        for certificate, issuer in pairwise(self.certificates):
            _check_issued_by(certificate, issuer)
        if root.subject != root.issuer:
            raise ChainInvalid(
                f"the last certificate, {_name(root)}, is no root but was issued by "
                f'"{root.issuer.rfc4514_string()}"; append that one'
            )
        _check_issued_by(root, root)


def certificate_pem(der: bytes) -> str:
    """PEM as pyca/cryptography and Go write it: lines of 64, a newline at the end."""
    return ssl.DER_cert_to_PEM_cert(der)


def _check_issued_by(certificate: x509.Certificate, issuer: x509.Certificate) -> None:
    if certificate.issuer.public_bytes() != issuer.subject.public_bytes():
        raise ChainInvalid(
            f'{_name(certificate)} was issued by "{certificate.issuer.rfc4514_string()}", but {_name(issuer)} follows; '
            "the issuing certificate comes first, each one's issuer next, the root last"
        )
    try:
        certificate.verify_directly_issued_by(issuer)
    except (InvalidSignature, ValueError, TypeError, UnsupportedAlgorithm) as problem:
        raise ChainInvalid(
            f"the signature on {_name(certificate)} is not by the key of {_name(issuer)}, which bears its issuer's name"
        ) from problem


def _check_ca(certificate: x509.Certificate, below: int) -> None:
    """RFC 5280 §6.1.4 (k)-(o). `below` is the number of CA certificates between this one and a leaf."""
    constraints = _extension(certificate, x509.BasicConstraints)
    if constraints is None or not constraints.ca:
        raise ChainInvalid(f"certificate is not a CA: {_name(certificate)}")
    if constraints.path_length is not None and constraints.path_length < below:
        raise ChainInvalid(
            f"{_name(certificate)} allows {constraints.path_length} CA certificates below it (pathlen), "
            f"but there are {below}"
        )
    key_usage = _extension(certificate, x509.KeyUsage)
    if key_usage is None or not key_usage.key_cert_sign:
        raise ChainInvalid(f"{_name(certificate)} lacks the key usage keyCertSign")
    usages = _extension(certificate, x509.ExtendedKeyUsage)
    if usages is not None and not {ExtendedKeyUsageOID.CODE_SIGNING, ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE} & {
        *usages
    }:
        raise ChainInvalid(f"{_name(certificate)} has extended key usages, but not code signing")
    for extension in certificate.extensions:
        if extension.critical and extension.oid not in _UNDERSTOOD:
            raise ChainInvalid(
                f"{_name(certificate)} has the critical extension {extension.oid.dotted_string}, "
                "which sigstore clients do not understand"
            )


def _extension(certificate: x509.Certificate, kind: type[T]) -> T | None:
    try:
        return certificate.extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return None
    except (ValueError, x509.DuplicateExtension) as problem:
        raise ChainInvalid(f"the extensions of {_name(certificate)} cannot be read: {problem}") from problem


def _key_identifier(certificate: x509.Certificate) -> bytes | None:
    identifier = _extension(certificate, x509.SubjectKeyIdentifier)
    return identifier.digest if identifier else None


def _spki(certificate: x509.Certificate) -> bytes:
    try:
        return certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    except (ValueError, UnsupportedAlgorithm) as problem:
        raise ChainInvalid(f"the key of {_name(certificate)} cannot be read: {problem}") from problem


def _name(certificate: x509.Certificate) -> str:
    return f'certificate "{certificate.subject.rfc4514_string()}"'
