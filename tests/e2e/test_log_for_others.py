"""`dayfly log serve` as the log of another CA: Fulcio v1.8.8, and another Dayfly. What they issue is read by strangers.

sctcheck is certificate-transparency-go's; it reads the SCT that is embedded in a certificate.
"""

from __future__ import annotations

import hashlib
import json
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)
from sigstore._internal.sct import verify_sct
from sigstore._internal.trust import KeyringPurpose
from sigstore.models import TrustedRoot

from ca.ct.static_ct import parse_leaf_index
from ca.ct.verify import LogKey, verify
from ca.errors import SCTInvalid
from tests.ct.embedded.oracle import check_log, check_promise
from tests.e2e import trust
from tests.e2e.certificates import embedded_sct, flipped, logged, replaced
from tests.e2e.fulcio import LogSettings, fulcio_command
from tests.e2e.instance import DAYFLY, CAFiles, dayfly
from tests.e2e.processes import Child, Tools, free_port, run
from tests.e2e.signing import Signer

CA_NAMES = ["fulcio", "dayfly", "embedded"]


@dataclass(frozen=True)
class Issuing:
    """A CA, and the log it logs to."""

    url: str
    log_url: str
    data: Path
    """The log's directory."""

    @property
    def log_key(self) -> LogKey:
        return LogKey.of(load_pem_public_key((self.data / "ctlog.pub.pem").read_bytes()))


@contextmanager
def served_log(directory: Path, ca: CAFiles) -> Iterator[str]:
    port = free_port()
    command = ["log", "serve", "--data", directory, "--roots", ca.chain, "--listen", f"127.0.0.1:{port}"]
    with Child.start("ctlog", [DAYFLY, *command, "--workers", "2"], directory) as child:
        child.wait_for_http(f"http://127.0.0.1:{port}/readyz")
        yield f"http://127.0.0.1:{port}/ctlog"


@pytest.fixture(scope="module", params=CA_NAMES)
def issuing(
    request: pytest.FixtureRequest, tools: Tools, tmp_path_factory: pytest.TempPathFactory, ca: CAFiles, provider
) -> Iterator[Issuing]:
    directory = tmp_path_factory.mktemp(request.param)
    made = run([DAYFLY, "log", "init", "--data", directory, "--origin", "log.example.com/ctlog"])
    assert made.returncode == 0, made.stderr
    if request.param == "embedded":
        with dayfly(directory, ca, provider.issuer, "embedded") as instance:
            yield Issuing(instance.url, f"{instance.url}/ctlog", directory)
        return
    key = directory / "ctlog.pub.pem"
    with served_log(directory, ca) as log_url:
        if request.param == "dayfly":
            with dayfly(directory, ca, provider.issuer, log_url, key) as instance:
                yield Issuing(instance.url, log_url, directory)
            return
        identities = directory / "identity.yaml"
        issuers = {provider.issuer: {"issuer-url": provider.issuer, "client-id": "sigstore", "type": "email"}}
        identities.write_text(yaml.safe_dump({"oidc-issuers": issuers}))
        port = free_port()
        command = fulcio_command(
            tools, port, chain=ca.chain, key=ca.key, identities=identities, log=LogSettings(log_url, key)
        )
        with Child.start("fulcio", command, directory, cwd=directory) as child:
            child.wait_for_http(f"http://127.0.0.1:{port}/healthz")
            yield Issuing(f"http://127.0.0.1:{port}", log_url, directory)


def issue(issuing: Issuing, token: str) -> list[x509.Certificate]:
    """The certificate and its chain."""
    answer = httpx.post(
        f"{issuing.url}/api/v2/signingCert",
        json=Signer().cosign_3(),
        headers={"Authorization": f"Bearer {token}"},
        trust_env=False,
        timeout=30,
    )
    assert answer.status_code == 200, answer.text
    pems = answer.json()["signedCertificateEmbeddedSct"]["chain"]["certificates"]
    return x509.load_pem_x509_certificates("".join(pems).encode())


@pytest.fixture(scope="module")
def chain(issuing: Issuing, token: str) -> list[x509.Certificate]:
    return issue(issuing, token)


def test_we_verify_the_sct(issuing, chain):
    verify(embedded_sct(chain[0]), logged(chain), issuing.log_key, datetime.now(UTC))


