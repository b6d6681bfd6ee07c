"""From an entry of the identity configuration to the identity type that it means."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from typing import Final

from jsonpath import JSONPath, JSONPathEnvironment
from jsonpath.exceptions import JSONPathError

from ca.identity.chainguard import ChainguardIdentity
from ca.identity.ci_provider import CIProvider
from ca.identity.claims import forbidden_character
from ca.identity.email_address import EmailAddress
from ca.identity.go_quote import quote
from ca.identity.go_url import URL, URLError, parse
from ca.identity.kubernetes import KubernetesServiceAccount
from ca.identity.legacy_ci import buildkite_job, codefresh_workflow, github_workflow, gitlab_pipeline
from ca.identity.model import Extension, IdentityType
from ca.identity.spiffe import SPIFFEID, parse_trust_domain
from ca.identity.templates import Key, Template, TemplateSyntaxError, compile_template
from ca.identity.uri import URISubject
from ca.identity.username import Username

_TYPES: Final = (
    "email",
    "uri",
    "username",
    "spiffe",
    "kubernetes",
    "chainguard-identity",
    "ci-provider",
    "buildkite-job",
    "codefresh-workflow",
    "github-workflow",
    "gitlab-pipeline",
)
_FROM_THE_TOKEN: Final = (Extension.ISSUER, Extension.ISSUER_V2, Extension.TOKEN_SUBJECT)


class IdentityConfigurationError(ValueError):
    """An entry that means no identity type.

    `field` is its key as the YAML file spells it, such as `subject-domain` or `extension-templates.build-trigger`.
    The message begins with Fulcio's where Fulcio refuses the entry too.
    """

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


def identity_type(entry: IssuerFields, metadata: CIMetadata | None = None) -> IdentityType:  # noqa: C901 - an arm per type
    """What the entry means; `metadata` is that of its `ci_provider`, None if there is none.

    Fulcio leaves several checks out for wildcard issuers; here they hold for both. Raises IdentityConfigurationError.
    """
    if entry.issuer_claim and entry.type != "email":
        raise IdentityConfigurationError("issuer-claim", "only email issuers can use issuer claim mapping")
    challenge = entry.challenge_claim or ("email" if entry.type == "email" else "sub")
    match entry.type:
        case "email":
            issuer_claim = _issuer_claim(entry.issuer_claim) if entry.issuer_claim else None
            return EmailAddress(challenge, issuer_claim, entry.skip_email_verification)
        case "uri":
            return URISubject(_uri_domain(entry), challenge)
        case "username":
            return Username(_username_domain(entry), challenge)
        case "spiffe":
            return SPIFFEID(_trust_domain(entry), challenge)
        case "kubernetes":
            return KubernetesServiceAccount(challenge)
        case "chainguard-identity":
            return ChainguardIdentity(challenge)
        case "ci-provider":
            return replace(_named_provider(entry, metadata), challenge_claim=challenge)
        case "buildkite-job":
            return buildkite_job(challenge)
        case "codefresh-workflow":
            return codefresh_workflow(challenge)
        case "github-workflow":
            return github_workflow(challenge)
        case "gitlab-pipeline":
            return gitlab_pipeline(challenge)
    raise _unknown_type(entry)


def ci_provider(metadata: CIMetadata) -> CIProvider:
    """The identity type that the metadata describe, whether an issuer uses them or not.

    Raises IdentityConfigurationError.
    """
    for key, text in metadata.default_template_values.items():
        if character := forbidden_character(text):
            problem = f"U+{ord(character):04X} would go into the certificate"
            raise IdentityConfigurationError(f"default-template-values.{key}", problem)
    name_template = metadata.subject_alternative_name_template
    if not name_template.strip():
        raise IdentityConfigurationError(
            "subject-alternative-name-template",
            "SubjectAlternativeNameTemplate should not be empty",
        )
    extensions = {
        extension: _compiled(f"extension-templates.{extension.config_key}", template)
        for extension, template in sorted(metadata.extension_templates.items())
        if template.strip()
    }
    return CIProvider(
        _compiled("subject-alternative-name-template", name_template, index_required=True),
        tuple((extension, template) for extension, template in extensions.items() if extension not in _FROM_THE_TOKEN),
        dict(metadata.default_template_values),
    )


def _compiled(field: str, template: str, *, index_required: bool = False) -> Key | Template:
    try:
        return compile_template(template, index_required=index_required)
    except TemplateSyntaxError as error:
        raise IdentityConfigurationError(field, str(error)) from error


def _named_provider(entry: IssuerFields, metadata: CIMetadata | None) -> CIProvider:
    if metadata is None:
        problem = f"metadata not found for ci provider {entry.ci_provider}, issuer: {entry.issuer_url}"
        raise IdentityConfigurationError("ci-provider", f"{problem}; name an entry of ci-issuer-metadata")
    return ci_provider(metadata)


def _issuer_claim(path: str) -> JSONPath:
    try:
        compiled = JSONPathEnvironment(strict=True).compile(path)
    except JSONPathError as error:
        problem = f"{quote(path)} is no JSONPath such as $.federated_claims.connector_id: {error.args[0]}"
        raise IdentityConfigurationError("issuer-claim", problem) from error
    if not isinstance(compiled, JSONPath) or not compiled.singular_query():
        raise IdentityConfigurationError("issuer-claim", f"{quote(path)} can select more than one value")
    return compiled


def _trust_domain(entry: IssuerFields) -> str:
    if entry.wildcard:
        raise IdentityConfigurationError("type", "SPIFFE meta issuers not supported")
    if not entry.spiffe_trust_domain:
        raise IdentityConfigurationError("spiffe-trust-domain", "spiffe issuer must have SPIFFETrustDomain set")
    if trust_domain := parse_trust_domain(entry.spiffe_trust_domain):
        return trust_domain
    raise IdentityConfigurationError("spiffe-trust-domain", "spiffe trust domain is invalid")


def _uri_domain(entry: IssuerFields) -> URL:
    domain = _subject_domain(entry)
    if not domain.scheme:
        raise IdentityConfigurationError("subject-domain", "SubjectDomain for uri must contain scheme")
    issuer = _issuer_url(entry)
    if domain.scheme != issuer.scheme:
        schemes = f"subject ({domain.scheme.decode()}) and issuer ({issuer.scheme.decode()})"
        raise IdentityConfigurationError("subject-domain", f"{schemes} URI schemes do not match")
    _validate_allowed_domain(_hostname(domain), _hostname(issuer))
    return domain


def _username_domain(entry: IssuerFields) -> str:
    if set(entry.subject_domain) & set("@!"):
        # `user!domain` would read as another user's name, or as an e-mail address.
        raise IdentityConfigurationError("subject-domain", f"{quote(entry.subject_domain)} is no domain")
    if _subject_domain(entry).scheme:
        raise IdentityConfigurationError("subject-domain", "SubjectDomain for username should not contain scheme")
    _validate_allowed_domain(entry.subject_domain, _hostname(_issuer_url(entry)))
    return entry.subject_domain


def _subject_domain(entry: IssuerFields) -> URL:
    domain = entry.subject_domain
    if not domain:
        raise IdentityConfigurationError("subject-domain", f"{entry.type} issuer must have SubjectDomain set")
    if "*" in domain or forbidden_character(domain):
        raise IdentityConfigurationError("subject-domain", f"{quote(domain)} is no domain; it goes into certificates")
    return _parsed("subject-domain", domain)


def _issuer_url(entry: IssuerFields) -> URL:
    issuer = _parsed("issuer-url", entry.issuer_url)
    if not issuer.scheme:
        raise IdentityConfigurationError("issuer-url", f"issuer for {entry.type} must contain scheme")
    return issuer


def _parsed(field: str, text: str) -> URL:
    try:
        return parse(text)
    except URLError as error:
        raise IdentityConfigurationError(field, str(error)) from error


def _hostname(url: URL) -> str:
    return url.hostname.decode(errors="replace")


def _validate_allowed_domain(subject_hostname: str, issuer_hostname: str) -> None:
    """Top-level and second-level domain are the same: who proved to own the one owns the other.

    Of a wildcard issuer these two labels are in the pattern, for `*` equals no label.
    """
    if subject_hostname == issuer_hostname:
        return
    subject_labels, issuer_labels = subject_hostname.split("."), issuer_hostname.split(".")
    for hostname, labels in ((subject_hostname, subject_labels), (issuer_hostname, issuer_labels)):
        if len(labels) < 2:
            raise IdentityConfigurationError("subject-domain", f"URI hostname too short: {hostname}")
    if subject_labels[-2:] != issuer_labels[-2:]:
        raise IdentityConfigurationError(
            "subject-domain",
            f"hostname top-level and second-level domains do not match: {subject_hostname}, {issuer_hostname}",
        )


def _unknown_type(entry: IssuerFields) -> IdentityConfigurationError:
    fulcio = "" if entry.challenge_claim else "issuer missing challenge claim: "
    near = get_close_matches(entry.type, _TYPES, n=1)
    advice = f"did you mean {near[0]}?" if near else f"expected one of {', '.join(_TYPES)}"
    return IdentityConfigurationError("type", f"{fulcio}type {quote(entry.type)} is unknown; {advice}")
