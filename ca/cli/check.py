"""`dayfly config check`: load all that the server would, and show it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from rich.table import Table

from ca.config import load_settings
from ca.main import clock, compose, environment
from ca.telemetry import Metrics

if TYPE_CHECKING:
    from pathlib import Path

    from rich.console import Console


def check(config: Path, out: Console) -> None:
    """Print what would be served. Raises ConfigurationError with the place of the first problem."""
    from prometheus_client import CollectorRegistry

    settings = load_settings(config, {}, environment())

    async def loaded() -> Table:
        async with compose(settings, Metrics(CollectorRegistry())) as composed:
            table = Table(title=f"{config}: good", show_header=False, title_justify="left")
            table.add_column(style="bold", no_wrap=True)
            table.add_column(overflow="fold")
            now = clock()
            for chain in composed.keys.chains():
                for certificate in chain.certificates:
                    end = certificate.not_valid_after_utc
                    name = certificate.subject.rfc4514_string()
                    table.add_row("chain", f"{name}, until {end:%Y-%m-%d} ({(end - now).days} days)")
            table.add_row("CT log", settings.ct.log if composed.log else "none: certificates will carry no SCT")
            for fallback in settings.ct.fallbacks:
                table.add_row("fallback log", f"{fallback.log}, after {settings.ct.fallback_after:g} s")
            table.add_row("lifetime", f"{settings.certificate_lifetime} s")
            table.add_row("client keys", ", ".join(settings.client_signing_algorithms))
            for issuer in composed.issuers.registry.issuers:
                kind = f"{issuer.identity_type.name}, audience {issuer.audience}"
                table.add_row("wildcard issuer" if issuer.wildcard else "issuer", f"{issuer.url} ({kind})")
            return table

    out.print(asyncio.run(loaded()))
