"""The server's TLS certificate and key in files, followed as the files change."""

from __future__ import annotations

import hashlib
import ssl
from typing import TYPE_CHECKING, Final

import structlog
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

from ca.documents import file_bytes
from ca.errors import ConfigurationError

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

    from ca.http.settings import HTTPSettings

LOOK_AGAIN: Final = 2.0
"""Seconds between calls of `reload`. Two small files: no notification is simpler, or works on every volume."""


class ServerCertificate:
    """TLS 1.2 and later with the pair in two files.

    A new pair is used for connections that begin after it; one that does not load leaves the last good one in use.
    """

    context: ssl.SSLContext
    not_after: datetime

    def __init__(self, certificate: Path, key: Path) -> None:
        """Nothing is read before `load`, so that the parent of several workers can pickle it."""
        self._certificate = certificate
        self._key = key
        self._seen = b""
        self.last_reload_error: str | None = None

    @classmethod
    def of(cls, settings: HTTPSettings) -> ServerCertificate | None:
        if settings.tls_certificate and settings.tls_key:
            return cls(settings.tls_certificate, settings.tls_key)
        return None

    def load(self, now: datetime) -> None:
        """Raises ConfigurationError naming the file."""
        # The digest comes first: a file that changes in between is then read again the next time.
        seen = self._digest()
        leaf = _matching(self._certificate, self._key)
        if leaf.not_valid_after_utc <= now:
            raise ConfigurationError(f"{self._certificate}: expired at {leaf.not_valid_after_utc:%Y-%m-%dT%H:%M:%SZ}")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.set_alpn_protocols(["http/1.1"])
        try:
            context.load_cert_chain(self._certificate, self._key, password=lambda: b"")
        except (ssl.SSLError, OSError) as problem:  # what OpenSSL's security level refuses, such as a short key
            raise ConfigurationError(f"{self._certificate}: cannot serve TLS: {problem}") from problem
        self.context, self._seen, self.not_after = context, seen, leaf.not_valid_after_utc

    def reload(self, now: datetime) -> None:
        """Take the pair in the files if it has changed and is good; say so if it is not."""
        logger = structlog.get_logger("tls")
        try:
            if self._digest() == self._seen and self.last_reload_error is None:
                return
            self.load(now)
        except ConfigurationError as problem:
            if self.last_reload_error != str(problem):
                logger.warning("the TLS pair cannot be loaded, the last good one stays in use", problem=str(problem))
            self.last_reload_error = str(problem)
            return
        self.last_reload_error = None
        logger.info("TLS certificate loaded", certificate=str(self._certificate), not_after=self.not_after)

    def _digest(self) -> bytes:
        """What was read, to be told from what is read next without keeping it."""
        contents = (file_bytes(self._certificate), file_bytes(self._key))
        return b"".join(hashlib.sha256(content).digest() for content in contents)


def _matching(certificate: Path, key: Path) -> x509.Certificate:
    """The server's certificate, its key found to fit. Raises ConfigurationError naming the file."""
    try:
        leaf = x509.load_pem_x509_certificates(file_bytes(certificate))[0]
    except ValueError as problem:
        raise ConfigurationError(f"{certificate}: not certificates in PEM: {problem}") from problem
    try:
        private_key = load_pem_private_key(file_bytes(key), None)
    except TypeError as problem:
        raise ConfigurationError(f"{key}: encrypted; a server's TLS key is kept in the clear") from problem
    except Exception as problem:  # UnsupportedAlgorithm as well as ValueError
        raise ConfigurationError(f"{key}: not a private key in PEM") from problem
    spki = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    if leaf.public_key().public_bytes(*spki) != private_key.public_key().public_bytes(*spki):
        raise ConfigurationError(f"{key}: not the key of the first certificate in {certificate}")
    return leaf
