"""Issuance with a log: what is embedded, and what a log that lies leads to."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from ca.keys.ceremony import write_ca
from ca.main import clock
from tests.api.server import CA, leaf, running_ca
from tests.ct.logs import HonestLog
from tests.dev.server import listener, serving


@contextmanager
def ca_with(
    directory: Path, log: Callable[[x509.Certificate], HonestLog], key: ec.EllipticCurvePrivateKey | None = None
) -> Iterator[tuple[CA, HonestLog]]:
    """A CA and its log. The CA believes `key`, by default the log's own."""
    write_ca(directory / "ca", "Dayfly tests", "Dayfly tests", clock())
    root = x509.load_pem_x509_certificates((directory / "ca/chain.pem").read_bytes())[-1]
    running_log = log(root)
    public = (key or running_log.key).public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    (directory / "log.pub.pem").write_bytes(public)
    sock = listener()
    url = f"http://127.0.0.1:{sock.getsockname()[1]}/2026"
    with (
        serving(running_log.app, sock),
        running_ca(directory, ct={"log": url, "log-key": directory / "log.pub.pem"}) as ca,
    ):
        yield ca, running_log


def test_exactly_one_sct_is_embedded_and_the_log_saw_the_same_tbs(tmp_path: Path) -> None:
    with ca_with(tmp_path, HonestLog) as (ca, log):
        answer = ca.ask()
        assert list(answer.json()) == ["signedCertificateEmbeddedSct"]
        certificate = leaf(answer)
        extension = certificate.extensions[-1]
        assert isinstance(extension.value, x509.PrecertificateSignedCertificateTimestamps)
        assert not extension.critical
        (sct,) = extension.value
        spki = log.key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        assert sct.log_id == hashlib.sha256(spki).digest()

        import json

        (submission,) = log.bodies
        precertificate, issuing, root = (base64.b64decode(der) for der in json.loads(submission)["chain"])
        logged = x509.load_der_x509_certificate(precertificate)
        assert logged.serial_number == certificate.serial_number
        assert logged.extensions[-1].critical
        chain = [text.encode() for text in answer.json()["signedCertificateEmbeddedSct"]["chain"]["certificates"]]
        assert [x509.load_pem_x509_certificate(pem).public_bytes(Encoding.DER) for pem in chain[1:]] == [issuing, root]


def test_readyz_says_that_the_log_answers(tmp_path: Path) -> None:
    with ca_with(tmp_path, HonestLog) as (ca, _):
        assert ca.client.get("/readyz").json()["checks"]["log"] == "ok"


def test_an_sct_by_another_key_yields_no_certificate(tmp_path: Path) -> None:
    with ca_with(tmp_path, HonestLog, ec.generate_private_key(ec.SECP256R1())) as (ca, _):
        answer = ca.ask()
        assert answer.status_code == 500
        assert answer.json()["details"][0]["reason"] == "SCT_INVALID"
        assert answer.json()["message"].startswith("Error entering certificate in CTL")


def test_a_log_that_does_not_know_the_root_yields_no_certificate(tmp_path: Path) -> None:
    write_ca(tmp_path / "other", "Another", "Another", clock())
    other = x509.load_pem_x509_certificates((tmp_path / "other/chain.pem").read_bytes())[-1]
    (tmp_path / "here").mkdir()
    with ca_with(tmp_path / "here", lambda _root: HonestLog(other)) as (ca, log):
        answer = ca.ask()
        assert answer.status_code == 500
        assert answer.json()["details"][0]["reason"] == "LOG_REFUSED"
        assert len(log.bodies) == 1


@pytest.mark.parametrize("extensions", [b"", bytes.fromhex("0000050000000001")])
def test_the_sct_s_extensions_are_kept(tmp_path: Path, extensions: bytes) -> None:
    with ca_with(tmp_path, lambda root: HonestLog(root, extensions=extensions)) as (ca, _):
        certificate = leaf(ca.ask())
        (sct,) = certificate.extensions[-1].value  # type: ignore[misc]
        assert sct.extension_bytes == extensions
