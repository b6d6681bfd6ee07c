"""Issuance with the embedded log: what the certificate promises is in the tree."""

from __future__ import annotations

import base64
import hashlib
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key
from prometheus_client import CollectorRegistry

from ca.backends import open_embedded
from ca.ct.embedded.directory import LogDirectory
from ca.ct.embedded.keys import load_keys
from ca.ct.embedded.store import Store
from ca.ct.static_ct import parse_leaf_index
from ca.ct.submission import AcceptedRoots
from ca.errors import ConfigurationError
from ca.keys.ceremony import create_root
from ca.main import clock
from ca.telemetry import Metrics
from tests.api.server import CA, leaf, running_ca
from tests.ct.logs import signed_by_log

ORIGIN = "ct.example.org/2026h2"


def scts(certificate: x509.Certificate) -> list[x509.certificate_transparency.SignedCertificateTimestamp]:
    extension = certificate.extensions.get_extension_for_class(x509.PrecertificateSignedCertificateTimestamps)
    return list(extension.value)


def verified(ca: CA, certificate: x509.Certificate, chain: list[str]) -> int:
    """The leaf index that the certificate's one SCT promises, its signature checked by hand (RFC 6962 §3.2)."""
    (sct,) = scts(certificate)
    key = load_pem_public_key((ca.directory / "ctlog.pub.pem").read_bytes())
    issuing = x509.load_pem_x509_certificate(chain[1].encode())
    spki = issuing.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    milliseconds = round(sct.timestamp.replace(tzinfo=clock().tzinfo).timestamp() * 1000)
    signed = signed_by_log(
        certificate.tbs_precertificate_bytes, hashlib.sha256(spki).digest(), milliseconds, sct.extension_bytes
    )
    key.verify(sct.signature, signed, ECDSA(SHA256()))  # type: ignore[union-attr, call-arg, arg-type]
    return parse_leaf_index(sct.extension_bytes)


def test_certificates_are_logged_one_after_the_other_and_over_a_restart(tmp_path: Path) -> None:
    LogDirectory(tmp_path).create(ORIGIN, clock())
    indices = []
    for _ in range(2):
        with running_ca(tmp_path, ct={"log": "embedded"}) as ca:
            for _ in range(2):
                answer = ca.ask()
                chain = answer.json()["signedCertificateEmbeddedSct"]["chain"]["certificates"]
                indices.append(verified(ca, leaf(answer), chain))
            assert ca.client.get("/readyz").json()["checks"]["log"] == "ok"
    assert indices == [0, 1, 2, 3]
    with_store = Store.open(tmp_path / "ctlog.sqlite", read_only=True)
    assert with_store.head().size == 4
    with_store.close()


def test_the_log_serves_what_it_promised(tmp_path: Path) -> None:
    LogDirectory(tmp_path).create(ORIGIN, clock())
    with running_ca(tmp_path, ct={"log": "embedded"}) as ca:
        assert ca.ask().status_code == 200
        info = ca.client.get("/api/v2/ctlog").json()
        assert (info["origin"], info["prefix"]) == (ORIGIN, "/ctlog")
        checkpoint = ca.client.get("/ctlog/checkpoint").text
        assert checkpoint.startswith(f"{ORIGIN}\n1\n")
        assert ca.client.get("/ctlog/ct/v1/get-sth").json()["tree_size"] == 1
        roots = ca.client.get("/ctlog/ct/v1/get-roots").json()["certificates"]
        chain = x509.load_pem_x509_certificates((tmp_path / "ca/chain.pem").read_bytes())
        assert [base64.b64decode(root) for root in roots] == [chain[-1].public_bytes(Encoding.DER)]
        assert ca.client.get("/api/v2/ctlog/proof", params={"leaf_index": 0}).status_code == 200


def test_an_older_log_stays_readable_below_the_newest(tmp_path: Path) -> None:
    logs = LogDirectory(tmp_path)
    logs.create("ct.example.org/2026h2", clock())
    logs.create("ct.example.org/2027h1", clock())
    with running_ca(tmp_path, ct={"log": "embedded"}) as ca:
        assert ca.client.get("/api/v2/ctlog").json()["origin"] == "ct.example.org/2027h1"
        assert ca.client.get("/ctlog/checkpoint").text.startswith("ct.example.org/2027h1\n")
        assert ca.client.get("/ctlog/2026h2/checkpoint").text.startswith("ct.example.org/2026h2\n")


def test_a_ca_without_its_log_does_not_start(tmp_path: Path) -> None:
    roots = AcceptedRoots([ephemeral_root()])
    with pytest.raises(ConfigurationError, match="there is no log; make one with `dayfly log init`"):
        open_embedded(LogDirectory(tmp_path), lambda: roots, clock, Metrics(CollectorRegistry()), AsyncExitStack())


def ephemeral_root() -> x509.Certificate:
    return create_root("Dayfly tests", "root", clock()).certificate


def test_the_trusted_root_names_every_log_whose_scts_were_given(tmp_path: Path) -> None:
    LogDirectory(tmp_path).create(ORIGIN, clock())
    first = load_keys(tmp_path).log_id
    with running_ca(tmp_path, ct={"log": "embedded"}) as ca:
        (log,) = ca.client.get("/api/v2/trustedRoot").json()["ctlogs"]
        assert base64.b64decode(log["logId"]["keyId"]) == first
        assert log["baseUrl"] == f"{ca.client.base_url}/ctlog"
        assert base64.b64decode(log["logId"]["keyId"]) == scts(leaf(ca.ask()))[0].log_id
    LogDirectory(tmp_path).create("ct.example.org/2027h1", clock())
    with running_ca(tmp_path, ct={"log": "embedded"}) as ca:
        new, old = ca.client.get("/api/v2/trustedRoot").json()["ctlogs"]
        assert base64.b64decode(old["logId"]["keyId"]) == first
        assert old["baseUrl"] == f"{ca.client.base_url}/ctlog/2026h2"
        assert base64.b64decode(new["logId"]["keyId"]) == scts(leaf(ca.ask()))[0].log_id


def test_what_clients_are_told_of_the_log_is_not_read_for_each_of_them(tmp_path: Path) -> None:
    logs = LogDirectory(tmp_path)
    logs.create(ORIGIN, clock())
    with running_ca(tmp_path, ct={"log": "embedded"}) as ca:

        def told() -> list[str]:
            return [log["logId"]["keyId"] for log in ca.client.get("/api/v2/trustedRoot").json()["ctlogs"]]

        (first,) = told()
        key = tmp_path / "ctlog.key.pem"
        key.rename(tmp_path / "elsewhere")
        assert told() == [first]
        (tmp_path / "elsewhere").rename(key)
        logs.create("ct.example.org/2027h1", clock())
        assert told()[1:] == [first], "a new log shows at once"
