"""Issuers of type `username`: subjects that are names of accounts, not addresses."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ca.errors import ClaimInvalid
from ca.identity.claims import JOINERS, subject
from ca.identity.model import Claims, Identity, Naming, UserName
from ca.identity.names import is_email


@dataclass(frozen=True, slots=True)
class Username:
    """SAN: otherName `sub!domain`, which no e-mail address can be mistaken for."""

    name: ClassVar[str] = "username"
    domain: str
    """`subject-domain`."""
    challenge_claim: str = "sub"

    def naming(self, issuer: str) -> Naming:  # noqa: ARG002 - the same for every issuer
        return Naming("", self.name)

    def identify(self, issuer: str, claims: Claims) -> Identity:
        """Raises ClaimMissing or ClaimInvalid."""
        sub = subject(claims)
        if "!" in sub:
            raise ClaimInvalid("username cannot contain ! character, but the sub claim does", claim="sub")
        if is_email(sub):
            raise ClaimInvalid("username should not be an email address, but the sub claim is", claim="sub")
        if any(joiner in sub for joiner in JOINERS):
            # A name is compared by eye, and two that differ in a joiner may look alike.
            raise ClaimInvalid("username cannot contain an invisible joiner, but the sub claim does", claim="sub")
        name = UserName(f"{sub}!{self.domain}")
        return Identity(issuer=issuer, subject=sub, subject_alt_name=name, challenge=sub)
