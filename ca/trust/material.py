"""From the settings, and what the server has itself, to trust material."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key

from ca.certificate.chain import Chain, ChainInvalid
from ca.documents import file_bytes
from ca.errors import ConfigurationError
from ca.trust.model import (
    SPKI,
    Authority,
    Period,
    Service,
    TransparencyLog,
    TrustMaterial,
    ct_log_id,
    key_details,
    note_log_id,
)

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from ca.trust.settings import CertificateAuthority, CTLog, RekorLog, TimestampAuthority, TrustSettings, Window

CA_API_VERSION = 1
"""Fulcio's as a service, which every client asks for; it stayed 1 when the paths became v2."""
TIMESTAMP_API_VERSION = 1
OIDC_API_VERSION = 1


@dataclass(frozen=True, slots=True)
class OwnParts:
    """What the server knows of itself."""

    authorities: Sequence[Authority]
    """Every chain that certificates have led to or will lead to."""
    ctlogs: Sequence[TransparencyLog]
    timestamp_authority: Authority | None = None
    """Its `uri` is where clients POST."""


class Operated:
    """The operator's entries, their files read once."""

    def __init__(self, settings: TrustSettings) -> None:
        """Raises ConfigurationError naming the file."""
        self._settings = settings
        self._authorities = tuple(_authority(entry) for entry in settings.certificate_authorities)
        self._ctlogs = tuple(_ctlog(entry) for entry in settings.ct_logs)
        self._tlogs = tuple(_tlog(rekor) for rekor in settings.rekor)
        self._timestamp_authorities = tuple(_timestamp_authority(entry) for entry in settings.timestamp_authorities)

    def material(self, own: OwnParts) -> TrustMaterial:
        """Everything clients are told.

        Without the CA's URL there is no operator's name either, and the services are left out.
        """
        settings = self._settings
        url = settings.url
        own_authorities = (own.timestamp_authority,) if own.timestamp_authority else ()
        return TrustMaterial(
            operator=settings.operator or (url and urlsplit(url).hostname) or "",
            authorities=(*own.authorities, *self._authorities),
            ctlogs=(*own.ctlogs, *self._ctlogs),
            tlogs=self._tlogs,
            timestamp_authorities=(*own_authorities, *self._timestamp_authorities),
            ca_services=(Service(url, CA_API_VERSION, _service_period(own.authorities)),) if url else (),
            oidc_services=tuple(Service(entry.url, OIDC_API_VERSION, _period(entry)) for entry in settings.oidc),
            rekor_services=tuple(Service(entry.url, entry.version, _period(entry)) for entry in settings.rekor),
            timestamp_services=tuple(
                Service(authority.uri, TIMESTAMP_API_VERSION, authority.period)
                for authority in (*(own_authorities if url else ()), *self._timestamp_authorities)
            ),
        )


def _service_period(authorities: Sequence[Authority]) -> Period:
    """The service is as old as its first chain; it does not end where one does."""
    return Period(min(authority.period.start for authority in authorities))


def _period(window: Window) -> Period:
    return Period(window.start, window.end)


def _ctlog(entry: CTLog) -> TransparencyLog:
    spki = _log_key(entry.public_key)
    return TransparencyLog(entry.url, spki, ct_log_id(spki), _period(entry))


def _tlog(entry: RekorLog) -> TransparencyLog:
    spki = _log_key(entry.public_key)
    # Version 1 names its key by the hash of the key alone, for whatever kind of key.
    # Without a port: sigstore-go wants the origin to be the URL's host.
    origin = entry.origin or urlsplit(entry.url).hostname or ""
    log_id = note_log_id(spki, origin) if entry.version > 1 else ct_log_id(spki)
    return TransparencyLog(entry.url, spki, log_id, _period(entry))


def _log_key(path: Path) -> SPKI:
    try:
        key = load_pem_public_key(file_bytes(path))
        spki = SPKI(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))
        key_details(spki)
    except (ValueError, UnsupportedAlgorithm) as problem:
        raise ConfigurationError(f"{path}: is no log's public key in PEM: {problem}") from problem
    return spki


def _authority(entry: CertificateAuthority) -> Authority:
    return Authority(entry.url, _chain(entry.chain), _period(entry))


def _timestamp_authority(entry: TimestampAuthority) -> Authority:
    chain = _chain(entry.chain)
    if len(chain.certificates) == 1:
        raise ConfigurationError(
            f"{entry.chain}: has one certificate; sigstore-python wants the authority's own and the root, in this order"
        )
    return Authority(entry.url, chain, _period(entry))


def _chain(path: Path) -> Chain:
    try:
        return Chain.parse(file_bytes(path))
    except ChainInvalid as problem:
        raise ConfigurationError(f"{path}: {problem}") from problem
