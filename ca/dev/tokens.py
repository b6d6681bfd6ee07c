"""Identity tokens of the development issuer: its key on disk, and what it signs.

The claims are those that every sigstore client can use: `aud` a plain string (sigstore-rs refuses lists),
`sub` the e-mail address (sigstore-java signs `sub` where others sign `email`), RS256 (cosign takes no other
algorithm from `--identity-token`).
"""

from __future__ import annotations

import json
import os
import re
import secrets
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import KeyParameters, RSAKey

from ca.errors import ClaimInvalid, ConfigurationError
from ca.identity.model import Claims

CLIENT_ID: Final = "sigstore"
"""The audience of every token, and the one client of the issuer."""

LIFETIME: Final = timedelta(minutes=10)

_KEY_PARAMETERS: Final[KeyParameters] = {"use": "sig", "alg": "RS256"}
_ISSUERS_OWN: Final = frozenset({"iss", "aud", "iat", "nbf", "exp", "nonce", "email"})
# Dot-atoms with a dotted domain, ASCII: what an rfc822Name can carry and Fulcio accepts.
_EMAIL: Final = re.compile(r"[\w.!#$%&'*+/=?^`{|}~-]{1,64}@[a-z\d-]{1,63}(\.[a-z\d-]{1,63})+", re.ASCII | re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class IssuerKey:
    """The RSA key that signs the development issuer's tokens."""

    private: RSAKey

    @property
    def kid(self) -> str:
        """The key's thumbprint, so that the same key has the same name after a restart (RFC 7638)."""
        return self.private.thumbprint()

    def jwks(self) -> dict[str, object]:
        """The public half as a JWK Set (RFC 7517 §5)."""
        return {"keys": [{**self.private.as_dict(private=False), "kid": self.kid}]}

    def mint(self, claims: Claims, now: datetime, lifetime: timedelta = LIFETIME) -> str:
        """A signed token of these claims, valid from `now` (RFC 7519 §7.1, RFC 7515 §7.1)."""
        issued = int(now.timestamp())
        times = {"iat": issued, "nbf": issued, "exp": issued + int(lifetime.total_seconds())}
        header = {"alg": "RS256", "kid": self.kid, "typ": "JWT"}
        return jws.serialize_compact(header, json.dumps({**claims, **times}), self.private, algorithms=["RS256"])


def generate_issuer_key() -> IssuerKey:
    """A fresh key: RSA-2048, the smallest that RS256 permits (RFC 7518 §3.3)."""
    return IssuerKey(RSAKey.generate_key(2048, _KEY_PARAMETERS))


def load_or_create_issuer_key(path: Path) -> IssuerKey:
    """The key in `path` (PKCS#8 PEM, mode 0600), made there if there is none.

    The server and `dayfly dev-token` may both come first: the file appears complete or not at all, and who
    comes second reads what the first wrote.
    Raises ConfigurationError if the file is not such a key or cannot be written.
    """
    try:
        if not path.exists():
            _create(path)
        return _read(path)
    except (OSError, ValueError, JoseError) as problem:
        raise ConfigurationError(
            f"{path}: not usable as the development issuer's key ({type(problem).__name__}); "
            "expected an RSA private key in PEM; remove the file to have a new one made"
        ) from problem


def _read(path: Path) -> IssuerKey:
    key = RSAKey.import_key(path.read_bytes(), _KEY_PARAMETERS)
    if not key.is_private:
        raise ValueError("a public key")
    return IssuerKey(key)


def _create(path: Path) -> None:
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(generate_issuer_key().private.as_pem(private=True))
            file.flush()
            os.fsync(file.fileno())
        with suppress(FileExistsError):
            path.hardlink_to(draft)
    finally:
        draft.unlink(missing_ok=True)


def mint_token(key: IssuerKey, issuer_url: str, email: str, extra_claims: Claims, now: datetime) -> str:
    """A token of the issuer at `issuer_url`. Raises ClaimInvalid as `identity_claims` does."""
    return key.mint(identity_claims(issuer_url, email, extra_claims), now)


def identity_claims(issuer_url: str, email: str, extra_claims: Claims) -> dict[str, object]:
    """What a token says of `email`; extra claims add to it, or replace `sub` and `email_verified`.

    Raises ClaimInvalid if `email` is no address that a certificate can name, or an extra claim is taken.
    """
    if not _EMAIL.fullmatch(email):
        raise ClaimInvalid("an e-mail address such as ada@example.com is expected", claim="email")
    if taken := sorted(_ISSUERS_OWN & extra_claims.keys()):
        raise ClaimInvalid(f'claim "{taken[0]}" is set by the issuer itself; leave it out', claim=taken[0])
    claims = {"iss": issuer_url, "aud": CLIENT_ID, "sub": email, "email": email, "email_verified": True}
    return {**claims, **extra_claims}


def parse_claims(assignments: Iterable[str]) -> dict[str, object]:
    """Claims from `name=text` and `name:=JSON`, as people type them.

    Raises ClaimInvalid if one has no name or no value, repeats a name, or its JSON does not parse.
    """
    claims: dict[str, object] = {}
    for assignment in assignments:
        name, equals, text = assignment.partition("=")
        is_json = name.endswith(":")
        name = name.removesuffix(":").strip()
        if not equals or not name:
            raise ClaimInvalid('a claim is written name=text or name:=JSON, such as groups:=["dev"]', claim=name)
        if name in claims:
            raise ClaimInvalid(f'claim "{name}" is given twice; give it once', claim=name)
        claims[name] = _json_value(name, text) if is_json else text.strip()
    return claims


def _json_value(name: str, text: str) -> object:
    try:
        return json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as problem:
        raise ClaimInvalid(f'claim "{name}" is written name:=JSON, but its value is not JSON', claim=name) from problem


def _refuse_constant(constant: str) -> object:
    raise ValueError(constant)  # NaN and the infinities, which Python reads and JSON has not (RFC 8259 §6)
