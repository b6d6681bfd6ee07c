"""Paths, methods, and what can be had without a token."""

from __future__ import annotations

from typing import NamedTuple

import pytest

from tests.e2e.against_fulcio.comparison import summary, visible
from tests.e2e.against_fulcio.servers import Ask

NOT_FOUND = "404 Not Found"
NOT_ALLOWED = "501 Method Not Allowed"
PAGE = {"Origin": "https://page.example"}
BARE_PREFLIGHT = {"Access-Control-Request-Method": "GET"}
PREFLIGHT = PAGE | BARE_PREFLIGHT
FORM = {"Content-Type": "application/x-www-form-urlencoded"}

SAME = {
    "GET /api/v2/trustBundle": "200",
    "GET /api/v2/trustBundle?unknown=1": "200",
    "GET /api/v2/trust%42undle": "200",
    "GET /api/v2/configuration": "200",
    "GET /api/v1/rootCert": "200",
    "GET /healthz": "200",
    "GET /healthz?service=any": "200",
    "GET /": NOT_FOUND,
    "GET /api": NOT_FOUND,
    "GET /api/v3/trustBundle": NOT_FOUND,
    "GET /API/v2/trustBundle": NOT_FOUND,
    "GET /api/v2/trustBundle/": NOT_FOUND,
    "GET /api/v2/trustBundle:verb": NOT_FOUND,
    "GET /api/v2/trustBundle%20": NOT_FOUND,
    "GET /healthz/": NOT_FOUND,
    "POST /api/v2/signingCert/": NOT_FOUND,
    "POST /unknown": NOT_FOUND,
    "OPTIONS /unknown": NOT_FOUND,
    "HEAD /unknown": "404",
    "HEAD /api/v2/trustBundle": "501",
    "HEAD /api/v2/signingCert": "501",
    "HEAD /healthz": "501",
    "GET /api/v2/signingCert": NOT_ALLOWED,
    "PUT /api/v2/signingCert": NOT_ALLOWED,
    "OPTIONS /api/v2/signingCert": NOT_ALLOWED,
    "GET /api/v1/signingCert": NOT_ALLOWED,
    "POST /api/v2/trustBundle": NOT_ALLOWED,
    "DELETE /api/v1/rootCert": NOT_ALLOWED,
    "PATCH /api/v2/configuration": NOT_ALLOWED,
    "POST /healthz": NOT_ALLOWED,
    "TRACE /healthz": NOT_ALLOWED,
}


@pytest.mark.parametrize("request_line", SAME)
def test_a_path_is_answered_alike(pair, request_line):
    fulcio, dayfly = pair.ask(Ask(*request_line.split(" ")))
    assert summary(fulcio) == SAME[request_line]
    assert visible(dayfly, fulcio) == visible(fulcio)


class Different(NamedTuple):
    ask: Ask
    fulcio: str
    dayfly: str
    because: str


DOUBLED = "clients that join a base URL ending in a slash ask so"
TUNNEL = "grpc-gateway's tunnel for HTML forms; no client of a CA posts one"
OWN = "a page of Dayfly's own"
CORS = "nothing that a browser would act on"
PARSER = "the HTTP parser's business; nobody asks so by mistake"

DIFFERENT = {
    "a doubled slash": Different(Ask("GET", "//api/v2/trustBundle"), NOT_FOUND, "200", DOUBLED),
    "a doubled slash inside": Different(Ask("GET", "/api//v2/trustBundle"), NOT_FOUND, "200", DOUBLED),
    "a form posted to a GET": Different(Ask("POST", "/api/v2/trustBundle", FORM, b"a=b"), "200", NOT_ALLOWED, TUNNEL),
    "a form with another method inside": Different(
        Ask("POST", "/api/v2/signingCert", {**FORM, "X-HTTP-Method-Override": "PUT"}, b"{}"),
        NOT_ALLOWED,
        "400 There was an error processing the identity token",
        TUNNEL,
    ),
    "readiness": Different(Ask("GET", "/readyz"), NOT_FOUND, "200", OWN),
    "liveness": Different(Ask("GET", "/livez"), NOT_FOUND, "200", OWN),
    "the description": Different(Ask("GET", "/openapi.json"), NOT_FOUND, "200", OWN),
    "a method nobody knows": Different(Ask("FOO", "/healthz"), NOT_ALLOWED, "400 not an HTTP/1.1 request", PARSER),
    "a page with another method": Different(Ask("PUT", "/healthz", PAGE), NOT_ALLOWED, NOT_ALLOWED, CORS),
    "a preflight": Different(Ask("OPTIONS", "/healthz", PREFLIGHT), "204", "200", CORS),
    "a preflight without a page": Different(Ask("OPTIONS", "/healthz", BARE_PREFLIGHT), "204", NOT_ALLOWED, CORS),
    "a broken escape in the path": Different(Ask("GET", "/%zz"), "400 400 Bad Request", NOT_FOUND, PARSER),
}


