"""Issuers of type `email`: people who sign with an address that the issuer has verified."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from jsonpath import JSONPath

from ca.errors import ClaimInvalid, ClaimMissing
from ca.identity.claims import optional_string, required_string, scalar_text
from ca.identity.model import Claims, Identity, Naming
from ca.identity.names import email_name, is_email

_TRUTH = {"true": True, "True": True, "false": False, "False": False}


@dataclass(frozen=True, slots=True)
class EmailAddress:
    """SAN: rfc822Name, the `email` claim."""

    name: ClassVar[str] = "email"
    challenge_claim: str = "email"
    issuer_claim: JSONPath | None = None
    """Selects the issuer that the certificate names, such as Dex's upstream identity provider; else `iss`."""
    verification_skipped: bool = False
    """`skip-email-verification`: the issuer vouches for addresses without saying so in `email_verified`."""

    def naming(self, issuer: str) -> Naming:  # noqa: ARG002 - the same for every issuer
        return Naming(None, self.name)

    def identify(self, issuer: str, claims: Claims) -> Identity:
        """Raises ClaimMissing, ClaimInvalid or IdentityNotCertifiable."""
        address = required_string(claims, "email")
        if not email_verified(claims) and not self.verification_skipped:
            raise ClaimInvalid(
                "email_verified claim was false; verify the address with the identity provider",
                claim="email_verified",
            )
        if not is_email(address):
            raise ClaimInvalid("email address is not valid, expected one such as ada@example.com", claim="email")
        return Identity(
            issuer=self._named_issuer(issuer, claims),
            subject=optional_string(claims, "sub"),
            subject_alt_name=email_name(address),
            challenge=address,
        )

    def _named_issuer(self, issuer: str, claims: Claims) -> str:
        if self.issuer_claim is None:
            return issuer
        path = str(self.issuer_claim)
        match self.issuer_claim.findall(claims):
            case []:
                raise ClaimMissing(f"nothing at {path}, which names the issuer", claim=path)
            case [value]:
                if text := scalar_text(path, value):
                    return text
                raise ClaimMissing(f"an empty text at {path}, which names the issuer", claim=path)
        raise ClaimInvalid(f"more than one value at {path}, which names the issuer", claim=path)


def email_verified(claims: Claims) -> bool:
    """A boolean, or as some providers send it, its text; absent means false. Raises ClaimInvalid."""
    value = claims.get("email_verified", False)
    if isinstance(value, str):
        value = _TRUTH.get(value)
    if isinstance(value, bool):
        return value
    raise ClaimInvalid("email_verified claim must be true or false", claim="email_verified")
