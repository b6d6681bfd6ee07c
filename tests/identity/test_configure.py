"""Entries of the identity configuration; the messages are Fulcio's (pkg/config validateConfig)."""

from __future__ import annotations

from typing import Any

import pytest

from ca.identity.configure import CIMetadata, IdentityConfigurationError, IssuerFields, ci_provider, identity_type
from ca.identity.model import Extension
from tests.identity.vectors import public_metadata

ISSUER = "https://accounts.example.com"
METADATA = CIMetadata(subject_alternative_name_template="https://ci.example/{{.job}}")


def fields(type_: str, **other: Any) -> IssuerFields:
    return IssuerFields(**{"issuer_url": ISSUER, "type": type_, **other})


@pytest.mark.parametrize("wildcard", [False, True])
@pytest.mark.parametrize(
    ("type_", "other"),
    [
        ("email", {}),
        ("email", {"issuer_claim": "$.federated_claims.connector_id"}),
        ("email", {"issuer_claim": "$['federated_claims']['connector-id'][0]"}),
        ("uri", {"subject_domain": "https://example.com"}),
        ("uri", {"subject_domain": "https://users.example.com"}),
        ("uri", {"subject_domain": "https://accounts.example.com"}),
        ("username", {"subject_domain": "example.com"}),
        ("username", {"subject_domain": "users.example.com"}),
        ("kubernetes", {}),
        ("chainguard-identity", {}),
        ("buildkite-job", {}),
        ("codefresh-workflow", {}),
        ("github-workflow", {}),
        ("gitlab-pipeline", {}),
        ("ci-provider", {"ci_provider": "mine"}),
    ],
)
def test_entries_that_mean_an_identity_type(type_: str, other: dict[str, Any], wildcard: bool) -> None:
    meaning = identity_type(fields(type_, wildcard=wildcard, **other), METADATA)
    assert meaning.name == type_
    assert meaning.challenge_claim == ("email" if type_ == "email" else "sub")


def test_a_spiffe_trust_domain_belongs_to_one_issuer() -> None:
    assert identity_type(fields("spiffe", spiffe_trust_domain="example.com")).name == "spiffe"
    assert identity_type(fields("spiffe", spiffe_trust_domain="spiffe://example.com/x")).name == "spiffe"


def test_the_challenge_claim_is_advertised_as_configured() -> None:
    for type_ in ("email", "kubernetes", "github-workflow"):
        assert identity_type(fields(type_, challenge_claim="other")).challenge_claim == "other"
    meaning = identity_type(fields("ci-provider", ci_provider="mine", challenge_claim="other"), METADATA)
    assert meaning.challenge_claim == "other"


@pytest.mark.parametrize("wildcard", [False, True])
@pytest.mark.parametrize(
    ("type_", "other", "field", "begins"),
    [
        ("uri", {}, "subject-domain", "uri issuer must have SubjectDomain set"),
        ("uri", {"subject_domain": "example.com"}, "subject-domain", "SubjectDomain for uri must contain scheme"),
        ("uri", {"subject_domain": "https://example.com", "issuer_url": "accounts.example.com"}, "issuer-url", "issuer for uri must contain scheme"),
        ("uri", {"subject_domain": "http://example.com"}, "subject-domain", "subject (http) and issuer (https) URI schemes do not match"),
        ("uri", {"subject_domain": "https://example.org"}, "subject-domain", "hostname top-level and second-level domains do not match: example.org, accounts.example.com"),
        ("uri", {"subject_domain": "https://other.com"}, "subject-domain", "hostname top-level and second-level domains do not match: other.com, accounts.example.com"),
        ("uri", {"subject_domain": "https://example.com.other.com"}, "subject-domain", "hostname top-level and second-level domains do not match"),
        ("uri", {"subject_domain": "https://example"}, "subject-domain", "URI hostname too short: example"),
        ("uri", {"subject_domain": "https://example.com", "issuer_url": "https://example"}, "subject-domain", "URI hostname too short: example"),
        ("uri", {"subject_domain": "https://%zz"}, "subject-domain", 'parse "https://%zz": invalid URL escape "%zz"'),
        ("uri", {"subject_domain": "https://*.example.com"}, "subject-domain", '"https://*.example.com" is no domain'),
        ("username", {}, "subject-domain", "username issuer must have SubjectDomain set"),
        ("username", {"subject_domain": "https://example.com"}, "subject-domain", "SubjectDomain for username should not contain scheme"),
        ("username", {"subject_domain": "example.com", "issuer_url": "accounts.example.com"}, "issuer-url", "issuer for username must contain scheme"),
        ("username", {"subject_domain": "example.org"}, "subject-domain", "hostname top-level and second-level domains do not match: example.org, accounts.example.com"),
        ("username", {"subject_domain": "example"}, "subject-domain", "URI hostname too short: example"),
        ("username", {"subject_domain": "example.com\u202e"}, "subject-domain", '"example.com\\u202e" is no domain'),
        ("kubernetes", {"issuer_claim": "$.iss"}, "issuer-claim", "only email issuers can use issuer claim mapping"),
        ("ci-provider", {"issuer_claim": "$.iss"}, "issuer-claim", "only email issuers can use issuer claim mapping"),
        ("email", {"issuer_claim": "connector_id"}, "issuer-claim", '"connector_id" is no JSONPath'),
        ("email", {"issuer_claim": "$.["}, "issuer-claim", '"$.[" is no JSONPath'),
        ("email", {"issuer_claim": "$..connector_id"}, "issuer-claim", '"$..connector_id" can select more than one value'),
        ("email", {"issuer_claim": "$.*"}, "issuer-claim", '"$.*" can select more than one value'),
        ("githb-workflow", {}, "type", 'issuer missing challenge claim: type "githb-workflow" is unknown; did you mean github-workflow?'),
        ("", {}, "type", 'issuer missing challenge claim: type "" is unknown; expected one of email'),
        ("oidc", {"challenge_claim": "sub"}, "type", 'type "oidc" is unknown; expected one of email'),
    ],
)  # fmt: skip
def test_entries_that_mean_nothing(type_: str, other: dict[str, Any], field: str, begins: str, wildcard: bool) -> None:
    with pytest.raises(IdentityConfigurationError) as refusal:
        identity_type(fields(type_, wildcard=wildcard, **other), METADATA)
    assert refusal.value.field == field
    assert refusal.value.message.startswith(begins)
    assert str(refusal.value) == refusal.value.message


