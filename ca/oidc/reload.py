"""The identity configuration in its file, followed as the file changes."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import structlog

from ca.documents import file_bytes
from ca.documents.follow import Follower
from ca.errors import ConfigurationError
from ca.oidc.changes import changes
from ca.oidc.identity_config import load_identity_config
from ca.oidc.registry import IssuerRegistry

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


class ReloadingIssuers:
    """The trusted issuers, as one registry after another.

    A registry never changes: whoever has taken one, such as a request that is under way, keeps what it started with.
    A file that is not good in every part leaves the last good registry in use, whole.
    """

    def __init__(self, path: Path) -> None:
        """Raises ConfigurationError with a line for each problem."""
        self._path = path
        self._seen = _fingerprint(path)
        self._registry = IssuerRegistry(load_identity_config(path))
        self._error: str | None = None
        self._subscribers: list[Callable[[IssuerRegistry], None]] = []
        self._follower = Follower(lambda: [path], self.reload)

    @property
    def registry(self) -> IssuerRegistry:
        """The one in use now."""
        return self._registry

    @property
    def last_reload_error(self) -> str | None:
        """What is wrong with the file, while the last good one is in use."""
        return self._error

    def subscribe(self, use: Callable[[IssuerRegistry], None]) -> None:
        """Have each later registry handed to `use`, which does not raise, in the moment in which it comes into use."""
        self._subscribers.append(use)

    async def run(self) -> None:
        """Follow the file until cancelled."""
        await self._follower.run()

    def look(self) -> None:
        """Have the running `run` read the file now."""
        self._follower.look()

    async def reload(self) -> None:
        """Take the file if it has changed and is good; say so if it is not."""
        logger = structlog.get_logger("oidc")
        try:
            seen = _fingerprint(self._path)
            if seen == self._seen and self._error is None:
                return
            self._seen = seen
            issuers = load_identity_config(self._path)
        except ConfigurationError as problem:
            if self._error != problem.detail:
                logger.warning(
                    "the identity configuration cannot be loaded, the last good one stays in use",
                    problem=problem.detail,
                )
            self._error = problem.detail
            return
        found = changes(self._registry.issuers, issuers)
        self._registry = IssuerRegistry(issuers)
        self._error = None
        for use in self._subscribers:
            use(self._registry)
        logger.info(
            "identity configuration loaded", added=found.added, removed=found.removed, changed=dict(found.changed)
        )


def _fingerprint(path: Path) -> bytes:
    """Of the file's content, to be told from what is read next."""
    return hashlib.sha256(file_bytes(path)).digest()
