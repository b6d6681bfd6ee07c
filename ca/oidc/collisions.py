"""Entries that could write one name under one issuer, so that verifiers, who pin the two, could not tell them apart.

A certificate names the token's `iss` or, for `email` issuers with `issuer-claim`, whatever the token has there. The
registry gives each `iss` to one entry, so that names collide in three ways alone:

1. An issuer is spelled in two ways, and only one of them can be what its tokens say.
2. An issuer has an entry of its own and matches a wildcard, or matches two. Then the order of precedence alone keeps
   two meanings of a name apart: when the one entry goes, the other speaks in its place. That is harmless only if both
   make names by the same rule, or never the same ones.
3. `issuer-claim` lets an issuer speak for others, which is its purpose: Dex for those behind it. All of them write
   e-mail addresses, so an address has to mean the same: one that was verified, if the others verify theirs.

Entries that are switched off write nothing.
"""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from ca.identity.email_address import EmailAddress
from ca.oidc.registry import overlap, wildcard_pattern

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from ca.oidc.model import TrustedIssuer

_DEFAULT_PORTS = {"https": 443, "http": 80}


def collisions(issuers: Iterable[TrustedIssuer]) -> Iterator[tuple[TrustedIssuer, str, str]]:
    """For each collision the entry to change, its key, and what is wrong and what to do."""
    enabled = [issuer for issuer in issuers if issuer.enabled]
    for first, second in _one_issuer_spelled_twice(enabled):
        problem = f"is {first.url} in another spelling; issuers are compared exactly: keep the one that is in tokens"
        yield second, "issuer-url", problem
    for first, second in _one_issuer_matched_twice(enabled):
        if _make_one_name_by_two_rules(first, second):
            problem = (
                f"matches issuers that {first.url} matches too, but makes names by another rule, and both could "
                "make the same name; give both the same type and templates, or narrow the wildcard"
            )
            yield second, "type", problem
    for speaker, other in _speakers_with_less_care(enabled):
        problem = (
            f"with issuer-claim this issuer may speak for others, such as {other.url}, whose addresses are "
            "verified; have its addresses verified too, or leave issuer-claim out"
        )
        yield speaker, "skip-email-verification", problem


def _one_issuer_spelled_twice(issuers: list[TrustedIssuer]) -> Iterator[tuple[TrustedIssuer, TrustedIssuer]]:
    seen: dict[object, TrustedIssuer] = {}
    for issuer in issuers:
        if not issuer.wildcard and (first := seen.setdefault(_spelled(issuer.url), issuer)) is not issuer:
            yield first, issuer


def _one_issuer_matched_twice(issuers: list[TrustedIssuer]) -> Iterator[tuple[TrustedIssuer, TrustedIssuer]]:
    wildcards = [issuer for issuer in issuers if issuer.wildcard]
    for wildcard in wildcards:
        pattern = wildcard_pattern(wildcard.url)
        yield from ((issuer, wildcard) for issuer in issuers if not issuer.wildcard and pattern.fullmatch(issuer.url))
    yield from ((one, other) for one, other in combinations(wildcards, 2) if overlap(one.url, other.url))


def _make_one_name_by_two_rules(first: TrustedIssuer, second: TrustedIssuer) -> bool:
    one, other = (issuer.identity_type.naming(issuer.url) for issuer in (first, second))
    return one.rule != other.rule and one.may_equal(other)


def _speakers_with_less_care(issuers: list[TrustedIssuer]) -> Iterator[tuple[TrustedIssuer, TrustedIssuer]]:
    careful = next((issuer for issuer in issuers if _verifies_addresses(issuer)), None)
    for issuer in issuers:
        match issuer.identity_type:
            case EmailAddress(issuer_claim=claim, verification_skipped=True) if claim and careful:
                yield issuer, careful


def _verifies_addresses(issuer: TrustedIssuer) -> bool:
    match issuer.identity_type:
        case EmailAddress(verification_skipped=skipped):
            return not skipped
    return False


def _spelled(url: str) -> tuple[str, str | None, int | None, str]:
    """RFC 3986 §6.2.2.1 and §6.2.3: case of the host and default port do not matter; a slash at the end does."""
    try:
        parts = urlsplit(url)
        port = parts.port or _DEFAULT_PORTS.get(parts.scheme)
    except ValueError:  # which has been said already
        return url, None, None, ""
    return parts.scheme, (parts.hostname or "").rstrip("."), port, parts.path
