"""cosign and sigstore-python against two workers that share an embedded log: no other server but the timestamps'."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key

from ca.ct.embedded.directory import LogDirectory
from ca.ct.static_ct import parse_leaf_index
from ca.main import clock
from tests.api.server import key_request
from tests.e2e import trust
from tests.e2e.instance import dayfly
from tests.e2e.signing import EMAIL
from tests.e2e.test_cosign import Cosign


@pytest.fixture(scope="module")
def embedded(tmp_path_factory, ca, provider):
    """The instance, and the DER key of its log."""
    directory = tmp_path_factory.mktemp("embedded")
    LogDirectory(directory).create("localhost/ctlog", clock())
    key = load_pem_public_key((directory / "ctlog.pub.pem").read_bytes())
    with dayfly(directory, ca, provider.issuer, "embedded", workers=2) as instance:
        yield instance, key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def test_cosign_signs_and_verifies(tools, tmp_path, embedded, ca, provider, tsa, token):
    instance, log_key = embedded
    cosign = Cosign(tools, tmp_path)
    root = cosign.write(
        "trusted_root.json",
        trust.trusted_root(
            ca_url=instance.url,
            ca_chain=ca.ders,
            log_url=f"{instance.url}/ctlog",
            log_key=log_key,
            tsa_url=tsa.url,
            tsa_chain=tsa.chain,
        ),
    )
    config = cosign.write(
        "signing_config.json", trust.signing_config(ca_url=instance.url, issuer=provider.issuer, tsa_url=tsa.url)
    )
    blob = tmp_path / "blob"
    blob.write_bytes(b"a release\n")
    signed = cosign(
        *("sign-blob", "--yes", f"--identity-token={token}", f"--signing-config={config}"),
        *(f"--trusted-root={root}", f"--bundle={tmp_path / 'bundle.json'}", blob),
    )
    assert signed.returncode == 0, signed.stderr
    verified = cosign(
        *("verify-blob", f"--bundle={tmp_path / 'bundle.json'}", f"--trusted-root={root}"),
        *(f"--certificate-identity={EMAIL}", f"--certificate-oidc-issuer={provider.issuer}"),
        *("--insecure-ignore-tlog", "--use-signed-timestamps", blob),
    )
    assert verified.returncode == 0, verified.stderr


def test_two_workers_give_every_certificate_a_place_of_its_own(embedded, token):
    instance, _ = embedded

    def place(_: int) -> int:
        # A connection each, so that both workers get some.
        request = {"publicKeyRequest": key_request(EMAIL)}
        answer = httpx.post(
            f"{instance.url}/api/v2/signingCert", json=request, headers={"Authorization": f"Bearer {token}"}, timeout=20
        )
        assert answer.status_code == 200, answer.text
        chain = answer.json()["signedCertificateEmbeddedSct"]["chain"]["certificates"]
        certificate = x509.load_pem_x509_certificate(chain[0].encode())
        (sct,) = certificate.extensions.get_extension_for_class(x509.PrecertificateSignedCertificateTimestamps).value
        return parse_leaf_index(sct.extension_bytes)

    with ThreadPoolExecutor(8) as threads:
        places = list(threads.map(place, range(60)))
    assert len(set(places)) == len(places)
    assert max(places) - min(places) == len(places) - 1
