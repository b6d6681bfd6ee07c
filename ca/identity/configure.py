"""From an entry of the identity configuration to the identity type that it means."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ca.identity.model import Extension


class IdentityConfigurationError(ValueError):
    """An entry that means no identity type. `field` is its key as the YAML file spells it: `subject-domain`."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field
        self.message = message


@dataclass(frozen=True, slots=True)
class IssuerFields:
    """What an entry of `oidc-issuers` or `meta-issuers` says about identities; absent keys are empty."""

    issuer_url: str
    """The URL, or the pattern of a wildcard issuer."""
    type: str
    ci_provider: str = ""
    issuer_claim: str = ""
    subject_domain: str = ""
    spiffe_trust_domain: str = ""
    challenge_claim: str = ""
    skip_email_verification: bool = False
    wildcard: bool = False
    """Whether the entry stands under `meta-issuers`."""


@dataclass(frozen=True, slots=True)
class CIMetadata:
    """What an entry of `ci-issuer-metadata` says."""

    default_template_values: Mapping[str, str] = field(default_factory=dict)
    extension_templates: Mapping[Extension, str] = field(default_factory=dict)
    """ISSUER, ISSUER_V2 and TOKEN_SUBJECT always come from the token; templates for them are ignored."""
    subject_alternative_name_template: str = ""
