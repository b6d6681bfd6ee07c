"""TLS with the pair in two files, followed as the files change."""

from __future__ import annotations

from typing import TYPE_CHECKING

import grpc

from ca.documents import file_bytes
from ca.http.tls import ServerCertificate

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path


class ServedPair:
    """What `ServerCertificate` holds good, as gRPC takes it. A handshake asks whether there is a new one."""

    def __init__(self, certificate: Path, key: Path, now: datetime) -> None:
        """Raises ConfigurationError naming the file."""
        self._files = certificate, key
        self._certificate = ServerCertificate(certificate, key)
        self._certificate.load(now)
        self._used = self._certificate.context
        self._new: grpc.ServerCertificateConfiguration | None = None

    def credentials(self) -> grpc.ServerCredentials:
        # The stub has no None, which says that nothing is new.
        return grpc.dynamic_ssl_server_credentials(self._read(), self._take)  # type: ignore[arg-type]

    @property
    def not_after(self) -> datetime:
        return self._certificate.not_after

    @property
    def last_reload_error(self) -> str | None:
        return self._certificate.last_reload_error

    def reload(self, now: datetime) -> None:
        self._certificate.reload(now)
        if self._certificate.context is not self._used:
            self._used, self._new = self._certificate.context, self._read()

    def _read(self) -> grpc.ServerCertificateConfiguration:
        """Files that change meanwhile are read again by the next look."""
        certificate, key = map(file_bytes, self._files)
        return grpc.ssl_server_certificate_configuration([(key, certificate)])

    def _take(self) -> grpc.ServerCertificateConfiguration | None:
        """Called by gRPC's threads."""
        new, self._new = self._new, None
        return new
