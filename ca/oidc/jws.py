"""A client's token taken apart, before any library or network sees it: JWS compact serialization (RFC 7515 §7.1)."""

from __future__ import annotations

import binascii
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from ca.errors import ClaimInvalid, ClaimMissing, TokenAlgorithmRefused, TokenMalformed, TokenMissing
from ca.oidc.quoting import quoted
from ca.oidc.strict_json import StrictJSONError, decode_object

if TYPE_CHECKING:
    from ca.identity.model import Claims

MAX_TOKEN_LENGTH: Final = 16 * 1024
_MAX_ISSUER_LENGTH: Final = 1024

ALGORITHMS: Final = ("RS256", "RS384", "RS512", "ES256", "ES384", "ES512", "PS256", "PS384", "PS512", "EdDSA")
"""What an issuer may sign with at all (RFC 7518 §3.1, RFC 8037 §3.1): asymmetric, and what go-oidc knows."""

_PARTS: Final = ("header", "payload", "signature")
_PADDING: Final = (b"", None, b"==", b"=")
# base64url to base64. What is of the other alphabet, or padding, becomes what no encoder writes.
_TO_BASE64: Final = bytes.maketrans(b"-_+/=", b"+/~~~")

_REFUSED_MEMBERS: Final = {
    "crit": "no critical extension is understood here",
    "b64": "RFC 7797 §7 forbids it in a JWT",
    "zip": "a signed token is not compressed",
    "enc": "an encrypted token is not accepted",
    "jwk": "a token does not bring its own key",
}


@dataclass(frozen=True, slots=True)
class UnverifiedJWS:
    """A signed message, before anybody has checked the signature."""

    algorithm: str
    """One of ALGORITHMS."""
    key_id: str | None
    unverified_payload: bytes = field(repr=False)
    signing_input: bytes = field(repr=False)
    signature: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class UnverifiedToken:
    """What a token says of itself."""

    jws: UnverifiedJWS
    unverified_issuer: str
    unverified_claims: Claims = field(repr=False)


def parse_token(unverified_token: str) -> UnverifiedToken:
    """Take a token apart; whitespace around it is tolerated.

    Raises TokenMissing, TokenMalformed, TokenAlgorithmRefused, and for `iss` ClaimMissing or ClaimInvalid.
    """
    jws = parse_jws(unverified_token.strip(" \t\r\n"))
    claims = _object("payload", jws.unverified_payload)
    return UnverifiedToken(jws, _read_issuer(claims), claims)


def parse_jws(unverified_text: str) -> UnverifiedJWS:
    """Compact serialization, strictly. Raises TokenMissing, TokenMalformed or TokenAlgorithmRefused."""
    if not unverified_text:
        raise TokenMissing("it is empty")
    if len(unverified_text) > MAX_TOKEN_LENGTH:
        raise TokenMalformed(f"it has {len(unverified_text)} characters; at most {MAX_TOKEN_LENGTH} are read")
    try:
        parts = unverified_text.encode("ascii").split(b".")
    except UnicodeEncodeError as error:
        raise TokenMalformed("it has characters outside of ASCII; a JWT is base64url and dots") from error
    if len(parts) != len(_PARTS):
        raise TokenMalformed(f"it has {len(parts)} parts; a JWT has three, with dots between them{_hint(len(parts))}")
    header, payload, signature = (_decode(name, part) for name, part in zip(_PARTS, parts, strict=True))
    algorithm, key_id = _read_header(_object("header", header))
    return UnverifiedJWS(algorithm, key_id, payload, parts[0] + b"." + parts[1], signature)


def _hint(parts: int) -> str:
    return "; encrypted tokens (JWE) are not accepted" if parts == 5 else ""


def _decode(name: str, part: bytes) -> bytes:
    """base64url without padding (RFC 7515 §2), in the one spelling that encodes these bytes.

    Two spellings of one token would be two tokens to whoever counts them.
    """
    if not part:
        raise TokenMalformed(f"its {name} is empty")
    base64 = part.translate(_TO_BASE64)
    padding = _PADDING[len(base64) % 4]
    if padding is not None:
        try:
            content = binascii.a2b_base64(base64 + padding)
        except binascii.Error:
            content = b""
        if content and binascii.b2a_base64(content, newline=False).rstrip(b"=") == base64:
            return content
    raise TokenMalformed(f"its {name} is not base64url without padding (RFC 7515 §2)")


def _object(name: str, content: bytes) -> dict[str, Any]:
    try:
        return decode_object(content)
    except StrictJSONError as error:
        raise TokenMalformed(f"its {name} is refused: {error}") from error


def _read_header(header: dict[str, Any]) -> tuple[str, str | None]:
    """`alg` and `kid` (RFC 7515 §4.1). `jku`, `x5u`, `x5c` and unknown members are ignored, as §4 says."""
    for member, reason in _REFUSED_MEMBERS.items():
        if member in header:
            raise TokenMalformed(f"its header has {member}: {reason}")
    for member in ("alg", "kid", "typ", "cty"):
        if member in header and not isinstance(header[member], str):
            raise TokenMalformed(f"{member} in its header is not a string")
    if header.get("cty", "").upper() == "JWT":
        raise TokenMalformed("cty in its header says that it is nested; send the inner token")
    if "alg" not in header:
        raise TokenMalformed("its header has no alg")
    algorithm: str = header["alg"]
    if algorithm not in ALGORITHMS:
        raise TokenAlgorithmRefused(f"alg {quoted(algorithm)} is none of {', '.join(ALGORITHMS)}")
    return algorithm, header.get("kid")


def _read_issuer(claims: dict[str, Any]) -> str:
    issuer = claims.get("iss")
    if issuer is None:
        raise ClaimMissing("it has no iss claim", claim="iss")
    if not isinstance(issuer, str) or not 0 < len(issuer) <= _MAX_ISSUER_LENGTH:
        raise ClaimInvalid(f"its iss claim is not a URL of at most {_MAX_ISSUER_LENGTH} characters", claim="iss")
    return issuer
