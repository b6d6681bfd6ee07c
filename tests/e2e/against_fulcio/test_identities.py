"""Claims to identities, for every type of issuer: the vectors, asked of both servers."""

from __future__ import annotations

import pytest

from tests.api.server import body
from tests.e2e.against_fulcio.cases import csr_of, key, post
from tests.e2e.against_fulcio.comparison import summary, visible
from tests.e2e.against_fulcio.issuers import Issuers
from tests.e2e.against_fulcio.servers import Ask
from tests.e2e.against_fulcio.vectors import VECTORS, Vector

NO_TEXT = "null, lists and objects are no text; Fulcio prints them as Go does"
INVISIBLE = "control and format characters make a certificate read otherwise than it is"
OTHER_HOST = "userinfo reads like another host"
HOLES = "a name with a hole in it names nobody"
UNNAMED = "OpenID Connect Core §2 requires sub, over which proofs are made"
OUTSIDE = "Kubernetes gives out no such name, and some read like others"
NO_URI = "RFC 5280 §4.2.1.6: a URI in a certificate is absolute"
BAD_URL = "Fulcio drops what it cannot parse, and names all of the host"

REFUSED_HERE = {
    NO_TEXT: [
        "github ci-provider: null where a template prints it",
        "github ci-provider: null in the SAN",
        "github ci-provider: a list where a template prints it",
        "github ci-provider: a list in the SAN",
        "github ci-provider: an object where a template prints it",
        "github ci-provider: an object in the SAN",
        "gitlab ci-provider: ci_config_sha is null",
        "email: issuer at the path is null",
        'email: issuer at the path is ["x"]',
        'email: issuer at the path is {"a": "b"}',
        "kubernetes: claim is null",
    ],
    INVISIBLE: [
        "github ci-provider: U+000A in an extension",
        "github ci-provider: U+0000 in an extension",
        "github ci-provider: U+202E in an extension",
        "github ci-provider: U+200B in an extension",
        "github ci-provider: U+D800 in an extension",
        "github ci-provider: control character in sub",
        "username: NUL",
        "username: surrogate",
    ],
    OTHER_HOST: [
        "github ci-provider: userinfo in the SAN",
        "uri: userinfo",
        "uri: userinfo with password",
        "uri: empty userinfo",
        "codefresh-workflow: platform with userinfo",
        "gitlab-pipeline: userinfo",
    ],
    NO_URI: [
        "github ci-provider: SAN without scheme",
    ],
    UNNAMED: [
        "github ci-provider: no sub",
        "username: empty",
        "username: none",
        "kubernetes: no sub",
        "chainguard: no sub but an email",
        "buildkite-job: no sub",
        "codefresh-workflow: no sub",
        "github-workflow: no sub",
        "gitlab-pipeline: no sub",
    ],
    HOLES: [
        "circleci ci-provider: index of a missing claim leaves no hole in the SAN",
        "kubernetes: no claim",
        "kubernetes: empty claim",
        "kubernetes: no namespace",
        "kubernetes: no service account name",
        "kubernetes: namespace ''",
        "codefresh-workflow: no account_name",
        "codefresh-workflow: no pipeline_name",
    ],
    OUTSIDE: [
        "kubernetes: namespace 'a/serviceaccounts/b#'",
        "kubernetes: namespace '../x'",
        "kubernetes: namespace 'A'",
        "kubernetes: namespace 'a b'",
        "kubernetes: namespace '-a'",
        "kubernetes: namespace 'a-'",
        "kubernetes: namespace '%2f'",
        "kubernetes: namespace 'a.b'",
        "kubernetes: namespace '\u017c'",
        "kubernetes: service account 'a/b'",
        "kubernetes: service account '..'",
        "kubernetes: service account 'a..b'",
        "kubernetes: service account 'a?b'",
        "kubernetes: service account 'a#b'",
    ],
    BAD_URL: [
        "github-workflow: bad URL",
    ],
}
"""Certificates that Fulcio issues and Dayfly does not."""

OTHER_WORDS = {
    "github ci-provider: a line break in the SAN": INVISIBLE,
    "email: issuer at the path is empty": "the issuer's configuration is looked at with the token, as everything in it",
}
"""Refused by both, but by Fulcio only when the certificate is made, and so in other words."""

WRITTEN_OTHERWISE = {
    "github ci-provider: integers beyond 2^53 are exact": "Fulcio rounds them",
    "github ci-provider: large whole floats have no exponent": "v1.8.8 writes 1.753e+09; later versions do not",
}
"""Issued by both, with another text in an extension."""

DIFFERENT = {case for cases in REFUSED_HERE.values() for case in cases} | {*OTHER_WORDS, *WRITTEN_OTHERWISE}


def ask(vector: Vector, issuers: Issuers) -> Ask:
    """With a proof where the challenge is known, which shows that it is the same; else with a certificate request."""
    token = issuers.token(vector.issuer, vector.claims)
    if vector.challenge is not None:
        return post(body(token, vector.challenge, key()))
    return post({"credentials": {"oidcIdentityToken": token}, "certificateSigningRequest": csr_of()})


def name(vector: Vector) -> str:
    return ascii(vector.case)


@pytest.mark.parametrize("vector", [one for one in VECTORS if one.case not in DIFFERENT], ids=name)
def test_claims_are_answered_alike(pair, issuers, vector):
    fulcio, dayfly = pair.ask(ask(vector, issuers))
    assert fulcio.status_code == (200 if vector.challenge is not None else 400), summary(fulcio)
    assert visible(dayfly, fulcio) == visible(fulcio)


@pytest.mark.parametrize("vector", [one for one in VECTORS if one.case in DIFFERENT], ids=name)
def test_what_differs_on_purpose_still_differs(pair, issuers, vector):
    fulcio, dayfly = pair.ask(ask(vector, issuers))
    assert fulcio.status_code == (400 if vector.case in OTHER_WORDS else 200), summary(fulcio)
    assert dayfly.status_code == (200 if vector.case in WRITTEN_OTHERWISE else 400), summary(dayfly)
    assert visible(dayfly, fulcio) != visible(fulcio)


def test_every_deliberate_difference_is_one_of_a_vector():
    assert {one.case for one in VECTORS} >= DIFFERENT