@pytest.mark.parametrize(
    ("other", "field", "begins"),
    [
        ({}, "spiffe-trust-domain", "spiffe issuer must have SPIFFETrustDomain set"),
        ({"spiffe_trust_domain": "invalid#domain"}, "spiffe-trust-domain", "spiffe trust domain is invalid"),
        ({"spiffe_trust_domain": "Example.com"}, "spiffe-trust-domain", "spiffe trust domain is invalid"),
        ({"spiffe_trust_domain": "spiffe:/example.com"}, "spiffe-trust-domain", "spiffe trust domain is invalid"),
        ({"spiffe_trust_domain": "spiffe://example.com/"}, "spiffe-trust-domain", "spiffe trust domain is invalid"),
        ({"spiffe_trust_domain": "example.com\n"}, "spiffe-trust-domain", "spiffe trust domain is invalid"),
        (
            {"spiffe_trust_domain": "example.com", "wildcard": True},
            "type",
            "SPIFFE meta issuers not supported",
        ),
    ],
)
def test_trust_domains_that_mean_nothing(other: dict[str, Any], field: str, begins: str) -> None:
    with pytest.raises(IdentityConfigurationError) as refusal:
        identity_type(fields("spiffe", **other))
    assert (refusal.value.field, refusal.value.message) == (field, begins)


def test_a_wildcard_host_must_end_in_the_subjects_domain() -> None:
    pattern = "https://*.example.com/realms/*"
    assert identity_type(fields("username", issuer_url=pattern, wildcard=True, subject_domain="example.com"))
    for issuer_url in ("https://*.com/", "https://example.*/", "https://*/", "https://*.*.com"):
        with pytest.raises(IdentityConfigurationError, match=r"do not match|too short"):
            identity_type(fields("username", issuer_url=issuer_url, wildcard=True, subject_domain="example.com"))


def test_a_provider_without_metadata_is_refused() -> None:
    with pytest.raises(IdentityConfigurationError) as refusal:
        identity_type(fields("ci-provider", ci_provider="mine"), None)
    assert refusal.value.field == "ci-provider"
    assert refusal.value.message.startswith(f"metadata not found for ci provider mine, issuer: {ISSUER}")


def test_the_metadata_of_the_public_instance_mean_something() -> None:
    for metadata in public_metadata().values():
        assert ci_provider(metadata).extensions


def test_blank_templates_are_skipped_and_those_of_the_token_ignored() -> None:
    templates = {
        Extension.BUILD_TRIGGER: " \n",
        Extension.BUILD_CONFIG_URI: "",
        Extension.ISSUER: "job",
        Extension.ISSUER_V2: "job",
        Extension.TOKEN_SUBJECT: "job",
        Extension.RUNNER_ENVIRONMENT: "job",
    }
    meaning = ci_provider(CIMetadata({}, templates, "https://ci.example/{{.job}}"))
    identity = meaning.identify(ISSUER, {"sub": "me", "job": "1"})
    assert identity.extensions == {Extension.RUNNER_ENVIRONMENT: "1"}
    assert (identity.issuer, identity.subject) == (ISSUER, "me")


@pytest.mark.parametrize("template", ["", " ", "\n\t"])
def test_a_blank_name_is_refused_at_load(template: str) -> None:
    with pytest.raises(IdentityConfigurationError) as refusal:
        ci_provider(CIMetadata(subject_alternative_name_template=template))
    assert refusal.value.field == "subject-alternative-name-template"
    assert refusal.value.message.startswith("SubjectAlternativeNameTemplate should not be empty")


@pytest.mark.parametrize("extension", [Extension.BUILD_TRIGGER, Extension.ISSUER])
def test_an_unparsable_template_is_refused_at_load(extension: Extension) -> None:
    metadata = CIMetadata({}, {extension: "{{ .a | print }}"}, "https://ci.example/{{.job}}")
    with pytest.raises(IdentityConfigurationError, match=r"\A1:7: .*supported are") as refusal:
        ci_provider(metadata)
    assert refusal.value.field == f"extension-templates.{extension.config_key}"


def test_an_unparsable_name_is_refused_at_load() -> None:
    with pytest.raises(IdentityConfigurationError, match=r"\A1:3: ") as refusal:
        ci_provider(CIMetadata(subject_alternative_name_template="{{}}"))
    assert refusal.value.field == "subject-alternative-name-template"


def test_a_default_that_no_certificate_can_carry_is_refused_at_load() -> None:
    with pytest.raises(IdentityConfigurationError, match=r"U\+000A") as refusal:
        ci_provider(CIMetadata({"url": "https://ci.example\n"}, {}, "{{.url}}"))
    assert refusal.value.field == "default-template-values.url"


def test_identity_types_do_not_change_with_their_metadata() -> None:
    defaults = {"job": "1"}
    meaning = ci_provider(CIMetadata(defaults, {}, "https://ci.example/{{.job}}"))
    defaults["job"] = "2"
    assert meaning.identify(ISSUER, {"sub": "me"}).subject_alt_name.value == "https://ci.example/1"
