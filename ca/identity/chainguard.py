"""Issuers of type `chainguard-identity`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ca.errors import ClaimInvalid, IdentityNotCertifiable
from ca.identity.claims import optional_string, subject
from ca.identity.email_address import email_verified
from ca.identity.go_url import URLError, parse
from ca.identity.model import Claims, Identity, Naming
from ca.identity.names import written


@dataclass(frozen=True, slots=True)
class ChainguardIdentity:
    """SAN: the subject as a path below the issuer. `act` and `internal` do not enter the certificate."""

    name: ClassVar[str] = "chainguard-identity"
    challenge_claim: str = "sub"

    def naming(self, issuer: str) -> Naming:
        return Naming(issuer.partition("*")[0].lower(), self.name)

    def identify(self, issuer: str, claims: Claims) -> Identity:
        """Raises ClaimMissing, ClaimInvalid or IdentityNotCertifiable."""
        sub = subject(claims)
        # cosign signs the e-mail address of every token that has one (sigstore/pkg/oauthflow SubjectFromToken).
        address = optional_string(claims, "email")
        if address and not email_verified(claims):
            raise ClaimInvalid("email not verified by identity provider", claim="email_verified")
        try:
            url = parse(issuer).join_path(sub)
        except URLError as error:
            raise IdentityNotCertifiable(str(error)) from None
        return Identity(issuer=issuer, subject=sub, subject_alt_name=written(url), challenge=address or sub)
