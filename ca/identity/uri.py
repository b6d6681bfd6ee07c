"""Issuers of type `uri`: subjects that are URIs below a domain of the issuer's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ca.errors import ClaimInvalid
from ca.identity.claims import subject
from ca.identity.go_url import URL, URLError, parse
from ca.identity.model import Claims, Identity, Naming
from ca.identity.names import is_email, written


@dataclass(frozen=True, slots=True)
class URISubject:
    """SAN: the subject, in Go's form."""

    name: ClassVar[str] = "uri"
    domain: URL
    """`subject-domain`; of it scheme and hostname count, not the port, as in Fulcio."""
    challenge_claim: str = "sub"

    def naming(self, issuer: str) -> Naming:  # noqa: ARG002 - the same for every issuer
        host = self.domain.hostname.decode(errors="replace")
        return Naming(f"{self.domain.scheme.decode()}://{host}".lower(), self.name)

    def identify(self, issuer: str, claims: Claims) -> Identity:
        """Raises ClaimMissing, ClaimInvalid or IdentityNotCertifiable."""
        sub = subject(claims)
        if is_email(sub):
            raise ClaimInvalid("uri subject should not be an email address, but the sub claim is", claim="sub")
        try:
            url = parse(sub)
        except URLError as error:
            raise ClaimInvalid(str(error), claim="sub") from None
        self._require_domain(url)
        if url.userinfo is not None:
            raise ClaimInvalid("uri subject has userinfo before its host, which reads like another host", claim="sub")
        return Identity(issuer=issuer, subject=sub, subject_alt_name=written(url), challenge=sub)

    def _require_domain(self, url: URL) -> None:
        scheme, expected_scheme = url.scheme.decode(), self.domain.scheme.decode()
        if scheme != expected_scheme:
            problem = f"subject URI scheme ({scheme}) must match expected domain URI scheme ({expected_scheme})"
            raise ClaimInvalid(problem, claim="sub")
        if url.hostname != self.domain.hostname:
            host, expected_host = (part.decode(errors="replace") for part in (url.hostname, self.domain.hostname))
            raise ClaimInvalid(f"subject hostname ({host}) must match expected domain ({expected_host})", claim="sub")
