"""Authorization codes and device grants: what the development issuer has promised and not yet given.

Both are in memory and bounded, oldest out first.
"""

from __future__ import annotations

import base64
import hashlib
import re
import secrets
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from ca.dev.tokens import CLIENT_ID
from ca.identity.model import Claims

OUT_OF_BAND: Final = "urn:ietf:wg:oauth:2.0:oob"
"""The redirect URI of a client that cannot listen: the code is shown, and a person carries it over."""

CODE_LIFETIME: Final = timedelta(seconds=60)
DEVICE_LIFETIME: Final = timedelta(minutes=10)
POLL_INTERVAL: Final = timedelta(seconds=2)

_CAPACITY: Final = 1000
# http and a loopback host (RFC 8252 §7.3), in letters that no two URL parsers read differently. `[::1]` is
# left out: the form's Content-Security-Policy has no way to name it, and browsers would stop the redirect.
_LOOPBACK_URI: Final = re.compile(
    r"http://(localhost|127\.0\.0\.1)(:\d{1,5})?(/[\w.~!$&'()*+,;=:@%/-]*)?(\?[\w.~!$&'()*+,;=:@%/?-]*)?",
    re.ASCII,
)
_CHALLENGE: Final = re.compile(r"[A-Za-z0-9_-]{43}", re.ASCII)
_VERIFIER: Final = re.compile(r"[A-Za-z0-9._~-]{43,128}", re.ASCII)
# No vowels, so no words; nothing that reads like something else (RFC 8628 §6.1). 34 bits.
_USER_CODE_LETTERS: Final = "BCDFGHJKLMNPQRSTVWXZ"


class OAuthError(Exception):
    """A refusal in OAuth's own words (RFC 6749 §5.2, RFC 8628 §3.5), which clients of the issuer understand.

    It never leaves the development issuer, so it is no part of `ca.errors`.
    """

    def __init__(self, error: str, description: str, status: int = 400) -> None:
        super().__init__(f"{error}: {description}")
        self.error = error
        self.description = description
        self.status = status


@dataclass(frozen=True, slots=True)
class ReplyTo:
    """Where the browser goes with the answer."""

    uri: str
    state: str | None

    @classmethod
    def read(cls, fields: Mapping[str, str]) -> ReplyTo:
        """Raises OAuthError if the client or its redirect URI is not ours; then nobody may be redirected."""
        check_client(fields.get("client_id"))
        uri = fields.get("redirect_uri", "")
        if uri != OUT_OF_BAND and not _LOOPBACK_URI.fullmatch(uri):
            raise OAuthError(
                "invalid_request",
                f"redirect_uri must be http://localhost:PORT/…, http://127.0.0.1:PORT/… or {OUT_OF_BAND}",
            )
        return cls(uri, fields.get("state"))


@dataclass(frozen=True, slots=True)
class LoginRequest:
    """A well-formed authorization request (RFC 6749 §4.1.1, RFC 7636 §4.3)."""

    reply_to: ReplyTo
    code_challenge: str
    nonce: str | None

    @classmethod
    def read(cls, reply_to: ReplyTo, fields: Mapping[str, str]) -> LoginRequest:
        """Raises OAuthError for `reply_to`. `scope` is not looked at: there is one kind of token."""
        if fields.get("response_type") != "code":
            raise OAuthError("unsupported_response_type", 'response_type must be "code"')
        if fields.get("code_challenge_method") != "S256":
            raise OAuthError("invalid_request", 'PKCE is required: code_challenge_method must be "S256"')
        if fields.get("prompt") == "none":
            raise OAuthError("login_required", "there are no sessions here: a person has to log in each time")
        return cls(reply_to, read_challenge(fields), fields.get("nonce"))


def check_client(unverified_id: str | None) -> None:
    if unverified_id != CLIENT_ID:
        raise OAuthError("invalid_client", f'client_id must be "{CLIENT_ID}", the only client', status=401)


def read_challenge(fields: Mapping[str, str]) -> str:
    """The S256 code challenge, 43 characters. Raises OAuthError without one."""
    challenge = fields.get("code_challenge", "")
    if not _CHALLENGE.fullmatch(challenge):
        raise OAuthError(
            "invalid_request",
            "PKCE is required: code_challenge must be the base64url SHA-256 of the verifier",
        )
    return challenge


