"""Claims to identity, for every issuer type and every CI provider of the public instance.

What is accepted was computed by Fulcio v1.8.8; where ours differs on purpose, the vector says so.
"""

from __future__ import annotations

import pytest

from ca.errors import CallerError
from ca.identity.model import Extension
from tests.identity.vectors import identity_of, load, public_metadata, type_of

CASES = load("identities.json")
ACCEPTED = [case for case in CASES if "identity" in case]
REFUSED = [case for case in CASES if "refused" in case]


def named(case: dict) -> str:
    return ascii(case["case"])


@pytest.mark.parametrize("case", ACCEPTED, ids=named)
def test_true_claims_become_the_identity_that_fulcio_issues(case: dict) -> None:
    assert type_of(case).identify(case["iss"], case["claims"]) == identity_of(case)


@pytest.mark.parametrize("case", ACCEPTED, ids=named)
def test_extensions_come_in_the_order_of_the_certificate(case: dict) -> None:
    extensions = list(type_of(case).identify(case["iss"], case["claims"]).extensions)
    assert extensions == sorted(extensions)


@pytest.mark.parametrize("case", REFUSED, ids=named)
def test_claims_that_no_certificate_can_carry_are_refused(case: dict) -> None:
    with pytest.raises(CallerError) as refusal:
        type_of(case).identify(case["iss"], case["claims"])
    assert refusal.value.reason == case["refused"]["reason"]
    assert refusal.value.detail.startswith(case["refused"].get("begins", ""))
    if "claim" in case["refused"]:
        assert refusal.value.metadata["claim"] == case["refused"]["claim"]
        assert case["refused"]["claim"] in refusal.value.detail or case["refused"].get("begins")


@pytest.mark.parametrize("case", REFUSED, ids=named)
def test_where_fulcio_shows_its_reason_ours_begins_with_it(case: dict) -> None:
    shown, _, reason = case["fulcio"].partition("refuses the certificate: ")
    if shown:  # Fulcio issues it, or shows no reason
        return
    with pytest.raises(CallerError) as refusal:
        type_of(case).identify(case["iss"], case["claims"])
    if refusal.value.reason == "IDENTITY_NOT_CERTIFIABLE":
        assert refusal.value.public_message.startswith(reason)


def test_every_type_has_accepting_and_refusing_vectors() -> None:
    types = {
        "email", "uri", "username", "spiffe", "kubernetes", "chainguard-identity", "ci-provider",
        "buildkite-job", "codefresh-workflow", "github-workflow", "gitlab-pipeline",
    }  # fmt: skip
    assert {case["issuer"]["type"] for case in ACCEPTED} == types
    assert {case["issuer"]["type"] for case in REFUSED} == types


def test_every_provider_of_the_public_instance_has_vectors() -> None:
    for cases in (ACCEPTED, REFUSED):
        providers = {case["issuer"].get("ci-provider") for case in cases}
        assert set(public_metadata()) <= providers


def test_the_vectors_fill_every_extension() -> None:
    filled = {arc for case in ACCEPTED for arc in case["identity"]["extensions"]}
    of_the_token = {Extension.ISSUER, Extension.ISSUER_V2, Extension.TOKEN_SUBJECT}
    assert filled == {str(extension.value) for extension in set(Extension) - of_the_token}


@pytest.mark.parametrize("case", ACCEPTED, ids=named)
def test_the_type_is_named_as_in_the_configuration(case: dict) -> None:
    assert type_of(case).name == case["issuer"]["type"]


@pytest.mark.parametrize("case", ACCEPTED, ids=named)
def test_the_identity_needs_no_other_issuer_than_the_tokens(case: dict) -> None:
    """The type is one per configuration entry; a wildcard issuer's URL comes with the token."""
    identity = type_of(case).identify("https://elsewhere.example", case["claims"])
    assert identity.issuer in ("https://elsewhere.example", case["identity"]["issuer"])
