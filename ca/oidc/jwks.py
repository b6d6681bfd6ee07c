"""An issuer's public keys: RFC 7517."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import structlog
from joserfc.errors import JoseError, SecurityWarning
from joserfc.jwk import ECKey, OKPKey, RSAKey
from joserfc.jws import JWSRegistry

from ca.errors import KeyWeak
from ca.oidc.fetch import FetchError
from ca.oidc.jws import ALGORITHMS
from ca.oidc.quoting import quoted
from ca.oidc.strict_json import StrictJSONError, decode_object
from ca.proof.model import PublicKey
from ca.proof.weak import strong_kind

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ca.oidc.fetch import Fetcher
    from ca.oidc.jws import UnverifiedJWS

    Key = RSAKey | ECKey | OKPKey

MAX_BYTES: Final = 512 << 10
MAX_KEYS: Final = 100
MAX_TRIED: Final = 10
"""Keys that one token may be tried with: more would make a token without `kid` dear to refuse."""
_KEY_TYPES: Final[Mapping[str, type[RSAKey | ECKey | OKPKey]]] = {"RSA": RSAKey, "EC": ECKey, "OKP": OKPKey}
_MODELS: Final = {name: JWSRegistry.algorithms[name] for name in ALGORITHMS}


@dataclass(frozen=True, slots=True)
class VerificationKey:
    """A key and the algorithms that its kty, crv, alg, use and key_ops allow."""

    key: Key
    key_id: str | None
    algorithms: frozenset[str]

    def verifies(self, jws: UnverifiedJWS) -> bool:
        """Whether the signature is by this key, with an algorithm that it is for."""
        if jws.algorithm not in self.algorithms:
            return False
        return _MODELS[jws.algorithm].verify(jws.signing_input, jws.signature, self.key)


class KeySet:
    """The usable keys of an issuer, in its order. Keys that share a kid are tried in turn: all are the issuer's."""

    def __init__(self, keys: Sequence[VerificationKey]) -> None:
        self._keys = tuple(keys)
        by_id: dict[str, list[VerificationKey]] = {}
        for key in keys:
            if key.key_id:
                by_id.setdefault(key.key_id, []).append(key)
        self._by_id = by_id

    def named(self, key_id: str | None) -> Sequence[VerificationKey]:
        """The keys that a token with this `kid` can mean: without one, all of them, as in go-oidc."""
        return self._by_id.get(key_id, ()) if key_id else self._keys

    def __len__(self) -> int:
        return len(self._keys)


async def fetch_keys(fetcher: Fetcher, issuer: str, jwks_uri: str) -> tuple[KeySet, int | None]:
    """The issuer's keys, and the seconds that Cache-Control allows, as in Fetched. Raises FetchError."""
    fetched = await fetcher.get(jwks_uri, MAX_BYTES)
    return _read_set(issuer, fetched.content), fetched.max_age


def parse_keys(issuer: str, content: bytes) -> KeySet:
    """The keys of a file. Raises FetchError."""
    if len(content) > MAX_BYTES:
        raise FetchError(f"it is larger than {MAX_BYTES >> 10} KiB")
    try:
        return _read_set(issuer, decode_object(content))
    except StrictJSONError as error:
        raise FetchError(f"it is refused: {error}") from error


def _read_set(issuer: str, document: dict[str, Any]) -> KeySet:
    entries = document.get("keys")
    if not isinstance(entries, list):
        raise FetchError("it is not a JWK Set (RFC 7517 §5)")
    return import_keys(issuer, entries)


def import_keys(issuer: str, entries: Sequence[object]) -> KeySet:
    """Import key by key, so that a bad one costs no other."""
    logger = structlog.get_logger("oidc")
    if len(entries) > MAX_KEYS:
        logger.warning("issuer publishes too many keys", issuer=issuer, keys=len(entries), read=MAX_KEYS)
    keys: list[VerificationKey] = []
    for entry in entries[:MAX_KEYS]:
        try:
            key = import_key(entry)
        except Exception as error:  # noqa: BLE001 - whatever the libraries make of one key, the others count
            unverified_id = entry.get("kid") if isinstance(entry, dict) else None
            kid = quoted(unverified_id) if isinstance(unverified_id, str) else None
            why = error.detail if isinstance(error, KeyWeak) else str(error)[:200]
            logger.warning("issuer's key skipped", issuer=issuer, kid=kid, why=why)
            continue
        if key.algorithms:
            keys.append(key)
    return KeySet(keys)


def import_key(entry: object) -> VerificationKey:
    """One public JWK. A key for other uses, such as encryption, comes without algorithms.

    Raises for one that should not be used at all: KeyWeak, or what joserfc and cryptography raise.
    """
    if not isinstance(entry, dict):
        raise TypeError("not a JSON object")
    key_type, key_id = entry.get("kty"), entry.get("kid")
    if not isinstance(key_type, str) or key_type not in _KEY_TYPES:
        # Secret keys (oct) among them: whoever can read the set could sign.
        raise ValueError("not an RSA, EC or OKP key")
    if key_id is not None and not isinstance(key_id, str):
        raise TypeError("kid is not a string")
    # RFC 7518 §6.2.2, §6.3.2, RFC 8037 §2. Before the import, which computes the factors of an RSA modulus from it.
    if "d" in entry:
        raise ValueError("a private key, which its publication has made worthless")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SecurityWarning)
        key = _KEY_TYPES[key_type].import_key(entry)
    algorithms = frozenset(name for name in ALGORITHMS if _fits(name, key))
    if algorithms and isinstance(key.public_key, PublicKey):
        # A key too weak for a certificate is too weak to vouch for one.
        strong_kind(key.public_key)
    return VerificationKey(key, key_id, algorithms)


def _fits(algorithm: str, key: Key) -> bool:
    if isinstance(key, OKPKey) and key.curve_name != "Ed25519":
        return False
    try:
        key.check_key_op("verify")
        _MODELS[algorithm].check_key(key)
    except JoseError:
        return False
    return True