def check_verifier(challenge: str, unverified_verifier: str | None) -> None:
    """RFC 7636 §4.6. Raises OAuthError unless the verifier is the one that the challenge was made of."""
    if unverified_verifier is None or not _VERIFIER.fullmatch(unverified_verifier):
        raise OAuthError("invalid_request", "code_verifier must be 43 to 128 unreserved characters")
    digest = hashlib.sha256(unverified_verifier.encode("ascii")).digest()
    if not secrets.compare_digest(base64.urlsafe_b64encode(digest).rstrip(b"="), challenge.encode("ascii")):
        raise OAuthError("invalid_grant", "code_verifier is not the one that code_challenge was made of")


class AuthorizationCodes:
    """Codes that are waiting for their token request; each is good once, for a minute."""

    def __init__(self) -> None:
        self._waiting: OrderedDict[str, tuple[LoginRequest, Claims, datetime]] = OrderedDict()

    def issue(self, request: LoginRequest, claims: Claims, now: datetime) -> str:
        code = secrets.token_urlsafe(24)
        self._waiting[code] = (request, claims, now + CODE_LIFETIME)
        if len(self._waiting) > _CAPACITY:
            self._waiting.popitem(last=False)
        return code

    def redeem(self, fields: Mapping[str, str], now: datetime) -> Claims:
        """The claims of the token, `nonce` among them (RFC 6749 §4.1.3). Raises OAuthError.

        The first attempt uses the code up, also when it fails: nobody guesses a verifier twice.
        """
        found = self._waiting.pop(fields.get("code", ""), None)
        if found is None:
            raise OAuthError("invalid_grant", "the code is not known, was used before, or has expired")
        request, claims, expires = found
        if now >= expires:
            raise OAuthError("invalid_grant", f"the code has expired: it is good for {CODE_LIFETIME.seconds} s")
        if fields.get("redirect_uri") != request.reply_to.uri:
            raise OAuthError("invalid_grant", "redirect_uri is not the one that the code was asked with")
        check_verifier(request.code_challenge, fields.get("code_verifier"))
        return claims if request.nonce is None else {**claims, "nonce": request.nonce}


@dataclass(frozen=True, slots=True)
class DeviceGrant:
    """A device that waits for a person (RFC 8628 §3.2)."""

    device_code: str
    user_code: str
    code_challenge: str | None
    expires: datetime
    polled: datetime | None = None
    denied: bool = False
    claims: Claims | None = None


class DeviceGrants:
    """Devices that are waiting, by device code."""

    def __init__(self) -> None:
        self._waiting: OrderedDict[str, DeviceGrant] = OrderedDict()

    def start(self, code_challenge: str | None, now: datetime) -> DeviceGrant:
        letters = [secrets.choice(_USER_CODE_LETTERS) for _ in range(8)]
        user_code = f"{''.join(letters[:4])}-{''.join(letters[4:])}"
        grant = DeviceGrant(secrets.token_urlsafe(32), user_code, code_challenge, now + DEVICE_LIFETIME)
        self._waiting[grant.device_code] = grant
        if len(self._waiting) > _CAPACITY:
            self._waiting.popitem(last=False)
        return grant

    def decide(self, unverified_user_code: str, claims: Claims | None, now: datetime) -> None:
        """Give a device its `claims`; None refuses it. Raises OAuthError if no device has this code."""
        typed = re.sub(r"[^A-Z]", "", unverified_user_code.upper())
        for grant in self._waiting.values():
            undecided = grant.claims is None and not grant.denied
            if undecided and now < grant.expires and grant.user_code.replace("-", "") == typed:
                self._waiting[grant.device_code] = replace(grant, claims=claims, denied=claims is None)
                return
        raise OAuthError("invalid_grant", "no device is waiting with this code; compare it with the one it shows")

    def poll(self, fields: Mapping[str, str], now: datetime) -> Claims:
        """The claims of the token, once. Raises OAuthError until then and ever after (RFC 8628 §3.5)."""
        grant = self._waiting.get(fields.get("device_code", ""))
        if grant is None:
            raise OAuthError("invalid_grant", "the device code is not known or was used before")
        if now >= grant.expires:
            del self._waiting[grant.device_code]
            raise OAuthError("expired_token", "nobody entered the code in time; start again")
        if grant.code_challenge is not None:
            check_verifier(grant.code_challenge, fields.get("code_verifier"))
        if grant.claims is None and not grant.denied:
            self._waiting[grant.device_code] = replace(grant, polled=now)
            # Half the interval is forgiven: requests do not travel at constant speed.
            if grant.polled is not None and now - grant.polled < POLL_INTERVAL / 2:
                raise OAuthError("slow_down", "polled too often; wait five seconds longer between requests")
            raise OAuthError("authorization_pending", "nobody has entered the code yet")
        del self._waiting[grant.device_code]
        if grant.claims is None:
            raise OAuthError("access_denied", "the person refused")
        return grant.claims
