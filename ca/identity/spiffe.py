"""Issuers of type `spiffe`: workloads of one trust domain."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import ClassVar, Final

from ca.errors import ClaimInvalid
from ca.identity.claims import subject
from ca.identity.go_quote import quote
from ca.identity.model import Claims, Identity, Naming, URIName

_TRUST_DOMAIN: Final = r"[a-z0-9._-]+"
_SEGMENT: Final = r"(?!\.\.?(?:/|\Z))[A-Za-z0-9._-]+"
_ID: Final = re.compile(rf"spiffe://({_TRUST_DOMAIN})(?:/{_SEGMENT})*")


def parse_trust_domain(text: str) -> str | None:
    """The trust domain of a SPIFFE ID, or one by itself; None if it is neither."""
    if ":/" in text:
        match = _ID.fullmatch(text)
        return match and match[1]
    return text if re.fullmatch(_TRUST_DOMAIN, text) else None


@dataclass(frozen=True, slots=True)
class SPIFFEID:
    """SAN: the subject, a SPIFFE ID (https://spiffe.io/docs/latest/spiffe-specs/spiffe-id/ §2)."""

    name: ClassVar[str] = "spiffe"
    trust_domain: str
    challenge_claim: str = "sub"

    def naming(self, issuer: str) -> Naming:  # noqa: ARG002 - the same for every issuer
        return Naming(f"spiffe://{self.trust_domain}", self.name)

    def identify(self, issuer: str, claims: Claims) -> Identity:
        """Raises ClaimMissing or ClaimInvalid."""
        sub = subject(claims)
        match = _ID.fullmatch(sub)
        if match is None:
            problem = f"invalid spiffe ID provided: {quote(sub[:200])}"
            raise ClaimInvalid(
                f"{problem}; expected a sub claim such as spiffe://{self.trust_domain}/workload", claim="sub"
            )
        if match[1] != self.trust_domain:
            problem = f"spiffe ID trust domain {match[1]} doesn't match configured trust domain {self.trust_domain}"
            raise ClaimInvalid(problem, claim="sub")
        # Of these characters Go escapes none, so this is the form that a certificate carries.
        return Identity(issuer=issuer, subject=sub, subject_alt_name=URIName(sub), challenge=sub)
