"""Which keys the operator lets clients use."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from dataclasses import dataclass

from ca.proof.algorithms import ALGORITHMS, Hash, KeyKind

_SHA256_HEX = re.compile(r"[0-9a-fA-F]{64}")


class InvalidKeyPolicy(ValueError):
    """A setting that cannot mean what the operator wants; the text is for them."""


@dataclass(frozen=True, slots=True)
class KeyPolicy:
    """The allow-list `client_signing_algorithms` and the keys that are blocked one by one."""

    permitted: frozenset[tuple[KeyKind, Hash]]
    """As in Fulcio a pair: an entry for RSA-PSS permits the same requests as the one for PKCS#1 v1.5."""
    names: tuple[str, ...]
    """The allow-list as it is written, for messages."""
    blocked_spki_sha256: frozenset[bytes] = frozenset()
    """SHA-256 of the DER SubjectPublicKeyInfo, 32 bytes each."""

    @classmethod
    def parse(cls, names: Iterable[str], blocked_spki_sha256: frozenset[bytes] = frozenset()) -> KeyPolicy:
        """Read the registry's names.

        Raises InvalidKeyPolicy for an unknown name, for one that no request can ever use, and for an empty list.
        """
        names = tuple(names)
        if not names:
            raise InvalidKeyPolicy("no signing algorithm is permitted, so nobody could get a certificate; name one")
        permitted = frozenset(_pair(name) for name in names)
        return cls(permitted, names, blocked_spki_sha256)


def load_blocked_keys(text: str) -> frozenset[bytes]:
    """Read a list of blocked keys: on each line the hex SHA-256 of a DER SubjectPublicKeyInfo; `#` starts a comment.

    Raises InvalidKeyPolicy, its text starting with the number of the line.
    """
    digests = set()
    for number, line in enumerate(text.splitlines(), start=1):
        digest = line.partition("#")[0].strip()
        if not digest:
            continue
        if not _SHA256_HEX.fullmatch(digest):
            raise InvalidKeyPolicy(
                f"line {number}: not a SHA-256 in 64 hexadecimal digits;"
                " `openssl pkey -pubin -in key.pem -outform DER | sha256sum` prints one"
            )
        digests.add(bytes.fromhex(digest))
    return frozenset(digests)


def _pair(name: str) -> tuple[KeyKind, Hash]:
    if name == "ed25519-ph":
        # Fulcio takes this entry and then verifies every Ed25519 proof as PureEd25519: it permits nothing.
        raise InvalidKeyPolicy(
            "ed25519-ph permits nothing: proofs and requests made with Ed25519 keys are PureEd25519; write ed25519"
        )
    for algorithm in ALGORITHMS:
        if algorithm.name == name:
            return algorithm.kind, algorithm.hash
    known = [algorithm.name for algorithm in ALGORITHMS]
    meant = difflib.get_close_matches(name, known, n=1)
    hint = f"; did you mean {meant[0]}?" if meant else f"; known are {', '.join(known)}"
    raise InvalidKeyPolicy(f"could not find matching signature algorithm for flag: {name}{hint}")
