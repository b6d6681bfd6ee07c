"""Entries that could write one name under one issuer are refused; those that could not are not."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from ca.documents import parse
from ca.errors import ConfigurationError
from ca.oidc.identity_config import load_identity_config, read_identity_config

ROOT = Path(__file__).parents[2]
HOST = "https://ci.example"
METADATA = {
    "builds": {"subject-alternative-name-template": "https://builds.example/{{.project}}"},
    "same-builds": {"subject-alternative-name-template": "https://builds.example/{{.project}}"},
    "builds-by-path": {"subject-alternative-name-template": "https://builds.example/{{.path}}"},
    "elsewhere": {"subject-alternative-name-template": "https://elsewhere.example/{{.project}}"},
    "anywhere": {"subject-alternative-name-template": "{{.url}}/{{.project}}"},
    "other-default": {
        "subject-alternative-name-template": "https://builds.example/{{.project}}",
        "default-template-values": {"project": "none"},
    },
    "more-extensions": {
        "subject-alternative-name-template": "https://builds.example/{{.project}}",
        "extension-templates": {"build-trigger": "trigger"},
    },
}
DEX = {"type": "email", "issuer-claim": "$.federated_claims.connector_id"}
UNVERIFIED = {"skip-email-verification": True}


def ci(provider: str) -> dict[str, str]:
    return {"type": "ci-provider", "ci-provider": provider}


def read(fixed: dict[str, dict[str, object]], meta: dict[str, dict[str, object]] | None = None) -> None:
    content = {
        "oidc-issuers": {url: {"issuer-url": url, "client-id": "sigstore", **entry} for url, entry in fixed.items()},
        "meta-issuers": {url: {"client-id": "sigstore", **entry} for url, entry in (meta or {}).items()},
        "ci-issuer-metadata": METADATA,
    }
    read_identity_config(parse(yaml.safe_dump(content, sort_keys=False), "identity.yaml", text_only=True))


def refusal(fixed: dict[str, dict[str, object]], meta: dict[str, dict[str, object]] | None = None) -> str:
    with pytest.raises(ConfigurationError) as refused:
        read(fixed, meta)
    return refused.value.detail


@pytest.mark.parametrize("path", ["tests/vectors/fulcio-public-instance.yaml", "config/identity.yaml"])
def test_the_public_instance_and_our_example_collide_nowhere(path: str) -> None:
    assert load_identity_config(ROOT / path)


# ---- one issuer, two entries


@pytest.mark.parametrize(
    ("exact", "wildcard"),
    [
        (ci("builds"), ci("builds-by-path")),
        (ci("builds"), ci("anywhere")),
        (ci("builds"), ci("other-default")),
        (ci("anywhere"), {"type": "kubernetes"}),
        (ci("anywhere"), {"type": "chainguard-identity"}),
        ({"type": "github-workflow"}, ci("anywhere")),
        ({"type": "github-workflow"}, {"type": "gitlab-pipeline"}),
        ({"type": "codefresh-workflow"}, {"type": "buildkite-job"}),
        ({"type": "spiffe", "spiffe-trust-domain": "ci.example"}, ci("anywhere")),
        ({"type": "uri", "subject-domain": "https://builds.ci.example"}, ci("anywhere")),
        ({"type": "uri", "subject-domain": HOST}, {"type": "chainguard-identity"}),
        ({"type": "username", "subject-domain": "ci.example"}, ci("builds")),
    ],
    ids=str,
)
def test_an_exact_issuer_and_a_wildcard_may_not_make_one_name_by_two_rules(exact, wildcard) -> None:
    detail = refusal({f"{HOST}/one": exact}, {f"{HOST}/*": wildcard})
    assert f"matches issuers that {HOST}/one matches too" in detail
    assert "narrow the wildcard" in detail
    assert re.match(r'identity\.yaml:[0-9]+: meta-issuers\["https://ci\.example/\*"\]\.type: ', detail)


def test_two_wildcards_may_not_make_one_name_by_two_rules() -> None:
    entries = {"https://*.example/ci": ci("builds"), "https://build-*.example/ci": ci("builds-by-path")}
    assert "matches issuers that https://*.example/ci matches too" in refusal({}, entries)


@pytest.mark.parametrize(
    ("exact", "wildcard"),
    [
        (ci("builds"), ci("builds")),
        (ci("builds"), ci("same-builds")),
        (ci("builds"), ci("more-extensions")),
        (ci("builds"), ci("elsewhere")),
        (ci("builds"), {"type": "kubernetes"}),
        (ci("anywhere"), {"type": "email"}),
        ({"type": "kubernetes"}, {"type": "kubernetes", "client-id": "another"}),
        ({"type": "email"}, {"type": "username", "subject-domain": "ci.example"}),
        ({"type": "email"}, {"type": "email", **UNVERIFIED}),
        ({"type": "spiffe", "spiffe-trust-domain": "ci.example"}, {"type": "kubernetes"}),
        ({"type": "uri", "subject-domain": HOST}, {"type": "uri", "subject-domain": "https://builds.ci.example"}),
        ({"type": "buildkite-job"}, {"type": "github-workflow"}),
    ],
    ids=str,
)
def test_names_by_the_same_rule_or_never_the_same_are_left_alone(exact, wildcard) -> None:
    read({f"{HOST}/one": exact}, {f"{HOST}/*": wildcard})


@pytest.mark.parametrize("pattern", ["https://*.example/ci", f"{HOST}/*/more", f"{HOST}*"])
def test_a_wildcard_that_does_not_match_the_exact_issuer_is_left_alone(pattern: str) -> None:
    read({f"{HOST}/one": ci("builds")}, {pattern: ci("builds-by-path")})


def test_an_entry_that_is_switched_off_collides_with_nothing() -> None:
    read({f"{HOST}/one": ci("builds") | {"enabled": False}}, {f"{HOST}/*": ci("builds-by-path")})
    read({f"{HOST}/one": ci("builds")}, {f"{HOST}/*": ci("builds-by-path") | {"enabled": False}})


# ---- one issuer, two spellings


@pytest.mark.parametrize("spelling", ["https://CI.example", "https://ci.example:443"])
def test_an_issuer_may_not_be_spelled_twice(spelling: str) -> None:
    detail = refusal({HOST: {"type": "email"}, spelling: {"type": "email"}})
    assert f"is {HOST} in another spelling" in detail


@pytest.mark.parametrize("other", ["https://ci.example/", "https://ci.example:8443", "https://ci.example/CI"])
def test_issuers_that_differ_in_port_path_or_the_last_slash_are_two(other: str) -> None:
    read({HOST: {"type": "email"}, other: {"type": "email"}})


# ---- an issuer that speaks for others


def test_an_issuer_that_speaks_for_others_may_not_be_less_careful_than_they_are() -> None:
    detail = refusal({"https://dex.example": DEX | UNVERIFIED, "https://idp.example": {"type": "email"}})
    assert "skip-email-verification: with issuer-claim this issuer may speak for others, such as" in detail
    assert "https://idp.example" in detail


def test_of_two_that_speak_for_others_the_less_careful_is_refused() -> None:
    detail = refusal({"https://dex.example": DEX, "https://lax.example": DEX | UNVERIFIED})
    assert 'oidc-issuers["https://lax.example"].skip-email-verification' in detail


@pytest.mark.parametrize(
    "other",
    [
        {"type": "email"},
        {"type": "email"} | UNVERIFIED,
        DEX,
        {"type": "kubernetes"},
        {"type": "username", "subject-domain": "idp.example"},
    ],
    ids=str,
)
def test_a_careful_issuer_may_speak_for_others(other) -> None:
    read({"https://dex.example": DEX, "https://idp.example": other})


def test_an_issuer_that_speaks_for_others_need_not_be_careful_where_nobody_is() -> None:
    read({"https://dex.example": DEX | UNVERIFIED, "https://idp.example": {"type": "kubernetes"}})
    read({"https://dex.example": DEX | UNVERIFIED, "https://idp.example": {"type": "email"} | UNVERIFIED})


@pytest.mark.parametrize("domain", ["x@builds.ci.example", "x!builds.ci.example"])
def test_a_username_s_domain_is_one_so_that_no_username_reads_as_an_address(domain: str) -> None:
    assert "is no domain" in refusal({HOST: {"type": "username", "subject-domain": domain}})


def test_a_thousand_issuers_are_compared_without_delay() -> None:
    fixed = {f"https://issuer-{number}.example": {"type": "email"} for number in range(1000)}
    meta = {f"https://*.site-{number}.example": {"type": "kubernetes"} for number in range(20)}
    read(fixed, meta)