def test_we_refuse_the_sct_for_another_certificate(issuing, chain, token):
    with pytest.raises(SCTInvalid):
        verify(embedded_sct(chain[0]), logged(issue(issuing, token)), issuing.log_key, datetime.now(UTC))


def test_the_entry_is_in_the_tree(issuing, chain):
    sct, what = embedded_sct(chain[0]), logged(chain)
    index = check_promise(issuing.data, check_log(issuing.data), sct, what.clean_tbs, what.issuer_key_hash)
    assert index == parse_leaf_index(sct.extensions)
    verified = run([DAYFLY, "log", "verify", "--data", issuing.data])
    assert verified.returncode == 0, verified.stderr


def test_sigstore_python_accepts_the_sct(issuing, chain, trusted_root, tmp_path):
    root = tmp_path / "root.json"
    root.write_text(json.dumps(trust.with_log(trusted_root, issuing.log_key.public_key)))
    verify_sct(chain[0], chain[1:], TrustedRoot.from_file(str(root)).ct_keyring(KeyringPurpose.SIGN))


# ---- sctcheck -----------------------------------------------------------------------------------------------


def sctcheck(tools: Tools, issuing: Issuing, chain: list[x509.Certificate], directory: Path, key: LogKey | None = None):
    """Its result for the certificate at the head of `chain`, in a list of logs that has ours alone."""
    key = key or issuing.log_key
    spki = key.public_key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    log = {
        "description": "Dayfly",
        "log_id": b64encode(hashlib.sha256(spki).digest()).decode(),
        "key": b64encode(spki).decode(),
        "url": issuing.log_url.replace("http://", "https://") + "/",
        "mmd": 86400,
        "state": {"usable": {"timestamp": "2025-01-01T00:00:00Z"}},
    }
    logs = directory / "logs.json"
    logs.write_text(json.dumps({"operators": [{"name": "Dayfly", "email": ["ada@example.com"], "logs": [log]}]}))
    pem = directory / "chain.pem"
    pem.write_bytes(b"".join(certificate.public_bytes(Encoding.PEM) for certificate in chain))
    # Inclusion it asks for at an https URL, with a leaf hash that leaves out the SCT's extensions (v1.3.3).
    flags = [f"--log_list={logs}", "--check_inclusion=false", "--logtostderr"]
    return run([tools.binary("sctcheck"), *flags, pem])


def tampered(certificate: x509.Certificate, part: bytes, ca: CAFiles) -> x509.Certificate:
    """One bit of `part` is flipped; signed again, since sctcheck wants its issuer."""
    return replaced(certificate, part, flipped(part), load_pem_private_key(ca.key.read_bytes(), None))


def test_sctcheck_accepts_the_certificate(tools, issuing, chain, tmp_path):
    checked = sctcheck(tools, issuing, chain, tmp_path)
    assert checked.returncode == 0, checked.stderr
    assert "Found 1 embedded SCTs" in checked.stderr


def test_sctcheck_refuses_a_tampered_sct(tools, issuing, chain, tmp_path, ca):
    sct = embedded_sct(chain[0])
    parts = {
        "signature": sct.signature,
        "timestamp": sct.timestamp.to_bytes(8, "big"),
        "leaf index": sct.extensions,
    }
    for name, part in parts.items():
        checked = sctcheck(tools, issuing, [tampered(chain[0], part, ca), *chain[1:]], tmp_path)
        assert checked.returncode == 1, name
        assert "of which 0 were validated" in checked.stderr


def test_sctcheck_refuses_the_sct_in_another_certificate(tools, issuing, chain, tmp_path, ca):
    serial = chain[0].serial_number.to_bytes(-(-chain[0].serial_number.bit_length() // 8), "big")
    checked = sctcheck(tools, issuing, [tampered(chain[0], serial, ca), *chain[1:]], tmp_path)
    assert checked.returncode == 1
    assert "of which 0 were validated" in checked.stderr


def test_sctcheck_does_not_know_another_log(tools, issuing, chain, tmp_path, log):
    checked = sctcheck(tools, issuing, chain, tmp_path, LogKey.of(log.public_key))
    assert checked.returncode == 1
    assert "of which 0 were validated" in checked.stderr
