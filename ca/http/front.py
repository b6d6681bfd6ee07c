"""What the connections of a worker, its readiness and its signals share."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ca.http.tls import ServerCertificate

if TYPE_CHECKING:
    from ca.http.settings import HTTPSettings
    from ca.telemetry import Metrics


class Front:
    """One in every worker; the parent pickles it before it loads anything."""

    def __init__(self, settings: HTTPSettings) -> None:
        self.settings = settings
        self.certificate = ServerCertificate.of(settings)
        """None for plain HTTP."""
        self.draining = False
        """The server was told to stop, and serves until load balancers have noticed."""
        self.metrics: Metrics | None = None

    def is_draining(self) -> bool:
        return self.draining

    def turned_away(self, reason: str) -> None:
        """Count a connection that we ended; `reason` is one of a few words."""
        if self.metrics:
            self.metrics.connections_ended.labels(reason).inc()