@pytest.mark.parametrize("case", DIFFERENT)
def test_what_differs_on_purpose_still_differs(pair, case):
    row = DIFFERENT[case]
    fulcio, dayfly = pair.ask(row.ask)
    assert summary(fulcio).startswith(row.fulcio)
    assert summary(dayfly).startswith(row.dayfly)
    assert visible(dayfly, fulcio) != visible(fulcio)


# ---- what clients learn -------------------------------------------------------------------------------------------


def test_both_publish_the_same_chain_and_issuers(pair):
    for path in ("/api/v2/trustBundle", "/api/v1/rootCert", "/api/v2/configuration"):
        fulcio, dayfly = pair.ask(Ask("GET", path))
        assert visible(dayfly)["body"] == visible(fulcio)["body"]
    issuers = dayfly.json()["issuers"]
    assert len([issuer for issuer in issuers if "wildcardIssuerUrl" in issuer]) == 2
    assert len(issuers) > 30


def test_root_certificate_and_health_are_the_same_bytes(pair):
    for path in ("/api/v1/rootCert", "/healthz"):
        fulcio, dayfly = pair.ask(Ask("GET", path))
        assert dayfly.content == fulcio.content


# ---- browsers ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "ask",
    [
        Ask("GET", "/healthz", PAGE),
        Ask("GET", "/api/v2/trustBundle", PAGE),
        Ask("GET", "/api/v2/trustBundle", {"Origin": "null"}),
        Ask("GET", "/unknown", PAGE),
        Ask("POST", "/api/v2/signingCert", PAGE, b"{"),
        Ask("POST", "/api/v2/signingCert", PAGE, b"{}"),
        Ask("OPTIONS", "/api/v2/signingCert", PAGE),
    ],
    ids=str,
)
def test_pages_of_any_origin_may_read_the_answer(pair, ask):
    fulcio, dayfly = pair.ask(ask)
    assert visible(dayfly, fulcio) == visible(fulcio)
    assert dayfly.headers["access-control-allow-origin"] == "*"


def preflight(method: str, headers: str) -> Ask:
    asked = {"Access-Control-Request-Method": method, "Access-Control-Request-Headers": headers}
    return Ask("OPTIONS", "/api/v2/signingCert", PAGE | {name: value for name, value in asked.items() if value})


def permitted(answer, headers: str) -> bool:
    """Whether a browser would go on to send the request (Fetch §4.8, CORS-preflight fetch)."""
    allowed = {name.strip().lower() for name in answer.headers.get("access-control-allow-headers", "").split(",")}
    asked = {name for name in headers.split(",") if name}
    return answer.is_success and "access-control-allow-origin" in answer.headers and asked <= allowed


@pytest.mark.parametrize("headers", ["", "content-type", "accept,content-type", "x-requested-with", "x-unknown"])
def test_browsers_come_to_the_same_conclusion(pair, headers):
    fulcio, dayfly = pair.ask(preflight("POST", headers))
    assert permitted(dayfly, headers) == permitted(fulcio, headers) == (headers != "x-unknown")


def test_dayfly_lets_pages_send_the_token_in_the_header(pair):
    """Fulcio's pages can only send it in the body, which half of the clients never learned."""
    fulcio, dayfly = pair.ask(preflight("POST", "authorization,content-type"))
    assert not permitted(fulcio, "authorization,content-type")
    assert permitted(dayfly, "authorization,content-type")
