"""Row 13: tokens of Kubernetes, SPIFFE, URI and user name issuers that name nobody, or somebody else.

Expected: 400 with the claim that is at fault, as Fulcio's status is, and no certificate.
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.api.server import CA
from tests.faults.asking import refused

NAME = {"namespace": "prod", "serviceaccount": {"name": "deployer", "uid": "1"}}

KUBERNETES: dict[str, Any] = {
    "no kubernetes.io": None,
    "text": "prod/deployer",
    "a list": [NAME],
    "empty": {},
    "no namespace": {"serviceaccount": {"name": "deployer"}},
    "empty namespace": NAME | {"namespace": ""},
    "namespace of another type": NAME | {"namespace": 5},
    "namespace with a slash": NAME | {"namespace": "prod/serviceaccounts/root"},
    "namespace with dots": NAME | {"namespace": ".."},
    "namespace in capitals": NAME | {"namespace": "Prod"},
    "namespace with a line's end": NAME | {"namespace": "prod\n"},
    "namespace with an escape": NAME | {"namespace": "pr%2fod"},
    "no account": {"namespace": "prod"},
    "account as text": {"namespace": "prod", "serviceaccount": "deployer"},
    "account without a name": {"namespace": "prod", "serviceaccount": {"uid": "1"}},
    "account with an empty name": {"namespace": "prod", "serviceaccount": {"name": ""}},
    "account with a slash": {"namespace": "prod", "serviceaccount": {"name": "a/b"}},
    "account with a question mark": {"namespace": "prod", "serviceaccount": {"name": "a?b"}},
}
SUBJECTS = {
    "uri": [
        "",
        "127.0.0.1/ada",
        "//127.0.0.1/ada",
        "https://127.0.0.1/ada",
        "http:/ada",
        "http://127.0.0.1.example.org/ada",
        "http://example.org/ada",
        "http://ada@127.0.0.1/x",
        "http://127.0.0.1@example.org/",
        "http://127.0.0.1\\@example.org/",
        "http://127.0.0.1/%zz",
        "http://127.0.0.1/\x00",
        "http://[127.0.0.1/",
        "ada@example.com",
        "mailto:ada@example.com",
    ],
    "username": ["", "ada!127.0.0.1", "!", "a!b!c", "ada@example.com", "a\u200db"],
    "spiffe": [
        "",
        "spiffe://",
        "spiffe:///workload",
        "SPIFFE://example.org/workload",
        "spiffe://EXAMPLE.org/workload",
        "spiffe://other.example/workload",
        "spiffe://example.org.evil.example/workload",
        "spiffe://example.org:8443/workload",
        "spiffe://ada@example.org/workload",
        "spiffe://example.org/../other",
        "spiffe://example.org/./x",
        "spiffe://example.org/a//b",
        "spiffe://example.org/a/",
        "spiffe://example.org/a?b",
        "spiffe://example.org/a#b",
        "spiffe://example.org/a%2fb",
        "spiffe://example.org/ä",
        "spiffe://example.org/a\n",
        "https://example.org/workload",
        "example.org/workload",
    ],
}


def ask(ca: CA, kind: str, sub: Any, **claims: Any) -> Any:
    return ca.ask(ca.token(kind, sub=sub, **claims), str(sub))


@pytest.mark.parametrize("claim", KUBERNETES.values(), ids=KUBERNETES)
def test_a_service_account_that_kubernetes_gives_nobody_is_refused(ca: CA, claim: Any) -> None:
    answer = ask(ca, "kubernetes", "system:serviceaccount:prod:deployer", **{"kubernetes.io": claim})
    refused(answer, "CLAIM_MISSING", "CLAIM_INVALID")
    assert answer.json()["details"][0]["metadata"]["claim"].startswith("kubernetes.io")


def test_a_service_account_in_order_is_certified(ca: CA) -> None:
    answer = ask(ca, "kubernetes", "system:serviceaccount:prod:deployer", **{"kubernetes.io": NAME})
    assert answer.status_code == 200


@pytest.mark.parametrize(("kind", "sub"), [(kind, sub) for kind, subs in SUBJECTS.items() for sub in subs])
def test_a_subject_that_is_not_the_issuer_s_to_name_is_refused(ca: CA, kind: str, sub: str) -> None:
    refused(ask(ca, kind, sub), "CLAIM_MISSING", "CLAIM_INVALID")


@pytest.mark.parametrize("kind", SUBJECTS)
@pytest.mark.parametrize("sub", [None, 5, {}, [], True, ["http://127.0.0.1/ada"]], ids=repr)
def test_a_subject_that_is_no_text_is_refused(ca: CA, kind: str, sub: Any) -> None:
    refused(ask(ca, kind, sub), "CLAIM_MISSING", "CLAIM_INVALID", "TOKEN_MALFORMED")


@pytest.mark.parametrize(
    ("kind", "sub"),
    [("uri", "http://127.0.0.1/ada"), ("username", "ada"), ("spiffe", "spiffe://example.org/workload")],
)
def test_a_subject_in_order_is_certified(ca: CA, kind: str, sub: str) -> None:
    assert ask(ca, kind, sub).status_code == 200


def test_a_spiffe_id_of_255_octets_and_more_never_ends_in_a_5xx(ca: CA) -> None:
    for length in (254, 255, 256, 2048, 2049, 4000):
        sub = "spiffe://example.org/" + "a" * (length - len("spiffe://example.org/"))
        assert ask(ca, "spiffe", sub).status_code in {200, 400}
