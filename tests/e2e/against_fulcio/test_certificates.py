"""Certificates under every kind of CA key, and with a log: equal to the byte, but for what no two have in common."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.hashes import SHA384
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from starlette.responses import Response

from tests.certificate.pki import ca_builder, private_key
from tests.dev.server import listener, serving
from tests.e2e.against_fulcio import test_bodies, test_keys
from tests.e2e.against_fulcio.cases import person, with_token
from tests.e2e.against_fulcio.comparison import summary, visible
from tests.e2e.against_fulcio.servers import Pair
from tests.e2e.against_fulcio.test_identities import ask
from tests.e2e.against_fulcio.vectors import VECTORS
from tests.e2e.fulcio import LogSettings
from tests.e2e.instance import CAFiles

# ---- with a log ----------------------------------------------------------------------------------------------------

REQUESTS = {
    case: (test_keys.SAME | test_bodies.SAME)[case]
    for case in [
        "P-256",
        "P-384",
        "P-521",
        "RSA-2048",
        "Ed25519",
        "CSR, P-256 with SHA-256",
        "CSR, RSA-2048",
        "token in the header",
        "snake case",
        "v1, key in PEM",
        "v1, key in DER",
        "v1, certificate request",
        # Refused before the log hears of them.
        "RSA-1024",
        "over another address",
        "CSR, P-384 with SHA-256",
        "v1, no key and no token",
        "no token",
    ]
}


@pytest.mark.parametrize("case", REQUESTS)
def test_with_a_log_a_request_is_answered_alike(logged, issuers, case):
    fulcio, dayfly = logged.ask(REQUESTS[case].ask(issuers))
    assert summary(fulcio).startswith(REQUESTS[case].answer)
    assert visible(dayfly, fulcio) == visible(fulcio)


ONE_OF_EACH = {vector.issuer: vector for vector in reversed(VECTORS) if vector.challenge is not None}


@pytest.mark.parametrize("issuer", ONE_OF_EACH)
def test_with_a_log_each_type_of_issuer_is_answered_alike(logged, issuers, issuer):
    fulcio, dayfly = logged.ask(ask(ONE_OF_EACH[issuer], issuers))
    assert list(dayfly.json()) == ["signedCertificateEmbeddedSct"], summary(dayfly)
    assert visible(dayfly) == visible(fulcio)


@pytest.fixture(scope="module")
def refused(setup, log) -> Iterator[Pair]:
    """Their log takes nothing."""

    async def refuse(scope, receive, send) -> None:
        await Response("unknown root", 400)(scope, receive, send)

    socket = listener()
    settings = LogSettings(f"http://127.0.0.1:{socket.getsockname()[1]}/refusing", log.key_file)
    with serving(refuse, socket), replace(setup, log=settings).running("refused") as pair:
        yield pair


def test_a_log_that_refuses_is_an_internal_error(refused, issuers):
    fulcio, dayfly = refused.ask(with_token(person(issuers)))
    assert summary(fulcio) == "500 Error entering certificate in CTL"
    assert visible(dayfly, fulcio) == visible(fulcio)


# ---- other CAs -----------------------------------------------------------------------------------------------------


def write_ca(directory: Path, kind: str, **replace) -> CAFiles:
    now = datetime.now(UTC).replace(microsecond=0)
    times = {"start": now - timedelta(days=1), "end": now + timedelta(days=30)}
    root_key, key = private_key("P-384", 99), private_key(kind, 98)
    root = ca_builder(root_key, "root", **times).sign(root_key, SHA384())
    issuing = ca_builder(key, "issuing", "root", **times, **replace).sign(root_key, SHA384())
    files = CAFiles(directory / "chain.pem", directory / "key.pem", directory / "root.pem")
    files.chain.write_bytes(issuing.public_bytes(Encoding.PEM) + root.public_bytes(Encoding.PEM))
    files.key.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    files.root.write_bytes(root.public_bytes(Encoding.PEM))
    return files


CAS = {
    "P-384": {},
    "P-521": {},
    "RSA-2048": {},
    "Ed25519": {},
    "P-256": {"ski": None},
}


@pytest.mark.parametrize("kind", CAS)
def test_every_kind_of_ca_signs_alike(setup, tmp_path, issuers, kind):
    ca = write_ca(tmp_path, kind, **CAS[kind])
    with replace(setup, ca=ca).running(f"ca-{kind}") as pair:
        fulcio, dayfly = pair.ask(with_token(person(issuers)))
    assert summary(fulcio) == "200"
    assert visible(dayfly, fulcio) == visible(fulcio)


def test_the_comparison_sees_what_it_should(pair, issuers):
    """Two certificates of one server are alike; of two people, or two keys, they are not."""
    fulcio, _ = pair.ask(with_token(person(issuers)))
    again, dayfly = pair.ask(with_token(person(issuers)))
    assert fulcio.content != again.content
    assert visible(fulcio) == visible(again)
    eve, _ = pair.ask(with_token(person(issuers, sub="118")))
    assert visible(eve)["body"] != visible(dayfly)["body"]
    other, _ = pair.ask(test_keys.proven("P-384", SHA384())(issuers))
    assert visible(other)["body"] != visible(dayfly)["body"]
