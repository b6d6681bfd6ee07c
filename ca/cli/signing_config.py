"""What a CA tells its clients of the issuers to log in with: `oidcUrls` of its signing configuration."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import httpx

from ca.errors import ConfigurationError
from ca.oidc.quoting import quoted

TIMEOUT = 15.0
"""Seconds."""


def issuer_of(url: str, now: datetime) -> str:
    """The one issuer that the CA at `url` names for `now`. Raises ConfigurationError where there is not one."""
    try:
        answer = httpx.get(f"{url.rstrip('/')}/api/v2/signingConfig", timeout=TIMEOUT)
    except (httpx.InvalidURL, httpx.UnsupportedProtocol) as problem:
        raise ConfigurationError(f"--url: {url}: expected a URL such as http://127.0.0.1:5555") from problem
    except httpx.HTTPError as problem:
        raise ConfigurationError(f"--url: {url} does not answer: {str(problem) or type(problem).__name__}") from problem
    if answer.status_code != 200:
        raise ConfigurationError(f"--url: {url} has no signing configuration; name the provider with --issuer")
    try:
        services = answer.json()["oidcUrls"]
        issuers = [str(service["url"]) for service in services if _is_valid(service["validFor"], now)]
    except (ValueError, KeyError, TypeError) as problem:
        raise ConfigurationError(f"--url: {url} does not answer as a CA does; is it another server's?") from problem
    match issuers:
        case [issuer]:
            return issuer
        case []:
            raise ConfigurationError(f"--url: {url} names no provider to log in with; name it with --issuer")
        case _:
            raise ConfigurationError(
                f"--url: {url} names several providers; choose with --issuer: {', '.join(map(quoted, issuers))}"
            )


def _is_valid(period: dict[str, Any], now: datetime) -> bool:
    """`validFor`: from `start`, until `end` where there is one; both are RFC 3339."""
    end = period.get("end")
    return datetime.fromisoformat(period["start"]) <= now and (end is None or now < datetime.fromisoformat(end))
