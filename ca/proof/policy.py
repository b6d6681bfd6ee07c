"""Which keys the operator lets clients use."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from ca.proof.algorithms import ALGORITHMS, Algorithm, Hash, KeyKind

# An entry stands for a key and a hash, as in Fulcio, and proofs with that key are made with PKCS#1 v1.5.
_PSS = re.compile(r"^rsa-sign-pss-")
_SHA256_HEX = re.compile(r"[0-9a-fA-F]{64}")


class KeyPolicyError(ValueError):
    """A setting that cannot mean what the operator wants; the text is for them."""


@dataclass(frozen=True, slots=True)
class KeyPolicy:
    """The allow-list `client_signing_algorithms` and the keys that are blocked one by one."""

    permitted: Mapping[tuple[KeyKind, Hash], str]
    """The registry's name for each permitted pair of key and hash."""
    names: tuple[str, ...]
    """The allow-list as it is written, for messages."""
    blocked_spki_sha256: frozenset[bytes] = frozenset()
    """SHA-256 of the DER SubjectPublicKeyInfo, 32 bytes each."""

    @classmethod
    def parse(cls, names: Iterable[str], blocked_spki_sha256: frozenset[bytes] = frozenset()) -> KeyPolicy:
        """Read the registry's names.

        Raises KeyPolicyError for an unknown name, a name that no request can ever use, and an empty list.
        """
        names = tuple(names)
        if not names:
            raise KeyPolicyError("no signing algorithm is permitted: nobody could get a certificate")
        used = [_used(name) for name in names]
        permitted = {(algorithm.kind, algorithm.hash): algorithm.name for algorithm in used}
        return cls(permitted, names, blocked_spki_sha256)


def load_blocked_keys(text: str) -> frozenset[bytes]:
    """Read a list of blocked keys: on each line the hex SHA-256 of a DER SPKI; `#` starts a comment.

    Raises KeyPolicyError, its text starting with the number of the line.
    """
    digests = set()
    for number, line in enumerate(text.splitlines(), start=1):
        digest = line.partition("#")[0].strip()
        if not digest:
            continue
        if not _SHA256_HEX.fullmatch(digest):
            raise KeyPolicyError(
                f"line {number}: not a SHA-256 in 64 hexadecimal digits;"
                " `openssl pkey -pubin -in key.pem -outform DER | sha256sum` prints one"
            )
        digests.add(bytes.fromhex(digest))
    return frozenset(digests)


def _used(name: str) -> Algorithm:
    """The algorithm that requests use under an entry of the allow-list."""
    if name == "ed25519-ph":
        # Fulcio takes this entry and then verifies every Ed25519 proof as PureEd25519: it permits nothing.
        raise KeyPolicyError(
            "ed25519-ph permits nothing, since every Ed25519 proof is taken as PureEd25519; write ed25519"
        )
    if found := ALGORITHMS.get(_PSS.sub("rsa-sign-pkcs1-", name)):
        return found
    meant = difflib.get_close_matches(name, ALGORITHMS, n=1)
    hint = f"did you mean {meant[0]}?" if meant else f"known are {', '.join(ALGORITHMS)}"
    raise KeyPolicyError(f"could not find matching signature algorithm for flag: {name}; {hint}")
