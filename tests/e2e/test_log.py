"""What the log has: certificate-transparency-go's client and OpenSSL read it, neither of which knows Dayfly."""

from __future__ import annotations

import hashlib
import time
from datetime import UTC

import httpx
import pytest
from cryptography import x509

from tests.ct.logs import signed_by_log
from tests.ct.pki import key_hash
from tests.e2e.processes import run
from tests.e2e.signing import EMAIL, Signer


@pytest.fixture(scope="module")
def chain(instance, token, tmp_path_factory):
    """A fresh certificate with its chain, in a PEM file."""
    headers = {"Authorization": f"Bearer {token}"}
    body = Signer().cosign_3()
    answer = httpx.post(f"{instance.url}/api/v2/signingCert", json=body, headers=headers, trust_env=False, timeout=15)
    assert answer.status_code == 200, answer.text
    path = tmp_path_factory.mktemp("log") / "chain.pem"
    path.write_text("\n".join(answer.json()["signedCertificateEmbeddedSct"]["chain"]["certificates"]) + "\n")
    return path


@pytest.fixture(scope="module")
def certificate(chain) -> x509.Certificate:
    return x509.load_pem_x509_certificate(chain.read_bytes())


@pytest.fixture
def ctclient(tools, log, log_url):
    def ctclient(command: str, *flags: str):
        # It reads its flags after the command alone.
        return run([tools.binary("ctclient"), command, f"--log_uri={log_url}", f"--pub_key={log.key_file}", *flags])

    return ctclient


@pytest.fixture
def prove(ctclient):
    def prove(leaf_hash: bytes, seconds: float):
        """The answer to get-inclusion-proof, asked until the log has sequenced the entry or time is up."""
        deadline = time.monotonic() + seconds
        while True:
            proof = ctclient("get-inclusion-proof", f"--leaf_hash={leaf_hash.hex()}")
            if proof.returncode == 0 or time.monotonic() > deadline:
                return proof
            time.sleep(0.2)

    return prove


def leaf_hash(certificate: x509.Certificate, issuer: x509.Certificate) -> bytes:
    """The hash of the log entry that the certificate's SCT promises, RFC 6962 §2.1, §3.4."""
    scts = certificate.extensions.get_extension_for_class(x509.PrecertificateSignedCertificateTimestamps).value
    (sct,) = list(scts)
    timestamp = round(sct.timestamp.replace(tzinfo=UTC).timestamp() * 1000)
    issuer_key_hash = key_hash(issuer.public_key())
    entry = signed_by_log(certificate.tbs_precertificate_bytes, issuer_key_hash, timestamp, sct.extension_bytes)
    return hashlib.sha256(b"\x00" + entry).digest()


def test_ctclient_proves_that_the_log_includes_the_certificate(prove, certificate, ca):
    proof = prove(leaf_hash(certificate, ca.certificates[0]), seconds=10)
    assert proof.returncode == 0, proof.stderr
    assert "Verified that hash" in proof.stdout


def test_ctclient_proves_nothing_for_an_entry_that_the_log_never_saw(prove, certificate, ca):
    proof = prove(leaf_hash(certificate, ca.certificates[-1]), seconds=0)
    assert proof.returncode != 0


def test_ctclient_reads_the_identity_out_of_the_log(prove, ctclient, certificate, ca):
    assert prove(leaf_hash(certificate, ca.certificates[0]), seconds=10).returncode == 0
    entries = ctclient("get-entries", "--first=0", "--last=999")
    assert entries.returncode == 0, entries.stderr
    assert f"email:{EMAIL}" in entries.stdout
    assert f"{certificate.serial_number:x}" in entries.stdout.replace(":", "").lower()


def test_openssl_reads_the_sct_and_the_identity(chain, log, provider):
    read = run(["openssl", "x509", "-in", chain, "-noout", "-text"])
    assert read.returncode == 0, read.stderr
    text = " ".join(read.stdout.split())
    assert f"email:{EMAIL}" in text
    assert provider.issuer in text
    assert "CT Precertificate SCTs" in text
    log_id = hashlib.sha256(log.key_der).hexdigest().upper()
    assert log_id in "".join(read.stdout.split()).replace(":", "")


def test_openssl_verifies_the_chain(chain, ca):
    checked = run(["openssl", "verify", "-CAfile", ca.root, "-untrusted", ca.chain, "-purpose", "any", chain])
    assert checked.returncode == 0, checked.stderr
