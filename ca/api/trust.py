"""What clients learn before they sign or verify: whom to trust, whom to talk to, who may log in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ca.api import answers
from ca.errors import Code
from ca.trust import documents

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.requests import Request
    from starlette.responses import Response

    from ca.keys.model import CAKeys
    from ca.oidc.model import TrustedIssuer
    from ca.oidc.registry import IssuerRegistry
    from ca.trust.model import TrustMaterial


class Trust:
    """Fulcio's `GET /api/v2/trustBundle`, `/api/v2/configuration` and `/api/v1/rootCert`; `/api/v2/trustedRoot` and
    `/api/v2/signingConfig`, which Fulcio leaves to whoever runs it.
    """

    def __init__(
        self, keys: CAKeys, registry: Callable[[], IssuerRegistry], material: Callable[[], TrustMaterial]
    ) -> None:
        """`registry` and `material` are asked for each answer: issuers, keys and logs change meanwhile."""
        self._keys = keys
        self._registry = registry
        self._material = material

    async def bundle(self, _request: Request) -> Response:
        return answers.JSON(self.trust_bundle())

    def trust_bundle(self) -> dict[str, Any]:
        """Fulcio's `TrustBundle` as ProtoJSON has it."""
        return {"chains": [{"certificates": list(chain.pems)} for chain in self._keys.chains()]}

    async def root_cert(self, _request: Request) -> Response:
        # Fulcio joins PEM texts that already end in a newline: a blank line stands between certificates.
        pems = [pem for chain in self._keys.chains() for pem in chain.pems]
        return answers.PEM("\n".join(pems).strip())

    async def configuration(self, _request: Request) -> Response:
        return answers.JSON(self.issuers())

    def issuers(self) -> dict[str, Any]:
        """Fulcio's `Configuration` as ProtoJSON has it."""
        return {"issuers": [_issuer(issuer) for issuer in self._registry().issuers if issuer.enabled]}

    async def trusted_root(self, _request: Request) -> Response:
        return answers.JSON(documents.trusted_root(self._material()))

    async def signing_config(self, _request: Request) -> Response:
        material = self._material()
        if not material.ca_services:
            message = "the operator has not said under which URL clients reach this CA: trust.url in its configuration"
            return answers.JSON(answers.status_body(Code.NOT_FOUND, message), 404)
        return answers.JSON(documents.signing_config(material))


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
