"""Which issuers are trusted: exact URLs, then wildcards."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from ca.errors import IssuerDisabled, IssuerNotTrusted
from ca.oidc.quoting import quoted

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ca.oidc.model import TrustedIssuer

_STARRED: Final = "[-_a-zA-Z0-9]"


class IssuerRegistry:
    """Finds the entry of the identity configuration for a token's `iss`, before anything is fetched.

    An exact URL wins over wildcards, and of the wildcards that match the most specific one, so that neither the
    file's order nor chance decides.
    """

    def __init__(self, issuers: Iterable[TrustedIssuer]) -> None:
        self.issuers = tuple(issuers)
        """As configured, in the configuration's order."""
        self._exact = {issuer.url: issuer for issuer in self.issuers if not issuer.wildcard}
        wildcards = sorted((issuer for issuer in self.issuers if issuer.wildcard), key=_order)
        self._wildcards = [(wildcard_pattern(issuer.url), issuer) for issuer in wildcards]

    def find(self, unverified_issuer: str) -> TrustedIssuer:
        """The entry for an issuer URL. Raises IssuerNotTrusted or IssuerDisabled."""
        issuer = self._entry(unverified_issuer)
        if issuer.enabled:
            return issuer
        raise IssuerDisabled(
            f"whoever runs this instance has switched issuer {quoted(unverified_issuer)} off; its tokens are not "
            "accepted until it is switched on again",
            issuer=issuer.url,
        )

    def _entry(self, unverified_issuer: str) -> TrustedIssuer:
        if issuer := self._exact.get(unverified_issuer):
            return issuer
        for pattern, issuer in self._wildcards:
            if pattern.fullmatch(unverified_issuer):
                return issuer
        raise IssuerNotTrusted(
            f"issuer {quoted(unverified_issuer)} is not trusted here; whoever runs this instance can add it to "
            "oidc-issuers in the identity configuration, spelled exactly so"
        )


def wildcard_pattern(wildcard: str) -> re.Pattern[str]:
    """Fulcio's rule, for `fullmatch`: `*` stands for one or more of [-_a-zA-Z0-9], never for a dot or a slash."""
    first, *rest = [re.escape(literal) for literal in wildcard.split("*")]
    if not rest:
        return re.compile(first)
    # Every star but the last takes as little as it can and keeps it: the last takes what is left, so nothing is
    # lost, and no `iss` costs more than linear time.
    stars = [f"(?>{_STARRED}+?{literal})" for literal in rest[:-1]]
    return re.compile(first + "".join(stars) + f"{_STARRED}+{rest[-1]}")


def specificity(wildcard: str) -> tuple[int, int]:
    """Higher is more specific: more literal characters, then fewer stars."""
    stars = wildcard.count("*")
    return len(wildcard) - stars, -stars


def overlap(first: str, second: str) -> bool:
    """Whether some issuer URL matches both wildcards."""
    # Both read one URL; a place says which character each of them expects next.
    seen: set[tuple[int, int]] = set()
    places = [(0, 0)]
    while places:
        place = places.pop()
        if place in seen:
            continue
        seen.add(place)
        one, other = first[place[0] :], second[place[1] :]
        if not one and not other:
            return True
        if one and other and _share_a_character(one[0], other[0]):
            places += [(place[0] + i, place[1] + j) for i in _advances(one[0]) for j in _advances(other[0])]
    return False


def _share_a_character(one: str, other: str) -> bool:
    if "*" in {one, other}:
        literal = other if one == "*" else one
        return literal == "*" or re.fullmatch(_STARRED, literal) is not None
    return one == other


def _advances(character: str) -> tuple[int, ...]:
    """After a star has taken a character it may take another."""
    return (0, 1) if character == "*" else (1,)


def _order(issuer: TrustedIssuer) -> tuple[int, int, str]:
    literals, stars = specificity(issuer.url)
    return -literals, -stars, issuer.url
