"""What a Certificate Transparency log is asked, and what it promises."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

from ca.ct.static_ct import MAX_BUNDLED

if TYPE_CHECKING:
    from datetime import datetime

    from ca.ct.rfc6962 import SCT

MAX_CERTIFICATE: Final = MAX_BUNDLED - 64
"""Bytes of one certificate: with what stands around it in a leaf it fits into a tlog-tiles entry bundle."""
MAX_CHAIN: Final = 10
"""Certificates above the one that is logged."""


@dataclass(frozen=True, slots=True)
class Precertificate:
    """A signed precertificate with what is needed to submit it and to check the log's promise."""

    der: bytes
    """Sent again unchanged on every retry: logs recognise a resubmission by its bytes."""
    clean_tbs: bytes
    """The DER TBSCertificate without the poison, RFC 6962 §3.2; the final one without its SCT list."""
    issuer_key_hash: bytes
    """SHA-256 of the issuing certificate's DER SubjectPublicKeyInfo, 32 bytes."""
    chain: tuple[bytes, ...]
    """DER, the issuing certificate first, the root last and always there."""
    not_after: datetime
    """The end of its validity, by which logs divide certificates among their shards."""


@dataclass(frozen=True, slots=True)
class Submission:
    """What the log is asked to take. Whether it may is the caller's to know."""

    is_precert: bool
    certificate: bytes
    """As `LogEntry.certificate`."""
    issuer_key_hash: bytes
    precertificate: bytes
    chain: tuple[bytes, ...]
    """DER, the issuing certificate first, the root last and always there."""

    @property
    def identity(self) -> bytes:
        """32 bytes, the same for what is the same certificate: a re-signed precertificate has the same TBS."""
        return hashlib.sha256(
            b"\x01%b%b" % (self.issuer_key_hash, self.certificate) if self.is_precert else b"\x00" + self.certificate
        ).digest()


class Log(Protocol):
    """A log that promises to publish what it is given.

    Whatever the log does, a call ends: with a verified SCT or with one of the errors named here.
    """

    async def add_pre_chain(self, precertificate: Precertificate, now: datetime) -> SCT:
        """The log's promise for `precertificate`, verified: log id, signature, timestamp against `now`.

        Safe to cancel. Raises LogUnavailable (trying later may help), LogRefused, LogFrozen or SCTInvalid (an operator
        has to act).
        """

    async def check(self, now: datetime) -> None:
        """Return if the log answers and takes entries; readiness asks this. Raises LogUnavailable or LogFrozen."""

    async def aclose(self) -> None:
        """Let go of connections. No call follows."""
