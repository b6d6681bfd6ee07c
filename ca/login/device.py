"""Logging in on another device: the device authorization grant (RFC 8628)."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from authlib.oauth2.rfc7636 import create_s256_code_challenge
from authlib.oauth2.rfc8628 import DEVICE_CODE_GRANT_TYPE

from ca.errors import ConfigurationError
from ca.login.client import Refused
from ca.login.id_token import Granted
from ca.oidc.discovery import https_parts

if TYPE_CHECKING:
    from ca.login.client import Client

_INTERVAL: Final = 5
"""Seconds between requests where the provider names none (§3.2), and what `slow_down` adds to them (§3.5)."""
_LONGEST: Final = 1800
"""Seconds that a code is waited for, whatever the provider says."""


@dataclass(frozen=True, slots=True)
class Device:
    """What the provider gave us (§3.2)."""

    device_code: str = field(repr=False)
    user_code: str
    """For the person to enter; the provider's text, unverified."""
    verification_uri: str
    """Where to enter it."""
    complete_uri: str | None
    """The same with the code in it."""
    expires_in: int
    """Seconds."""
    interval: int
    """Seconds."""


def by_device(client: Client, show: Callable[[Device], None], pause: Callable[[float], None]) -> Granted:
    """Let a person log in elsewhere; `show` tells them where, `pause` waits for so many seconds.

    The verifier is cosign's addition: whoever sees the device code cannot redeem it at a provider that looks at it.
    Raises ConfigurationError or IssuerUnavailable.
    """
    verifier = secrets.token_urlsafe(48)
    device = _start(client, verifier)
    show(device)
    waited, interval = 0, device.interval
    while waited < device.expires_in:
        pause(interval)
        waited += interval
        try:
            token = client.redeem(DEVICE_CODE_GRANT_TYPE, device_code=device.device_code, code_verifier=verifier)
        except Refused as refused:
            match refused.unverified_error:
                case "authorization_pending":
                    continue
                case "slow_down":
                    interval += _INTERVAL
                case _:
                    raise client.told(refused, device.device_code, verifier) from refused
        else:
            # §3.1 has no nonce: the device code is what binds the token to this login.
            return Granted(token, nonce=None)
    raise ConfigurationError("nobody entered the code in time; log in again")


def _start(client: Client, verifier: str) -> Device:
    """§3.1. Raises ConfigurationError or IssuerUnavailable."""
    endpoint = client.provider.device_authorization_endpoint
    if endpoint is None:
        raise ConfigurationError(
            "the provider's metadata has no device_authorization_endpoint, so it has no device flow; log in without "
            "--device"
        )
    challenge = create_s256_code_challenge(verifier)
    try:
        answer = client.ask(endpoint, code_challenge=challenge, code_challenge_method="S256")
    except Refused as refused:
        raise client.told(refused, verifier) from refused
    device = _read(answer, client.provider.issuer)
    if device is None:
        raise ConfigurationError(f"{endpoint} answers otherwise than RFC 8628 §3.2 says")
    return device


def _read(answer: dict[str, Any], issuer: str) -> Device | None:
    match answer:
        case {
            "device_code": str() as device_code,
            "user_code": str() as user_code,
            "verification_uri": str() as verification_uri,
            "expires_in": int() as expires_in,
        } if https_parts(verification_uri, issuer):
            complete = answer.get("verification_uri_complete")
            interval = answer.get("interval", _INTERVAL)
            if not isinstance(interval, int):
                return None
            return Device(
                device_code,
                user_code,
                verification_uri,
                complete if isinstance(complete, str) and https_parts(complete, issuer) else None,
                min(expires_in, _LONGEST),
                max(interval, 1),
            )
    return None
