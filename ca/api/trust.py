"""What clients learn before they sign: the trust bundle and the issuers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ca.api import answers

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from ca.keys.model import CAKeys
    from ca.oidc.model import TrustedIssuer
    from ca.oidc.registry import IssuerRegistry


class Trust:
    """`GET /api/v2/trustBundle`, `/api/v2/configuration` and `/api/v1/rootCert`."""

    def __init__(self, keys: CAKeys, registry: IssuerRegistry) -> None:
        self._keys = keys
        self._registry = registry

    async def bundle(self, _request: Request) -> Response:
        return answers.JSON({"chains": [{"certificates": list(chain.pems)} for chain in self._keys.chains()]})

    async def root_cert(self, _request: Request) -> Response:
        # Fulcio joins PEM texts that already end in a newline: a blank line stands between certificates.
        pems = [pem for chain in self._keys.chains() for pem in chain.pems]
        return answers.PEM("\n".join(pems).strip())

    async def configuration(self, _request: Request) -> Response:
        return answers.JSON({"issuers": [_issuer(issuer) for issuer in self._registry.issuers]})


def _issuer(issuer: TrustedIssuer) -> dict[str, Any]:
    return {
        "wildcardIssuerUrl" if issuer.wildcard else "issuerUrl": issuer.url,
        "audience": issuer.audience,
        "challengeClaim": issuer.identity_type.challenge_claim,
        "spiffeTrustDomain": issuer.spiffe_trust_domain,
        "issuerType": issuer.identity_type.name,
        "subjectDomain": issuer.subject_domain,
        "skipEmailVerification": issuer.skip_email_verification,
    }
