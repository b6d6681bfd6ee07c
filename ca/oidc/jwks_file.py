"""An issuer's keys in a file, for networks that reach no issuer."""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

from ca.documents import file_bytes
from ca.errors import ConfigurationError, IssuerUnavailable
from ca.oidc.fetch import FetchError
from ca.oidc.files import Stamp, stamp
from ca.oidc.jwks import parse_keys
from ca.oidc.jws import ALGORITHMS
from ca.oidc.known_issuer import IssuerKeys
from ca.oidc.quoting import quoted

if TYPE_CHECKING:
    from pathlib import Path


class JWKSFile:
    """Read again whenever it is another file. A broken one leaves the last good keys, until it is mended."""

    def __init__(self, issuer: str, path: Path) -> None:
        self._issuer = issuer
        self._path = path
        self._stamp: Stamp | None = None
        self._keys: IssuerKeys | None = None
        self.broken = False

    def keys(self) -> IssuerKeys:
        """Raises IssuerUnavailable where there never was a good file."""
        found = stamp(self._path)
        if found != self._stamp:
            self._stamp = found
            self._read()
        if self._keys is None:
            detail = f"issuer {quoted(self._issuer)} has its keys in a file here that cannot be read"
            raise IssuerUnavailable(detail, issuer=self._issuer)
        return self._keys

    def _read(self) -> None:
        logger = structlog.get_logger("oidc")
        try:
            keys = parse_keys(self._issuer, file_bytes(self._path))
        except (FetchError, ConfigurationError) as error:
            self.broken = True
            logger.error("issuer's key file is broken", issuer=self._issuer, file=str(self._path), why=str(error))  # noqa: TRY400 - the cause is said
            return
        self.broken = False
        self._keys = IssuerKeys(frozenset(ALGORITHMS), keys)
        logger.info("issuer's key file read", issuer=self._issuer, file=str(self._path), keys=len(keys))
