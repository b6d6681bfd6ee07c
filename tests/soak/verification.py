"""Whether an answer is right: everything that can be known of a certificate is compared with what was asked."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from ca.ct.static_ct import parse_leaf_index
from tests.api.server import fulcio_extension
from tests.ct.logs import signed_by_log

LIFETIME = timedelta(minutes=10)
ISSUER_EXTENSION = 8
"""1.3.6.1.4.1.57264.1.8: the token's `iss` as a UTF8String."""


class WrongAnswerError(AssertionError):
    pass


@dataclass(frozen=True, slots=True)
class Asked:
    """What a certificate has to say."""

    issuer: str
    name: x509.GeneralName
    key: ec.EllipticCurvePublicKey


@dataclass
class Verifier:
    root: x509.Certificate
    log_key: ec.EllipticCurvePublicKey
    leaf_indices: set[int] = field(default_factory=set)
    serials: set[int] = field(default_factory=set)
    issuing: dict[bytes, x509.Certificate] = field(default_factory=dict)
    """Verified against the root, by their PEM."""
    newest_issuing: int = 0
    """Serial number of the last answer's issuing certificate."""

    def check(self, body: bytes, asked: Asked) -> None:
        """Raises WrongAnswerError."""
        try:
            self._check(body, asked)
        except (InvalidSignature, ValueError, KeyError, TypeError, x509.ExtensionNotFound, AssertionError) as problem:
            raise WrongAnswerError(f"{type(problem).__name__}: {problem}") from problem

    def _check(self, body: bytes, asked: Asked) -> None:
        pems = json.loads(body)["signedCertificateEmbeddedSct"]["chain"]["certificates"]
        leaf, issuing, root = (pem.encode() for pem in pems)
        assert root.strip() == self.root.public_bytes(Encoding.PEM).strip(), "another root"
        issuer = self._issuing(issuing)
        self.newest_issuing = issuer.serial_number
        certificate = x509.load_pem_x509_certificate(leaf)
        certificate.verify_directly_issued_by(issuer)
        self._check_content(certificate, asked)
        self._check_sct(certificate, issuer)

    def _issuing(self, pem: bytes) -> x509.Certificate:
        if pem not in self.issuing:
            certificate = x509.load_pem_x509_certificate(pem)
            certificate.verify_directly_issued_by(self.root)
            self.issuing[pem] = certificate
        return self.issuing[pem]

    def _check_content(self, certificate: x509.Certificate, asked: Asked) -> None:
        assert certificate.public_key() == asked.key, "another key"
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        assert list(names) == [asked.name], f"another name: {list(names)}"
        said = fulcio_extension(certificate, ISSUER_EXTENSION)
        assert said[2:].decode() == asked.issuer, "another issuer"
        begin, end, now = certificate.not_valid_before_utc, certificate.not_valid_after_utc, datetime.now(UTC)
        assert begin <= now <= end, "not valid now"
        assert end - begin <= LIFETIME, "valid for too long"
        assert certificate.serial_number not in self.serials, "a serial number twice"
        self.serials.add(certificate.serial_number)

    def _check_sct(self, certificate: x509.Certificate, issuer: x509.Certificate) -> None:
        """RFC 6962 §3.2; one certificate has one SCT, and one leaf index is one certificate."""
        scts = certificate.extensions.get_extension_for_class(x509.PrecertificateSignedCertificateTimestamps).value
        (sct,) = scts
        spki = issuer.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        milliseconds = round(sct.timestamp.replace(tzinfo=UTC).timestamp() * 1000)
        extensions = sct.extension_bytes
        signed = signed_by_log(
            certificate.tbs_precertificate_bytes, hashlib.sha256(spki).digest(), milliseconds, extensions
        )
        self.log_key.verify(sct.signature, signed, ec.ECDSA(SHA256()))
        index = parse_leaf_index(extensions)
        assert index not in self.leaf_indices, "a leaf index twice"
        self.leaf_indices.add(index)
